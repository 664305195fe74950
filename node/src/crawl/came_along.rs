//! Profiles that came with pages of followers, for the analysis that follows.
//!
//! An analysis of the same node need not look these accounts up. They are kept in memory alone, for a while: what is not there
//! any more is looked up.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use storage::ids::UserId;

use crate::source::Profile;

/// Most bytes of the profiles of a source.
const MOST_BYTES: usize = 32 << 20;
/// What a profile takes besides its objects, bytes.
const OVERHEAD: usize = 300;
/// How long a profile is used.
const USED_FOR: Duration = Duration::from_secs(3600);

/// The profiles of a source. When there is no room, those that came first are forgotten.
#[derive(Default)]
pub(super) struct CameAlong(Mutex<Held>);

#[derive(Default)]
struct Held {
    by_user: HashMap<UserId, Came>,
    /// Each account as often as it came; with the time of that.
    order: VecDeque<(UserId, Duration)>,
    bytes: usize,
}

#[derive(Clone)]
struct Came {
    profile: Profile,
    /// By the monotonic clock.
    at: Duration,
    /// Unix time.
    wall: Duration,
}

impl Came {
    fn bytes(&self) -> usize {
        let common = self.profile.common.as_ref().map_or(0, |common| common.get().len());
        OVERHEAD + common + self.profile.raw.get().len()
    }
}

impl CameAlong {
    /// Keeps profiles that came at this moment.
    pub(super) fn keep(&self, profiles: &[Profile], at: Duration, wall: Duration) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for profile in profiles {
            let came = Came { profile: profile.clone(), at, wall };
            held.bytes += came.bytes();
            held.order.push_back((profile.id.clone(), at));
            if let Some(before) = held.by_user.insert(profile.id.clone(), came) {
                held.bytes -= before.bytes();
            }
            // An account may stand in the order more than once: its last place counts.
            while held.bytes > MOST_BYTES || held.order.len() > MOST_BYTES / OVERHEAD {
                let Some((oldest, came_at)) = held.order.pop_front() else { break };
                if held.by_user.get(&oldest).is_some_and(|came| came.at == came_at) {
                    let dropped = held.by_user.remove(&oldest);
                    held.bytes -= dropped.map_or(0, |came| came.bytes());
                }
            }
        }
    }

    /// The profiles of the first of these accounts, as many as are there, still fresh and of use, each with the Unix time
    /// at which it came.
    pub(super) fn first_of<'a>(
        &self,
        users: impl Iterator<Item = &'a UserId>,
        now: Duration,
        is_of_use: impl Fn(&Profile) -> bool,
    ) -> Vec<(Duration, Profile)> {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = |user| {
            let came = held.by_user.get(user)?;
            let is_fresh = now.saturating_sub(came.at) < USED_FOR;
            (is_fresh && is_of_use(&came.profile)).then(|| (came.wall, came.profile.clone()))
        };
        users.map_while(found).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    fn profile(id: u64, more: &str) -> Profile {
        let raw = format!(r#"{{"id":{id},"more":"{more}"}}"#);
        Profile::from_twitter(RawValue::from_string(raw).unwrap()).unwrap()
    }

    fn ids(came: &CameAlong, users: &[u64], now: u64) -> Vec<UserId> {
        let users: Vec<UserId> = users.iter().map(|&user| UserId::Number(user)).collect();
        let found = came
            .first_of(users.iter(), Duration::from_secs(now), |profile| !profile.raw.get().contains("no"));
        found.into_iter().map(|(_, profile)| profile.id).collect()
    }

    #[test]
    fn the_first_accounts_are_found_up_to_one_that_has_to_be_looked_up() {
        let came = CameAlong::default();
        let at = Duration::from_secs(10);
        came.keep(&[profile(1, ""), profile(2, ""), profile(3, "no"), profile(4, "")], at, at);
        assert_eq!(ids(&came, &[1, 2, 3, 4], 10), [UserId::Number(1), UserId::Number(2)]);
        assert_eq!(ids(&came, &[9, 1], 10), []);
        assert_eq!(ids(&came, &[4, 1], 3609).len(), 2);
        assert_eq!(ids(&came, &[4, 1], 3610), [], "they are too old");
        let later = Duration::from_secs(20);
        came.keep(&[profile(3, "")], later, later);
        let found = came.first_of([UserId::Number(3)].iter(), later, |_| true);
        assert_eq!((found.len(), found[0].0), (1, later));
    }

    #[test]
    fn what_came_first_is_forgotten_when_there_is_no_room() {
        let (came, long) = (CameAlong::default(), "x".repeat(1 << 20));
        for id in 0..100 {
            let at = Duration::from_secs(id);
            // The first one comes again and again.
            came.keep(&[profile(id + 1, &long), profile(1, &long)], at, at);
        }
        let held = came.0.lock().unwrap();
        let bytes: usize = held.by_user.values().map(Came::bytes).sum();
        assert!(held.bytes == bytes && bytes <= MOST_BYTES && held.by_user.len() > 20, "{bytes}");
        drop(held);
        assert_eq!(ids(&came, &[1, 100, 99], 100).len(), 3);
        assert_eq!(ids(&came, &[2], 100), []);
    }
}
