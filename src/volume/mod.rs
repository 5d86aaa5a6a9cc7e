//! EBS: what etcd's volumes are, sets of their snapshots, and the way back.

pub mod adopt;
pub mod completion;
pub mod expiry;
pub mod flags;
pub mod inventory;
pub mod machines;
pub mod marks;
pub mod retention;
pub mod selection;
pub mod set;
pub mod tags;
pub mod take;
