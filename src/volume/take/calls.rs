//! Which calls make the snapshots: one for all volumes of an instance where that is possible, since only then EC2
//! takes them at one moment (EC2 API reference, `CreateSnapshots`).

use std::collections::{BTreeMap, BTreeSet};

use crate::volume::machines::Machine;
use crate::volume::marks::{self, Run};
use crate::volume::selection::Wanted;
use crate::volume::tags::{self, MOST_TAGS_AT_FIRST, RESERVED};

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call<'a> {
    /// `CreateSnapshot`.
    One(&'a Wanted),
    /// `CreateSnapshots` of an instance without its root and without the `others`.
    Together { instance: String, others: Vec<String>, of: Vec<&'a Wanted> },
}

/// The instances that more than one of the volumes hangs at.
pub fn shared_instances(wanted: &[&Wanted]) -> Vec<String> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    wanted.iter().filter_map(|one| instance(one)).for_each(|id| *count.entry(id).or_default() += 1);
    count.into_iter().filter(|(_, count)| *count > 1).map(|(id, _)| id.to_owned()).collect()
}

/// The calls for all of `wanted`. An instance that is not among `machines` is not asked as a whole.
pub fn plan<'a>(wanted: &[&'a Wanted], machines: &[Machine], run: Run<'_>) -> Vec<Call<'a>> {
    let (mut calls, mut together) = (Vec::new(), BTreeSet::new());
    for id in shared_instances(wanted) {
        let Some(machine) = machines.iter().find(|machine| machine.id == id) else { continue };
        let of: Vec<&Wanted> = wanted
            .iter()
            .copied()
            .filter(|one| instance(one) == Some(&id) && may_be_shared(one, machine, run))
            .collect();
        if of.len() < 2 {
            continue;
        }
        let is_other =
            |volume: &String| Some(volume) != machine.root.as_ref() && of.iter().all(|one| one.volume.id != *volume);
        let others = machine.devices.iter().map(|(_, volume)| volume.clone()).filter(is_other).collect();
        together.extend(of.iter().map(|one| one.volume.id.as_str()));
        calls.push(Call::Together { instance: id, others, of });
    }
    calls.extend(wanted.iter().filter(|one| !together.contains(one.volume.id.as_str())).map(|one| Call::One(one)));
    calls
}

fn instance(one: &Wanted) -> Option<&str> {
    one.volume.attachments.first().map(|attachment| attachment.instance.as_str())
}

/// All snapshots of one call get the same tags of ours; what tells them apart at once is what EC2 copies from the
/// volumes. So it must be tags of kops that say whose disk it is, and all of them must have room, with those of ours
/// that are written after the call.
fn may_be_shared(one: &Wanted, machine: &Machine, run: Run<'_>) -> bool {
    let written = marks::of_snapshot(one, run).tags;
    let copied = one.volume.tags.keys().filter(|key| !key.starts_with(RESERVED) && !written.contains_key(*key)).count();
    let said_by_kops = tags::of_kops(&one.volume.tags).is_some_and(|(disk, _)| disk == one.disk);
    said_by_kops && written.len() + copied <= MOST_TAGS_AT_FIRST && machine.root.as_ref() != Some(&one.volume.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::inventory::{Attachment, Volume};
    use crate::volume::tags::Tags;

    fn wanted(id: &str, etcd: &str, instance: &str, more: usize) -> Wanted {
        let mut tags: Tags = (0..more).map(|n| (format!("t{n}"), String::new())).collect();
        tags.insert("KubernetesCluster".to_owned(), "k".to_owned());
        tags.insert(format!("k8s.io/etcd/{etcd}"), "a/a".to_owned());
        let (disk, members) = tags::of_kops(&tags).unwrap();
        let attachment =
            Attachment { instance: instance.to_owned(), device: String::new(), delete_on_termination: false };
        let volume = Volume {
            id: id.to_owned(),
            disk: Some(disk.clone()),
            members: members.clone(),
            zone: String::new(),
            kind: String::new(),
            size: 1,
            iops: None,
            throughput: None,
            encrypted: false,
            kms_key: None,
            state: "in-use".to_owned(),
            attachments: vec![attachment],
            tags,
            snapshot: None,
            created: None,
        };
        Wanted { disk, members, volume }
    }

    fn machine(id: &str, volumes: &[&str]) -> Machine {
        let devices = volumes.iter().map(|volume| (format!("/dev/{volume}"), (*volume).to_owned())).collect();
        let root = volumes.first().map(|root| (*root).to_owned());
        Machine { id: id.to_owned(), state: "running".to_owned(), root, devices, tags: Tags::new() }
    }

    /// Each call as `instance-others:volumes` or as the volume alone.
    fn calls(wanted: &[Wanted], machines: &[Machine]) -> Vec<String> {
        let (wanted, etcds): (Vec<&Wanted>, _) = (wanted.iter().collect(), BTreeSet::from(["main"]));
        let ids = |of: &[&Wanted]| of.iter().map(|one| one.volume.id.clone()).collect::<Vec<_>>().join("+");
        let shown = |call: &Call<'_>| match call {
            Call::One(one) => one.volume.id.clone(),
            Call::Together { instance, others, of } => format!("{instance}-{}:{}", others.join("-"), ids(of)),
        };
        plan(&wanted, machines, Run { set: "s", etcds: &etcds, reason: None }).iter().map(shown).collect()
    }

    #[test]
    fn volumes_of_one_instance_are_one_call_without_its_other_volumes() {
        let all = [wanted("m", "main", "i-1", 0), wanted("e", "events", "i-1", 0), wanted("n", "main", "i-2", 0)];
        let machines = [machine("i-1", &["root", "m", "data", "e"])];
        assert_eq!(calls(&all, &machines), ["i-1-data:m+e", "n"]);
        assert_eq!(calls(&all, &[]), ["m", "e", "n"]);
    }

    #[test]
    fn a_volume_whose_tags_have_no_room_or_that_is_the_root_is_a_call_of_its_own() {
        // 8 of ours and 2 of kops beside these, and room for one more
        let all = [wanted("m", "main", "i-1", 40), wanted("e", "events", "i-1", 39), wanted("c", "cilium", "i-1", 39)];
        assert_eq!(calls(&all, &[machine("i-1", &["root", "m", "e", "c"])]), ["i-1-m:e+c", "m"]);
        assert_eq!(calls(&all, &[machine("i-1", &["e", "m", "c"])]), ["m", "e", "c"]);
    }
}
