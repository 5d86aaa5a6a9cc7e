//! The helpers of a command: none of them outlives it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::cli::Ui;
use crate::kubernetes::Session;
use crate::kubernetes::reader::Helper;

/// Every helper that was asked for and not ended yet. A future that is dropped by Ctrl-C cannot wait for the API server,
/// so whoever runs the command ends them.
#[derive(Clone, Default)]
pub(in crate::commands) struct Helpers(Arc<Mutex<Vec<(Session, Helper)>>>);

impl Helpers {
    /// Remembers a helper, before it is asked for.
    pub(super) fn add(&self, session: &Session, helper: &Helper) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((session.clone(), helper.clone()));
    }

    /// Forgets a helper that was never made.
    pub(super) fn forget(&self, helper: &Helper) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(_, known)| known.name != helper.name);
    }

    /// Ends all of them. Where that fails, they end by themselves.
    pub async fn end(&self, ui: &Ui) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (session, helper) in all {
            if let Err(error) = helper.end(&session).await {
                let name = &helper.name;
                ui.warn(format!("job {name} was not deleted and ends by itself after a minute: {}", error.message()));
            }
        }
    }
}
