//! The search in one history: where to ask, until nothing greater can be unread.

use super::climb::Climb;
use super::reader::{Answer, Halt, Reader};
use super::seen::Goal;
use super::{Lister, PAGE};
use crate::aws::s3::Page;
use crate::snapshot::History;
use crate::source::StoredSnapshot;

/// How often a search within one version is taken up again after it met a name that is not in order.
const RETRIES: u32 = 4;

/// A search in the directory of one history.
pub struct Search<'a, L> {
    pub reader: Reader<'a, L>,
    /// What the directory begins with.
    pub first: Answer,
    /// Pages of it.
    pages: usize,
    /// Greatest version first.
    versions: Option<Vec<String>>,
}

impl<'a, L: Lister> Search<'a, L> {
    /// A search in the history `first` of the cluster's `directory`, whose first page is there already.
    ///
    /// # Errors
    /// [`Halt::Disorder`] for a page that no ordered listing gives.
    pub fn begun(lister: &'a L, directory: &str, first: Page) -> Result<Self, Halt> {
        let mut reader = Reader::new(lister, directory, History::First);
        let first = reader.take("", first)?;
        Ok(Self { reader, first, pages: 1, versions: None })
    }

    /// A search in a history of the cluster's `directory`.
    ///
    /// # Errors
    /// As [`Reader::ask`].
    pub async fn new(lister: &'a L, directory: &str, history: &History) -> Result<Self, Halt> {
        let mut reader = Reader::new(lister, &history.directory(directory), history.clone());
        let first = reader.ask("", PAGE).await?;
        Ok(Self { reader, first, pages: 1, versions: None })
    }

    /// Reads on until so many pages are there, or all that can hold snapshots.
    ///
    /// # Errors
    /// As [`Reader::ask`].
    pub async fn turn_pages(&mut self, most: usize) -> Result<(), Halt> {
        while self.pages < most && !self.first.complete {
            // no snapshot sorts behind ':'
            let Some(last) = self.first.names.last().filter(|last| last.as_str() < ":") else { break };
            let next = self.reader.ask(last, PAGE).await?;
            self.first.names.extend(next.names);
            (self.first.complete, self.pages) = (next.complete, self.pages + 1);
        }
        Ok(())
    }

    /// How many versions of etcd the names tell of.
    ///
    /// # Errors
    /// As [`Reader::versions`].
    pub async fn count_versions(&mut self) -> Result<usize, Halt> {
        let versions = match self.versions.take() {
            Some(versions) => versions,
            None => self.reader.versions(&self.first).await?,
        };
        Ok(self.versions.insert(versions).len())
    }

    /// Finds the snapshot with the greatest revision that the goal allows; of equal ones that of the greatest version.
    /// A goal with a limit may only follow one without.
    ///
    /// # Errors
    /// As [`Reader::ask`].
    pub async fn best(&mut self, goal: &Goal<'_>) -> Result<Option<StoredSnapshot>, Halt> {
        self.count_versions().await?;
        let versions = self.versions.take().unwrap_or_default();
        let mut first = true;
        for version in versions.iter().filter(|version| goal.takes_version(version)) {
            self.settle(version, goal, first).await?;
            first = false;
        }
        self.versions = Some(versions);
        Ok(self.reader.seen.best(goal).cloned())
    }

    /// The keys directly in the directory that are no snapshots, as far as they were met.
    pub fn foreign(self) -> Vec<String> {
        self.reader.seen.foreign
    }

    /// Reads until no snapshot of a version between the greatest seen and the goal's limit can be unseen. The first
    /// version has its end looked for before anything else; for the others the first question is whether they have
    /// anything to offer at all.
    async fn settle(&mut self, version: &str, goal: &Goal<'_>, first: bool) -> Result<(), Halt> {
        let (mut retries, mut wide) = (RETRIES, first);
        while let Some(after) = self.reader.seen.gap(version, goal, first) {
            let floor = self.reader.seen.best(goal).map(|best| best.name.revision());
            let answer = self.reader.ask(&after, if wide { PAGE } else { 1 }).await?;
            // one key at a time is for clean ground only
            wide = retries == 0 || answer.strays(version);
            let hits = answer.revisions(version).filter(|hit| *hit < goal.below);
            let hits: Vec<u64> = hits.filter(|hit| floor.is_none_or(|floor| *hit > floor)).collect();
            let (Some(from), Some(to)) = (hits.first(), hits.last()) else { continue };
            let span = (hits.len() > 1).then(|| to - from);
            if retries > 0 && !self.climb(version, Climb::new(*to, goal.below, span)).await? {
                (retries, wide) = (retries - 1, true);
            }
        }
        Ok(())
    }

    /// Goes from a revision of a version to its last; false when names that are not in order stopped it.
    async fn climb(&mut self, version: &str, mut climb: Climb) -> Result<bool, Halt> {
        let mut wide = false;
        while self.reader.seen.tail_gap(version, climb.low()).is_some() {
            let ask = climb.ask();
            let keys = if wide { PAGE } else { ask.keys };
            let answer = self.reader.ask(&format!("{version}_{}", ask.after), keys).await?;
            let below = climb.limit();
            match answer.revisions(version).filter(|hit| *hit > climb.low() && *hit < below).last() {
                Some(hit) => climb.hit(&ask, hit),
                // names in the way: behind them there may be some that help
                None if answer.starts_with_stray(version) && !wide => {
                    wide = true;
                    continue;
                }
                None if answer.starts_with_stray(version) => return Ok(false),
                None if ask.at.is_none() => return Ok(true),
                None => climb.miss(&ask),
            }
            wide = false;
        }
        Ok(true)
    }
}
