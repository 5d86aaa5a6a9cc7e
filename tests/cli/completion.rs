//! Completion without a cluster: kubectl's protocol, the scripts, and silence where nobody can be asked.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::Command;

use insta::assert_snapshot;

use crate::sandbox::Sandbox;

/// A kubeconfig with two contexts that lead to `server`.
fn kubeconfig(server: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\ncontexts:\n\
         - {{name: here, context: {{cluster: one, user: me, namespace: databases}}}}\n\
         - {{name: there, context: {{cluster: two, user: you}}}}\n\
         clusters:\n- {{name: one, cluster: {{server: '{server}'}}}}\n- {{name: two, cluster: {{server: '{server}'}}}}\n\
         users:\n- {{name: me, user: {{token: t}}}}\n- {{name: you, user: {{token: t}}}}\n"
    )
}

/// What kubectl gets for these words, of which the last is being completed.
fn complete(sandbox: &Sandbox, words: &[&str]) -> String {
    // kubectl runs a link of this name, and argv[0] is all of it that the program sees
    let output = sandbox.command(words).arg0("/bin/kubectl_complete-etcdbackup").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{words:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn kubectl_gets_values_descriptions_and_its_directive() {
    let sandbox = Sandbox::new();
    for (name, words) in [
        ("commands", &[""][..]),
        ("flags", &["get", "etcd-a", "--re"]),
        ("shells", &["completion", ""]),
        ("formats", &["get", "etcd-a", "-o", ""]),
        ("a_path", &["get", "etcd-a", "-O", ""]),
        ("nothing", &["get", "etcd-a", "--region", ""]),
    ] {
        assert_snapshot!(name, complete(&sandbox, words));
    }
}

#[test]
fn names_of_the_kubeconfig_need_no_api_server() {
    let sandbox = Sandbox::new();
    sandbox.write("config", &kubeconfig("https://127.0.0.1:1"));
    let names = |flag: &str| complete(&sandbox, &["--kubeconfig", "config", "get", flag, ""]);
    assert_eq!(names("--context"), "here\nthere\n:4\n");
    assert_eq!(names("--cluster"), "one\ntwo\n:4\n");
    assert_eq!(names("--user"), "me\nyou\n:4\n");
    assert_eq!(complete(&sandbox, &["get", "--kubeconfig=config", "--context=t"]), "there\n:4\n");
}

#[test]
fn an_api_server_that_cannot_be_asked_is_met_with_silence() {
    // accepts, and never answers
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let plugin = "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: c}}]\n\
        clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\nusers:\n- name: c\n  user:\n    exec:\n\
        \x20     apiVersion: client.authentication.k8s.io/v1\n      interactiveMode: IfAvailable\n      command: sh\n\
        \x20     args: [-c, 'echo log in first >&2; exit 1']\n";
    for config in ["", "not: [a kubeconfig", &kubeconfig("http://127.0.0.1:1"), &kubeconfig(&silent), plugin] {
        let sandbox = Sandbox::new();
        sandbox.write(".kube/config", config);
        for words in [&["get", ""][..], &["get", "etcd-a", "--secret", ""], &["create", "-n", ""]] {
            assert_eq!(complete(&sandbox, words), ":4\n", "{config} {words:?}");
        }
        assert!(complete(&sandbox, &["agent", ""]).starts_with("backup\t"));
    }
}

#[test]
fn a_script_for_every_shell_and_a_usage_error_for_the_rest() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let output = sandbox.run(&format!("completion {shell}"));
        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output}");
        assert_snapshot!(shell, output);
    }
    assert_snapshot!("wrong_shell", sandbox.run("completion bsh"));
    assert_snapshot!("missing_shell", sandbox.run("completion"));
}

#[test]
fn bash_completes_with_the_script() {
    let sandbox = Sandbox::new();
    sandbox.write(".kube/config", &kubeconfig("http://127.0.0.1:1"));
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_kubectl-etcdbackup"));
    let script = r#"
        eval "$(kubectl-etcdbackup completion bash)"
        complete_words() {
            COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9; COMPREPLY=()
            _clap_complete_kubectl_etcdbackup kubectl-etcdbackup "${!#}"
            echo "${COMPREPLY[@]}"
        }
        complete_words kubectl-etcdbackup c
        complete_words kubectl-etcdbackup get etcd-a --from ''
        complete_words kubectl-etcdbackup get --context ''
        complete_words kubectl-etcdbackup get etcd-a --out"#;
    let mut bash = Command::new("bash");
    bash.args(["--norc", "-c", script]).env_clear().env("HOME", sandbox.path());
    let path = format!("{}:/usr/bin:/bin", program.parent().unwrap().display());
    let output = bash.env("PATH", path).output().unwrap();
    assert_eq!(
        (String::from_utf8(output.stdout).unwrap().as_str(), String::from_utf8(output.stderr).unwrap().as_str()),
        (
            "credentials create convert cassandra check completion\nauto service s3 pv dir\nhere there\n--output-file --output\n",
            ""
        )
    );
}
