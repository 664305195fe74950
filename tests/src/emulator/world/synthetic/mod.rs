//! A population of any size, computed from a seed without stored state per account.

mod options;
mod permutation;
mod tail;
mod template;
mod timeline;

use std::collections::VecDeque;

use bytes::Bytes;

pub use options::{IdScheme, SyntheticOptions};

use super::draw::{below, draw, unit};
use super::profile::Profile;
use super::vocabulary::{FIRST_NAMES, Language, language};
use super::{TIMELINE_REACH, TimelinePage, World};
use crate::emulator::EmulatorError;
use crate::emulator::body::Parts;
use permutation::Permutation;
use tail::Tail;
use template::Templates;
use timeline::Timeline;

/// Bits of hashed ids. Like real ids, they fit well within a signed 64-bit number.
const HASHED_ID_BITS: u32 = 61;
/// Follower counts of real networks follow a power law with an exponent of about 2.3 (Kwak et al., 2010),
/// which is this shape plus one.
const FOLLOWERS_SHAPE: f64 = 1.3;
const TWEETS_SHAPE: f64 = 1.5;

/// Purposes of random numbers.
mod purpose {
    pub const TWEETS: u64 = 1;
    pub const MORE_STATUSES: u64 = 2;
    pub const FOLLOWERS: u64 = 3;
    pub const WHO_FOLLOWS: u64 = 4;
    pub const LANGUAGE: u64 = 5;
    pub const NAME: u64 = 6;
    pub const IDS: u64 = 7;
    pub const TEMPLATES: u64 = 8;
    pub const TIMES: u64 = 9;
}

/// The population. Accounts are numbered from 1; number and id can be computed from each other.
pub(in crate::emulator) struct Synthetic {
    options: SyntheticOptions,
    hashed: Option<Permutation>,
    tweets: Tail,
    followers: Tail,
    /// Accounts that can be followers: the population and those outside it.
    reachable: u64,
    templates: Templates,
}

impl Synthetic {
    pub fn new(options: SyntheticOptions) -> Result<Self, EmulatorError> {
        options.check()?;
        let outside = (options.users as f64 * options.outside_percent / 100.0).round() as u64;
        let reachable = options.users + outside;
        let key = draw(options.seed, 0, purpose::IDS);
        Ok(Self {
            hashed: (options.ids == IdScheme::Hashed).then(|| Permutation::fixing_zero(HASHED_ID_BITS, key)),
            tweets: Tail::with_mean(options.tweets_mean, TWEETS_SHAPE, TIMELINE_REACH as u64),
            followers: Tail::with_mean(options.followers_mean, FOLLOWERS_SHAPE, reachable - 1),
            reachable,
            templates: Templates::new(draw(options.seed, 0, purpose::TEMPLATES)),
            options,
        })
    }

    fn id(&self, number: u64) -> u64 {
        self.hashed.map_or(number, |permutation| permutation.apply(number))
    }

    /// The account's number, if it belongs to the population.
    fn number(&self, id: u64) -> Option<u64> {
        let number = match self.hashed {
            Some(_) if id >> HASHED_ID_BITS != 0 => return None,
            Some(permutation) => permutation.invert(id),
            None => id,
        };
        (1..=self.options.users).contains(&number).then_some(number)
    }

    fn draw(&self, number: u64, purpose: u64) -> u64 {
        draw(self.options.seed, number, purpose)
    }

    fn language(&self, number: u64) -> &'static Language {
        language(self.draw(number, purpose::LANGUAGE))
    }

    fn screen_name(&self, number: u64) -> String {
        let first = FIRST_NAMES[below(self.draw(number, purpose::NAME), FIRST_NAMES.len())];
        format!("{first}{number}")
    }

    fn tweet_count(&self, number: u64) -> usize {
        self.tweets.at(unit(self.options.seed, number, purpose::TWEETS)) as usize
    }

    fn follower_total(&self, number: u64) -> u64 {
        match self.options.celebrity {
            Some(followers) if number == 1 => followers,
            _ => self.followers.at(unit(self.options.seed, number, purpose::FOLLOWERS)),
        }
    }

    fn profile_of(&self, number: u64) -> String {
        let tweets = self.tweet_count(number);
        // An account with as many tweets as the API returns has written more than that.
        let hidden = self.draw(number, purpose::MORE_STATUSES) % 40_000;
        let hidden = if tweets == TIMELINE_REACH { hidden } else { 0 };
        let profile = Profile {
            id: self.id(number),
            screen_name: &self.screen_name(number),
            language: self.language(number),
            statuses: tweets as u64 + hidden,
            followers: self.follower_total(number),
            variety: self.options.seed,
        };
        profile.json()
    }

    fn timeline(&self, number: u64) -> Timeline<'_> {
        Timeline {
            count: self.tweet_count(number),
            key: self.draw(number, purpose::TIMES),
            language: self.language(number),
            templates: &self.templates,
        }
    }
}

impl World for Synthetic {
    fn count(&self) -> u64 {
        self.options.users
    }

    fn at(&self, position: u64) -> Option<u64> {
        (position < self.options.users).then(|| self.id(position + 1))
    }

    fn knows(&self, id: u64) -> bool {
        self.number(id).is_some()
    }

    fn find(&self, screen_name: &str) -> Option<u64> {
        let digits = screen_name.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let number: u64 = digits.parse().ok()?;
        let known = (1..=self.options.users).contains(&number);
        (known && self.screen_name(number).eq_ignore_ascii_case(screen_name)).then(|| self.id(number))
    }

    fn profile(&self, id: u64) -> Option<Bytes> {
        self.number(id).map(|number| self.profile_of(number).into())
    }

    fn timeline_page(&self, id: u64, page: TimelinePage) -> Parts {
        let Some(number) = self.number(id) else { return VecDeque::from([Bytes::from_static(b"[]")]) };
        let timeline = self.timeline(number);
        let selected = page.select(timeline.count, |position| timeline.id(position));
        VecDeque::from([timeline.page(selected, &self.profile_of(number))])
    }

    fn timeline_ids(&self, id: u64) -> Vec<u64> {
        let Some(number) = self.number(id) else { return Vec::new() };
        let timeline = self.timeline(number);
        (0..timeline.count).map(|position| timeline.id(position)).collect()
    }

    fn tweets(&self, id: u64) -> Vec<Bytes> {
        let Some(number) = self.number(id) else { return Vec::new() };
        let (timeline, profile) = (self.timeline(number), self.profile_of(number));
        (0..timeline.count).map(|position| timeline.tweet(position, &profile)).collect()
    }

    fn follower_count(&self, id: u64) -> u64 {
        self.number(id).map_or(0, |number| self.follower_total(number))
    }

    fn followers(&self, id: u64, offset: u64, len: usize, into: &mut Vec<u64>) {
        let Some(number) = self.number(id) else { return };
        let total = self.follower_total(number);
        // A permutation of all reachable accounts except this one: the first `total` follow it. Each follower
        // appears once, and any page can be computed directly.
        let others = (self.reachable - 1).max(total);
        let end = offset.saturating_add(len as u64).min(total);
        if offset >= end {
            return;
        }
        let order = Permutation::new(others, self.draw(number, purpose::WHO_FOLLOWS));
        into.extend((offset..end).map(|position| {
            let other = order.apply(position) + 1;
            self.id(if other >= number { other + 1 } else { other })
        }));
    }
}

#[cfg(test)]
mod tests;
