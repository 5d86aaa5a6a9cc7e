//! Whether the bucket has a backup whole, whatever an operator says of it.

use std::time::Duration;

use tokio::time::Instant;

use super::place::WayFlags;
use crate::cassandra::layout::Place;
use crate::cassandra::location::{Cloud, Location};
use crate::cassandra::verify::{Known, Missed, Report, verify};
use crate::cli::{KubeFlags, Ui};
use crate::commands::get::place::{Resolved, resolve};
use crate::error::Result;

/// How often progress is said.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Between two looks at a backup that is not there yet: the first time, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What is looked for.
pub(super) struct Wanted<'a> {
    pub tag: &'a str,
    /// Names of the cluster and the datacenter, as the keys have them.
    pub whose: (Option<String>, Option<String>),
    pub known: Known,
    /// How long manifests that are not there may still come; zero for one look.
    pub patience: Duration,
}

/// What the look at the bucket gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proved {
    /// Every object of every node is there.
    Whole,
    /// Nobody could look.
    Unseen,
}

impl Proved {
    /// What to say of the backup.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Whole => "whole in the bucket",
            Self::Unseen => "not verified: the bucket was not looked at",
        }
    }
}

/// Looks whether the bucket has the tag whole; says why where it cannot look.
///
/// # Errors
/// [`ErrorKind::Unproved`](crate::error::ErrorKind::Unproved) where a node or an object is missing; those of S3.
pub(super) async fn prove(
    wanted: &Wanted<'_>,
    location: Option<&Location>,
    way: &WayFlags,
    kube: &KubeFlags,
    ui: &Ui,
) -> Result<Proved, Missed> {
    let Some(location) = location else {
        ui.warn("the bucket is not looked at: no --location names it");
        return Ok(Proved::Unseen);
    };
    if location.cloud != Cloud::Aws {
        ui.warn(format!("the bucket is not looked at: {location} is not S3"));
        return Ok(Proved::Unseen);
    }
    let mut bucket = resolve("", &way.to(Some(location.bucket.clone()), None), kube, ui).await?;
    let report = patiently(&mut bucket, &location.place(wanted.whose.clone()), wanted, ui).await?;
    report.warnings.iter().for_each(|warning| ui.warn(warning));
    report.check()?;
    ui.say(format!("{}: {} nodes are whole, by {}", report.location, report.expected(), report.nodes_told_by));
    Ok(Proved::Whole)
}

/// Looks until the backup is whole, cannot become so, or the patience is at its end.
async fn patiently(bucket: &mut Resolved, place: &Place, wanted: &Wanted<'_>, ui: &Ui) -> Result<Report, Missed> {
    let (started, mut pause, mut said) = (Instant::now(), PAUSES.0, String::new());
    loop {
        let seen = look(bucket, place, wanted.tag, &wanted.known, ui).await;
        let lacks = match &seen {
            Ok(report) if report.may_still_come() => {
                format!("{} of {} nodes are whole", report.whole(), report.expected())
            }
            Err(Missed::NotThere(error)) => error.message().to_owned(),
            _ => return seen,
        };
        let left = wanted.patience.saturating_sub(started.elapsed());
        if left.is_zero() {
            return seen;
        }
        if lacks != said {
            ui.say(format!("not yet in the bucket: {lacks}; looking again until --timeout"));
            said = lacks;
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = PAUSES.1.min(pause * 2);
    }
}

/// Looks at the backup once, in the region where the bucket is; says now and then how far it is.
///
/// # Errors
/// As [`verify`].
pub(super) async fn look(
    bucket: &mut Resolved,
    place: &Place,
    tag: &str,
    known: &Known,
    ui: &Ui,
) -> Result<Report, Missed> {
    let (talk, mut said) = (ui.clone(), Instant::now());
    let mut told = move |done: usize, all: usize| {
        if said.elapsed() >= SAID_EVERY {
            said = Instant::now();
            talk.say(format!("{done} of {all} nodes looked at"));
        }
    };
    match verify(&bucket.s3, place, tag, known, &mut told).await {
        Err(_) if bucket.follow(ui) => verify(&bucket.s3, place, tag, known, &mut told).await,
        report => report,
    }
}
