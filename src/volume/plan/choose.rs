//! Which cluster and which set of snapshots a restore is of.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::error::{Error, Result};
use crate::volume::set::Set;
use crate::volume::tags;

/// Sets shown to somebody who has to choose.
const SHOWN: usize = 10;

/// The set that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The newest that is complete.
    Latest,
    /// The newest complete one that began before.
    Before(Timestamp),
    /// This one, whatever it was taken for.
    Id(String),
}

/// The cluster that is meant: the one that was asked for, else the only one that there are snapshots of.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) when it has no snapshots, or there are several.
pub fn cluster(sets: &[Set], wanted: Option<&str>) -> Result<String> {
    let known: BTreeSet<&str> = sets.iter().map(|set| set.cluster.as_str()).collect();
    let names = || known.iter().copied().collect::<Vec<_>>().join(", ");
    match (wanted, known.len()) {
        (_, 0) => Err(Error::not_found("no set of snapshots of ours in this account and region")
            .hint("check --region and --account; kubectl etcdbackup volume snapshot takes a set")),
        (Some(wanted), _) if known.contains(wanted) => Ok(wanted.to_owned()),
        (Some(wanted), _) => Err(Error::not_found(format!("no set of snapshots of cluster {wanted:?}"))
            .hint(format!("there are sets of {}", names()))),
        (None, 1) => Ok(known.first().copied().unwrap_or_default().to_owned()),
        (None, _) => Err(Error::not_found("there are snapshots of more than one cluster")
            .hint(format!("choose with --cluster-name: {}", names()))),
    }
}

/// The set that is meant, and what should be known of the choice.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) when there is none;
/// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) when the one that was named is not complete.
pub fn set<'a>(sets: &'a [Set], cluster: &str, which: &Which) -> Result<(&'a Set, Vec<String>)> {
    let mut of_cluster: Vec<&Set> = sets.iter().filter(|set| set.cluster == cluster).collect();
    of_cluster.sort_by_key(|set| std::cmp::Reverse(set.started()));
    if let Which::Id(id) = which {
        let named = of_cluster.iter().find(|set| set.id == *id);
        let set = named.ok_or_else(|| none(&format!("there is no set {id:?} of cluster {cluster}"), &of_cluster))?;
        return if set.is_complete() { Ok((set, Vec::new())) } else { Err(incomplete(set, &of_cluster)) };
    }
    let early = |set: &Set| match which {
        Which::Before(time) => set.started().is_some_and(|started| started < *time),
        _ => true,
    };
    let mut passed = Vec::new();
    for set in of_cluster.iter().filter(|set| !is_safety(set) && early(set)) {
        if set.is_complete() {
            return Ok((set, passed));
        }
        passed.push(format!("the set {} is newer and not complete: {}", set.id, lacking(set)));
    }
    Err(none(&format!("no complete set of cluster {cluster}"), &of_cluster))
}

/// Whether a restore or its rollback took it: the state that somebody wanted to leave.
fn is_safety(set: &Set) -> bool {
    let reason = |reason: &String| tags::SAFETY.contains(&reason.as_str());
    set.snapshots.values().filter_map(|snapshot| snapshot.tags.get(tags::REASON)).any(reason)
}

fn none(message: &str, sets: &[&Set]) -> Error {
    let complete: Vec<&str> =
        sets.iter().filter(|set| set.is_complete()).take(SHOWN).map(|set| set.id.as_str()).collect();
    match complete.is_empty() {
        true => Error::not_found(message).hint("kubectl etcdbackup volume list shows what each set lacks"),
        false => Error::not_found(message).hint(format!("complete sets, for --set: {}", complete.join(", "))),
    }
}

fn incomplete(set: &Set, sets: &[&Set]) -> Error {
    let error = none(&format!("the set {} is not complete: {}", set.id, lacking(set)), sets);
    let whole = "etcd comes back only as a whole: each member's identity is in its own volume";
    let refused = Error::unproved(error.message());
    error.hints().iter().fold(refused.hint(whole), |refused, hint| refused.hint(hint))
}

fn lacking(set: &Set) -> String {
    use crate::volume::inventory::State;
    let missing = set.missing.iter().map(|disk| format!("no snapshot of {disk}"));
    let unfinished = set.snapshots.iter().filter_map(|(disk, snapshot)| match &snapshot.state {
        State::Completed => None,
        State::Pending => Some(format!("{} of {disk} is pending, {}", snapshot.id, snapshot.progress)),
        State::Failed(reason) => Some(format!("{} of {disk} failed: {reason}", snapshot.id)),
        State::Other(state) => Some(format!("{} of {disk} is {state}", snapshot.id)),
    });
    missing.chain(unfinished).collect::<Vec<_>>().join("; ")
}
