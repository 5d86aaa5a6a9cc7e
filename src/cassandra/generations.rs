//! The generations of Cassandra operators: which API group is whose, and what each takes.
//!
//! Sources: instaclustr/cassandra-operator at 451818a^ and f615f67 (Java) and at its end (Go),
//! strapdata/elassandra-operator at cccbc770, 8232c3b2 and at its end, k8ssandra/k8ssandra-operator,
//! apis/medusa/v1alpha1.

use clap::ValueEnum;

use super::secret::Form;
use crate::api::dialect::Served as Schema;
use crate::error::{Error, Result};

/// An operator, as far as its backups are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Generation {
    /// Instaclustr's operator in Java, 2018 to 2019
    InstaclustrJava,
    /// Elassandra's operator up to December 2019: keys in the environment
    Elassandra,
    /// Elassandra's operator from December 2019 on: a Secret for each task
    ElassandraSecrets,
    /// Elassandra's last operator: Elasticsearch repositories, nothing of S3
    #[value(skip)]
    ElassandraRepository,
    /// Instaclustr's operator in Go, 2019 to 2021
    InstaclustrGo,
    /// K8ssandra with Medusa
    K8ssandra,
}

/// An API group with the kinds that matter here.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    pub group: &'static str,
    /// Kind of a backup, in `group`.
    pub backup: &'static str,
    /// Kind of a datacenter, in `datacenter_group`.
    pub datacenter: &'static str,
    pub datacenter_group: &'static str,
}

const fn family(group: &'static str, backup: &'static str, datacenter: &'static str) -> Family {
    Family { group, backup, datacenter, datacenter_group: group }
}

/// All groups that are known.
pub const FAMILIES: [Family; 5] = [
    family("stable.instaclustr.com", "CassandraBackup", "CassandraDataCenter"),
    family("stable.strapdata.com", "ElassandraTask", "ElassandraDataCenter"),
    family("elassandra.strapdata.com", "ElassandraTask", "ElassandraDataCenter"),
    family("cassandraoperator.instaclustr.com", "CassandraBackup", "CassandraDataCenter"),
    Family {
        datacenter_group: "cassandra.datastax.com",
        ..family("medusa.k8ssandra.io", "MedusaBackupJob", "CassandraDatacenter")
    },
];

impl Family {
    /// Which generations it may be, by the schema of its backups.
    pub fn generations(&self, backup: &Schema) -> Vec<Generation> {
        use Generation::{
            Elassandra, ElassandraRepository, ElassandraSecrets, InstaclustrGo, InstaclustrJava, K8ssandra,
        };
        let told = [
            ("backup.secretRef", ElassandraSecrets),
            ("backup.target", Elassandra),
            ("backup.repository", ElassandraRepository),
        ];
        match self.group {
            "stable.instaclustr.com" => vec![InstaclustrJava],
            "cassandraoperator.instaclustr.com" => vec![InstaclustrGo],
            "medusa.k8ssandra.io" => vec![K8ssandra],
            _ if backup.has_schema() => {
                told.into_iter().find(|(field, _)| backup.keeps(field)).map(|(_, found)| found).into_iter().collect()
            }
            // the operator's own CRDs had no schema
            "stable.strapdata.com" => vec![Elassandra, ElassandraSecrets],
            _ => vec![ElassandraSecrets, ElassandraRepository],
        }
    }
}

impl Generation {
    /// The operator in words.
    pub fn describe(self) -> &'static str {
        match self {
            Self::InstaclustrJava => "Instaclustr's Java operator (2018-2019)",
            Self::Elassandra => "Elassandra's operator up to December 2019",
            Self::ElassandraSecrets => "Elassandra's operator from December 2019 on",
            Self::ElassandraRepository => "Elassandra's last operator (2020)",
            Self::InstaclustrGo => "Instaclustr's Go operator (2019-2021)",
            Self::K8ssandra => "K8ssandra with Medusa",
        }
    }

    /// Its word for `--generation`.
    pub fn word(self) -> &'static str {
        match self {
            Self::InstaclustrJava => "instaclustr-java",
            Self::Elassandra => "elassandra",
            Self::ElassandraSecrets => "elassandra-secrets",
            Self::ElassandraRepository => "elassandra-repository",
            Self::InstaclustrGo => "instaclustr-go",
            Self::K8ssandra => "k8ssandra",
        }
    }

    /// Whether `family` can be of this generation.
    pub fn is_of(self, family: &Family) -> bool {
        match self {
            Self::InstaclustrJava => family.group == "stable.instaclustr.com",
            Self::Elassandra => family.group == "stable.strapdata.com",
            Self::ElassandraSecrets => family.backup == "ElassandraTask",
            Self::ElassandraRepository => family.group == "elassandra.strapdata.com",
            Self::InstaclustrGo => family.group == "cassandraoperator.instaclustr.com",
            Self::K8ssandra => family.group == "medusa.k8ssandra.io",
        }
    }

    /// Its group and version where no API server tells them.
    pub fn usual(self) -> (&'static Family, &'static str) {
        match self {
            Self::InstaclustrJava => (&FAMILIES[0], "v1"),
            Self::Elassandra | Self::ElassandraSecrets => (&FAMILIES[1], "v1"),
            Self::ElassandraRepository => (&FAMILIES[2], "v1beta1"),
            Self::InstaclustrGo => (&FAMILIES[3], "v1alpha1"),
            Self::K8ssandra => (&FAMILIES[4], "v1alpha1"),
        }
    }

    /// The form of its Secrets.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) for a generation that takes none.
    pub fn form(self) -> Result<Form> {
        match self {
            Self::InstaclustrJava | Self::Elassandra => Ok(Form::Instaclustr),
            Self::ElassandraSecrets => Ok(Form::Elassandra),
            Self::InstaclustrGo => Ok(Form::InstaclustrGo),
            Self::K8ssandra => Ok(Form::Medusa),
            Self::ElassandraRepository => Err(self.without_s3()),
        }
    }

    /// The lists of environment variables below `spec` of its datacenters that reach what backs up.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) for a generation that takes keys another way.
    pub fn env_fields(self) -> Result<&'static [&'static str]> {
        let another = |way: &str, hint: &str| {
            let said = format!("{} takes no keys from the environment: {way}", self.describe());
            Err(Error::general(said).hint(hint.to_owned()))
        };
        match self {
            Self::InstaclustrJava | Self::Elassandra => Ok(&["env"]),
            Self::InstaclustrGo => Ok(&["sidecarEnv", "cassandraEnv"]),
            Self::ElassandraSecrets => another(
                "each task names its Secret",
                "kubectl etcdbackup cassandra secret NAME --format elassandra; then cassandra backup --secret NAME",
            ),
            Self::K8ssandra => another(
                "Medusa reads the Secret of medusa.storageProperties.storageSecretRef",
                "kubectl etcdbackup cassandra secret NAME --format medusa; then name it there",
            ),
            Self::ElassandraRepository => Err(self.without_s3()),
        }
    }

    /// The field below `spec` that mounts a Secret's files, which a service account of GCP needs.
    pub fn mount_field(self) -> Option<&'static str> {
        match self {
            Self::InstaclustrJava | Self::Elassandra => Some("userSecretVolumeSource"),
            _ => None,
        }
    }

    /// Whether its word for success comes when the sidecars have only queued the backup (BackupControllerService.java,
    /// BackupTaskReconcilier.java).
    pub fn reports_early(self) -> bool {
        matches!(self, Self::InstaclustrJava | Self::Elassandra | Self::ElassandraSecrets)
    }

    /// That it does not back up to an object store by itself.
    pub fn without_s3(self) -> Error {
        Error::general(format!("{} backs up through repositories of Elasticsearch, not to a bucket", self.describe()))
            .hint("register the bucket as a repository in Elasticsearch, and name it in spec.backup.repository")
    }
}

/// All that can be worked with, in one line for messages.
pub fn known() -> String {
    Generation::value_variants().iter().map(|one| one.describe()).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn schema(field: &str) -> Schema {
        let fields = json!({"type": "object", "properties": {field: {"type": "string"}}});
        let spec = json!({"type": "object", "properties": {"backup": fields}});
        of(json!({"type": "object", "properties": {"spec": spec}}))
    }

    fn of(root: Value) -> Schema {
        let version = json!({"name": "v1", "served": true, "schema": {"openAPIV3Schema": root}});
        Schema::of_version(&json!({"spec": {"versions": [version]}}), "v1").unwrap()
    }

    #[test]
    fn one_group_of_elassandra_is_told_apart_by_its_schema() {
        let family = &FAMILIES[1];
        for (field, generation) in [
            ("target", Generation::Elassandra),
            ("secretRef", Generation::ElassandraSecrets),
            ("repository", Generation::ElassandraRepository),
        ] {
            assert_eq!(family.generations(&schema(field)), [generation], "{field}");
        }
        assert_eq!(family.generations(&schema("unknown")), []);
        let without = [Generation::Elassandra, Generation::ElassandraSecrets];
        assert_eq!(family.generations(&Schema::unread()), without);
        assert!(without.iter().all(|one| one.is_of(family)));
    }

    #[test]
    fn every_other_group_is_one_generation() {
        for (at, generation) in
            [(0, Generation::InstaclustrJava), (3, Generation::InstaclustrGo), (4, Generation::K8ssandra)]
        {
            assert_eq!(FAMILIES[at].generations(&Schema::unread()), [generation]);
            let of: Vec<_> = FAMILIES.iter().filter(|family| generation.is_of(family)).collect();
            assert_eq!(of, [&FAMILIES[at]]);
        }
    }

    #[test]
    fn the_words_are_those_of_the_flag() {
        for one in Generation::value_variants() {
            assert_eq!(one.to_possible_value().unwrap().get_name(), one.word());
            assert!(one.is_of(one.usual().0), "{one:?}");
        }
        assert!(!known().contains("last operator"), "{}", known());
    }
}
