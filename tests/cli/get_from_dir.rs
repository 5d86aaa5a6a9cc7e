//! `get|list --from dir`: a disk mounted by hand, with neither Kubernetes nor S3.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use insta::assert_snapshot;

use crate::sandbox::{Output, Sandbox};
use crate::servers::snapshot;

const OLD: &str = "3.5.0_000000000000000e_etcd.backup";
const NEW: &str = "3.5.0_000000000000000f_etcd.backup";

/// A disk with these files, each with bytes that pass for a snapshot.
fn disk(files: &[&str]) -> tempfile::TempDir {
    let disk = tempfile::tempdir().unwrap();
    for (at, file) in files.iter().enumerate() {
        let path = disk.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, snapshot(8, at as u8)).unwrap();
    }
    disk
}

/// A disk as etcd-operator left it.
fn volume() -> tempfile::TempDir {
    let file = |name: &str| format!("v1/etcd-a/{name}");
    let disk = disk(&[&file(OLD), &file(NEW), &file("tmp/x"), &file("meta/x.json"), "lost+found/x"]);
    fs::write(disk.path().join("v1/etcd-a/notes.txt"), b"mine").unwrap();
    disk
}

/// Normalised: where the disk is, and the ages and times of its files.
fn assert_shown(name: &str, output: &Output, disk: &Path) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"\d+[smh] +dir", "(age) dir");
    settings.add_filter(r#"\d{4}-\d\d-\d\dT[^"]+Z"#, "(time)");
    let text = output.to_string().replace(&disk.display().to_string(), "/mnt");
    settings.bind(|| assert_snapshot!(name, text));
}

/// Runs the plugin as somebody who does not own the disk; tests may run as root, to whom no file is closed.
pub fn run_as_nobody(sandbox: &Sandbox, words: &str) -> (Option<i32>, String) {
    let mut command = sandbox.command(&words.split(' ').collect::<Vec<_>>());
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(sandbox.path(), fs::Permissions::from_mode(0o777)).unwrap();
        // the build may lie below a home directory that is closed to others
        let program = sandbox.path().join("plugin");
        // by another process: one that a test beside this one forks would hold the file open for writing
        assert!(Command::new("cp").arg(command.get_program()).arg(&program).status().unwrap().success());
        let mut copied = Command::new(program);
        copied.args(command.get_args()).current_dir(sandbox.path()).env_clear();
        copied.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command = copied;
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn the_newest_is_copied_proved_and_named_without_a_kubeconfig() {
    let (disk, mut sandbox) = (volume(), Sandbox::new());
    sandbox.set("KUBECONFIG", "/nowhere/that/could/be/read");
    let get = format!("get etcd-a --from dir --dir {}", disk.path().display());
    let output = sandbox.run(&get);
    assert_shown("newest", &output, disk.path());
    assert_eq!(fs::read(sandbox.path().join(NEW)).unwrap(), snapshot(8, 1));
    let mode = fs::metadata(sandbox.path().join(NEW)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let older = sandbox.run(&format!("{get} --revision 0xe -O - -q"));
    assert_eq!((older.code, older.stdout), (Some(0), snapshot(8, 0)));
    assert_shown("selection", &sandbox.run(&format!("{get} -o json")), disk.path());
    assert_eq!(sandbox.run(&format!("{get} --etcd-version 3.7.0 -o name")).code, Some(1));
    assert_eq!(sandbox.run(&format!("{get} --revision 3 -o name")).code, Some(3));
}

#[test]
fn dir_alone_says_enough_and_the_only_cluster_needs_no_name() {
    let (disk, sandbox) = (volume(), Sandbox::new());
    for level in ["", "v1", "v1/etcd-a"] {
        let output = sandbox.run(&format!("get --dir {} -o name -q", disk.path().join(level).display()));
        assert_eq!(output.to_string(), format!("{NEW}\n------- stderr -------\n{}", foreign()), "{level}");
    }
    let list = sandbox.run(&format!("list --dir {}", disk.path().display()));
    assert_shown("list", &list, disk.path());
}

fn foreign() -> &'static str {
    "warning: skipped 1 object whose name is not VERSION_REVISION_etcd.backup: notes.txt\n"
}

#[test]
fn several_clusters_and_histories_are_exit_3_with_the_candidates() {
    let later = format!("v1/default/etcd-b/history/20260102T030405Z_ab/{OLD}");
    let disk = disk(&[&format!("v1/etcd-a/{NEW}"), &format!("v1/default/etcd-b/{NEW}"), &later]);
    let sandbox = Sandbox::new();
    let root = disk.path().display().to_string();
    for (name, line) in [
        ("clusters", "get --dir ROOT"),
        ("clusters_listed", "list --dir ROOT"),
        ("histories", "get etcd-b --dir ROOT"),
        ("no_such_cluster", "get etcd-x --dir ROOT"),
        ("no_directory", "get --dir ROOT/none"),
    ] {
        let output = sandbox.run(&line.replace("ROOT", &root));
        assert_eq!(output.code, Some(3), "{line}: {output}");
        assert_shown(name, &output, disk.path());
    }
    let latest = sandbox.run(&format!("get etcd-b --dir {root} --history latest -O latest -q"));
    assert_eq!(latest.code, Some(0), "{latest}");
    assert_eq!(fs::read(sandbox.path().join("latest")).unwrap(), snapshot(8, 2));
    let all = sandbox.run(&format!("list etcd-b --dir {root} -o name -q"));
    assert_eq!(all.to_string(), format!("{OLD}\n{NEW}\n"));
}

#[test]
fn bytes_that_fail_proof_are_exit_4_and_the_next_older_one_is_named() {
    let (disk, sandbox) = (volume(), Sandbox::new());
    let newest = disk.path().join("v1/etcd-a").join(NEW);
    let mut flipped = snapshot(8, 1);
    flipped[1000] ^= 4;
    for bytes in [flipped, snapshot(8, 1)[..3000].to_vec(), Vec::new()] {
        fs::write(&newest, bytes).unwrap();
        let output = sandbox.run(&format!("get etcd-a --dir {}", disk.path().display()));
        assert_eq!(output.code, Some(4), "{output}");
        assert!(output.stderr.contains("--revision 14\n"), "{output}");
        assert_eq!(fs::read_dir(sandbox.path()).unwrap().count(), 0);
    }
}

#[test]
fn a_target_among_the_backups_is_refused() {
    let (disk, sandbox) = (volume(), Sandbox::new());
    let directory = disk.path().join("v1/etcd-a");
    let before = fs::read_dir(&directory).unwrap().count();
    for target in [NEW, "", "other", OLD] {
        let line = format!("get --dir {} --force -O {}", disk.path().display(), directory.join(target).display());
        let output = sandbox.run(&line);
        assert_eq!(output.code, Some(2), "{output}");
        assert!(output.stderr.contains("would lie among the backups themselves"), "{output}");
    }
    assert_eq!(fs::read_dir(&directory).unwrap().count(), before);
    assert_eq!(fs::read(directory.join(NEW)).unwrap(), snapshot(8, 1));
}

#[test]
fn what_only_root_may_read_is_exit_5_with_sudo() {
    let (disk, sandbox) = (volume(), Sandbox::new());
    let (root, directory) = (disk.path(), disk.path().join("v1/etcd-a"));
    let close = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    close(root, 0o755);
    for (path, mode) in [(directory.join(NEW), 0o644), (directory, 0o755), (root.join("v1"), 0o755)] {
        close(&path, 0o000);
        let (code, stderr) = run_as_nobody(&sandbox, &format!("get etcd-a --dir {} -O -", root.display()));
        close(&path, mode);
        assert_eq!(code, Some(5), "{}: {stderr}", path.display());
        assert!(stderr.contains("cannot read ") && stderr.contains("sudo"), "{stderr}");
    }
}

#[test]
fn flags_that_mean_another_place_are_exit_2() {
    let (disk, sandbox) = (volume(), Sandbox::new());
    let root = disk.path().display();
    for line in [
        "get etcd-a --from dir".to_owned(),
        "list etcd-a --from dir".to_owned(),
        format!("get etcd-a --dir {root} --bucket bbb"),
        format!("list etcd-a --dir {root} --from s3"),
        format!("get etcd-a --dir {root} --from service"),
        format!("get --dir {root} --service-url http://x"),
        format!("list -A --dir {root}"),
        format!("get --dir {root}/v1/etcd-a/{NEW}"),
        format!("get ../etcd-a --dir {root}"),
    ] {
        let output = sandbox.run(&line);
        assert_eq!(output.code, Some(2), "{line}: {output}");
    }
}
