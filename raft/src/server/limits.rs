//! Bounds on callers' input. Everything that passes fits into log entries, records and frames.

use crate::model::{CrawlSpec, Finding, HostTrouble, Mutation, Progress, Report, ShareReport};
use crate::wire::ApiError;
use crate::wire::bounds::{
    MAX_BUDGET_NAME, MAX_COMMAND, MAX_CURSOR, MAX_DISCOVERED, MAX_FINDINGS, MAX_HOST, MAX_NAME, MAX_RULE,
    MAX_SHARE_EVENTS, MAX_SHARED, MAX_SOURCES, MAX_TARGETS,
};

/// Longest reason of a failure, bytes; the state machine keeps less.
const MAX_REASON: usize = 16_384;
/// Longest delay that a node may request, ms.
const MAX_DELAY: u64 = 7 * 24 * 3_600_000;
/// Most bytes of kept events, which are in every replica's memory.
pub(super) const MAX_EVENTS_KEPT: u64 = 1 << 30;

/// Refuses what is out of bounds; `known` is the newest cluster version that this node supports.
pub(crate) fn check(mutation: &Mutation, known: u32) -> Result<(), ApiError> {
    match mutation {
        Mutation::CreateCrawl { spec, .. } => check_spec(spec),
        Mutation::AddTargets { users, .. } if users.len() > MAX_TARGETS => {
            Err(bad(format!("a chunk has {} targets; at most {MAX_TARGETS} are allowed", users.len())))
        }
        Mutation::KeepEvents { bytes } if *bytes > MAX_EVENTS_KEPT => Err(bad(format!(
            "{bytes} bytes of events are too many to keep; at most {MAX_EVENTS_KEPT} are allowed"
        ))),
        Mutation::Report(report) => check_report(report),
        Mutation::ReportOf { others, .. } if others.len() > MAX_SOURCES => Err(bad(format!(
            "a report wants jobs of {} sources; at most {MAX_SOURCES} are allowed",
            others.len()
        ))),
        Mutation::ReportOf { report, .. } => check_report(report),
        Mutation::Shares { report, .. } => check_shares(report),
        Mutation::Once { write, .. } => check(&Mutation::from(write.clone()), known),
        // A program that applies it would have to stop.
        Mutation::RaiseVersion { to } if *to > known => Err(bad(format!(
            "cluster version {to} is not known to this node, which knows versions up to {known}; install a newer release on all nodes first"
        ))),
        _ => Ok(()),
    }
}

fn check_spec(spec: &CrawlSpec) -> Result<(), ApiError> {
    let rule = spec.follow.as_deref().unwrap_or_default();
    for (what, bytes, most) in
        [("the crawl's name", spec.name.len(), MAX_NAME), ("the follow rule", rule.len(), MAX_RULE)]
    {
        if bytes > most {
            return Err(bad(format!("{what} has {bytes} bytes; at most {most} are allowed; shorten it")));
        }
    }
    Ok(())
}

/// Refuses a command that is too long for the log: its entry must fit into every message between nodes.
pub(super) fn check_size(bytes: usize) -> Result<(), ApiError> {
    if bytes > MAX_COMMAND {
        return Err(bad(format!(
            "the command has {bytes} bytes; at most {MAX_COMMAND} are allowed; send what it carries in several calls"
        )));
    }
    Ok(())
}

fn check_report(report: &Report) -> Result<(), ApiError> {
    if report.findings.len() > MAX_FINDINGS {
        return Err(bad(format!(
            "a report has {} findings; at most {MAX_FINDINGS} are allowed",
            report.findings.len()
        )));
    }
    let discovered: usize = report.findings.iter().map(|(_, _, finding)| accounts(finding)).sum();
    if discovered > MAX_DISCOVERED {
        return Err(bad(format!(
            "a report discovers {discovered} accounts; at most {MAX_DISCOVERED} are allowed"
        )));
    }
    report.findings.iter().try_for_each(|(_, _, finding)| check_finding(finding))
}

fn check_shares(report: &ShareReport) -> Result<(), ApiError> {
    let too_many = |what: &str, count: usize, most: usize| {
        Err(bad(format!("a report on shared budgets has {count} {what}; at most {most} are allowed")))
    };
    if report.budgets.len() > MAX_SHARED {
        return too_many("budgets", report.budgets.len(), MAX_SHARED);
    }
    for budget in &report.budgets {
        if budget.events.len() > MAX_SHARE_EVENTS {
            return too_many("events of one budget", budget.events.len(), MAX_SHARE_EVENTS);
        }
        if budget.budget.len() > MAX_BUDGET_NAME {
            return too_many("bytes in the name of a budget", budget.budget.len(), MAX_BUDGET_NAME);
        }
    }
    Ok(())
}

fn accounts(finding: &Finding) -> usize {
    match finding {
        Finding::Discovered { admitted, discarded, .. } => admitted.len() + discarded.len(),
        _ => 0,
    }
}

fn check_finding(finding: &Finding) -> Result<(), ApiError> {
    let (progress, after_ms): (Option<&Progress>, u64) = match finding {
        Finding::Advanced(progress) | Finding::Discovered { progress, .. } => (Some(progress), 0),
        Finding::Limited { progress, after_ms } => (progress.as_ref(), *after_ms),
        Finding::Failed { progress, after_ms, reason, .. } => {
            if reason.len() > MAX_REASON {
                return Err(bad(format!(
                    "a reason has {} bytes; at most {MAX_REASON} are allowed",
                    reason.len()
                )));
            }
            (progress.as_ref(), *after_ms)
        }
        Finding::HandedBack { progress } => (progress.as_ref(), 0),
        Finding::WaitsForHost { progress, host, after_ms, trouble } => {
            check_host(host, trouble)?;
            (progress.as_ref(), *after_ms)
        }
        Finding::Completed { .. }
        | Finding::Published
        | Finding::DraftLost
        | Finding::Gone(_)
        | Finding::InputMissing => (None, 0),
    };
    if after_ms > MAX_DELAY {
        return Err(bad(format!("a delay of {after_ms} ms is longer than a week")));
    }
    match progress {
        Some(p) if p.cursor.len() > MAX_CURSOR => {
            Err(bad(format!("a cursor has {} bytes; at most {MAX_CURSOR} are allowed", p.cursor.len())))
        }
        _ => Ok(()),
    }
}

fn check_host(host: &str, trouble: &HostTrouble) -> Result<(), ApiError> {
    if host.is_empty() || host.len() > MAX_HOST {
        return Err(bad(format!(
            "the name of a host has {} bytes; from 1 to {MAX_HOST} are allowed",
            host.len()
        )));
    }
    match trouble {
        HostTrouble::Away { reason, .. } if reason.len() > MAX_REASON => {
            Err(bad(format!("a reason has {} bytes; at most {MAX_REASON} are allowed", reason.len())))
        }
        _ => Ok(()),
    }
}

fn bad(text: String) -> ApiError {
    ApiError::BadRequest(text)
}

#[cfg(test)]
mod tests {
    use storage::ids::UserId;

    use super::*;
    use crate::model::{
        CLUSTER_VERSION, JobId, LeaseId, Operation, Operations, RequestId, SessionId, Traversal, Wants, Write,
    };

    #[test]
    fn a_write_is_bounded_within_a_request_id_too() {
        let request = RequestId { client: 1, sequence: 1 };
        let spec = |name: usize| CrawlSpec {
            name: "n".repeat(name),
            operations: Operations::only(Operation::Timeline),
            traversal: Traversal::Default,
            depth: None,
            follow: None,
            priority: 10,
            fingerprint: None,
            source: storage::dataset::SourceName::default(),
            spend_limit: None,
        };
        for (bytes, fits) in [(MAX_NAME, true), (MAX_NAME + 1, false)] {
            let write = Write::CreateCrawl { request, spec: spec(bytes) };
            let once = Mutation::Once { request, write: write.clone() };
            for mutation in [Mutation::from(write), once] {
                assert_eq!(check(&mutation, CLUSTER_VERSION).is_ok(), fits, "{bytes}");
            }
        }
    }

    #[test]
    fn a_report_is_bounded_in_findings_and_in_all_accounts_that_they_discover() {
        let discovered = |admitted: u64, discarded: u64| Finding::Discovered {
            admitted: (0..admitted).map(UserId::from).collect(),
            discarded: (0..discarded).map(UserId::from).collect(),
            progress: Progress { cursor: String::new(), draft: None },
        };
        let most = MAX_DISCOVERED as u64;
        let reports = [
            (vec![Finding::Published; MAX_FINDINGS], true),
            (vec![Finding::Published; MAX_FINDINGS + 1], false),
            (vec![discovered(most - 3, 3)], true),
            (vec![discovered(most - 3, 2), discovered(1, 0), Finding::Published], true),
            (vec![discovered(most - 3, 3), discovered(1, 0)], false),
            (vec![discovered(0, most + 1)], false),
        ];
        for (at, (findings, fits)) in reports.into_iter().enumerate() {
            let findings = findings.into_iter().map(|finding| (JobId(1), LeaseId(1), finding)).collect();
            let report = Report { session: SessionId(1), sequence: 1, findings, wants: Wants::NONE };
            assert_eq!(check(&Mutation::Report(report), CLUSTER_VERSION).is_ok(), fits, "report {at}");
        }
    }
}
