//! `get --from s3` when the bucket is in another region, the credentials expire half-way, or the clock is wrong.

use insta::assert_snapshot;

use crate::fault_get::{LEFT, assert_got, files, get_again, shown};
use crate::fault_store::{Fault, KEYS, MIB, NAME, Request, Store, snapshot};
use crate::sandbox::Sandbox;

/// What AWS answers in a region that the bucket is not in, each form with the region in another place.
const ELSEWHERE: [Fault; 2] = [
    Fault::Refuse(301, "PermanentRedirect", "", "x-amz-bucket-region: eu-west-1\r\n"),
    Fault::Refuse(400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>", ""),
];

/// A store in eu-west-1.
fn in_europe(elsewhere: Fault) -> Store {
    Store::new(snapshot(2 * MIB), move |request, _| match request.head.contains("/eu-west-1/s3/aws4_request") {
        true => Fault::None,
        false => elsewhere,
    })
}

#[test]
fn a_bucket_in_another_region_is_asked_there() {
    for elsewhere in ELSEWHERE {
        let (store, mut sandbox) = (in_europe(elsewhere), Sandbox::with_keys(KEYS));
        // for AWS's own addresses, which a test cannot serve
        sandbox.set("AWS_ENDPOINT_URL_S3", &store.url);
        let output = sandbox.run("get etcd-a --from s3 -O out --bucket bbb");
        assert_got(&sandbox, &output, &store);
        assert!(output.stderr.contains("s3: bucket bbb is in eu-west-1, not us-east-1; asked there\n"), "{output}");
        let output = sandbox.run("list etcd-a --from s3 --bucket bbb -o name");
        assert_eq!(output.code, Some(0), "{output}");
    }
    // a question for headers is refused without a text
    let (store, mut sandbox) = (in_europe(ELSEWHERE[0]), Sandbox::with_keys(KEYS));
    sandbox.set("AWS_ENDPOINT_URL_S3", &store.url);
    let output = sandbox.run(&format!("verify --quick s3://bbb/v1/etcd-a/{NAME}"));
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stderr.contains("s3: bucket bbb is in eu-west-1, not us-east-1; asked there\n"), "{output}");
}

#[test]
fn the_region_of_a_service_with_a_url_is_said_and_not_guessed() {
    for (name, elsewhere) in ["redirect", "malformed"].into_iter().zip(ELSEWHERE) {
        let (store, sandbox) = (in_europe(elsewhere), Sandbox::with_keys(KEYS));
        let output = sandbox.run(&store.get());
        assert_eq!(output.code, Some(5), "{output}");
        assert_eq!(files(&sandbox), [""; 0]);
        assert_snapshot!(name, shown(&output, &store));
        assert_got(&sandbox, &sandbox.run(&format!("{} --region eu-west-1", store.get())), &store);
    }
}

const EXPIRED: Fault = Fault::Refuse(400, "ExpiredToken", "", "");

/// The keys `first` are expired as soon as three parts were asked for.
fn expiring(first: &'static str) -> impl Fn(&Request, &[Request]) -> Fault + Send + Sync {
    move |request, before| {
        let parts = before.iter().filter(|before| before.range.is_some()).count();
        if parts >= 3 && request.head.contains(first) { EXPIRED } else { Fault::None }
    }
}

/// A sandbox whose profile asks a program that gives other keys each time, or the same.
fn with_broker(changing: bool) -> Sandbox {
    let mut sandbox = Sandbox::new();
    let number = if changing { "$n" } else { "1" };
    sandbox.write("count", "0\n");
    sandbox.write(
        "broker",
        &format!(
            "cd ~; read n <count; n=$((n+1)); echo $n >count\n\
             echo '{{\"Version\": 1, \"AccessKeyId\": \"AKID'{number}'\", \"SecretAccessKey\": \"s\", \
             \"SessionToken\": \"t\", \"Expiration\": \"2099-01-01T00:00:00Z\"}}'\n"
        ),
    );
    let broker = sandbox.path().join("broker").display().to_string();
    sandbox.write(".aws/config", &format!("[default]\nregion=us-east-1\ncredential_process=/bin/sh {broker}\n"));
    sandbox.set("PATH", "/usr/bin:/bin");
    sandbox
}

fn asked(sandbox: &Sandbox) -> u32 {
    std::fs::read_to_string(sandbox.path().join("count")).unwrap().trim().parse().unwrap()
}

#[test]
fn credentials_that_expire_half_way_are_asked_for_again() {
    let (store, sandbox) = (Store::new(snapshot(8 * MIB), expiring("credential=akid1/")), with_broker(true));
    let output = sandbox.run(&store.get());
    assert_eq!(output.code, Some(0), "{output}");
    assert!(std::fs::read(sandbox.path().join("out")).unwrap() == store.bytes());
    assert_eq!(asked(&sandbox), 2, "once for all requests that were under way");
}

#[test]
fn expired_credentials_that_do_not_change_are_exit_5_and_the_run_can_be_gone_on_with() {
    let (store, sandbox) = (Store::new(snapshot(8 * MIB), expiring("credential=akid1/")), with_broker(false));
    let output = sandbox.run(&store.get());
    assert_eq!(output.code, Some(5), "{output}");
    assert!(files(&sandbox).ends_with(&LEFT.map(str::to_owned)), "{:?}", files(&sandbox));
    assert_snapshot!(shown(&output, &store));
    // nobody is asked for ever
    assert!(asked(&sandbox) <= 4 && store.ranges().len() <= 8, "{:?}", store.ranges());
    let mut own = Sandbox::with_keys(KEYS);
    for left in LEFT {
        std::fs::rename(sandbox.path().join(left), own.path().join(left)).unwrap();
    }
    get_again(&mut own, &store.get(), &store);
    assert!(store.asked_again().1 < store.bytes().len() as u64, "nothing of it was used");
}

/// A store whose clock is three hours ahead and which says so, or does not.
fn ahead(says: bool) -> Store {
    let there = || jiff::Timestamp::now() + jiff::SignedDuration::from_hours(3);
    let date = there().strftime("date: %a, %d %b %Y %H:%M:%S GMT\r\n").to_string();
    let headers: &'static str = if says { date.leak() } else { "" };
    Store::new(snapshot(2 * MIB), move |request, _| {
        let (_, date) = request.head.split_once("x-amz-date: ").unwrap();
        let signed = jiff::civil::DateTime::strptime("%Y%m%dt%H%M%Sz", date.lines().next().unwrap()).unwrap();
        let signed = signed.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
        match there().duration_since(signed).abs() > jiff::SignedDuration::from_mins(15) {
            true => Fault::Refuse(403, "RequestTimeTooSkewed", "", headers),
            false => Fault::None,
        }
    })
}

#[test]
fn a_clock_that_is_hours_off_is_allowed_for() {
    let (store, sandbox) = (ahead(true), Sandbox::with_keys(KEYS));
    assert_got(&sandbox, &sandbox.run(&store.get()), &store);
}

#[test]
fn a_clock_that_is_off_by_nobody_knows_what_is_said() {
    let (store, sandbox) = (ahead(false), Sandbox::with_keys(KEYS));
    let output = sandbox.run(&store.get());
    assert_eq!(output.code, Some(1), "{output}");
    assert_eq!(files(&sandbox), [""; 0]);
    assert_snapshot!(shown(&output, &store));
}
