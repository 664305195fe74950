//! How much one call may carry. Decoding refuses more before it makes room for it.

use std::fmt;
use std::marker::PhantomData;

use super::Purpose;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Longest command of the log, encoded, bytes. A node refuses what would become a longer one.
pub const MAX_COMMAND: usize = 1 << 20;
/// Bytes, encoded, from which on a sender begins another call: half of the longest command.
pub const FULL_COMMAND: usize = MAX_COMMAND / 2;
/// Most accounts in one chunk of targets.
pub const MAX_TARGETS: usize = 10_000;
/// Most findings in one report.
pub const MAX_FINDINGS: usize = 4_096;
/// Most accounts discovered in one report.
pub const MAX_DISCOVERED: usize = 20_000;
/// Most screen names in one call: a call must not outlast the patience of a client.
pub const MAX_NAMES: usize = 100;
/// Most leases in one question.
pub const MAX_LEASES: usize = 10_000;
/// Longest name of a crawl, bytes.
pub const MAX_NAME: usize = 256;
/// Longest follow rule, bytes.
pub const MAX_RULE: usize = 4_096;

/// Longest frame that a node takes on a connection for this purpose, bytes. A longer one ends the connection before it
/// is read.
pub fn longest_frame(purpose: Purpose) -> usize {
    match purpose {
        // A command, and what a call has around it.
        Purpose::Api | Purpose::Forward => 2 * MAX_COMMAND,
        // A batch of entries, of up to 4 MiB of commands.
        Purpose::Replication => 5 << 20,
        // Votes and heartbeats; the nodes of a cluster that is formed.
        Purpose::Control | Purpose::Joining => 64 << 10,
        // Chunks of 1 MiB.
        Purpose::Snapshot => 2 << 20,
    }
}

/// Bytes that an answer to a query takes at most, but for a few.
pub(super) const QUERY_ANSWER: usize = 1 << 20;

/// Bytes that a frame and what it is decoded to take at most, while its call is under way.
///
/// A call's sequences are bounded, and so is what their elements take beyond their bytes; the smallest of them take
/// some 40 times what they are encoded to. Messages of Raft are bytes inside, and are decoded once.
pub(super) fn decoded_size(purpose: Purpose, frame: usize) -> usize {
    match purpose {
        Purpose::Api | Purpose::Forward => frame + (40 * frame).min(2 << 20),
        _ => 2 * frame,
    }
}

/// Bytes that a value takes in a call or in the log.
pub fn encoded_size(value: &impl Serialize) -> usize {
    // Nothing of the model refuses to be encoded; what did would be refused by the transport as well.
    postcard::serialize_with_flavor(value, postcard::ser_flavors::Size::default()).unwrap_or(usize::MAX)
}

/// Bytes that a sequence takes at most before its first element is decoded.
const RESERVED: usize = 64 << 10;

/// Decodes a sequence of at most `MOST`.
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
        // What was told may be a lie: no more than this is taken before the elements are there.
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
