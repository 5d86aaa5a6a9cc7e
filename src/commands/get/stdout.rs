//! What goes to stdout cannot be taken back, so the database in it is looked at before.

use tokio_util::sync::CancellationToken;

use crate::cli::Ui;
use crate::error::{Error, ErrorKind, Result};
use crate::snapshot::truth;
use crate::source::look::Look;
use crate::source::origin::Origin;

/// Looks whether the database is at least of the revision that is `named`; says so where that cannot be told.
///
/// # Errors
/// [`ErrorKind::Unproved`] when it is not, or is no database; [`ErrorKind::Interrupted`] once `stop` is cancelled.
pub(super) async fn look(origin: &Origin, named: Option<u64>, stop: &CancellationToken, ui: &Ui) -> Result<()> {
    let looked = match origin {
        Origin::Ranged { size, ranges, .. } => {
            let look = Look::new(ranges.clone(), *size);
            let looking = tokio::task::spawn_blocking(move || truth::revision_of(&look, named));
            tokio::select! {
                looked = looking => looked.unwrap_or_else(|error| Err(Error::general(error.to_string()))),
                () = stop.cancelled() => return Err(Error::interrupted("interrupted")),
            }
        }
        Origin::Streamed { .. } => Err(Error::general("the source gives no ranges")),
    };
    match looked {
        Err(error) if error.kind() != ErrorKind::Unproved => {
            ui.say(format!("whether the database is of the revision in its name is not known: {}", error.message()));
            Ok(())
        }
        looked => looked,
    }
}
