//! Settings of the kind `x`.

use std::collections::BTreeMap;
use std::fmt;

use api::model::{Amount, AppTerms, CycleRule};
use storage::dataset::SourceName;

use super::{SourceSettings, Sources, Table, contact, user_agent};
use crate::source::x::{MARGIN, Prices, Wording, XApp, XSettings, XSource};

/// Seconds of a cycle and of its margin.
const SECONDS: std::ops::RangeInclusive<u64> = 1..=366 * 86_400;

impl Table<'_> {
    /// The settings of a source of this kind. What is wrong with them is said.
    pub(super) fn x(&mut self) -> Option<XSettings> {
        let before = self.wrong.len();
        let user_agent = self.required("contact", contact).map(|contact| user_agent(&contact));
        let mut settings = XSettings::new(self.apps());
        match self.text("wording").as_deref() {
            None | Some("tweets") => {}
            Some("posts") => settings = settings.in_words_of_posts(),
            Some(other) => self.wrong.push(format!("wording: {other:?} was given; give tweets or posts")),
        }
        settings.user_agent = user_agent;
        settings.base_url = self.text("api-url").unwrap_or(settings.base_url);
        settings.prices = self.prices(settings.prices);
        for (key, list) in [
            ("post-fields", &mut settings.post_fields),
            ("user-fields", &mut settings.user_fields),
            ("media-fields", &mut settings.media_fields),
            ("place-fields", &mut settings.place_fields),
            ("poll-fields", &mut settings.poll_fields),
            ("post-expansions", &mut settings.post_expansions),
            ("user-expansions", &mut settings.user_expansions),
            ("exclude", &mut settings.exclude),
        ] {
            if let Some(names) = self.list(key) {
                *list = names;
            }
        }
        for (key, size) in
            [("posts-page", &mut settings.posts_page), ("followers-page", &mut settings.followers_page)]
        {
            // What the API takes is checked with the rest.
            *size = self.parsed_number(key, 1..=1000).map_or(*size, |number| number as u32);
        }
        if self.wrong.len() > before {
            return Some(settings);
        }
        if let Err(error) = XSource::new(settings.clone()) {
            self.wrong.push(error.to_string());
        }
        Some(settings)
    }

    fn apps(&mut self) -> Vec<XApp> {
        const HOW: &str = "write [source.NAME.apps.APP] for each app, with token-file, limit and cycle-day";
        let tables = match self.rest.remove("apps") {
            Some(toml::Value::Table(tables)) => tables,
            None => {
                self.wrong.push(format!("apps is missing; {HOW}"));
                return Vec::new();
            }
            Some(other) => {
                self.wrong.push(format!("apps: a {} was given; {HOW}", other.type_str()));
                return Vec::new();
            }
        };
        let mut apps = Vec::new();
        for (name, value) in tables {
            let toml::Value::Table(rest) = value else {
                self.wrong.push(format!("apps.{name}: a {} was given; {HOW}", value.type_str()));
                continue;
            };
            let mut inner = Table { rest, folder: self.folder, wrong: Vec::new() };
            apps.extend(inner.app(&name));
            let unknown = inner.rest.keys().map(|key| format!("there is no key {key:?} for an app"));
            inner.wrong.extend(unknown.collect::<Vec<_>>());
            self.wrong.extend(inner.wrong.into_iter().map(|what| format!("apps.{name}: {what}")));
        }
        apps
    }

    fn app(&mut self, name: &str) -> Option<XApp> {
        let app = match self.text("token-file") {
            Some(file) => {
                let app = XApp::from_file(name, &self.folder.join(file));
                app.map_err(|error| self.wrong.push(error.to_string())).ok()
            }
            None => {
                self.wrong
                    .push("token-file is missing; it is the file with the app's bearer token".to_owned());
                None
            }
        };
        let limit = self.amount("limit");
        if limit.is_none() && self.wrong.is_empty() {
            self.wrong.push(
                "limit is missing; it is the most that may be spent in a billing cycle, as \"100.00\""
                    .to_owned(),
            );
        }
        let day = self.parsed_number("cycle-day", 1..=28);
        let seconds = self.parsed_number("cycle-seconds", SECONDS);
        let margin = self.parsed_number("cycle-margin", SECONDS).unwrap_or(MARGIN);
        let cycle = match (day, seconds) {
            (Some(day), None) => CycleRule::Monthly { day: day as u8 },
            (None, Some(seconds)) => CycleRule::Every { seconds },
            (Some(_), Some(_)) => {
                self.wrong.push("cycle-day and cycle-seconds are both given; give one of them".to_owned());
                return None;
            }
            (None, None) => {
                if self.wrong.is_empty() {
                    self.wrong.push(
                        "cycle-day is missing; it is the day of the month, 1 to 28, on which the app's billing cycle begins"
                            .to_owned(),
                    );
                }
                return None;
            }
        };
        Some(app?.spending(AppTerms { limit: limit?, cycle, margin }))
    }

    /// An amount of money, in millionths.
    fn amount(&mut self, key: &str) -> Option<u64> {
        let text = match self.rest.remove(key)? {
            toml::Value::String(text) => text,
            toml::Value::Integer(whole) => whole.to_string(),
            other => {
                let kind = other.type_str();
                self.wrong.push(format!(
                    "{key}: a {kind} was given; give a text such as \"12.50\", which is exact"
                ));
                return None;
            }
        };
        let amount = text.parse::<Amount>().map_err(|error| self.wrong.push(format!("{key}: {error}")));
        amount.ok().map(|Amount(micros)| micros)
    }

    fn prices(&mut self, usual: Prices) -> Prices {
        let rest = match self.rest.remove("prices") {
            None => return usual,
            Some(toml::Value::Table(rest)) => rest,
            Some(other) => {
                let kind = other.type_str();
                self.wrong
                    .push(format!("prices: a {kind} was given; give a table of post, user and follower"));
                return usual;
            }
        };
        let mut inner = Table { rest, folder: self.folder, wrong: Vec::new() };
        let prices = Prices {
            post: inner.amount("post").unwrap_or(usual.post),
            user: inner.amount("user").unwrap_or(usual.user),
            follower: inner.amount("follower").unwrap_or(usual.follower),
        };
        let unknown =
            inner.rest.keys().map(|key| format!("{key}: only post, user and follower have a price"));
        inner.wrong.extend(unknown.collect::<Vec<_>>());
        self.wrong.extend(inner.wrong.into_iter().map(|what| format!("prices.{what}")));
        prices
    }
}

/// Apps of one name have one bill: two sources have to say the same about it.
pub(super) fn check_apps(sources: &Sources) -> Vec<String> {
    let mut known: BTreeMap<&str, (&SourceName, &XApp)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (source, settings) in sources {
        let SourceSettings::X(settings) = settings else { continue };
        for app in &settings.apps {
            let (first, other) = *known.entry(app.name()).or_insert((source, app));
            if other != app {
                wrong.push(format!(
                    "[source.{source}] and [source.{first}] say different things about the app {}; an app has one token, \
                     one limit and one cycle: give another app another name",
                    app.name()
                ));
            }
        }
    }
    wrong
}

/// As keys of the settings file, without tokens.
pub(super) fn show(settings: &XSettings, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let wording = match settings.wording {
        Wording::Tweets => "tweets",
        Wording::Posts => "posts",
    };
    writeln!(f, "api-url = {:?}\nwording = {wording:?}", settings.base_url)?;
    let Prices { post, user, follower } = settings.prices;
    let [post, user, follower] = [post, user, follower].map(|micros| Amount(micros).to_string());
    writeln!(f, "prices = {{ post = {post:?}, user = {user:?}, follower = {follower:?} }}")?;
    writeln!(f, "posts-page = {}\nfollowers-page = {}", settings.posts_page, settings.followers_page)?;
    writeln!(f, "post-expansions = {:?}", settings.post_expansions)?;
    writeln!(f, "user-expansions = {:?}", settings.user_expansions)?;
    for app in &settings.apps {
        let AppTerms { limit, cycle, margin } = app.terms();
        let name = app.name();
        writeln!(f, "# apps.{name}.token-file is set, and not shown")?;
        writeln!(f, "apps.{name}.limit = \"{}\"", Amount(limit))?;
        match cycle {
            CycleRule::Monthly { day } => writeln!(f, "apps.{name}.cycle-day = {day}")?,
            CycleRule::Every { seconds } => writeln!(f, "apps.{name}.cycle-seconds = {seconds}")?,
        }
        writeln!(f, "apps.{name}.cycle-margin = {margin}")?;
    }
    Ok(())
}
