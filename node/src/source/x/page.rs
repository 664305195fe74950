//! Reads answers: objects as they came, with what they refer to.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use storage::ids::UserId;

use super::cost::Cost;
use super::problem::Problem;
use crate::source::bounded::AtMost;
use crate::source::{Endpoint, GoneReason, MOST_ITEMS};

/// Most bytes of a page once what its objects refer to is added to each of them.
const MOST_BYTES: usize = 64 << 20;
/// Most objects of a kind that one object refers to.
const MOST_REFERENCES: usize = 100;

type Items<'a> = AtMost<&'a RawValue, MOST_ITEMS>;

/// An answer of status 200. Parts without content may be missing.
#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    data: Option<Items<'a>>,
    #[serde(borrow)]
    includes: Option<Includes<'a>>,
    #[serde(borrow)]
    errors: Option<Items<'a>>,
    meta: Option<Meta>,
}

#[derive(Deserialize)]
struct Meta {
    next_token: Option<String>,
}

#[derive(Default, Deserialize)]
struct Includes<'a> {
    #[serde(borrow)]
    tweets: Option<Items<'a>>,
    #[serde(borrow)]
    posts: Option<Items<'a>>,
    #[serde(borrow)]
    users: Option<Items<'a>>,
    #[serde(borrow)]
    media: Option<Items<'a>>,
    #[serde(borrow)]
    polls: Option<Items<'a>>,
    #[serde(borrow)]
    places: Option<Items<'a>>,
}

/// A page, or the answer to a look-up.
#[derive(Debug)]
pub(super) struct Answered {
    /// The objects as they came; those that name parts of `includes` have them added under that name.
    pub(super) objects: Vec<String>,
    /// Where the next page starts.
    pub(super) next: Option<String>,
    /// What the answer is charged for.
    pub(super) cost: Cost,
    /// Without objects: why the account is gone, or what else is wrong.
    pub(super) nothing: Option<Nothing>,
}

/// Why an answer has no objects.
#[derive(Debug, PartialEq)]
pub(super) enum Nothing {
    Gone(GoneReason),
    Problem(String),
    /// Neither objects nor problems nor `meta`.
    Empty,
}

/// Reads an answer about `user`, if it is about one account.
///
/// An error concerns the answer as a whole: not JSON, or not of this form.
pub(super) fn read(body: &str, endpoint: Endpoint, user: Option<&UserId>) -> Result<Answered, String> {
    let body: Body<'_> = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let data = body.data.map(|AtMost(items)| items);
    let errors = body.errors.map_or_else(Vec::new, |AtMost(items)| items);
    let next = body.meta.as_ref().and_then(|meta| meta.next_token.clone()).filter(|token| !token.is_empty());
    let nothing = match (&data, errors.first()) {
        (Some(_), _) => None,
        (None, Some(first)) => match user {
            Some(user) => {
                let gone = errors.iter().find_map(|raw| Problem::of(raw).gone(user));
                Some(gone.map_or_else(|| Nothing::Problem(Problem::of(first).text()), Nothing::Gone))
            }
            // Of a look-up, each account may be missing for a reason of its own; anything else is no answer.
            None => {
                let other = errors.iter().map(|raw| Problem::of(raw)).find(|one| one.absence().is_none());
                other.map(|one| Nothing::Problem(one.text()))
            }
        },
        (None, None) if body.meta.is_none() => Some(Nothing::Empty),
        (None, None) => None,
    };
    let included = Included::new(body.includes.unwrap_or_default());
    let data = data.unwrap_or_default();
    let mut cost = included.cost();
    match endpoint {
        Endpoint::Timeline | Endpoint::Repository => cost.posts += data.len() as u64,
        Endpoint::Followers => cost.followers += data.len() as u64,
        Endpoint::Lookup | Endpoint::Resolve | Endpoint::Locate => cost.users += data.len() as u64,
    }
    let (mut objects, mut bytes) = (Vec::with_capacity(data.len()), 0);
    for raw in data {
        let object = included.added_to(raw.get());
        bytes += object.len();
        if bytes > MOST_BYTES {
            // One included object of a megabyte, named by each of a thousand others.
            return Err(format!("its objects take more than {MOST_BYTES} bytes with what they refer to"));
        }
        objects.push(object);
    }
    Ok(Answered { objects, next, cost, nothing })
}

/// What an object refers to, by the part of `includes` that holds it.
#[derive(Default)]
struct References<'a> {
    posts: BTreeSet<Cow<'a, str>>,
    users: BTreeSet<Cow<'a, str>>,
    media: BTreeSet<Cow<'a, str>>,
    polls: BTreeSet<Cow<'a, str>>,
    places: BTreeSet<Cow<'a, str>>,
}

type Text<'a> = Option<Cow<'a, str>>;

/// The fields of an object that refer to others.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    author_id: Text<'a>,
    #[serde(borrow)]
    in_reply_to_user_id: Text<'a>,
    #[serde(borrow, alias = "referenced_posts")]
    referenced_tweets: Option<AtMost<Reference<'a>, MOST_REFERENCES>>,
    #[serde(borrow, alias = "edit_history_post_ids")]
    edit_history_tweet_ids: Option<AtMost<Cow<'a, str>, MOST_REFERENCES>>,
    #[serde(borrow, alias = "pinned_post_id")]
    pinned_tweet_id: Text<'a>,
    #[serde(borrow, alias = "most_recent_post_id")]
    most_recent_tweet_id: Text<'a>,
    #[serde(borrow)]
    attachments: Option<Attachments<'a>>,
    #[serde(borrow)]
    geo: Option<Geo<'a>>,
    includes: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Reference<'a> {
    #[serde(borrow)]
    id: Text<'a>,
}

#[derive(Deserialize)]
struct Attachments<'a> {
    #[serde(borrow)]
    media_keys: Option<AtMost<Cow<'a, str>, MOST_REFERENCES>>,
    #[serde(borrow)]
    poll_ids: Option<AtMost<Cow<'a, str>, MOST_REFERENCES>>,
    #[serde(borrow, alias = "media_source_post_id")]
    media_source_tweet_id: Option<AtMost<Cow<'a, str>, MOST_REFERENCES>>,
}

#[derive(Deserialize)]
struct Geo<'a> {
    #[serde(borrow)]
    place_id: Text<'a>,
}

impl<'a> References<'a> {
    /// Adds those of an object. `false` if the object has an `includes` of its own, or has other types than expected.
    fn add(&mut self, json: &'a str) -> bool {
        let Ok(fields) = serde_json::from_str::<Fields<'a>>(json) else { return false };
        if fields.includes.is_some() {
            return false;
        }
        self.users.extend(fields.author_id.into_iter().chain(fields.in_reply_to_user_id));
        let referenced = fields.referenced_tweets.into_iter().flat_map(|AtMost(list)| list);
        self.posts.extend(referenced.filter_map(|one| one.id).chain(list(fields.edit_history_tweet_ids)));
        self.posts.extend(fields.pinned_tweet_id.into_iter().chain(fields.most_recent_tweet_id));
        if let Some(attachments) = fields.attachments {
            self.media.extend(list(attachments.media_keys));
            self.polls.extend(list(attachments.poll_ids));
            self.posts.extend(list(attachments.media_source_tweet_id));
        }
        self.places.extend(fields.geo.and_then(|geo| geo.place_id));
        true
    }
}

fn list<T>(items: Option<AtMost<T, MOST_REFERENCES>>) -> Vec<T> {
    items.map_or_else(Vec::new, |AtMost(items)| items)
}

/// The parts of `includes`, by what names them.
struct Included<'a> {
    /// `tweets` or `posts`.
    name_of_posts: &'static str,
    posts: BTreeMap<Cow<'a, str>, &'a str>,
    users: BTreeMap<Cow<'a, str>, &'a str>,
    media: BTreeMap<Cow<'a, str>, &'a str>,
    polls: BTreeMap<Cow<'a, str>, &'a str>,
    places: BTreeMap<Cow<'a, str>, &'a str>,
    charged: Cost,
}

impl<'a> Included<'a> {
    fn new(includes: Includes<'a>) -> Self {
        let name_of_posts = if includes.posts.is_some() { "posts" } else { "tweets" };
        let mut posts: Vec<&RawValue> = includes.tweets.map_or_else(Vec::new, |AtMost(items)| items);
        posts.extend(includes.posts.into_iter().flat_map(|AtMost(items)| items));
        let all = |items: Option<Items<'a>>| items.map_or_else(Vec::new, |AtMost(items)| items);
        let (users, media) = (all(includes.users), all(includes.media));
        let charged = Cost { posts: posts.len() as u64, users: users.len() as u64, followers: 0 };
        Self {
            name_of_posts,
            posts: by_name(posts),
            users: by_name(users),
            media: by_name(media),
            polls: by_name(all(includes.polls)),
            places: by_name(all(includes.places)),
            charged,
        }
    }

    fn cost(&self) -> Cost {
        self.charged
    }

    /// The object with the parts that it names, and that the posts among them name, added as its last field.
    fn added_to(&self, object: &str) -> String {
        let mut references = References::default();
        let open = object.strip_suffix('}').map(str::trim_end).filter(|open| open.len() > 1);
        let Some(open) = open.filter(|_| references.add(object)) else { return object.to_owned() };
        let included = references.posts.iter().filter_map(|id| self.posts.get(id)).copied();
        for post in included.collect::<Vec<&str>>() {
            references.add(post);
        }
        let parts = [
            (self.name_of_posts, found(&self.posts, &references.posts)),
            ("users", found(&self.users, &references.users)),
            ("media", found(&self.media, &references.media)),
            ("polls", found(&self.polls, &references.polls)),
            ("places", found(&self.places, &references.places)),
        ];
        let given = parts.into_iter().filter(|(_, list)| !list.is_empty());
        let given: Vec<String> =
            given.map(|(name, list)| format!("\"{name}\":[{}]", list.join(","))).collect();
        match given.is_empty() {
            true => object.to_owned(),
            false => format!("{open},\"includes\":{{{}}}}}", given.join(",")),
        }
    }
}

fn found<'a>(all: &BTreeMap<Cow<'a, str>, &'a str>, named: &BTreeSet<Cow<'a, str>>) -> Vec<&'a str> {
    named.iter().filter_map(|name| all.get(name)).copied().collect()
}

/// Objects by their `id` or `media_key`. One without either can be named by nothing.
fn by_name<'a>(items: Vec<&'a RawValue>) -> BTreeMap<Cow<'a, str>, &'a str> {
    #[derive(Deserialize)]
    struct Name<'a> {
        #[serde(borrow, alias = "media_key")]
        id: Cow<'a, str>,
    }
    let named = |raw: &'a RawValue| Some((serde_json::from_str::<Name<'a>>(raw.get()).ok()?.id, raw.get()));
    items.into_iter().filter_map(named).collect()
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
