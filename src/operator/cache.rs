//! What the watches have told of the objects that operators make, so that a look at an EtcdBackup need not ask.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use kube::api::Api;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::job::UID_LABEL;
use super::pauses::Pauses;
use super::queue::Reference;

/// Objects of one kind as JSON text, which takes a fifth of the memory that the types take.
pub struct Cache<K> {
    objects: Mutex<BTreeMap<Key, Entry>>,
    /// Cancelled once all objects have been listed.
    full: CancellationToken,
    kind: PhantomData<fn() -> K>,
}

/// Namespace and name.
type Key = (String, String);

struct Entry {
    /// The uid of the EtcdBackup that the object's label names, or nothing.
    backup: String,
    text: Box<str>,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self { objects: Mutex::default(), full: CancellationToken::new(), kind: PhantomData }
    }
}

impl<K> Cache<K>
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug + Send + 'static,
{
    /// Follows a watch, and names the EtcdBackups that `touches` finds for every object that has changed, come or,
    /// as its second argument says, gone. A list that only repeats what is known touches nothing.
    pub fn follow(
        self: &Arc<Self>,
        api: Api<K>,
        config: watcher::Config,
        touches: impl Fn(&K, bool) -> Vec<Reference> + Send + 'static,
    ) -> BoxStream<'static, Result<Reference, watcher::Error>> {
        let (cache, mut listed) = (Arc::clone(self), BTreeMap::new());
        let touched = watcher(api, config).backoff(Pauses::default()).map_ok(move |event| {
            let changes = cache.take(event, &mut listed);
            let references: Vec<_> = changes.iter().flat_map(|(object, gone)| touches(object, *gone)).map(Ok).collect();
            stream::iter(references)
        });
        touched.try_flatten().boxed()
    }

    /// Takes in an event of a watch; the objects that changed with it, and whether each is gone.
    fn take(&self, event: Event<K>, listed: &mut BTreeMap<Key, Entry>) -> Vec<(K, bool)> {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => {
                listed.extend(entry(object));
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut *self.objects(), std::mem::take(listed));
                self.full.cancel();
                return self.differences(&before);
            }
            Event::Apply(object) => {
                let Some((key, entry)) = entry(object.clone()) else { return Vec::new() };
                let text = entry.text.clone();
                let before = self.objects().insert(key, entry);
                return if before.is_some_and(|before| before.text == text) {
                    Vec::new()
                } else {
                    vec![(object, false)]
                };
            }
            Event::Delete(object) => {
                self.objects().remove(&key(&object));
                return vec![(object, true)];
            }
        }
        Vec::new()
    }

    fn differences(&self, before: &BTreeMap<Key, Entry>) -> Vec<(K, bool)> {
        let now = self.objects();
        let changed = now.iter().filter(|(key, entry)| before.get(key).is_none_or(|old| old.text != entry.text));
        let gone = before.iter().filter(|(key, _)| !now.contains_key(key));
        let of = |entry: &Entry, gone| Some((serde_json::from_str(&entry.text).ok()?, gone));
        changed.filter_map(|(_, entry)| of(entry, false)).chain(gone.filter_map(|(_, entry)| of(entry, true))).collect()
    }

    /// The objects whose label names the EtcdBackup of this uid.
    pub fn of(&self, uid: &str) -> Vec<K> {
        let objects = self.objects();
        let found = objects.values().filter(|entry| entry.backup == uid);
        found.filter_map(|entry| serde_json::from_str(&entry.text).ok()).collect()
    }

    /// The objects of a namespace that `is` chooses by their JSON text.
    pub fn find(&self, namespace: &str, is: impl Fn(&str) -> bool) -> Vec<K> {
        let objects = self.objects();
        let found = objects.iter().filter(|((within, _), entry)| within == namespace && is(&entry.text));
        found.filter_map(|(_, entry)| serde_json::from_str(&entry.text).ok()).collect()
    }

    /// The object of a name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<K> {
        self.read(&(namespace.to_owned(), name.to_owned()))
    }

    /// Whether the object that `wanted` describes is there, with everything that `wanted` says.
    pub fn has(&self, wanted: &K) -> bool {
        let is: Option<Value> = self.read(&key(wanted));
        is.zip(serde_json::to_value(wanted).ok()).is_some_and(|(is, wanted)| covers(&is, &wanted))
    }

    /// Waits until all objects have been listed.
    pub async fn until_full(&self) {
        self.full.cancelled().await;
    }

    /// Whether all objects have been listed once.
    pub fn is_full(&self) -> bool {
        self.full.is_cancelled()
    }

    fn read<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        self.objects().get(key).and_then(|entry| serde_json::from_str(&entry.text).ok())
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<Key, Entry>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key<K: Resource>(object: &K) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn entry<K: Resource + Serialize>(mut object: K) -> Option<(Key, Entry)> {
    object.meta_mut().managed_fields = None;
    let backup = object.labels().get(UID_LABEL).cloned().unwrap_or_default();
    let mut value = serde_json::to_value(&object).ok()?;
    // nobody asks for the pods of Jobs that are there
    if let (true, Some(template)) = (value["kind"] == "Job", value.pointer_mut("/spec/template")) {
        *template = serde_json::json!({});
    }
    Some((key(&object), Entry { backup, text: value.to_string().into() }))
}

/// Whether `is` has everything that `wanted` says. What the API server or others add is no difference; what is to
/// be there no more is told by an annotation of the wanted object's hash.
fn covers(is: &Value, wanted: &Value) -> bool {
    match (is, wanted) {
        (_, Value::Null) => true,
        (Value::Null, Value::Object(wanted)) => wanted.is_empty(),
        (Value::Null, Value::Array(wanted)) => wanted.is_empty(),
        (is @ Value::Object(_), Value::Object(wanted)) => wanted.iter().all(|(name, value)| covers(&is[name], value)),
        (Value::Array(is), Value::Array(wanted)) => {
            is.len() == wanted.len() && is.iter().zip(wanted).all(|(is, wanted)| covers(is, wanted))
        }
        (is, wanted) => is == wanted,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::Job;
    use serde_json::json;

    use super::*;

    fn job(name: &str, version: &str) -> Job {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "x", "resourceVersion": version, "labels": {UID_LABEL: "u"}},
            "spec": {"ttlSecondsAfterFinished": 5, "template": {"spec": {"containers": [{"name": "agent"}]}}}
        }))
        .unwrap()
    }

    /// The names of what an event touches; those that are gone begin with a minus.
    fn touched(cache: &Cache<Job>, listed: &mut BTreeMap<Key, Entry>, event: Event<Job>) -> Vec<String> {
        let changes = cache.take(event, listed);
        changes.iter().map(|(job, gone)| format!("{}{}", if *gone { "-" } else { "" }, job.name_any())).collect()
    }

    #[test]
    fn a_list_touches_only_what_is_not_known_and_what_is_gone() {
        let (cache, mut listed) = (Cache::default(), BTreeMap::new());
        let mut list = |jobs: &[(&str, &str)]| {
            touched(&cache, &mut listed, Event::Init);
            for (name, version) in jobs {
                assert!(touched(&cache, &mut listed, Event::InitApply(job(name, version))).is_empty());
            }
            touched(&cache, &mut listed, Event::InitDone)
        };
        assert_eq!(list(&[("a", "1"), ("b", "1")]), ["a", "b"]);
        assert_eq!(list(&[("a", "1"), ("b", "1")]), [""; 0]);
        assert_eq!(list(&[("b", "2"), ("c", "1")]), ["b", "c", "-a"]);
        assert!(cache.is_full());
        assert_eq!(touched(&cache, &mut BTreeMap::new(), Event::Apply(job("c", "1"))), [""; 0]);
        assert_eq!(touched(&cache, &mut BTreeMap::new(), Event::Apply(job("c", "2"))), ["c"]);
        assert_eq!(touched(&cache, &mut BTreeMap::new(), Event::Delete(job("b", "2"))), ["-b"]);
        assert_eq!(cache.of("u").iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["c"]);
        assert!(cache.of("other").is_empty());
        assert_eq!(cache.get("x", "c").unwrap().spec.unwrap().ttl_seconds_after_finished, Some(5));
    }

    #[test]
    fn what_the_api_server_adds_is_no_difference_and_what_a_person_changes_is() {
        let wanted = json!({"a": {"b": [{"c": 1}], "empty": {}}, "none": null});
        assert!(covers(&json!({"a": {"b": [{"c": 1, "default": 2}], "more": 3}}), &wanted));
        for other in [
            json!({"a": {"b": [{"c": 2}]}}),
            json!({"a": {"b": []}}),
            json!({"a": {"b": [{"c": 1}, {"c": 1}]}}),
            json!({}),
        ] {
            assert!(!covers(&other, &wanted), "{other}");
        }
    }
}
