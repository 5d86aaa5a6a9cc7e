//! The roles inside the cluster: take snapshots into the store, and serve them from it.

pub mod args;
pub mod backup;
mod history;
mod kept;
mod member;
mod place;
mod retention;
pub mod serve;
mod stale;
pub mod store;
