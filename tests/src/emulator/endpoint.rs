//! The endpoints, each counted and limited separately.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An endpoint of the API, the unit of rate limits and counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// `statuses/user_timeline.json`
    Timeline,
    /// `followers/ids.json`
    Followers,
    /// `users/lookup.json`
    Lookup,
    /// `users/show.json`
    Show,
    /// `application/rate_limit_status.json`
    Limits,
}

impl Endpoint {
    /// All endpoints, in the order of [`index`](Self::index).
    pub const ALL: [Self; 5] = [Self::Timeline, Self::Followers, Self::Lookup, Self::Show, Self::Limits];

    /// Position in [`ALL`](Self::ALL), for tables.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The name in specifications and counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timeline => "timeline",
            Self::Followers => "followers",
            Self::Lookup => "lookup",
            Self::Show => "show",
            Self::Limits => "limits",
        }
    }

    /// The path below `/1/` or `/1.1/`.
    pub fn path(self) -> &'static str {
        match self {
            Self::Timeline => "statuses/user_timeline.json",
            Self::Followers => "followers/ids.json",
            Self::Lookup => "users/lookup.json",
            Self::Show => "users/show.json",
            Self::Limits => "application/rate_limit_status.json",
        }
    }

    /// Family and name under which `rate_limit_status.json` reports the endpoint (API v1.1).
    pub(super) fn resource(self) -> (&'static str, &'static str) {
        match self {
            Self::Timeline => ("statuses", "/statuses/user_timeline"),
            Self::Followers => ("followers", "/followers/ids"),
            Self::Lookup => ("users", "/users/lookup"),
            Self::Show => ("users", "/users/show/:id"),
            Self::Limits => ("application", "/application/rate_limit_status"),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|e| e.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("{text:?} is no endpoint; choose among {names}")
        })
    }
}
