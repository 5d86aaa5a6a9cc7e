//! Port-forwards that break: each attempt has a connection of its own, and what came before the break is kept.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;

use crate::cluster::{Namespace, eventually};
use crate::wire::{Then, Wire, barriers};

/// Bytes of a snapshot.
const SIZE: usize = 48 << 20;

/// Bytes of one that does not fit into the buffers on its way: each of the five hops holds some MiB.
const BEYOND_BUFFERS: usize = 192 << 20;

/// When a connection has brought so many bytes to the client, it is in the middle of the snapshot.
const MIDDLE: usize = 8 << 20;

/// A cluster with a sidecar, whose newest snapshot is large and does not compress.
struct Served {
    namespace: Namespace,
    snapshot: Vec<u8>,
}

impl Served {
    fn new(test: &str, size: usize) -> Self {
        let namespace = Namespace::with_operator(test);
        namespace.etcd("etcd-a");
        let store = namespace.s3.flags(&namespace.name);
        let created = namespace.run(&format!("create etcd-a --name one {store} --wait --timeout 2m"));
        assert_eq!(created.code, Some(0), "{created}");
        namespace.rolled_out("deployment/etcd-a-backup-sidecar");
        let mut random = vec![0; size];
        File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
        let snapshot = crate::pages::snapshot_with(random);
        let served = Self { namespace, snapshot };
        served.store();
        served
    }

    /// Stores the snapshot beside the one of the backup, with a greater revision.
    fn store(&self) {
        let (namespace, facts) = (&self.namespace, &self.namespace.s3);
        let path = namespace.field("one", "{.status.s3Path}");
        let (directory, name) = path.rsplit_once('/').unwrap();
        let (version, _) = name.split_once('_').unwrap();
        let url = format!("{}/{directory}/{version}_0000010000000000_etcd.backup", facts.get("S3_ENDPOINT"));
        let file = self.file("stored");
        std::fs::write(&file, &self.snapshot).unwrap();
        let user = format!("{}:{}", facts.get("S3_BACKUP_ACCESS_KEY"), facts.get("S3_BACKUP_SECRET_KEY"));
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--fail", "--aws-sigv4", "aws:amz:us-east-1:s3", "--user", &user, "-T"]).arg(&file);
        let done = curl.args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", &url]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    fn file(&self, name: &str) -> PathBuf {
        self.namespace.sandbox.path().join(name)
    }

    /// The words that get the snapshot over `wire`.
    fn words(wire: &Wire) -> String {
        format!("get etcd-a --from service -O out {}", wire.flags())
    }

    /// Answers of the sidecar with this code, as it counted them.
    fn answers(&self, code: u16) -> usize {
        let pod = ["get", "pods", "-l", "app=etcd_backup_tool", "-o", "jsonpath={.items[0].status.podIP}"];
        let url = format!("http://{}:19999/metrics", self.namespace.kubectl(&pod));
        let text = Command::new("curl").args(["-s", "-m", "20", &url]).output().unwrap().stdout;
        let wanted = format!("etcdbackup_sidecar_requests_total{{code=\"{code}\"}} ");
        let text = String::from_utf8(text).unwrap();
        text.lines().find_map(|line| line.strip_prefix(&wanted)?.parse().ok()).unwrap_or_default()
    }
}

#[test]
fn a_connection_that_is_cut_is_opened_anew_and_only_the_rest_is_fetched() {
    let served = Served::new("forward-cut", SIZE);
    let wire = Wire::before(&served.namespace, MIDDLE, Then::Cut);
    let output = served.namespace.run(&Served::words(&wire));
    assert_eq!(output.code, Some(0), "{output}");
    assert!(std::fs::read(served.file("out")).unwrap() == served.snapshot);
    assert_eq!((wire.middles(), served.answers(206)), (2, 1), "{output}");
}

#[test]
fn an_api_server_that_stays_away_ends_the_download_and_a_later_one_goes_on() {
    let served = Served::new("forward-away", SIZE);
    let wire = Wire::before(&served.namespace, MIDDLE, Then::CutForEver);
    let output = served.namespace.run(&Served::words(&wire));
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("go on where it ended: "), "{output}");
    assert!(!served.file("out").exists());
    let again = served.namespace.run("get etcd-a --from service -O out");
    assert_eq!(again.code, Some(0), "{again}");
    assert!(std::fs::read(served.file("out")).unwrap() == served.snapshot);
    assert_eq!(served.answers(206), 1, "{again}");
}

#[test]
fn a_pod_that_is_deleted_in_the_middle_is_followed_by_its_successor() {
    let served = Served::new("forward-deleted", BEYOND_BUFFERS);
    let barriers = barriers();
    let wire = Wire::before(&served.namespace, MIDDLE, Then::Hold(barriers.clone()));
    let words = Served::words(&wire);
    let [held, go_on] = barriers;
    std::thread::scope(|scope| {
        let get = scope.spawn(|| served.namespace.run(&format!("{words} --stall-timeout 2m")));
        eventually("the download is in the middle", || wire.middles() > 0);
        held.wait();
        let pod = ["delete", "pod", "-l", "app=etcd_backup_tool", "--grace-period=1", "--wait"];
        served.namespace.kubectl(&pod);
        go_on.wait();
        let output = get.join().unwrap();
        assert_eq!(output.code, Some(0), "{output}");
    });
    assert!(std::fs::read(served.file("out")).unwrap() == served.snapshot);
    assert_eq!(served.answers(206), 1);
}

#[test]
fn what_the_pod_says_to_a_forward_reaches_the_person() {
    let namespace = Namespace::new("forward-refused");
    namespace.etcd("etcd-a");
    // etcd does not listen there
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: etcd-a-backup-sidecar}\n\
                   spec: {selector: {etcd_cluster: etcd-a}, ports: [{port: 19999}]}\n";
    eventually("the Service is there", || namespace.apply(service).is_ok());
    let output = namespace.run("get etcd-a --from service");
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("port-forward") && output.stderr.contains("refused"), "{output}");
}
