//! Suggestions for the questions: what cannot be looked up in time is not suggested.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::super::Args;
use super::answers::Access;
use crate::aws::{self, CredentialSource, ProfileFiles, S3};
use crate::cli::Ui;
use crate::error::{Error, Result};
use crate::kubernetes::Session;
use crate::source::clusters;

const TIMEOUT: Duration = Duration::from_secs(5);

/// Most Secrets that are looked at.
const MOST: u32 = 100;

/// The clusters that show in the namespace.
pub(super) async fn clusters(session: &Session) -> Vec<String> {
    clusters::in_namespace(session, TIMEOUT).await.into_iter().collect()
}

/// The Secrets whose keys are those of AWS credentials.
pub(super) async fn secrets(session: &Session) -> Vec<String> {
    let api: Api<Secret> = Api::namespaced(session.client.clone(), &session.namespace);
    let params = ListParams::default().limit(MOST).fields("type=Opaque");
    let found = session.request(TIMEOUT, api.list(&params)).await;
    let fits = |secret: &Secret| {
        let has = |key: &str| secret.data.as_ref().is_some_and(|data| data.contains_key(key));
        has("credentials") || (has("AWS_ACCESS_KEY_ID") && has("AWS_SECRET_ACCESS_KEY"))
    };
    found.into_iter().flatten().filter(fits).map(|secret| secret.name_any()).collect()
}

/// The buckets that the backup's credentials can list.
pub(super) async fn buckets(args: &Args, access: Option<&Access>, session: &Session, ui: &Ui) -> Vec<String> {
    let found = tokio::time::timeout(TIMEOUT, list(args, access, session)).await;
    let found = found.unwrap_or_else(|_| Err(Error::timed_out(format!("no answer within {TIMEOUT:?}"))));
    found.unwrap_or_else(|error| {
        ui.say(format!("no buckets to choose from: {}", error.message()));
        Vec::new()
    })
}

async fn list(args: &Args, access: Option<&Access>, session: &Session) -> Result<Vec<String>> {
    let source = match access {
        Some(Access::Secret(name)) => from_secret(session, name).await?,
        Some(Access::Profile(profile)) => chain(Some(profile)),
        Some(Access::Ambient) => chain(None),
        None if args.ambient => chain(None),
        None if args.with_credentials || args.from.given() => chain(args.from.profile.as_ref()),
        None => from_secret(session, args.secret_name()).await?,
    };
    let place = &args.s3;
    let access = aws::Access {
        region: place.region.clone(),
        endpoint_url: place.endpoint_url.clone(),
        force_path_style: place.force_path_style,
        ca_pem: None,
    };
    S3::new("", &source, &access).await?.buckets().await
}

fn chain(profile: Option<&String>) -> CredentialSource {
    CredentialSource::Chain { profile: profile.filter(|profile| !profile.is_empty()).cloned() }
}

async fn from_secret(session: &Session, name: &str) -> Result<CredentialSource> {
    let api: Api<Secret> = Api::namespaced(session.client.clone(), &session.namespace);
    let secret = session.request(TIMEOUT, api.get(name)).await?;
    let keys = secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect();
    ProfileFiles::from_keys(format!("secret {name:?}"), &keys).map(CredentialSource::Files)
}
