//! Credentials that the store calls expired are asked for again, whatever time came with them.
//!
//! The SDK asks again only when that time is up. A login that was ended, a clock that is wrong or a program that tells no
//! time would otherwise end a long transfer in its middle, though new credentials are one question away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_credential_types::Credentials;
use aws_sdk_s3::config::IdentityCache;
use aws_smithy_runtime_api::client::identity::{
    IdentityFuture, ResolveCachedIdentity, SharedIdentityCache, SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::interceptors::context::InterceptorContext;
use aws_smithy_runtime_api::client::retries::classifiers::{ClassifyRetry, RetryAction};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

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
    /// The store calls the credentials expired: whether others may come, and whether they have to be asked for.
    fn refused(&mut self) -> (bool, bool) {
        match (&self.given, &self.expired) {
            // another request has asked already
            (None, expired) => (expired.is_some(), false),
            // what came in their place are the same
            (Some(given), Some(expired)) if given == expired => (false, false),
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
        let (worth_it, ask) = state.known.refused();
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
        assert_eq!(known.refused(), (true, true));
        assert_eq!(known.refused(), (true, false), "a request beside the first");
        known.given = Some("b".to_owned());
        assert_eq!(known.refused(), (true, true), "these can expire too");
        known.given = Some("b".to_owned());
        assert_eq!(known.refused(), (false, false), "the same again");
        assert_eq!(Known::default().refused(), (false, false));
    }
}
