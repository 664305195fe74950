//! Settings of a synthetic population.

use crate::emulator::EmulatorError;

/// Maximum accounts of a population, so that arithmetic on account numbers does not overflow.
const MOST_USERS: u64 = 1 << 48;

/// Assignment of ids to accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdScheme {
    /// 1, 2, 3, ...
    #[default]
    Ascending,
    /// Scattered over 61 bits.
    Hashed,
}

/// A synthetic population.
#[derive(Debug, Clone)]
pub struct SyntheticOptions {
    /// Number of accounts; at least 1.
    pub users: u64,
    /// Determines everything that the other settings leave open.
    pub seed: u64,
    /// Assignment of ids to accounts.
    pub ids: IdScheme,
    /// Mean number of tweets per account, at most 3,200 each.
    pub tweets_mean: f64,
    /// Mean number of followers per account.
    pub followers_mean: f64,
    /// Followers of the first account. If there are more than all other accounts, the rest are unknown
    /// accounts.
    pub celebrity: Option<u64>,
    /// Unknown accounts among the followers, as a percentage of the population.
    pub outside_percent: f64,
}

impl SyntheticOptions {
    /// A population with the defaults: 240 tweets and 120 followers on average.
    pub fn new(users: u64, seed: u64) -> Self {
        Self {
            users,
            seed,
            ids: IdScheme::default(),
            tweets_mean: 240.0,
            followers_mean: 120.0,
            celebrity: None,
            outside_percent: 0.0,
        }
    }

    pub(super) fn check(&self) -> Result<(), EmulatorError> {
        let positive = |value: f64| value.is_finite() && value >= 0.0;
        let wrong = |what: &str| Err(EmulatorError::Setting(what.into()));
        if !(1..=MOST_USERS).contains(&self.users) {
            return wrong("a synthetic population has between 1 and 2^48 users");
        }
        if self.celebrity.is_some_and(|followers| followers > MOST_USERS) {
            return wrong("a celebrity has at most 2^48 followers");
        }
        if !positive(self.tweets_mean) || !positive(self.followers_mean) {
            return wrong("means of tweets and followers are numbers from 0 up");
        }
        if !(0.0..=1000.0).contains(&self.outside_percent) {
            return wrong("the share of unknown followers is between 0 and 1000 percent");
        }
        Ok(())
    }
}
