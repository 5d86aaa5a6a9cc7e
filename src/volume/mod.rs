//! EBS: what etcd's volumes are, sets of their snapshots, and the way back.
//!
//! | part | what is in it |
//! |---|---|
//! | [`tags`], [`inventory`], [`set`], [`flags`] | the terms: disks, volumes, snapshots, whole sets |
//! | [`plan`] | what a restore will do: pure, in a file |
//! | [`state`] | how far a restore is, from the tags of the volumes: pure |
//! | [`selection`], [`machines`], [`take`], [`completion`] | which volumes, and a set of snapshots of them |
//! | [`retention`], [`expiry`], [`adopt`] | which sets go, and why |
//! | [`restore`], [`rollback`], [`cleanup`] | the three ways to go |
//! | [`changed`], [`permissions`], [`safety`], [`stage`], [`control_plane`], [`swap`], [`retag`] | their steps |

pub mod adopt;
pub mod changed;
pub mod cleanup;
pub mod completion;
pub mod control_plane;
pub mod expiry;
pub mod flags;
pub mod inventory;
pub mod machines;
pub mod marks;
pub mod permissions;
pub mod plan;
pub mod policy;
pub mod restore;
pub mod retag;
pub mod retention;
pub mod rollback;
pub mod run;
pub mod safety;
pub mod scaling;
pub mod selection;
pub mod set;
pub mod stage;
pub mod state;
pub mod swap;
pub mod tags;
pub mod take;
