//! What the help says under RBAC is enough, and what is missing is named.

use crate::cluster::Namespace;
use crate::sandbox::Output;

const BACKUPS: &str = "etcd.database.coreos.com";

/// Rules of a Role: group, resources, verbs.
type Rules = [(&'static str, &'static str, &'static str)];

/// A ServiceAccount with a Role of these rules and nothing else.
fn account(namespace: &Namespace, name: &str, rules: &Rules) {
    let rules: Vec<String> = rules
        .iter()
        .map(|(group, resources, verbs)| {
            format!("{{apiGroups: [\"{group}\"], resources: [{resources}], verbs: [{verbs}]}}")
        })
        .collect();
    let manifest = format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: {name}}}\nrules: [{}]\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: {name}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {name}}}\n\
         subjects: [{{kind: ServiceAccount, name: {name}, namespace: {}}}]\n",
        rules.join(", "),
        namespace.name
    );
    namespace.apply(&manifest).unwrap();
}

/// Runs the plugin as that account.
fn run(namespace: &Namespace, name: &str, line: &str) -> Output {
    namespace.run(&format!("{line} --as system:serviceaccount:{}:{name}", namespace.name))
}

fn accounts(namespace: &Namespace) {
    let service: &Rules = &[("", "services", "get"), ("", "pods", "list"), ("", "pods/portforward", "get, create")];
    let s3: &Rules = &[(BACKUPS, "etcdbackups", "list"), ("", "secrets", "get")];
    account(namespace, "creator", &[(BACKUPS, "etcdbackups", "create, get")]);
    account(namespace, "service", service);
    account(namespace, "s3", s3);
    account(namespace, "getter", &[service, s3].concat());
    account(namespace, "lister", &[(BACKUPS, "etcdbackups", "list")]);
    account(namespace, "keeper", &[("", "secrets, configmaps", "create, patch")]);
    account(namespace, "checker", &[("", "secrets, configmaps", "get")]);
    account(
        namespace,
        "describer",
        &[(BACKUPS, "etcdbackups", "get"), ("batch", "jobs, cronjobs", "list"), ("", "events", "list")],
    );
    // everything of the service but the tunnel
    account(namespace, "walled", &[("", "services", "get"), ("", "pods", "list")]);
    account(namespace, "nobody", &[]);
}

#[test]
fn what_the_help_asks_for_is_enough_and_what_is_missing_is_named() {
    let namespace = Namespace::with_operator("rbac");
    namespace.etcd("etcd-a");
    accounts(&namespace);
    let store = namespace.s3.flags(&namespace.name);
    for (name, line) in [
        ("creator", format!("create etcd-a --name one {store} --wait --timeout 2m")),
        ("lister", "list".to_owned()),
        ("s3", "list etcd-a".to_owned()),
        ("s3", "get etcd-a --from s3 -O s3".to_owned()),
        ("keeper", "credentials --secret-name kept".to_owned()),
        ("checker", format!("credentials check {store}")),
        ("describer", "describe one".to_owned()),
    ] {
        let output = run(&namespace, name, &line);
        assert_eq!(output.code, Some(0), "{name} {line}: {output}");
    }
    namespace.rolled_out("deployment/etcd-a-backup-sidecar");
    let forwarded = run(&namespace, "service", "get etcd-a --from service -O service");
    assert_eq!(forwarded.code, Some(0), "{forwarded}");
    for (name, command) in [("creator", "create"), ("getter", "get"), ("lister", "list"), ("keeper", "credentials")] {
        let line = format!("permissions for {command}: all that it needs");
        let output = run(&namespace, name, &format!("check --for {command}"));
        assert!(output.to_string().contains(&format!("ok       {line}")), "{name}: {output}");
        let output = run(&namespace, "nobody", &format!("check --for {command}"));
        assert_eq!(output.code, Some(5), "{output}");
        assert!(output.to_string().contains("failed   permissions for"), "{output}");
    }
    refusals(&namespace, &store);
}

/// kubectl's words, and the hint that names the verbs.
fn refusals(namespace: &Namespace, store: &str) {
    let of_backups = "etcdbackups.etcd.database.coreos.com";
    for (name, line, needs) in [
        ("walled", "get etcd-a --from service".to_owned(), "verbs get,create on pods/portforward".to_owned()),
        ("nobody", "get etcd-a --from service".to_owned(), "verb get on services".to_owned()),
        ("nobody", format!("create etcd-a --name two {store}"), format!("verb create on {of_backups}")),
        ("lister", format!("get etcd-a --from s3 --secret aws-credential {store}"), "verb get on secrets".to_owned()),
        ("nobody", "list".to_owned(), format!("verb list on {of_backups}")),
        ("nobody", "describe one".to_owned(), format!("verb get on {of_backups}")),
        ("nobody", "credentials --secret-name kept".to_owned(), "verb patch on secrets".to_owned()),
        ("nobody", "credentials check".to_owned(), "verb get on secrets".to_owned()),
    ] {
        let output = run(namespace, name, &line);
        assert_eq!(output.code, Some(5), "{name} {line}: {output}");
        let shown = output.to_string();
        assert!(shown.contains("Error from server (Forbidden): ") && shown.contains(" is forbidden: User "), "{shown}");
        let hint = format!("hint: needs {needs} in namespace {} (see RBAC in --help)", namespace.name);
        assert!(shown.contains(&hint), "{name} {line}: {shown}");
    }
    let no_crd_of_mine = run(namespace, "nobody", "install");
    assert_eq!(no_crd_of_mine.code, Some(5), "{no_crd_of_mine}");
    let hint = "hint: needs verb get on customresourcedefinitions.apiextensions.k8s.io in the whole cluster";
    assert!(no_crd_of_mine.stderr.contains(hint), "{no_crd_of_mine}");
}
