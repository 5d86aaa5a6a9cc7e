//! The API server: a session from kubectl's flags, create and apply, waits, and kubectl's words for errors.

mod apply;
mod error;
pub mod flags;
pub mod forward;
pub mod patience;
pub mod reader;
mod session;
pub mod volume;

pub use apply::{Applied, DryRun, Force, apply, create};
pub use error::explain;
pub use flags::KubeFlags;
pub use session::{Session, kubeconfig, namespace};

/// The field manager of everything this program applies.
pub const FIELD_MANAGER: &str = "kubectl-etcdbackup";
