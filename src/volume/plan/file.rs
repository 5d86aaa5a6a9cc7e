//! The file of a plan: JSON, for its owner only, never written over.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Plan, VERSION};
use crate::error::{Error, Result};
use crate::volume::tags;

/// Most bytes of a plan: several hundred times those of a large cluster.
const LONGEST: u64 = 1024 * 1024;

/// Writes `plan` to a new file, mode 0600, and to the disk below it.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when there is such a file, or it cannot be written.
pub fn write(plan: &Plan, path: &Path) -> Result<()> {
    let shown = path.display();
    let text = serde_json::to_string_pretty(plan).map_err(|error| Error::general(format!("no plan: {error}")))?;
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Error::general(format!("{shown} exists, and may be the plan of another restore"))
            .hint("choose another file with --out"),
        _ => Error::general(format!("cannot write {shown}: {error}")),
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.write_all(b"\n")).and_then(|()| file.sync_all());
    written.map_err(|error| {
        // half a plan is none
        let _ = std::fs::remove_file(path);
        Error::general(format!("cannot write {shown}: {error}"))
    })
}

/// Reads a plan.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::error::ErrorKind::NotFound) when there is no such file,
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) when it is no plan of this version,
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when it cannot be read.
pub fn read(path: &Path) -> Result<Plan> {
    let shown = path.display();
    let file = std::fs::File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::not_found(format!("there is no file {shown}"))
            .hint("kubectl etcdbackup volume plan makes a plan and writes it"),
        _ => Error::general(format!("cannot read {shown}: {error}")),
    })?;
    let mut bytes = Vec::new();
    let read = file.take(LONGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::general(format!("cannot read {shown}: {error}")))?;
    parse(&bytes).map_err(|reason| {
        Error::usage(format!("{shown} is no plan of a restore: {reason}"))
            .hint("kubectl etcdbackup volume plan makes one")
    })
}

fn parse(bytes: &[u8]) -> Result<Plan, String> {
    if bytes.len() as u64 > LONGEST {
        return Err(format!("it has more than {LONGEST} bytes"));
    }
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => {}
        Some(version) => return Err(format!("its version is {version}, and this program knows {VERSION}")),
        None => return Err("it has no version".to_owned()),
    }
    let plan: Plan = serde_json::from_value(value).map_err(|error| error.to_string())?;
    match flaw(&plan) {
        Some(flaw) => Err(flaw),
        None => Ok(plan),
    }
}

/// What no plan of ours says: somebody has written in it.
fn flaw(plan: &Plan) -> Option<String> {
    if plan.run.is_empty() || plan.disks.is_empty() || plan.groups.is_empty() {
        return Some("it names no run, no disk or no Auto Scaling group".to_owned());
    }
    let (mut disks, mut volumes) = (BTreeSet::new(), BTreeSet::new());
    for one in &plan.disks {
        let disk = plan.disk(one);
        if tags::of_kops(&one.tags).map(|(of, _)| of).as_ref() != Some(&disk) {
            return Some(format!("the tags that it has for {disk} are not those of that disk"));
        }
        if !disks.insert(disk) {
            return Some("it names a disk twice".to_owned());
        }
        if one.old.as_ref().is_some_and(|old| !volumes.insert(&old.id)) {
            return Some("it names an old volume twice".to_owned());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::tests::plan;
    use super::*;

    #[test]
    fn a_plan_comes_back_as_it_was_written_and_is_for_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("plan.json");
        write(&plan(), &path).unwrap();
        assert_eq!(read(&path).unwrap(), plan());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = write(&plan(), &path).unwrap_err();
        assert!(again.message().contains("exists"), "{again}");
    }

    #[test]
    fn what_is_no_plan_is_said_and_read_no_further() {
        let parsed = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert!(parsed("{").contains("EOF"));
        assert_eq!(parsed("{}"), "it has no version");
        assert_eq!(parsed(r#"{"version": 2}"#), "its version is 2, and this program knows 1");
        assert!(parsed(r#"{"version": 1}"#).contains("missing field"));
        assert!(parsed(&"[".repeat(100_000)).contains("recursion"));
        assert!(parse(&vec![b' '; 1024 * 1024 + 1]).unwrap_err().contains("more than"));
        let mut twice = plan();
        twice.disks.push(twice.disks[0].clone());
        assert_eq!(parsed(&serde_json::to_string(&twice).unwrap()), "it names a disk twice");
    }

    #[test]
    fn a_plan_that_somebody_wrote_in_is_refused() {
        type Edit = fn(&mut Plan);
        let edits: [(Edit, &str); 3] = [
            (|plan| plan.groups.clear(), "it names no run, no disk or no Auto Scaling group"),
            (|plan| plan.disks[1].old = plan.disks[0].old.clone(), "it names an old volume twice"),
            (
                |plan| plan.disks[0].tags = plan.disks[1].tags.clone(),
                "the tags that it has for a.etcd-main.k are not those of that disk",
            ),
        ];
        for (edit, wanted) in edits {
            let mut plan = plan();
            edit(&mut plan);
            assert_eq!(parse(serde_json::to_string(&plan).unwrap().as_bytes()).unwrap_err(), wanted);
        }
    }
}
