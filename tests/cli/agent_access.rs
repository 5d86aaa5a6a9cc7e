//! `agent backup` of a real etcd that lets in only whom it knows.

use crate::agent_backup::{failed, stored};
use crate::etcd::{Authority, Etcd, succeed};
use crate::sandbox::Sandbox;
use crate::servers::{ROOT, STORE};

#[test]
fn a_user_and_a_password_from_files_are_enough() {
    let (etcd, bucket, sandbox) = (Etcd::start(), STORE.bucket("user"), Sandbox::with_keys(ROOT));
    etcd.put("key", "value");
    succeed(&mut etcd.ctl(&["user", "add", "root:of-this-test"]));
    succeed(&mut etcd.ctl(&["auth", "enable"]));
    let with = |directory: &str| format!("{} --auth-dir {directory}", bucket.flags());
    for (directory, password) in [("wrong", "guessed"), ("right", "of-this-test\n")] {
        sandbox.write(&format!("{directory}/username"), "root\n");
        sandbox.write(&format!("{directory}/password"), password);
    }
    for flags in [bucket.flags(), with("wrong")] {
        let reason = failed(&sandbox, &etcd, &flags, 5);
        assert!(!reason.contains("guessed"), "{reason}");
    }
    let report = stored(&sandbox, &etcd, &with("right"));
    assert!(report["hashKV"]["hash"].is_number() && report["quorum"] == true, "{report}");
    assert_eq!(bucket.keys().len(), 1);
}

#[test]
fn client_certificates_are_read_in_both_forms_of_keys() {
    let authority = Authority::new();
    let (etcd, bucket, sandbox) = (Etcd::with_tls(&authority), STORE.bucket("tls"), Sandbox::with_keys(ROOT));
    let forms = [
        ("kubernetes", ["tls.crt", "tls.key", "ca.crt"]),
        ("operator", ["etcd-client.crt", "etcd-client.key", "etcd-client-ca.crt"]),
    ];
    for (directory, names) in forms {
        for (name, from) in names.iter().zip(["client.crt", "client.key", "ca.crt"]) {
            sandbox.write(&format!("{directory}/{name}"), &authority.read(from));
        }
        etcd.put(directory, "value");
        let report = stored(&sandbox, &etcd, &format!("{} --tls-dir {directory}", bucket.flags()));
        assert_eq!(report["alreadyStored"], false, "{report}");
    }
    sandbox.write("no-pair/ca.crt", &authority.read("ca.crt"));
    failed(&sandbox, &etcd, &format!("{} --tls-dir no-pair", bucket.flags()), 5);
    assert_eq!(bucket.keys().len(), 2);
}
