//! A cluster as kops makes it: volumes of etcd with its tags, and one Auto Scaling group a master.
//!
//! Source: kops, pkg/model/master_volumes.go and tests/integration/update_cluster/existing_iam/kubernetes.tf.

use aws_sdk_autoscaling::types::Tag as GroupTag;
use aws_sdk_ec2::types::{ResourceType, Tag, TagSpecification, VolumeState, VolumeType};

use super::{Aws, REGION};

/// What is made. Member `a` lives in zone `eu-west-1a`, and so on.
pub struct Kops {
    pub name: &'static str,
    pub etcds: &'static [&'static str],
    pub members: &'static [&'static str],
    /// More tags of each volume: kops calls them cloud labels.
    pub labels: Vec<(String, String)>,
}

impl Kops {
    /// Three masters with `main` and `events`.
    pub fn of_three(name: &'static str) -> Self {
        Self { name, etcds: &["main", "events"], members: &["a", "b", "c"], labels: vec![] }
    }

    /// One master with `main` and `events`.
    pub fn of_one(name: &'static str) -> Self {
        Self { members: &["a"], ..Self::of_three(name) }
    }

    /// The name of a master's Auto Scaling group and of its instance.
    pub fn master(&self, member: &str) -> String {
        format!("control-plane-{REGION}{member}.masters.{}", self.name)
    }

    /// The tags of a volume in use.
    pub fn live_tags(&self, etcd: &str, member: &str) -> Vec<Tag> {
        let Self { name, members, .. } = self;
        let mut tags = vec![
            tag("KubernetesCluster", name),
            tag("Name", &format!("{member}.etcd-{etcd}.{name}")),
            tag(&format!("k8s.io/etcd/{etcd}"), &format!("{member}/{}", members.join(","))),
            tag("k8s.io/role/control-plane", "1"),
            tag("k8s.io/role/master", "1"),
            tag(&format!("kubernetes.io/cluster/{name}"), "owned"),
        ];
        tags.extend(self.labels.iter().map(|(key, value)| tag(key, value)));
        tags
    }

    /// Makes it: the volumes, and the groups whose instances hold them.
    pub fn make(&self, aws: &Aws) {
        for member in self.members {
            let volumes = self.etcds.iter().map(|etcd| self.volume(aws, etcd, member)).collect::<Vec<_>>();
            self.group(aws, member);
            self.attach(aws, member, &volumes);
        }
    }

    fn volume(&self, aws: &Aws, etcd: &str, member: &str) -> String {
        let tags = self.live_tags(etcd, member);
        let tags = TagSpecification::builder().resource_type(ResourceType::Volume).set_tags(Some(tags)).build();
        let volume = aws.ec2.create_volume().availability_zone(format!("{REGION}{member}")).size(20);
        let volume = volume.volume_type(VolumeType::Gp3).iops(3000).throughput(125).tag_specifications(tags);
        aws.block_on(volume.send()).unwrap().volume_id().unwrap().to_owned()
    }

    fn group(&self, aws: &Aws, member: &str) {
        let name = self.master(member);
        let launch = aws.scaling.create_launch_configuration().launch_configuration_name(&name);
        aws.block_on(launch.image_id("ami-12345678").instance_type("t3.medium").send()).unwrap();
        let tags = [
            ("KubernetesCluster", self.name),
            ("Name", &name),
            ("k8s.io/role/control-plane", "1"),
            ("kops.k8s.io/instancegroup", &format!("control-plane-{REGION}{member}")),
            (&format!("kubernetes.io/cluster/{}", self.name), "owned"),
        ];
        let tags = tags.map(|(key, value)| {
            let tag = GroupTag::builder().key(key).value(value).resource_id(&name);
            tag.resource_type("auto-scaling-group").propagate_at_launch(true).build()
        });
        let group = aws.scaling.create_auto_scaling_group().auto_scaling_group_name(&name);
        let group = group.launch_configuration_name(&name).availability_zones(format!("{REGION}{member}"));
        let group = group.min_size(1).max_size(1).desired_capacity(1).set_tags(Some(tags.to_vec()));
        aws.block_on(group.send()).unwrap();
    }

    /// What etcd-manager does on the master, as long as it is not done yet.
    fn attach(&self, aws: &Aws, member: &str, volumes: &[String]) {
        let (name, devices) = (self.master(member), ["/dev/xvdu", "/dev/xvdv", "/dev/xvdx"]);
        let groups = aws.groups();
        let group = groups.iter().find(|group| group.auto_scaling_group_name() == Some(&name)).unwrap();
        let instance = group.instances()[0].instance_id().unwrap();
        let free = aws.volumes();
        let free = |id: &str| {
            let volume = free.iter().find(|volume| volume.volume_id() == Some(id));
            volume.unwrap().state() == Some(&VolumeState::Available)
        };
        for (volume, device) in volumes.iter().zip(devices).filter(|(volume, _)| free(volume)) {
            let attach = aws.ec2.attach_volume().volume_id(volume).instance_id(instance).device(device);
            aws.block_on(attach.send()).unwrap();
        }
    }
}

/// A tag of EC2.
pub fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}
