//! IAM: the least that each purpose needs.
//!
//! Source of actions, resources and condition keys: Service Authorization Reference, "Amazon EC2" and "Amazon EC2 Auto
//! Scaling"; of the keys of encrypted volumes: EBS User Guide, "Requirements for Amazon EBS encryption".

use serde_json::{Value, json};

use super::tags;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Take and list snapshots.
    Backup,
    /// Delete those that are too old.
    Prune,
    /// Mark the snapshots of others.
    Adopt,
    /// Plan, restore, roll back, clean up.
    Restore,
}

/// What it may be done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// `aws`, `aws-cn`, ….
    pub partition: &'a str,
    /// The only cluster to change.
    pub cluster: Option<&'a str>,
}

/// Descriptions know no resources: they are of everything or of nothing.
const LOOK: [&str; 3] = ["ec2:DescribeInstances", "ec2:DescribeSnapshots", "ec2:DescribeVolumes"];

/// The policy for all `purposes`.
pub fn of(purposes: &[Purpose], scope: &Scope<'_>) -> Value {
    let has = |purpose| purposes.contains(&purpose);
    let mut statements = vec![scope.look(has(Purpose::Restore))];
    if has(Purpose::Backup) || has(Purpose::Restore) {
        statements.extend(scope.take());
    }
    if has(Purpose::Prune) {
        statements.push(scope.delete_snapshots());
    }
    if has(Purpose::Adopt) {
        statements.push(statement("MarkSnapshotsOfOthers", &["ec2:CreateTags"], &[scope.arn("snapshot")], &[]));
    }
    if has(Purpose::Restore) {
        statements.extend(scope.make_volumes());
        statements.extend(scope.swap_volumes());
        statements.push(scope.scale());
        statements.extend(scope.keys());
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// One test of a condition: operator, key, value.
type Test<'a> = (&'a str, String, Value);

impl Scope<'_> {
    /// All resources of a kind. Snapshots have no account in their ARN, which `*` stands for too.
    fn arn(&self, kind: &str) -> String {
        format!("arn:{}:ec2:*:*:{kind}/*", self.partition)
    }

    /// The resource has this tag of kops or of ours with the cluster's name.
    fn of_cluster(&self, key: &str) -> Option<Test<'static>> {
        self.cluster.map(|cluster| ("StringEquals", format!("aws:ResourceTag/{key}"), json!(cluster)))
    }

    /// The resource is a snapshot of ours.
    fn of_ours(&self) -> Vec<Test<'static>> {
        [marked("Resource")].into_iter().chain(self.of_cluster(tags::CLUSTER)).collect()
    }

    fn look(&self, restore: bool) -> Value {
        let more: &[&str] = match restore {
            true => &[
                "ec2:DescribeAvailabilityZones",
                "autoscaling:DescribeAutoScalingGroups",
                "autoscaling:DescribeInstanceRefreshes",
                "autoscaling:DescribeLifecycleHooks",
            ],
            false => &[],
        };
        statement("Look", &[&LOOK, more].concat(), &["*".to_owned()], &[])
    }

    /// Snapshots of the volumes, with our mark from the beginning.
    fn take(&self) -> Vec<Value> {
        let take = ["ec2:CreateSnapshot", "ec2:CreateSnapshots"];
        let of_cluster: Vec<_> = self.of_cluster(tags::KOPS_CLUSTER).into_iter().collect();
        let created = ("StringEquals", "ec2:CreateAction".to_owned(), json!(["CreateSnapshot", "CreateSnapshots"]));
        vec![
            statement("SnapshotVolumes", &take, &[self.arn("volume"), self.arn("instance")], &of_cluster),
            statement("MakeMarkedSnapshots", &take, &[self.arn("snapshot")], &[marked("Request")]),
            statement("TagNewSnapshots", &["ec2:CreateTags"], &[self.arn("snapshot")], &[created]),
            // one call for the volumes of an instance can only give them the same tags
            statement("TagMarkedSnapshots", &["ec2:CreateTags"], &[self.arn("snapshot")], &self.of_ours()),
        ]
    }

    fn delete_snapshots(&self) -> Value {
        statement("DeleteMarkedSnapshots", &["ec2:DeleteSnapshot"], &[self.arn("snapshot")], &self.of_ours())
    }

    fn make_volumes(&self) -> Vec<Value> {
        let make = ["ec2:CreateVolume"];
        let created = ("StringEquals", "ec2:CreateAction".to_owned(), json!("CreateVolume"));
        vec![
            statement("MakeVolumes", &make, &[self.arn("volume")], &[]),
            statement("OfMarkedSnapshots", &make, &[self.arn("snapshot")], &self.of_ours()),
            statement("TagNewVolumes", &["ec2:CreateTags"], &[self.arn("volume")], &[created]),
        ]
    }

    /// The tags that say which volume is in use, and the record of a restore on the snapshots.
    fn swap_volumes(&self) -> Vec<Value> {
        let swap = ["ec2:CreateTags", "ec2:DeleteTags"];
        let mut statements = match self.cluster {
            // a volume in use has the tag of kops, one that is put aside or not yet in use has ours
            Some(_) => [("SwapTags", tags::KOPS_CLUSTER), ("SwapTagsBack", tags::CLUSTER)]
                .iter()
                .map(|(name, key)| {
                    let tests: Vec<_> = self.of_cluster(key).into_iter().collect();
                    statement(name, &swap, &[self.arn("volume"), self.arn("snapshot")], &tests)
                })
                .collect(),
            None => vec![statement("SwapTags", &swap, &[self.arn("volume"), self.arn("snapshot")], &[])],
        };
        // a restore that goes on, or deletes in the end, has put them aside already
        let aside: Vec<_> = self.of_cluster(tags::CLUSTER).into_iter().collect();
        if !aside.is_empty() {
            statements.push(statement(
                "SnapshotVolumesPutAside",
                &["ec2:CreateSnapshot"],
                &[self.arn("volume")],
                &aside,
            ));
        }
        let of_kops: Vec<_> = self.of_cluster(tags::KOPS_CLUSTER).into_iter().collect();
        let detach = [self.arn("volume"), self.arn("instance")];
        statements.push(statement("DetachVolumes", &["ec2:DetachVolume"], &detach, &of_kops));
        let mut put_aside = vec![("Null", format!("aws:ResourceTag/{}", tags::PUT_ASIDE), json!("false"))];
        put_aside.extend(self.of_cluster(tags::CLUSTER));
        statements.push(statement("CleanUp", &["ec2:DeleteVolume"], &[self.arn("volume")], &put_aside));
        statements
    }

    fn scale(&self) -> Value {
        let group = format!("arn:{}:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/*", self.partition);
        let of_cluster: Vec<_> = self.of_cluster(tags::KOPS_CLUSTER).into_iter().collect();
        statement("StopAndStartMasters", &["autoscaling:UpdateAutoScalingGroup"], &[group], &of_cluster)
    }

    /// What EC2 does with the key of an encrypted volume, in the name of the caller.
    fn keys(&self) -> Vec<Value> {
        let domain = if self.partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
        let by_ec2 = || ("StringLike", "kms:ViaService".to_owned(), json!(format!("ec2.*.{domain}")));
        let for_ec2 = ("Bool", "kms:GrantIsForAWSResource".to_owned(), json!("true"));
        let keys = [format!("arn:{}:kms:*:*:key/*", self.partition)];
        let using = ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncrypt*"];
        vec![
            statement("UseKeysOfVolumes", &using, &keys, &[by_ec2()]),
            statement("GrantKeysOfVolumes", &["kms:CreateGrant"], &keys, &[by_ec2(), for_ec2]),
        ]
    }
}

/// The request's or the resource's tag of ours.
fn marked(whose: &str) -> Test<'static> {
    ("StringEquals", format!("aws:{whose}Tag/{}", tags::MANAGED), json!(tags::MANAGED_VALUE))
}

fn statement(name: &str, actions: &[&str], resources: &[String], tests: &[Test<'_>]) -> Value {
    let mut statement = json!({"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resources});
    for (operator, key, value) in tests {
        statement["Condition"][*operator][key] = value.clone();
    }
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Purpose; 4] = [Purpose::Backup, Purpose::Prune, Purpose::Adopt, Purpose::Restore];
    const ANY: Scope<'_> = Scope { partition: "aws", cluster: None };
    const ONE: Scope<'_> = Scope { partition: "aws", cluster: Some("k8s.example.com") };

    fn statements(policy: &Value) -> &[Value] {
        policy["Statement"].as_array().unwrap()
    }

    /// The conditions under which an action is allowed, one text a statement.
    fn conditions(policy: &Value, action: &str) -> Vec<String> {
        let allows = |statement: &&Value| statement["Action"].as_array().unwrap().contains(&json!(action));
        statements(policy).iter().filter(allows).map(|statement| statement["Condition"].to_string()).collect()
    }

    #[test]
    fn what_deletes_needs_a_mark_of_ours() {
        let policy = of(&ALL, &ANY);
        let snapshots = conditions(&policy, "ec2:DeleteSnapshot");
        assert_eq!(snapshots, [r#"{"StringEquals":{"aws:ResourceTag/etcdbackup/managed":"1"}}"#]);
        let volumes = conditions(&policy, "ec2:DeleteVolume");
        assert_eq!(volumes, [r#"{"Null":{"aws:ResourceTag/etcdbackup/put-aside":"false"}}"#]);
        assert!(!of(&[Purpose::Backup], &ANY).to_string().contains("Delete"));
    }

    #[test]
    fn a_schedule_tags_nothing_but_what_it_makes() {
        let policy = of(&[Purpose::Backup, Purpose::Prune], &ANY);
        let created = r#"{"StringEquals":{"ec2:CreateAction":["CreateSnapshot","CreateSnapshots"]}}"#;
        let ours = r#"{"StringEquals":{"aws:ResourceTag/etcdbackup/managed":"1"}}"#;
        assert_eq!(conditions(&policy, "ec2:CreateTags"), [created, ours]);
        for never in ["DeleteTags", "CreateVolume", "autoscaling", "kms"] {
            assert!(!policy.to_string().contains(never), "{never}");
        }
    }

    #[test]
    fn what_changes_is_of_the_one_cluster() {
        let policy = of(&[Purpose::Backup, Purpose::Prune, Purpose::Restore], &ONE);
        // the key of a volume is known by no tag, and a new resource has none yet
        let free = ["Look", "MakeMarkedSnapshots", "MakeVolumes", "UseKeysOfVolumes", "GrantKeysOfVolumes"];
        for statement in statements(&policy) {
            let name = statement["Sid"].as_str().unwrap();
            let is_of_it = statement["Condition"].to_string().contains("k8s.example.com");
            let new = statement["Condition"].to_string().contains("ec2:CreateAction");
            assert_eq!(is_of_it, !free.contains(&name) && !new, "{statement}");
        }
    }

    #[test]
    fn a_volume_of_the_cluster_may_be_kept_as_a_snapshot_before_and_after_it_is_put_aside() {
        let of_volumes = |purposes: &[Purpose]| {
            let all = conditions(&of(purposes, &ONE), "ec2:CreateSnapshot");
            all.into_iter().filter(|one| one.contains("k8s.example.com")).count()
        };
        assert_eq!((of_volumes(&[Purpose::Restore]), of_volumes(&[Purpose::Backup])), (2, 1));
    }

    #[test]
    fn the_partition_is_in_every_arn() {
        let policy = of(&ALL, &Scope { partition: "aws-cn", ..ONE }).to_string();
        assert!(!policy.contains("arn:aws:") && policy.contains("ec2.*.amazonaws.com.cn"), "{policy}");
    }

    #[test]
    fn the_longest_policy_fits_a_managed_policy_of_aws() {
        // IAM User Guide, "IAM and AWS STS quotas": 6,144 characters without white space
        assert!(of(&ALL, &ONE).to_string().len() < 6144);
    }
}
