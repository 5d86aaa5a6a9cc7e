//! Asks all members of a cluster how they are, and chooses the one to back up.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use futures::future::join_all;

use super::access::Access;
use super::choice::{Answer, choose};
use super::endpoint::Endpoint;
use super::member::{Member, MemberInfo};
use crate::error::{Error, ErrorKind, Result};

/// The member to back up, with the connection over which it answered.
#[derive(Debug)]
pub struct Chosen {
    /// The connection, for everything that the backup asks.
    pub member: Member,
    /// What it answered.
    pub answer: Answer,
}

/// How an endpoint that was not chosen came off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It answered; [`Answer::unusable`] says whether it could have been chosen.
    Answered(Box<Answer>),
    /// It did not answer, or not as the member that it should be.
    Failed(Error),
    /// It was not asked, for this reason.
    Skipped(&'static str),
}

impl fmt::Display for Outcome {
    /// One phrase: `member 8e9e05c52164694d has revision 15`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(answer) => {
                let status = &answer.status;
                write!(f, "member {:x} has revision {}", status.member_id, status.revision)?;
                answer.unusable().map_or(Ok(()), |reason| write!(f, " but {reason}"))
            }
            Self::Failed(error) => f.write_str(error.message()),
            Self::Skipped(reason) => write!(f, "not asked: {reason}"),
        }
    }
}

/// The choice and everything else that was tried.
#[derive(Debug)]
pub struct Survey {
    /// The member to back up.
    pub chosen: Chosen,
    /// All other endpoints, the configured ones first.
    pub others: Vec<(Endpoint, Outcome)>,
}

/// Asks every configured endpoint, and the client URLs of all members that one of them knows of,
/// and chooses by [`choose`]. Members whose URLs do not answer are no failure as long as somebody
/// does. A user name and password are sent to `http` URLs only if one of the configured is `http`.
///
/// # Errors
/// [`ErrorKind::Denied`] if every endpoint refused us,
/// [`ErrorKind::NotFound`] if the endpoints belong to different
/// clusters, otherwise [`ErrorKind::General`]; the message lists
/// every endpoint with its reason.
pub async fn survey(configured: &[Endpoint], access: &Access) -> Result<Survey> {
    let first_asked: BTreeSet<&Endpoint> = configured.iter().collect();
    let in_order = configured.iter().enumerate().filter(|(at, endpoint)| !configured[..*at].contains(endpoint));
    let mut probes = join_all(in_order.map(|(_, endpoint)| probe(endpoint.clone(), access))).await;
    one_cluster(&probes)?;

    let known = probes.iter_mut().filter_map(|probe| probe.found.as_mut().ok());
    let members = list_members(known).await;
    let mut owners = owners(&members);
    let plain_is_fine = configured.iter().any(|endpoint| !endpoint.is_https());
    let (ask, skip): (Vec<_>, Vec<_>) = owners
        .keys()
        .filter(|endpoint| !first_asked.contains(endpoint))
        .map(|endpoint| (endpoint.clone(), reason_to_skip(endpoint, plain_is_fine)))
        .partition(|(_, reason)| reason.is_none());
    let cluster = probes.iter().find_map(|probe| Some(probe.found.as_ref().ok()?.1.status.cluster_id));
    for mut probe in join_all(ask.into_iter().map(|(endpoint, _)| probe(endpoint, access))).await {
        let owner = owners.get(&probe.endpoint).copied();
        probe.check_owner(cluster, owner);
        probes.push(probe);
    }
    for Probe { endpoint, found } in &mut probes {
        if let Ok((_, answer)) = found {
            answer.own_address = owners.remove(endpoint) == Some(answer.status.member_id);
        }
    }
    let skipped = skip.into_iter().filter_map(|(endpoint, reason)| Some((endpoint, Outcome::Skipped(reason?))));
    conclude(probes, skipped.collect())
}

/// An endpoint that was asked.
struct Probe {
    endpoint: Endpoint,
    found: Result<(Member, Answer)>,
}

impl Probe {
    /// Drops the answer of somebody else than the member that advertises this URL: 127.0.0.1 is
    /// another etcd wherever one asks.
    fn check_owner(&mut self, cluster: Option<u64>, owner: Option<u64>) {
        let Ok((_, answer)) = &self.found else { return };
        let (is_cluster, is_member) = (answer.status.cluster_id, answer.status.member_id);
        if (Some(is_cluster), Some(is_member)) != (cluster, owner) {
            let endpoint = &self.endpoint;
            let reason = format!("etcd {endpoint}: answers as member {is_member:x} of cluster {is_cluster:x}");
            self.found = Err(Error::general(format!("{reason}, which is not the member that advertises this URL")));
        }
    }
}

async fn probe(endpoint: Endpoint, access: &Access) -> Probe {
    let ask = async {
        let mut member = Member::connect(&endpoint, access).await?;
        let status = member.status().await?;
        Ok((member, Answer { own_address: false, status }))
    };
    let found = ask.await;
    Probe { endpoint, found }
}

/// The members as the first one that can tell knows them; nobody may be able to, then it is the
/// configured endpoints alone.
async fn list_members(known: impl Iterator<Item = &mut (Member, Answer)>) -> Vec<MemberInfo> {
    for (member, _) in known {
        match member.members().await {
            Ok(members) => return members,
            Err(error) => tracing::debug!("{}", error.message()),
        }
    }
    Vec::new()
}

/// Which member advertises which URL; URLs that are none are left out.
fn owners(members: &[MemberInfo]) -> BTreeMap<Endpoint, u64> {
    let urls = |member: &MemberInfo| {
        let id = member.id;
        let parsed = member.client_urls.iter().filter_map(|url| url.parse().ok());
        parsed.map(move |endpoint: Endpoint| (endpoint, id)).collect::<Vec<_>>()
    };
    members.iter().flat_map(urls).collect()
}

fn reason_to_skip(endpoint: &Endpoint, plain_is_fine: bool) -> Option<&'static str> {
    if endpoint.is_unspecified() {
        Some("the member advertises an address that is nobody's")
    } else if !endpoint.is_https() && !plain_is_fine {
        Some("the member advertises http, and all configured endpoints are https")
    } else {
        None
    }
}

fn one_cluster(probes: &[Probe]) -> Result<()> {
    let mut found = probes.iter().filter_map(|probe| {
        let (_, answer) = probe.found.as_ref().ok()?;
        Some((answer.status.cluster_id, &probe.endpoint))
    });
    let Some((cluster, endpoint)) = found.next() else { return Ok(()) };
    match found.find(|(other, _)| *other != cluster) {
        None => Ok(()),
        Some((other, elsewhere)) => Err(Error::not_found(format!(
            "the endpoints belong to different clusters: {endpoint} to {cluster:x}, {elsewhere} to {other:x}"
        ))
        .hint("name the endpoints of one cluster only")),
    }
}

fn conclude(probes: Vec<Probe>, skipped: Vec<(Endpoint, Outcome)>) -> Result<Survey> {
    let (mut connections, mut answers, mut answered, mut others) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (at, Probe { endpoint, found }) in probes.into_iter().enumerate() {
        match found {
            Ok((member, answer)) => {
                connections.push(member);
                answers.push(answer);
                answered.push((at, endpoint));
            }
            Err(error) => others.push((at, endpoint, Outcome::Failed(error))),
        }
    }
    let choice = choose(&answers);
    let mut chosen = None;
    let found = connections.into_iter().zip(answers).zip(answered).enumerate();
    for (index, ((member, answer), (at, endpoint))) in found {
        if Some(index) == choice {
            chosen = Some(Chosen { member, answer });
        } else {
            others.push((at, endpoint, Outcome::Answered(Box::new(answer))));
        }
    }
    others.sort_by_key(|(at, ..)| *at);
    let others: Vec<_> = others.into_iter().map(|(_, endpoint, outcome)| (endpoint, outcome)).chain(skipped).collect();
    match chosen {
        Some(chosen) => Ok(Survey { chosen, others }),
        None => Err(nobody(&others)),
    }
}

/// The error when nobody can be backed up, with every reason and each hint once.
fn nobody(others: &[(Endpoint, Outcome)]) -> Error {
    if others.is_empty() {
        return Error::usage("no etcd endpoint is given");
    }
    let failures = || {
        others.iter().filter_map(|(_, outcome)| match outcome {
            Outcome::Failed(error) => Some(error),
            _ => None,
        })
    };
    let asked = others.iter().filter(|(_, outcome)| !matches!(outcome, Outcome::Skipped(_))).count();
    let denied = failures().filter(|error| error.kind() == ErrorKind::Denied).count() == asked;
    let kind = if denied { ErrorKind::Denied } else { ErrorKind::General };
    let reasons = others.iter().map(|(endpoint, outcome)| match outcome {
        Outcome::Failed(error) => error.message().to_owned(),
        outcome => format!("etcd {endpoint}: {outcome}"),
    });
    let message = format!("no member of etcd can be backed up: {}", reasons.collect::<Vec<_>>().join("; "));
    let hints: BTreeSet<&String> = failures().flat_map(Error::hints).collect();
    hints.into_iter().fold(Error::new(kind, message), |error, hint| error.hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        text.parse().unwrap()
    }

    fn failed(url: &str, error: Error) -> (Endpoint, Outcome) {
        (endpoint(url), Outcome::Failed(error))
    }

    #[test]
    fn every_reason_is_told_and_each_hint_once() {
        let others = [
            failed("https://a:1", Error::denied("etcd https://a:1: no").hint("h")),
            failed("https://b:1", Error::denied("etcd https://b:1: no").hint("h")),
            (endpoint("http://c:1"), Outcome::Skipped("plain")),
        ];
        let error = nobody(&others);
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert_eq!(
            error.to_string(),
            "error: no member of etcd can be backed up: etcd https://a:1: no; etcd https://b:1: no; \
             etcd http://c:1: not asked: plain\nhint: h"
        );
        let others = [others[0].clone(), failed("https://b:1", Error::general("gone"))];
        assert_eq!(nobody(&others).kind(), ErrorKind::General);
        assert_eq!(nobody(&[]).kind(), ErrorKind::Usage);
    }

    #[test]
    fn nobody_s_address_and_plain_text_are_not_asked() {
        assert!(reason_to_skip(&endpoint("http://0.0.0.0:2379"), true).is_some());
        assert!(reason_to_skip(&endpoint("http://m0:2379"), false).is_some());
        assert_eq!(reason_to_skip(&endpoint("http://m0:2379"), true), None);
        assert_eq!(reason_to_skip(&endpoint("https://m0:2379"), false), None);
    }

    #[test]
    fn only_real_urls_have_owners() {
        let urls = ["http://m0:2379", "HTTP://M0:2379/", "unix://x", "http://m1:2379"];
        let member =
            MemberInfo { id: 7, name: "m0".into(), client_urls: urls.map(String::from).into(), is_learner: false };
        let found: Vec<_> = owners(&[member]).into_iter().collect();
        assert_eq!(found, [(endpoint("http://m0:2379"), 7), (endpoint("http://m1:2379"), 7)]);
    }
}
