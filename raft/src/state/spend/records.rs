//! The ledger in the state store: a record for each app, crawl, session and block.

use storage::planted::{Bug, planted};
use storage::state::StateStore;

use super::super::checksum::Checksum;
use super::super::keys;
use super::super::persist::{Changes, LoadError, scan};
use super::{BlockKey, Spend};
use crate::model::{AppName, CrawlId, SessionId};

/// A record's key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    App(AppName),
    Crawl(CrawlId),
    Session(SessionId),
    Block(BlockKey),
}

const APP: u8 = 1;
const CRAWL: u8 = 2;
const SESSION: u8 = 3;
const BLOCK: u8 = 4;

impl Key {
    fn stored(&self) -> Vec<u8> {
        let mut key = vec![keys::MONEY];
        match self {
            Self::App(name) => {
                key.push(APP);
                key.extend_from_slice(name.as_bytes());
            }
            Self::Crawl(CrawlId(id)) => {
                key.push(CRAWL);
                key.extend_from_slice(&id.to_be_bytes());
            }
            Self::Session(SessionId(id)) => {
                key.push(SESSION);
                key.extend_from_slice(&id.to_be_bytes());
            }
            Self::Block((SessionId(session), app, CrawlId(crawl))) => {
                key.push(BLOCK);
                key.extend_from_slice(&session.to_be_bytes());
                key.extend_from_slice(&crawl.to_be_bytes());
                key.extend_from_slice(app.as_bytes());
            }
        }
        key
    }

    fn read(stored: &[u8]) -> Option<Self> {
        let text = |from: usize| std::str::from_utf8(stored.get(from..)?).ok().map(AppName::from);
        let number = |at: usize| keys::number_at(stored, at);
        Some(match *stored.get(1)? {
            APP => Self::App(text(2)?),
            CRAWL => Self::Crawl(CrawlId(number(2)?)),
            SESSION => Self::Session(SessionId(number(2)?)),
            BLOCK => Self::Block((SessionId(number(2)?), text(18)?, CrawlId(number(10)?))),
            _ => return None,
        })
    }
}

impl Spend {
    /// Loads the ledger of the last checkpoint.
    pub(in super::super) fn load(store: &dyn StateStore) -> Result<Self, LoadError> {
        let mut spend = Self::default();
        for entry in scan(store, keys::of_tag(keys::MONEY)) {
            let (key, value) = entry?;
            let damaged = || LoadError::damaged("record of money", &key);
            let undecoded = |_| damaged();
            match Key::read(&key).ok_or_else(damaged)? {
                Key::App(name) => {
                    spend.apps.insert(name, postcard::from_bytes(&value).map_err(undecoded)?);
                }
                Key::Crawl(id) => {
                    spend.crawls.insert(id, postcard::from_bytes(&value).map_err(undecoded)?);
                }
                Key::Session(id) => {
                    spend.sessions.insert(id, postcard::from_bytes(&value).map_err(undecoded)?);
                }
                Key::Block(block) => {
                    spend.blocks.insert(block, postcard::from_bytes(&value).map_err(undecoded)?);
                }
            }
        }
        Ok(spend)
    }

    /// Writes what has changed since the last checkpoint.
    pub(in super::super) fn freeze(&mut self, changes: &mut Changes) {
        for key in std::mem::take(&mut self.changed) {
            if planted(Bug::MoneyNotSaved) {
                continue;
            }
            let stored = key.stored();
            let kind = "record of money";
            match &key {
                Key::App(name) => match self.apps.get(name) {
                    Some(book) => changes.put_record(kind, stored, book),
                    None => changes.delete(stored),
                },
                Key::Crawl(id) => match self.crawls.get(id) {
                    Some(book) => changes.put_record(kind, stored, book),
                    None => changes.delete(stored),
                },
                Key::Session(id) => match self.sessions.get(id) {
                    Some(book) => changes.put_record(kind, stored, book),
                    None => changes.delete(stored),
                },
                Key::Block(block) => match self.blocks.get(block) {
                    Some(held) => changes.put_record(kind, stored, held),
                    None => changes.delete(stored),
                },
            }
        }
    }

    /// A checksum of all of it; absent while there was no money, as in a program that does not know of it.
    pub(in super::super) fn sum(&self) -> Option<u64> {
        let Self { apps, crawls, sessions, blocks, changed: _ } = self;
        let empty = apps.is_empty() && crawls.is_empty() && sessions.is_empty() && blocks.is_empty();
        let mut sum = Checksum::default();
        sum.record(apps).record(crawls).record(sessions).record(blocks);
        (!empty).then(|| sum.finish())
    }

    /// Whether it is that of another replica.
    #[cfg(test)]
    pub(in super::super) fn is_same(&self, other: &Self) -> bool {
        let parts = |spend: &Self| {
            let Self { apps, crawls, sessions, blocks, changed: _ } = spend.clone();
            (apps, crawls, sessions, blocks)
        };
        parts(self) == parts(other)
    }
}
