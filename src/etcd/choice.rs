//! Which of the members that answered is backed up.

use std::cmp::Reverse;
use std::fmt;

use super::member::Status;

/// What one endpoint answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whether the endpoint is a client URL that this member advertises itself. Otherwise it may be
    /// a balancer.
    pub own_address: bool,
    /// The member's status.
    pub status: Status,
}

/// Why a member that answers is not backed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// It is still catching up and serves no snapshots.
    Learner,
    /// etcd raised the alarm CORRUPT for it.
    Corrupt,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Learner => "is a learner",
            Self::Corrupt => "has the alarm CORRUPT",
        })
    }
}

impl Answer {
    /// Why this member must not be backed up, if so. A member without a leader may: that is the
    /// backup of a cluster that lost its quorum. So may one with the alarm NOSPACE.
    pub fn unusable(&self) -> Option<Unusable> {
        if self.status.is_learner {
            return Some(Unusable::Learner);
        }
        self.status
            .errors
            .iter()
            .any(|error| names_as_corrupt(error, self.status.member_id))
            .then_some(Unusable::Corrupt)
    }
}

/// The member to back up: the greatest revision; among equals one with a leader, then the lowest
/// member id, then the member's own address rather than a balancer's, then the first. `None` if no
/// answer is usable.
pub fn choose(answers: &[Answer]) -> Option<usize> {
    let usable = answers.iter().enumerate().filter(|(_, answer)| answer.unusable().is_none());
    let rank = |&(index, answer): &(usize, &Answer)| {
        let status = &answer.status;
        (status.revision, status.leader != 0, Reverse(status.member_id), answer.own_address, Reverse(index))
    };
    usable.max_by_key(rank).map(|(index, _)| index)
}

/// Every member lists the alarms of all: `memberID:123 alarm:CORRUPT `. When etcd cannot tell which
/// member is wrong, it raises the alarm without an id, and then it means every one (etcd-io/etcd,
/// server/etcdserver/corrupt.go, v3.5).
fn names_as_corrupt(error: &str, member: u64) -> bool {
    let field = |name: &str| error.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix(':'));
    field("alarm") == Some("CORRUPT")
        && field("memberID").and_then(|id| id.parse().ok()).is_none_or(|id: u64| id == 0 || id == member)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(member_id: u64, revision: u64) -> Answer {
        let status = Status {
            version: semver::Version::new(3, 5, 21),
            cluster_id: 1,
            member_id,
            revision,
            db_size: 0,
            db_size_in_use: 0,
            leader: 1,
            is_learner: false,
            errors: Vec::new(),
        };
        Answer { own_address: true, status }
    }

    fn with(mut answer: Answer, change: impl FnOnce(&mut Answer)) -> Answer {
        change(&mut answer);
        answer
    }

    fn error(answer: Answer, text: &str) -> Answer {
        with(answer, |answer| answer.status.errors.push(text.into()))
    }

    #[test]
    fn the_greatest_revision_wins_then_the_lowest_id() {
        assert_eq!(choose(&[]), None);
        assert_eq!(choose(&[answer(1, 5), answer(2, 7), answer(3, 6)]), Some(1));
        assert_eq!(choose(&[answer(3, 7), answer(2, 7), answer(9, 7)]), Some(1));
    }

    #[test]
    fn learners_and_corrupt_members_are_passed_over() {
        let learner = with(answer(1, 9), |answer| answer.status.is_learner = true);
        let corrupt = error(answer(2, 8), "memberID:2 alarm:CORRUPT ");
        assert_eq!(choose(&[learner.clone(), corrupt.clone(), answer(3, 7)]), Some(2));
        assert_eq!(choose(&[learner.clone(), corrupt.clone()]), None);
        assert_eq!(learner.unusable(), Some(Unusable::Learner));
        assert_eq!(corrupt.unusable(), Some(Unusable::Corrupt));
    }

    #[test]
    fn an_alarm_is_about_the_member_that_it_names() {
        assert_eq!(error(answer(2, 8), "memberID:22 alarm:CORRUPT ").unusable(), None);
        assert_eq!(error(answer(2, 8), "alarm:CORRUPT ").unusable(), Some(Unusable::Corrupt));
        assert_eq!(error(answer(2, 8), "memberID:2 alarm:NOSPACE ").unusable(), None);
        assert_eq!(error(answer(2, 8), "etcdserver: no leader").unusable(), None);
    }

    #[test]
    fn among_equals_a_member_with_a_leader_and_its_own_address_win() {
        let lone = with(answer(1, 7), |answer| answer.status.leader = 0);
        assert_eq!(choose(&[lone.clone(), answer(2, 7)]), Some(1));
        assert_eq!(choose(&[lone, answer(2, 6)]), Some(0));
        let balancer = with(answer(1, 7), |answer| answer.own_address = false);
        assert_eq!(choose(&[balancer.clone(), answer(1, 7)]), Some(1));
        assert_eq!(choose(&[balancer.clone(), balancer]), Some(0));
    }

    proptest! {
        #[test]
        fn the_choice_is_usable_and_nobody_usable_is_ahead(
            members in prop::collection::vec((1u64..6, 0u64..4, any::<bool>()), 0..8),
        ) {
            let answers: Vec<_> = members
                .into_iter()
                .map(|(id, revision, learner)| with(answer(id, revision), |answer| answer.status.is_learner = learner))
                .collect();
            match choose(&answers) {
                None => prop_assert!(answers.iter().all(|answer| answer.unusable().is_some())),
                Some(index) => {
                    prop_assert_eq!(answers[index].unusable(), None);
                    let best = answers[index].status.revision;
                    prop_assert!(answers.iter().all(|a| a.unusable().is_some() || a.status.revision <= best));
                }
            }
        }
    }
}
