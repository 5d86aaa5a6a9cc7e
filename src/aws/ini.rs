//! Sections and properties of AWS profile files.
//!
//! Source of the format: AWS SDKs and Tools Reference Guide, "Shared config and credentials files";
//! in the config file a section is `[profile NAME]`, but `[default]` is taken as well.

use std::collections::BTreeMap;

/// Which of the two files a text is: section names differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Credentials,
    Config,
}

/// The properties of one profile, names in lower case.
pub type Section = BTreeMap<String, String>;

/// The profiles of a file by their names; what is no profile is left out, a later property wins.
pub fn sections(text: &str, kind: Kind) -> BTreeMap<String, Section> {
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let mut inside = None;
    // editors on Windows put a byte order mark before the first section
    for line in text.strip_prefix('\u{feff}').unwrap_or(text).lines() {
        if line.trim_start().starts_with('[') {
            inside = header(line, kind);
            if let Some(name) = &inside {
                sections.entry(name.clone()).or_default();
            }
        } else if let (Some(name), Some((key, value))) = (&inside, property(line)) {
            sections.entry(name.clone()).or_default().insert(key, value);
        }
    }
    sections
}

/// The file that holds these profiles; the reverse of [`sections`].
pub fn print(sections: &BTreeMap<String, Section>, kind: Kind) -> String {
    let mut text = String::new();
    for (name, properties) in sections {
        let profile = if kind == Kind::Config && name != "default" { "profile " } else { "" };
        text.push_str(&format!("[{profile}{name}]\n"));
        properties.iter().for_each(|(key, value)| text.push_str(&format!("{key}={value}\n")));
    }
    text
}

/// The profile that a section header names.
fn header(line: &str, kind: Kind) -> Option<String> {
    let inner = line.trim().strip_prefix('[')?.split(']').next()?.trim();
    match (kind, inner.strip_prefix("profile").filter(|rest| rest.starts_with([' ', '\t']))) {
        (_, Some(name)) => Some(name.trim().to_owned()),
        (Kind::Credentials, None) => Some(inner.to_owned()),
        (Kind::Config, None) => (inner == "default").then(|| inner.to_owned()),
    }
}

/// `key = value`; an indented line continues a nested block and is none of ours.
fn property(line: &str) -> Option<(String, String)> {
    if line.starts_with([' ', '\t', '#', ';']) {
        return None;
    }
    let (key, value) = line.split_once('=')?;
    // a comment inside a value starts with whitespace and # or ;
    let value = [" #", " ;", "\t#", "\t;"].iter().fold(value, |value, mark| value.split(mark).next().unwrap_or(value));
    Some((key.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_line_ends_and_a_byte_order_mark_change_nothing() {
        let unix = "[default]\naws_access_key_id = a # mine\n\n[profile x]\nregion=r\n";
        let windows = format!("\u{feff}{}", unix.replace('\n', "\r\n"));
        let expected = sections(unix, Kind::Credentials);
        assert_eq!(expected["default"]["aws_access_key_id"], "a");
        assert_eq!(sections(&windows, Kind::Credentials), expected);
    }

    #[test]
    fn what_is_no_profile_is_left_out() {
        let text =
            "stray=1\n[default]\nregion=r\ns3 =\n  deep = 1\n[sso-session corp]\nsso_region=x\n[work]\nregion=w\n";
        let found = sections(text, Kind::Config);
        assert_eq!(found.keys().collect::<Vec<_>>(), ["default"]);
        assert_eq!(print(&found, Kind::Config), "[default]\nregion=r\ns3=\n");
        assert_eq!(sections("[profile x]\na=b", Kind::Config).keys().collect::<Vec<_>>(), ["x"]);
    }
}
