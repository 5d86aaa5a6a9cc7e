//! `Range` and conditions.
//!
//! Source: RFC 9110, sections 13.1 and 14.

use std::ops::RangeInclusive;

use axum::http::HeaderMap;
use axum::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};

/// What of a snapshot a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Portion {
    Whole,
    /// These bytes, all of which exist.
    Part(RangeInclusive<u64>),
    /// Bytes beyond the end: 416.
    Unsatisfiable,
}

/// The portion that the headers of a GET ask for; a malformed or a multiple range means the whole.
pub(super) fn portion(headers: &HeaderMap, etag: Option<&str>, size: Option<u64>) -> Portion {
    let Some(size) = size else { return Portion::Whole };
    let Some(range) = headers.get(RANGE).and_then(|value| value.to_str().ok()) else { return Portion::Whole };
    // a date is no proof that the bytes are the same, so only a matching tag keeps the range
    if let Some(condition) = headers.get(IF_RANGE)
        && etag.is_none_or(|etag| !strongly_equal(condition.as_bytes(), etag))
    {
        return Portion::Whole;
    }
    parse(range, size)
}

/// Whether `If-Match` is absent or names one of the snapshot's tags: whoever begins with one form of it may go on
/// with another.
pub(super) fn precondition_holds(headers: &HeaderMap, etags: &[String]) -> bool {
    let equal = |condition: &[u8]| etags.iter().any(|etag| strongly_equal(condition, etag));
    !headers.contains_key(IF_MATCH) || names(headers, IF_MATCH, equal)
}

/// Whether `If-None-Match` says that the client has the form with this tag.
pub(super) fn has_it_already(headers: &HeaderMap, etag: Option<&str>) -> bool {
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    names(headers, IF_NONE_MATCH, |condition| etag.is_some_and(|etag| opaque(condition) == opaque(etag.as_bytes())))
}

/// Whether a list of tags holds one that is `equal`, or stands for any.
fn names(headers: &HeaderMap, list: HeaderName, equal: impl Fn(&[u8]) -> bool) -> bool {
    let tags = headers.get_all(list).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    tags.map(<[u8]>::trim_ascii).any(|tag| tag == b"*" || equal(tag))
}

fn strongly_equal(condition: &[u8], etag: &str) -> bool {
    condition == etag.as_bytes() && condition.starts_with(b"\"")
}

fn parse(range: &str, size: u64) -> Portion {
    let Some((unit, spec)) = range.split_once('=') else { return Portion::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return Portion::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Portion::Whole;
    }
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..=last.min(size.saturating_sub(1)),
        (Some(first), None) if last.is_empty() => first..=size.saturating_sub(1),
        // the last so many bytes
        (None, Some(count)) if first.is_empty() => size.saturating_sub(count)..=size.saturating_sub(1),
        _ => return Portion::Whole,
    };
    if range.is_empty() || *range.start() >= size { Portion::Unsatisfiable } else { Portion::Part(range) }
}

/// Digits only; a number beyond 64 bits is the greatest one.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn single_ranges() {
        let cases = [
            ("bytes=0-99", Portion::Part(0..=99)),
            ("bytes=10-", Portion::Part(10..=99)),
            ("bytes=-10", Portion::Part(90..=99)),
            ("bytes=-1000", Portion::Part(0..=99)),
            ("Bytes=99-99999999999999999999999", Portion::Part(99..=99)),
            ("bytes=100-", Portion::Unsatisfiable),
            ("bytes=99999999999999999999999-", Portion::Unsatisfiable),
            ("bytes=-0", Portion::Unsatisfiable),
        ];
        for (range, portion) in cases {
            assert_eq!(parse(range, 100), portion, "{range}");
        }
        assert_eq!(parse("bytes=0-0", 0), Portion::Unsatisfiable);
        for whole in
            ["", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=0-1,3-4", "lines=0-1", "bytes=+1-2", "bytes=a-"]
        {
            assert_eq!(parse(whole, 100), Portion::Whole, "{whole}");
        }
    }

    #[test]
    fn a_range_holds_only_for_the_same_object() {
        let asked = |condition: &str, etag| {
            portion(&headers(&[("range", "bytes=1-2"), ("if-range", condition)]), etag, Some(9))
        };
        assert_eq!(asked("\"a\"", Some("\"a\"")), Portion::Part(1..=2));
        for (condition, etag) in [("\"b\"", Some("\"a\"")), ("\"a\"", None), ("W/\"a\"", Some("W/\"a\""))] {
            assert_eq!(asked(condition, etag), Portion::Whole, "{condition}");
        }
        assert_eq!(portion(&headers(&[("range", "bytes=1-2")]), None, None), Portion::Whole);
    }

    #[test]
    fn if_match_names_the_tag_or_any() {
        let holds = |pairs: &[(&'static str, &str)], etag: Option<&str>| {
            let etags: Vec<_> = etag.into_iter().flat_map(|etag| [etag.to_owned(), "\"other\"".to_owned()]).collect();
            precondition_holds(&headers(pairs), &etags)
        };
        assert!(holds(&[], None));
        assert!(holds(&[("if-match", "*")], None));
        assert!(holds(&[("if-match", "\"b\", \"a\"")], Some("\"a\"")));
        assert!(!holds(&[("if-match", "\"b\"")], Some("\"a\"")));
        assert!(!holds(&[("if-match", "\"b\"")], None));
        assert!(!holds(&[("if-match", "W/\"a\"")], Some("W/\"a\"")));
        assert!(holds(&[("if-match", "\"other\"")], Some("\"a\"")));
    }

    #[test]
    fn if_none_match_compares_weakly() {
        let has = |list: &str, etag| has_it_already(&headers(&[("if-none-match", list)]), etag);
        for list in ["*", "\"a\"", "W/\"a\"", "\"b\", \"a\""] {
            assert!(has(list, Some("\"a\"")) && has(list, Some("W/\"a\"")), "{list}");
        }
        assert!(!has("\"b\"", Some("\"a\"")) && !has("\"a\"", None));
        assert!(!has_it_already(&headers(&[]), Some("\"a\"")));
    }

    proptest! {
        #[test]
        fn a_part_always_exists(range in "(bytes=)?[0-9,-]{0,24}", size in 0u64..1000) {
            if let Portion::Part(part) = parse(&range, size) {
                prop_assert!(part.start() <= part.end() && *part.end() < size);
            }
        }
    }
}
