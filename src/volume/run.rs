//! One run of a restore or a rollback: what all its steps share.

use std::future::Future;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use super::inventory::Volume;
use super::plan::{self, Plan};
use super::state::{self, DiskNow};
use crate::aws::compute::Compute;
use crate::error::{Error, Result};

/// Shortest and longest pause between two looks at AWS, whose calls are counted for the account as a whole.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// Where the talk of a run goes.
pub trait Talk: Send + Sync {
    /// A step that begins or ends, or what is being waited for.
    fn say(&self, text: &str);
    /// Something that went on but should be known.
    fn warn(&self, text: &str);
}

/// How much of a run has been done, as far as it decides what to do after an interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing is changed.
    Checked,
    /// Snapshots and volumes are being made; the control plane runs as before.
    Staging,
    /// The control plane is being stopped, is stopped or is being started.
    Down,
    /// The control plane runs again.
    Up,
}

/// The stage of a run, to be read after the run was dropped.
#[derive(Debug, Default)]
pub struct Position(AtomicU8);

impl Position {
    /// The last stage that was reached.
    pub fn stage(&self) -> Stage {
        match self.0.load(Ordering::SeqCst) {
            0 => Stage::Checked,
            1 => Stage::Staging,
            2 => Stage::Down,
            _ => Stage::Up,
        }
    }

    fn reached(&self, stage: Stage) {
        self.0.fetch_max(stage as u8, Ordering::SeqCst);
    }

    /// Takes back that more than `stage` was reached: AWS refused the first step beyond.
    pub fn no_further_than(&self, stage: Stage) {
        self.0.fetch_min(stage as u8, Ordering::SeqCst);
    }
}

/// A restore or a rollback under way.
pub struct Run<'a> {
    pub compute: &'a Compute,
    pub plan: &'a Plan,
    pub talk: &'a dyn Talk,
    /// Longest time of each wait.
    pub timeout: Duration,
    /// Detach volumes by force whose instances are gone.
    pub force_detach: bool,
    pub position: &'a Position,
}

/// What a look at AWS showed.
pub enum Seen<T> {
    Done(T),
    /// What is still missing, in words.
    Waiting(String),
}

impl Run<'_> {
    /// The disks of the plan as they are now.
    ///
    /// # Errors
    /// As [`Compute::explain`].
    pub async fn look(&self) -> Result<Vec<DiskNow>> {
        Ok(state::of(self.plan, &self.volumes().await?))
    }

    /// All volumes of the cluster's etcds.
    ///
    /// # Errors
    /// As [`Compute::explain`].
    pub async fn volumes(&self) -> Result<Vec<Volume>> {
        let ids = self.plan.disks.iter().filter_map(|disk| disk.old.as_ref()).map(|old| old.id.clone());
        plan::volumes(self.compute, &self.plan.cluster, &ids.collect::<Vec<_>>()).await
    }

    /// Notes how far the run is.
    pub fn reached(&self, stage: Stage) {
        self.position.reached(stage);
    }

    /// Looks until `look` has seen the end; says what it waits for each time that this changes.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`](crate::error::ErrorKind::TimedOut) after [`Self::timeout`]; those of `look`.
    pub async fn until<T, F>(&self, look: impl Fn() -> F) -> Result<T>
    where
        F: Future<Output = Result<Seen<T>>>,
    {
        let (started, mut pause, mut said) = (Instant::now(), PAUSE.0, String::new());
        loop {
            let missing = match look().await? {
                Seen::Done(seen) => return Ok(seen),
                Seen::Waiting(missing) => missing,
            };
            if started.elapsed() + pause > self.timeout {
                let waited = self.timeout.as_secs();
                return Err(Error::timed_out(format!("after {waited} s still waiting: {missing}")));
            }
            if missing != said {
                self.talk.say(&format!("waiting: {missing}"));
                said = missing;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}
