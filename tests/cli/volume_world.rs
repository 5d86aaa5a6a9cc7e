//! What the tests of `volume restore` begin with, and what must hold after every request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aws_sdk_ec2::types::{ResourceType, TagSpecification};

use crate::aws::{Aws, Kops, tag};
use crate::fake_aws::{FakeAws, Request, Snapshot, State};
use crate::sandbox::{Output, Sandbox};

/// Two masters with one etcd: the least in which one disk can be done and another not.
pub const CLUSTER: Kops = Kops { name: "k.example.com", etcds: &["main"], members: &["a", "b"], labels: Vec::new() };

/// Snapshots of all volumes in use, as `volume snapshot` takes them; their ids.
pub fn take_set(aws: &Aws, kops: &Kops, set: &str) -> Vec<String> {
    let mut taken = Vec::new();
    for volume in aws.volumes() {
        let etcd = volume.tags().iter().find_map(|tag| Some((tag.key()?.strip_prefix("k8s.io/etcd/")?, tag.value()?)));
        let Some((etcd, members)) = etcd else { continue };
        let (member, members) = members.split_once('/').unwrap();
        let mut tags = vec![
            tag("etcdbackup/managed", "1"),
            tag("etcdbackup/cluster", kops.name),
            tag("etcdbackup/etcd", etcd),
            tag("etcdbackup/etcds", &kops.etcds.join(",")),
            tag("etcdbackup/member", member),
            tag("etcdbackup/members", members),
            tag("etcdbackup/set", set),
            tag("etcdbackup/az", volume.availability_zone().unwrap()),
        ];
        tags.extend(volume.tags().iter().filter(|tag| !tag.key().unwrap().starts_with("etcdbackup/")).cloned());
        let tags = TagSpecification::builder().resource_type(ResourceType::Snapshot).set_tags(Some(tags)).build();
        let snapshot = aws.ec2.create_snapshot().volume_id(volume.volume_id().unwrap()).tag_specifications(tags);
        taken.push(aws.block_on(snapshot.send()).unwrap().snapshot_id().unwrap().to_owned());
    }
    taken
}

/// Tags of volumes and sizes of groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub volumes: BTreeMap<String, BTreeMap<String, String>>,
    pub groups: BTreeMap<String, (i32, i32, i32)>,
}

impl Shape {
    pub fn of(aws: &Aws) -> Self {
        let tags = |tags: &[aws_sdk_ec2::types::Tag]| {
            tags.iter().map(|tag| (tag.key().unwrap().to_owned(), tag.value().unwrap().to_owned())).collect()
        };
        let volumes = aws.volumes();
        // moto gives each instance a disk of its own
        let kept = volumes.iter().filter(|volume| !volume.tags().is_empty());
        let volumes = kept.map(|volume| (volume.volume_id().unwrap().to_owned(), tags(volume.tags()))).collect();
        let size = |group: &aws_sdk_autoscaling::types::AutoScalingGroup| {
            (group.min_size().unwrap(), group.max_size().unwrap(), group.desired_capacity().unwrap())
        };
        let groups = aws.groups();
        let groups =
            groups.iter().map(|group| (group.auto_scaling_group_name().unwrap().to_owned(), size(group))).collect();
        Self { volumes, groups }
    }

    /// The volumes with the tags of kops, by their name.
    pub fn live(&self) -> BTreeMap<String, Vec<String>> {
        let mut live: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, tags) in &self.volumes {
            if let Some((etcd, value)) = tags.iter().find(|(key, _)| key.starts_with("k8s.io/etcd/")) {
                live.entry(format!("{etcd} {value}")).or_default().push(id.clone());
            }
        }
        live
    }

    /// Only what `other` has too.
    pub fn as_far_as(&self, other: &Self) -> Self {
        let mut own = self.clone();
        own.volumes.retain(|id, _| other.volumes.contains_key(id));
        own
    }
}

/// A fake with a cluster and a set of snapshots of it, and a plan to restore it.
pub struct World {
    pub fake: FakeAws,
    pub sandbox: Sandbox,
    pub first: Shape,
    pub set: Vec<String>,
    violations: Arc<Mutex<Vec<String>>>,
}

impl World {
    pub fn new() -> Self {
        Self::of(&CLUSTER)
    }

    pub fn of(kops: &Kops) -> Self {
        let fake = FakeAws::start();
        kops.make(&fake);
        let set = take_set(&fake, kops, "s1");
        let sandbox = fake.sandbox();
        fake.state(State::tick);
        let first = Shape::of(&fake);
        let world = Self { fake, sandbox, first, set, violations: Arc::default() };
        world.ok("volume plan");
        world.watch(|_, _| ());
        world
    }

    /// Runs the plugin, which must end well.
    pub fn ok(&self, line: &str) -> Output {
        let output = self.sandbox.run(line);
        assert_eq!(output.code, Some(0), "{line}: {output}");
        output
    }

    /// From now on asserts after every request what must always hold, and lets `hook` look.
    pub fn watch(&self, mut hook: impl FnMut(&Request, &mut State) + Send + 'static) {
        let (first, set, violations) = (self.first.clone(), self.set.clone(), Arc::clone(&self.violations));
        self.fake.after(move |request, state| {
            let broken = broken(&first, &set, state);
            violations
                .lock()
                .unwrap()
                .extend(broken.map(|what| format!("{} {}: {what}", request.number, request.action)));
            hook(request, state);
        });
    }

    /// How many snapshots a restore or a rollback took for this reason.
    pub fn taken_for(&self, reason: &str) -> usize {
        self.fake.state(|state| state.snapshots.values().filter(|snapshot| is_for(snapshot, reason)).count())
    }

    /// Asserts that no request has broken what must always hold.
    pub fn assert_never_broken(&self) {
        assert_eq!(*self.violations.lock().unwrap(), Vec::<String>::new());
    }

    /// Asserts that each disk has one volume, made of the set, and each group its size.
    pub fn assert_restored(&self) {
        let now = Shape::of(&self.fake);
        assert_eq!(now.groups, self.first.groups);
        let live = now.live();
        assert_eq!(live.keys().collect::<Vec<_>>(), self.first.live().keys().collect::<Vec<_>>());
        for volumes in live.values() {
            let [id] = &volumes[..] else { panic!("{volumes:?}") };
            let of = self.fake.state(|state| state.volumes[id].snapshot.clone());
            assert!(self.set.contains(&of), "{id} is of {of:?}");
            assert!(!now.volumes[id].keys().any(|key| key.starts_with("etcdbackup/")), "{:?}", now.volumes[id]);
        }
    }

    /// Asserts that tags of volumes and sizes of groups are those before the restore.
    pub fn assert_as_at_first(&self) {
        let now = Shape::of(&self.fake);
        assert_eq!(now.as_far_as(&self.first), self.first);
        assert_eq!(now.live(), self.first.live());
    }
}

/// What does not hold: two volumes for one disk, or an old volume or a snapshot lost.
fn broken(first: &Shape, set: &[String], state: &State) -> Option<String> {
    let two = state.live().into_iter().find(|(_, volumes)| volumes.len() > 1);
    if let Some((disk, volumes)) = two {
        return Some(format!("{disk} has {volumes:?}"));
    }
    let lost_volume = first.volumes.keys().find(|id| !state.volumes.contains_key(*id));
    let lost_snapshot = set.iter().find(|id| !state.snapshots.contains_key(*id));
    lost_volume.or(lost_snapshot).map(|id| format!("{id} is lost"))
}

/// Whether a restore or a rollback took a snapshot for this reason.
pub fn is_for(snapshot: &Snapshot, reason: &str) -> bool {
    snapshot.tags.get("etcdbackup/reason").is_some_and(|of| of == reason)
}

/// Whether the request changes something.
pub fn changes(request: &Request) -> bool {
    const CHANGES: [&str; 8] = [
        "CreateSnapshot",
        "CreateSnapshots",
        "CreateVolume",
        "CreateTags",
        "DeleteTags",
        "DeleteVolume",
        "DetachVolume",
        "UpdateAutoScalingGroup",
    ];
    CHANGES.contains(&request.action.as_str()) && !request.is("DryRun", "true")
}
