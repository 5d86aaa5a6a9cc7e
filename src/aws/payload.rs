//! The hash of a body that is known before its request is signed.

use aws_runtime::auth::PayloadSigningOverride;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

use crate::sha256::{Hex, Sha256};

/// Signs a request with the SHA-256 of its body, so that signing need not compute it: the SDK would do so on the
/// thread that also serves the network, and again for each try.
#[derive(Debug)]
pub struct PayloadHash(String);

impl PayloadHash {
    /// Hashes a body; takes milliseconds for each MiB, so it belongs on a thread for such work.
    pub fn of(body: &[u8]) -> Self {
        Self(Hex(&Sha256::of(body)).to_string())
    }
}

impl Intercept for PayloadHash {
    fn name(&self) -> &'static str {
        "PayloadHash"
    }

    fn modify_before_signing(
        &self,
        _: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(PayloadSigningOverride::Precomputed(self.0.clone()));
        Ok(())
    }
}
