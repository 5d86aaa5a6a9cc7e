//! From a file to its objects, whoever wrote it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};

/// Most bytes that are read: a manifest of a thousand clusters has fewer.
const MOST_BYTES: u64 = 4 << 20;

/// An object, and where in the file it is.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Document {
    /// `document 2`, or `document 2, item 1` in a List.
    pub at: String,
    pub value: Value,
}

/// The objects of a file, or of stdin for `-`; those of Lists one by one.
///
/// # Errors
/// [`ErrorKind::General`](crate::error::ErrorKind::General) for a file that cannot be read;
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for what is no YAML, and for too much of it.
pub(super) fn read(path: &Path) -> Result<Vec<Document>> {
    let mut bytes = Vec::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().take(MOST_BYTES + 1).read_to_end(&mut bytes),
        _ => File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes)),
    };
    let shown = path.display();
    read.map_err(|error| Error::general(format!("cannot read {shown}: {error}")))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Error::usage(format!("{shown} has more than {} MiB", MOST_BYTES >> 20)).hint("convert it in parts"));
    }
    parse(&bytes).map_err(|error| error.context(shown))
}

fn parse(bytes: &[u8]) -> Result<Vec<Document>> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::usage("is not UTF-8"))?;
    // an alias may stand for a document of any size, so few may be used
    let limits = serde_yaml::budget! { max_depth: 48, max_nodes: 200_000, max_aliases: 100, max_anchors: 100 };
    let options = serde_yaml::options! { budget: limits, with_snippet: false };
    let read = serde_yaml::from_multiple_with_options::<Value>(text, options);
    let values = read.map_err(|error| {
        let text = error.to_string();
        Error::usage(format!("is not a manifest: {}", text.lines().next().unwrap_or_default()))
    })?;
    let numbered = values.into_iter().enumerate().map(|(at, value)| (format!("document {}", at + 1), value));
    Ok(numbered.flat_map(|(at, value)| items(at, value)).collect())
}

fn items(at: String, mut value: Value) -> Vec<Document> {
    let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match value.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) if is_list => {
            let numbered = items.into_iter().enumerate();
            numbered.map(|(item, value)| Document { at: format!("{at}, item {}", item + 1), value }).collect()
        }
        Some(items) => {
            value["items"] = items;
            vec![Document { at, value }]
        }
        None => vec![Document { at, value }],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn documents_and_lists_are_taken_apart_and_numbered() {
        let text = b"kind: A\n---\nkind: List\nitems: [{kind: B}, {kind: C}]\n---\n{\"kind\": \"D\", \"items\": [1]}\n";
        let found = parse(text).unwrap();
        let shown: Vec<_> = found.iter().map(|one| (one.at.as_str(), one.value["kind"].as_str().unwrap())).collect();
        let expected =
            [("document 1", "A"), ("document 2, item 1", "B"), ("document 2, item 2", "C"), ("document 3", "D")];
        assert_eq!(shown, expected);
        assert_eq!(parse(b"").unwrap(), []);
    }

    #[test]
    fn hostile_files_are_refused() {
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
                    d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e]\n";
        let deep = "[".repeat(100_000);
        for text in [bomb, &deep, "a: 1\na: 2\n", "a: [", "a: *nobody", "x: {y"] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.message().starts_with("is not a manifest: ") && !error.message().contains('\n'), "{error}");
        }
        assert!(parse(&[0xff, 0xfe]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
