//! Snapshots kept on a PersistentVolume: made, served by the sidecar, and read without it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Namespace, eventually, image};
use crate::sandbox::{binary, cache};
use crate::scenario::etcdutl_status;

/// The user of our pods.
const OURS: u32 = 65532;

/// A volume of the node, which is this machine, that waits for a claim.
struct Disk {
    namespace: Namespace,
    directory: tempfile::TempDir,
}

impl Disk {
    /// With an operator and an etcd in a namespace. A `local` volume gets the pods' group, a `hostPath` stays root's.
    /// The claim is to have the namespace's name as its StorageClass.
    fn new(test: &str, kind: &str, mode: &str) -> Self {
        let namespace = Namespace::with_operator(test);
        namespace.etcd("etcd-a");
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (name, path) = (&namespace.name, directory.path().display());
        let manifest = format!(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: pv-{name}}}\nspec:\n  capacity: {{storage: 1Gi}}\n  \
             accessModes: [{mode}]\n  persistentVolumeReclaimPolicy: Retain\n  storageClassName: {name}\n  \
             {kind}: {{path: {path}}}\n  nodeAffinity: {{required: {{nodeSelectorTerms: [{{matchExpressions: \
             [{{key: kubernetes.io/hostname, operator: In, values: [node1]}}]}}]}}}}\n"
        );
        namespace.apply(&manifest).unwrap();
        Self { namespace, directory }
    }

    /// A claim of the volume.
    fn claim(&self, name: &str, mode: &str) {
        let class = &self.namespace.name;
        let manifest = format!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\nspec: {{accessModes: [{mode}], \
             storageClassName: {class}, resources: {{requests: {{storage: 1Gi}}}}}}\n"
        );
        self.namespace.apply(&manifest).unwrap();
    }

    fn cluster(&self) -> PathBuf {
        self.directory.path().join("v1/etcd-a")
    }

    /// The files of the cluster's directory that have the name of a snapshot, at any depth.
    fn snapshots(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        files(self.directory.path(), &mut found);
        found.retain(|file| file.to_string_lossy().ends_with("_etcd.backup"));
        found.sort();
        found
    }

    fn create(&self, flags: &str) -> crate::sandbox::Output {
        self.namespace.run(&format!("create etcd-a {flags} --wait --timeout 3m"))
    }

    fn of_sidecar(&self, path: &str) -> String {
        let words = ["get", "deployment", "etcd-a-backup-sidecar", "-o", &format!("jsonpath={path}")];
        self.namespace.kubectl(&words)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.namespace.try_kubectl(&["delete", "pv", &format!("pv-{}", self.namespace.name), "--wait=false"]);
    }
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[test]
fn a_claim_is_made_filled_served_and_read_without_the_sidecar() {
    let disk = Disk::new("pv-made", "local", "ReadWriteOnce");
    let namespace = &disk.namespace;
    let flags = format!("--volume-size 512Mi --storage-class {}", namespace.name);
    let created = disk.create(&format!("{flags} --name one"));
    assert_eq!(created.code, Some(0), "{created}");
    let claim = namespace.kubectl(&[
        "get",
        "pvc",
        "etcd-a-pvc",
        "-o",
        "jsonpath={.metadata.labels}{.metadata.ownerReferences}",
    ]);
    assert_eq!(claim, r#"{"app":"etcd","etcd_cluster":"etcd-a"}"#);
    let path = namespace.field("one", "{.status.volumePath}");
    let file = disk.directory.path().join(path.strip_prefix("etcd-a-pvc:/var/etcd-backup/").unwrap());
    let stored = fs::metadata(&file).unwrap();
    assert_eq!((stored.mode() & 0o777, stored.uid()), (0o600, OURS));
    assert!(created.stdout.ends_with(format!("  persistentvolumeclaim/{path}\n").as_bytes()), "{created}");
    let described = namespace.run("describe one");
    assert!(
        String::from_utf8_lossy(&described.stdout).contains(&format!("persistentvolumeclaim/{path}")),
        "{described}"
    );

    namespace.rolled_out("deployment/etcd-a-backup-sidecar");
    assert_eq!(disk.of_sidecar("{.spec.template.spec.containers[0].volumeMounts[*].readOnly}"), "true");
    // beside the sidecar, which has the volume
    namespace.etcdctl("etcd-a", &["put", "written-after", "the-first-backup"]);
    let second = disk.create(&format!("{flags} --name two"));
    assert_eq!(second.code, Some(0), "{second}");
    let by_service = namespace.run("get etcd-a -O by-service --from service");
    assert_eq!(by_service.code, Some(0), "{by_service}");

    namespace.kubectl(&["scale", "deployment/etcd-a-backup-sidecar", "--replicas=0"]);
    eventually("the sidecar's pod is gone", || {
        namespace.kubectl(&["get", "pods", "-l", "app=etcd_backup_tool", "-o", "name"]).is_empty()
    });
    let by_volume = namespace.run(&format!("get etcd-a --from pv -O by-volume --helper-image {}", image()));
    assert_eq!(by_volume.code, Some(0), "{by_volume}");
    let read = |name: &str| fs::read(namespace.sandbox.path().join(name)).unwrap();
    assert!(read("by-service") == read("by-volume"), "the two ways gave different bytes");
    let by_itself = namespace.run("get etcd-a -O by-itself");
    assert_eq!(by_itself.code, Some(0), "{by_itself}");
    assert!(by_itself.stderr.contains("no ready endpoints; trying pv"), "{by_itself}");
    assert!(
        by_itself.stderr.contains("s3: not read: EtcdBackup two keeps its snapshots on claim etcd-a-pvc"),
        "{by_itself}"
    );
    let (revision, keys) = etcdutl_status(&namespace.sandbox.path().join("by-itself"));
    assert_eq!(revision.to_string(), namespace.field("two", "{.status.etcdRevision}"));
    assert!(keys > 0);
    namespace.kubectl(&["delete", "etcdbackups.etcd.database.coreos.com", "--all"]);
    assert_eq!(namespace.kubectl(&["get", "pvc", "etcd-a-pvc", "-o", "name"]), "persistentvolumeclaim/etcd-a-pvc\n");
    assert_eq!(disk.snapshots().len(), 2);
}

#[test]
fn a_missing_claim_is_told_with_the_command_that_makes_it() {
    let disk = Disk::new("pv-missing", "local", "ReadWriteOnce");
    let namespace = &disk.namespace;
    let early = namespace.run("create etcd-a --claim disk-7");
    assert_eq!(early.code, Some(3), "{early}");
    assert!(early.stderr.contains("--volume-size 10Gi"), "{early}");
    let object = "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\nmetadata: {name: one}\nspec: {clusterName: \
                  etcd-a, storageType: PersistentVolume, persistentVolume: {claimName: disk-7}}\n";
    namespace.apply(object).unwrap();
    let reason = || namespace.field("one", "{.status.Reason}");
    eventually("the claim is missed", || reason().starts_with("ClaimNotFound: disk-7 in namespace "));
    assert!(namespace.kubectl(&["get", "jobs", "-o", "name"]).is_empty());
    let told = reason();
    let command = told.split_once("make it with: ").unwrap().1.split_once(", or have it made").unwrap().0;
    // the volume of this test has a class, which the advice does not know
    let command = command.replace("\"spec\":{", &format!("\"spec\":{{\"storageClassName\":\"{}\",", namespace.name));
    let path = format!("{}:/usr/bin:/bin", binary("kubectl").parent().unwrap().display());
    let mut shell = Command::new("bash");
    shell.args(["-c", &command]).env("PATH", path).env("KUBECONFIG", cache().join("cluster/admin.kubeconfig"));
    let made = shell.env("HOME", namespace.sandbox.path()).output().unwrap();
    assert!(made.status.success(), "{command}: {}", String::from_utf8_lossy(&made.stderr));
    eventually("a snapshot is stored", || namespace.field("one", "{.status.succeeded}") == "true");
    assert_eq!(reason(), "");
}

#[test]
fn a_claim_of_one_pod_is_refused_and_says_why() {
    let disk = Disk::new("pv-one-pod-write", "local", "ReadWriteOncePod");
    disk.claim("disk-7", "ReadWriteOncePod");
    let refused = disk.create("--claim disk-7 --name one");
    assert_eq!(refused.code, Some(7), "{refused}");
    assert!(refused.stderr.contains("ReadWriteOncePod: claim disk-7 may be used by one pod only"), "{refused}");
    assert!(disk.namespace.kubectl(&["get", "jobs", "-o", "name"]).is_empty());
    let scheduled = disk.namespace.run("create etcd-a --claim disk-7 --name nightly --schedule @daily");
    assert_eq!(scheduled.code, Some(0), "{scheduled}");
    eventually("the schedule is refused too", || {
        disk.namespace.field("nightly", "{.status.Reason}").starts_with("ReadWriteOncePod: ")
    });
    assert!(disk.namespace.kubectl(&["get", "cronjobs", "-o", "name"]).is_empty());
}

#[test]
fn a_full_disk_is_a_clear_error_that_leaves_nothing() {
    let disk = Disk::new("pv-full", "local", "ReadWriteOnce");
    // smaller than any database of etcd
    let tmpfs = ["-t", "tmpfs", "-o", "size=16k,mode=0755", "tmpfs"];
    assert!(Command::new("mount").args(tmpfs).arg(disk.directory.path()).status().unwrap().success());
    disk.claim("disk-7", "ReadWriteOnce");
    let failed = disk.create("--claim disk-7 --name one --backup-timeout 20s");
    let mut left = Vec::new();
    files(disk.directory.path(), &mut left);
    let unmounted = Command::new("umount").arg("-l").arg(disk.directory.path()).status().unwrap();
    assert!(unmounted.success());
    assert_eq!(failed.code, Some(7), "{failed}");
    assert!(failed.stderr.contains("VolumeFull: the snapshot has "), "{failed}");
    assert!(failed.stderr.contains(" are free in /var/etcd-backup/v1/etcd-a/tmp"), "{failed}");
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_directory_that_is_root_s_alone_is_told() {
    let disk = Disk::new("pv-roots", "hostPath", "ReadWriteOnce");
    disk.claim("disk-7", "ReadWriteOnce");
    let failed = disk.create("--claim disk-7 --name one --backup-timeout 20s");
    assert_eq!(failed.code, Some(7), "{failed}");
    assert!(failed.stderr.contains("cannot make /var/etcd-backup/v1: Permission denied"), "{failed}");
    assert!(failed.stderr.contains(&format!("has to let uid {OURS} read and write it")), "{failed}");
    assert!(!disk.cluster().exists());
}

#[test]
fn pods_are_kept_on_one_node_unless_many_nodes_may_have_the_volume() {
    let disk = Disk::new("pv-nodes", "local", "ReadWriteMany");
    let namespace = &disk.namespace;
    disk.claim("shared", "ReadWriteMany");
    let affinity = |name: &str| {
        let made = namespace.run(&format!("create etcd-a --claim {name} --name {name} --schedule @yearly"));
        assert_eq!(made.code, Some(0), "{made}");
        let of = |path: &str| namespace.kubectl(&["get", "cronjobs", "-o", &format!("jsonpath={path}")]);
        let pod = format!(
            "{{.items[?(@.spec.jobTemplate.metadata.annotations.etcd\\.database\\.coreos\\.com/backup==\"{name}\")].spec.jobTemplate.spec.template.spec"
        );
        eventually("the CronJob is there", || !of(&format!("{pod}.containers}}")).is_empty());
        of(&format!("{pod}.affinity}}"))
    };
    assert_eq!(affinity("shared"), "");
    // it stays Pending, and nothing but its access mode matters
    disk.claim("alone", "ReadWriteOnce");
    let kept = affinity("alone");
    assert!(kept.contains("podAffinity") && kept.contains("etcd.database.coreos.com/claim"), "{kept}");
    let pending = namespace.run("create etcd-a --claim alone --name now");
    assert_eq!(pending.code, Some(0), "{pending}");
    eventually("the claim is Pending", || namespace.field("now", "{.status.Reason}").starts_with("ClaimPending: "));
}
