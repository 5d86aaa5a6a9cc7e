//! `cassandra backup --wait`: follows one object to what the operator says of it.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::DynamicObject;
use tokio::time::Instant;

use crate::cassandra::served::Served;
use crate::cassandra::standing::{Standing, standing};
use crate::cli::Ui;
use crate::cli::output;
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::Session;

/// Between two looks. A look is a GET: whoever may create need not be allowed to watch.
const POLL: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(10);

/// Waits until the operator says that the backup is done; returns the object and the operator's word.
///
/// # Errors
/// [`ErrorKind::BackupFailed`] in the operator's words, [`ErrorKind::TimedOut`], [`ErrorKind::NotFound`] when the
/// object was deleted or replaced.
pub(super) async fn outcome(
    session: &Session,
    served: &Served,
    made: &DynamicObject,
    timeout: Duration,
    ui: &Ui,
) -> Result<(DynamicObject, String)> {
    ui.say("Waiting for the operator; the backup continues in the cluster if you press Ctrl-C.");
    let (api, name) = (served.backup.api(session), made.name_any());
    let shown = served.backup.shown(&name);
    let (started, mut last_line) = (Instant::now(), Instant::now());
    let mut said = None;
    loop {
        let look = session.request(TIMEOUT, api.get(&name)).await;
        let unanswered = look.as_ref().err().map(|error| error.message().to_owned());
        match look {
            Ok(found) if found.uid() != made.uid() => {
                return Err(Error::not_found(format!("{shown} was replaced by another one")));
            }
            Ok(found) => match standing(served.generation, &output::to_value(&found)?) {
                Standing::Done(word) => return Ok((found, word)),
                Standing::Failed(why) => return Err(failed(session, &shown, &why)),
                Standing::Running(now) if now != said => {
                    now.iter().for_each(|text| ui.say(text));
                    said = now;
                }
                Standing::Running(_) => {}
            },
            // the API server may be away for a moment; the backup goes on without it
            Err(error) if matches!(error.kind(), ErrorKind::General | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        if started.elapsed() >= timeout {
            return Err(timed_out(&shown, said, unanswered));
        }
        if last_line.elapsed() >= LINE_EVERY {
            last_line = Instant::now();
            ui.say(format!("still waiting after {} s", started.elapsed().as_secs()));
        }
        tokio::time::sleep(POLL).await;
    }
}

fn failed(session: &Session, shown: &str, why: &str) -> Error {
    Error::backup_failed(format!("{shown} failed: {why}")).hint(format!(
        "kubectl get {shown} -n {} -o yaml, and the logs of the operator and the sidecars",
        session.namespace
    ))
}

/// `last` is what the operator said, `unanswered` why the last look gave nothing.
fn timed_out(shown: &str, last: Option<String>, unanswered: Option<String>) -> Error {
    let error = Error::timed_out(format!("timed out waiting for {shown}"));
    let error = match (unanswered, last) {
        (Some(why), _) => error.hint(format!("the API server was not reached: {why}")),
        (None, Some(last)) => error.hint(format!("last seen: {last}")),
        (None, None) => error.hint("no operator has taken it up: does one run, and watch this namespace?"),
    };
    error.hint("the backup may still complete; raise --timeout to wait longer")
}
