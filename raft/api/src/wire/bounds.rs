//! Upper bounds of a call. Decoding rejects what exceeds them before it allocates.

use std::fmt;
use std::marker::PhantomData;

use super::Purpose;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Longest encoded command of the log, bytes. A node refuses a longer one.
pub const MAX_COMMAND: usize = 1 << 20;
/// Encoded size at which a sender starts another call, bytes: half of the longest command.
pub const FULL_COMMAND: usize = MAX_COMMAND / 2;
/// Most accounts in one chunk of targets.
pub const MAX_TARGETS: usize = 10_000;
/// Most findings in one report.
pub const MAX_FINDINGS: usize = 4_096;
/// Most accounts discovered in one report.
pub const MAX_DISCOVERED: usize = 20_000;
/// Most screen names in one call, so that it finishes within the client's timeout.
pub const MAX_NAMES: usize = 100;
/// Most sources in one report, besides the default one.
pub const MAX_SOURCES: usize = 64;
/// Most shared budgets in one report about them.
pub const MAX_SHARED: usize = 64;
/// Most events of one shared budget in such a report.
pub const MAX_SHARE_EVENTS: usize = 64;
/// Longest name of a shared budget, bytes.
pub const MAX_BUDGET_NAME: usize = 512;
/// Most leases in one query.
pub const MAX_LEASES: usize = 10_000;
/// Longest cursor of a job, bytes: a job's record has to fit in one value of the state store.
pub const MAX_CURSOR: usize = 1_024;
/// Longest name of a host for which jobs wait, bytes: that of the DNS, and a port.
pub const MAX_HOST: usize = 260;
/// Longest name of a crawl, bytes.
pub const MAX_NAME: usize = 256;
/// Longest follow rule, bytes.
pub const MAX_RULE: usize = 4_096;

/// Longest frame that a node accepts on a connection of this purpose, bytes. A longer one ends the connection before
/// it is read.
pub fn longest_frame(purpose: Purpose) -> usize {
    match purpose {
        // A command with the overhead of a call.
        Purpose::Api | Purpose::Forward => 2 * MAX_COMMAND,
        // A batch of entries, of up to 4 MiB of commands.
        Purpose::Replication => 5 << 20,
        // Votes and heartbeats; the nodes of a cluster that is being formed.
        Purpose::Control | Purpose::Joining => 64 << 10,
        // Chunks of 1 MiB.
        Purpose::Snapshot => 2 << 20,
    }
}

/// Largest answer to a query, bytes, except for a small overhead.
pub(super) const QUERY_ANSWER: usize = 1 << 20;

/// Upper bound of the memory for a frame and its decoded value while the call is served, bytes.
///
/// The sequences of a call are bounded, and so is the memory of their elements; the smallest elements take about 40
/// times their encoded size. A leader copies a write before it proposes it, and keeps the call in case that another
/// leader has to serve it. Raft messages are opaque bytes and are decoded once.
pub(super) fn decoded_size(purpose: Purpose, frame: usize) -> usize {
    match purpose {
        Purpose::Api | Purpose::Forward => frame + 2 * (40 * frame).min(2 << 20),
        _ => 2 * frame,
    }
}

/// Encoded size of a value in a call or in the log, bytes.
pub fn encoded_size(value: &impl Serialize) -> usize {
    // No type of the model fails to encode; if one did, the transport would fail as well.
    postcard::serialize_with_flavor(value, postcard::ser_flavors::Size::default()).unwrap_or(usize::MAX)
}

/// Most bytes reserved for a sequence before its first element is decoded.
const RESERVED: usize = 64 << 10;

/// Decodes a sequence of at most `MOST` elements.
pub(crate) fn at_most<'de, const MOST: usize, T, D>(from: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    from.deserialize_seq(AtMost::<MOST, T>(PhantomData))
}

struct AtMost<const MOST: usize, T>(PhantomData<T>);

impl<'de, const MOST: usize, T: Deserialize<'de>> Visitor<'de> for AtMost<MOST, T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MOST} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
        let told = seq.size_hint().unwrap_or(0);
        if told > MOST {
            return Err(A::Error::invalid_length(told, &self));
        }
        // The announced length is untrusted: reserve no more than this before the elements arrive.
        let mut all = Vec::with_capacity(told.min(RESERVED / size_of::<T>().max(1)));
        while let Some(one) = seq.next_element()? {
            if all.len() == MOST {
                return Err(A::Error::invalid_length(MOST + 1, &self));
            }
            all.push(one);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use storage::ids::UserId;

    use super::*;
    use crate::model::{CrawlId, Finding, JobId, LeaseId, Query, Report, SessionId, Wants, Write};
    use crate::wire::{ApiRequest, NodeRequest};

    fn decoded(request: &ApiRequest) -> bool {
        postcard::from_bytes::<ApiRequest>(&postcard::to_stdvec(request).unwrap()).is_ok()
    }

    fn report(findings: usize) -> ApiRequest {
        let finding = (JobId(1), LeaseId(2), Finding::Published);
        let findings = vec![finding; findings];
        let report = Report { session: SessionId(1), sequence: 1, findings, wants: Wants::NONE };
        ApiRequest::Node { node: 1, request: NodeRequest::Report(report) }
    }

    #[test]
    fn a_request_with_more_than_it_may_carry_is_not_decoded() {
        let targets = |n| {
            let users = vec![UserId::Number(7); n];
            ApiRequest::Write(Write::AddTargets { crawl: CrawlId(1), chunk: 0, users, seeds: false })
        };
        let names = |n| ApiRequest::ResolveNames(vec!["n".to_owned(); n]);
        let leases = |n| ApiRequest::Query(Query::DraftsInUse(vec![LeaseId(1); n]));
        assert!(decoded(&targets(MAX_TARGETS)) && !decoded(&targets(MAX_TARGETS + 1)));
        assert!(decoded(&names(MAX_NAMES)) && !decoded(&names(MAX_NAMES + 1)));
        assert!(decoded(&leases(MAX_LEASES)) && !decoded(&leases(MAX_LEASES + 1)));
        assert!(decoded(&report(MAX_FINDINGS)) && !decoded(&report(MAX_FINDINGS + 1)));
    }

    #[test]
    fn the_size_that_is_told_is_the_size_that_is_sent() {
        let request = report(3);
        assert_eq!(encoded_size(&request), postcard::to_stdvec(&request).unwrap().len());
    }
}
