//! The Secrets that the operators read, and what is wrong with one that is there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::location::Cloud;
use crate::error::{Error, Result};

/// Which keys a Secret has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `access`, `secret`; `accountName`, `accessKey`; `my_service_key.json`: what an environment block names
    /// (strapdata/elassandra-operator, docs/source/backup-restore.rst at cccbc770, and doc/backup_restore.md).
    Instaclustr,
    /// `awsaccesskeyid`, …, `azurestorageaccount`, …, `gcp` (instaclustr/cassandra-operator, example-backup-secrets.yaml).
    InstaclustrGo,
    /// `access-key`, `secret-key`, `region`; `storage-account`, …; `gcp.json`, `project_id`
    /// (strapdata/elassandra-operator, CloudStorageSecretsKeys.java at 8232c3b2).
    Elassandra,
    /// `credentials`, a file as Medusa reads it (thelastpickle/cassandra-medusa, docs: `*_setup.md`).
    Medusa,
}

/// What goes into a Secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Keys {
    Aws {
        id: String,
        secret: String,
        region: Option<String>,
        endpoint: Option<String>,
    },
    Azure {
        account: String,
        key: String,
    },
    /// The text of the service account's file, and the project that it names.
    Gcp {
        json: String,
        project: String,
    },
}

impl Form {
    /// Its word for `--format`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Instaclustr => "instaclustr",
            Self::InstaclustrGo => "instaclustr-go",
            Self::Elassandra => "elassandra",
            Self::Medusa => "medusa",
        }
    }

    /// The keys that whoever reads the Secret needs; the first two are those of the environment block.
    pub fn needed(self, cloud: Cloud) -> &'static [&'static str] {
        match (self, cloud) {
            (Self::Instaclustr, Cloud::Aws) => &["access", "secret"],
            (Self::Instaclustr, Cloud::Azure) => &["accountName", "accessKey"],
            (Self::Instaclustr, Cloud::Gcp) => &["my_service_key.json"],
            (Self::InstaclustrGo, Cloud::Aws) => &["awsaccesskeyid", "awssecretaccesskey", "awsregion"],
            (Self::InstaclustrGo, Cloud::Azure) => &["azurestorageaccount", "azurestoragekey"],
            (Self::InstaclustrGo, Cloud::Gcp) => &["gcp"],
            (Self::Elassandra, Cloud::Aws) => &["access-key", "secret-key", "region"],
            (Self::Elassandra, Cloud::Azure) => &["storage-account", "storage-key"],
            (Self::Elassandra, Cloud::Gcp) => &["gcp.json", "project_id"],
            (Self::Medusa, _) => &["credentials"],
        }
    }

    /// Whether a key holds a file, whose last line may end.
    fn is_file(key: &str) -> bool {
        ["credentials", "gcp", "gcp.json", "my_service_key.json"].contains(&key)
    }
}

/// The Secret's data.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) where the form needs a region and there is none.
pub fn data(form: Form, keys: &Keys) -> Result<BTreeMap<String, String>> {
    let (cloud, mut values) = match keys {
        Keys::Aws { id, secret, region, .. } => {
            let region = match region {
                Some(region) => region.clone(),
                None if form.needed(Cloud::Aws).len() < 3 => String::new(),
                None => {
                    return Err(Error::denied(format!("no AWS region, which --format {} stores", form.word()))
                        .hint("pass --region"));
                }
            };
            (Cloud::Aws, vec![id.clone(), secret.clone(), region])
        }
        Keys::Azure { account, key } => (Cloud::Azure, vec![account.clone(), key.clone()]),
        Keys::Gcp { json, project } => (Cloud::Gcp, vec![json.clone(), project.clone()]),
    };
    if form == Form::Medusa {
        values = vec![medusa(keys)];
    }
    let named = form.needed(cloud).iter().map(|key| (*key).to_owned());
    let mut data: BTreeMap<String, String> = named.zip(values).collect();
    if let (Form::InstaclustrGo, Keys::Aws { endpoint: Some(endpoint), .. }) = (form, keys) {
        data.insert("awsendpoint".to_owned(), endpoint.clone());
    }
    Ok(data)
}

/// The file `credentials` of Medusa.
fn medusa(keys: &Keys) -> String {
    match keys {
        Keys::Aws { id, secret, .. } => {
            format!("[default]\naws_access_key_id={id}\naws_secret_access_key={secret}\n")
        }
        Keys::Azure { account, key } => serde_json::json!({"storage_account": account, "key": key}).to_string(),
        Keys::Gcp { json, .. } => json.clone(),
    }
}

/// A value as its file holds it: without the line break that editors put at the end. The second value says whether
/// there was one.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) for a value that is empty or can be none. It is never part
/// of a message.
pub fn value(shown: &str, text: &str) -> Result<(String, bool)> {
    let value = text.trim_end_matches(['\n', '\r']);
    if value.is_empty() {
        return Err(Error::denied(format!("{shown} is empty")));
    }
    if !value.chars().all(|c| c.is_ascii_graphic()) {
        return Err(Error::denied(format!("{shown} holds a space, a line break or another character that no key has"))
            .hint("the file must hold the value alone"));
    }
    Ok((value.to_owned(), value.len() != text.len()))
}

/// A service account of GCP as its file holds it.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) for a file that is none.
pub fn service_account(shown: &str, text: &str) -> Result<Keys> {
    let wrong = |what: &str| {
        Error::denied(format!("{shown} is no service account's JSON: {what}"))
            .hint("gcloud iam service-accounts keys create FILE --iam-account ACCOUNT writes one")
    };
    let account: Value = serde_json::from_str(text).map_err(|_| wrong("it is not JSON"))?;
    if account["type"] != "service_account" {
        return Err(wrong("its type is not service_account"));
    }
    let missing = ["project_id", "client_email", "private_key"].into_iter().find(|field| !account[*field].is_string());
    match (missing, account["project_id"].as_str()) {
        (None, Some(project)) => Ok(Keys::Gcp { json: text.to_owned(), project: project.to_owned() }),
        (missing, _) => Err(wrong(&format!("it has no {}", missing.unwrap_or("project_id")))),
    }
}

/// Finds what would make the pods fail: a key that is not there or empty, or ends in a line break, as
/// `kubectl create secret --from-file` keeps it.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) naming the key, never its value.
pub fn check(origin: &str, data: &BTreeMap<String, Vec<u8>>, needed: &[&str]) -> Result<()> {
    for key in needed {
        let Some(value) = data.get(*key) else {
            let found: Vec<&str> = data.keys().map(String::as_str).collect();
            let found = if found.is_empty() { "nothing".to_owned() } else { found.join(", ") };
            return Err(Error::denied(format!("{origin} lacks key {key:?} (found: {found})")));
        };
        if value.is_empty() {
            return Err(Error::denied(format!("key {key:?} in {origin} is empty")));
        }
        if !Form::is_file(key) && value.last().is_some_and(u8::is_ascii_whitespace) {
            let said = format!("key {key:?} in {origin} ends with a line break or a space");
            return Err(Error::denied(format!("{said}: every request would be refused for its signature")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aws(region: Option<&str>) -> Keys {
        let endpoint = Some("http://s3".to_owned());
        Keys::Aws { id: "AK".to_owned(), secret: "sk".to_owned(), region: region.map(str::to_owned), endpoint }
    }

    fn shown(form: Form, keys: &Keys) -> String {
        data(form, keys).unwrap().iter().map(|(key, value)| format!("{key}={value};")).collect()
    }

    #[test]
    fn each_form_has_the_keys_of_its_operator() {
        let azure = Keys::Azure { account: "a".to_owned(), key: "k".to_owned() };
        let gcp = Keys::Gcp { json: "{}".to_owned(), project: "p".to_owned() };
        for (form, keys, says) in [
            (Form::Instaclustr, &aws(None), "access=AK;secret=sk;"),
            (
                Form::InstaclustrGo,
                &aws(Some("r")),
                "awsaccesskeyid=AK;awsendpoint=http://s3;awsregion=r;awssecretaccesskey=sk;",
            ),
            (Form::Elassandra, &aws(Some("r")), "access-key=AK;region=r;secret-key=sk;"),
            (Form::Medusa, &aws(None), "credentials=[default]\naws_access_key_id=AK\naws_secret_access_key=sk\n;"),
            (Form::Instaclustr, &azure, "accessKey=k;accountName=a;"),
            (Form::InstaclustrGo, &azure, "azurestorageaccount=a;azurestoragekey=k;"),
            (Form::Elassandra, &azure, "storage-account=a;storage-key=k;"),
            (Form::Medusa, &azure, "credentials={\"key\":\"k\",\"storage_account\":\"a\"};"),
            (Form::Instaclustr, &gcp, "my_service_key.json={};"),
            (Form::InstaclustrGo, &gcp, "gcp={};"),
            (Form::Elassandra, &gcp, "gcp.json={};project_id=p;"),
            (Form::Medusa, &gcp, "credentials={};"),
        ] {
            assert_eq!(shown(form, keys), says, "{form:?}");
        }
        for form in [Form::InstaclustrGo, Form::Elassandra] {
            assert!(data(form, &aws(None)).unwrap_err().message().starts_with("no AWS region"));
        }
    }

    #[test]
    fn a_line_break_at_the_end_is_taken_away_and_one_within_is_refused() {
        assert_eq!(value("f", "key\r\n\n"), Ok(("key".to_owned(), true)));
        assert_eq!(value("f", "a/+=").unwrap(), ("a/+=".to_owned(), false));
        for bad in ["", "\n", "a\nb", "a b", "\u{feff}key", "key\t"] {
            let error = value("f", bad).unwrap_err();
            assert!(error.message().starts_with("f ") && !error.message().contains("key\t"), "{error}");
        }
    }

    #[test]
    fn what_is_no_service_account_is_refused_without_its_content() {
        let whole = r#"{"type":"service_account","project_id":"p","client_email":"e","private_key":"k"}"#;
        assert!(matches!(service_account("f", whole), Ok(Keys::Gcp { project, .. }) if project == "p"));
        for (text, says) in [
            ("sesame", "it is not JSON"),
            (r#"{"type":"authorized_user","refresh_token":"sesame"}"#, "its type is not service_account"),
            (r#"{"type":"service_account","project_id":"p","client_email":"e"}"#, "it has no private_key"),
        ] {
            let error = service_account("f", text).err().unwrap();
            assert!(error.message().ends_with(says) && !error.to_string().contains("sesame"), "{error}");
        }
    }

    #[test]
    fn a_secret_that_would_fail_in_the_pods_is_found() {
        let with = |secret: &str| {
            BTreeMap::from([("access".to_owned(), b"AK".to_vec()), ("secret".to_owned(), secret.into())])
        };
        let needed = Form::Instaclustr.needed(Cloud::Aws);
        let says = |data| check("secret x", &data, needed).err().map(|error| error.message().to_owned());
        assert_eq!(says(with("sk")), None);
        assert!(says(with("sk\n")).unwrap().starts_with("key \"secret\" in secret x ends with a line break"));
        assert_eq!(says(with("")).as_deref(), Some("key \"secret\" in secret x is empty"));
        assert_eq!(says(BTreeMap::new()).as_deref(), Some("secret x lacks key \"access\" (found: nothing)"));
        let file = BTreeMap::from([("credentials".to_owned(), b"[default]\n".to_vec())]);
        assert_eq!(check("x", &file, Form::Medusa.needed(Cloud::Aws)), Ok(()));
    }
}
