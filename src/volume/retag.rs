//! Taking a volume out of use and into use: which tags are still to be written and deleted, so that a repetition does
//! the rest and nothing else.

use aws_sdk_ec2::types;

use super::inventory::Volume;
use super::state::is_live_key;
use super::tags::{self, Tags};
use crate::aws::compute::Compute;
use crate::error::Result;

/// A change of the tags of one volume: first `set` is written, then `remove` is deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retag {
    pub set: Tags,
    pub remove: Vec<String>,
}

/// What takes `volume` out of use: marks and another name, then none of the tags by which it is found. kops fails on
/// two volumes of one `Name`.
pub fn aside(volume: &Volume, marks: &Tags, name: &str) -> Retag {
    let mut set = marks.clone();
    if let Some(since) = volume.tags.get(tags::PUT_ASIDE) {
        set.insert(tags::PUT_ASIDE.to_owned(), since.clone());
    }
    set.insert(tags::NAME.to_owned(), name.to_owned());
    let differs = |(key, value): &(String, String)| volume.tags.get(key) != Some(value);
    let mut set: Tags = set.into_iter().filter(differs).collect();
    let live: Vec<&String> = volume.tags.keys().filter(|key| is_live_key(key)).collect();
    let renamed = set.contains_key(tags::NAME).then(|| tags::NAME.to_owned());
    // for people: the plan has them all
    for key in live.iter().copied().chain(&renamed) {
        let (original, value) = (format!("{}{key}", tags::ORIGINAL), volume.tags.get(key));
        let new_keys = set.keys().filter(|key| !volume.tags.contains_key(*key)).count();
        let room = volume.tags.len() + new_keys < tags::MOST_TAGS && original.len() <= tags::LONGEST_KEY;
        if let (Some(value), true, false) = (value, room, volume.tags.contains_key(&original)) {
            set.insert(original, value.clone());
        }
    }
    Retag { set, remove: live.into_iter().cloned().collect() }
}

/// What takes `volume` into use with the tags `live`: those it lacks, then none of ours.
pub fn in_use(volume: &Volume, live: &Tags) -> Retag {
    let wanted = |(key, value): &(&String, &String)| match volume.tags.get(*key) {
        None => true,
        // others may have been changed on purpose since
        Some(now) => (is_live_key(key) || *key == tags::NAME) && now != *value,
    };
    let set = live.iter().filter(wanted).map(|(key, value)| (key.clone(), value.clone())).collect();
    let named_by_us = !live.contains_key(tags::NAME) && volume.tags.keys().any(|key| key.starts_with(tags::OURS));
    let ours = |key: &&String| key.starts_with(tags::OURS) || named_by_us && *key == tags::NAME;
    Retag { set, remove: volume.tags.keys().filter(ours).cloned().collect() }
}

/// Changes the tags of `volume`.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn apply(compute: &Compute, volume: &str, change: &Retag) -> Result<()> {
    if !change.set.is_empty() {
        create(compute, &[volume.to_owned()], &change.set).await?;
    }
    if !change.remove.is_empty() {
        let keys = change.remove.iter().map(|key| types::Tag::builder().key(key).build());
        let request = compute.ec2.delete_tags().resources(volume).set_tags(Some(keys.collect()));
        let doing = format!("deleting tags of {volume}");
        request.send().await.map_err(|error| compute.explain(&error, "ec2", &doing))?;
    }
    Ok(())
}

/// Writes tags of volumes or snapshots.
///
/// # Errors
/// As [`Compute::explain`].
pub async fn create(compute: &Compute, resources: &[String], tags: &Tags) -> Result<()> {
    let request = compute.ec2.create_tags().set_resources(Some(resources.to_vec())).set_tags(Some(sdk(tags)));
    let doing = format!("tagging {}", resources.join(" "));
    request.send().await.map(drop).map_err(|error| compute.explain(&error, "ec2", &doing))
}

/// Tags as the SDK takes them.
fn sdk(tags: &Tags) -> Vec<types::Tag> {
    tags.iter().map(|(key, value)| types::Tag::builder().key(key).value(value).build()).collect()
}

/// Tags for something that is made with them.
pub fn specification(of: types::ResourceType, tags: &Tags) -> types::TagSpecification {
    types::TagSpecification::builder().resource_type(of).set_tags(Some(sdk(tags))).build()
}

#[cfg(test)]
mod tests;
