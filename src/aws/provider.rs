//! Credentials of one named profile, or of the environment, and of nothing else.

use aws_config::Region;
use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::region::{ProvideRegion, RegionProviderChain};
use aws_config::profile::{ProfileFileCredentialsProvider, ProfileFileRegionProvider};
use aws_config::provider_config::ProviderConfig;
use aws_runtime::env_config::file::EnvConfigFiles;

/// What the profile of the user's own files gives: keys, a login of SSO, a role, a program's output.
///
/// The SDK's whole chain would take keys of the environment first, and go on to an instance's role.
pub(super) async fn of_user(profile: &str, region: Option<&str>) -> ProfileFileCredentialsProvider {
    let region = match region {
        Some(region) => Some(Region::new(region.to_owned())),
        None => self::region(Some(profile)).region().await,
    };
    ProfileFileCredentialsProvider::builder().configure(&with(region)).profile_name(profile).build()
}

/// The keys of the environment, if there are any. The SDK's chain takes them before all else; to build the rest of that
/// chain reads the system's certificates, which can take longer than a small snapshot does.
pub(super) fn of_environment() -> Option<EnvironmentVariableCredentialsProvider> {
    let is_there = |name| std::env::var(name).is_ok_and(|value| !value.trim().is_empty());
    let all = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].into_iter().all(is_there);
    all.then(EnvironmentVariableCredentialsProvider::new)
}

/// The region of the environment, else of a profile of the user's own files, or of the one that the environment names.
/// The instance metadata service, which the SDK would ask after these, is not.
pub(super) fn region(profile: Option<&str>) -> RegionProviderChain {
    let files = ProfileFileRegionProvider::builder();
    let files = match profile {
        Some(profile) => files.profile_name(profile),
        None => files,
    };
    RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new()).or_else(files.build())
}

/// What the profile `default` of `texts` gives: keys, or a role that other keys of `texts` assume.
pub(super) async fn of_texts(texts: EnvConfigFiles, region: Option<&str>) -> ProfileFileCredentialsProvider {
    let region = match region {
        Some(region) => Some(Region::new(region.to_owned())),
        None => {
            let files = ProfileFileRegionProvider::builder().profile_files(texts.clone()).profile_name("default");
            files.build().region().await
        }
    };
    let builder = ProfileFileCredentialsProvider::builder().configure(&with(region));
    builder.profile_files(texts).profile_name("default").build()
}

/// STS needs a region to be asked for a role.
fn with(region: Option<Region>) -> ProviderConfig {
    ProviderConfig::without_region().with_region(region)
}
