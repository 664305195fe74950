//! What apps are charged.

use std::time::Duration;

/// Prices in millionths of a dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    /// A post, in `data` or in `includes`.
    pub post: u64,
    /// A user that was looked up or is in `includes`.
    pub user: u64,
    /// A user on a page of followers.
    pub follower: u64,
}

impl Default for Prices {
    /// The prices of August 2026: half a cent a post, one cent a user.
    fn default() -> Self {
        Self { post: 5_000, user: 10_000, follower: 10_000 }
    }
}

/// What an app was charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bill {
    /// Posts.
    pub posts: u64,
    /// Users that were looked up or included.
    pub users: u64,
    /// Followers.
    pub followers: u64,
}

impl Bill {
    /// The sum in millionths of a dollar.
    pub fn micros(&self, prices: &Prices) -> u64 {
        self.posts * prices.post + self.users * prices.user + self.followers * prices.follower
    }

    /// Adds another bill.
    pub fn add(&mut self, other: Self) {
        self.posts += other.posts;
        self.users += other.users;
        self.followers += other.followers;
    }
}

/// How an account is refused once its limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overdraft {
    /// 402: the credits are used up.
    Credits,
    /// 403: the spending limit of the billing cycle is reached; the answer names the date of the next one.
    #[default]
    SpendCap,
    /// 429: the usage cap of the product is reached (`UsageCapExceededProblem` of the specification).
    UsageCap,
}

/// The account's terms.
#[derive(Debug, Clone)]
pub struct Billing {
    /// Prices.
    pub prices: Prices,
    /// The most that all apps together spend in a cycle, in millionths of a dollar. The request that crosses it is
    /// served and charged whole.
    pub limit: Option<u64>,
    /// Length of a cycle. Cycles are counted from 1970 by the wall clock, which the `Date` headers show.
    pub cycle: Duration,
    /// How requests over the limit are refused.
    pub overdraft: Overdraft,
    /// Whether an object is charged once in a day (UTC), as the real API does mostly but without promising it.
    pub daily_deduplication: bool,
}

impl Default for Billing {
    fn default() -> Self {
        Self {
            prices: Prices::default(),
            limit: None,
            cycle: Duration::from_secs(30 * 86_400),
            overdraft: Overdraft::default(),
            daily_deduplication: false,
        }
    }
}

impl Billing {
    /// The number of the cycle at a moment, Unix seconds.
    pub(super) fn cycle_at(&self, unix: u64) -> u64 {
        unix / self.cycle.as_secs().max(1)
    }

    /// When the cycle after that one begins, Unix seconds.
    pub(super) fn end_of(&self, cycle: u64) -> u64 {
        (cycle + 1) * self.cycle.as_secs().max(1)
    }
}
