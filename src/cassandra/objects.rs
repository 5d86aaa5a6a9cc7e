//! The object that makes an operator back up: pure, from what was asked for.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::generations::Generation;
use super::location::Location;
use crate::error::{Error, Result};

/// The label of a datacenter's pods, and of what belongs to it (instaclustr/cassandra-operator at 451818a^,
/// OperatorLabels.java). Its value is the name of the datacenter's object.
pub const DATACENTER_LABEL: &str = "cassandra-operator.instaclustr.com/datacenter";

/// What Cassandra itself calls them; the datacenter object's name is another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    pub cluster: String,
    pub datacenter: String,
}

impl Names {
    /// As the datacenter's object called `object` says; `None` where it does not.
    pub fn of(generation: Generation, object: &str, datacenter: &Value) -> Option<Self> {
        let text = |field: &str| Some(datacenter["spec"][field].as_str()?.to_owned()).filter(|text| !text.is_empty());
        let (cluster, datacenter) = match generation {
            Generation::Elassandra | Generation::ElassandraSecrets | Generation::ElassandraRepository => {
                (text("clusterName"), text("datacenterName"))
            }
            Generation::InstaclustrGo => (text("cluster"), text("datacenter")),
            // k8ssandra/cass-operator, cassandradatacenter_types.go (`DatacenterName`)
            Generation::K8ssandra => (text("clusterName"), text("datacenterName").or_else(|| Some(object.to_owned()))),
            Generation::InstaclustrJava => (None, None),
        };
        Some(Self { cluster: cluster?, datacenter: datacenter? })
    }
}

/// The names of cluster and datacenter in the keys of a bucket, as far as they tell one ring's backups from others.
///
/// Sources: instaclustr/cassandra-operator at f615f67, BackupControllerService.java (`callBackupApi`);
/// k8ssandra/cass-operator, cassandradatacenter_types.go (`CleanupForKubernetes`).
pub fn stored_as(generation: Generation, names: Option<&Names>, datacenter: &str) -> (Option<String>, Option<String>) {
    let (cluster, name) = names.map(|names| (names.cluster.clone(), names.datacenter.clone())).unzip();
    match generation {
        Generation::InstaclustrJava => (Some(datacenter.to_owned()), None),
        Generation::K8ssandra => (cluster.as_deref().map(in_names_of_pods), name),
        _ => (cluster, name),
    }
}

/// A cluster's name as names of pods can hold it.
fn in_names_of_pods(cluster: &str) -> String {
    let plain = cluster.to_ascii_lowercase().replace('_', "-");
    plain.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).collect()
}

/// Labels of the backup's object: Instaclustr's Java operator chose the pods by them until April 2019
/// (BackupControllerService.java at 451818a^).
pub fn labels(generation: Generation, datacenter: &str) -> Option<BTreeMap<String, String>> {
    (generation == Generation::InstaclustrJava)
        .then(|| BTreeMap::from([(DATACENTER_LABEL.to_owned(), datacenter.to_owned())]))
}

/// What was asked for.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// Name of the datacenter's object.
    pub datacenter: &'a str,
    pub names: Option<&'a Names>,
    pub tag: &'a str,
    pub location: Option<&'a Location>,
    pub secret: Option<&'a str>,
    pub keyspaces: &'a [String],
    /// Whether what earlier backups hold is stored again.
    pub full: bool,
    /// Whether the API server keeps a field below `spec`.
    pub keeps: &'a dyn Fn(&str) -> bool,
}

/// Checks a tag, which is the object's name, a part of keys and of file names.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) with the rule: that of Kubernetes' names (RFC 1123), and short
/// enough for a label.
pub fn check_tag(tag: &str) -> Result<()> {
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    let end = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let bytes = tag.as_bytes();
    if bytes.iter().all(inner) && end(bytes.first()) && end(bytes.last()) && bytes.len() <= 63 && !tag.contains("..") {
        return Ok(());
    }
    Err(Error::usage(format!(
        "invalid tag {tag:?}: must hold only lower-case letters, digits, '-' and '.', begin and end with a letter or \
         digit, and have at most 63 characters"
    ))
    .hint("choose another with --tag"))
}

/// The Secret that a backup names where nothing else is said: `elassandra-CLUSTER-backup-aws` and its like for
/// Elassandra, which cannot do without (docs/source/backup-restore.rst at 8a3030e1).
pub fn usual_secret(generation: Generation, names: Option<&Names>, location: Option<&Location>) -> Option<String> {
    use super::location::Cloud;
    let cloud = match location?.cloud {
        Cloud::Aws => "aws",
        Cloud::Azure => "azure",
        Cloud::Gcp => "gcp",
    };
    let names = names.filter(|_| generation == Generation::ElassandraSecrets)?;
    Some(format!("elassandra-{}-backup-{cloud}", names.cluster))
}

/// The `spec` of the backup.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for flags that this generation would ignore, and for what it
/// needs and was not given; [`ErrorKind::General`](crate::error::ErrorKind::General) for one without buckets.
pub fn spec(generation: Generation, wanted: &Wanted<'_>) -> Result<Value> {
    refuse_ignored(generation, wanted)?;
    match generation {
        Generation::InstaclustrJava => {
            let at = location(wanted)?;
            let (provider, bucket) = (at.cloud.provider(), at.bucket_alone(generation.describe())?);
            let mut spec = json!({"backupType": provider, "target": bucket});
            // until April 2019 it took up what was PENDING and chose the pods by labels
            if (wanted.keeps)("status") {
                spec["status"] = json!("PENDING");
            }
            if (wanted.keeps)("selector") {
                spec["selector"] = json!({"matchLabels": {DATACENTER_LABEL: wanted.datacenter}});
            }
            Ok(spec)
        }
        Generation::Elassandra => {
            let at = location(wanted)?;
            let backup = json!({"type": at.cloud.provider(), "target": at.bucket_alone(generation.describe())?});
            task(generation, wanted, &backup)
        }
        Generation::ElassandraSecrets => {
            let at = location(wanted)?;
            let bucket = at.bucket_alone(generation.describe())?;
            let mut backup = Map::from_iter([
                ("provider".to_owned(), json!(at.cloud.provider())),
                ("bucket".to_owned(), json!(bucket)),
            ]);
            backup.extend(wanted.secret.map(|name| ("secretRef".to_owned(), json!(name))));
            if !wanted.keyspaces.is_empty() {
                backup.insert("keyspaces".to_owned(), json!(wanted.keyspaces));
            }
            task(generation, wanted, &Value::Object(backup))
        }
        Generation::InstaclustrGo => go(generation, wanted),
        Generation::K8ssandra => {
            let kind = if wanted.full { "full" } else { "differential" };
            Ok(json!({"cassandraDatacenter": wanted.datacenter, "backupType": kind}))
        }
        Generation::ElassandraRepository => Err(generation.without_s3()),
    }
}

fn refuse_ignored(generation: Generation, wanted: &Wanted<'_>) -> Result<()> {
    let by_task = matches!(generation, Generation::ElassandraSecrets | Generation::InstaclustrGo);
    let ignored = [
        ("--secret", wanted.secret.is_some() && !by_task),
        ("--keyspace", !wanted.keyspaces.is_empty() && !by_task),
        ("--full", wanted.full && generation != Generation::K8ssandra),
    ];
    match ignored.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((flag, _)) => {
            let error = Error::usage(format!("{flag} cannot be used: {} takes no such thing", generation.describe()));
            Err(match flag {
                "--secret" => error.hint("its keys come from the datacenter: kubectl etcdbackup cassandra env --help"),
                _ => error.hint("leave it out"),
            })
        }
    }
}

fn location<'a>(wanted: &Wanted<'a>) -> Result<&'a Location> {
    wanted.location.ok_or_else(|| Error::usage("no bucket was named").hint("add --location s3://BUCKET"))
}

fn names<'a>(generation: Generation, wanted: &Wanted<'a>) -> Result<&'a Names> {
    wanted.names.ok_or_else(|| {
        Error::usage(format!("{} wants the names of Cassandra's cluster and datacenter", generation.describe())).hint(
            "add --cassandra-cluster and --cassandra-datacenter; they are read from the datacenter where it can be",
        )
    })
}

fn task(generation: Generation, wanted: &Wanted<'_>, backup: &Value) -> Result<Value> {
    let Names { cluster, datacenter } = names(generation, wanted)?;
    Ok(json!({"cluster": cluster, "datacenter": datacenter, "backup": backup}))
}

fn go(generation: Generation, wanted: &Wanted<'_>) -> Result<Value> {
    let Names { cluster, datacenter } = names(generation, wanted)?;
    let at = location(wanted)?.to_string();
    let mut spec = json!({
        "cdc": wanted.datacenter, "cluster": cluster, "datacenter": datacenter,
        "storageLocation": at, "snapshotTag": wanted.tag
    });
    if let Some(fields) = spec.as_object_mut() {
        fields.extend(wanted.secret.map(|name| ("secret".to_owned(), json!(name))));
        if !wanted.keyspaces.is_empty() {
            fields.insert("entities".to_owned(), json!(wanted.keyspaces.join(",")));
        }
    }
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::error::ErrorKind;
    use Generation::{Elassandra, ElassandraRepository, ElassandraSecrets, InstaclustrGo, InstaclustrJava, K8ssandra};

    static NAMES: LazyLock<Names> = LazyLock::new(|| Names { cluster: "cl1".to_owned(), datacenter: "dc1".to_owned() });
    static BUCKET: LazyLock<Location> = LazyLock::new(|| Location::parse("s3://ring").unwrap());
    static DEEP: LazyLock<Location> = LazyLock::new(|| Location::parse("s3://ring/team").unwrap());
    static KEYSPACES: LazyLock<Vec<String>> = LazyLock::new(|| ["ks", "other"].map(str::to_owned).to_vec());

    fn made(generation: Generation, change: impl FnOnce(&mut Wanted<'static>)) -> Result<Value> {
        let mut wanted = Wanted {
            datacenter: "cl1-dc1",
            names: Some(&*NAMES),
            tag: "t",
            location: Some(&*BUCKET),
            secret: None,
            keyspaces: &[],
            full: false,
            keeps: &|field| field == "selector",
        };
        change(&mut wanted);
        spec(generation, &wanted)
    }

    #[test]
    fn each_generation_gets_its_own_object() {
        let plain = |generation| made(generation, |_| {}).unwrap();
        let more = |generation| {
            made(generation, |wanted| (wanted.secret, wanted.keyspaces) = (Some("s"), &KEYSPACES)).unwrap()
        };
        let label = json!({"matchLabels": {"cassandra-operator.instaclustr.com/datacenter": "cl1-dc1"}});
        let task = |backup: Value| json!({"cluster": "cl1", "datacenter": "dc1", "backup": backup});
        let java = json!({"selector": label, "backupType": "AWS_S3", "target": "ring"});
        assert_eq!(plain(InstaclustrJava), java);
        let first = made(InstaclustrJava, |wanted| wanted.keeps = &|field| field == "status").unwrap();
        assert_eq!(first, json!({"status": "PENDING", "backupType": "AWS_S3", "target": "ring"}));
        assert_eq!(plain(Elassandra), task(json!({"type": "AWS_S3", "target": "ring"})));
        assert_eq!(
            more(ElassandraSecrets),
            task(json!({"provider": "AWS_S3", "bucket": "ring", "secretRef": "s", "keyspaces": ["ks", "other"]}))
        );
        assert_eq!(
            more(InstaclustrGo),
            json!({"cdc": "cl1-dc1", "cluster": "cl1", "datacenter": "dc1", "storageLocation": "s3://ring",
                "snapshotTag": "t", "secret": "s", "entities": "ks,other"})
        );
        assert_eq!(plain(K8ssandra), json!({"cassandraDatacenter": "cl1-dc1", "backupType": "differential"}));
        assert_eq!(made(K8ssandra, |wanted| wanted.full = true).unwrap()["backupType"], "full");
    }

    #[test]
    fn what_would_be_ignored_or_is_missing_is_refused() {
        let refused = |made: Result<Value>| (made.clone().unwrap_err().kind(), made.unwrap_err().message().to_owned());
        for (made, says) in [
            (made(InstaclustrJava, |wanted| wanted.secret = Some("s")), "--secret cannot be used"),
            (made(InstaclustrGo, |wanted| wanted.full = true), "--full cannot be used"),
            (made(Elassandra, |wanted| wanted.location = Some(&*DEEP)), "takes a bucket without a prefix"),
            (made(Elassandra, |wanted| wanted.names = None), "wants the names"),
            (made(InstaclustrGo, |wanted| wanted.location = None), "no bucket was named"),
        ] {
            let (kind, message) = refused(made);
            assert!(kind == ErrorKind::Usage && message.contains(says), "{message}");
        }
        assert_eq!(refused(made(ElassandraRepository, |_| {})).0, ErrorKind::General);
        assert!(made(InstaclustrGo, |wanted| wanted.location = Some(&*DEEP)).is_ok());
    }

    #[test]
    fn a_tag_is_a_name_of_kubernetes() {
        assert!(["nightly", "dc1-20260101-030000", "a.b"].into_iter().all(|tag| check_tag(tag).is_ok()));
        for bad in ["", "-a", "a-", "A", "a_b", "a/b", "../x", "a..b", &"a".repeat(64)] {
            assert!(check_tag(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_in_the_bucket_have_names_of_their_own() {
        let of = |generation, cluster: &str| {
            let names = Names { cluster: cluster.to_owned(), datacenter: "dc1".to_owned() };
            let (cluster, datacenter) = stored_as(generation, Some(&names), "ring");
            (cluster.unwrap_or_default(), datacenter.unwrap_or_default())
        };
        let pair = |cluster: &str, datacenter: &str| (cluster.to_owned(), datacenter.to_owned());
        assert_eq!(of(Elassandra, "Cl 1"), pair("Cl 1", "dc1"));
        assert_eq!(of(InstaclustrJava, "Cl 1"), pair("ring", ""));
        assert_eq!(of(K8ssandra, "My_Cl 1"), pair("my-cl1", "dc1"));
        assert_eq!(stored_as(InstaclustrGo, None, "ring"), (None, None));
    }

    #[test]
    fn the_names_are_those_of_the_datacenter() {
        let object = json!({"spec": {"clusterName": "cl1", "datacenterName": "dc1", "cluster": "c", "datacenter": ""}});
        let names = Names::of(Elassandra, "x", &object).unwrap();
        assert_eq!((names.cluster.as_str(), names.datacenter.as_str()), ("cl1", "dc1"));
        assert_eq!(Names::of(InstaclustrGo, "x", &object), None);
        assert_eq!(Names::of(InstaclustrJava, "x", &object), None);
        assert_eq!(Names::of(K8ssandra, "x", &json!({"spec": {"clusterName": "cl1"}})).unwrap().datacenter, "x");
        let location = Location::parse("azure://ring").unwrap();
        let usual = |generation| usual_secret(generation, Some(&names), Some(&location));
        assert_eq!(usual(ElassandraSecrets).as_deref(), Some("elassandra-cl1-backup-azure"));
        assert_eq!(usual(InstaclustrGo), None);
    }
}
