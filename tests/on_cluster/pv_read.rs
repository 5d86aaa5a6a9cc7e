//! Snapshots on a PersistentVolume, read through a helper pod that is gone afterwards.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::cluster::{Namespace, eventually, image};
use crate::wire::{Then, Wire, barriers};

const NAME: &str = "3.5.21_000000000000000f_etcd.backup";
/// The user of our pods.
const OURS: u32 = 65532;

/// A volume of the node, which is this machine, with a claim that is bound to it.
struct Disk {
    namespace: Namespace,
    directory: tempfile::TempDir,
    claim: String,
}

impl Disk {
    /// A disk with an empty directory of cluster `etcd-a`; `kind` and `mode` are of the volume.
    fn new(test: &str, claim: &str, kind: &str, mode: &str) -> Self {
        let (namespace, directory) = (Namespace::new(test), tempfile::tempdir().unwrap());
        // the pods' user has to reach what is below
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let disk = Self { namespace, directory, claim: claim.to_owned() };
        fs::create_dir_all(disk.cluster()).unwrap();
        disk.bind(kind, mode);
        disk
    }

    fn volume(&self) -> String {
        format!("pv-{}", self.namespace.name)
    }

    fn bind(&self, kind: &str, mode: &str) {
        let (volume, namespace, claim) = (self.volume(), &self.namespace.name, &self.claim);
        let path = self.directory.path().display();
        let manifest = format!(
            "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {volume}}}\nspec:\n  capacity: {{storage: 1Gi}}\n  \
             accessModes: [{mode}]\n  persistentVolumeReclaimPolicy: Retain\n  storageClassName: ''\n  \
             claimRef: {{namespace: {namespace}, name: {claim}}}\n  {kind}: {{path: {path}}}\n  nodeAffinity: {{required: \
             {{nodeSelectorTerms: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [node1]}}]}}]}}}}\n\
             ---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {claim}, namespace: {namespace}}}\nspec:\n  \
             accessModes: [{mode}]\n  storageClassName: ''\n  volumeName: {volume}\n  resources: {{requests: {{storage: 1Gi}}}}\n"
        );
        self.namespace.apply(&manifest).unwrap();
        let phase = ["get", "pvc", claim, "-o", "jsonpath={.status.phase}"];
        eventually("the claim is bound", || self.namespace.kubectl(&phase) == "Bound");
    }

    fn cluster(&self) -> PathBuf {
        self.directory.path().join("v1/etcd-a")
    }

    /// Stores a snapshot of `size` random bytes as the agent does: readable by `owner` only.
    fn store(&self, size: usize, owner: u32) -> Vec<u8> {
        let mut random = vec![0; size];
        File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
        let snapshot = crate::pages::snapshot_with(random);
        let file = self.cluster().join(NAME);
        fs::write(&file, &snapshot).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&file, Some(owner), Some(owner)).unwrap();
        chown(self.cluster(), Some(owner), Some(owner)).unwrap();
        snapshot
    }

    /// As etcd-operator's sidecar wrote it: all of it root's.
    fn store_as_root(&self, size: usize) -> Vec<u8> {
        let snapshot = self.store(size, 0);
        fs::set_permissions(self.cluster(), fs::Permissions::from_mode(0o700)).unwrap();
        snapshot
    }

    fn out(&self) -> PathBuf {
        self.namespace.sandbox.path().join("out")
    }

    /// The words that get it into the file `out`.
    fn get(&self, more: &str) -> String {
        format!("get etcd-a --from pv --helper-image {} -O out {more}", image())
    }

    /// Names of the helpers' Jobs and pods.
    fn helpers(&self) -> String {
        self.namespace.kubectl(&["get", "jobs,pods", "-l", "app=etcd_backup_reader", "-o", "name"])
    }

    fn no_helper_is_left(&self) {
        eventually("no helper is left", || self.helpers().is_empty());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.namespace.try_kubectl(&["delete", "pv", &self.volume(), "--wait=false"]);
    }
}

fn assert_same(path: &Path, snapshot: &[u8]) {
    assert!(fs::read(path).unwrap() == snapshot, "other bytes");
}

#[test]
fn the_default_claim_is_found_read_and_left_as_it_was() {
    let disk = Disk::new("pv-default", "etcd-a-pvc", "local", "ReadWriteOnce");
    let snapshot = disk.store(3 << 20, OURS);
    let before = fs::metadata(disk.cluster().join(NAME)).unwrap();
    let listed = disk.namespace.run(&format!("list etcd-a --from pv --helper-image {} -o json", image()));
    assert_eq!(listed.code, Some(0), "{listed}");
    let items: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let item = &items["snapshots"][0];
    assert_eq!((&item["source"], &item["claim"], &item["revision"]), (&"pv".into(), &"etcd-a-pvc".into(), &15.into()));
    assert_eq!(item["path"], format!("/var/etcd-backup/v1/etcd-a/{NAME}"));
    // beside a helper that is still there the next one goes because of it
    disk.no_helper_is_left();
    let got = disk.namespace.run(&disk.get(""));
    assert_eq!(got.code, Some(0), "{got}");
    assert_same(&disk.out(), &snapshot);
    assert!(got.stderr.contains("on node node1: the volume is on that node"), "{got}");
    let after = fs::metadata(disk.cluster().join(NAME)).unwrap();
    assert_eq!((before.modified().unwrap(), before.permissions()), (after.modified().unwrap(), after.permissions()));
    disk.no_helper_is_left();
}

#[test]
fn what_an_old_sidecar_wrote_as_root_is_read_as_root() {
    let disk = Disk::new("pv-root", "mine", "hostPath", "ReadWriteOnce");
    let snapshot = disk.store_as_root(1 << 20);
    let got = disk.namespace.run(&disk.get("--claim mine"));
    assert_eq!(got.code, Some(0), "{got}");
    assert!(got.stderr.contains("once more as root, without any capability"), "{got}");
    assert_same(&disk.out(), &snapshot);
    // a directory that all may enter, with a file that is root's alone
    fs::set_permissions(disk.cluster(), fs::Permissions::from_mode(0o755)).unwrap();
    let again = disk.namespace.run(&disk.get("--claim mine --force"));
    assert_eq!(again.code, Some(0), "{again}");
    assert!(again.stderr.contains("may be read by its owner only"), "{again}");
    let enforce = "pod-security.kubernetes.io/enforce=restricted";
    disk.namespace.kubectl(&["label", "namespace", &disk.namespace.name, enforce]);
    let refused = disk.namespace.run(&disk.get("--claim mine --force"));
    assert_eq!(refused.code, Some(5), "{refused}");
    assert!(refused.stderr.contains("violates PodSecurity") && refused.stderr.contains("--print-manual"), "{refused}");
    disk.no_helper_is_left();
}

#[test]
fn the_claim_of_an_etcdbackup_is_taken_and_read_beside_the_pod_that_has_it() {
    let disk = Disk::new("pv-named", "disk-7", "local", "ReadWriteOnce");
    let snapshot = disk.store(1 << 20, OURS);
    let user = format!(
        "apiVersion: etcd.database.coreos.com/v1beta2\nkind: EtcdBackup\nmetadata: {{name: nightly}}\nspec: {{clusterName: etcd-a, \
         storageType: PersistentVolume, persistentVolume: {{claimName: disk-7}}}}\n---\napiVersion: v1\nkind: Pod\nmetadata: \
         {{name: writer}}\nspec:\n  containers: [{{name: w, image: {}, args: [agent, serve, --cluster-name, etcd-a, --volume-dir, \
         /data], volumeMounts: [{{name: d, mountPath: /data}}]}}]\n  volumes: [{{name: d, persistentVolumeClaim: {{claimName: \
         disk-7}}}}]\n",
        image()
    );
    disk.namespace.apply(&user).unwrap();
    disk.namespace.kubectl(&["wait", "--for=condition=Ready", "pod/writer", "--timeout=120s"]);
    let got = disk.namespace.run(&disk.get(""));
    assert_eq!(got.code, Some(0), "{got}");
    assert!(got.stderr.contains("claim disk-7") && got.stderr.contains("pod writer has the volume there"), "{got}");
    assert_same(&disk.out(), &snapshot);
}

#[test]
fn a_claim_that_only_one_pod_may_have_is_refused_while_one_has_it() {
    let disk = Disk::new("pv-one-pod", "etcd-a-pvc", "local", "ReadWriteOncePod");
    disk.store(1 << 16, OURS);
    let got = disk.namespace.run(&disk.get(""));
    assert_eq!(got.code, Some(0), "{got}");
    disk.no_helper_is_left();
    let user = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: writer}}\nspec:\n  containers: [{{name: w, image: {}, args: [agent, serve, \
         --cluster-name, etcd-a, --volume-dir, /data], volumeMounts: [{{name: d, mountPath: /data}}]}}]\n  volumes: [{{name: d, \
         persistentVolumeClaim: {{claimName: etcd-a-pvc}}}}]\n",
        image()
    );
    disk.namespace.apply(&user).unwrap();
    let refused = disk.namespace.run(&disk.get("--force"));
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("ReadWriteOncePod and in use by pod writer"), "{refused}");
}

/// A node of which nothing is known but that it was there.
struct LostNode<'a>(&'a Namespace);

impl<'a> LostNode<'a> {
    fn new(namespace: &'a Namespace) -> Self {
        // of a run that was killed
        namespace.try_kubectl(&["delete", "node", "-l", "test=lost-node"]);
        let lost = Self(namespace);
        let manifest = format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: {}, labels: {{test: lost-node}}}}\nspec: {{unschedulable: true}}\n",
            lost.name()
        );
        namespace.apply(&manifest).unwrap();
        lost
    }

    fn name(&self) -> String {
        format!("lost-{}", self.0.name)
    }
}

impl Drop for LostNode<'_> {
    fn drop(&mut self) {
        self.0.try_kubectl(&["delete", "node", &self.name(), "--wait=false"]);
    }
}

#[test]
fn a_volume_that_a_lost_node_holds_is_read_after_the_command_of_the_hint() {
    let disk = Disk::new("pv-lost-node", "etcd-a-pvc", "hostPath", "ReadWriteOnce");
    let snapshot = disk.store(1 << 16, OURS);
    let node = LostNode::new(&disk.namespace);
    let user = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: writer}}\nspec:\n  nodeName: {}\n  containers: [{{name: w, image: {}}}]\n  \
         volumes: [{{name: d, persistentVolumeClaim: {{claimName: etcd-a-pvc}}}}]\n",
        node.name(),
        image()
    );
    disk.namespace.apply(&user).unwrap();
    let refused = disk.namespace.run(&disk.get(""));
    assert_eq!(refused.code, Some(1), "{refused}");
    let lost = format!("in use by pod writer on node {}, which is lost", node.name());
    assert!(refused.stderr.contains(&lost), "{refused}");
    let command = refused.stderr.split_once("really off: kubectl ").unwrap().1.lines().next().unwrap();
    disk.namespace.kubectl(&command.split(' ').collect::<Vec<_>>());
    let got = disk.namespace.run(&disk.get(""));
    assert_eq!(got.code, Some(0), "{got}");
    assert_same(&disk.out(), &snapshot);
}

#[test]
fn a_lost_claim_is_bound_again_by_the_commands_of_the_hint() {
    let disk = Disk::new("pv-released", "etcd-a-pvc", "hostPath", "ReadWriteOnce");
    let snapshot = disk.store(1 << 16, OURS);
    disk.namespace.kubectl(&["delete", "pvc", "etcd-a-pvc"]);
    let phase = ["get", "pv", &disk.volume(), "-o", "jsonpath={.status.phase}"];
    eventually("the volume is released", || disk.namespace.kubectl(&phase) == "Released");
    let missing = disk.namespace.run(&disk.get(""));
    assert_eq!(missing.code, Some(3), "{missing}");
    let script = missing.stderr.split_once("bind it again:\n").unwrap().1.replace("hint: ", "");
    let mut shell = Command::new("bash");
    let path = format!("{}:/usr/bin:/bin", crate::sandbox::cache().join("bin").display());
    shell.args(["-c", &script]).env("PATH", path).env("HOME", disk.namespace.sandbox.path());
    let done = shell.env("KUBECONFIG", crate::sandbox::cache().join("cluster/admin.kubeconfig")).output().unwrap();
    assert!(done.status.success(), "{script}{}", String::from_utf8_lossy(&done.stderr));
    let phase = ["get", "pvc", "etcd-a-pvc", "-o", "jsonpath={.status.phase}"];
    eventually("the claim is bound again", || disk.namespace.kubectl(&phase) == "Bound");
    let got = disk.namespace.run(&disk.get(""));
    assert_eq!(got.code, Some(0), "{got}");
    assert_same(&disk.out(), &snapshot);
}

#[test]
fn trouble_is_named_and_a_denial_is_exit_5() {
    let disk = Disk::new("pv-trouble", "etcd-a-pvc", "local", "ReadWriteOnce");
    disk.store(1 << 16, OURS);
    let image = disk.namespace.run("get etcd-a --from pv --helper-image registry.invalid/none:1 -O out");
    assert_eq!(image.code, Some(1), "{image}");
    assert!(image.stderr.contains("ErrImagePull: ") && image.stderr.contains("--helper-image"), "{image}");
    let denied = disk.namespace.run(&disk.get("--as nobody"));
    assert_eq!(denied.code, Some(5), "{denied}");
    assert!(denied.stderr.contains("needs verb get on persistentvolumeclaims"), "{denied}");
    let missing = disk.namespace.run(&disk.get("--claim nothing"));
    assert_eq!(missing.code, Some(3), "{missing}");
    assert!(missing.stderr.contains("etcd-a-pvc; name one with --claim"), "{missing}");
    let other = disk.namespace.run(&disk.get("").replace("get etcd-a", "get etcd-b --claim etcd-a-pvc"));
    assert_eq!(other.code, Some(3), "{other}");
    assert!(other.stderr.contains("clusters there: etcd-a"), "{other}");
    let manual = disk.namespace.run("get etcd-a --print-manual");
    assert_eq!(manual.code, Some(0), "{manual}");
    let text = String::from_utf8(manual.stdout).unwrap();
    assert!(text.contains("on node node1") && text.contains(&disk.directory.path().display().to_string()), "{text}");
    disk.no_helper_is_left();
}

#[test]
fn a_client_that_ends_takes_its_helper_with_it_and_one_that_is_killed_leaves_it_for_a_minute() {
    let disk = Disk::new("pv-ended", "etcd-a-pvc", "local", "ReadWriteOnce");
    let snapshot = disk.store(8 << 20, OURS);
    for signal in ["INT", "TERM", "KILL"] {
        let [held, go_on] = barriers();
        let wire = Wire::before(&disk.namespace, 2 << 20, Then::Hold([Arc::clone(&held), Arc::clone(&go_on)]));
        let words = format!("{} -n {}", disk.get(&wire.flags()), disk.namespace.name);
        let words: Vec<&str> = words.split_whitespace().collect();
        let mut client = disk.namespace.sandbox.command(&words).stderr(Stdio::null()).spawn().unwrap();
        eventually("the client is in the middle", || wire.middles() > 0);
        held.wait();
        assert!(!disk.helpers().is_empty());
        Command::new("kill").args([&format!("-{signal}"), &client.id().to_string()]).status().unwrap();
        go_on.wait();
        let code = client.wait().unwrap().code();
        assert_eq!(code, (signal != "KILL").then_some(130), "{signal}");
        disk.no_helper_is_left();
    }
    let got = disk.namespace.run(&disk.get(""));
    assert_eq!(got.code, Some(0), "{got}");
    assert!(got.stderr.contains("what it brought is used"), "{got}");
    assert_same(&disk.out(), &snapshot);
}

/// `PV_MIB` and `PV_ROUNDS` make more of it: tests/soak/pv_cuts.
#[test]
fn connections_that_are_cut_at_random_cost_no_byte() {
    let set = |name: &str, default: usize| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (size, rounds) = (set("PV_MIB", 64) << 20, set("PV_ROUNDS", 3));
    let disk = Disk::new("pv-cuts", "etcd-a-pvc", "local", "ReadWriteOnce");
    let snapshot = disk.store(size, OURS);
    for round in 0..rounds {
        let wire = Wire::before(&disk.namespace, size / 3, Then::CutSome(3));
        let got = disk.namespace.run(&disk.get(&format!("--force {}", wire.flags())));
        assert_eq!(got.code, Some(0), "round {round}: {got}");
        assert_same(&disk.out(), &snapshot);
        let line =
            format!("round {round}: {} bytes, {} connections came so far as to be cut", snapshot.len(), wire.middles());
        writeln!(std::io::stdout(), "{line}").unwrap();
        assert!(wire.middles() > 0);
        disk.no_helper_is_left();
    }
}
