//! Bearer tokens: whose they are, and whether that user may read this cluster's snapshots. The API server knows.
//!
//! Source: Kubernetes, TokenReview (authentication.k8s.io/v1) and SubjectAccessReview (authorization.k8s.io/v1).

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use kube::Resource;
use kube::api::{Api, PostParams};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::Session;
use crate::sha256::Sha256;

/// How long a granted token is not reviewed again: a revoked one works that much longer.
const GRANTED: Duration = Duration::from_secs(10);

/// How long an answer about our own permissions is good for.
const PERMITTED: Duration = Duration::from_secs(10);

/// Most granted tokens that are remembered.
const TOKENS: usize = 256;

/// Reviews at a time: strangers must not flood the API server through us.
const REVIEWS: usize = 8;

/// Time for the reviews of one request, the wait for a turn included.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why nobody gets in with a token, or not this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Denial {
    /// There is none.
    NoToken,
    /// It is not valid for our audience.
    BadToken,
    /// Its user may not read the snapshots.
    Forbidden { user: String },
    /// We may not ask.
    NotPermitted,
    /// The API server did not answer.
    Unreviewed,
}

/// Asks the API server about tokens.
pub(super) struct Reviewer {
    session: Session,
    audience: String,
    snapshots: ResourceAttributes,
    granted: Mutex<HashMap<[u8; 32], Instant>>,
    permitted: tokio::sync::Mutex<Option<(Instant, bool)>>,
    turns: Semaphore,
}

/// The audience of tokens for the sidecar of a cluster: a token for another sidecar or for the API server is refused,
/// because whoever it is sent to could replay it.
pub(super) fn audience(namespace: &str, cluster: &str) -> String {
    format!("etcdbackup/{namespace}/{cluster}")
}

impl Reviewer {
    /// For the snapshots of `cluster`.
    pub(super) fn new(session: Session, namespace: &str, cluster: &str) -> Self {
        Self {
            session,
            audience: audience(namespace, cluster),
            snapshots: ResourceAttributes {
                verb: Some("get".to_owned()),
                group: Some("etcd.database.coreos.com".to_owned()),
                resource: Some("etcdbackups".to_owned()),
                subresource: Some("snapshot".to_owned()),
                namespace: Some(namespace.to_owned()),
                name: Some(cluster.to_owned()),
                ..Default::default()
            },
            granted: Mutex::default(),
            permitted: tokio::sync::Mutex::default(),
            turns: Semaphore::new(REVIEWS),
        }
    }

    /// Whether the bearer of `token` gets in.
    ///
    /// # Errors
    /// A [`Denial`]; it is not remembered.
    pub(super) async fn admit(&self, token: Option<&str>) -> Result<(), Denial> {
        let judged = match token {
            Some(token) => tokio::time::timeout(TIMEOUT, self.judge(token)).await,
            None => tokio::time::timeout(TIMEOUT, self.without_token()).await,
        };
        judged.unwrap_or_else(|_| {
            tracing::warn!("a token was not reviewed within {TIMEOUT:?}");
            Err(Denial::Unreviewed)
        })
    }

    async fn judge(&self, token: &str) -> Result<(), Denial> {
        let digest = Sha256::of(token.as_bytes());
        if self.is_remembered(&digest) {
            return Ok(());
        }
        let _turn = self.turns.acquire().await.map_err(|_| Denial::Unreviewed)?;
        let user = self.user(token).await.map_err(|error| unreviewed(&error))?.ok_or(Denial::BadToken)?;
        let name = user.username.clone().unwrap_or_default();
        if !self.may_read(user).await.map_err(|error| unreviewed(&error))? {
            return Err(Denial::Forbidden { user: name });
        }
        self.remember(digest);
        Ok(())
    }

    /// A 401 asks for a token, so it is said only where a token would help.
    async fn without_token(&self) -> Result<(), Denial> {
        let mut known = self.permitted.lock().await;
        if let Some((_, permitted)) = known.filter(|(asked, _)| asked.elapsed() < PERMITTED) {
            return Err(if permitted { Denial::NoToken } else { Denial::NotPermitted });
        }
        let permitted = self.may_review().await.map_err(|error| unreviewed(&error))?;
        *known = Some((Instant::now(), permitted));
        Err(if permitted { Denial::NoToken } else { Denial::NotPermitted })
    }

    /// Whose token it is, if it is valid for our audience.
    async fn user(&self, token: &str) -> Result<Option<UserInfo>> {
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: Some(vec![self.audience.clone()]) };
        let status = self.create(&TokenReview { spec, ..Default::default() }).await?.status.unwrap_or_default();
        // an authenticator that knows no audiences leaves them empty: its tokens are for the API server
        let ours = status.audiences.iter().flatten().any(|audience| *audience == self.audience);
        Ok(status.user.filter(|_| ours && status.authenticated == Some(true)))
    }

    async fn may_read(&self, user: UserInfo) -> Result<bool> {
        let spec = SubjectAccessReviewSpec {
            user: user.username,
            uid: user.uid,
            groups: user.groups,
            extra: user.extra,
            resource_attributes: Some(self.snapshots.clone()),
            ..Default::default()
        };
        let review = self.create(&SubjectAccessReview { spec, ..Default::default() }).await?;
        Ok(review.status.is_some_and(|status| status.allowed && status.denied != Some(true)))
    }

    async fn may_review(&self) -> Result<bool> {
        for (group, resource) in
            [("authentication.k8s.io", "tokenreviews"), ("authorization.k8s.io", "subjectaccessreviews")]
        {
            let resource_attributes = Some(ResourceAttributes {
                verb: Some("create".to_owned()),
                group: Some(group.to_owned()),
                resource: Some(resource.to_owned()),
                ..Default::default()
            });
            let spec = SelfSubjectAccessReviewSpec { resource_attributes, ..Default::default() };
            let review = self.create(&SelfSubjectAccessReview { spec, ..Default::default() }).await?;
            if !review.status.is_some_and(|status| status.allowed) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn create<K>(&self, review: &K) -> Result<K>
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
    {
        let api = Api::<K>::all(self.session.client.clone());
        self.session.request(TIMEOUT, api.create(&PostParams::default(), review)).await
    }

    fn is_remembered(&self, digest: &[u8; 32]) -> bool {
        let granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted.get(digest).is_some_and(|when| when.elapsed() < GRANTED)
    }

    fn remember(&self, digest: [u8; 32]) {
        let mut granted = self.granted.lock().unwrap_or_else(PoisonError::into_inner);
        granted.retain(|_, when| when.elapsed() < GRANTED);
        // a token that is not remembered is reviewed again, no more
        if granted.len() < TOKENS {
            granted.insert(digest, Instant::now());
        }
    }
}

/// The API server's word stays in the log: who is refused need not know our ServiceAccount.
fn unreviewed(error: &Error) -> Denial {
    tracing::warn!(error = error.message(), "a token cannot be reviewed");
    match error.kind() {
        ErrorKind::Denied => Denial::NotPermitted,
        _ => Denial::Unreviewed,
    }
}
