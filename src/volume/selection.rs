//! Which volumes to snapshot: of a cluster of kops, by a tag, by id, or those at an instance.

mod instance;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::inventory::{self, Volume, filter};
use super::machines::{self, Machine};
use super::tags::{self, Disk};
use crate::aws::compute::Compute;
use crate::error::{Error, Result};

/// What was asked for. What is left empty restricts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    pub cluster: Option<String>,
    pub etcds: Vec<String>,
    pub members: Vec<String>,
    /// Tags that the volumes must have all of; without a value, any.
    pub tags: Vec<(String, Option<String>)>,
    /// Ids.
    pub volumes: Vec<String>,
    /// The `Name` of running instances.
    pub instance: Option<String>,
}

/// A volume to snapshot, and whose disk it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub disk: Disk,
    /// All members of that etcd.
    pub members: Vec<String>,
    pub volume: Volume,
}

/// The volumes of one set, one a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    pub cluster: String,
    pub volumes: Vec<Wanted>,
    /// What should be known, as sentences.
    pub warnings: Vec<String>,
}

impl Chosen {
    /// The etcds of the set.
    pub fn etcds(&self) -> BTreeSet<&str> {
        self.volumes.iter().map(|wanted| wanted.disk.etcd.as_str()).collect()
    }
}

impl Selection {
    /// Whether a disk is of the cluster, the etcds and the members that were asked for.
    pub fn wants(&self, disk: &Disk) -> bool {
        let any = |list: &[String], name: &String| list.is_empty() || list.contains(name);
        self.cluster.as_ref().is_none_or(|cluster| *cluster == disk.cluster)
            && any(&self.etcds, &disk.etcd)
            && any(&self.members, &disk.member)
    }

    /// Whether a person said which volumes, so that they need no tags of kops.
    fn is_explicit(&self) -> bool {
        !self.volumes.is_empty() || !self.tags.is_empty()
    }
}

/// Asks EC2 for the volumes that are meant.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) where none is meant, or it cannot be told which; as
/// [`Compute::explain`].
pub async fn find(compute: &Compute, selection: &Selection) -> Result<Chosen> {
    let mut machines = Vec::new();
    let filters = match &selection.instance {
        Some(name) => {
            machines = machines::machines(compute, vec![filter("tag:Name", [name])]).await?;
            let volumes = instance::volumes(name, &machines)?;
            vec![filter("volume-id", volumes)]
        }
        None if selection.is_explicit() => {
            let tag = |(key, value): &(String, Option<String>)| match value {
                Some(value) => filter(format!("tag:{key}"), [value]),
                None => filter("tag-key", [key]),
            };
            let ids = (!selection.volumes.is_empty()).then(|| filter("volume-id", &selection.volumes));
            selection.tags.iter().map(tag).chain(ids).collect()
        }
        None => vec![filter("tag-key", [format!("{}*", tags::KOPS_ETCD)])],
    };
    choose(selection, inventory::volumes(compute, filters).await?, &machines)
}

/// The volumes of one set out of what EC2 knows.
///
/// # Errors
/// As [`find`].
pub fn choose(selection: &Selection, mut found: Vec<Volume>, machines: &[Machine]) -> Result<Chosen> {
    if let Some(lost) = selection.volumes.iter().find(|id| !found.iter().any(|volume| volume.id == **id)) {
        let message = format!("there is no volume {lost:?} with what else was asked for");
        return Err(Error::not_found(message).hint("check --region and --account"));
    }
    found.retain(|volume| matches!(volume.state.as_str(), "in-use" | "available"));
    let known = match &selection.instance {
        Some(name) => instance::known(name, &selection.etcds, found, machines)?,
        None => known(selection, found)?,
    };
    let (wanted, others): (Vec<_>, Vec<_>) = known.into_iter().partition(|one| selection.wants(&one.disk));
    if wanted.is_empty() {
        return Err(nothing(selection, &others));
    }
    if let Some(other) = others.iter().find(|_| !selection.volumes.is_empty()) {
        let (id, disk) = (&other.volume.id, &other.disk);
        return Err(Error::not_found(format!("{id} is {disk}, which is not what else was asked for")));
    }
    let cluster = one_cluster(&wanted)?;
    let (volumes, warnings) = one_of_each(wanted)?;
    let chosen = Chosen { cluster, volumes, warnings };
    whole(selection, &chosen)?;
    Ok(chosen)
}

/// Whose disks the volumes are: as kops says, else as a person who named them says.
fn known(selection: &Selection, found: Vec<Volume>) -> Result<Vec<Wanted>> {
    let alone = found.len() == 1;
    let named = |volume: &Volume| -> Result<(Disk, Vec<String>)> {
        let cluster = selection.cluster.clone().or_else(|| volume.tags.get(tags::KOPS_CLUSTER).cloned());
        let [etcd] = &selection.etcds[..] else {
            return Err(unknown(volume, "of which etcd it is", "--etcd main"));
        };
        let cluster = cluster.ok_or_else(|| unknown(volume, "of which cluster it is", "--cluster-name NAME"))?;
        let only = || selection.members.first().filter(|_| alone && selection.members.len() == 1).cloned();
        let member = only().or_else(|| volume.tags.get(tags::NAME).cloned()).filter(|name| !name.is_empty());
        let member = member.ok_or_else(|| unknown(volume, "of which member it is", "--member NAME"))?;
        Ok((Disk { cluster, etcd: etcd.clone(), member }, Vec::new()))
    };
    let mut wanted = Vec::new();
    for volume in found {
        let (disk, members) = match volume.disk.clone() {
            Some(disk) => (disk, volume.members.clone()),
            None if selection.is_explicit() => named(&volume)?,
            None => continue,
        };
        wanted.push(Wanted { disk, members, volume });
    }
    // without tags of kops, the members are those that were found
    let all: Vec<String> = wanted.iter().map(|one| one.disk.member.clone()).collect();
    wanted.iter_mut().filter(|one| one.members.is_empty()).for_each(|one| one.members.clone_from(&all));
    Ok(wanted)
}

fn unknown(volume: &Volume, what: &str, flag: &str) -> Error {
    Error::not_found(format!("the tags of {} do not say {what}", volume.id)).hint(format!("say it: {flag}"))
}

fn nothing(selection: &Selection, others: &[Wanted]) -> Error {
    if others.is_empty() {
        return Error::not_found("no volume is tagged as one of an etcd (k8s.io/etcd/NAME, as kops does it)")
            .hint("check --region and --account, or name them with --volume or --volume-tag");
    }
    let there: Vec<String> = others.iter().map(|one| one.disk.to_string()).collect();
    let asked = [
        selection.cluster.as_ref().map(|name| format!("cluster {name:?}")),
        (!selection.etcds.is_empty()).then(|| format!("etcd {}", selection.etcds.join(","))),
        (!selection.members.is_empty()).then(|| format!("member {}", selection.members.join(","))),
    ];
    let asked: Vec<String> = asked.into_iter().flatten().collect();
    Error::not_found(format!("no volume of {}", asked.join(", "))).hint(format!("there are {}", some(there)))
}

fn one_cluster(wanted: &[Wanted]) -> Result<String> {
    let clusters: BTreeSet<&String> = wanted.iter().map(|one| &one.disk.cluster).collect();
    let names: Vec<String> = clusters.into_iter().cloned().collect();
    match &names[..] {
        [one] => Ok(one.clone()),
        _ => Err(Error::not_found(format!("there are volumes of {} clusters: {}", names.len(), some(names.clone())))
            .hint("choose one with --cluster-name")),
    }
}

/// One volume a disk: of several, the one in use.
fn one_of_each(wanted: Vec<Wanted>) -> Result<(Vec<Wanted>, Vec<String>)> {
    let mut by_disk: BTreeMap<Disk, Vec<Wanted>> = BTreeMap::new();
    for one in wanted {
        by_disk.entry(one.disk.clone()).or_default().push(one);
    }
    let (mut chosen, mut warnings) = (Vec::new(), Vec::new());
    for (disk, mut of_disk) in by_disk {
        let ids: Vec<String> = of_disk.iter().map(|one| one.volume.id.clone()).collect();
        if of_disk.len() > 1 {
            of_disk.retain(|one| one.volume.state == "in-use");
        }
        let [one] = &of_disk[..] else {
            let message = format!("{} all are {disk} by their tags", ids.join(" and "));
            return Err(Error::not_found(message).hint("take the tags off those that are not, or name one: --volume"));
        };
        if ids.len() > 1 {
            let id = &one.volume.id;
            warnings.push(format!("{} all are {disk} by their tags; {id} is in use and is taken", ids.join(" and ")));
        }
        chosen.push(one.clone());
    }
    Ok((chosen, warnings))
}

/// A set without one of its members could not be restored; where a person chose members, that is known.
fn whole(selection: &Selection, chosen: &Chosen) -> Result<()> {
    let has = |etcd: &str, member: &str| {
        chosen.volumes.iter().any(|one| one.disk.etcd == etcd && (member.is_empty() || one.disk.member == member))
    };
    if let Some(etcd) = selection.etcds.iter().find(|etcd| !has(etcd, "")) {
        return Err(Error::not_found(format!("no volume of etcd {etcd:?} in cluster {:?}", chosen.cluster)));
    }
    let everyone = !selection.is_explicit() && selection.members.is_empty() && selection.instance.is_none();
    let members = chosen.volumes.iter().flat_map(|one| {
        let asked = if everyone { &one.members } else { &selection.members };
        asked.iter().map(|member| (one.disk.etcd.as_str(), member.as_str()))
    });
    let missing: BTreeSet<String> = members
        .filter(|(etcd, member)| !has(etcd, member))
        .map(|(etcd, member)| format!("{member}.etcd-{etcd}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing: Vec<String> = missing.into_iter().collect();
    let message = format!("no volume of {} in cluster {:?}", some(missing), chosen.cluster);
    Err(Error::not_found(message).hint("take the members that are there by name: --member a --member b"))
}

/// A list that fits a line.
fn some(mut names: Vec<String>) -> String {
    const MOST: usize = 12;
    let more = names.len().saturating_sub(MOST);
    names.truncate(MOST);
    let and_more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.join(", ") + &and_more
}
