//! The volumes at the running instances of one name, as bsycorp/etcd-backup chose them: `INSTANCE_NAME` and `VOLUME`.
//!
//! That script took the device (etcd-backup.sh, commit b3ce9fc). Letters are first come, first served since etcd-manager
//! falls to the next when one is busy (kops#9184), so they may show `events` as `main`: the tags of kops say which it
//! is, and a letter counts only where no volume at the instance has such tags.

use super::Wanted;
use crate::error::{Error, Result};
use crate::volume::inventory::Volume;
use crate::volume::machines::Machine;
use crate::volume::tags::{self, Disk};

/// The letters of that script.
const DEVICES: [(&str, &str); 2] = [("main", "/dev/xvdu"), ("events", "/dev/xvdv")];

/// The ids of the volumes at the running instances of that name.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) where there is none, or none with volumes.
pub fn volumes(name: &str, machines: &[Machine]) -> Result<Vec<String>> {
    let running: Vec<&Machine> = machines.iter().filter(|machine| machine.is_running()).collect();
    let states = || machines.iter().map(|one| format!("{} is {}", one.id, one.state)).collect::<Vec<_>>().join(", ");
    let ids: Vec<String> =
        running.iter().flat_map(|one| one.devices.iter().map(|(_, volume)| volume.clone())).collect();
    match (machines, &running[..]) {
        ([], _) => Err(Error::not_found(format!("no instance is named {name:?} (tag Name)"))
            .hint("check the name, --region and --account")),
        (_, []) => Err(Error::not_found(format!("no instance named {name:?} is running: {}", states()))
            .hint("wait until its successor runs, or name the volumes: --volume or --cluster-name")),
        _ if ids.is_empty() => Err(Error::not_found(format!("no volume is attached to {name:?}: {}", states()))),
        _ => Ok(ids),
    }
}

/// Whose disks the `found` volumes at the running instances are.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) where neither a tag nor a letter tells.
pub(super) fn known(name: &str, etcds: &[String], found: Vec<Volume>, machines: &[Machine]) -> Result<Vec<Wanted>> {
    let running: Vec<&Machine> = machines.iter().filter(|machine| machine.is_running()).collect();
    let tagged: Vec<Wanted> = found
        .iter()
        .filter_map(|volume| {
            let (disk, members) = (volume.disk.clone()?, volume.members.clone());
            Some(Wanted { disk, members, volume: volume.clone() })
        })
        .collect();
    if let Some(etcd) = etcds.iter().find(|etcd| !tagged.iter().any(|one| one.disk.etcd == **etcd)) {
        return match (&tagged[..], &running[..]) {
            ([], [machine]) => by_letter(name, etcds, &found, machine),
            ([], _) => Err(Error::not_found(format!(
                "{} running instances are named {name:?}, and their volumes have no tags that tell them apart",
                running.len()
            ))
            .hint("name the volume: --volume vol-… --cluster-name NAME --etcd main --member a")),
            (others, _) => {
                let there: Vec<String> =
                    others.iter().map(|one| format!("{} is {}", one.volume.id, one.disk)).collect();
                Err(Error::not_found(format!(
                    "no volume of etcd {etcd:?} is attached to {name:?}: {}",
                    there.join(", ")
                )))
            }
        };
    }
    Ok(tagged)
}

fn by_letter(name: &str, etcds: &[String], found: &[Volume], machine: &Machine) -> Result<Vec<Wanted>> {
    let mut wanted = Vec::new();
    for etcd in etcds {
        let device = DEVICES.iter().find(|(of, _)| of == etcd).map_or("", |(_, device)| device);
        let at = machine.devices.iter().find(|(letter, _)| letter == device);
        let Some(volume) = at.and_then(|(_, id)| found.iter().find(|volume| volume.id == *id)) else {
            let message = format!("no volume of etcd {etcd:?} at {} ({name}): none has the tags of kops", machine.id);
            let letter = if device.is_empty() { String::new() } else { format!(", and none is attached as {device}") };
            return Err(Error::not_found(message + &letter).hint("name it: --volume vol-… --etcd main --member a"));
        };
        let cluster = [&volume.tags, &machine.tags].into_iter().find_map(|tags| tags.get(tags::KOPS_CLUSTER));
        let cluster = cluster.map_or(name, String::as_str).to_owned();
        let disk = Disk { cluster, etcd: etcd.clone(), member: name.to_owned() };
        wanted.push(Wanted { disk, members: vec![name.to_owned()], volume: volume.clone() });
    }
    Ok(wanted)
}
