//! `agent backup` from a real etcd to a mounted directory: what it writes, and what it does about faults of the disk
//! and about what others planted there. What both kinds of store have to do alike is in `agent_retention`.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::agent_backup::{backup, etcd_version, failed, stored};
use crate::etcd::{Etcd, etcdutl_status};
use crate::sandbox::{Output, Sandbox, binary};
use crate::shelf::{Disk, Shelf, mark};

fn name(revision: u64) -> String {
    format!("v1/etcd-a/{}_{revision:016x}_etcd.backup", etcd_version())
}

#[test]
fn a_snapshot_goes_to_the_volume_and_comes_back_as_etcd_made_it() {
    let (etcd, disk, sandbox) = (Etcd::start(), Disk::new(), Sandbox::new());
    (0..20).for_each(|n| etcd.put(&format!("key{n}"), "value"));
    let (output, report) = backup(&sandbox, &etcd, &disk.flags());
    assert_eq!(output.code, Some(0), "{output}");
    let (file, report) = (disk.path().join(name(21)), serde_json::to_value(report).unwrap());
    assert_eq!((&report["s3Path"], &report["layout"]), (&file.to_str().into(), &"Cluster".into()), "{report}");
    let line = format!("{}  revision 21  etcd {}  ", file.display(), etcd_version());
    assert!(String::from_utf8_lossy(&output.stdout).starts_with(&line), "{output}");
    for file in [&file, &mark(&file)] {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
    let get = sandbox.run(&format!("get etcd-a --from dir --dir {} -O back", disk.path().display()));
    assert_eq!(get.code, Some(0), "{get}");
    assert_eq!(etcdutl_status(&sandbox.path().join("back")), (21, 20));

    let again = stored(&sandbox, &etcd, &disk.flags());
    assert_eq!((&again["alreadyStored"], &again["sha256"]), (&true.into(), &report["sha256"]), "{again}");
    assert_eq!(disk.keys(), [name(21)]);
}

#[test]
fn a_recreated_cluster_begins_a_history_of_its_own_on_a_volume() {
    let (disk, sandbox, first) = (Disk::new(), Sandbox::new(), Etcd::start());
    (0..5).for_each(|n| first.put(&format!("key{n}"), "value"));
    stored(&sandbox, &first, &disk.flags());
    let second = Etcd::start();
    second.put("key", "value");
    let report = stored(&sandbox, &second, &format!("{} --keep 1", disk.flags()));
    let history = report["history"].as_str().unwrap();
    let later = name(2).replace("etcd-a/", &format!("etcd-a/history/{history}/"));
    assert_eq!((disk.keys(), mark(&disk.path().join(&later)).is_file()), (vec![name(6), later], true), "{report}");
    let again = stored(&sandbox, &second, &disk.flags());
    assert_eq!((&again["alreadyStored"], &again["history"]), (&true.into(), &history.into()), "{again}");
    let get = sandbox.run(&format!("get etcd-a --from dir --dir {}", disk.path().display()));
    assert_eq!(get.code, Some(3), "{get}");
    let reason = failed(&sandbox, &first, &disk.flags(), 1);
    assert!(reason.starts_with("PrefixShared: "), "{reason}");
}

/// An agent that is writing, or that has ended.
fn begin(sandbox: &Sandbox, etcd: &Etcd, disk: &Disk) -> Child {
    let line = format!("agent backup --cluster-name etcd-a --endpoints {} {}", etcd.url, disk.flags());
    let words: Vec<&str> = line.split_whitespace().collect();
    let left = disk.temporary().len();
    let mut agent = sandbox.command(&words).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while disk.temporary().len() == left && agent.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    agent
}

#[test]
fn a_run_that_is_killed_leaves_nothing_under_the_name_and_a_later_one_clears_up() {
    let (etcd, disk, sandbox) = (Etcd::start(), Disk::new(), Sandbox::new());
    etcd.put_megabytes(40);
    let mut rounds = 0_usize;
    // on a fast machine a run may end before the signal comes
    while disk.temporary().is_empty() && rounds < 20 {
        etcd.put("round", &rounds.to_string());
        let mut agent = begin(&sandbox, &etcd, &disk);
        agent.kill().unwrap();
        agent.wait().unwrap();
        rounds += 1;
    }
    let all = disk.temporary();
    // one that is killed while it writes its metadata leaves those beside the file
    let (metadata, left): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|name| name.ends_with(".json"));
    let tmp = |name: &String| format!("v1/etcd-a/tmp/{name}");
    assert_eq!((left.len(), disk.keys().len() - metadata.len()), (1, rounds), "{all:?}");
    // the next of the same revision is stored, and what may still be somebody's work stays
    let next = stored(&sandbox, &etcd, &disk.flags());
    assert_eq!((&next["alreadyStored"], disk.temporary()), (&false.into(), all), "{next}");
    let others = [name(15).replace("etcd-a/", "etcd-a/tmp/"), "v1/etcd-a/tmp/notes.txt".to_owned()];
    others.iter().for_each(|key| disk.put(key, b"somebody's"));
    stored(&sandbox, &etcd, &format!("{} --stale-after 0", disk.flags()));
    assert!(!disk.keys().contains(&tmp(&left[0])) && others.iter().all(|other| disk.keys().contains(other)));
}

#[test]
fn a_signal_ends_a_run_and_nothing_is_left() {
    let (etcd, disk, sandbox) = (Etcd::start(), Disk::new(), Sandbox::new());
    etcd.put_megabytes(40);
    let mut agent = begin(&sandbox, &etcd, &disk);
    // done already on a fast machine: then the signal finds nobody, and a whole file is right
    let _ = kill_process(Pid::from_child(&agent), Signal::TERM);
    let (code, stored) = (agent.wait().unwrap().code(), disk.keys().len());
    assert!((code, stored) == (Some(130), 0) || (code, stored) == (Some(0), 1), "exit {code:?}, {stored} stored");
    assert_eq!(disk.temporary(), [""; 0]);
}

#[test]
fn links_and_files_that_somebody_planted_make_a_run_fail_and_change_nothing_elsewhere() {
    let (etcd, sandbox) = (Etcd::start(), Sandbox::new());
    etcd.put("key", "value");
    let mark = format!("v1/etcd-a/meta/{}_0000000000000002_etcd.backup.json", etcd_version());
    let file = name(2);
    for (planted, reason) in [
        ("v1", "is a link or a file"),
        ("v1/etcd-a", "is a link or a file"),
        ("v1/etcd-a/tmp", "is a link or a file"),
        ("v1/etcd-a/meta", "is a link or a file"),
        ("v1/etcd-a/history", "is a link or a file"),
        (file.as_str(), "KeyExists: "),
    ] {
        let (disk, outside) = (Disk::new(), tempfile::tempdir().unwrap());
        let link = disk.path().join(planted);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(outside.path(), &link).unwrap();
        let said = failed(&sandbox, &etcd, &disk.flags(), 1);
        assert!(said.contains(reason), "{planted}: {said}");
        assert!(link.is_symlink() && disk.temporary().is_empty(), "{planted}");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "{planted}");
    }
    // a link in the place of a mark is replaced, not written through
    let (disk, outside) = (Disk::new(), tempfile::tempdir().unwrap());
    std::fs::create_dir_all(disk.path().join("v1/etcd-a/meta")).unwrap();
    symlink(outside.path().join("x"), disk.path().join(&mark)).unwrap();
    stored(&sandbox, &etcd, &disk.flags());
    assert!(disk.path().join(&mark).is_file() && !outside.path().join("x").exists());
}

#[test]
fn a_file_of_somebody_else_under_the_name_is_never_overwritten() {
    let (etcd, disk, sandbox) = (Etcd::start(), Disk::new(), Sandbox::new());
    etcd.put("key", "value");
    disk.put(&name(2), b"somebody else's");
    let reason = failed(&sandbox, &etcd, &disk.flags(), 1);
    assert!(reason.starts_with("KeyExists: "), "{reason}");
    assert_eq!(std::fs::read(disk.path().join(name(2))).unwrap(), b"somebody else's");
    assert!(disk.temporary().is_empty());
}

/// Runs a script where `volume` can be mounted on, in a name space of its own: that needs no root. `agent` in it is a
/// run of the agent, which takes more flags, and `put` changes etcd.
fn with_mounts(sandbox: &Sandbox, etcd: &Etcd, script: &str) -> Output {
    std::fs::create_dir_all(sandbox.path().join("volume")).unwrap();
    let line = format!("agent backup --cluster-name etcd-a --endpoints {} --volume-dir volume", etcd.url);
    let words: Vec<&str> = line.split_whitespace().collect();
    let plugin = sandbox.command(&words);
    let etcdctl = format!("{} --endpoints {}", binary("etcdctl").display(), etcd.url);
    let script = format!(
        "command=(\"$@\"); agent() {{ \"${{command[@]}}\" \"$@\"; local code=$?; echo \"exit $code\"; return $code; }}\n\
         put() {{ {etcdctl} put key $RANDOM >&2; }}\n{script}"
    );
    let mut shell = Command::new("/usr/bin/unshare");
    shell.args(["-Urm", "bash", "-c", &script, "bash"]).arg(plugin.get_program()).args(plugin.get_args());
    shell.current_dir(sandbox.path()).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    shell.envs(plugin.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Output::of(shell.stdin(Stdio::null()).output().unwrap(), sandbox)
}

/// The size of a snapshot now, in KiB.
fn kibibytes(sandbox: &Sandbox, etcd: &Etcd) -> u64 {
    stored(sandbox, etcd, &Disk::new().flags())["size"].as_u64().unwrap() / 1024
}

fn lines(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn a_volume_that_is_too_small_is_said_with_its_numbers_and_nothing_is_left() {
    let (etcd, sandbox) = (Etcd::start(), Sandbox::new());
    etcd.put_megabytes(3);
    let size = kibibytes(&sandbox, &etcd) / 2;
    let script = format!("mount -t tmpfs -o size={size}k none volume && agent; find volume -type f");
    let output = with_mounts(&sandbox, &etcd, &script);
    assert_eq!(lines(&output), ["exit 1"], "{output}");
    assert!(output.stderr.contains("error: VolumeFull: the snapshot has "), "{output}");
    assert!(output.stderr.contains(" are free in ") && output.stderr.contains("\nhint: make the volume"), "{output}");
}

#[test]
fn keeping_fewer_makes_room_on_a_full_volume() {
    let (etcd, sandbox) = (Etcd::start(), Sandbox::new());
    etcd.put_megabytes(3);
    let fill = "mount -t tmpfs -o size=24m none volume || exit; for run in {1..20}; do agent || break; put; done";
    let output = with_mounts(&sandbox, &etcd, &format!("{fill}; agent --keep 1; find volume -type f"));
    let lines = lines(&output);
    let exits: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("exit ")).collect();
    assert!(exits.ends_with(&["0", "0", "1", "0"]), "{output}");
    let files: Vec<&String> = lines.iter().filter(|line| line.starts_with("volume/")).collect();
    assert!(files.len() == 3 && files.iter().any(|file| file.ends_with("/meta/lock")), "{output}");
    assert!(files.iter().any(|file| file.ends_with("_etcd.backup.json")), "{output}");
    let expired = format!("{} expired", exits.len() - 2);
    assert!(output.stderr.contains("VolumeFull: ") && lines.iter().any(|line| line.ends_with(&expired)), "{output}");
}

#[test]
fn a_limit_on_the_size_of_files_is_told_apart_from_a_full_volume() {
    let (etcd, sandbox) = (Etcd::start(), Sandbox::new());
    etcd.put_megabytes(3);
    let output = with_mounts(&sandbox, &etcd, "ulimit -f 1024; agent; find volume -type f");
    assert_eq!(lines(&output), ["exit 1"], "{output}");
    assert!(output.stderr.contains("error: no file in ") && !output.stderr.contains("VolumeFull"), "{output}");
}

#[test]
fn a_volume_that_is_mounted_read_only_is_said() {
    let (etcd, sandbox) = (Etcd::start(), Sandbox::new());
    let script = "mount --bind volume volume && mount -o remount,bind,ro volume && agent; find volume -type f";
    let output = with_mounts(&sandbox, &etcd, script);
    assert_eq!(lines(&output), ["exit 1"], "{output}");
    assert!(output.stderr.contains("Read-only file system"), "{output}");
    assert!(output.stderr.contains("hint: mount the volume so that it can be written to"), "{output}");
}

#[test]
fn flags_of_a_bucket_and_a_directory_that_is_none_are_the_command_lines_fault() {
    let (etcd, sandbox, disk) = (Etcd::start(), Sandbox::new(), Disk::new());
    for flag in ["--bucket etcd-backups", "--prefix x", "--path etcd-backups/x", "--default-layout cluster"] {
        let (output, _) = backup(&sandbox, &etcd, &format!("{} {flag}", disk.flags()));
        assert_eq!(output.code, Some(2), "{output}");
    }
    let missing = Path::new("nowhere");
    let reason = failed(&sandbox, &etcd, &format!("--volume-dir {}", missing.display()), 2);
    assert!(reason.ends_with("/nowhere is no directory") && !sandbox.path().join(missing).exists(), "{reason}");
}
