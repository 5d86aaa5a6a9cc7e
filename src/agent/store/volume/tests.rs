use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use bytes::Bytes;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::error::ErrorKind;
use crate::sha256::Sha256;
use crate::transfer::upload::{Destination, Uploaded};

const KEY: &str = "v1/etcd-a/3.5.0_000000000000000f_etcd.backup";
const NAME: &str = "3.5.0_000000000000000f_etcd.backup";

struct Disk {
    directory: TempDir,
    volume: Volume,
}

fn disk() -> Disk {
    let directory = tempfile::tempdir().unwrap();
    let volume = Volume::open(directory.path()).unwrap();
    Disk { directory, volume }
}

fn metadata(cluster_id: u64) -> Metadata {
    Metadata { agent: "test".to_owned(), cluster_id, member: 1, revision: 15, hash_kv: None, quorum: true }
}

/// Bytes whose trailer matches.
fn snapshot(fill: u8) -> Vec<u8> {
    let data = [fill; 1024];
    [data.as_slice(), &Sha256::of(&data)].concat()
}

impl Disk {
    fn path(&self, below: &str) -> PathBuf {
        self.directory.path().join(below)
    }

    async fn store_as(&self, key: &str, cluster_id: u64, bytes: &[u8]) -> Result<Uploaded> {
        let chunks: Vec<Result<Bytes>> = bytes.chunks(100).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let destination = Destination { key: key.to_owned(), metadata: metadata(cluster_id), encryption: None };
        let (body, cancel) = (futures::stream::iter(chunks), CancellationToken::new());
        self.volume.store(&destination, bytes.len() as u64, body, &cancel).await
    }

    async fn store(&self, cluster_id: u64, bytes: &[u8]) -> Result<Uploaded> {
        self.store_as(KEY, cluster_id, bytes).await
    }

    async fn ours(&self, key: &str) -> bool {
        self.volume.head(key).await.unwrap().unwrap().metadata.is_some()
    }

    /// The names in `tmp/`.
    fn temporary(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("v1/etcd-a/tmp")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

#[tokio::test]
async fn a_proved_snapshot_gets_its_name_and_its_mark_for_the_owner_only() {
    let (disk, bytes) = (disk(), snapshot(1));
    let Uploaded::Stored(proof) = disk.store(7, &bytes).await.unwrap() else { panic!("it is new") };
    assert_eq!((std::fs::read(disk.path(KEY)).unwrap(), proof.size), (bytes, 1056));
    let found = disk.volume.head(KEY).await.unwrap().unwrap();
    assert_eq!((found.size, found.metadata), (Some(1056), Some(metadata(7))));
    assert_eq!(disk.volume.proved(KEY).await.unwrap(), proof.sha256_hex());
    let mark = format!("v1/etcd-a/meta/{NAME}.json");
    for (path, mode) in [(KEY, 0o600), (mark.as_str(), 0o600), ("v1", 0o700), ("v1/etcd-a/tmp", 0o700)] {
        assert_eq!(disk.path(path).metadata().unwrap().permissions().mode() & 0o777, mode, "{path}");
    }
    assert_eq!(disk.temporary(), [""; 0]);
}

#[tokio::test]
async fn what_is_there_is_known_by_its_mark_and_never_overwritten() {
    let disk = disk();
    disk.store(7, &snapshot(1)).await.unwrap();
    assert_eq!(disk.store(7, &snapshot(2)).await, Ok(Uploaded::AlreadyStored));
    let error = disk.store(8, &snapshot(2)).await.unwrap_err();
    assert!(error.message().starts_with("KeyExists: "), "{error}");
    assert!(std::fs::read(disk.path(KEY)).unwrap() == snapshot(1) && disk.ours(KEY).await);
    assert_eq!(disk.temporary(), [""; 0]);
}

#[tokio::test]
async fn bytes_that_fail_proof_and_a_run_that_is_cancelled_leave_nothing() {
    let (disk, mut bytes) = (disk(), snapshot(1));
    bytes[5] ^= 1;
    assert_eq!(disk.store(7, &bytes).await.unwrap_err().kind(), ErrorKind::Unproved);
    let destination = Destination { key: KEY.to_owned(), metadata: metadata(7), encryption: None };
    let cancel = CancellationToken::new();
    cancel.cancel();
    let stored = disk.volume.store(&destination, 0, futures::stream::pending(), &cancel).await;
    assert_eq!(stored.unwrap_err().kind(), ErrorKind::Interrupted);
    // the bytes are right, and then etcd says that they were another member's
    let whole = [Ok(Bytes::from(snapshot(1))), Err(Error::general("another member"))];
    let cancel = CancellationToken::new();
    let stored = disk.volume.store(&destination, 1056, futures::stream::iter(whole), &cancel).await;
    assert_eq!(stored.unwrap_err().message(), "another member");
    assert!(!disk.path(KEY).exists() && disk.temporary().is_empty());
}

#[tokio::test]
async fn a_file_of_other_bytes_beside_a_mark_is_not_ours() {
    let disk = disk();
    disk.store(7, &snapshot(1)).await.unwrap();
    for foreign in [snapshot(2), b"short".to_vec(), Vec::new()] {
        std::fs::write(disk.path(KEY), foreign).unwrap();
        assert!(!disk.ours(KEY).await);
    }
    std::fs::remove_file(disk.path(KEY)).unwrap();
    assert_eq!(disk.volume.head(KEY).await.unwrap(), None);
    // and a run that was killed between the two is no obstacle
    assert!(matches!(disk.store(8, &snapshot(3)).await, Ok(Uploaded::Stored(_))));
    assert!(disk.ours(KEY).await);
}

#[tokio::test]
async fn a_file_that_rotted_since_it_was_proved_is_not_called_stored() {
    let disk = disk();
    disk.store(7, &snapshot(1)).await.unwrap();
    let mut bytes = snapshot(1);
    bytes[500] ^= 1;
    std::fs::write(disk.path(KEY), bytes).unwrap();
    let store = crate::agent::store::Store::Volume(disk.volume.clone());
    let error = crate::agent::kept::or_free(&store, KEY, &metadata(7)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unproved);
    assert!(error.message().starts_with("Damaged: "), "{error}");
}

#[tokio::test]
async fn what_a_killed_run_left_is_nobody_s_as_soon_as_it_is_quiet() {
    let disk = disk();
    let abandoned = async || disk.volume.begun_uploads("v1/etcd-a/").await.unwrap()[0].abandoned;
    let tmp = disk.path("v1/etcd-a/tmp");
    std::fs::create_dir_all(&tmp).unwrap();
    let file = File::create(tmp.join(format!("{NAME}.0123456789abcdef"))).unwrap();
    let now = std::time::SystemTime::now();
    file.try_lock().unwrap();
    file.set_modified(now - std::time::Duration::from_secs(600)).unwrap();
    assert!(!abandoned().await, "somebody has it locked");
    file.unlock().unwrap();
    assert!(abandoned().await);
    file.set_modified(now).unwrap();
    assert!(!abandoned().await, "somebody without locks may be at it");
}

#[tokio::test]
async fn links_that_somebody_planted_lead_nowhere() {
    for planted in ["v1", "v1/etcd-a", "v1/etcd-a/tmp", "v1/etcd-a/meta", KEY] {
        let (disk, outside) = (disk(), tempfile::tempdir().unwrap());
        let link = disk.path(planted);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(outside.path(), &link).unwrap();
        assert!(disk.store(7, &snapshot(1)).await.is_err(), "{planted}");
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "{planted}");
        assert!(link.is_symlink(), "{planted}");
    }
}

#[tokio::test]
async fn a_mark_that_is_a_link_or_without_end_is_none() {
    let disk = disk();
    disk.store(7, &snapshot(1)).await.unwrap();
    let mark = disk.path(&format!("v1/etcd-a/meta/{NAME}.json"));
    std::fs::rename(&mark, disk.path("elsewhere")).unwrap();
    symlink(disk.path("elsewhere"), &mark).unwrap();
    assert!(!disk.ours(KEY).await);
    std::fs::remove_file(&mark).unwrap();
    File::create(&mark).unwrap().set_len(1 << 40).unwrap();
    assert!(!disk.ours(KEY).await);
}

#[tokio::test]
async fn all_histories_are_listed_and_nothing_else() {
    let disk = disk();
    let later = format!("v1/etcd-a/history/20260102T030405Z_ab/{NAME}");
    disk.store_as(KEY, 7, &snapshot(1)).await.unwrap();
    disk.store_as(&later, 7, &snapshot(1)).await.unwrap();
    assert!(disk.path("v1/etcd-a/tmp").exists() && !disk.path("v1/etcd-a/history/20260102T030405Z_ab/tmp").exists());
    std::fs::write(disk.path("v1/etcd-a/notes.txt"), "").unwrap();
    symlink("/etc", disk.path("v1/etcd-a/history/20270102T030405Z_ab")).unwrap();
    symlink("/etc/passwd", disk.path("v1/etcd-a/3.5.0_00000000000000ff_etcd.backup")).unwrap();
    let listing = disk.volume.listing("v1/etcd-a/").await.unwrap();
    let keys: Vec<_> = listing.snapshots.iter().map(|snapshot| snapshot.location.as_str()).collect();
    assert_eq!((keys, listing.foreign), (vec![KEY, &later], vec!["v1/etcd-a/notes.txt".to_owned()]));
    assert_eq!(disk.volume.list("v1/etcd-a/history/20260102T030405Z_ab/").await.unwrap().len(), 1);
    assert_eq!(disk.volume.listing("v1/etcd-b/").await.unwrap(), Listing::default());
}

#[tokio::test]
async fn deleting_takes_the_mark_along_and_nothing_through_a_link() {
    let disk = disk();
    disk.store(7, &snapshot(1)).await.unwrap();
    disk.volume.delete(KEY).await.unwrap();
    disk.volume.delete(KEY).await.unwrap();
    let mark = disk.path(&format!("v1/etcd-a/meta/{NAME}.json"));
    assert!(!mark.exists() && !disk.path(KEY).exists());
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join(NAME), "precious").unwrap();
    symlink(outside.path(), disk.path("v1/etcd-b")).unwrap();
    assert!(disk.volume.delete(&KEY.replace("etcd-a", "etcd-b")).await.is_err());
    assert!(outside.path().join(NAME).exists());
}

#[tokio::test]
async fn what_killed_runs_left_is_found_by_exact_names_and_removed_with_its_mark() {
    let disk = disk();
    let tmp = disk.path("v1/etcd-a/tmp");
    std::fs::create_dir_all(&tmp).unwrap();
    let left = format!("{NAME}.0123456789abcdef");
    let mark = format!("{left}.json");
    for name in [left.as_str(), &mark, "notes.txt", NAME, &format!("{NAME}.0123456789ABCDEF"), &format!("{NAME}.12")] {
        std::fs::write(tmp.join(name), "").unwrap();
    }
    let uploads = disk.volume.begun_uploads("v1/etcd-a/").await.unwrap();
    assert_eq!(
        uploads.iter().map(|it| (it.key.as_str(), it.id.as_str())).collect::<Vec<_>>(),
        [(KEY, "0123456789abcdef")]
    );
    disk.volume.abort_upload(&uploads[0].key, &uploads[0].id).await.unwrap();
    assert_eq!(disk.temporary().len(), 4);
    assert!(!disk.temporary().contains(&left) && !disk.temporary().contains(&mark));
}

#[test]
fn keys_are_taken_apart() {
    let directory = "v1/history/history/20260102T030405Z_ab";
    let key = format!("{directory}/{NAME}");
    assert_eq!(Spot::of(&key), Spot { cluster: "v1/history", directory, name: NAME });
    assert_eq!(Spot::of(KEY), Spot { cluster: "v1/etcd-a", directory: "v1/etcd-a", name: NAME });
}
