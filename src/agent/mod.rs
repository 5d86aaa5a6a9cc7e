//! The roles inside the cluster: take snapshots into the store, and serve them from it.

pub mod backup;
mod history;
pub mod serve;
pub mod store;
