//! Renders the comparison of the replicas.

use std::collections::BTreeMap;

use api::model::{CheckOutcome, CheckedReplica, ReplicaCheck, StateDigest};
use serde_json::{Value, json};

use crate::ctl::render::printable;

pub const COLUMNS: [&str; 4] = ["NODE", ">ENTRY", "DIGEST", "RESULT"];

/// One row per member.
pub fn rows(check: &ReplicaCheck) -> Vec<[String; 4]> {
    let row = |replica: &CheckedReplica| {
        let digest = digest(replica).map_or("-".to_owned(), |digest| format!("{:016x}", digest.sum()));
        [replica.member.node.to_string(), check.index.to_string(), digest, result(check, replica)]
    };
    check.replicas.iter().map(row).collect()
}

/// One object per member.
pub fn json(check: &ReplicaCheck) -> Vec<Value> {
    let object = |replica: &CheckedReplica| {
        let parts = digest(replica).map(|digest| {
            let parts = digest.parts().into_iter();
            parts.map(|(name, sum)| (name, format!("{sum:016x}"))).collect::<BTreeMap<_, _>>()
        });
        json!({
            "node": replica.member.node,
            "digest": digest(replica).map(|digest| format!("{:016x}", digest.sum())),
            "parts": parts,
            "result": result(check, replica),
        })
    };
    check.replicas.iter().map(object).collect()
}

/// What an operator has to look at.
pub fn wrong(check: &ReplicaCheck) -> Vec<String> {
    let mut wrong = Vec::new();
    let agreed = agreed(check);
    if agreed.is_none() && check.replicas.iter().any(|replica| digest(replica).is_some()) {
        wrong.push(
            "no majority of the members has one state: stop all nodes, keep all data directories, and report this"
                .to_owned(),
        );
    }
    for replica in &check.replicas {
        let node = replica.member.node;
        match (&replica.outcome, agreed) {
            (CheckOutcome::Digest(own), Some(agreed)) if own != agreed => wrong.push(format!(
                "the state of node {node} is not that of the majority ({}): stop the node, keep its data directory for a \
                 report, and give it a new disk with `twm-ctl member replace {node}`",
                own.differences(agreed).join(", ")
            )),
            (CheckOutcome::Digest(_), _) => {}
            (outcome, _) => wrong.push(format!("node {node} was not compared: {}", why(outcome))),
        }
    }
    wrong
}

fn digest(replica: &CheckedReplica) -> Option<&StateDigest> {
    match &replica.outcome {
        CheckOutcome::Digest(digest) => Some(digest),
        CheckOutcome::NotThere { .. } | CheckOutcome::Silent(_) => None,
    }
}

/// The digest of a majority of all members; if fewer answered, their digest, if they agree.
fn agreed(check: &ReplicaCheck) -> Option<&StateDigest> {
    let digests: Vec<_> = check.replicas.iter().filter_map(digest).collect();
    let have = |one: &StateDigest| digests.iter().filter(|other| **other == one).count();
    let is_agreed = |one: &&StateDigest| have(one) * 2 > check.replicas.len() || have(one) == digests.len();
    digests.iter().copied().find(is_agreed)
}

fn result(check: &ReplicaCheck, replica: &CheckedReplica) -> String {
    match (&replica.outcome, agreed(check)) {
        (CheckOutcome::Digest(own), Some(agreed)) if own == agreed => "agrees".to_owned(),
        (CheckOutcome::Digest(own), Some(agreed)) => {
            format!("differs: {}", own.differences(agreed).join(", "))
        }
        (CheckOutcome::Digest(_), None) => "no majority agrees".to_owned(),
        (outcome, _) => why(outcome),
    }
}

fn why(outcome: &CheckOutcome) -> String {
    match outcome {
        CheckOutcome::Digest(_) => String::new(),
        CheckOutcome::NotThere { applied } => {
            format!("it has applied entry {applied} and did not get there in time")
        }
        CheckOutcome::Silent(error) => printable(error),
    }
}

#[cfg(test)]
mod tests {
    use api::model::{DiskId, MemberId};

    use super::*;

    fn check(outcomes: Vec<CheckOutcome>) -> ReplicaCheck {
        let replica =
            |(node, outcome)| CheckedReplica { member: MemberId { node, disk: DiskId(node) }, outcome };
        ReplicaCheck { index: 70, replicas: (1..).zip(outcomes).map(replica).collect() }
    }

    fn state(jobs: u64) -> CheckOutcome {
        CheckOutcome::Digest(StateDigest { jobs, ..StateDigest::default() })
    }

    #[test]
    fn replicas_that_agree_are_well() {
        let check = check(vec![state(1), state(1), state(1)]);
        assert_eq!(wrong(&check), Vec::<String>::new());
        assert!(rows(&check).iter().all(|row| row[3] == "agrees" && row[1] == "70"));
    }

    #[test]
    fn the_one_that_differs_is_named_with_what_differs_and_the_remedy() {
        let check = check(vec![state(2), state(1), state(1)]);
        let wrong = wrong(&check);
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].contains("node 1") && wrong[0].contains("(jobs)"), "{wrong:?}");
        assert!(wrong[0].contains("twm-ctl member replace 1"), "{wrong:?}");
        assert_eq!(rows(&check)[0][3], "differs: jobs");
    }

    #[test]
    fn without_a_majority_nobody_is_told_to_give_a_disk_away() {
        let wrong = wrong(&check(vec![state(1), state(2)]));
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert!(wrong[0].contains("keep all data directories") && !wrong[0].contains("replace"), "{wrong:?}");
    }

    #[test]
    fn most_of_those_that_answered_are_no_majority_of_the_members() {
        let silent = || CheckOutcome::Silent("no route".to_owned());
        let wrong = wrong(&check(vec![state(1), state(1), state(2), silent(), silent()]));
        assert!(wrong[0].contains("keep all data directories"), "{wrong:?}");
        assert!(wrong.iter().all(|text| !text.contains("member replace")), "{wrong:?}");
    }

    #[test]
    fn one_that_was_not_compared_is_named() {
        let silent = CheckOutcome::Silent("no\x1b[2Jroute".to_owned());
        let wrong = wrong(&check(vec![state(1), silent, CheckOutcome::NotThere { applied: 9 }]));
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].contains("node 2") && wrong[0].contains("no\\u{1b}[2Jroute"), "{wrong:?}");
        assert!(wrong[1].contains("node 3") && wrong[1].contains("entry 9"), "{wrong:?}");
    }
}
