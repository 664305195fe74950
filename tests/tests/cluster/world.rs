//! What clusters crawl here.

use std::collections::BTreeSet;

use serde_json::Value;
use twm_tests::emulator::{Builder, Emulator, Fault, FaultRule, SyntheticOptions};

/// How a test ends.
pub type Test = anyhow::Result<()>;

/// Some accounts with few tweets and followers each; followers come five a page.
pub fn accounts(users: u64) -> Builder {
    let options =
        SyntheticOptions { tweets_mean: 40.0, followers_mean: 8.0, ..SyntheticOptions::new(users, 7) };
    Emulator::builder().synthetic(options).page_size(5).count_users(true)
}

/// Every answer takes so many milliseconds, so that a crawl lasts.
pub fn slow(millis: u64) -> Vec<FaultRule> {
    vec![FaultRule::new(Fault::LatencyMs(millis))]
}

/// All accounts of a population.
pub fn everyone(emulator: &Emulator) -> Vec<u64> {
    emulator.users(0, u64::MAX)
}

/// The followers of these accounts that are none of them.
pub fn followers(emulator: &Emulator, accounts: &[u64]) -> BTreeSet<u64> {
    let all = accounts.iter().flat_map(|account| emulator.expected_followers(*account));
    all.filter(|follower| !accounts.contains(follower)).collect()
}

/// An account's profile.
pub fn profile(emulator: &Emulator, account: u64) -> Value {
    emulator.profile(account).and_then(|profile| serde_json::from_str(&profile).ok()).unwrap_or(Value::Null)
}
