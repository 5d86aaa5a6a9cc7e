//! Which histories of a cluster hold a snapshot.

use std::collections::BTreeSet;

use super::reader::{Halt, past_directory};
use super::search::Search;
use super::{Lister, PAGE};
use crate::snapshot::History;
use crate::snapshot::layout::{Entry, classify};

/// The directory of the later histories.
const LATER: &str = "history/";

/// More histories than a cluster has in its life: a request each would cost more than a listing.
const MOST: usize = 64;

/// The histories that hold at least one snapshot, oldest first, in about one request each; `search` is that in the
/// cluster's directory.
///
/// # Errors
/// As [`Reader::ask`](super::reader::Reader::ask); [`Halt::Disorder`] for too many histories.
pub async fn histories<L: Lister>(search: &mut Search<'_, L>) -> Result<BTreeSet<History>, Halt> {
    let mut found = BTreeSet::new();
    // the byte before '0': no snapshot sorts before it
    let (mut after, mut keys) = ("/".to_owned(), 1);
    let mut asked = None;
    loop {
        let answer = asked.as_ref().unwrap_or(&search.first);
        for name in &answer.names {
            if *name <= after {
                continue;
            }
            if !name.starts_with(LATER) && name.as_str() > LATER {
                return Ok(found);
            }
            match classify(name) {
                Entry::Snapshot(history, _) => {
                    (after, keys) = (past_history(&history), 1);
                    found.insert(history);
                }
                _ => (after, keys) = past(name),
            }
        }
        if answer.complete {
            return Ok(found);
        }
        if found.len() > MOST {
            return Err(Halt::Disorder("there are very many histories"));
        }
        asked = Some(search.reader.ask_beyond(&after, keys).await?);
    }
}

/// Where the next history begins.
fn past_history(history: &History) -> String {
    match history {
        History::First => LATER.to_owned(),
        History::Later(name) => format!("{LATER}{name}0"),
    }
}

/// Where to go on after a name that is no snapshot, and with how many keys.
fn past(name: &str) -> (String, u32) {
    let Some(rest) = name.strip_prefix(LATER) else { return past_within("", name, LATER.to_owned()) };
    let Some((history, rest)) = rest.split_once('/') else { return (name.to_owned(), PAGE) };
    let directory = format!("{LATER}{history}/");
    let end = past_history(&History::Later(history.to_owned()));
    // in a history of ours a plain name would be taken for a foreign one
    if classify(&format!("{directory}x")) == Entry::Foreign { past_within(&directory, rest, end) } else { (end, 1) }
}

/// The same within the directory of a history, which ends at `end`.
fn past_within(directory: &str, rest: &str, end: String) -> (String, u32) {
    // no snapshot sorts before '0' or after ':'
    if rest > ":" {
        return (end, 1);
    }
    if rest < "/" {
        return (format!("{directory}/"), 1);
    }
    match past_directory(rest) {
        Some(past) => (format!("{directory}{past}"), 1),
        None => (format!("{directory}{rest}"), PAGE),
    }
}
