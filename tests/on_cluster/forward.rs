//! Port-forwards that break: each attempt has a connection of its own, and what came before the break is kept.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};

use crate::cluster::{Namespace, eventually};
use crate::pages;

/// Bytes of a snapshot.
const SIZE: usize = 48 << 20;

/// Bytes of one that does not fit into the buffers on its way: each of the five hops holds some MiB.
const BEYOND_BUFFERS: usize = 192 << 20;

/// When a connection has brought so many bytes to the client, it is in the middle of the snapshot.
const MIDDLE: usize = 8 << 20;

/// What the line does with a connection that is in the middle.
#[derive(Clone)]
enum Then {
    /// It ends without a word.
    Cut,
    /// And from then on nobody is let in.
    CutForEver,
    /// It stands still: the first barrier tells that it does, the second lets it go on.
    Hold([Arc<Barrier>; 2]),
}

/// A line before the API server. TLS goes through it unread.
struct Wire {
    url: String,
    /// Connections that came to the middle.
    middles: Arc<AtomicUsize>,
}

impl Wire {
    /// A line on which the first connection that comes to the middle meets `then`.
    fn before(server: &str, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (server, middles) = (server.to_owned(), Arc::<AtomicUsize>::default());
        let seen = Arc::clone(&middles);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if matches!(then, Then::CutForEver) && seen.load(Ordering::SeqCst) > 0 {
                    continue;
                }
                let (then, seen, upstream) = (then.clone(), Arc::clone(&seen), TcpStream::connect(&server).unwrap());
                std::thread::spawn(move || carry(&client.unwrap(), &upstream, &then, &seen));
            }
        });
        Self { url, middles }
    }
}

fn carry(client: &TcpStream, server: &TcpStream, then: &Then, middles: &AtomicUsize) {
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        // either end may go away first
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut server, mut client, mut came) = (server, client, 0);
    let mut chunk = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = server.read(&mut chunk) {
        let before = came;
        came += count;
        if client.write_all(&chunk[..count]).is_err() {
            break;
        }
        if before < MIDDLE && came >= MIDDLE && middles.fetch_add(1, Ordering::SeqCst) == 0 {
            match then {
                Then::Cut | Then::CutForEver => break,
                Then::Hold([held, go_on]) => {
                    held.wait();
                    go_on.wait();
                }
            }
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

/// A cluster with a sidecar, whose newest snapshot is large and does not compress.
struct Served {
    namespace: Namespace,
    snapshot: Vec<u8>,
    /// Host and port of the API server.
    server: String,
}

impl Served {
    fn new(test: &str, size: usize) -> Self {
        let namespace = Namespace::with_operator(test);
        namespace.etcd("etcd-a");
        let store = namespace.s3.flags(&namespace.name);
        let created = namespace.run(&format!("create etcd-a --name one {store} --wait --timeout 2m"));
        assert_eq!(created.code, Some(0), "{created}");
        namespace.kubectl(&["rollout", "status", "deployment/etcd-a-backup-sidecar", "--timeout=60s"]);
        let mut random = vec![0; size];
        File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
        let snapshot = pages::snapshot_with(random);
        let config = ["config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}"];
        let server = namespace.kubectl(&config).trim().trim_start_matches("https://").to_owned();
        let served = Self { namespace, snapshot, server };
        served.store();
        served
    }

    /// Stores the snapshot beside the one of the backup, with a greater revision.
    fn store(&self) {
        let (namespace, facts) = (&self.namespace, &self.namespace.s3);
        let path = namespace.field("one", "{.status.s3Path}");
        let (directory, name) = path.rsplit_once('/').unwrap();
        let (version, _) = name.split_once('_').unwrap();
        let url = format!("{}/{directory}/{version}_0000000100000000_etcd.backup", facts.get("S3_ENDPOINT"));
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
    fn words(&self, wire: &Wire) -> String {
        let host = self.server.split(':').next().unwrap();
        format!("get etcd-a --from service -O out --server {} --tls-server-name {host}", wire.url)
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
    let wire = Wire::before(&served.server, Then::Cut);
    let output = served.namespace.run(&served.words(&wire));
    assert_eq!(output.code, Some(0), "{output}");
    assert!(std::fs::read(served.file("out")).unwrap() == served.snapshot);
    assert_eq!((wire.middles.load(Ordering::SeqCst), served.answers(206)), (2, 1), "{output}");
}

#[test]
fn an_api_server_that_stays_away_ends_the_download_and_a_later_one_goes_on() {
    let served = Served::new("forward-away", SIZE);
    let wire = Wire::before(&served.server, Then::CutForEver);
    let output = served.namespace.run(&served.words(&wire));
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
    let barriers = [(); 2].map(|()| Arc::new(Barrier::new(2)));
    let wire = Wire::before(&served.server, Then::Hold(barriers.clone()));
    let words = served.words(&wire);
    let [held, go_on] = barriers;
    std::thread::scope(|scope| {
        let get = scope.spawn(|| served.namespace.run(&format!("{words} --stall-timeout 2m")));
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
