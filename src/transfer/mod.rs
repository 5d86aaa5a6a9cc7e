//! Moving snapshots: downloads that are proved before they get their name, uploads that are completed
//! only when they are proved.

pub mod download;
pub mod upload;
