//! Counters of a crawler, for metrics and status.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::rate::{Delivery, RateInfo};
use crate::source::Endpoint;

/// Counters of a crawler since it was created.
#[derive(Debug, Default)]
pub struct CrawlCounters {
    tweets: AtomicU64,
    followers: AtomicU64,
    profiles: AtomicU64,
    requests: Mutex<BTreeMap<Asked, u64>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    endpoint: &'static str,
    address: Option<IpAddr>,
    status: Option<u16>,
}

/// Number of requests with the same outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestCount {
    /// Their endpoint.
    pub endpoint: &'static str,
    /// Their local address; `None` if the system chose it.
    pub address: Option<IpAddr>,
    /// HTTP status of the answers; `None` without an answer.
    pub status: Option<u16>,
    /// How many.
    pub count: u64,
}

impl RequestCount {
    /// Whether they succeeded.
    pub fn is_good(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

impl CrawlCounters {
    /// Tweets written to drafts.
    pub fn tweets(&self) -> u64 {
        self.tweets.load(Ordering::Relaxed)
    }

    /// Followers written to drafts.
    pub fn followers(&self) -> u64 {
        self.followers.load(Ordering::Relaxed)
    }

    /// Profiles looked up.
    pub fn profiles(&self) -> u64 {
        self.profiles.load(Ordering::Relaxed)
    }

    /// Requests by endpoint, address and status.
    pub fn requests(&self) -> Vec<RequestCount> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |(asked, count): (&Asked, &u64)| {
            let Asked { endpoint, address, status } = *asked;
            RequestCount { endpoint, address, status, count: *count }
        };
        requests.iter().map(count).collect()
    }

    pub(super) fn add_tweets(&self, count: u64) {
        self.tweets.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn add_followers(&self, count: u64) {
        self.followers.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn add_profiles(&self, count: usize) {
        self.profiles.fetch_add(count as u64, Ordering::Relaxed);
    }

    pub(super) fn add_request(&self, endpoint: Endpoint, address: Option<IpAddr>, rate: &RateInfo) {
        let status = match rate.delivery {
            Delivery::Answered(status) => Some(status),
            Delivery::NotSent | Delivery::Unanswered => None,
        };
        let asked = Asked { endpoint: name(endpoint), address, status };
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry(asked).or_default() += 1;
    }
}

fn name(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Timeline => "timeline",
        Endpoint::Followers => "followers",
        Endpoint::Lookup => "lookup",
        Endpoint::Resolve => "resolve",
        Endpoint::Repository => "repository",
        Endpoint::Locate => "locate",
    }
}
