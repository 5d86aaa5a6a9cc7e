//! Credentials that the store calls expired are asked for again, whatever time came with them.
//!
//! The SDK asks again only when that time is up. A login that was ended, a clock that is wrong or a program that tells no
//! time would otherwise end a long transfer in its middle, though new credentials are one question away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_credential_types::Credentials;
use aws_sdk_s3::config::IdentityCache;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::identity::{
    IdentityFuture, ResolveCachedIdentity, SharedIdentityCache, SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef, InterceptorContext,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, dyn_dispatch_hint};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};

/// A header of our own in an answer: the access key id of the request.
const SIGNED_WITH: &str = "x-kubectl-etcdbackup-signed-with";

/// The SDK's cache of credentials, which is emptied when the store calls them expired, and what says then whether
/// another try is worth it.
#[derive(Debug, Clone)]
pub(super) struct Renewal(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    cache: SharedIdentityCache,
    /// Counts the caches, so that a late answer of an emptied one is not taken for news.
    generation: u32,
    known: Known,
}

/// Access key ids: those of credentials that can expire are never used twice.
#[derive(Debug, Default, PartialEq, Eq)]
struct Known {
    /// In use; none while new ones are being asked for.
    given: Option<String>,
    /// What the store called expired last.
    expired: Option<String>,
}

impl Known {
    /// The store calls credentials expired, if it is known those with the id `used`: whether others may come, and
    /// whether they have to be asked for.
    fn refused(&mut self, used: Option<&str>) -> (bool, bool) {
        match (&self.given, &self.expired) {
            // another request has asked already
            (None, expired) => (expired.is_some(), false),
            // what came in their place are the same
            (Some(given), Some(expired)) if given == expired => (false, false),
            // a late answer to a request from before others came
            (Some(_), Some(expired)) if used == Some(expired) => (true, false),
            (Some(_), _) => {
                self.expired = self.given.take();
                (true, true)
            }
        }
    }
}

impl Renewal {
    /// An empty cache.
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { cache: empty(), generation: 0, known: Known::default() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn empty() -> SharedIdentityCache {
    IdentityCache::lazy().build()
}

impl ResolveCachedIdentity for Renewal {
    fn resolve_cached_identity<'a>(
        &'a self,
        resolver: SharedIdentityResolver,
        components: &'a RuntimeComponents,
        config: &'a ConfigBag,
    ) -> IdentityFuture<'a> {
        let (cache, generation) = {
            let state = self.state();
            (state.cache.clone(), state.generation)
        };
        IdentityFuture::new(async move {
            let identity = cache.resolve_cached_identity(resolver, components, config).await?;
            let mut state = self.state();
            if state.generation == generation {
                state.known.given = identity.data::<Credentials>().map(|keys| keys.access_key_id().to_owned());
            }
            Ok(identity)
        })
    }
}

impl ClassifyRetry for Renewal {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        if !is_expiry(context) {
            return RetryAction::NoActionIndicated;
        }
        let mut state = self.state();
        let used = context.response().and_then(|response| response.headers().get(SIGNED_WITH));
        let (worth_it, ask) = state.known.refused(used);
        if ask {
            (state.cache, state.generation) = (empty(), state.generation.wrapping_add(1));
        }
        match worth_it {
            true => RetryAction::transient_error(),
            false => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "expired credentials"
    }
}

/// The access key id that a request was signed with.
#[derive(Debug)]
struct SignedWith(String);

impl Storable for SignedWith {
    type Storer = StoreReplace<Self>;
}

impl SignedWith {
    /// Source of the form: Amazon S3 API reference, "Authenticating Requests: Using the Authorization Header".
    fn read(request: &HttpRequest) -> Option<Self> {
        let (_, credential) = request.headers().get("authorization")?.split_once("Credential=")?;
        credential.split_once('/').map(|(id, _)| Self(id.to_owned()))
    }
}

/// Writes into each answer for which request it is: when it is judged, the request is gone.
#[dyn_dispatch_hint]
impl Intercept for Renewal {
    fn name(&self) -> &'static str {
        "expired credentials"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(id) = SignedWith::read(context.request()) {
            config.interceptor_state().store_put(id);
        }
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(SignedWith(id)) = config.load::<SignedWith>() {
            context.response_mut().headers_mut().try_insert(SIGNED_WITH, id.clone())?;
        }
        Ok(())
    }
}

/// Whether the store's answer says that the credentials have expired.
///
/// Source of the codes: Amazon S3 API reference, "List of error codes".
fn is_expiry(context: &InterceptorContext) -> bool {
    let Some(response) = context.response().filter(|response| response.status().is_client_error()) else {
        return false;
    };
    let body = response.body().bytes().and_then(|body| std::str::from_utf8(body).ok()).unwrap_or_default();
    ["ExpiredToken", "TokenRefreshRequired"].iter().any(|code| body.contains(&format!("<Code>{code}</Code>")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_credentials_are_asked_for_once_and_the_same_ones_are_not_tried_again() {
        let mut known = Known { given: Some("a".to_owned()), expired: None };
        assert_eq!(known.refused(Some("a")), (true, true));
        assert_eq!(known.refused(Some("a")), (true, false), "a request beside the first");
        known.given = Some("b".to_owned());
        assert_eq!(known.refused(Some("b")), (true, true), "these can expire too");
        known.given = Some("b".to_owned());
        assert_eq!(known.refused(Some("b")), (false, false), "the same again");
        assert_eq!(Known::default().refused(None), (false, false));
    }

    #[test]
    fn a_late_answer_about_old_credentials_says_nothing_about_new_ones() {
        let mut known = Known { given: Some("b".to_owned()), expired: Some("a".to_owned()) };
        assert_eq!(known.refused(Some("a")), (true, false));
        assert_eq!(known.given.as_deref(), Some("b"), "they are still in use");
        assert_eq!(known.refused(None), (true, true), "it is not known which");
    }

    #[test]
    fn the_key_of_a_request_is_read_from_its_signature() {
        let read = |header: &'static str| {
            let mut request = HttpRequest::empty();
            request.headers_mut().insert("authorization", header);
            SignedWith::read(&request).map(|SignedWith(id)| id)
        };
        let signed =
            "AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=f";
        assert_eq!(read(signed).as_deref(), Some("AKID"));
        assert_eq!((read("Bearer x"), read("Credential=x")), (None, None));
    }
}
