//! What restores a backup, for a person to apply: the objects and the conditions. Nothing here starts a restore.

use serde_json::{Value, json};

use super::generations::Generation;
use super::location::Location;
use super::objects::{self, Names};
use super::served::{Kind, Served};
use crate::error::{Error, Result};

/// What is to be restored.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub tag: &'a str,
    /// Name of the datacenter's object.
    pub datacenter: &'a str,
    pub names: Option<&'a Names>,
    pub location: Option<&'a Location>,
    pub secret: Option<&'a str>,
    /// The namespace that the backup was made in.
    pub namespace: &'a str,
    /// Whether the object of the backup is there already; `None` where nobody was asked.
    pub registered: Option<bool>,
}

/// The objects, and what must hold before they are applied and after, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restore {
    pub objects: Vec<Value>,
    pub conditions: Vec<String>,
}

/// Writes the restore of `served`'s generation.
///
/// # Errors
/// As [`objects::spec`].
pub fn restore(served: &Served, datacenters: &Kind, wanted: &Wanted<'_>) -> Result<Restore> {
    let generation = served.generation;
    let (mut before, datacenter) = match generation {
        Generation::InstaclustrJava | Generation::Elassandra => (Vec::new(), json!({"restoreFromBackup": wanted.tag})),
        Generation::ElassandraSecrets => (Vec::new(), json!({"restoreFromBackup": by_task(generation, wanted)?})),
        Generation::InstaclustrGo => (registration(served, wanted)?, json!({"restore": {"backupName": wanted.tag}})),
        Generation::K8ssandra => {
            let object = json!({
                "apiVersion": served.backup.resource.api_version, "kind": "MedusaRestoreJob",
                "metadata": {"name": format!("restore-{}", wanted.tag)},
                "spec": {"backup": wanted.tag, "cassandraDatacenter": wanted.datacenter}
            });
            return Ok(Restore { objects: vec![object], conditions: conditions(generation, wanted) });
        }
        Generation::ElassandraRepository => return Err(generation.without_s3()),
    };
    before.push(json!({
        "apiVersion": datacenters.resource.api_version, "kind": datacenters.resource.kind,
        "metadata": {"name": wanted.datacenter}, "spec": datacenter
    }));
    Ok(Restore { objects: before, conditions: conditions(generation, wanted) })
}

fn by_task(generation: Generation, wanted: &Wanted<'_>) -> Result<Value> {
    let at = wanted.location.ok_or_else(|| Error::usage("no bucket was named").hint("add --location s3://BUCKET"))?;
    let usual = objects::usual_secret(generation, wanted.names, wanted.location);
    let secret = wanted.secret.map(str::to_owned).or(usual);
    let secret = secret.ok_or_else(|| Error::usage("no Secret was named").hint("add --secret NAME"))?;
    Ok(json!({
        "tag": wanted.tag, "provider": at.cloud.provider(), "bucket": at.bucket_alone(generation.describe())?,
        "secretRef": secret, "namespace": wanted.namespace
    }))
}

/// The backup's object where it is not there: with `justCreate` it tells of a backup and makes none.
fn registration(served: &Served, wanted: &Wanted<'_>) -> Result<Vec<Value>> {
    if wanted.registered == Some(true) {
        return Ok(Vec::new());
    }
    let backup = objects::Wanted {
        datacenter: wanted.datacenter,
        names: wanted.names,
        tag: wanted.tag,
        location: wanted.location,
        secret: wanted.secret,
        keyspaces: &[],
        full: false,
        keeps: &|field| served.backup.schema.keeps(field),
    };
    Ok(vec![json!({
        "apiVersion": served.backup.resource.api_version, "kind": served.backup.resource.kind,
        "metadata": {"name": wanted.tag}, "justCreate": true, "spec": objects::spec(served.generation, &backup)?
    })])
}

/// Sources: the operators' documents on restores, and their issues (instaclustr/cassandra-operator #152).
fn conditions(generation: Generation, wanted: &Wanted<'_>) -> Vec<String> {
    let Wanted { tag, datacenter, .. } = wanted;
    let same = "the restored ring has the same cluster and datacenter names, the same racks and as many nodes in each \
                as the one that was backed up: node n of a rack takes the files of node n";
    let region = "the region is the same: it is part of the racks' names";
    let once = format!("afterwards remove the restore from {datacenter}: a pod that starts again may restore again");
    let password = match wanted.names {
        Some(names) => format!("elassandra-{}", names.cluster),
        None => "elassandra-CLUSTER".to_owned(),
    };
    let password =
        format!("first put back the Secret {password}, which holds the CQL passwords: with new ones nobody can log in");
    let must_exist = |kind: &str| match wanted.registered {
        Some(true) => Vec::new(),
        _ => vec![format!(
            "the {kind} {tag} must be in the same namespace, as it was; creating it anew starts a backup under this tag"
        )],
    };
    let own = |text: &str| vec![text.to_owned()];
    match generation {
        Generation::InstaclustrJava => [must_exist("CassandraBackup"), own(same), vec![once]].concat(),
        Generation::Elassandra => {
            [must_exist("ElassandraTask"), vec![password], own(region), own(same), vec![once]].concat()
        }
        Generation::ElassandraSecrets | Generation::ElassandraRepository => {
            [vec![password], own(region), own(same), vec![once]].concat()
        }
        Generation::InstaclustrGo => [own("this is for a datacenter that is made new"), own(same), vec![once]].concat(),
        Generation::K8ssandra => vec![
            format!(
                "the MedusaBackup {tag} must be in the same namespace; a MedusaTask of operation sync makes it from the bucket"
            ),
            format!("{datacenter} is stopped, its data is replaced, and it is started again"),
            same.to_owned(),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Generation::{Elassandra, ElassandraSecrets, InstaclustrGo, InstaclustrJava, K8ssandra};

    fn made(generation: Generation, registered: Option<bool>) -> Result<Restore> {
        let names = Names { cluster: "cl1".to_owned(), datacenter: "dc1".to_owned() };
        let location = Location::parse("s3://ring").unwrap();
        let served = Served::assumed(generation);
        let wanted = Wanted {
            tag: "t",
            datacenter: "ring-dc1",
            names: Some(&names),
            location: Some(&location),
            secret: None,
            namespace: "db",
            registered,
        };
        restore(&served, &served.usual_datacenters(), &wanted)
    }

    #[test]
    fn each_generation_is_restored_its_own_way() {
        for generation in [InstaclustrJava, Elassandra] {
            let restore = made(generation, Some(true)).unwrap();
            assert_eq!(restore.objects.len(), 1);
            assert_eq!(restore.objects[0]["spec"], json!({"restoreFromBackup": "t"}), "{generation:?}");
        }
        let by_task = made(ElassandraSecrets, None).unwrap();
        assert_eq!(
            by_task.objects[0]["spec"]["restoreFromBackup"],
            json!({"tag": "t", "provider": "AWS_S3", "bucket": "ring", "secretRef": "elassandra-cl1-backup-aws", "namespace": "db"})
        );
        let medusa = made(K8ssandra, None).unwrap();
        assert_eq!(medusa.objects[0]["kind"], "MedusaRestoreJob");
        assert_eq!(medusa.objects[0]["spec"], json!({"backup": "t", "cassandraDatacenter": "ring-dc1"}));
    }

    #[test]
    fn a_backup_that_is_not_registered_is_registered_and_not_made() {
        let restore = made(InstaclustrGo, Some(false)).unwrap();
        assert_eq!(restore.objects[0]["justCreate"], true);
        assert_eq!(restore.objects[0]["spec"]["snapshotTag"], "t");
        assert_eq!(restore.objects[0]["spec"].get("justCreate"), None);
        assert_eq!(restore.objects[1]["spec"], json!({"restore": {"backupName": "t"}}));
        assert_eq!(made(InstaclustrGo, Some(true)).unwrap().objects.len(), 1);
    }

    #[test]
    fn the_conditions_are_told() {
        let told = |generation, registered| made(generation, registered).unwrap().conditions.join("\n");
        for generation in [InstaclustrJava, Elassandra, ElassandraSecrets, InstaclustrGo] {
            let told = told(generation, Some(true));
            assert!(told.contains("the same racks") && told.contains("remove the restore from ring-dc1"), "{told}");
        }
        assert!(told(Elassandra, None).contains("ElassandraTask t must be in the same namespace"));
        assert!(!told(Elassandra, Some(true)).contains("must be in"));
        for generation in [Elassandra, ElassandraSecrets] {
            let told = told(generation, None);
            assert!(told.contains("first put back the Secret elassandra-cl1") && told.contains("region is the same"));
        }
    }
}
