//! One profile out of the user's AWS files, rewritten as `[default]`.

pub use super::ini::Kind;
use super::ini::{Section, sections};
use crate::error::{Error, Result};

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

/// The static keys of one profile.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    pub id: String,
    pub secret: String,
    pub session_token: Option<String>,
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
/// As [`keys`], and [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) without a region.
pub fn extract(files: &[File<'_>], wanted: Wanted<'_>) -> Result<Profile> {
    let Keys { id, secret, session_token } = keys(files, wanted.profile)?;
    let region = region(files, wanted).ok_or_else(|| {
        Error::denied(format!("no AWS region: profile {:?} in {} has none", wanted.profile, shown(files)))
            .hint("pass --region")
    })?;
    let mut credentials = format!("[default]\naws_access_key_id={id}\naws_secret_access_key={secret}\n");
    if let Some(token) = &session_token {
        credentials.push_str(&format!("aws_session_token={token}\n"));
    }
    let config = format!("[default]\nregion={region}\n");
    Ok(Profile { credentials, config, session_token: session_token.is_some() })
}

/// The region: the one that wins, else the profile's, else the environment's.
pub fn region(files: &[File<'_>], wanted: Wanted<'_>) -> Option<String> {
    let merged = merged(files, wanted.profile).unwrap_or_default();
    wanted.region.or(get(&merged, "region")).or(wanted.fallback_region).map(str::to_owned)
}

/// The static keys of one profile.
///
/// # Errors
/// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied): no such profile, half a key pair, no static
/// keys. Values of the files are never part of a message.
pub fn keys(files: &[File<'_>], profile: &str) -> Result<Keys> {
    let merged = merged(files, profile).ok_or_else(|| unknown_profile(files, profile))?;
    // the SDKs take the role where there are keys as well
    if merged.contains_key("role_arn") {
        return Err(no_static_keys(&merged, profile, &shown(files)));
    }
    match (get(&merged, "aws_access_key_id"), get(&merged, "aws_secret_access_key")) {
        (Some(id), Some(secret)) => Ok(Keys {
            id: id.to_owned(),
            secret: secret.to_owned(),
            session_token: get(&merged, "aws_session_token").map(str::to_owned),
        }),
        (None, None) => Err(no_static_keys(&merged, profile, &shown(files))),
        (has_id, _) => {
            let missing = if has_id.is_some() { "aws_secret_access_key" } else { "aws_access_key_id" };
            let shown = shown(files);
            Err(Error::denied(format!("profile {profile:?} in {shown} has only half a key pair: no {missing}")))
        }
    }
}

/// The profile's properties of all files; `None` when no file has it.
fn merged(files: &[File<'_>], profile: &str) -> Option<Section> {
    let mut merged: Option<Section> = None;
    for kind in [Kind::Config, Kind::Credentials] {
        for file in files.iter().filter(|file| file.kind == kind) {
            if let Some(section) = sections(file.text, kind).remove(profile) {
                merged.get_or_insert_default().extend(section);
            }
        }
    }
    merged
}

fn get<'a>(section: &'a Section, key: &str) -> Option<&'a str> {
    section.get(key).map(String::as_str).filter(|value| !value.is_empty())
}

/// What a profile uses in place of keys: the property and why it cannot go into a Secret.
///
/// Source of the properties: AWS SDKs and Tools Reference Guide, "Settings reference".
const NO_KEYS: [(&str, &str); 7] = [
    ("credential_process", "a program of this machine, which no pod has"),
    ("web_identity_token_file", "a token of this machine, which no pod has"),
    ("credential_source", "an identity of this machine, which no pod has"),
    ("role_arn", "a role, whose keys expire within hours"),
    ("sso_session", "a login of yours, which no pod can renew"),
    ("sso_start_url", "a login of yours, which no pod can renew"),
    ("login_session", "a login of yours, which no pod can renew"),
];

/// The property that a profile uses in place of keys, and why it cannot go into a Secret.
pub(super) fn in_place_of_keys(section: &Section) -> Option<(&'static str, &'static str)> {
    NO_KEYS.into_iter().find(|(key, _)| section.contains_key(*key))
}

fn shown(files: &[File<'_>]) -> String {
    files.iter().map(|file| file.shown).collect::<Vec<_>>().join(" and ")
}

fn unknown_profile(files: &[File<'_>], profile: &str) -> Error {
    let mut known: Vec<String> = files.iter().flat_map(|file| sections(file.text, file.kind).into_keys()).collect();
    known.sort();
    known.dedup();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Error::denied(format!("no profile {profile:?} in {} (found: {known})", shown(files)))
        .hint("choose one with --profile")
}

fn no_static_keys(properties: &Section, profile: &str, shown: &str) -> Error {
    let how = match in_place_of_keys(properties) {
        Some((key, why)) => format!("it uses {key}, {why}"),
        None => "neither aws_access_key_id nor aws_secret_access_key".to_owned(),
    };
    let error = Error::denied(format!("profile {profile:?} in {shown} has no static keys: {how}"))
        .hint("choose a profile with aws_access_key_id with --profile, or use `create --ambient` with IRSA, Pod Identity or an instance role");
    match get(properties, "source_profile").filter(|source| *source != profile) {
        Some(source) => {
            error.hint(format!("--profile {source} stores the keys that assume the role, if they may use the bucket"))
        }
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const CREDENTIALS: &str = "# mine\n[default]\naws_access_key_id = AKIADEFAULT\naws_secret_access_key = sssh/+=\n\n\
        [work]\naws_access_key_id=AKIAWORK\naws_secret_access_key=work\naws_session_token=tok\n[half]\naws_access_key_id=AKIAHALF\n";
    const CONFIG: &str = "[default]\nregion = us-west-1 # home\n[profile work]\nregion=eu-west-1\ns3 =\n  max_concurrent_requests = 20\n\
        [profile sso]\nsso_session = corp\nregion=eu-west-1\n[profile role]\nrole_arn=arn:x\nsource_profile=default\n\
        [profile self]\nrole_arn=arn:x\nsource_profile=self\naws_access_key_id=AKIASELF\naws_secret_access_key=s\n\
        [profile process]\ncredential_process=/bin/mine --token 1234\n[profile pod]\nrole_arn=arn:x\nweb_identity_token_file=/t\n\
        [profile host]\nrole_arn=arn:x\ncredential_source=Ec2InstanceMetadata\n";

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
            (
                "nobody",
                "no profile \"nobody\" in credentials and config (found: default, half, host, pod, process, role, self, sso, work)",
            ),
            ("half", "only half a key pair: no aws_secret_access_key"),
            ("sso", "no static keys: it uses sso_session, a login of yours"),
            ("role", "no static keys: it uses role_arn, a role, whose keys expire"),
            ("self", "no static keys: it uses role_arn"),
            ("process", "no static keys: it uses credential_process, a program of this machine"),
            ("pod", "no static keys: it uses web_identity_token_file, a token of this machine"),
            ("host", "no static keys: it uses credential_source, an identity of this machine"),
        ] {
            let error = get(profile).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Denied);
            assert!(error.message().contains(text), "{}", error.message());
            assert!(!error.to_string().contains("AKIA") && !error.to_string().contains("1234"));
        }
        let only = [files()[0]];
        let missing = Wanted { profile: "default", region: None, fallback_region: None };
        assert!(extract(&only, missing).err().unwrap().message().contains("no AWS region"));
        assert!(extract(&only, Wanted { region: Some("r"), ..missing }).is_ok());
        assert!(extract(&only, Wanted { fallback_region: Some("r"), ..missing }).is_ok());
    }

    #[test]
    fn the_profile_behind_a_role_is_named_as_a_way_out() {
        let hints = |profile| get(profile).err().unwrap().hints().join("\n");
        assert!(hints("role").contains("--profile default stores the keys that assume the role"));
        assert!(!hints("self").contains("--profile self"));
    }

    #[test]
    fn keys_may_stand_in_the_config_file() {
        let config = "[profile x]\nregion=r\naws_access_key_id=a\naws_secret_access_key=b\n";
        let files = [File { kind: Kind::Config, shown: "config", text: config }];
        let profile = extract(&files, Wanted { profile: "x", region: None, fallback_region: None }).unwrap();
        assert_eq!(profile.credentials, "[default]\naws_access_key_id=a\naws_secret_access_key=b\n");
    }
}
