//! The etcd gRPC calls that a backup needs, and the choice of the member that answers them.
//!
//! | file | subject |
//! |---|---|
//! | `endpoint` | client URLs: what is one, and in which form |
//! | `access` | what a connection needs besides the URL: TLS files, user name, time limits |
//! | `connection` | one TCP (and TLS) connection that is never opened a second time |
//! | `messages` | the protobuf messages and the paths of the calls |
//! | `member` | the calls, as methods of the member at the other end |
//! | `stream` | the snapshot as it arrives |
//! | `choice` | which of the members that answered is backed up (pure) |
//! | `survey` | asks all members, then lets `choice` decide |
//! | `failure` | what went wrong, in words and with a hint |
//!
//! Revision, snapshot and hash of one run belong to one member. A [`Member`] therefore is one
//! connection: if it breaks, every later call fails, and an answer that carries another member's id
//! (a balancer that spreads requests) is an error too.

mod access;
mod choice;
mod connection;
mod endpoint;
mod failure;
mod member;
mod messages;
mod stream;
mod survey;

pub use access::{Access, Tls, UserPassword};
pub use choice::{Answer, Unusable, choose};
pub use endpoint::Endpoint;
pub use member::{HashKv, Member, MemberInfo, Status};
pub use stream::Snapshot;
pub use survey::{Chosen, Outcome, Survey, survey};
