//! Pages of posts and of followers.

use hyper::StatusCode;

use super::HostKind;
use super::account::account;
use super::ids;
use super::links::Place;
use super::population::{Population, Standing};
use super::reply::Reply;
use super::status::{Author, status};

/// Default and longest pages of Mastodon.
const POSTS: (usize, usize) = (20, 40);
const FOLLOWERS: (usize, usize) = (40, 80);

/// One of this many posts and followers of an account reach another host.
const REACH: usize = 3;

/// A page to be answered.
pub(super) struct Pager<'a> {
    pub population: &'a Population,
    pub host: u32,
    pub kind: HostKind,
    pub number: u64,
    pub signed: bool,
    pub place: Place<'a>,
    pub max_id: Option<&'a str>,
    pub min_id: Option<&'a str>,
    pub since_id: Option<&'a str>,
}

impl Pager<'_> {
    fn at_home(&self) -> bool {
        self.number <= *self.population.all().end() && self.population.home(self.number) == self.host
    }

    /// Whether the host knows the account.
    fn known(&self) -> bool {
        self.population.all().contains(&self.number)
    }

    /// The length of a page. GoToSocial accepts any.
    fn limit(&self, (default, most): (usize, usize)) -> usize {
        let asked = self.place.limit.and_then(|limit| limit.parse().ok()).unwrap_or(default);
        if self.kind == HostKind::GoToSocial { asked.max(1) } else { asked.clamp(1, most) }
    }

    /// Mastodon has a next page only if this one is full, GoToSocial only if it is not empty.
    fn goes_on(&self, items: usize, limit: usize) -> bool {
        items > 0 && (self.kind == HostKind::GoToSocial || items == limit)
    }

    fn id(&self, text: Option<&str>) -> Option<u64> {
        // An id that is none is 0 for Mastodon.
        text.map(|text| self.population.read_id(self.host, text).unwrap_or(0))
    }

    fn suspended(&self) -> bool {
        self.population.standing(self.number) == Standing::Suspended
    }

    pub fn posts(&self) -> Reply {
        if !self.known() {
            return match self.kind {
                HostKind::GoToSocial => Reply::json("[]"),
                _ => Reply::not_found(),
            };
        }
        if self.suspended() {
            return match self.kind {
                HostKind::Old => Reply::error(StatusCode::GONE, "Gone"),
                _ => Reply::json("[]"),
            };
        }
        let (max, min, since) = (self.id(self.max_id), self.id(self.min_id), self.id(self.since_id));
        let mut posts = self.population.posts(self.number);
        if !self.at_home() {
            posts.retain(|post| post % REACH as u64 == 0);
        }
        posts.retain(|post| max.is_none_or(|max| *post < max) && *post > since.max(min).unwrap_or(0));
        let limit = self.limit(POSTS);
        if min.is_some() {
            posts.drain(..posts.len().saturating_sub(limit));
        }
        posts.truncate(limit);
        let account = account(self.population, self.host, self.number);
        let author = Author {
            population: self.population,
            host: self.host,
            number: self.number,
            account: &account,
            signed: self.signed,
        };
        let body: Vec<String> = posts.iter().map(|post| status(&author, *post)).collect();
        let spelled = |post: Option<&u64>| post.map(|post| self.population.spelled(self.host, *post));
        let (first, last) = (spelled(posts.first()), spelled(posts.last()));
        let next = last.as_deref().filter(|_| self.goes_on(posts.len(), limit)).map(|id| ("max_id", id));
        let previous = first.as_deref().map(|id| ("min_id", id));
        Reply::json(format!("[{}]", body.join(","))).linked(self.place.header(next, previous))
    }

    pub fn followers(&self) -> Reply {
        let gone = self.suspended();
        if !self.known() || gone && self.kind == HostKind::GoToSocial {
            return Reply::not_found();
        }
        if gone && self.kind == HostKind::Old {
            return Reply::error(StatusCode::GONE, "Gone");
        }
        if gone || self.population.standing(self.number) == Standing::HiddenFollowers {
            return Reply::json("[]");
        }
        let mut total = self.population.follower_count(self.number);
        if !self.at_home() {
            total /= REACH as u64;
        }
        let limit = self.limit(FOLLOWERS);
        let first = self.id(self.max_id).map_or(0, |max| ids::position_below(total, max));
        let end = self.id(self.since_id).map_or(total, |since| ids::position_below(total, since + 1));
        let len = usize::try_from(end.saturating_sub(first)).unwrap_or(usize::MAX).min(limit);
        let followers = self.population.followers(self.number, first, len);
        let body: Vec<String> =
            followers.iter().map(|follower| account(self.population, self.host, *follower)).collect();
        let follow =
            |position: u64| self.population.spelled(self.host, ids::follow_id(total, first + position));
        let (next, previous) = match followers.len() as u64 {
            0 => (None, None),
            len => (Some(follow(len - 1)), Some(follow(0))),
        };
        let next = next.as_deref().filter(|_| self.goes_on(followers.len(), limit)).map(|id| ("max_id", id));
        let previous = previous.as_deref().map(|id| ("since_id", id));
        Reply::json(format!("[{}]", body.join(","))).linked(self.place.header(next, previous))
    }
}
