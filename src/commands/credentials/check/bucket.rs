//! The checks in the bucket: list, get, put.

pub(in crate::commands) use super::report::Check;
use crate::aws::{S3, probe};
use crate::error::{Error, Result};

/// Runs them; what an earlier one shows to be hopeless is left out. `unwritten` says why nothing is to be written.
pub(in crate::commands) async fn all(s3: &S3, prefix: &str, unwritten: Option<&'static str>) -> Vec<Check> {
    let listed = probe::list(s3, prefix).await;
    let list = match &listed {
        Ok(page) => {
            let more = if page.more { " or more" } else { "" };
            let objects = if page.objects == 1 { "object" } else { "objects" };
            Check::passed("list", format!("{}: {} {objects}{more}", s3.url(prefix), page.objects))
                .with("objects", page.objects)
        }
        Err(error) => failed(s3, "list", error),
    };
    // a policy may refuse one and allow the other; anything but that concerns all of them
    if listed.as_ref().is_err_and(|error| !error.message().starts_with("s3: access denied")) {
        return vec![list, Check::skipped("get", "list failed"), Check::skipped("put", "list failed")];
    }
    let newest = listed.ok().and_then(|page| page.newest);
    let (key, written) = match unwritten {
        Some(_) => (String::new(), None),
        None => {
            let key = probe::key(prefix);
            let written = probe::write(s3, &key).await;
            (key, Some(written))
        }
    };
    let get = match (&newest, &written) {
        (Some(newest), _) => get(s3, newest).await,
        (None, Some(Ok(()))) => get(s3, &key).await,
        (None, _) => Check::skipped("get", "no object to read"),
    };
    let put = match written {
        None => Check::skipped("put", unwritten.unwrap_or_default()),
        Some(Err(error)) => failed(s3, "put", &error),
        Some(Ok(())) => put(s3, &key, s3.delete(&key).await),
    };
    vec![list, get, put]
}

/// With what to do: the credentials that were used stand in the first line already.
fn failed(s3: &S3, name: &'static str, error: &Error) -> Check {
    let (bucket, message) = (&s3.bucket, error.message());
    let hint = if message.starts_with("s3: access denied") {
        let (action, below) = match name {
            "list" => ("ListBucket", ""),
            "get" => ("GetObject", "/*"),
            _ => ("PutObject", "/*"),
        };
        format!("allow s3:{action} on arn:aws:s3:::{bucket}{below} in the policy of the user, the role or the bucket")
    } else if message.starts_with("s3: the credentials were refused") {
        s3.renewal.clone()
    } else {
        return Check::failed(name, error);
    };
    Check::failed(name, &Error::new(error.kind(), message).hint(hint))
}

async fn get(s3: &S3, key: &str) -> Check {
    match probe::read(s3, key).await {
        Ok(()) => Check::passed("get", s3.url(key)),
        Err(error) => failed(s3, "get", &error),
    }
    .with("key", key)
}

/// Backups need no right to delete, only their expiry does.
fn put(s3: &S3, key: &str, deleted: Result<()>) -> Check {
    let url = s3.url(key);
    let is_gone = deleted.is_ok();
    match deleted {
        Ok(()) => Check::passed("put", format!("{url}, deleted again")),
        Err(error) => Check::passed("put", format!("{url}, which could not be deleted: {}", error.message()))
            .hint(format!("aws s3 rm {url}; without s3:DeleteObject old backups cannot expire")),
    }
    .with("key", key)
    .with("deleted", is_gone)
}
