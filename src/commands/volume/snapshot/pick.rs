//! The flags that say of which volumes.

use clap::Args;

use crate::volume::selection::Selection;

const HEADING: &str = "Volume flags";

/// The word for all etcds.
const ALL: &str = "all";

/// Which volumes.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct PickFlags {
    /// The cluster of kops, or a name for volumes that kops did not tag
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    cluster_name: Option<String>,
    /// Only these etcds: main, events, …, or all [default: all]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', help_heading = HEADING)]
    etcd: Vec<String>,
    /// Only these members
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', help_heading = HEADING)]
    member: Vec<String>,
    /// Volumes with this tag, of this value where one is given
    #[arg(long, value_name = "KEY[=VALUE]", value_parser = parse_tag, conflicts_with = "instance", help_heading = HEADING)]
    volume_tag: Vec<(String, Option<String>)>,
    /// Volumes by their ids
    #[arg(long, value_name = "ID,…", value_delimiter = ',', value_parser = parse_volume, conflicts_with = "instance", help_heading = HEADING)]
    volume: Vec<String>,
    /// Volumes at the running instances of this name
    #[arg(long, value_name = "NAME", help_heading = HEADING)]
    instance: Option<String>,
}

impl PickFlags {
    /// What is asked for.
    pub fn selection(&self) -> Selection {
        let etcds = if self.etcd.iter().any(|etcd| etcd == ALL) { &Vec::new() } else { &self.etcd };
        Selection {
            cluster: self.cluster_name.clone(),
            etcds: etcds.clone(),
            members: self.member.clone(),
            tags: self.volume_tag.clone(),
            volumes: self.volume.clone(),
            instance: self.instance.clone(),
        }
    }
}

fn parse_tag(text: &str) -> Result<(String, Option<String>), String> {
    let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value.to_owned())));
    match key.is_empty() {
        true => Err("a tag has a key".to_owned()),
        false => Ok((key.to_owned(), value)),
    }
}

fn parse_volume(text: &str) -> Result<String, String> {
    match text.strip_prefix("vol-").is_some_and(|rest| !rest.is_empty()) {
        true => Ok(text.to_owned()),
        false => Err("the id of a volume begins with vol-".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_may_have_a_value_with_any_characters() {
        let tag = |key: &str, value: Option<&str>| Ok((key.to_owned(), value.map(str::to_owned)));
        assert_eq!(parse_tag("k8s.io/etcd/main"), tag("k8s.io/etcd/main", None));
        assert_eq!(parse_tag("a=b=c"), tag("a", Some("b=c")));
        assert_eq!(parse_tag("a="), tag("a", Some("")));
        assert!(parse_tag("=b").is_err() && parse_volume("snap-1").is_err() && parse_volume("vol-").is_err());
    }
}
