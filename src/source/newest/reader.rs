//! Asking a store, believing only answers that are in order, and finding the versions in a directory.

use semver::Version;

use super::Lister;
use super::seen::{Seen, canonical, of_version};
use super::{PAGE, Page};
use crate::error::Error;
use crate::snapshot::History;

/// More versions than a cluster sees in its life: searching each would cost more than a listing.
const MOST_VERSIONS: usize = 64;

/// With more versions than this, whole pages are read: they are likely to be small.
const MANY_VERSIONS: usize = 8;

/// Requests after which a listing is the better way: something in the names defeats the search.
const MOST_REQUESTS: usize = 400;

/// Why a search cannot go on.
#[derive(Debug)]
pub enum Halt {
    Failed(Error),
    /// The order of the listing cannot be used; everything has to be read.
    Disorder(&'static str),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// An answer that is in order: keys without the prefix.
#[derive(Debug)]
pub struct Answer {
    pub names: Vec<String>,
    /// There is nothing after these.
    pub complete: bool,
}

impl Answer {
    /// The revisions of the names of `version` that are in order, ascending.
    pub fn revisions(&self, version: &str) -> impl Iterator<Item = u64> {
        self.names.iter().filter_map(move |name| canonical(name, version))
    }

    /// Whether names lie among those of `version` that are not in order.
    pub fn strays(&self, version: &str) -> bool {
        self.names.iter().any(|name| of_version(name, version) && canonical(name, version).is_none())
    }

    /// Whether the first name is such a one.
    pub fn starts_with_stray(&self, version: &str) -> bool {
        self.names.first().is_some_and(|name| of_version(name, version) && canonical(name, version).is_none())
    }
}

/// Asks and remembers.
pub struct Reader<'a, L> {
    lister: &'a L,
    directory: String,
    requests: usize,
    pub seen: Seen,
    /// What follows the last version, and after which name it was asked for.
    beyond: Option<(String, Answer)>,
}

impl<'a, L: Lister> Reader<'a, L> {
    /// Reads the `directory` of one history.
    pub fn new(lister: &'a L, directory: &str, history: History) -> Self {
        Self { lister, directory: directory.to_owned(), requests: 0, seen: Seen::new(history), beyond: None }
    }

    /// As [`ask`](Self::ask), without a request where the walk over the versions ended with the answer.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn ask_beyond(&mut self, after: &str, keys: u32) -> Result<Answer, Halt> {
        match self.beyond.take() {
            Some((from, answer))
                if from.as_str() <= after
                    && (answer.complete || answer.names.last().is_some_and(|last| last.as_str() > after)) =>
            {
                Ok(answer)
            }
            _ => self.ask(after, keys).await,
        }
    }

    /// The first names after a name, from the first one on if it is empty.
    ///
    /// # Errors
    /// [`Halt::Disorder`] for an answer that no ordered listing gives, and after very many requests.
    pub async fn ask(&mut self, after: &str, keys: u32) -> Result<Answer, Halt> {
        self.requests += 1;
        if self.requests > MOST_REQUESTS {
            return Err(Halt::Disorder("its names are in no order"));
        }
        let start = if after.is_empty() { String::new() } else { format!("{}{after}", self.directory) };
        let page = self.lister.page(&self.directory, &start, keys).await?;
        self.take(after, page)
    }

    /// Takes in what follows `after`.
    ///
    /// # Errors
    /// [`Halt::Disorder`] for an answer that no ordered listing gives.
    pub fn take(&mut self, after: &str, page: Page) -> Result<Answer, Halt> {
        let start = format!("{}{after}", self.directory);
        in_order(&self.directory, if after.is_empty() { "" } else { &start }, &page).map_err(Halt::Disorder)?;
        let mut names = Vec::new();
        for object in page.objects {
            let name = object.key.get(self.directory.len()..).unwrap_or_default().to_owned();
            self.seen.add(&name, object);
            names.push(name);
        }
        self.seen.cover(after, names.last().filter(|_| page.truncated).map(String::as_str));
        Ok(Answer { names, complete: !page.truncated })
    }

    /// The version texts of all names of the form `<version>_…`, greatest version first, in about one request each.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub async fn versions(&mut self, first: &Answer) -> Result<Vec<String>, Halt> {
        let (mut walk, mut from, mut asked) = (Walk::default(), String::new(), None);
        loop {
            let answer = asked.as_ref().unwrap_or(first);
            for name in &answer.names {
                walk.pass(name);
            }
            if walk.versions.len() > MOST_VERSIONS {
                return Err(Halt::Disorder("its names tell of very many etcd versions"));
            }
            if answer.complete || answer.names.last().is_some_and(|last| last.as_str() >= ":") {
                break;
            }
            let wide = walk.strays || walk.versions.len() > MANY_VERSIONS;
            from.clone_from(&walk.after);
            asked = Some(self.ask(&from, if wide { PAGE } else { 1 }).await?);
        }
        self.beyond = asked.map(|answer| (from, answer));
        let mut versions = walk.versions;
        versions.sort_by(|(a, _), (b, _)| b.cmp(a));
        Ok(versions.into_iter().map(|(_, text)| text).collect())
    }
}

/// A walk over a directory that steps over what begins alike.
struct Walk {
    /// Everything up to here was passed.
    after: String,
    versions: Vec<(Version, String)>,
    /// A name that could not be stepped over with others was met.
    strays: bool,
}

impl Default for Walk {
    fn default() -> Self {
        // the byte before '0': no snapshot sorts before it
        Self { after: "/".to_owned(), versions: Vec::new(), strays: false }
    }
}

impl Walk {
    fn pass(&mut self, name: &str) {
        if name <= self.after.as_str() {
            return;
        }
        if let Some(past) = past_directory(name) {
            self.after = past;
            return;
        }
        let Some((head, _)) = name.split_once('_') else {
            self.strays = true;
            self.after = name.to_owned();
            return;
        };
        if let Ok(version) = Version::parse(head)
            && self.versions.last().is_none_or(|(_, last)| last != head)
        {
            self.versions.push((version, head.to_owned()));
        }
        // 'g' is the byte after the hex digits, '`' the one after '_'
        let past_digits = format!("{head}_g");
        self.after = if name < past_digits.as_str() { past_digits } else { format!("{head}`") };
    }
}

/// Where a walk goes on after the directory that `name` lies in. '0' is the byte after '/'; a key of exactly this
/// text is passed over, and no snapshot's name ends in '0'.
pub fn past_directory(name: &str) -> Option<String> {
    name.split_once('/').map(|(directory, _)| format!("{directory}0"))
}

/// Whether a page is what an ordered store lists below `prefix` after the key `after`.
///
/// # Errors
/// Why not.
pub fn in_order(prefix: &str, after: &str, page: &Page) -> Result<(), &'static str> {
    let mut last = after;
    for (nth, key) in page.objects.iter().map(|object| object.key.as_str()).enumerate() {
        if !key.starts_with(prefix) {
            return Err("the store lists keys that were not asked for");
        }
        if key <= last && !(nth == 0 && after.is_empty()) {
            return Err(if nth == 0 { "the store does not heed start-after" } else { "the store lists in no order" });
        }
        last = key;
    }
    if page.truncated && page.objects.is_empty() {
        return Err("the store says that there are more keys and lists none");
    }
    Ok(())
}
