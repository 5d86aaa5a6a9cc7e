//! What `restore` and `rollback` have in common: the question before, the talk with times, and how to go on after.

use std::future::Future;
use std::io::IsTerminal;

use jiff::Timestamp;

use crate::cli::Ui;
use crate::error::{Error, Result};
use crate::signals;
use crate::volume::plan::Plan;
use crate::volume::run::{Position, Stage, Talk};
use crate::volume::state::DiskNow;

/// Talk with the time of day in UTC, as AWS's own logs have it.
pub(super) struct Timed<'a>(pub &'a Ui);

impl Talk for Timed<'_> {
    fn say(&self, text: &str) {
        self.0.say(format!("{} {text}", Timestamp::now().strftime("%H:%M:%SZ")));
    }

    fn warn(&self, text: &str) {
        self.0.warn(text);
    }
}

/// Refuses to begin without `--yes` where nobody can be asked.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage).
pub(super) fn refuse_unasked(verb: &str, yes: bool) -> Result<()> {
    match yes || std::io::stdin().is_terminal() {
        true => Ok(()),
        false => Err(Error::usage(format!("{verb} stops a control plane and asks first, and there is no terminal"))
            .hint("add --yes")),
    }
}

/// Has the name of the cluster typed.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) for another name;
/// [`ErrorKind::Interrupted`](crate::error::ErrorKind::Interrupted).
pub(super) async fn confirm(plan: &Plan, what: &str) -> Result<()> {
    let (account, region) = (&plan.account, &plan.region);
    let prompt = format!("{what} Account {account}, region {region}. Type the name of the cluster to go on");
    let ask = move || dialoguer::Input::<String>::new().with_prompt(prompt).allow_empty(true).interact_text();
    match tokio::task::spawn_blocking(ask).await {
        Ok(Ok(name)) if name.trim() == plan.cluster => Ok(()),
        Ok(Ok(_)) => Err(Error::general(format!("that is not {}; nothing was changed", plan.cluster))),
        _ => Err(Error::interrupted("interrupted; nothing was changed")),
    }
}

/// Runs `work` to its end, or until somebody asks this process to end.
///
/// # Errors
/// Those of `work`, and [`ErrorKind::Interrupted`](crate::error::ErrorKind::Interrupted), with how to go on.
pub(super) async fn to_the_end<T>(
    work: impl Future<Output = Result<T>>,
    position: &Position,
    back: Option<String>,
) -> Result<T> {
    let done = tokio::select! {
        done = work => done,
        () = signals::asked_to_end() => Err(Error::interrupted("interrupted")),
    };
    done.map_err(|error| way_on(error, position.stage(), back))
}

/// Adds how to go on, and with `back` the command that goes back.
fn way_on(error: Error, stage: Stage, back: Option<String>) -> Error {
    let (again, or_back) =
        ("run the same command again: it goes on from here", back.map(|back| format!("{back} goes back instead")));
    let hints = match stage {
        Stage::Checked => return error.hint("nothing was changed"),
        Stage::Staging => [Some("the control plane runs as before".to_owned()), Some(again.to_owned()), or_back],
        Stage::Down => [Some("the control plane is down".to_owned()), Some(again.to_owned()), or_back],
        Stage::Up => [Some("the control plane is up".to_owned()), Some(again.to_owned()), None],
    };
    hints.into_iter().flatten().fold(error, |error, hint| error.hint(hint))
}

/// One line for each disk that has a volume in use.
///
/// # Errors
/// As [`Ui::data`].
pub(super) fn print(disks: &[DiskNow], ui: &Ui) -> Result<()> {
    for disk in disks {
        let volumes = disk.old.iter().chain(&disk.new);
        for volume in volumes.filter(|volume| crate::volume::state::is_live(volume, &disk.disk)) {
            ui.data(format!("volume/{} is {}", volume.id, disk.disk))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_interrupted_learns_whether_the_control_plane_is_down_and_both_ways_to_go() {
        let hints = |stage| way_on(Error::interrupted("interrupted"), stage, Some("roll".to_owned())).hints().to_vec();
        assert_eq!(hints(Stage::Checked), ["nothing was changed"]);
        let again = "run the same command again: it goes on from here";
        assert_eq!(hints(Stage::Staging), ["the control plane runs as before", again, "roll goes back instead"]);
        assert_eq!(hints(Stage::Down), ["the control plane is down", again, "roll goes back instead"]);
        assert_eq!(hints(Stage::Up), ["the control plane is up", again]);
    }
}
