//! A store of either kind, as tests fill it and look into it: a bucket, or a directory as a volume.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::servers::Bucket;

/// What the same test asks of both kinds.
pub trait Shelf {
    /// The flags of an agent that lead to it.
    fn flags(&self) -> String;
    fn put(&self, key: &str, bytes: &[u8]);
    /// Copies with what our agent recorded.
    fn copy(&self, from: &str, to: &str);
    /// All keys in order, without the marks and the locks of our agent.
    fn keys(&self) -> Vec<String>;
}

impl Shelf for Bucket<'_> {
    fn flags(&self) -> String {
        Bucket::flags(self)
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        Bucket::put(self, key, bytes);
    }

    fn copy(&self, from: &str, to: &str) {
        Bucket::copy(self, from, to);
    }

    fn keys(&self) -> Vec<String> {
        Bucket::keys(self)
    }
}

/// A directory as a volume.
pub struct Disk(TempDir);

impl Disk {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The names in the `tmp/` of the cluster.
    pub fn temporary(&self) -> Vec<String> {
        let mut files = Vec::new();
        walk(&self.path().join("v1/etcd-a/tmp"), &mut files);
        files.iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect()
    }
}

impl Shelf for Disk {
    fn flags(&self) -> String {
        format!("--volume-dir {}", self.path().display())
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.path().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn copy(&self, from: &str, to: &str) {
        std::fs::copy(self.path().join(from), self.path().join(to)).unwrap();
        std::fs::copy(mark(&self.path().join(from)), mark(&self.path().join(to))).unwrap();
    }

    fn keys(&self) -> Vec<String> {
        let mut files = Vec::new();
        walk(self.path(), &mut files);
        let key = |file: PathBuf| file.strip_prefix(self.path()).unwrap().to_str().unwrap().to_owned();
        let mut keys: Vec<String> = files.into_iter().map(key).collect();
        keys.retain(|key| !key.ends_with("_etcd.backup.json") && !key.ends_with("/meta/lock"));
        keys.sort();
        keys
    }
}

/// The mark of a file.
pub fn mark(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap().to_str().unwrap();
    file.parent().unwrap().join("meta").join(format!("{name}.json"))
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => walk(&path, files),
            false => files.push(path),
        }
    }
}
