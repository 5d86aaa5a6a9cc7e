//! What a stored snapshot is: its name, its place in a store, and the proof that its bytes are whole.
//!
//! Nothing here does I/O.

pub mod bolt;
pub mod keyspace;
pub mod layout;
pub mod metadata;
pub mod name;
pub mod path;
pub mod proof;
pub mod trailer;
pub mod truth;

pub use layout::{History, Layout};
pub use name::SnapshotName;
pub use path::PathName;
pub use trailer::{Proof, TrailerHasher};
