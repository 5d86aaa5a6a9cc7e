//! Follows one object to its outcome, for `--wait`.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{Api, DynamicObject};
use tokio::time::Instant;

use crate::cli::Ui;
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::Session;

/// Between two looks. A look is a GET: whoever may create need not be allowed to watch.
const POLL: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_secs(10);

/// What a look at the object gave; one that has failed is an error.
pub(super) enum Look<T> {
    /// Not at its end, with what its operator says of that.
    Running(Option<String>),
    Done(T),
}

/// An object to follow: exactly the one that was made, not a later one of its name.
pub(super) struct Followed<'a> {
    pub session: &'a Session,
    pub api: &'a Api<DynamicObject>,
    pub made: &'a DynamicObject,
    /// As it is called in errors.
    pub shown: String,
    /// What to look at when no operator ever says anything.
    pub idle: &'a str,
}

impl Followed<'_> {
    /// Looks once a second until `judge` tells the outcome.
    ///
    /// # Errors
    /// Those of `judge`; [`ErrorKind::TimedOut`] after `timeout`; [`ErrorKind::NotFound`] when the object was deleted
    /// or replaced; the API server's, but for those that may pass.
    pub async fn outcome<T>(
        &self,
        timeout: Duration,
        judge: impl Fn(DynamicObject) -> Result<Look<T>>,
        ui: &Ui,
    ) -> Result<T> {
        let (started, mut last_line, mut said) = (Instant::now(), Instant::now(), None);
        let name = self.made.name_any();
        loop {
            let look = self.session.request(LOOK, self.api.get(&name)).await;
            let unanswered = look.as_ref().err().map(|error| error.message().to_owned());
            match look {
                Ok(found) if found.uid() != self.made.uid() => {
                    return Err(Error::not_found(format!("{} was replaced by another one", self.shown)));
                }
                Ok(found) => match judge(found)? {
                    Look::Done(outcome) => return Ok(outcome),
                    Look::Running(now) if now != said => {
                        now.iter().for_each(|text| ui.say(text));
                        said = now;
                    }
                    Look::Running(_) => {}
                },
                // the API server may be away for a moment; the backup goes on without it
                Err(error) if matches!(error.kind(), ErrorKind::General | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
            if started.elapsed() >= timeout {
                return Err(self.timed_out(said, unanswered));
            }
            if last_line.elapsed() >= LINE_EVERY {
                last_line = Instant::now();
                ui.say(format!("still waiting after {} s", started.elapsed().as_secs()));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// `last` is what the operator said, `unanswered` why the last look gave nothing.
    fn timed_out(&self, last: Option<String>, unanswered: Option<String>) -> Error {
        let error = Error::timed_out(format!("timed out waiting for the condition on {}", self.shown));
        let error = match (unanswered, last) {
            (Some(why), _) => error.hint(format!("the API server was not reached: {why}")),
            (None, Some(last)) => error.hint(format!("last seen: {last}")),
            (None, None) => error.hint(format!("no operator has taken it up: {}", self.idle)),
        };
        error.hint("the backup may still complete; raise --timeout to wait longer")
    }
}
