//! Filters of `Describe` calls.

use std::collections::BTreeMap;

use super::Refusal;

/// Whether a resource matches all filters. `field` gives the values of the filters that the call has besides tags.
pub fn matches(
    filters: &[(String, Vec<String>)],
    tags: &BTreeMap<String, String>,
    field: impl Fn(&str) -> Option<Vec<String>>,
) -> Result<bool, Refusal> {
    for (name, wanted) in filters {
        let has: Vec<String> = match name.strip_prefix("tag:") {
            Some(key) => tags.get(key).cloned().into_iter().collect(),
            None if name == "tag-key" => tags.keys().cloned().collect(),
            None => match field(name) {
                Some(values) => values,
                None => {
                    return Err(Refusal(400, "InvalidParameterValue", format!("The filter '{name}' is invalid")));
                }
            },
        };
        if !wanted.iter().any(|pattern| has.iter().any(|value| fits(pattern.as_bytes(), value.as_bytes()))) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// `*` stands for any characters, `?` for one.
pub fn fits(pattern: &[u8], value: &[u8]) -> bool {
    match (pattern, value) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=value.len()).any(|skipped| fits(rest, &value[skipped..])),
        ([b'?', rest @ ..], [_, after @ ..]) => fits(rest, after),
        ([one, rest @ ..], [other, after @ ..]) => one == other && fits(rest, after),
        _ => false,
    }
}
