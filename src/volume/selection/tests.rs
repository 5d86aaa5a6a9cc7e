use super::*;
use crate::error::ErrorKind;
use crate::volume::inventory::Attachment;

fn volume(id: &str, tags: &[(&str, &str)]) -> Volume {
    let tags: tags::Tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let (disk, members) = tags::of_kops(&tags).unzip();
    Volume {
        id: id.to_owned(),
        disk,
        members: members.unwrap_or_default(),
        zone: "eu-west-1a".to_owned(),
        kind: "gp3".to_owned(),
        size: 20,
        iops: None,
        throughput: None,
        encrypted: false,
        kms_key: None,
        state: "in-use".to_owned(),
        attachments: vec![Attachment {
            instance: "i-1".to_owned(),
            device: "/dev/xvdu".to_owned(),
            delete_on_termination: false,
        }],
        tags,
        snapshot: None,
        created: None,
    }
}

fn kops(id: &str, cluster: &str, etcd: &str, member: &str, members: &str) -> Volume {
    let (key, value) = (format!("k8s.io/etcd/{etcd}"), format!("{member}/{members}"));
    volume(id, &[("KubernetesCluster", cluster), (&key, &value)])
}

fn machine(id: &str, state: &str, devices: &[(&str, &str)]) -> Machine {
    let devices = devices.iter().map(|(device, volume)| ((*device).to_owned(), (*volume).to_owned())).collect();
    Machine { id: id.to_owned(), state: state.to_owned(), root: None, devices, tags: tags::Tags::new() }
}

fn of(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The ids that are chosen, or the error in words.
fn chosen(selection: &Selection, found: Vec<Volume>, machines: &[Machine]) -> String {
    match choose(selection, found, machines) {
        Ok(chosen) => chosen.volumes.iter().map(|one| one.volume.id.as_str()).collect::<Vec<_>>().join(" "),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
            error.message().to_owned()
        }
    }
}

fn cluster() -> Vec<Volume> {
    let mut found = Vec::new();
    for etcd in ["main", "events"] {
        found.extend(["a", "b", "c"].map(|member| kops(&format!("{etcd}-{member}"), "k", etcd, member, "a,b,c")));
    }
    found
}

#[test]
fn one_cluster_is_taken_and_of_several_one_must_be_chosen() {
    let all = "events-a events-b events-c main-a main-b main-c";
    assert_eq!(chosen(&Selection::default(), cluster(), &[]), all);
    let mut two = cluster();
    two.push(kops("other", "l", "main", "a", "a"));
    assert_eq!(chosen(&Selection::default(), two.clone(), &[]), "there are volumes of 2 clusters: k, l");
    let named = Selection { cluster: Some("l".to_owned()), ..Selection::default() };
    assert_eq!(chosen(&named, two.clone(), &[]), "other");
    let nobody = Selection { cluster: Some("m".to_owned()), ..Selection::default() };
    assert_eq!(chosen(&nobody, two, &[]), "no volume of cluster \"m\"");
}

#[test]
fn etcds_and_members_restrict_and_all_of_those_asked_for_must_be_there() {
    let asked = |etcds: &[&str], members: &[&str]| {
        let selection = Selection { etcds: of(etcds), members: of(members), ..Selection::default() };
        chosen(&selection, cluster(), &[])
    };
    assert_eq!(asked(&["main"], &[]), "main-a main-b main-c");
    assert_eq!(asked(&[], &["b"]), "events-b main-b");
    assert_eq!(asked(&["main", "cilium"], &[]), "no volume of etcd \"cilium\" in cluster \"k\"");
    assert_eq!(asked(&["main"], &["a", "d"]), "no volume of d.etcd-main in cluster \"k\"");
}

#[test]
fn a_member_without_a_volume_is_said_unless_the_others_were_chosen() {
    let mut found = cluster();
    found.retain(|volume| volume.id != "events-c");
    assert_eq!(chosen(&Selection::default(), found.clone(), &[]), "no volume of c.etcd-events in cluster \"k\"");
    let others = Selection { members: of(&["a", "b"]), ..Selection::default() };
    assert_eq!(chosen(&others, found, &[]), "events-a events-b main-a main-b");
}

#[test]
fn of_two_volumes_of_one_disk_only_one_in_use_can_be_meant() {
    let mut found = vec![kops("old", "k", "main", "a", "a"), kops("new", "k", "main", "a", "a")];
    assert_eq!(chosen(&Selection::default(), found.clone(), &[]), "old and new all are a.etcd-main.k by their tags");
    found[0].state = "available".to_owned();
    let one = choose(&Selection::default(), found, &[]).unwrap();
    assert_eq!((one.volumes[0].volume.id.as_str(), one.warnings.len()), ("new", 1));
}

#[test]
fn what_kops_did_not_tag_can_be_named_with_all_that_identifies_it() {
    let plain = volume("vol-1", &[]);
    let mut selection = Selection { volumes: of(&["vol-1"]), ..Selection::default() };
    assert_eq!(chosen(&selection, vec![plain.clone()], &[]), "the tags of vol-1 do not say of which etcd it is");
    selection.etcds = of(&["main"]);
    assert_eq!(chosen(&selection, vec![plain.clone()], &[]), "the tags of vol-1 do not say of which cluster it is");
    selection.cluster = Some("mine".to_owned());
    assert_eq!(chosen(&selection, vec![plain.clone()], &[]), "the tags of vol-1 do not say of which member it is");
    selection.members = of(&["node-1"]);
    let one = choose(&selection, vec![plain], &[]).unwrap();
    assert_eq!(one.volumes[0].disk.to_string(), "node-1.etcd-main.mine");
    assert_eq!(one.volumes[0].members, ["node-1"]);
    let missing = chosen(&selection, vec![], &[]);
    assert_eq!(missing, "there is no volume \"vol-1\" with what else was asked for");
    let other = chosen(&selection, vec![kops("vol-1", "k", "main", "a", "a")], &[]);
    assert_eq!(other, "no volume of cluster \"mine\", etcd main, member node-1");
}

#[test]
fn volumes_that_are_going_are_not_taken() {
    let mut found = vec![kops("vol-1", "k", "main", "a", "a")];
    found[0].state = "deleting".to_owned();
    let words = "no volume is tagged as one of an etcd (k8s.io/etcd/NAME, as kops does it)";
    assert_eq!(chosen(&Selection::default(), found, &[]), words);
}

fn at(name: &str, etcd: &str) -> Selection {
    Selection { instance: Some(name.to_owned()), etcds: of(&[etcd]), ..Selection::default() }
}

#[test]
fn at_an_instance_the_tags_say_which_volume_it_is_and_not_the_letter() {
    // the letters are exchanged
    let devices = [("/dev/xvda", "root"), ("/dev/xvdu", "vol-e"), ("/dev/xvdv", "vol-m")];
    let machines = [machine("i-1", "running", &devices)];
    let found =
        vec![volume("root", &[]), kops("vol-e", "k", "events", "a", "a,b,c"), kops("vol-m", "k", "main", "a", "a,b,c")];
    assert_eq!(chosen(&at("m", "main"), found.clone(), &machines), "vol-m");
    let only_events = found[..2].to_vec();
    let words = chosen(&at("m", "main"), only_events, &machines);
    assert_eq!(words, "no volume of etcd \"main\" is attached to \"m\": vol-e is a.etcd-events.k");
}

#[test]
fn without_any_tags_of_kops_the_letter_of_the_old_script_counts() {
    let machines = [machine("i-1", "running", &[("/dev/xvdu", "vol-1")])];
    let found = vec![volume("vol-1", &[("KubernetesCluster", "k")])];
    let one = choose(&at("m", "main"), found.clone(), &machines).unwrap();
    assert_eq!(one.volumes[0].disk.to_string(), "m.etcd-main.k");
    let none = "no volume of etcd \"events\" at i-1 (m): none has the tags of kops, and none is attached as /dev/xvdv";
    assert_eq!(chosen(&at("m", "events"), found.clone(), &machines), none);
    let two = [machines[0].clone(), machine("i-2", "running", &[("/dev/xvdu", "vol-2")])];
    let words = "2 running instances are named \"m\", and their volumes have no tags that tell them apart";
    assert_eq!(chosen(&at("m", "main"), found, &two), words);
}

#[test]
fn several_masters_of_one_name_are_one_set_when_their_tags_differ() {
    let machines = ["a", "b"].map(|member| machine(&format!("i-{member}"), "running", &[("/dev/xvdu", member)]));
    let found = vec![kops("a", "k", "main", "a", "a,b,c"), kops("b", "k", "main", "b", "a,b,c")];
    assert_eq!(chosen(&at("masters.k", "main"), found, &machines), "a b");
}

#[test]
fn only_running_instances_count_and_each_other_case_has_its_message() {
    let words = |machines: &[Machine]| instance::volumes("m", machines).map_err(|error| error.message().to_owned());
    let gone = machine("i-1", "terminated", &[("/dev/xvdu", "old")]);
    assert_eq!(words(&[]).unwrap_err(), "no instance is named \"m\" (tag Name)");
    assert_eq!(
        words(std::slice::from_ref(&gone)).unwrap_err(),
        "no instance named \"m\" is running: i-1 is terminated"
    );
    assert_eq!(words(&[gone, machine("i-2", "running", &[("/dev/xvdu", "new")])]).unwrap(), ["new"]);
    let bare = machine("i-3", "running", &[]);
    assert_eq!(words(&[bare]).unwrap_err(), "no volume is attached to \"m\": i-3 is running");
}
