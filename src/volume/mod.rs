//! EBS: what etcd's volumes are, sets of their snapshots, and the way back.

pub mod flags;
pub mod inventory;
pub mod set;
pub mod tags;
