//! The environment of the pods that back up: the block, and its way into a datacenter that is there.
//!
//! Source: strapdata/elassandra-operator, docs/source/backup-restore.rst and doc/backup_restore.md at cccbc770.

use serde_json::{Value, json};

use super::location::Cloud;
use super::secret::Form;
use crate::error::{Error, Result};

/// Where the files of a mounted Secret are in the pods.
const MOUNTED: &str = "/tmp/user-secret";
/// The variables whose values may be shown.
const SHOWN: [&str; 4] = ["AWS_REGION", "BUCKET_NAME", "GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT"];

/// What the pods are to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub secret: String,
    /// How the Secret's keys are called.
    pub form: Form,
    pub values: Values,
}

/// What is no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    Aws { region: String },
    Azure,
    Gcp { project: String, bucket: String },
}

impl Values {
    /// Whose they are.
    pub fn cloud(&self) -> Cloud {
        match self {
            Self::Aws { .. } => Cloud::Aws,
            Self::Azure => Cloud::Azure,
            Self::Gcp { .. } => Cloud::Gcp,
        }
    }
}

/// The variables, as Kubernetes writes them.
pub fn block(wanted: &Wanted) -> Vec<Value> {
    let keys = wanted.form.needed(wanted.values.cloud());
    let of_secret = |name: &str, key: &str| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": wanted.secret, "key": key}}});
    let plain = |name: &str, value: &str| json!({"name": name, "value": value});
    match &wanted.values {
        Values::Aws { region } => vec![
            of_secret("AWS_ACCESS_KEY_ID", keys[0]),
            of_secret("AWS_SECRET_ACCESS_KEY", keys[1]),
            plain("AWS_REGION", region),
        ],
        Values::Azure => {
            vec![of_secret("AZURE_STORAGE_ACCOUNT", keys[0]), of_secret("AZURE_STORAGE_KEY", keys[1])]
        }
        Values::Gcp { project, bucket } => vec![
            plain("GOOGLE_APPLICATION_CREDENTIALS", &format!("{MOUNTED}/{}", keys[0])),
            plain("GOOGLE_CLOUD_PROJECT", project),
            plain("BUCKET_NAME", bucket),
        ],
    }
}

/// The mount that a service account of GCP needs (Kubernetes' `SecretVolumeSource`).
pub fn mount(wanted: &Wanted) -> Option<Value> {
    let Values::Gcp { .. } = wanted.values else { return None };
    let file = wanted.form.needed(Cloud::Gcp)[0];
    Some(json!({"secretName": wanted.secret, "items": [{"key": file, "path": file}]}))
}

/// What is to be changed in a datacenter.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Operations of a JSON patch (RFC 6902), without the test for the resource version.
    pub operations: Vec<Value>,
    /// The same for a person: `+` what comes, `-` what goes, never the value of a secret.
    pub diff: Vec<String>,
}

impl Change {
    /// The whole patch for an object as it was read: it fails if somebody has changed the object since.
    pub fn patch(&self, resource_version: &str) -> Vec<Value> {
        let test = json!({"op": "test", "path": "/metadata/resourceVersion", "value": resource_version});
        std::iter::once(test).chain(self.operations.iter().cloned()).collect()
    }

    /// Merges the block into a list below `spec` by the variables' names; the others stay as they are.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) where the field is no list.
    pub fn merge(&mut self, spec: &Value, field: &str, block: &[Value]) -> Result<()> {
        let path = format!("/spec/{field}");
        let live = match spec.get(field) {
            None | Some(Value::Null) => {
                self.diff.extend(block.iter().map(|one| format!("+ spec.{field} {}", shown(one))));
                self.operations.push(json!({"op": "add", "path": path, "value": block}));
                return Ok(());
            }
            Some(Value::Array(live)) => live,
            Some(_) => return Err(Error::general(format!("spec.{field} is no list of variables"))),
        };
        for wanted in block {
            let found: Vec<usize> = (0..live.len()).filter(|at| live[*at]["name"] == wanted["name"]).collect();
            match found.as_slice() {
                [] => {
                    self.diff.push(format!("+ spec.{field} {}", shown(wanted)));
                    self.operations.push(json!({"op": "add", "path": format!("{path}/-"), "value": wanted}));
                }
                // of several of one name Kubernetes takes the last
                [.., at] if live[*at] == *wanted => {}
                [.., at] => {
                    self.diff.push(format!("- spec.{field} {}", shown(&live[*at])));
                    self.diff.push(format!("+ spec.{field} {}", shown(wanted)));
                    self.operations.push(json!({"op": "replace", "path": format!("{path}/{at}"), "value": wanted}));
                }
            }
        }
        Ok(())
    }

    /// Sets the mount, unless something else is mounted there.
    ///
    /// # Errors
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) where it is: it may be in use.
    pub fn mount(&mut self, spec: &Value, field: &str, mount: &Value) -> Result<()> {
        match spec.get(field) {
            None | Some(Value::Null) => {
                self.diff.push(format!("+ spec.{field} {mount}"));
                self.operations.push(json!({"op": "add", "path": format!("/spec/{field}"), "value": mount}));
                Ok(())
            }
            Some(live) if live == mount => Ok(()),
            Some(live) => Err(Error::general(format!("spec.{field} mounts something else already: {live}"))
                .hint("add the service account's file to that Secret, and give its name with --secret")),
        }
    }
}

/// A variable in one line, without the value of a secret that somebody wrote into the object.
fn shown(variable: &Value) -> String {
    let name = variable["name"].as_str().unwrap_or_default();
    let reference = &variable["valueFrom"]["secretKeyRef"];
    match (reference["name"].as_str(), reference["key"].as_str(), variable["value"].as_str()) {
        (Some(secret), Some(key), _) => format!("{name} from secret {secret}, key {key}"),
        (_, _, Some(value)) if SHOWN.contains(&name) => format!("{name}={value}"),
        (_, _, Some(_)) => format!("{name}=(a literal value, not shown)"),
        _ => format!("{name} from elsewhere"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(values: Values) -> Wanted {
        Wanted { secret: "awsbackuptest".to_owned(), form: Form::Instaclustr, values }
    }

    fn aws() -> Vec<Value> {
        block(&wanted(Values::Aws { region: "us-west-2".to_owned() }))
    }

    fn merged(spec: &Value) -> Change {
        let mut change = Change::default();
        change.merge(spec, "env", &aws()).unwrap();
        change
    }

    #[test]
    fn the_block_is_that_of_the_documents() {
        let text = "- name: AWS_ACCESS_KEY_ID\n  valueFrom: {secretKeyRef: {key: access, name: awsbackuptest}}\n\
            - name: AWS_SECRET_ACCESS_KEY\n  valueFrom: {secretKeyRef: {key: secret, name: awsbackuptest}}\n\
            - name: AWS_REGION\n  value: us-west-2\n";
        assert_eq!(json!(aws()), serde_yaml::from_str::<Value>(text).unwrap());
        assert_eq!(
            block(&wanted(Values::Azure)).iter().map(shown).collect::<Vec<_>>(),
            [
                "AZURE_STORAGE_ACCOUNT from secret awsbackuptest, key accountName",
                "AZURE_STORAGE_KEY from secret awsbackuptest, key accessKey"
            ]
        );
        let gcp = wanted(Values::Gcp { project: "p".to_owned(), bucket: "b".to_owned() });
        assert_eq!(shown(&block(&gcp)[0]), "GOOGLE_APPLICATION_CREDENTIALS=/tmp/user-secret/my_service_key.json");
        assert_eq!(mount(&gcp).unwrap()["secretName"], "awsbackuptest");
    }

    #[test]
    fn variables_are_merged_by_name_and_the_others_stay() {
        let literal = json!({"name": "AWS_SECRET_ACCESS_KEY", "value": "sesame"});
        let change = merged(&json!({"env": [{"name": "JVM", "value": "x"}, literal, aws()[0]]}));
        let paths: Vec<_> = change.operations.iter().map(|one| one["path"].as_str().unwrap()).collect();
        assert_eq!(paths, ["/spec/env/1", "/spec/env/-"]);
        assert_eq!(
            change.diff,
            [
                "- spec.env AWS_SECRET_ACCESS_KEY=(a literal value, not shown)",
                "+ spec.env AWS_SECRET_ACCESS_KEY from secret awsbackuptest, key secret",
                "+ spec.env AWS_REGION=us-west-2"
            ]
        );
        let patch = change.patch("41");
        assert_eq!(patch[0], json!({"op": "test", "path": "/metadata/resourceVersion", "value": "41"}));
        assert_eq!(patch.len(), 3);
    }

    #[test]
    fn what_is_there_already_is_no_change_and_no_list_is_made_whole() {
        assert_eq!(merged(&json!({"env": aws()})), Change::default());
        let made = merged(&json!({"env": null}));
        assert_eq!(made.operations, [json!({"op": "add", "path": "/spec/env", "value": aws()})]);
        assert_eq!(merged(&json!({})), made);
        assert!(Change::default().merge(&json!({"env": "x"}), "env", &aws()).is_err());
    }

    #[test]
    fn of_two_variables_of_one_name_the_last_counts() {
        let old = json!({"name": "AWS_REGION", "value": "old"});
        let live = [aws(), vec![old]].concat();
        let change = merged(&json!({"env": live}));
        assert_eq!(change.operations[0]["path"], "/spec/env/3");
    }

    #[test]
    fn another_mount_is_left_alone() {
        let mut change = Change::default();
        let mount = json!({"name": "s"});
        assert!(change.mount(&json!({"m": {"name": "other"}}), "m", &mount).is_err());
        change.mount(&json!({"m": mount}), "m", &mount).unwrap();
        assert_eq!(change, Change::default());
        change.mount(&json!({}), "m", &mount).unwrap();
        assert_eq!(change.operations.len(), 1);
    }
}
