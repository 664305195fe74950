//! A world and the accounts that cannot be read.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::draw::unit;
use super::{TimelinePage, World};
use crate::emulator::body::Parts;

/// Whether the API lets an account be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) enum Standing {
    /// The account can be read.
    Open,
    /// Reading the account returns this status: 401 protected, 403 suspended, 404 not found.
    Gone(u16),
}

/// The accounts that are gone: listed ones, and a percentage of all others.
#[derive(Debug, Clone, Default)]
pub(in crate::emulator) struct Gone {
    /// Status by account.
    pub listed: BTreeMap<u64, u16>,
    /// Percentage of accounts that answer 401.
    pub protected_percent: f64,
    /// Percentage of accounts that answer 404.
    pub missing_percent: f64,
    /// Chooses which.
    pub seed: u64,
}

/// The accounts as the API shows them.
pub(in crate::emulator) struct Accounts {
    world: Box<dyn World>,
    gone: Gone,
}

impl Accounts {
    pub fn new(world: Box<dyn World>, gone: Gone) -> Self {
        Self { world, gone }
    }

    pub fn standing(&self, id: u64) -> Standing {
        const PURPOSE: u64 = 0x676f_6e65;
        if let Some(&status) = self.gone.listed.get(&id) {
            return Standing::Gone(status);
        }
        if !self.world.knows(id) {
            return Standing::Gone(404);
        }
        let percent = unit(self.gone.seed, id, PURPOSE) * 100.0;
        match percent - self.gone.protected_percent {
            below if below < 0.0 => Standing::Gone(401),
            below if below < self.gone.missing_percent => Standing::Gone(404),
            _ => Standing::Open,
        }
    }

    pub fn is_open(&self, id: u64) -> bool {
        self.standing(id) == Standing::Open
    }

    /// Number of accounts of the world, including those that its files list as gone.
    pub fn count(&self) -> u64 {
        self.world.count()
    }

    pub fn at(&self, position: u64) -> Option<u64> {
        self.world.at(position)
    }

    /// Whether the account is in the world or listed as gone.
    pub fn lists(&self, id: u64) -> bool {
        self.world.knows(id) || self.gone.listed.contains_key(&id)
    }

    pub fn find(&self, screen_name: &str) -> Option<u64> {
        self.world.find(screen_name)
    }

    /// The profile, which protected accounts also have.
    pub fn profile(&self, id: u64) -> Option<Bytes> {
        match self.standing(id) {
            Standing::Open => self.world.profile(id),
            Standing::Gone(401) => self.world.profile(id).map(|profile| mark_protected(&profile)),
            Standing::Gone(_) => None,
        }
    }

    pub fn timeline_page(&self, id: u64, page: TimelinePage) -> Parts {
        self.world.timeline_page(id, page)
    }

    /// Ids that a full crawl of the timeline finds, newest first.
    pub fn timeline_ids(&self, id: u64) -> Vec<u64> {
        if self.is_open(id) { self.world.timeline_ids(id) } else { Vec::new() }
    }

    pub fn tweets(&self, id: u64) -> Vec<Bytes> {
        if self.is_open(id) { self.world.tweets(id) } else { Vec::new() }
    }

    /// Number of followers that a full crawl finds.
    pub fn follower_count(&self, id: u64) -> u64 {
        if self.is_open(id) { self.world.follower_count(id) } else { 0 }
    }

    pub fn followers(&self, id: u64, offset: u64, len: usize, into: &mut Vec<u64>) {
        if self.is_open(id) {
            self.world.followers(id, offset, len, into);
        }
    }
}

fn mark_protected(profile: &Bytes) -> Bytes {
    match std::str::from_utf8(profile) {
        Ok(text) => Bytes::from(text.replacen("\"protected\":false", "\"protected\":true", 1)),
        Err(_) => profile.clone(),
    }
}
