//! `volume list`.

use std::process::Stdio;

use insta::assert_snapshot;

use crate::fake_aws::{self, FakeAws};
use crate::volume_snapshot::{shown, three_masters};

/// As much memory as a listing of everything may take, in KiB.
const MOST_MEMORY: u64 = 100 * 1024;

#[test]
fn sets_are_shown_with_what_they_lack() {
    let fake = three_masters();
    let sandbox = fake.sandbox();
    assert_eq!(sandbox.run("volume list -q").to_string(), "");
    for line in ["volume snapshot --set first --wait -q", "volume snapshot --set second --member a --wait -q"] {
        let output = sandbox.run(line);
        assert_eq!(output.code, Some(0), "{output}");
    }
    fake.state(|state| state.snapshots.values_mut().last().unwrap().status = "error".to_owned());
    let output = sandbox.run("volume list");
    let text = shown(&output, &fake);
    let without_age = |line: &str| line.rsplit_once("   ").map_or(line, |(rest, _)| rest).trim_end().to_owned();
    assert_snapshot!("sets", text.lines().map(without_age).collect::<Vec<_>>().join("\n"));
    let names = sandbox.run("volume ls -o name -q --cluster-name k.example.com");
    assert_eq!(names.to_string(), "second\nfirst\n");
    assert_eq!(sandbox.run("volume ls -o name -q --cluster-name other").to_string(), "");
    let wide = sandbox.run("volume ls -o wide -q").to_string();
    assert!(wide.contains("b.etcd-events.k.example.com"), "{wide}");
    let json: serde_json::Value = serde_json::from_slice(&sandbox.run("volume ls -o json -q").stdout).unwrap();
    assert_eq!(json["sets"][1]["snapshots"][0]["availabilityZone"], "eu-west-1a");
    assert!(sandbox.run("volume ls -o yaml -q").to_string().starts_with("sets:\n- availabilityZones:\n"));
}

#[test]
fn ten_thousand_snapshots_need_few_requests_and_little_memory() {
    let fake = FakeAws::start();
    let now = jiff::Timestamp::now().as_second();
    fake.state(|state| {
        for n in 0..10_000_i64 {
            let member = ["a", "b", "c", "d"][usize::try_from(n % 4).unwrap()];
            let ours = [
                ("managed", "1"),
                ("cluster", "k.example.com"),
                ("etcd", "main"),
                ("member", member),
                ("members", "a,b,c,d"),
                ("etcds", "main"),
                ("set", &format!("set-{}", n / 4)),
                ("az", "eu-west-1a"),
            ];
            let ours = ours.map(|(key, value)| (format!("etcdbackup/{key}"), value.to_owned()));
            let others = (0..12).map(|n| (format!("a-label-of-the-cluster-{n}"), "its value".to_owned()));
            let snapshot = fake_aws::Snapshot {
                owner: state.account.clone(),
                status: "completed".to_owned(),
                started: now - n * 60,
                size: 20,
                tier: "standard".to_owned(),
                tags: ours.into_iter().chain(others).collect(),
                ..fake_aws::Snapshot::default()
            };
            state.snapshots.insert(format!("snap-{n:017x}"), snapshot);
        }
    });
    // the document is larger than the table
    let (lines, peak) = measured(fake.sandbox().command(&["volume", "list", "-q", "-o", "json"]));
    assert!(lines >= 10_000, "{lines}");
    let requests = fake.requests().len();
    assert!(requests <= 10_000 / 1_000 + 5, "{requests}");
    assert!(peak > 0 && peak < MOST_MEMORY, "{peak} KiB");
}

/// The lines that a command prints, and the most memory that it had, in KiB.
fn measured(mut command: std::process::Command) -> (usize, u64) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (status, mut out) = (format!("/proc/{}/status", child.id()), child.stdout.take().unwrap());
    // the last look is after the last byte but before the end
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut out, &mut text).map(|_| text.lines().count())
    });
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        peak = line.and_then(|kib| kib.trim().parse().ok()).unwrap_or(peak).max(peak);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    (reader.join().unwrap().unwrap(), peak)
}
