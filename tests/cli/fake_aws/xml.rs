//! XML as the Query protocol has it.

use std::fmt::Display;

use super::Request;

/// An element around other elements.
pub fn element(name: &str, content: impl Display) -> String {
    format!("<{name}>{content}</{name}>")
}

/// An element around text.
pub fn text(name: &str, value: impl Display) -> String {
    let value = value.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    element(name, value)
}

/// The same where there is a value.
pub fn optional(name: &str, value: Option<impl Display>) -> String {
    value.map(|value| text(name, value)).unwrap_or_default()
}

/// A list of EC2 (`item`) or of Auto Scaling (`member`).
pub fn list(name: &str, each: &str, content: impl IntoIterator<Item = String>) -> String {
    element(name, content.into_iter().map(|one| element(each, one)).collect::<String>())
}

/// One page of a list, and the token of the next. `size` and `token` name the parameters.
pub fn page(request: &Request, size: &str, each: [&str; 3], all: Vec<String>) -> String {
    let [name, each, token] = each;
    let number = |name: &str| request.get(name).and_then(|text| text.parse::<usize>().ok());
    let (begin, most) = (number("NextToken").unwrap_or(0), number(size).unwrap_or(usize::MAX));
    let next = begin.saturating_add(most);
    let more = (next < all.len()).then_some(next);
    list(name, each, all.into_iter().skip(begin).take(most)) + &optional(token, more)
}
