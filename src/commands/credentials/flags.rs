//! Flags that `credentials` and `create` share: what to read, and whether to write the ConfigMap.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// Which profile of which files.
#[derive(Debug, Clone, Default, PartialEq, Eq, ClapArgs)]
pub struct ProfileFlags {
    /// AWS profile to store
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// AWS file [default: $AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials]
    #[arg(long, value_name = "FILE")]
    pub credentials_file: Option<PathBuf>,
    /// AWS config file [default: $AWS_CONFIG_FILE or ~/.aws/config]
    #[arg(long, value_name = "FILE")]
    pub config_file: Option<PathBuf>,
}

impl ProfileFlags {
    /// The profile that is meant.
    pub(super) fn name(&self) -> &str {
        self.profile.as_deref().unwrap_or("default")
    }

    /// Whether any of them was given.
    pub fn given(&self) -> bool {
        self.profile.is_some() || self.credentials_file.is_some() || self.config_file.is_some()
    }
}

/// Whether and how to write the ConfigMap.
#[derive(Debug, Clone, Default, PartialEq, Eq, ClapArgs)]
pub struct ConfigMapFlags {
    /// Name of the ConfigMap [default: aws-config]
    #[arg(long, value_name = "NAME")]
    pub configmap_name: Option<String>,
    /// Write no ConfigMap
    #[arg(long, conflicts_with = "configmap_name")]
    pub no_configmap: bool,
}

impl ConfigMapFlags {
    /// The one that was given.
    pub fn given(&self) -> Option<&'static str> {
        match self.no_configmap {
            true => Some("--no-configmap"),
            false => self.configmap_name.as_ref().map(|_| "--configmap-name"),
        }
    }
}
