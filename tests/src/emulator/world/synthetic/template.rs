//! Tweets without their owner and number, generated once and used for many accounts.

use std::fmt::Write;

use storage::env::{Entropy, SeededEntropy};

use crate::emulator::world::json_text::{Spelling, write_text};
use crate::emulator::world::profile::slug;
use crate::emulator::world::vocabulary::{FIRST_NAMES, LANGUAGES, LAST_NAMES, Language, PICTURES, SOURCES};

/// Templates per language. Enough that one rarely repeats within a compressor's window of 32 kB (about 13
/// tweets), which would make compression look better than it is.
const PER_LANGUAGE: usize = 160;

/// The JSON of a tweet around the parts that differ between accounts.
pub(super) struct Template {
    /// From `"text"` to `"in_reply_to_screen_name"`.
    pub before_user: Box<str>,
    /// From `"geo"` to `"lang"`.
    pub after_user: Box<str>,
}

/// The templates of all languages.
pub(super) struct Templates(Vec<Vec<Template>>);

impl Templates {
    pub fn new(seed: u64) -> Self {
        let entropy = SeededEntropy::new(seed);
        let of = |language| (0..PER_LANGUAGE).map(|_| Draft::write(language, &entropy)).collect();
        Self(LANGUAGES.iter().map(of).collect())
    }

    /// A template of `language`, chosen by `number`.
    pub fn choose(&self, language: &Language, number: u64) -> &Template {
        let position = LANGUAGES.iter().position(|l| l.code == language.code).unwrap_or(0);
        &self.0[position][(number % PER_LANGUAGE as u64) as usize]
    }
}

/// A tweet under construction.
struct Draft<'a> {
    language: &'static Language,
    entropy: &'a SeededEntropy,
    spelling: Spelling,
    text: String,
    hashtags: Vec<String>,
    urls: Vec<String>,
    mentions: Vec<String>,
    media: Vec<String>,
    /// Id and screen name of the last mentioned user.
    mentioned: Option<(u64, String)>,
}

impl<'a> Draft<'a> {
    fn write(language: &'static Language, entropy: &'a SeededEntropy) -> Template {
        let spelling = if entropy.next_u64() % 4 == 0 { Spelling::Plain } else { Spelling::Escaped };
        let mut draft = Self {
            language,
            entropy,
            spelling,
            text: String::new(),
            hashtags: Vec::new(),
            urls: Vec::new(),
            mentions: Vec::new(),
            media: Vec::new(),
            mentioned: None,
        };
        for _ in 0..draft.below(3) {
            draft.mention();
        }
        for _ in 0..4 + draft.below(9) {
            draft.word();
        }
        if draft.one_in(2) {
            draft.hashtag();
        }
        if draft.one_in(2) {
            draft.url();
        }
        if draft.one_in(6) {
            draft.picture();
        }
        if draft.one_in(3) {
            draft.text.push_str(PICTURES[draft.below(PICTURES.len())]);
        }
        draft.finish()
    }

    fn below(&self, bound: usize) -> usize {
        (self.entropy.next_u64() % bound as u64) as usize
    }

    fn one_in(&self, n: u64) -> bool {
        self.entropy.next_u64() % n == 0
    }

    /// Appends a word of the language or, mostly, one composed of its letters: a few dozen words would repeat
    /// far more often than in real text.
    fn word(&mut self) {
        let words = self.language.words;
        if self.one_in(4) {
            self.text.push_str(words[self.below(words.len())]);
        } else {
            for _ in 0..2 + self.below(6) {
                let letters = words[self.below(words.len())].chars().filter(|c| c.is_alphabetic());
                self.text.extend(letters.take(8).nth(self.below(3)));
            }
        }
        self.text.push(if self.one_in(25) { '\n' } else { ' ' });
    }

    /// Appends `piece` and returns its position, in characters as the API counts them.
    fn place(&mut self, piece: &str) -> String {
        let start = self.text.chars().count();
        self.text.push_str(piece);
        let end = self.text.chars().count();
        self.text.push(' ');
        format!("[{start},{end}]")
    }

    fn json(&self, text: &str) -> String {
        let mut out = String::new();
        write_text(text, self.spelling, &mut out);
        out
    }

    fn hashtag(&mut self) {
        let words = self.language.words;
        let tag: String = words[self.below(words.len())].chars().filter(|c| c.is_alphanumeric()).collect();
        let indices = self.place(&format!("#{tag}"));
        let tag = self.json(&tag);
        self.hashtags.push(format!("{{\"text\":{tag},\"indices\":{indices}}}"));
    }

    fn mention(&mut self) {
        let id = self.entropy.next_u64() >> 34;
        let first = FIRST_NAMES[self.below(FIRST_NAMES.len())];
        let screen_name = format!("{first}_{}", &slug(self.entropy.next_u64())[..6]);
        let indices = self.place(&format!("@{screen_name}"));
        let name = self.json(&format!("{first} {}", LAST_NAMES[self.below(LAST_NAMES.len())]));
        self.mentions.push(format!(
            "{{\"screen_name\":\"{screen_name}\",\"name\":{name},\"id\":{id},\"id_str\":\"{id}\",\
             \"indices\":{indices}}}"
        ));
        self.mentioned = Some((id, screen_name));
    }

    fn url(&mut self) {
        let short = format!("http://t.co/{}", slug(self.entropy.next_u64()));
        let long =
            format!("www.example.org/{}/{}.html", 2000 + self.below(13), slug(self.entropy.next_u64()));
        let indices = self.place(&short);
        let (short, display) = (self.json(&short), self.json(&long));
        let long = self.json(&format!("http://{long}"));
        self.urls.push(format!(
            "{{\"url\":{short},\"expanded_url\":{long},\"display_url\":{display},\"indices\":{indices}}}"
        ));
    }

    fn picture(&mut self) {
        let (id, name) = (self.entropy.next_u64() >> 6, slug(self.entropy.next_u64()));
        let short = format!("http://t.co/{}", slug(self.entropy.next_u64()));
        let indices = self.place(&short);
        let image = self.json(&format!("http://pbs.twimg.com/media/{name}.jpg"));
        let short = self.json(&short);
        self.media.push(format!(
            "{{\"id\":{id},\"id_str\":\"{id}\",\"indices\":{indices},\"media_url\":{image},\"url\":{short},\
             \"type\":\"photo\",\"sizes\":{{\"small\":{{\"w\":340,\"h\":255,\"resize\":\"fit\"}},\
             \"thumb\":{{\"w\":150,\"h\":150,\"resize\":\"crop\"}},\
             \"large\":{{\"w\":1024,\"h\":768,\"resize\":\"fit\"}}}}}}"
        ));
    }

    fn finish(self) -> Template {
        let (address, name) = SOURCES[self.below(SOURCES.len())];
        let source = self.json(&format!("<a href=\"{address}\" rel=\"nofollow\">{name}</a>"));
        let text = self.json(self.text.trim_end());
        let reply = self.reply();
        let before_user = format!("\"text\":{text},\"source\":{source},\"truncated\":false,{reply}");
        let mut after_user = self.geography();
        if self.one_in(8) {
            after_user.push_str(&self.retweeted(&text));
        }
        // Writing to a String cannot fail.
        let _ = write!(
            after_user,
            "\"contributors\":null,\"retweet_count\":{},\"favorite_count\":{},\"entities\":{{\
             \"hashtags\":[{}],\"symbols\":[],\"urls\":[{}],\"user_mentions\":[{}]",
            self.below(50),
            self.below(20),
            self.hashtags.join(","),
            self.urls.join(","),
            self.mentions.join(","),
        );
        if !self.media.is_empty() {
            let _ = write!(after_user, ",\"media\":[{}]", self.media.join(","));
        }
        let _ = write!(
            after_user,
            "}},\"favorited\":false,\"retweeted\":false,\"possibly_sensitive\":false,\
             \"filter_level\":\"medium\",\"lang\":\"{}\"",
            self.language.code
        );
        Template { before_user: before_user.into(), after_user: after_user.into() }
    }

    /// The fields that name the tweet this one replies to, if any.
    fn reply(&self) -> String {
        let Some((user, name)) = self.mentioned.as_ref().filter(|_| !self.one_in(3)) else {
            return "\"in_reply_to_status_id\":null,\"in_reply_to_status_id_str\":null,\
                    \"in_reply_to_user_id\":null,\"in_reply_to_user_id_str\":null,\
                    \"in_reply_to_screen_name\":null"
                .into();
        };
        let tweet = self.entropy.next_u64() >> 6;
        format!(
            "\"in_reply_to_status_id\":{tweet},\"in_reply_to_status_id_str\":\"{tweet}\",\
             \"in_reply_to_user_id\":{user},\"in_reply_to_user_id_str\":\"{user}\",\
             \"in_reply_to_screen_name\":\"{name}\""
        )
    }

    fn geography(&self) -> String {
        if !self.one_in(10) {
            return "\"geo\":null,\"coordinates\":null,\"place\":null,".into();
        }
        let (north, east) = (self.below(60_000_000), self.below(160_000_000));
        let (lat, lon) = (north as f64 / 1e6, east as f64 / 1e6);
        let city = self.json(self.language.city);
        format!(
            "\"geo\":{{\"type\":\"Point\",\"coordinates\":[{lat},{lon}]}},\
             \"coordinates\":{{\"type\":\"Point\",\"coordinates\":[{lon},{lat}]}},\
             \"place\":{{\"id\":\"{:016x}\",\"place_type\":\"city\",\"full_name\":{city},\
             \"bounding_box\":{{\"type\":\"Polygon\",\"coordinates\":[[[{lon},{lat}],[{lon},{lat}]]]}}}},",
            self.entropy.next_u64()
        )
    }

    /// A tweet embedded in the tweet, with a different id and user.
    fn retweeted(&self, text: &str) -> String {
        let (id, user) = (self.entropy.next_u64() >> 6, self.entropy.next_u64() >> 32);
        let name = FIRST_NAMES[self.below(FIRST_NAMES.len())];
        format!(
            "\"retweeted_status\":{{\"created_at\":\"Sat Jan 08 09:10:11 +0000 2011\",\"id\":{id},\
             \"id_str\":\"{id}\",\"text\":{text},\"user\":{{\"id\":{user},\"id_str\":\"{user}\",\
             \"screen_name\":\"{name}{user}\",\"followers_count\":{},\"lang\":\"{}\"}},\
             \"retweet_count\":{}}},",
            self.below(5000),
            self.language.code,
            self.below(900)
        )
    }
}
