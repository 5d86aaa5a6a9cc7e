//! The environment of bsycorp/etcd-backup's CronJob, which needs only another image to run this program.
//!
//! Source: bsycorp/etcd-backup, etcd-backup.sh and kubernetes.yml, commit b3ce9fc. AWS_REGION is the SDK's own.

use std::ffi::OsString;

use crate::error::{Error, Result};

const INSTANCE_NAME: &str = "INSTANCE_NAME";
const VOLUME: &str = "VOLUME";
pub(super) const SNAPSHOT_RETENTION: &str = "SNAPSHOT_RETENTION";

/// What the script kept where nothing was said.
const RETENTION: usize = 6;

/// What the CronJob asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OldJob {
    /// The `Name` of the master.
    pub instance: String,
    /// `main` or `events`.
    pub etcd: String,
    /// Snapshots that stay.
    pub keep: usize,
}

impl OldJob {
    /// Reads the environment through `get`; `None` where it is not that of the CronJob.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for values that mean nothing.
    pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Self>> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let Some(instance) = get(INSTANCE_NAME) else { return Ok(None) };
        let etcd = match get(VOLUME).as_deref() {
            Some(etcd @ ("main" | "events")) => etcd.to_owned(),
            Some(other) => {
                return Err(Error::usage(format!("{VOLUME} is {other:?}, not main or events"))
                    .hint("choose another etcd with --instance NAME --etcd NAME"));
            }
            None => {
                return Err(Error::usage(format!("{INSTANCE_NAME} is set and {VOLUME} is not"))
                    .hint(format!("set {VOLUME} to main or events, or choose with flags")));
            }
        };
        Ok(Some(Self { instance, etcd, keep: retention(get)?.unwrap_or(RETENTION) }))
    }
}

/// `SNAPSHOT_RETENTION`, where it is set.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) where it is no number above 0.
pub(super) fn retention(get: impl Fn(&str) -> Option<String>) -> Result<Option<usize>> {
    let Some(text) = get(SNAPSHOT_RETENTION).filter(|text| !text.is_empty()) else { return Ok(None) };
    match text.trim().parse() {
        Ok(keep) if keep > 0 => Ok(Some(keep)),
        _ => Err(Error::usage(format!("{SNAPSHOT_RETENTION} is {text:?}, not a number above 0"))),
    }
}

/// The words of the command line: the CronJob has no command, so without any arguments its environment means
/// `volume snapshot`.
pub fn words(given: Vec<OsString>, get: impl Fn(&str) -> Option<OsString>) -> Vec<OsString> {
    let set = |name| get(name).is_some_and(|value| !value.is_empty());
    match given.len() <= 1 && set(INSTANCE_NAME) && set(VOLUME) {
        true => given.into_iter().chain(["volume", "snapshot"].map(OsString::from)).collect(),
        false => given,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<OldJob>, String> {
        let get = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        OldJob::read(get).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_cron_jobs_environment_is_read() {
        let job = |etcd: &str, keep| Ok(Some(OldJob { instance: "m".to_owned(), etcd: etcd.to_owned(), keep }));
        assert_eq!(read(&[("INSTANCE_NAME", "m"), ("VOLUME", "main")]), job("main", 6));
        assert_eq!(
            read(&[("INSTANCE_NAME", "m"), ("VOLUME", "events"), ("SNAPSHOT_RETENTION", "8")]),
            job("events", 8)
        );
        assert_eq!(read(&[("VOLUME", "main")]), Ok(None));
        assert_eq!(read(&[("INSTANCE_NAME", ""), ("VOLUME", "main")]), Ok(None));
    }

    #[test]
    fn values_that_mean_nothing_are_errors() {
        let said = |pairs: &[(&str, &str)]| read(pairs).unwrap_err();
        assert_eq!(said(&[("INSTANCE_NAME", "m")]), "INSTANCE_NAME is set and VOLUME is not");
        assert_eq!(
            said(&[("INSTANCE_NAME", "m"), ("VOLUME", "/dev/xvdu")]),
            "VOLUME is \"/dev/xvdu\", not main or events"
        );
        for keep in ["0", "-1", "many"] {
            let words = format!("SNAPSHOT_RETENTION is {keep:?}, not a number above 0");
            assert_eq!(said(&[("INSTANCE_NAME", "m"), ("VOLUME", "main"), ("SNAPSHOT_RETENTION", keep)]), words);
        }
    }

    #[test]
    fn only_a_program_without_arguments_is_told_what_to_do_by_its_environment() {
        let words = |given: &[&str], set: &[&str]| {
            let given = given.iter().map(OsString::from).collect();
            let words = super::words(given, |name| set.contains(&name).then(|| OsString::from("x")));
            words.iter().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
        };
        let both = ["INSTANCE_NAME", "VOLUME"];
        assert_eq!(words(&["plugin"], &both), "plugin volume snapshot");
        assert_eq!(words(&["plugin"], &["VOLUME"]), "plugin");
        assert_eq!(words(&["plugin", "--help"], &both), "plugin --help");
    }
}
