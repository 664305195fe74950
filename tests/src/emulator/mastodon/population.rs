//! The accounts of all hosts.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;

use super::{FediverseOptions, HostKind, ids};
use crate::emulator::world::{Synthetic, World, draw, unit};
use crate::emulator::{EmulatorError, SyntheticOptions};

/// The address of host 0, which there is not.
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 0);
/// The host of followers beyond the population.
const AWAY: &str = "away.test";
/// Names of accounts, in mixed case.
const NAMES: [&str; 8] = ["ada", "Bruno", "carla", "Dario", "eva_", "Franz", "gina", "HUGO"];

/// Purposes of random numbers.
mod purpose {
    pub const NAME: u64 = 0x6d61_7374_0001;
    pub const SUSPENDED: u64 = 0x6d61_7374_0002;
    pub const HIDDEN: u64 = 0x6d61_7374_0003;
}

/// What can be read of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Everything.
    Open,
    /// Its posts, but not its followers.
    HiddenFollowers,
    /// Nothing.
    Suspended,
}

/// The hosts and their accounts. Accounts are numbered from 1 over all hosts.
pub(super) struct Population {
    world: Synthetic,
    kinds: RwLock<BTreeMap<u32, HostKind>>,
    pub options: FediverseOptions,
}

impl Population {
    pub fn new(options: FediverseOptions) -> Result<Self, EmulatorError> {
        if options.hosts == 0 {
            return Err(EmulatorError::Setting("a fediverse has at least one host".to_owned()));
        }
        if let Some(host) = options.kinds.keys().find(|host| !(1..=options.hosts).contains(host)) {
            let what = format!("host {host} has a kind and does not exist; hosts are 1 to {}", options.hosts);
            return Err(EmulatorError::Setting(what));
        }
        let users = u64::from(options.hosts).saturating_mul(options.accounts);
        let world = Synthetic::new(SyntheticOptions {
            tweets_mean: options.posts_mean,
            followers_mean: options.followers_mean,
            celebrity: options.celebrity,
            ..SyntheticOptions::new(users, options.seed)
        })?;
        Ok(Self { world, kinds: RwLock::new(options.kinds.clone()), options })
    }

    /// The host with a name, or with the address 127.1.0.0 and its number.
    pub fn host(&self, domain: &str) -> Option<u32> {
        if let Ok(SocketAddr::V4(address)) = domain.parse::<SocketAddr>() {
            let number = u32::from(*address.ip()).checked_sub(u32::from(FIRST_ADDRESS))?;
            return (1..=self.options.hosts).contains(&number).then_some(number);
        }
        let domain = domain.to_ascii_lowercase();
        let number: u32 = domain.strip_prefix('h')?.strip_suffix(".test")?.parse().ok()?;
        ((1..=self.options.hosts).contains(&number) && domain == format!("h{number}.test")).then_some(number)
    }

    pub fn kind(&self, host: u32) -> HostKind {
        self.kinds.read().unwrap_or_else(PoisonError::into_inner).get(&host).copied().unwrap_or_default()
    }

    /// A host becomes another one.
    pub fn set_kind(&self, host: u32, kind: HostKind) {
        self.kinds.write().unwrap_or_else(PoisonError::into_inner).insert(host, kind);
    }

    pub fn domain(host: u32) -> String {
        format!("h{host}.test")
    }

    /// The host of an account of the population.
    pub fn home(&self, number: u64) -> u32 {
        let hosts = u64::from(self.options.hosts);
        u32::try_from((number - 1) % hosts).unwrap_or(0) + 1
    }

    pub fn home_domain(&self, number: u64) -> String {
        if number > self.world.count() { AWAY.to_owned() } else { Self::domain(self.home(number)) }
    }

    pub fn username(&self, number: u64) -> String {
        let name = draw(self.options.seed, number, purpose::NAME) % NAMES.len() as u64;
        format!("{}{number}", NAMES[name as usize])
    }

    /// The account with a name, ignoring case, whose home is this host.
    pub fn find(&self, host: u32, username: &str) -> Option<u64> {
        let digits = username.trim_start_matches(|c: char| !c.is_ascii_digit());
        let number: u64 = digits.parse().ok()?;
        let here = (1..=self.world.count()).contains(&number) && self.home(number) == host;
        (here && self.username(number).eq_ignore_ascii_case(username)).then_some(number)
    }

    /// The account of `user@domain`.
    pub fn find_acct(&self, acct: &str) -> Option<u64> {
        let (username, domain) = acct.split_once('@')?;
        self.find(self.host(domain)?, username)
    }

    /// `user@domain`.
    pub fn acct(&self, number: u64) -> String {
        format!("{}@{}", self.username(number), self.home_domain(number))
    }

    /// All accounts, by number.
    pub fn all(&self) -> std::ops::RangeInclusive<u64> {
        1..=self.world.count()
    }

    pub fn standing(&self, number: u64) -> Standing {
        let share = |purpose| unit(self.options.seed, number, purpose) * 100.0;
        if share(purpose::SUSPENDED) < self.options.suspended_percent {
            return Standing::Suspended;
        }
        match share(purpose::HIDDEN) < self.options.hidden_percent {
            true => Standing::HiddenFollowers,
            false => Standing::Open,
        }
    }

    /// Ids of all posts, newest first.
    pub fn posts(&self, number: u64) -> Vec<u64> {
        self.world.timeline_ids(number)
    }

    pub fn follower_count(&self, number: u64) -> u64 {
        self.world.follower_count(number)
    }

    /// Numbers of the followers from a position on, newest first.
    pub fn followers(&self, number: u64, position: u64, len: usize) -> Vec<u64> {
        let mut followers = Vec::new();
        self.world.followers(number, position, len, &mut followers);
        followers
    }

    /// Ids of the posts that a full crawl holds, as the home spells them.
    pub fn expected_posts(&self, number: u64) -> Vec<String> {
        if self.standing(number) == Standing::Suspended {
            return Vec::new();
        }
        let home = self.home(number);
        self.posts(number).into_iter().map(|post| self.spelled(home, post)).collect()
    }

    /// The followers that a full crawl holds, as `user@domain`.
    pub fn expected_followers(&self, number: u64) -> Vec<String> {
        if self.standing(number) != Standing::Open {
            return Vec::new();
        }
        let followers = self.followers(number, 0, usize::MAX);
        followers.into_iter().map(|follower| self.acct(follower)).collect()
    }

    /// An id as a host spells it.
    pub fn spelled(&self, host: u32, id: u64) -> String {
        if self.kind(host) == HostKind::GoToSocial { ids::to_ulid(id) } else { id.to_string() }
    }

    /// An id from the spelling of a host.
    pub fn read_id(&self, host: u32, text: &str) -> Option<u64> {
        if self.kind(host) == HostKind::GoToSocial { ids::from_ulid(text) } else { text.parse().ok() }
    }

    /// A few words that depend on the account and a post.
    pub fn words(&self, number: u64, post: u64) -> Bytes {
        let mut text = String::new();
        for word in 0..6 + draw(post, number, 0) % 30 {
            let letters = draw(post, number, word + 1);
            text.push(if word % 7 == 3 { '\u{e8}' } else { char::from(b'a' + (letters % 26) as u8) });
            text.extend((0..letters / 32 % 8).map(|at| char::from(b'a' + (letters >> (8 + at)) as u8 % 26)));
            text.push(' ');
        }
        text.into()
    }
}
