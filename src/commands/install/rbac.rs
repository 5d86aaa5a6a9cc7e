//! What the operator may do, and what its sidecars may: pure. `docs/security.md` gives the reason for each rule.

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::manifests::{Install, Manifest, OPERATOR};
use crate::error::Result;
use crate::operator::TOKEN_REVIEW;

const GROUP: &str = "rbac.authorization.k8s.io";

/// Roles and bindings of the operator, in the order in which they are applied.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) when one cannot be serialised.
pub fn manifests(install: &Install) -> Result<Vec<Manifest>> {
    let subjects = Some(vec![subject(&install.namespace)]);
    if !install.cluster_wide {
        let role = Role { metadata: install.metadata(), rules: Some(rules()) };
        let binding = RoleBinding { metadata: install.metadata(), role_ref: role_ref("Role"), subjects };
        return Ok(vec![Manifest::new(&role)?, Manifest::new(&binding)?]);
    }
    let metadata = ObjectMeta { namespace: None, ..install.metadata() };
    let rules = [rules(), binding_rules()].concat();
    let role = ClusterRole { metadata: metadata.clone(), rules: Some(rules), ..Default::default() };
    let binding = ClusterRoleBinding { metadata: metadata.clone(), role_ref: role_ref("ClusterRole"), subjects };
    let token_review = ClusterRole {
        metadata: ObjectMeta { name: Some(TOKEN_REVIEW.to_owned()), ..metadata },
        rules: Some(token_review_rules()),
        ..Default::default()
    };
    let token_review_binding = ClusterRoleBinding {
        metadata: token_review.metadata.clone(),
        role_ref: RoleRef { name: TOKEN_REVIEW.to_owned(), ..role_ref("ClusterRole") },
        // the operator's: an empty list here would clear them
        subjects: None,
    };
    Ok(vec![
        Manifest::new(&role)?,
        Manifest::new(&binding)?,
        Manifest::new(&token_review)?,
        Manifest::new(&token_review_binding)?,
    ])
}

fn subject(namespace: &str) -> Subject {
    Subject {
        kind: "ServiceAccount".to_owned(),
        name: OPERATOR.to_owned(),
        namespace: Some(namespace.to_owned()),
        api_group: None,
    }
}

fn role_ref(kind: &str) -> RoleRef {
    RoleRef { api_group: GROUP.to_owned(), kind: kind.to_owned(), name: OPERATOR.to_owned() }
}

/// What the operator does and nothing else: no Secrets, no exec, no token of anybody.
fn rules() -> Vec<PolicyRule> {
    let watch_and_keep = ["get", "list", "watch", "create", "patch", "delete"];
    vec![
        rule("etcd.database.coreos.com", &["etcdbackups"], &["get", "list", "watch"]),
        rule("etcd.database.coreos.com", &["etcdbackups/status"], &["patch"]),
        rule("batch", &["jobs"], &["get", "list", "watch", "create", "patch"]),
        rule("batch", &["cronjobs"], &watch_and_keep),
        rule("apps", &["deployments"], &watch_and_keep),
        rule("", &["services", "serviceaccounts"], &watch_and_keep),
        rule("networking.k8s.io", &["networkpolicies"], &watch_and_keep),
        rule("", &["pods"], &["get", "list"]),
        rule("", &["persistentvolumeclaims"], &["get", "create"]),
        rule("", &["events"], &["list"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ]
}

/// To let sidecars review tokens: the subjects of one binding, to one role. RBAC has no rule for names that begin
/// alike, so a binding a namespace would take the right to delete every ClusterRoleBinding of the cluster.
fn binding_rules() -> Vec<PolicyRule> {
    let only_this = |rule| PolicyRule { resource_names: Some(vec![TOKEN_REVIEW.to_owned()]), ..rule };
    vec![
        only_this(rule(GROUP, &["clusterrolebindings"], &["get", "patch"])),
        only_this(rule(GROUP, &["clusterroles"], &["bind"])),
    ]
}

fn token_review_rules() -> Vec<PolicyRule> {
    vec![
        rule("authentication.k8s.io", &["tokenreviews"], &["create"]),
        rule("authorization.k8s.io", &["subjectaccessreviews"], &["create"]),
    ]
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |list: &[&str]| list.iter().map(|&word| word.to_owned()).collect();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secrets_no_exec_and_no_role_of_anybodys_choice() {
        for rule in [rules(), binding_rules(), token_review_rules()].concat() {
            let words = [rule.resources.unwrap_or_default(), rule.verbs].concat();
            for forbidden in ["secrets", "pods/exec", "serviceaccounts/token", "*", "impersonate", "escalate", "roles"]
            {
                assert!(!words.contains(&forbidden.to_owned()), "{words:?}");
            }
            let grants = rule.api_groups.unwrap_or_default().contains(&GROUP.to_owned());
            assert_eq!(rule.resource_names, grants.then(|| vec![TOKEN_REVIEW.to_owned()]), "{words:?}");
            let unbounded =
                grants && ["create", "delete", "list", "watch"].iter().any(|&verb| words.contains(&verb.to_owned()));
            assert!(!unbounded, "{words:?}");
        }
    }
}
