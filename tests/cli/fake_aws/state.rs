//! What is in the fake's account, and what time does to it. Time is counted in requests.

use std::collections::BTreeMap;

use super::Refusal;
use crate::aws::REGION;

pub type Tags = BTreeMap<String, String>;

/// Everything in the account; all of it may be changed by a test.
pub struct State {
    pub account: String,
    /// Name, id, and whether it is available.
    pub zones: Vec<(String, String, bool)>,
    pub volumes: BTreeMap<String, Volume>,
    pub snapshots: BTreeMap<String, Snapshot>,
    pub instances: BTreeMap<String, Instance>,
    pub groups: BTreeMap<String, Group>,
    /// Requests for which a new snapshot is pending, a new volume is created, an instance starts, an instance ends.
    pub snapshot_takes: u32,
    pub volume_takes: u32,
    pub launch_takes: u32,
    pub termination_takes: u32,
    /// Listings in which a new snapshot is not there yet.
    pub snapshots_hide: u32,
    /// Whether new snapshots end in an error.
    pub snapshots_fail: bool,
    /// Whether the key of encrypted volumes turns out unusable: they were accepted, and end in an error.
    pub kms_fails: bool,
    /// An IAM policy; without one everything is allowed.
    pub policy: Option<serde_json::Value>,
    /// Seconds since 1970; each request is one more.
    pub now: i64,
    made: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Volume {
    pub zone: String,
    /// GiB.
    pub size: i32,
    pub kind: String,
    pub iops: Option<i32>,
    pub throughput: Option<i32>,
    pub encrypted: bool,
    pub kms_key: Option<String>,
    /// The snapshot that it was made from.
    pub snapshot: String,
    /// `creating`, `available`, `in-use`, `error`.
    pub status: String,
    pub left: u32,
    pub attachment: Option<Attachment>,
    pub created: i64,
    pub token: Option<String>,
    pub tags: Tags,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachment {
    pub instance: String,
    pub device: String,
    pub delete_on_termination: bool,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub volume: String,
    pub owner: String,
    /// `pending`, `completed`, `error`.
    pub status: String,
    pub message: Option<String>,
    pub left: u32,
    /// Listings in which it is not there yet.
    pub hidden: u32,
    pub started: i64,
    pub size: i32,
    pub encrypted: bool,
    pub kms_key: Option<String>,
    /// `standard` or `archive`.
    pub tier: String,
    pub description: String,
    pub tags: Tags,
    /// Snapshot Lock.
    pub locked: bool,
    /// The image that is made of it.
    pub used_by: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    pub zone: String,
    /// `pending`, `running`, `shutting-down`, `terminated`.
    pub status: String,
    pub left: u32,
    pub group: String,
    /// From scale-in.
    pub protected: bool,
    pub tags: Tags,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    pub zone: String,
    pub min: i32,
    pub max: i32,
    pub desired: i32,
    pub tags: Tags,
    /// Names of hooks that hold up terminations, each for 10 requests.
    pub hooks: Vec<String>,
    /// `Launch`, `Terminate`, ….
    pub suspended: Vec<String>,
}

/// Requests for which a lifecycle hook holds up a termination.
const HOOK_TAKES: u32 = 10;

impl State {
    /// An empty account.
    pub fn new(account: &str) -> Self {
        let now = jiff::Timestamp::now().as_second();
        let zones = ["a", "b", "c"].map(|zone| (format!("{REGION}{zone}"), format!("euw1-az-{zone}"), true));
        Self {
            account: account.to_owned(),
            zones: zones.to_vec(),
            volumes: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            instances: BTreeMap::new(),
            groups: BTreeMap::new(),
            snapshot_takes: 0,
            volume_takes: 0,
            launch_takes: 0,
            termination_takes: 0,
            snapshots_hide: 0,
            snapshots_fail: false,
            kms_fails: false,
            policy: None,
            now,
            made: 0,
        }
    }

    /// A new id, in the order in which they are made.
    pub fn id(&mut self, prefix: &str) -> String {
        self.made += 1;
        format!("{prefix}-{:017x}", self.made)
    }

    /// One request's worth of time.
    pub fn tick(&mut self) {
        self.now += 1;
        let (fails, kms_fails) = (self.snapshots_fail, self.kms_fails);
        for snapshot in self.snapshots.values_mut().filter(|snapshot| snapshot.status == "pending") {
            if over(&mut snapshot.left) {
                snapshot.status = if fails { "error" } else { "completed" }.to_owned();
                snapshot.message = fails.then(|| "An internal error occurred".to_owned());
            }
        }
        for volume in self.volumes.values_mut().filter(|volume| volume.status == "creating") {
            if over(&mut volume.left) {
                volume.status = if kms_fails && volume.encrypted { "error" } else { "available" }.to_owned();
            }
        }
        self.tick_instances();
    }

    fn tick_instances(&mut self) {
        let moving = |instance: &Instance| ["pending", "shutting-down"].contains(&&*instance.status);
        let mut changed = Vec::new();
        for (id, instance) in self.instances.iter_mut().filter(|(_, instance)| moving(instance)) {
            if over(&mut instance.left) {
                instance.status = if instance.status == "pending" { "running" } else { "terminated" }.to_owned();
                changed.push((id.clone(), instance.status == "running"));
            }
        }
        for (id, runs) in changed {
            if runs { self.mount(&id) } else { self.release(&id) }
        }
    }

    /// What etcd-manager does on a new master: it attaches free volumes of its zone with the tags of its cluster.
    fn mount(&mut self, id: &str) {
        let instance = self.instances[id].clone();
        let cluster = instance.tags.get("KubernetesCluster").cloned();
        let wanted = self.volumes.values_mut().filter(|volume| {
            let etcd = volume.tags.keys().any(|key| key.starts_with("k8s.io/etcd/"));
            let role = volume.tags.contains_key("k8s.io/role/control-plane");
            let here = volume.zone == instance.zone && volume.status == "available";
            here && etcd && role && cluster.is_some() && volume.tags.get("KubernetesCluster") == cluster.as_ref()
        });
        for (volume, letter) in wanted.zip('u'..) {
            volume.status = "in-use".to_owned();
            let (instance, device) = (id.to_owned(), format!("/dev/xvd{letter}"));
            volume.attachment = Some(Attachment { instance, device, delete_on_termination: false });
        }
    }

    /// What the end of an instance does to its volumes.
    fn release(&mut self, id: &str) {
        let of_it = |volume: &Volume| volume.attachment.as_ref().is_some_and(|attachment| attachment.instance == id);
        self.volumes.retain(|_, volume| {
            !(of_it(volume) && volume.attachment.as_ref().is_some_and(|attachment| attachment.delete_on_termination))
        });
        for volume in self.volumes.values_mut().filter(|volume| of_it(volume)) {
            volume.attachment = None;
            volume.status = "available".to_owned();
        }
    }

    /// Starts and ends instances until there are as many as a group wants.
    pub fn scale(&mut self, name: &str) {
        let group = self.groups[name].clone();
        let suspended = |process: &str| group.suspended.iter().any(|suspended| suspended == process);
        let wanted = usize::try_from(group.desired).unwrap();
        let active =
            |instance: &Instance| instance.group == name && ["pending", "running"].contains(&&*instance.status);
        let count = self.instances.values().filter(|instance| active(instance)).count();
        if !suspended("Terminate") {
            let left = self.termination_takes + if group.hooks.is_empty() { 0 } else { HOOK_TAKES };
            let ending = self.instances.values_mut().filter(|instance| active(instance) && !instance.protected);
            for instance in ending.take(count.saturating_sub(wanted)) {
                instance.status = "shutting-down".to_owned();
                instance.left = left;
            }
        }
        if !suspended("Launch") {
            for _ in count..wanted {
                let (id, (zone, tags)) = (self.id("i"), (group.zone.clone(), group.tags.clone()));
                let (status, left) = ("pending".to_owned(), self.launch_takes);
                let started = Instance { zone, status, left, group: name.to_owned(), protected: false, tags };
                self.instances.insert(id, started);
            }
        }
    }

    /// The volumes with the live tags of each disk, as `CLUSTER ETCD MEMBER`: never more than one, in whatever zone.
    pub fn live(&self) -> BTreeMap<String, Vec<String>> {
        let mut live: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, volume) in &self.volumes {
            let etcds = volume.tags.iter().filter_map(|(key, value)| Some((key.strip_prefix("k8s.io/etcd/")?, value)));
            for (etcd, value) in etcds {
                let cluster = volume.tags.get("KubernetesCluster").map_or("", String::as_str);
                let member = value.split('/').next().unwrap_or_default();
                live.entry(format!("{cluster} {etcd} {member}")).or_default().push(id.clone());
            }
        }
        live
    }

    /// The tags of a resource.
    pub fn tags_of(&mut self, id: &str) -> Result<&mut Tags, Refusal> {
        let found = match id.split('-').next() {
            Some("vol") => self.volumes.get_mut(id).map(|volume| &mut volume.tags),
            Some("snap") => self.snapshots.get_mut(id).map(|snapshot| &mut snapshot.tags),
            Some("i") => self.instances.get_mut(id).map(|instance| &mut instance.tags),
            _ => return Err(Refusal(400, "InvalidID", format!("The ID '{id}' is not valid"))),
        };
        found.ok_or_else(|| missing(id))
    }
}

/// EC2's words for an id that is not there.
pub fn missing(id: &str) -> Refusal {
    match id.split('-').next() {
        Some("vol") => Refusal(400, "InvalidVolume.NotFound", format!("The volume '{id}' does not exist.")),
        Some("snap") => Refusal(400, "InvalidSnapshot.NotFound", format!("The snapshot '{id}' does not exist.")),
        _ => Refusal(400, "InvalidInstanceID.NotFound", format!("The instance ID '{id}' does not exist")),
    }
}

/// Whether this count has ended; else it is one less.
pub fn over(left: &mut u32) -> bool {
    let over = *left == 0;
    *left = left.saturating_sub(1);
    over
}
