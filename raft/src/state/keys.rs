//! Keys of the records in the state store.
//!
//! A key is a tag, then big-endian numbers, so that related records lie together in order:
//!
//! A value is at most 64 KiB, which each kind keeps by what bounds its parts; a number takes 10 bytes at the most:
//!
//! | key | value | largest, bytes, and why |
//! |---|---|---|
//! | `m` | applied log id and membership (written by the consensus layer) | its own |
//! | `h` | [`Head`](super::Head) | 45,000: 256 drained nodes, 1,024 absent storages, 1,024 nodes with their storage |
//! | `k` | the first crawl whose analyses write files | 10: a number |
//! | `r` | remembered answers | 58,000: 1,024 of a request id and a short refusal |
//! | `b` | the roster | 45,000: 64 changes under way with an address of 260, 1,000 departed disks |
//! | `c` crawl | crawl record | 5,200: a name of 256, a rule of 4,096, some 40 numbers |
//! | `q`, `f` crawl, segment | a segment of the queue, of the frontier | 4,200: [`IdSegment`](storage::ids::IdSegment) |
//! | `s` crawl, level, run, block | a block of a run of the seen-set | 4,096: [`run`](storage::ids::run) |
//! | `t` crawl, id | a text id of the seen-set | none; 264 in the key |
//! | `d` crawl | a mark: the crawl was deleted, its records have to leave the store | none |
//! | `l` crawl, host, segment | a segment of the accounts that wait for a host | 4,200: [`IdSegment`](storage::ids::IdSegment) |
//! | `i` host | host record | 3,700: a name of 260, a reason of 256, 256 jobs let out |
//! | `j` job | job record | 12,000: a cursor of 4,096, 256 storages without the input, 4 reasons of 512 |
//! | `n` session | session record | 19,000: 1,024 granted jobs, 8 KiB of stale positions |
//! | `e`, `g` crawl, account | failed, gone account | 2,600: an id of 255, 4 reasons of 512 |
//! | `w` budget | a shared budget | 24,000: 1,024 sessions that hold a share of it |
//! | `v` session | a session's last report on shares | 4,500: 64 answers of 70 |
//! | `u` | the scalars of shared budgets | 50 |
//! | `p` | the outbox's scalars | 100 |
//! | `x` kind, name or ids | money: an app, a crawl, a session, or a block that a session holds | 13,000: 64 outcomes, marks and apps of a session, each with a name of 64 |
//! | `o` block | a block of events in the outbox | 39,000: 32 KiB and one event, of a name or a cursor and a reason |

use storage::ids::UserId;

use crate::model::{CrawlId, JobId, SessionId};

use super::hosts::HostId;

/// The smallest key: whatever is written in key order starts with it.
pub(super) const SEAL: &[u8] = b"a";
pub(super) const HEAD: &[u8] = b"h";
pub(super) const PROFILES: &[u8] = b"k";
pub(super) const REQUESTS: &[u8] = b"r";
pub(super) const ROSTER: &[u8] = b"b";
pub(super) const OUTBOX_HEAD: &[u8] = b"p";
pub(super) const CRAWL: u8 = b'c';
pub(super) const QUEUE: u8 = b'q';
pub(super) const FRONTIER: u8 = b'f';
pub(super) const PARKED: u8 = b'l';
pub(super) const HOST: u8 = b'i';
pub(super) const SEEN_RUN: u8 = b's';
pub(super) const SEEN_TEXT: u8 = b't';
pub(super) const JOB: u8 = b'j';
pub(super) const SESSION: u8 = b'n';
pub(super) const ERROR: u8 = b'e';
pub(super) const GONE: u8 = b'g';
pub(super) const OUTBOX: u8 = b'o';
pub(super) const DELETED: u8 = b'd';
pub(super) const MONEY: u8 = b'x';
pub(super) const SHARED_BUDGET: u8 = b'w';
pub(super) const SHARE_REPORT: u8 = b'v';
pub(super) const SHARE_HEAD: &[u8] = b"u";

fn tagged(tag: u8, numbers: &[u64]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + 8 * numbers.len());
    key.push(tag);
    for n in numbers {
        key.extend_from_slice(&n.to_be_bytes());
    }
    key
}

pub(super) fn crawl(id: CrawlId) -> Vec<u8> {
    tagged(CRAWL, &[id.0])
}

pub(super) fn deleted(id: CrawlId) -> Vec<u8> {
    tagged(DELETED, &[id.0])
}

pub(super) fn job(id: JobId) -> Vec<u8> {
    tagged(JOB, &[id.0])
}

pub(super) fn session(id: SessionId) -> Vec<u8> {
    tagged(SESSION, &[id.0])
}

pub(super) fn shared_budget(name: &str) -> Vec<u8> {
    let mut key = vec![SHARED_BUDGET];
    key.extend_from_slice(name.as_bytes());
    key
}

pub(super) fn share_report(id: SessionId) -> Vec<u8> {
    tagged(SHARE_REPORT, &[id.0])
}

pub(super) fn outbox_block(number: u64) -> Vec<u8> {
    tagged(OUTBOX, &[number])
}

/// A segment's number can be negative, in front of the first; the sign bit is flipped so that keys keep the
/// order of numbers.
pub(super) fn segment(tag: u8, crawl: CrawlId, number: i64) -> Vec<u8> {
    tagged(tag, &[crawl.0, (number as u64) ^ (1 << 63)])
}

/// The number at the end of the key of a segment.
pub(super) fn segment_number(key: &[u8]) -> Option<i64> {
    Some((number_at(key, key.len().checked_sub(8)?)? ^ (1 << 63)) as i64)
}

/// A segment of the accounts of a crawl that wait for a host.
pub(super) fn parked(crawl: CrawlId, host: HostId, number: i64) -> Vec<u8> {
    tagged(PARKED, &[crawl.0, host.0, (number as u64) ^ (1 << 63)])
}

pub(super) fn host(id: HostId) -> Vec<u8> {
    tagged(HOST, &[id.0])
}

pub(super) fn seen_block(crawl: CrawlId, level: u8, run: u64, block: u32) -> Vec<u8> {
    let mut key = tagged(SEEN_RUN, &[crawl.0]);
    key.push(level);
    key.extend_from_slice(&run.to_be_bytes());
    key.extend_from_slice(&block.to_be_bytes());
    key
}

pub(super) fn seen_text(crawl: CrawlId, id: &str) -> Vec<u8> {
    let mut key = tagged(SEEN_TEXT, &[crawl.0]);
    key.extend_from_slice(id.as_bytes());
    key
}

/// The account's part of the key of a failed or gone account: numbers before texts, each in order.
pub(super) fn account(tag: u8, crawl: CrawlId, user: &UserId) -> Vec<u8> {
    let mut key = tagged(tag, &[crawl.0]);
    match user {
        UserId::Number(n) => {
            key.push(1);
            key.extend_from_slice(&n.to_be_bytes());
        }
        UserId::Text(text) => {
            key.push(2);
            key.extend_from_slice(text.as_bytes());
        }
    }
    key
}

/// The range of keys with a tag and a crawl.
pub(super) fn of_crawl(tag: u8, crawl: CrawlId) -> (Vec<u8>, Vec<u8>) {
    let end = crawl.0.checked_add(1).map_or(vec![tag + 1], |next| tagged(tag, &[next]));
    (tagged(tag, &[crawl.0]), end)
}

/// The range of keys with a tag.
pub(super) fn of_tag(tag: u8) -> (Vec<u8>, Vec<u8>) {
    (vec![tag], vec![tag + 1])
}

/// A key in hexadecimal, for messages.
pub(super) fn text(key: &[u8]) -> String {
    key.iter().map(|b| format!("{b:02x}")).collect()
}

/// The big-endian number at an offset of a key.
pub(super) fn number_at(key: &[u8], offset: usize) -> Option<u64> {
    let bytes = key.get(offset..offset + 8)?;
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_two_kinds_never_share_a_tag() {
        let alone = [SEAL, HEAD, PROFILES, REQUESTS, ROSTER, OUTBOX_HEAD, SHARE_HEAD, b"m"].map(|key| key[0]);
        let tags = [
            CRAWL,
            QUEUE,
            FRONTIER,
            PARKED,
            HOST,
            SEEN_RUN,
            SEEN_TEXT,
            JOB,
            SESSION,
            ERROR,
            GONE,
            OUTBOX,
            DELETED,
            MONEY,
            SHARED_BUDGET,
            SHARE_REPORT,
        ];
        let all: std::collections::BTreeSet<u8> = alone.into_iter().chain(tags).collect();
        assert_eq!(all.len(), alone.len() + tags.len());
    }

    #[test]
    fn segments_keep_their_order_across_zero() {
        let numbers = [-5i64, -1, 0, 1, 300];
        let keys: Vec<_> = numbers.iter().map(|&n| segment(QUEUE, CrawlId(1), n)).collect();
        assert!(keys.is_sorted());
        assert_eq!(keys.iter().filter_map(|k| segment_number(k)).collect::<Vec<_>>(), numbers);
    }
}
