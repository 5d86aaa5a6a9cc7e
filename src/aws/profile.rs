//! AWS profile files: one profile out of the user's files, rewritten as `[default]`.
//!
//! Source of the format: AWS SDKs and Tools Reference Guide, "Shared config and credentials files";
//! in the config file a section is `[profile NAME]`, but `[default]` is taken as well.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// Which of the two files a text is: section names differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Credentials,
    Config,
}

/// A file that was read, and the name to call it in messages.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    pub kind: Kind,
    pub shown: &'a str,
    pub text: &'a str,
}

/// One profile with static keys, as the two files that Kubernetes gets.
#[derive(Clone, PartialEq, Eq)]
pub struct Profile {
    /// Text of the `credentials` file.
    pub credentials: String,
    /// Text of the `config` file.
    pub config: String,
    /// Whether the keys are temporary.
    pub session_token: bool,
}

/// What the caller asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Name of the profile.
    pub profile: &'a str,
    /// Region that wins over the files.
    pub region: Option<&'a str>,
    /// Region if nothing else names one: the environment's.
    pub fallback_region: Option<&'a str>,
}

/// Takes one profile out of the files; a key of the credentials file wins over the config file's.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied): no such profile, half a key pair, no static
/// keys, no region. Values of the files are never part of a message.
pub fn extract(files: &[File<'_>], wanted: Wanted<'_>) -> Result<Profile> {
    let mut merged = BTreeMap::new();
    let mut found = false;
    for kind in [Kind::Config, Kind::Credentials] {
        for file in files.iter().filter(|file| file.kind == kind) {
            let section = section(file, wanted.profile);
            found |= section.is_some();
            merged.extend(section.unwrap_or_default());
        }
    }
    if !found {
        return Err(unknown_profile(files, wanted.profile));
    }
    let get = |key: &str| merged.get(key).map(String::as_str).filter(|value| !value.is_empty());
    let shown = shown(files);
    let (id, secret) = match (get("aws_access_key_id"), get("aws_secret_access_key")) {
        (Some(id), Some(secret)) => (id, secret),
        (None, None) => return Err(no_static_keys(&merged, wanted.profile, &shown)),
        (has_id, _) => {
            let missing = if has_id.is_some() { "aws_secret_access_key" } else { "aws_access_key_id" };
            return Err(Error::denied(format!(
                "profile {:?} in {shown} has only half a key pair: no {missing}",
                wanted.profile
            )));
        }
    };
    let region = wanted.region.or(get("region")).or(wanted.fallback_region).ok_or_else(|| {
        Error::denied(format!("no AWS region: profile {:?} in {shown} has none", wanted.profile)).hint("pass --region")
    })?;
    let token = get("aws_session_token");
    let mut credentials = format!("[default]\naws_access_key_id={id}\naws_secret_access_key={secret}\n");
    if let Some(token) = token {
        credentials.push_str(&format!("aws_session_token={token}\n"));
    }
    Ok(Profile { credentials, config: format!("[default]\nregion={region}\n"), session_token: token.is_some() })
}

/// The names of all profiles in a file.
fn profiles(file: &File<'_>) -> Vec<String> {
    let mut names: Vec<String> = file.text.lines().filter_map(|line| header(line, file.kind)).collect();
    names.dedup();
    names
}

/// The properties of one profile; `None` when the file has no such section.
fn section(file: &File<'_>, profile: &str) -> Option<BTreeMap<String, String>> {
    let mut properties: Option<BTreeMap<String, String>> = None;
    let mut inside = false;
    for line in file.text.lines() {
        if line.trim_start().starts_with('[') {
            inside = header(line, file.kind).as_deref() == Some(profile);
            if inside {
                properties.get_or_insert_default();
            }
        } else if inside && let Some((key, value)) = property(line) {
            properties.get_or_insert_default().insert(key, value);
        }
    }
    properties
}

/// The profile that a section header names.
fn header(line: &str, kind: Kind) -> Option<String> {
    let inner = line.trim().strip_prefix('[')?.split(']').next()?.trim();
    match (kind, inner.strip_prefix("profile").filter(|rest| rest.starts_with([' ', '\t']))) {
        (_, Some(name)) => Some(name.trim().to_owned()),
        (Kind::Credentials, None) => Some(inner.to_owned()),
        (Kind::Config, None) => (inner == "default").then(|| inner.to_owned()),
    }
}

/// `key = value`; an indented line continues a nested block and is none of ours.
fn property(line: &str) -> Option<(String, String)> {
    if line.starts_with([' ', '\t', '#', ';']) {
        return None;
    }
    let (key, value) = line.split_once('=')?;
    // a comment inside a value starts with whitespace and # or ;
    let value = [" #", " ;", "\t#", "\t;"].iter().fold(value, |value, mark| value.split(mark).next().unwrap_or(value));
    Some((key.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

fn shown(files: &[File<'_>]) -> String {
    files.iter().map(|file| file.shown).collect::<Vec<_>>().join(" and ")
}

fn unknown_profile(files: &[File<'_>], profile: &str) -> Error {
    let mut known: Vec<String> = files.iter().flat_map(profiles).collect();
    known.sort();
    known.dedup();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Error::denied(format!("no profile {profile:?} in {} (found: {known})", shown(files)))
        .hint("choose one with --profile")
}

fn no_static_keys(properties: &BTreeMap<String, String>, profile: &str, shown: &str) -> Error {
    let error = |how: &str| {
        Error::denied(format!("profile {profile:?} in {shown} has no static keys: {how}"))
            .hint("choose a profile with aws_access_key_id with --profile, or use `create --ambient` with IRSA, Pod Identity or an instance role")
    };
    match ["sso_session", "sso_start_url", "role_arn", "credential_process", "login_session"]
        .into_iter()
        .find(|key| properties.contains_key(*key))
    {
        Some(key) => error(&format!("it uses {key}, which does not work inside a cluster")),
        None => error("neither aws_access_key_id nor aws_secret_access_key"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const CREDENTIALS: &str = "# mine\n[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = sssh/+=\n\n\
        [work]\naws_access_key_id=AKIAWORK\naws_secret_access_key=work\naws_session_token=tok\n[half]\naws_access_key_id=AKIAHALF\n";
    const CONFIG: &str = "[default]\nregion = us-west-1 # home\n[profile work]\nregion=eu-west-1\ns3 =\n  max_concurrent_requests = 20\n\
        [profile sso]\nsso_session = corp\nregion=eu-west-1\n";

    fn files() -> [File<'static>; 2] {
        [
            File { kind: Kind::Credentials, shown: "credentials", text: CREDENTIALS },
            File { kind: Kind::Config, shown: "config", text: CONFIG },
        ]
    }

    fn get(profile: &str) -> Result<Profile> {
        extract(&files(), Wanted { profile, region: None, fallback_region: None })
    }

    #[test]
    fn rewrites_one_profile_and_nothing_else() {
        let profile = get("default").unwrap();
        assert_eq!(profile.credentials, "[default]\naws_access_key_id=AKIADEFAULT\naws_secret_access_key=sssh/+=\n");
        assert_eq!(profile.config, "[default]\nregion=us-west-1\n");
        let work = get("work").unwrap();
        assert!(work.session_token && work.credentials.ends_with("aws_session_token=tok\n"));
        assert_eq!(work.config, "[default]\nregion=eu-west-1\n");
    }

    #[test]
    fn each_fault_has_its_own_message() {
        for (profile, text) in [
            ("nobody", "no profile \"nobody\" in credentials and config (found: default, half, sso, work)"),
            ("half", "only half a key pair: no aws_secret_access_key"),
            ("sso", "no static keys: it uses sso_session"),
        ] {
            let error = get(profile).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Denied);
            assert!(error.message().contains(text), "{}", error.message());
            assert!(!error.to_string().contains("AKIA"));
        }
        let only = [files()[0]];
        let missing = Wanted { profile: "default", region: None, fallback_region: None };
        assert!(extract(&only, missing).err().unwrap().message().contains("no AWS region"));
        assert!(extract(&only, Wanted { region: Some("r"), ..missing }).is_ok());
        assert!(extract(&only, Wanted { fallback_region: Some("r"), ..missing }).is_ok());
    }

    #[test]
    fn keys_may_stand_in_the_config_file() {
        let config = "[profile x]\nregion=r\naws_access_key_id=a\naws_secret_access_key=b\n";
        let files = [File { kind: Kind::Config, shown: "config", text: config }];
        let profile = extract(&files, Wanted { profile: "x", region: None, fallback_region: None }).unwrap();
        assert_eq!(profile.credentials, "[default]\naws_access_key_id=a\naws_secret_access_key=b\n");
    }
}
