//! Sending objects: create, and server-side apply.

use std::fmt::Debug;
use std::time::Duration;

use clap::ValueEnum;
use kube::api::{Api, Patch, PatchParams, PostParams, ValidationDirective};
use kube::core::Request;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{FIELD_MANAGER, Session};
use crate::error::{Error, ErrorKind, Result};

const TIMEOUT: Duration = Duration::from_secs(30);

/// kubectl's `--dry-run`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Send it.
    #[default]
    None,
    /// Print what would be sent; no API server is contacted.
    Client,
    /// Have the API server check it without keeping it.
    Server,
}

impl DryRun {
    /// The suffix of kubectl's success line.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
}

/// What kubectl says became of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Created,
    Configured,
    Unchanged,
    /// Whether it was there before could not be seen.
    Sent,
}

impl Applied {
    /// kubectl's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Unchanged => "unchanged",
            Self::Sent => "serverside-applied",
        }
    }
}

/// Creates `object`; unknown fields are refused.
///
/// # Errors
/// The API server's, in kubectl's words.
pub async fn create<K>(session: &Session, api: &Api<K>, object: &K, dry_run: DryRun) -> Result<K>
where
    K: Resource + Serialize + DeserializeOwned + Clone + Debug,
{
    let params = PostParams { dry_run: dry_run == DryRun::Server, field_manager: Some(FIELD_MANAGER.to_owned()) };
    let unsendable = |error: &dyn std::fmt::Display| Error::general(format!("cannot send the object: {error}"));
    let body = serde_json::to_vec(object).map_err(|error| unsendable(&error))?;
    let mut request = Request::new(api.resource_url()).create(&params, body).map_err(|error| unsendable(&error))?;
    // PostParams of kube 5.0 lacks the directive that PatchParams has
    let uri = format!("{}&fieldValidation=Strict", request.uri());
    *request.uri_mut() = uri.parse().map_err(|error| unsendable(&error))?;
    session.request(TIMEOUT, session.client.request(request)).await
}

/// What to do about fields that another field manager has set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Leave them, and fail.
    No,
    /// Take them over.
    Yes,
}

impl Force {
    /// kubectl's `--force-conflicts`.
    pub fn conflicts(flag: bool) -> Self {
        if flag { Self::Yes } else { Self::No }
    }
}

/// Applies `object` on the server and says whether that made or changed it.
///
/// # Errors
/// The API server's, in kubectl's words; without `force`, a conflict with another field manager among them.
pub async fn apply<K>(
    session: &Session,
    api: &Api<K>,
    object: &K,
    dry_run: DryRun,
    force: Force,
) -> Result<(K, Applied)>
where
    K: Resource + Serialize + DeserializeOwned + Clone + Debug,
{
    let name = object.name_any();
    let before = match session.request(TIMEOUT, api.get_opt(&name)).await {
        Ok(found) => Ok(found),
        // whoever may patch need not be allowed to get: the patch itself will tell
        Err(error) if error.kind() == ErrorKind::Denied => Err(error),
        Err(error) => return Err(error),
    };
    let params = PatchParams {
        dry_run: dry_run == DryRun::Server,
        force: force == Force::Yes,
        field_manager: Some(FIELD_MANAGER.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
    };
    let after = session.request(TIMEOUT, api.patch(&name, &params, &Patch::Apply(object))).await;
    let after = after.map_err(|error| match error.message().starts_with("Error from server (Conflict)") {
        true => error.hint(format!("{name} was made by another tool: choose another name, or add --force-conflicts")),
        false => error,
    })?;
    let applied = match before {
        Ok(None) => Applied::Created,
        Ok(Some(before)) if content(&before) == content(&after) => Applied::Unchanged,
        Ok(Some(_)) => Applied::Configured,
        Err(_) => Applied::Sent,
    };
    Ok((after, applied))
}

/// The object without what only the server counts; a dry run leaves the resource version as it was.
fn content<K: Serialize>(object: &K) -> Option<serde_json::Value> {
    let mut value = serde_json::to_value(object).ok()?;
    if let Some(metadata) = value.get_mut("metadata").and_then(|metadata| metadata.as_object_mut()) {
        for counted in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(counted);
        }
    }
    value.as_object_mut()?.remove("status");
    Some(value)
}
