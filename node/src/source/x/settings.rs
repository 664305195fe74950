//! Settings of the source.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use api::model::{AppTerms, CycleRule, MAX_APPS};
use reqwest::Url;
use reqwest::header::HeaderValue;

use super::cost::Prices;

/// Longest file of a token, bytes.
const LONGEST_TOKEN_FILE: u64 = 4096;
/// Longest name of an app, bytes.
const LONGEST_NAME: usize = 64;
/// Most apps.
const MOST_APPS: usize = MAX_APPS;
/// Seconds after the turn of a billing cycle in which requests have to fit the old cycle too: twice the difference between the
/// clocks of the API's hosts, the longest request, and a session's time to live.
pub const MARGIN: u64 = 300;

/// How the API calls a post: version 2.167 of its specification renamed parameters and fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wording {
    /// `tweet.fields`, `referenced_tweets`: the guides, and the specification up to 2.166.
    #[default]
    Tweets,
    /// `post.fields`, `referenced_posts`: the specification from 2.167 on.
    Posts,
}

/// An app: a name for people, and its bearer token, which is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct XApp {
    name: Box<str>,
    header: HeaderValue,
    terms: AppTerms,
}

impl fmt::Debug for XApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XApp").field("name", &self.name).field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl XApp {
    /// An app with this token.
    ///
    /// # Errors
    /// The name or the token has characters that it cannot have.
    pub fn new(name: &str, token: &str) -> Result<Self, XSettingsError> {
        let named = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(named) {
            return Err(XSettingsError::Name { name: name.chars().take(LONGEST_NAME).collect() });
        }
        let bad_token = || XSettingsError::Token { app: name.to_owned() };
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(bad_token());
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| bad_token())?;
        header.set_sensitive(true);
        let terms = AppTerms { limit: 0, cycle: CycleRule::Monthly { day: 1 }, margin: MARGIN };
        Ok(Self { name: name.into(), header, terms })
    }

    /// The app with what it may spend; without, it may spend nothing.
    pub fn spending(self, terms: AppTerms) -> Self {
        Self { terms, ..self }
    }

    /// What it may spend.
    pub fn terms(&self) -> AppTerms {
        self.terms
    }

    /// An app whose token is the first line of a file, without white space around it.
    ///
    /// # Errors
    /// The file cannot be read, is longer than 4 KiB, or its first line is no token.
    pub fn from_file(name: &str, path: &Path) -> Result<Self, XSettingsError> {
        let failed = |source| XSettingsError::File { app: name.to_owned(), path: path.into(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        file.take(LONGEST_TOKEN_FILE + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > LONGEST_TOKEN_FILE {
            return Err(failed(io::Error::other("it is longer than 4 KiB, which no token is")));
        }
        Self::new(name, text.lines().next().unwrap_or_default().trim())
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn header(&self) -> &HeaderValue {
        &self.header
    }
}

/// Settings of an [`XSource`](super::XSource).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XSettings {
    /// The prefix of every URL before `users/...`.
    pub base_url: String,
    /// The apps whose tokens are used.
    pub apps: Vec<XApp>,
    /// How the API calls a post.
    pub wording: Wording,
    /// Fields of posts (`tweet.fields` or `post.fields`).
    pub post_fields: Vec<String>,
    /// Fields of users (`user.fields`).
    pub user_fields: Vec<String>,
    /// Fields of media (`media.fields`).
    pub media_fields: Vec<String>,
    /// Fields of places (`place.fields`).
    pub place_fields: Vec<String>,
    /// Fields of polls (`poll.fields`).
    pub poll_fields: Vec<String>,
    /// What posts are expanded by. Included posts and users are charged.
    pub post_expansions: Vec<String>,
    /// What users are expanded by.
    pub user_expansions: Vec<String>,
    /// Posts left out: `replies`, `retweets`.
    pub exclude: Vec<String>,
    /// Prices.
    pub prices: Prices,
    /// Posts on a page, 5 to 100.
    pub posts_page: u32,
    /// Followers on a page, 1 to 1,000.
    pub followers_page: u32,
    /// The `User-Agent` header, if it is not that of all sources.
    pub user_agent: Option<String>,
}

impl XSettings {
    /// The defaults: all fields of a post that a token without a user may read and that cost nothing, no expansion
    /// that costs something, the largest pages.
    pub fn new(apps: Vec<XApp>) -> Self {
        let list = |names: &str| names.split(',').map(str::to_owned).collect();
        Self {
            base_url: "https://api.x.com/2/".to_owned(),
            apps,
            wording: Wording::Tweets,
            post_fields: list(
                "attachments,author_id,conversation_id,created_at,edit_history_tweet_ids,entities,geo,\
                 in_reply_to_user_id,lang,note_tweet,possibly_sensitive,public_metrics,referenced_tweets,\
                 reply_settings,withheld",
            ),
            user_fields: list(
                "created_at,description,entities,location,profile_image_url,protected,public_metrics,url,\
                 verified,verified_type,withheld",
            ),
            media_fields: list("alt_text,duration_ms,height,media_key,preview_image_url,type,url,width"),
            place_fields: Vec::new(),
            poll_fields: Vec::new(),
            post_expansions: list("attachments.media_keys"),
            user_expansions: Vec::new(),
            exclude: Vec::new(),
            prices: Prices::default(),
            posts_page: 100,
            followers_page: 1000,
            user_agent: None,
        }
    }

    /// The same with the names of version 2.167 of the specification.
    pub fn in_words_of_posts(mut self) -> Self {
        self.wording = Wording::Posts;
        // These come with their expansions there, and are no fields to ask for.
        let dropped = ["author_id", "edit_history_tweet_ids", "in_reply_to_user_id", "referenced_tweets"];
        self.post_fields.retain(|name| !dropped.contains(&name.as_str()));
        for name in &mut self.post_fields {
            *name = name.replace("note_tweet", "note_post");
        }
        self
    }

    pub(super) fn check(&self) -> Result<Url, XSettingsError> {
        if self.apps.is_empty() || self.apps.len() > MOST_APPS {
            return Err(XSettingsError::Apps { count: self.apps.len() });
        }
        let mut names: Vec<&str> = self.apps.iter().map(XApp::name).collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(XSettingsError::Twice { name: twice[0].to_owned() });
        }
        for (what, size, (least, most)) in [
            ("posts", self.posts_page, super::cost::sizes(crate::source::Endpoint::Timeline)),
            ("followers", self.followers_page, super::cost::sizes(crate::source::Endpoint::Followers)),
        ] {
            if !(least..=most).contains(&size) {
                return Err(XSettingsError::PageSize { what, size, least, most });
            }
        }
        let lists =
            [&self.post_fields, &self.user_fields, &self.media_fields, &self.place_fields, &self.poll_fields];
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if let Some(name) =
            lists.into_iter().flatten().find(|name| name.is_empty() || !name.bytes().all(word))
        {
            return Err(XSettingsError::Field { name: name.clone() });
        }
        if let Some(name) = self.exclude.iter().find(|name| !["replies", "retweets"].contains(&name.as_str()))
        {
            return Err(XSettingsError::Exclude { name: name.clone() });
        }
        parse_base(&self.base_url)
    }
}

fn parse_base(text: &str) -> Result<Url, XSettingsError> {
    let error = |what: &str| XSettingsError::BaseUrl { url: text.to_owned(), what: what.to_owned() };
    let mut url = Url::parse(text).map_err(|e| error(&e.to_string()))?;
    let here = match url.host_str() {
        Some(host) => host == "localhost" || host.starts_with("127.") || host == "[::1]",
        None => return Err(error("it has no host")),
    };
    match url.scheme() {
        "https" => {}
        "http" if here => {}
        "http" => return Err(error("tokens and money do not travel without TLS, except to this machine")),
        _ => return Err(error("it does not begin with https://")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(error("it has a user or a password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(error("it has a query or a fragment"));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

/// Why settings are invalid.
#[derive(Debug, thiserror::Error)]
pub enum XSettingsError {
    /// The base URL.
    #[error("{url:?} is no base URL of the X API: {what}; give one such as https://api.x.com/2/")]
    BaseUrl {
        /// The setting's value.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// The user agent.
    #[error("the user agent has characters that a header cannot have; give another contact")]
    UserAgent,
    /// No apps, or too many.
    #[error(
        "the source has {count} apps; give from 1 to {MOST_APPS}, each with a name and the file of its token"
    )]
    Apps {
        /// How many there are.
        count: usize,
    },
    /// Two apps with one name.
    #[error("two apps are named {name:?}; give each its own name, since budgets and spending go by it")]
    Twice {
        /// The name.
        name: String,
    },
    /// An app's name.
    #[error("{name:?} is no name of an app; use 1 to {LONGEST_NAME} letters, digits, '-', '_' and '.'")]
    Name {
        /// The name, shortened.
        name: String,
    },
    /// A token that no header can contain.
    #[error(
        "the token of the app {app} is empty or has characters that no token has; write the bearer token into the first line of its file"
    )]
    Token {
        /// The app.
        app: String,
    },
    /// A token's file.
    #[error(
        "the token of the app {app} cannot be read from {path}: {source}; check the path and its permissions"
    )]
    File {
        /// The app.
        app: String,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// A field that cannot be one.
    #[error(
        "{name:?} is no field; see the fields of posts, users, media, places and polls in the API's reference"
    )]
    Field {
        /// The setting's value.
        name: String,
    },
    /// An unknown kind of posts to leave out.
    #[error("{name:?} cannot be left out; exclude takes replies and retweets")]
    Exclude {
        /// The setting's value.
        name: String,
    },
    /// An expansion that is unknown or unbounded.
    #[error(
        "the expansion {name:?} is unknown, or nothing bounds what it adds and therefore what a request can cost; leave it out and look the accounts up"
    )]
    Expansion {
        /// The setting's value.
        name: String,
    },
    /// A page size that the API refuses.
    #[error("a page cannot have {size} {what}; choose from {least} to {most}")]
    PageSize {
        /// Posts or followers.
        what: &'static str,
        /// The setting's value.
        size: u32,
        /// The smallest page.
        least: u32,
        /// The largest page.
        most: u32,
    },
}
