//! Stopping the control plane and starting it again.

use std::time::Instant;

use super::inventory::{Attachment, Volume};
use super::machines;
use super::run::{Run, Seen, Stage};
use super::scaling::{self, Group};
use crate::error::{Error, ErrorKind, Result};

/// Whether an earlier run has left the control plane stopped, which it notes.
///
/// # Errors
/// As [`scaling::existing`].
pub async fn note_if_down(run: &Run<'_>) -> Result<bool> {
    let groups = scaling::existing(run.compute, &run.plan.group_names()).await?;
    let down = |group: &Group| {
        group.size.is_stopped() && run.plan.groups.get(&group.name).is_some_and(|saved| !saved.is_stopped())
    };
    let is_down = groups.iter().any(down);
    if is_down {
        run.reached(Stage::Down);
        run.talk.say("the control plane is down, as an earlier run left it");
    }
    Ok(is_down)
}

/// Sets all groups to no instance, and waits until every instance is terminated and every volume can be moved.
///
/// # Errors
/// [`ErrorKind::TimedOut`]; as [`scaling::existing`].
pub async fn stop(run: &Run<'_>) -> Result<()> {
    let names = run.plan.group_names();
    let groups = scaling::existing(run.compute, &names).await?;
    let mut before = Some(run.position.stage());
    run.reached(Stage::Down);
    run.talk.say("the control plane goes down: do not run kops update cluster until it is up again");
    for group in groups.iter().filter(|group| !group.size.is_stopped()) {
        if let Err(error) = scaling::resize(run.compute, &group.name, 0, 0).await {
            if let Some(before) = before.filter(|_| error.kind() == ErrorKind::Denied) {
                run.position.no_further_than(before);
            }
            return Err(error);
        }
        before = None;
        run.talk.say(&format!("{} was of {}, and is set to none", group.name, group.size));
    }
    run.until(|| stopped(run, &names)).await?;
    run.talk.say("every instance of the control plane is terminated");
    run.until(|| detached(run)).await.map_err(|error| match error.kind() {
        ErrorKind::TimedOut => error.hint("--force-detach takes a volume from an instance that is gone"),
        _ => error,
    })?;
    run.talk.say("every volume is available");
    Ok(())
}

async fn stopped(run: &Run<'_>, names: &[String]) -> Result<Seen<()>> {
    let groups = scaling::existing(run.compute, names).await?;
    let mut missing: Vec<String> = groups.iter().flat_map(remaining).collect();
    if missing.is_empty() {
        missing = scaling::alive(run.compute, names).await?;
    }
    Ok(if missing.is_empty() { Seen::Done(()) } else { Seen::Waiting(missing.join(", ")) })
}

fn remaining(group: &Group) -> Vec<String> {
    let shown = |instance: &scaling::Instance| match instance.protected {
        true => format!("{} is protected from scale-in in {}", instance.id, group.name),
        false => format!("{} is {} in {}", instance.id, instance.state, group.name),
    };
    group.instances.iter().map(shown).collect()
}

/// The instances are gone, so nobody writes; EC2 takes a while to say so of the volumes.
async fn detached(run: &Run<'_>) -> Result<Seen<()>> {
    let disks = run.look().await?;
    let volumes = disks.iter().flat_map(|disk| disk.old.iter().chain(&disk.new));
    let attached: Vec<&Volume> = volumes.filter(|volume| volume.state != "available").collect();
    let alive = machines::alive(run.compute, &attached).await?;
    for volume in attached.iter().filter(|volume| run.force_detach && volume.state == "in-use") {
        // what is taken from an instance that writes may be torn
        for attachment in volume.attachments.iter().filter(|at| !alive.contains(&at.instance)) {
            run.talk.warn(&format!("{} is detached from {} by force", volume.id, attachment.instance));
            let request = run.compute.ec2.detach_volume().volume_id(&volume.id).instance_id(&attachment.instance);
            let doing = format!("detaching {}", volume.id);
            let answer = request.force(true).send().await;
            answer.map_err(|error| run.compute.explain(&error, "ec2", &doing))?;
        }
    }
    let missing: Vec<String> = attached.iter().map(|volume| where_it_is(volume, &alive)).collect();
    Ok(if missing.is_empty() { Seen::Done(()) } else { Seen::Waiting(missing.join(", ")) })
}

fn where_it_is(volume: &Volume, alive: &[String]) -> String {
    let at = |attachment: &Attachment| match alive.contains(&attachment.instance) {
        true => format!(" at {}, which runs", attachment.instance),
        false => format!(" at {}, which is gone", attachment.instance),
    };
    let at: String = volume.attachments.iter().map(at).collect();
    format!("{} is {}{at}", volume.id, volume.state)
}

/// Gives the groups the sizes of the plan, and waits until their instances are in service. `since` is when they went
/// down.
///
/// # Errors
/// [`ErrorKind::General`] when a group is gone, after the others run; [`ErrorKind::TimedOut`]; as
/// [`scaling::existing`].
pub async fn start(run: &Run<'_>, since: Option<Instant>) -> Result<()> {
    let names = run.plan.group_names();
    let groups = scaling::existing(run.compute, &names).await?;
    give_sizes(run, &groups).await?;
    let stopped: Vec<&String> =
        run.plan.groups.iter().filter(|(_, size)| size.is_stopped()).map(|(name, _)| name).collect();
    for name in &stopped {
        run.talk.warn(&format!("{name} has no instance, as when the plan was made: to start some, aws autoscaling update-auto-scaling-group --auto-scaling-group-name {name} --min-size 1 --desired-capacity 1"));
    }
    if stopped.len() == names.len() {
        run.talk.say("the control plane has no instances, as when the plan was made");
        return Ok(());
    }
    let gone = run.plan.groups_gone(&groups);
    if stopped.len() + gone.len() < names.len() {
        run.until(|| in_service(run, &names)).await?;
        run.reached(Stage::Up);
        let took = since.map(|since| format!(" after {} s", since.elapsed().as_secs())).unwrap_or_default();
        run.talk.say(&format!("the instances of the control plane are in service{took}"));
    }
    refuse_gone(&gone)
}

async fn give_sizes(run: &Run<'_>, groups: &[Group]) -> Result<()> {
    for group in groups {
        let Some(saved) = run.plan.groups.get(&group.name).filter(|saved| **saved != group.size) else { continue };
        if group.size.is_stopped() {
            run.reached(Stage::Down);
            scaling::resize(run.compute, &group.name, saved.min, saved.desired).await?;
            run.talk.say(&format!("{} has its size again: {saved}", group.name));
        } else {
            // somebody has changed it since
            run.talk.warn(&format!("{} is of {} and was of {saved}: it stays", group.name, group.size));
        }
    }
    Ok(())
}

/// Said in the end: without a group the volumes can still be exchanged, and the other masters start.
fn refuse_gone(gone: &[&str]) -> Result<()> {
    let said = match gone {
        [] => return Ok(()),
        [one] => format!("the group {one} is gone: its master was not started"),
        several => format!("the groups {} are gone: their masters were not started", several.join(" ")),
    };
    Err(Error::general(said).hint("kops update cluster --yes makes it again, now that the volumes are exchanged"))
}

async fn in_service(run: &Run<'_>, names: &[String]) -> Result<Seen<()>> {
    let groups = scaling::existing(run.compute, names).await?;
    let short = |group: &Group| {
        let (there, wanted) = (group.in_service(), usize::try_from(group.size.desired).unwrap_or_default());
        (there < wanted).then(|| format!("{there} of {wanted} instances of {} are in service", group.name))
    };
    let missing: Vec<String> = groups.iter().filter_map(short).collect();
    Ok(if missing.is_empty() { Seen::Done(()) } else { Seen::Waiting(missing.join(", ")) })
}
