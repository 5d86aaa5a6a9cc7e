//! `install` in both scopes, what a cluster-wide operator may and does, and `uninstall`.

use crate::cluster::{Namespace, eventually, image};

/// What a failing test must not leave behind, because it is there once in a cluster.
struct ClusterScoped<'a>(&'a Namespace);

impl<'a> ClusterScoped<'a> {
    /// Takes away what a run that was killed has left.
    fn new(namespace: &'a Namespace) -> Self {
        let scoped = Self(namespace);
        scoped.remove();
        scoped
    }

    fn remove(&self) {
        for kind in ["clusterrolebinding", "clusterrole"] {
            self.0.try_kubectl(&["delete", kind, "etcdbackup-operator", "etcdbackup-token-review"]);
        }
    }
}

impl Drop for ClusterScoped<'_> {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A cluster-wide operator that works on this test's EtcdBackups only: others use the cluster at the same time.
///
/// It is installed with an image that does not exist, so that it never runs without the selector.
fn install_cluster_wide(namespace: &Namespace) {
    let installed = namespace.run("install --cluster-wide --image registry.local/absent:1 --wait=false");
    assert_eq!(installed.code, Some(0), "{installed}");
    let shown = installed.to_string();
    for line in [
        "clusterrole.rbac.authorization.k8s.io/etcdbackup-token-review created",
        "rolebinding.rbac.authorization.k8s.io/etcdbackup-operator deleted",
        "role.rbac.authorization.k8s.io/etcdbackup-operator deleted",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line}: {shown}");
    }
    let (image, selector) = (image(), format!("--selector=test={}", namespace.name));
    let container = "/spec/template/spec/containers/0";
    let patch = serde_json::json!([
        {"op": "add", "path": format!("{container}/args/-"), "value": selector},
        {"op": "replace", "path": format!("{container}/image"), "value": image},
    ]);
    namespace.kubectl(&["patch", "deployment", "etcdbackup-operator", "--type=json", "-p", &patch.to_string()]);
    namespace.rolled_out("deployment/etcdbackup-operator");
}

/// What the operator's ServiceAccount may do to bindings: change the subjects of one.
fn changes_one_binding_only(namespace: &Namespace) {
    let operator = format!("--as=system:serviceaccount:{}:etcdbackup-operator", namespace.name);
    let subjects = serde_json::json!({"subjects": [
        {"kind": "ServiceAccount", "name": "default", "namespace": namespace.name}]})
    .to_string();
    let mut patch = ["patch", "clusterrolebinding", "", "--type=merge", "-p", &subjects, &operator, "--dry-run=server"];
    for (binding, expected) in
        [("etcdbackup-token-review", true), ("etcdbackup-operator", false), ("cluster-admin", false)]
    {
        patch[2] = binding;
        let (_, refused, allowed) = namespace.try_kubectl(&patch);
        assert_eq!(allowed, expected, "{binding}: {refused}");
    }
    for (verb, what) in [
        ("create", "clusterrolebindings"),
        ("delete", "clusterrolebindings/etcdbackup-token-review"),
        ("list", "clusterrolebindings"),
        ("bind", "clusterroles/cluster-admin"),
        ("escalate", "clusterroles/etcdbackup-token-review"),
        ("get", "secrets"),
    ] {
        let (answer, ..) = namespace.try_kubectl(&["auth", "can-i", verb, what, &operator]);
        assert_eq!(answer.trim(), "no", "{verb} {what}");
    }
}

/// A Deployment that looks like a sidecar of the operator's, and asks for a token of `default`.
fn forge_sidecar(namespace: &Namespace) {
    let labels = "{app: etcd_backup_tool, etcd_cluster: forged, app.kubernetes.io/managed-by: kubectl-etcdbackup}";
    let manifest = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: forged-backup-sidecar, labels: {labels}}}\n\
         spec:\n  replicas: 0\n  selector: {{matchLabels: {labels}}}\n  template:\n    metadata: {{labels: {labels}}}\n    \
         spec: {{serviceAccountName: default, automountServiceAccountToken: true, \
         containers: [{{name: x, image: x}}]}}\n"
    );
    namespace.apply(&manifest).unwrap();
}

fn may_review(namespace: &Namespace, account: &str) -> bool {
    let account = format!("--as=system:serviceaccount:{}:{account}", namespace.name);
    let review = ["auth", "can-i", "create", "tokenreviews.authentication.k8s.io", &account];
    namespace.try_kubectl(&review).0.trim() == "yes"
}

#[test]
fn a_change_of_scope_leaves_nothing_behind_and_uninstall_takes_the_rest() {
    let namespace = Namespace::with_operator("install");
    namespace.etcd("etcd-a");
    let _scoped = ClusterScoped::new(&namespace);
    install_cluster_wide(&namespace);
    changes_one_binding_only(&namespace);
    forge_sidecar(&namespace);
    let second = Namespace::new("install-second");
    let refused = second.run("install --cluster-wide --wait=false");
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains(&format!("is installed in namespace {:?}", namespace.name)), "{refused}");

    let store = namespace.s3.flags(&namespace.name);
    let created = namespace.run(&format!("create etcd-a --name one {store}"));
    assert_eq!(created.code, Some(0), "{created}");
    let backups = "etcdbackups.etcd.database.coreos.com";
    namespace.kubectl(&["label", backups, "one", &format!("test={}", namespace.name)]);
    eventually("the sidecar may review tokens", || may_review(&namespace, "etcd-a-backup-sidecar"));
    assert!(!may_review(&namespace, "default"), "a forged sidecar got its account bound");
    let subjects = || {
        namespace.kubectl(&[
            "get",
            "clusterrolebinding",
            "etcdbackup-token-review",
            "-o",
            "jsonpath={.subjects[*].name}",
        ])
    };
    assert_eq!(subjects(), "etcd-a-backup-sidecar");
    // what install applies has no subjects: the operator's stay
    let job = ["get", "jobs", "-o", "jsonpath={.items[*].spec.template.spec.containers[*].image}"];
    assert_eq!(namespace.kubectl(&job), image(), "a Job's image is the operator's own");
    let again = namespace.run("install --cluster-wide --image registry.local/absent:1 --wait=false --dry-run=server");
    assert!(again.to_string().contains("etcdbackup-token-review unchanged (server dry run)"), "{again}");
    namespace.kubectl(&["delete", backups, "one"]);
    eventually("the permission goes with the last sidecar", || subjects().is_empty());

    uninstalls(&namespace);
}

fn uninstalls(namespace: &Namespace) {
    let dry = namespace.run("uninstall --delete-crd --dry-run=client").to_string();
    assert!(dry.contains("deployment.apps/etcdbackup-operator deleted (dry run)"), "{dry}");
    assert!(dry.contains("etcdbackups.etcd.database.coreos.com deleted (dry run)"), "{dry}");
    assert!(dry.contains("of the whole cluster go with the CRD"), "{dry}");
    assert!(namespace.try_kubectl(&["get", "deployment", "etcdbackup-operator"]).2);
    let checked = namespace.run("uninstall --dry-run=server");
    assert_eq!(checked.code, Some(0), "{checked}");

    let label = "app.kubernetes.io/part-of=kubectl-etcdbackup";
    namespace.kubectl(&["create", "role", "somebody-elses", "--verb=get", "--resource=pods"]);
    namespace.kubectl(&["label", "role", "somebody-elses", label]);
    let gone = namespace.run("uninstall --yes");
    assert_eq!(gone.code, Some(0), "{gone}");
    assert!(gone.stderr.contains("snapshots that are stored"), "{gone}");
    let left = namespace.kubectl(&["get", "deployments,serviceaccounts,roles,rolebindings", "-o", "name"]);
    assert!(!left.contains("etcdbackup-operator"), "{left}");
    assert!(left.contains("/somebody-elses"), "{left}");
    let left = namespace.kubectl(&["get", "clusterroles,clusterrolebindings,crds", "-o", "name"]);
    assert!(!left.contains("/etcdbackup-operator") && !left.contains("/etcdbackup-token-review"), "{left}");
    assert!(left.contains("/etcdbackups.etcd.database.coreos.com"), "{left}");
    let again = namespace.run("uninstall --yes");
    assert_eq!((again.code, again.stdout.len()), (Some(0), 0), "{again}");
    assert!(again.stderr.starts_with("Nothing of kubectl-etcdbackup is installed"), "{again}");
}

#[test]
fn the_kustomize_bases_are_taken_by_the_api_server() {
    let namespace = Namespace::new("kustomize");
    for base in ["namespaced", "cluster-wide"] {
        let directory = namespace.sandbox.path().join(base);
        std::fs::create_dir(&directory).unwrap();
        let overlay = format!(
            "namespace: {}\nresources: [base]\nimages:\n- name: ghcr.io/etcdbackup/kubectl-etcdbackup\n  \
             newName: registry.local/mirrored\n  newTag: v7\n",
            namespace.name
        );
        namespace.sandbox.write(&format!("{base}/kustomization.yaml"), &overlay);
        std::fs::create_dir(directory.join("base")).unwrap();
        for file in ["kustomization.yaml", "etcdbackup.yaml"] {
            let source = format!("{}/deploy/{base}/{file}", env!("CARGO_MANIFEST_DIR"));
            std::fs::copy(source, directory.join("base").join(file)).unwrap();
        }
        let directory = directory.display().to_string();
        let apply = ["apply", "--server-side", "--dry-run=server", "--force-conflicts", "-k", &directory, "-o", "yaml"];
        let applied = namespace.kubectl(&apply);
        assert!(!applied.contains("namespace: etcdbackup\n"), "{applied}");
        assert!(applied.contains(&format!("namespace: {}\n", namespace.name)), "{applied}");
        // the only place of the image: its Jobs and sidecars get the operator's own
        assert!(applied.contains("image: registry.local/mirrored:v7\n"), "{applied}");
        assert!(!applied.contains("ghcr.io/") && !applied.contains("OPERATOR_IMAGE"), "{applied}");
    }
}
