//! What a `volume` command says when AWS does not let it in, or lets it in somewhere else.

use insta::assert_snapshot;

use crate::aws::{Aws, Kops};
use crate::fake_aws::{FakeAws, Fault, Request, State, throttled, unauthorized};
use crate::sandbox::{Output, Sandbox};
use crate::volume_world::World;

/// `volume snapshot` of a cluster in a fake whose requests are answered so.
fn snapshot(fault: impl Fn(&Request) -> Fault + Send + 'static, flags: &str) -> Output {
    let fake = FakeAws::start();
    Kops::of_one("k.example.com").make(&fake);
    fake.forget();
    fake.before(move |request, _: &mut State| fault(request));
    let mut sandbox = fake.sandbox();
    sandbox.set("AWS_MAX_ATTEMPTS", "2");
    let mut output = sandbox.run(&format!("volume snapshot --set s1 {flags}"));
    output.stderr = output.stderr.replace(&fake.url, "http://aws");
    output
}

fn refuse(action: &'static str, status: u16, code: &'static str, message: String) -> impl Fn(&Request) -> Fault {
    move |request| match request.action == action {
        true => Fault::Refuse(status, code, message.clone()),
        false => Fault::None,
    }
}

#[test]
fn each_refusal_has_its_message_and_its_exit_code() {
    let auth = "AWS was not able to validate the provided access credentials".to_owned();
    let token = "The security token included in the request is invalid.".to_owned();
    let encoded = unauthorized("ec2:CreateSnapshots") + " Encoded authorization failure message: 4Gk9aBcD";
    let opt_in = "You are not subscribed to this service. Please go to http://aws.amazon.com to subscribe.".to_owned();
    let expired = "Request has expired.".to_owned();
    for (name, code, output) in [
        ("unknown_keys", 5, snapshot(refuse("GetCallerIdentity", 403, "InvalidClientTokenId", token), "")),
        ("not_validated", 5, snapshot(refuse("DescribeVolumes", 401, "AuthFailure", auth), "")),
        ("no_permission", 5, snapshot(refuse("CreateSnapshots", 403, "UnauthorizedOperation", encoded), "")),
        ("not_enabled", 5, snapshot(refuse("DescribeVolumes", 403, "OptInRequired", opt_in), "")),
        ("expired", 5, snapshot(refuse("DescribeVolumes", 400, "RequestExpired", expired), "")),
        ("another_account", 5, snapshot(|_| Fault::None, "--account 210987654321")),
        ("another_region", 3, snapshot(|_| Fault::None, "--region us-east-1")),
        (
            "throttled",
            1,
            snapshot(|request| if request.action == "DescribeVolumes" { throttled() } else { Fault::None }, ""),
        ),
    ] {
        assert_eq!(output.code, Some(code), "{name}: {output}");
        assert_snapshot!(name, output);
    }
}

#[test]
fn no_credentials_and_no_region_are_said_before_anything_is_asked() {
    let moto = Aws::moto();
    let mut sandbox = Sandbox::new();
    sandbox.set("AWS_ENDPOINT_URL", &moto.url);
    sandbox.set("AWS_REGION", crate::aws::REGION);
    let output = sandbox.run("volume list");
    assert_eq!(output.code, Some(5), "{output}");
    assert_snapshot!("no_credentials", output);
    let mut sandbox = Sandbox::new();
    for (name, value) in moto.environment().into_iter().filter(|(name, _)| *name != "AWS_REGION") {
        sandbox.set(name, &value);
    }
    let output = sandbox.run("volume list");
    assert_eq!(output.code, Some(5), "{output}");
    assert_snapshot!("no_region", output);
}

#[test]
fn a_word_that_is_no_region_is_refused() {
    let sandbox = Sandbox::with_keys(("AKIDOFTHISTEST", "secret"));
    let output = sandbox.run("volume list --region eu_west_1");
    assert!(output.code == Some(5) && output.stderr.contains("\"eu_west_1\" is no AWS region"), "{output}");
}

#[test]
fn the_policy_of_a_schedule_is_enough_for_its_run_and_for_nothing_more() {
    let fake = FakeAws::start();
    Kops::of_three("k.example.com").make(&fake);
    let sandbox = fake.sandbox();
    let policy = sandbox.run("volume iam-policy --cluster-name k.example.com");
    let policy = serde_json::from_slice(&policy.stdout).unwrap();
    fake.state(|state| state.policy = Some(policy));
    for set in ["s1", "s2"] {
        let run = format!("volume snapshot --cluster-name k.example.com --set {set} --wait --keep-last 1");
        let output = sandbox.run(&run);
        assert_eq!(output.code, Some(0), "{output}");
    }
    assert_eq!(fake.state(|state| state.snapshots.len()), 6);
    // of the same account, without our mark
    fake.state(|state| {
        let mut foreign = state.snapshots.values().next().unwrap().clone();
        foreign.tags.clear();
        state.snapshots.insert("snap-foreign".to_owned(), foreign);
    });
    let delete = fake.block_on(fake.ec2.delete_snapshot().snapshot_id("snap-foreign").send());
    assert_eq!(delete.unwrap_err().into_service_error().meta().code(), Some("UnauthorizedOperation"));
}

#[test]
fn the_policy_of_a_restore_is_enough_for_it_and_for_the_ways_back() {
    let world = World::new();
    let policy = world.ok("volume iam-policy --for restore --cluster-name k.example.com");
    world.fake.state(|state| state.policy = Some(serde_json::from_slice(&policy.stdout).unwrap()));
    world.ok("volume restore plan.json --yes --force-detach");
    world.assert_restored();
    world.ok("volume rollback plan.json --yes");
    world.assert_as_at_first();
    world.ok("volume cleanup plan.json --older-than 0 --yes");
    world.ok("volume plan --cluster-name k.example.com --set s1 --out second.json");
    world.ok("volume restore second.json --yes --delete-old-volumes");
    world.assert_restored();
    assert_eq!(world.fake.volumes().len(), 2);
}
