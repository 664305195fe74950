//! The tweets of a synthetic account.

use std::ops::Range;

use bytes::Bytes;

use super::template::Templates;
use crate::emulator::world::date::write_date;
use crate::emulator::world::draw::draw;
use crate::emulator::world::vocabulary::Language;

/// Unix time in milliseconds from which tweet ids count (Snowflake, 2010).
const SNOWFLAKE_EPOCH: u64 = 1_288_834_974_657;
/// Bits of an id below its timestamp.
const SNOWFLAKE_LOW_BITS: u32 = 22;
/// 2013-06-01, about when API v1 was switched off: newest tweets are shortly before. All ids within 400 days
/// of it have 18 digits.
const NEWEST: u64 = 1_370_044_800_000;
const MINUTE: u64 = 60_000;
/// Bytes of a tweet besides its template and profile: framing, two ids, date.
const TWEET_FRAME: usize = 140;

const ID: u64 = 1;
const STEP: u64 = 2;
const NEWEST_AGE: u64 = 3;
const TEMPLATE: u64 = 4;

/// The timeline of one account; positions count from the newest tweet.
pub(super) struct Timeline<'a> {
    pub count: usize,
    /// Different for each account.
    pub key: u64,
    pub language: &'static Language,
    pub templates: &'a Templates,
}

impl Timeline<'_> {
    /// The id of a tweet; ids decrease with the position.
    pub fn id(&self, position: usize) -> u64 {
        // On average 20 minutes to 3 hours between tweets, so that 3,200 tweets span at most 400 days.
        let step = 20 * MINUTE + draw(self.key, 0, STEP) % (160 * MINUTE);
        let newest = NEWEST - draw(self.key, 0, NEWEST_AGE) % (7 * 24 * 60 * MINUTE);
        let number = (self.count - position) as u64;
        let noise = draw(self.key, number, ID);
        let millis = newest - position as u64 * step - noise % step;
        let low = (noise >> 32) & ((1 << SNOWFLAKE_LOW_BITS) - 1);
        (millis - SNOWFLAKE_EPOCH) << SNOWFLAKE_LOW_BITS | low
    }

    /// A page as a JSON array.
    pub fn page(&self, positions: Range<usize>, profile: &str) -> Bytes {
        let expected = positions.len() * (profile.len() + TWEET_FRAME + 1100) + 2;
        let mut out = String::with_capacity(expected);
        out.push('[');
        for position in positions {
            if out.len() > 1 {
                out.push(',');
            }
            self.write_tweet(position, profile, &mut out);
        }
        out.push(']');
        out.into()
    }

    /// One tweet as a JSON object.
    pub fn tweet(&self, position: usize, profile: &str) -> Bytes {
        let mut out = String::new();
        self.write_tweet(position, profile, &mut out);
        out.into()
    }

    fn write_tweet(&self, position: usize, profile: &str, out: &mut String) {
        let id = self.id(position);
        let number = (self.count - position) as u64;
        let template = self.templates.choose(self.language, draw(self.key, number, TEMPLATE));
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(id);
        out.push_str("{\"created_at\":\"");
        write_date(((id >> SNOWFLAKE_LOW_BITS) + SNOWFLAKE_EPOCH) / 1000, out);
        out.push_str("\",\"id\":");
        out.push_str(digits);
        out.push_str(",\"id_str\":\"");
        out.push_str(digits);
        out.push_str("\",");
        out.push_str(&template.before_user);
        out.push_str(",\"user\":");
        out.push_str(profile);
        out.push(',');
        out.push_str(&template.after_user);
        out.push('}');
    }
}
