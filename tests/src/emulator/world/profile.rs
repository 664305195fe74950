//! Profiles generated from a few facts.

use std::fmt::Write;

use super::date::write_date;
use super::draw::{below, draw};
use super::json_text::{Spelling, write_text};
use super::vocabulary::{FIRST_NAMES, LAST_NAMES, Language, PICTURES};

/// The facts of an account; `variety` determines everything else in its profile.
pub(super) struct Profile<'a> {
    pub id: u64,
    pub screen_name: &'a str,
    pub language: &'static Language,
    /// Tweets written, which can be more than the API returns.
    pub statuses: u64,
    pub followers: u64,
    /// Seed of the name, description, pictures and other fields.
    pub variety: u64,
}

impl Profile<'_> {
    /// The `user` object of the API, about 1,300 bytes.
    pub fn json(&self) -> String {
        let mut out = String::with_capacity(1600);
        let pick = |purpose| draw(self.variety, self.id, purpose);
        let id = self.id;
        // Writing to a String cannot fail.
        let _ = write!(out, "{{\"id\":{id},\"id_str\":\"{id}\",\"name\":");
        self.write_name(&mut out);
        out.push_str(",\"screen_name\":");
        write_text(self.screen_name, Spelling::Escaped, &mut out);
        out.push_str(",\"location\":");
        write_text(self.language.city, Spelling::Escaped, &mut out);
        out.push_str(",\"description\":");
        self.write_description(&mut out);
        let url = format!("http://t.co/{}", slug(pick(1)));
        out.push_str(",\"url\":");
        write_text(&url, Spelling::Escaped, &mut out);
        out.push_str(",\"entities\":{\"description\":{\"urls\":[]}},\"protected\":false");
        let _ = write!(
            out,
            ",\"followers_count\":{},\"friends_count\":{},\"listed_count\":{},\"created_at\":\"",
            self.followers,
            pick(2) % 900,
            self.followers / 40,
        );
        // Between 2007 and 2011, before any synthetic tweet.
        write_date(1_170_000_000 + pick(3) % 140_000_000, &mut out);
        let _ = write!(
            out,
            "\",\"favourites_count\":{},\"utc_offset\":{},\"time_zone\":\"{}\",\"geo_enabled\":{}",
            pick(4) % 3000,
            self.language.utc_offset,
            self.language.time_zone,
            pick(5) % 2 == 0,
        );
        let _ = write!(
            out,
            ",\"verified\":false,\"statuses_count\":{},\"lang\":\"{}\"",
            self.statuses, self.language.code
        );
        self.write_appearance(&mut out);
        out
    }

    fn write_name(&self, out: &mut String) {
        let number = draw(self.variety, self.id, 10);
        let first = FIRST_NAMES[below(number, FIRST_NAMES.len())];
        let last = LAST_NAMES[below(number >> 16, LAST_NAMES.len())];
        let (initial, rest) = first.split_at(1);
        let name = format!("{}{rest} {last}", initial.to_uppercase());
        write_text(&name, Spelling::Escaped, out);
    }

    fn write_description(&self, out: &mut String) {
        let mut number = draw(self.variety, self.id, 11);
        let mut text = String::new();
        for _ in 0..number % 11 {
            number = draw(number, self.id, 12);
            text.push_str(self.language.words[below(number, self.language.words.len())]);
            text.push(' ');
        }
        text.push_str(PICTURES[below(number >> 32, PICTURES.len())]);
        write_text(&text, Spelling::Escaped, out);
    }

    fn write_appearance(&self, out: &mut String) {
        let number = draw(self.variety, self.id, 13);
        let (theme, picture) = (number % 19 + 1, number >> 32);
        let (link, text) = (number >> 8 & 0xff_ffff, number >> 16 & 0xff_ffff);
        let background = format!("a0.twimg.com\\/images\\/themes\\/theme{theme}\\/bg.png");
        let image = format!("a0.twimg.com\\/profile_images\\/{picture}\\/{}_normal.jpeg", slug(number));
        let _ = write!(
            out,
            ",\"contributors_enabled\":false,\"is_translator\":false,\"profile_background_color\":\"C0DEED\",\
             \"profile_background_image_url\":\"http:\\/\\/{background}\",\
             \"profile_background_image_url_https\":\"https:\\/\\/{background}\",\
             \"profile_background_tile\":false,\
             \"profile_image_url\":\"http:\\/\\/{image}\",\"profile_image_url_https\":\"https:\\/\\/{image}\",\
             \"profile_link_color\":\"{link:06X}\",\"profile_sidebar_border_color\":\"C0DEED\",\
             \"profile_sidebar_fill_color\":\"DDEEF6\",\"profile_text_color\":\"{text:06X}\",\
             \"profile_use_background_image\":true,\"default_profile\":false,\
             \"default_profile_image\":false,\"following\":null,\"follow_request_sent\":null,\
             \"notifications\":null}}"
        );
    }
}

/// Ten characters as in the URLs of link shorteners.
pub(super) fn slug(number: u64) -> String {
    const LETTERS: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789xy";
    (0..10).map(|i| char::from(LETTERS[(number >> (6 * i)) as usize & 63])).collect()
}
