//! The store behind the server: the S3 source, opened anew when its mounted credentials change.

use std::future::Future;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use crate::agent;
use crate::agent::args::StoreArgs;
use crate::error::{Error, Result};
use crate::sha256::Sha256;
use crate::source::origin::{Failure, Ranges};
use crate::source::s3::S3Source;
use crate::source::{Body, Listing, StoredSnapshot, Wanted, object};

/// What the server needs of a store.
pub(super) trait Store: Send + Sync + 'static {
    /// Everything that is stored of the cluster.
    fn list(&self) -> impl Future<Output = Result<Listing>> + Send;

    /// What decides which snapshot is the `wanted` one.
    fn find(&self, wanted: &Wanted) -> impl Future<Output = Result<Listing>> + Send;

    /// The bytes of a listed snapshot, all or a range.
    fn open(
        &self,
        snapshot: &StoredSnapshot,
        range: Option<RangeInclusive<u64>>,
    ) -> impl Future<Output = Result<Body>> + Send;

    /// Picks up changed credentials.
    fn refresh(&self) -> impl Future<Output = ()> + Send;
}

/// The store that the flags and the mounted Secrets name.
pub(super) struct Mounted {
    args: StoreArgs,
    namespace: String,
    current: RwLock<Opened>,
}

#[derive(Clone)]
struct Opened {
    source: S3Source,
    mounted: [u8; 32],
}

impl Mounted {
    /// Opens the store.
    ///
    /// # Errors
    /// Those of [`agent::store::open`].
    pub(super) async fn open(args: &StoreArgs, namespace: &str) -> Result<Self> {
        // before opening: a change in between is then seen as one
        let mounted = fingerprint(args);
        let source = agent::store::open(args, namespace).await?;
        let current = RwLock::new(Opened { source, mounted });
        Ok(Self { args: args.clone(), namespace: namespace.to_owned(), current })
    }

    fn current(&self) -> Opened {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Store for Mounted {
    async fn list(&self) -> Result<Listing> {
        self.current().source.list().await
    }

    async fn find(&self, wanted: &Wanted) -> Result<Listing> {
        self.current().source.find(wanted).await
    }

    async fn open(&self, snapshot: &StoredSnapshot, range: Option<RangeInclusive<u64>>) -> Result<Body> {
        let s3 = self.current().source.s3;
        let key = &snapshot.location;
        let (Some(size), Some(etag)) = (snapshot.size, &snapshot.etag) else {
            return Err(Error::general(format!("s3: {} was listed without its size or ETag", s3.url(key))));
        };
        let range = range.map_or(0..size, |range| *range.start()..range.end() + 1);
        object::ranges(&s3, key, etag, size).open(range).await.map_err(Failure::into_error)
    }

    async fn refresh(&self) {
        let mounted = fingerprint(&self.args);
        if mounted == self.current().mounted {
            return;
        }
        match agent::store::open(&self.args, &self.namespace).await {
            Ok(source) => {
                tracing::info!("the mounted credentials changed and were read again");
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Opened { source, mounted };
            }
            Err(error) => tracing::warn!(error = error.message(), "the mounted credentials changed and are not usable"),
        }
    }
}

/// The hash of every mounted file that the store is opened with.
fn fingerprint(args: &StoreArgs) -> [u8; 32] {
    let mut sha = Sha256::default();
    for directory in [&args.aws_secret_dir, &args.aws_config_dir].into_iter().flatten() {
        for path in files(directory) {
            add(&mut sha, &path);
        }
    }
    if let Some(path) = &args.ca_bundle {
        add(&mut sha, path);
    }
    sha.finish()
}

fn add(sha: &mut Sha256, path: &Path) {
    // an unreadable file counts as an empty one; opening the store says what is wrong with it
    let content = std::fs::read(path).unwrap_or_default();
    for part in [path.as_os_str().as_encoded_bytes(), &content] {
        sha.update(&(part.len() as u64).to_le_bytes());
        sha.update(part);
    }
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(directory: &Path) -> StoreArgs {
        StoreArgs {
            cluster: "etcd-a".to_owned(),
            s3: crate::source::flags::S3Flags::default(),
            ca_bundle: None,
            aws_secret_dir: Some(directory.to_owned()),
            aws_config_dir: None,
        }
    }

    #[test]
    fn a_changed_a_new_and_a_lost_file_are_seen() {
        let directory = tempfile::tempdir().unwrap();
        let args = args(directory.path());
        let mut seen = vec![fingerprint(&args)];
        let credentials = directory.path().join("credentials");
        for content in ["a", "b"] {
            std::fs::write(&credentials, content).unwrap();
            seen.push(fingerprint(&args));
        }
        assert_eq!(fingerprint(&args), seen[2]);
        std::fs::write(directory.path().join("config"), "b").unwrap();
        seen.push(fingerprint(&args));
        let all = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all);
        std::fs::remove_file(credentials).unwrap();
        assert!(!seen.contains(&fingerprint(&args)));
    }
}
