//! Waits until the snapshots of a set are completed.

use std::time::{Duration, Instant};

use super::inventory::{Snapshot, State};
use super::take::{Made, Tell, of_set};
use crate::aws::compute::Compute;
use crate::error::{Error, ErrorKind, Result};

/// The first pause between two looks; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// As EC2's own waiters look.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Looks until what was made should be listed; EC2 shows new things late.
const LOOKS: u32 = 5;

/// What EC2 says of `made`, as far as it lists it by now.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn listed(compute: &Compute, set: &str, made: &[Made]) -> Result<Vec<Snapshot>> {
    let mut found = Vec::new();
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(FIRST_PAUSE).await;
        }
        found = of_set(compute, set).await?;
        if made.iter().all(|made| found.iter().any(|snapshot| snapshot.id == made.id)) {
            break;
        }
    }
    Ok(found)
}

/// Waits until all of `made` is completed, and returns what EC2 says of the set then.
///
/// # Errors
/// [`ErrorKind::BackupFailed`] with EC2's reason when one fails, [`ErrorKind::TimedOut`], [`ErrorKind::Denied`].
pub async fn wait(
    compute: &Compute,
    set: &str,
    made: &[Made],
    timeout: Duration,
    tell: Tell<'_>,
) -> Result<Vec<Snapshot>> {
    let (started, mut pause, mut said) = (Instant::now(), FIRST_PAUSE, String::new());
    loop {
        let standing = match of_set(compute, set).await {
            Ok(found) => {
                let standing = standing(made, &found)?;
                if standing.is_none() {
                    return Ok(found);
                }
                standing.unwrap_or_default()
            }
            // EC2 may be away for a moment; the snapshots go on without being looked at
            Err(error) if error.kind() == ErrorKind::General => format!("not seen: {}", error.message()),
            Err(error) => return Err(error),
        };
        if standing != said {
            tell(format!("{standing}, after {} s", started.elapsed().as_secs()));
            said.clone_from(&standing);
        }
        let left = timeout.saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(Error::timed_out(format!("timed out waiting for the snapshots of set {set}: {standing}"))
                .hint("they go on; look with: kubectl etcdbackup volume list"));
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// How far the set is; `None` when it is completed.
fn standing(made: &[Made], found: &[Snapshot]) -> Result<Option<String>> {
    let (mut completed, mut rest) = (0, Vec::new());
    for made in made {
        let snapshot = found.iter().find(|snapshot| snapshot.id == made.id);
        match snapshot.map(|snapshot| (&snapshot.state, snapshot.progress.as_str())) {
            Some((State::Completed, _)) => completed += 1,
            Some((State::Failed(why), _)) => return Err(failed(made, why)),
            Some((State::Other(state), _)) => return Err(failed(made, &format!("it is {state}"))),
            Some((State::Pending, progress)) if !progress.is_empty() => rest.push(format!("{} {progress}", made.disk)),
            Some((State::Pending, _)) | None => rest.push(made.disk.to_string()),
        }
    }
    Ok((completed < made.len())
        .then(|| format!("{completed} of {} snapshots completed, waiting for {}", made.len(), rest.join(", "))))
}

fn failed(made: &Made, why: &str) -> Error {
    let why = if why.is_empty() { "EC2 gives no reason" } else { why };
    Error::backup_failed(format!("snapshot {} of {} failed: {why}", made.id, made.disk))
        .hint("run it again for a new set; kubectl etcdbackup volume list shows what there is")
}
