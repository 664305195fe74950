//! Extracts profiles from entries.

use crate::lookup::profile::Profile;
use crate::stream::{Found, Stamp};

/// How often refused entries are logged: the first, and one in this many.
const COMPLAIN_EVERY: u64 = 1_000;

/// Counts entries that are not profiles.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    count: u64,
}

impl Refusals {
    /// The profiles among the entries. Everything else is skipped, counted and logged.
    pub(super) fn sift(&mut self, found: Vec<Found>) -> Vec<(Profile, Stamp)> {
        let mut profiles = Vec::with_capacity(found.len());
        for Found { stamp, id, json, .. } in found {
            let parsed = match json {
                Some(json) => Profile::parse_of(id.as_deref(), &json).map_err(|error| error.to_string()),
                None => Err("it has no field `json`".to_owned()),
            };
            match parsed {
                Ok(profile) => profiles.push((profile, stamp)),
                Err(why) => self.refuse(stamp, &why),
            }
        }
        profiles
    }

    fn refuse(&mut self, stamp: Stamp, why: &str) {
        self.count += 1;
        if self.count % COMPLAIN_EVERY == 1 {
            tracing::warn!(count = self.count, %stamp, "this is no profile and is left out: {why}");
        }
    }
}
