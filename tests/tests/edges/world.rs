//! What is crawled here.

use twm_tests::emulator::{Builder, Emulator, Fault, FaultRule, SyntheticOptions};

/// How a test ends.
pub type Test = anyhow::Result<()>;

/// An emulator of accounts with few tweets and followers each; followers come five a page.
pub fn accounts(users: u64) -> Builder {
    let population =
        SyntheticOptions { tweets_mean: 40.0, followers_mean: 8.0, ..SyntheticOptions::new(users, 7) };
    Emulator::builder().synthetic(population).page_size(5)
}

/// Every answer takes so many milliseconds, so that a crawl lasts.
pub fn slow(millis: u64) -> Vec<FaultRule> {
    vec![FaultRule::new(Fault::LatencyMs(millis))]
}

/// All accounts of a population.
pub fn everyone(emulator: &Emulator) -> Vec<u64> {
    emulator.users(0, u64::MAX)
}
