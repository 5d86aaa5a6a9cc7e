//! How a person gets at the files of a volume without any helper, by its kind: text, pure.
//!
//! Source of the fields: Kubernetes API reference, `PersistentVolumeSpec`, v1.34; of the identifiers:
//! kubernetes-sigs/aws-ebs-csi-driver, docs (`vol-…`, in-tree `aws://ZONE/vol-…`), and
//! kubernetes-sigs/gcp-compute-persistent-disk-csi-driver (`projects/P/zones/Z/disks/NAME`, and `regions/R` for a disk
//! in two zones); of the label of such a disk: kubernetes/cloud-provider, volume/constants.go (`ZONE__ZONE`). Of the
//! flags: gcloud reference, compute instances attach-disk and detach-disk.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeSpec};
use kube::ResourceExt;

use super::Found;

/// Where the steps mount the disk.
const AT: &str = "/mnt/etcd-backup";

/// Mounts without replaying the journal of ext4, which even a read-only mount would write.
const OPTIONS: &str = "-o ro,noload";
const OTHERWISE: &str = "XFS wants norecovery instead of noload";

/// This program where it was copied to, and where it is installed. Each goes by its path: sudo looks neither into the
/// home directory nor where krew puts plugins.
const COPIED: &str = "./kubectl-etcdbackup";
const INSTALLED: &str = "\"$(command -v kubectl-etcdbackup)\"";

/// Labels that name the zone of a volume, the newest first.
const ZONES: [&str; 4] = [
    "topology.kubernetes.io/zone",
    "topology.ebs.csi.aws.com/zone",
    "topology.gke.io/zone",
    "failure-domain.beta.kubernetes.io/zone",
];

/// What is done where, for one kind of volume.
struct Way {
    /// What the volume is.
    what: String,
    /// What to do until the files can be seen.
    steps: Vec<Step>,
    /// The directory in which `v1` is then.
    directory: String,
    /// How this program is called there.
    program: &'static str,
    /// What to do afterwards.
    after: Vec<Step>,
}

/// A remark, and the command that it is about.
struct Step(String, String);

fn step(remark: impl Into<String>, command: impl Into<String>) -> Step {
    Step(remark.into(), command.into())
}

/// The steps that lead to the snapshots of `cluster` on a volume.
pub fn manual(cluster: &str, found: &Found, volume: &PersistentVolume) -> String {
    let (claim, namespace) = (found.claim.name_any(), found.claim.namespace().unwrap_or_default());
    let way = way(volume);
    let mut lines = vec![
        format!(
            "The snapshots of {cluster} are on volume {}, bound to claim {claim} in namespace {namespace}.",
            volume.name_any()
        ),
        format!("It is {}.", way.what),
    ];
    for pod in &found.users {
        let node =
            pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_else(|| "no node yet".to_owned());
        lines.push(format!("Pod {} on {node} uses it: end it before the disk is attached elsewhere.", pod.name_any()));
    }
    lines.push(String::new());
    let directory = word(&format!("{}/v1/{cluster}/", way.directory.trim_end_matches('/')));
    let here = [
        step("See what is there", format!("sudo ls -l {directory}")),
        step(
            "Take the newest, proved",
            format!("sudo {} get {} --from dir --dir {}", way.program, word(cluster), word(&way.directory)),
        ),
    ];
    let steps = way.steps.into_iter().chain(here).chain(way.after).enumerate();
    lines.extend(steps.map(|(at, Step(remark, command))| format!("{}. {remark}:\n     {command}", at + 1)));
    lines.push(String::new());
    lines.push(
        "The greatest hexadecimal number in VERSION_REVISION_etcd.backup is the newest; get proves it and takes it."
            .to_owned(),
    );
    lines.push(
        "A directory history/ beside the files means that the cluster was recreated: get then asks for --history."
            .to_owned(),
    );
    lines.push("The files are readable by the user that wrote them only, often root: hence sudo.".to_owned());
    lines.join("\n")
}

fn way(volume: &PersistentVolume) -> Way {
    let spec = volume.spec.clone().unwrap_or_default();
    if let Some(path) = spec.host_path.as_ref().map(|source| &source.path) {
        return on_node(&format!("the directory {path}"), path, volume);
    }
    if let Some(path) = spec.local.as_ref().map(|source| &source.path) {
        return on_node(&format!("the directory or disk {path}"), path, volume);
    }
    if let Some(source) = &spec.nfs {
        return nfs(&source.server, &source.path);
    }
    if let Some(source) = &spec.aws_elastic_block_store {
        let id = source.volume_id.rsplit('/').next().unwrap_or_default();
        return ebs(id, volume, source.partition);
    }
    if let Some(source) = &spec.gce_persistent_disk {
        return gce(&Pd::in_tree(&source.pd_name, volume), source.partition);
    }
    csi(&spec, volume)
}

fn csi(spec: &PersistentVolumeSpec, volume: &PersistentVolume) -> Way {
    let Some(source) = &spec.csi else { return unknown("of a kind that is not known here") };
    match source.driver.as_str() {
        "ebs.csi.aws.com" => ebs(&source.volume_handle, volume, None),
        "pd.csi.storage.gke.io" => gce(&Pd::of_handle(&source.volume_handle, volume), None),
        "nfs.csi.k8s.io" => {
            let get =
                |key: &str| source.volume_attributes.as_ref().and_then(|all| all.get(key)).cloned().unwrap_or_default();
            nfs(&get("server"), &format!("{}/{}", get("share").trim_end_matches('/'), get("subdir")))
        }
        driver => unknown(&format!("{} of driver {driver}", source.volume_handle)),
    }
}

fn on_node(what: &str, path: &str, volume: &PersistentVolume) -> Way {
    let nodes = hostnames(volume);
    let (what, node, find) = match nodes.as_slice() {
        [] => (
            format!("{what} of whichever node its pod ran on"),
            "NODE".to_owned(),
            Some(step("Find that node", "kubectl get nodes -o wide")),
        ),
        names => (format!("{what} on node {}", names.join(" or ")), word(&names[0]), None),
    };
    let copy = step(
        "Copy this program to the node (one of another system or processor needs the build for it)",
        format!("scp {INSTALLED} {node}:"),
    );
    let log_in = step("Log in to the node, or attach its disk to another machine", format!("ssh {node}"));
    let steps = find.into_iter().chain([copy, log_in]).collect();
    Way { what, steps, directory: path.to_owned(), program: COPIED, after: Vec::new() }
}

/// The steps before the mount, what is mounted and how, and those after it.
fn mounted(what: String, before: Vec<Step>, remark: &str, mount: &str, after: Vec<Step>) -> Way {
    let mount = step(format!("Mount it read-only{remark}"), format!("sudo mkdir -p {AT} && sudo mount {mount} {AT}"));
    let unmount = step("Unmount it", format!("sudo umount {AT}"));
    Way {
        what,
        steps: before.into_iter().chain([mount]).collect(),
        directory: AT.to_owned(),
        program: INSTALLED,
        after: std::iter::once(unmount).chain(after).collect(),
    }
}

fn nfs(server: &str, path: &str) -> Way {
    let share = format!("{server}:{path}");
    let mount = format!("-t nfs -o ro {}", word(&share));
    let remark = " (where the share squashes root, go on as the user that wrote the files)";
    mounted(format!("the NFS share {share}"), Vec::new(), remark, &mount, Vec::new())
}

fn ebs(id: &str, volume: &PersistentVolume, partition: Option<i32>) -> Way {
    let place = zones(volume).first().map(|zone| format!(" in availability zone {zone}")).unwrap_or_default();
    let id = word(id);
    let disk = format!("/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_{}{}", id.replace('-', ""), part(partition));
    let attach = format!("aws ec2 attach-volume --volume-id {id} --instance-id INSTANCE --device /dev/sdf");
    let before = vec![
        step("See whether it is attached, and to what", format!("aws ec2 describe-volumes --volume-ids {id}")),
        step(format!("Attach it to an instance{place}"), attach),
    ];
    let after = vec![step("Detach it", format!("aws ec2 detach-volume --volume-id {id}"))];
    let remark = format!(" (lsblk shows the device where it has another name; {OTHERWISE})");
    mounted(format!("the EBS volume {id}{place}"), before, &remark, &format!("{OPTIONS} {disk}"), after)
}

/// A persistent disk of Google Cloud.
struct Pd {
    name: String,
    project: Option<String>,
    /// Of a disk that is in two zones.
    region: Option<String>,
    zones: Vec<String>,
}

impl Pd {
    /// Of a volume that names nothing but the disk.
    fn in_tree(name: &str, volume: &PersistentVolume) -> Self {
        let zones = zones(volume);
        // the name of a zone is that of its region and a letter
        let region = zones.get(1).and_then(|zone| Some(zone.rsplit_once('-')?.0.to_owned()));
        Self { name: name.to_owned(), project: None, region, zones }
    }

    /// Of an identifier of the driver.
    fn of_handle(handle: &str, volume: &PersistentVolume) -> Self {
        let part = |after: &str| {
            let part = handle.split('/').skip_while(|part| *part != after).nth(1)?;
            // so a volume that was in-tree says that the driver is to find out
            (part != "UNSPECIFIED").then(|| part.to_owned())
        };
        let zones = part("zones").map_or_else(|| zones(volume), |zone| vec![zone]);
        let name = part("disks").unwrap_or_else(|| handle.to_owned());
        Self { name, project: part("projects"), region: part("regions"), zones }
    }
}

fn gce(disk: &Pd, partition: Option<i32>) -> Way {
    let name = word(&disk.name);
    let zones: Vec<String> = disk.zones.iter().map(|zone| word(zone)).collect();
    let zone = zones.first().map_or("ZONE", String::as_str);
    let project = disk.project.as_deref().map(|name| format!(" --project {}", word(name))).unwrap_or_default();
    let region = disk.region.as_deref().map(word);
    let (place, at, scope) = match &region {
        Some(region) => (format!("region {region}"), format!("--region {region}"), " --disk-scope regional"),
        None => (format!("zone {zone}"), format!("--zone {zone}"), ""),
    };
    let flags = format!("--disk {name}{scope} --zone {zone}{project}");
    let attach = format!("gcloud compute instances attach-disk INSTANCE {flags} --mode ro --device-name etcd-backup");
    let describe = format!("gcloud compute disks describe {name} {at}{project}");
    let of_instance = if zones.is_empty() { zone.to_owned() } else { zones.join(" or ") };
    let before = vec![
        step("See whether it is attached, and to what", describe),
        step(format!("Attach it to an instance in zone {of_instance}"), attach),
    ];
    let after = vec![step("Detach it", format!("gcloud compute instances detach-disk INSTANCE {flags}"))];
    let what = format!("the persistent disk {name} of Google Cloud in {place}");
    let mount = format!("{OPTIONS} /dev/disk/by-id/google-etcd-backup{}", part(partition));
    mounted(what, before, &format!(" ({OTHERWISE})"), &mount, after)
}

fn unknown(what: &str) -> Way {
    let before = vec![step("Find the disk and attach it to a machine as its storage system wants it", "lsblk")];
    mounted(what.to_owned(), before, &format!(" ({OTHERWISE})"), &format!("{OPTIONS} DEVICE"), Vec::new())
}

/// What the name of a disk becomes for a partition; 0 stands for the whole disk.
fn part(partition: Option<i32>) -> String {
    partition.filter(|number| *number > 0).map(|number| format!("-part{number}")).unwrap_or_default()
}

/// The values that a volume's node affinity gives for one of `keys`.
fn values(volume: &PersistentVolume, keys: &[&str]) -> Vec<String> {
    let terms = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()?.required.as_ref());
    let all = terms.into_iter().flat_map(|terms| &terms.node_selector_terms);
    let all = all.flat_map(|term| term.match_expressions.iter().flatten().chain(term.match_fields.iter().flatten()));
    let fitting = all.filter(|one| one.operator == "In" && keys.contains(&one.key.as_str()));
    fitting.flat_map(|one| one.values.clone().unwrap_or_default()).collect()
}

fn hostnames(volume: &PersistentVolume) -> Vec<String> {
    values(volume, &["kubernetes.io/hostname", "metadata.name"])
}

/// The zones of a volume, each once.
fn zones(volume: &PersistentVolume) -> Vec<String> {
    let mut known = values(volume, &ZONES);
    if known.is_empty() {
        known.extend(ZONES.iter().find_map(|key| volume.labels().get(*key).cloned()));
    }
    let each: BTreeSet<&str> = known.iter().flat_map(|zone| zone.split("__")).collect();
    each.into_iter().map(str::to_owned).collect()
}

/// A word as a shell takes it.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn steps(spec: &Value) -> String {
        labelled(&json!({}), spec)
    }

    fn labelled(labels: &Value, spec: &Value) -> String {
        let volume = json!({"metadata": {"name": "pv-1", "labels": labels}, "spec": spec});
        let volume = serde_json::from_value(volume).unwrap();
        let claim = json!({"metadata": {"name": "etcd-a-pvc", "namespace": "ns"}});
        let found = Found { claim: serde_json::from_value(claim).unwrap(), ..Found::default() };
        manual("etcd-a", &found, &volume)
    }

    fn affinity(key: &str, value: &str) -> Value {
        json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}]}})
    }

    #[test]
    fn each_kind_of_volume_has_its_steps() {
        let zoned = |zone: &str| affinity("topology.kubernetes.io/zone", zone);
        let host = affinity("kubernetes.io/hostname", "node1");
        let kinds = [
            ("host_path", json!({"hostPath": {"path": "/srv/etcd"}})),
            ("local", json!({"local": {"path": "/mnt/disk 1"}, "nodeAffinity": host})),
            (
                "ebs_csi",
                json!({"csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-0a1b"}, "nodeAffinity": zoned("eu-west-1a")}),
            ),
            ("ebs", json!({"awsElasticBlockStore": {"volumeID": "aws://eu-west-1a/vol-0a1b"}})),
            ("gce", json!({"gcePersistentDisk": {"pdName": "disk-1"}, "nodeAffinity": zoned("europe-west1-b")})),
            (
                "gce_csi",
                json!({"csi": {"driver": "pd.csi.storage.gke.io", "volumeHandle": "projects/p/zones/z/disks/d"}}),
            ),
            ("nfs", json!({"nfs": {"server": "10.0.0.9", "path": "/export/etcd"}})),
            ("unknown", json!({"csi": {"driver": "disk.example.com", "volumeHandle": "h-1"}})),
        ];
        let all: String = kinds.iter().map(|(kind, spec)| format!("== {kind}\n{}\n", steps(spec))).collect();
        insta::assert_snapshot!(all);
    }

    /// The commands of gcloud in some steps.
    fn gcloud(steps: &str) -> Vec<&str> {
        steps.lines().filter_map(|line| line.trim().strip_prefix("gcloud compute ")).collect()
    }

    #[test]
    fn a_disk_in_two_zones_is_named_by_its_region_and_attached_in_a_zone() {
        let label = json!({"failure-domain.beta.kubernetes.io/zone": "europe-west1-b__europe-west1-c"});
        let in_tree = labelled(&label, &json!({"gcePersistentDisk": {"pdName": "d"}}));
        assert!(in_tree.contains("of Google Cloud in region europe-west1.\n"), "{in_tree}");
        assert!(in_tree.contains("to an instance in zone europe-west1-b or europe-west1-c:\n"), "{in_tree}");
        let flags = "INSTANCE --disk d --disk-scope regional --zone europe-west1-b";
        assert_eq!(
            gcloud(&in_tree),
            [
                "disks describe d --region europe-west1".to_owned(),
                format!("instances attach-disk {flags} --mode ro --device-name etcd-backup"),
                format!("instances detach-disk {flags}"),
            ]
        );
        let handle = "projects/p/regions/europe-west1/disks/d";
        let zones = affinity("topology.gke.io/zone", "europe-west1-b");
        let csi = json!({"csi": {"driver": "pd.csi.storage.gke.io", "volumeHandle": handle}, "nodeAffinity": zones});
        assert_eq!(
            gcloud(&steps(&csi)),
            [
                "disks describe d --region europe-west1 --project p".to_owned(),
                format!("instances attach-disk {flags} --project p --mode ro --device-name etcd-backup"),
                format!("instances detach-disk {flags} --project p"),
            ]
        );
        let bare = "projects/UNSPECIFIED/zones/UNSPECIFIED/disks/d";
        let bare = steps(&json!({"csi": {"driver": "pd.csi.storage.gke.io", "volumeHandle": bare}}));
        assert_eq!(gcloud(&bare)[0], "disks describe d --zone ZONE");
    }
}
