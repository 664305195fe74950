//! Pages of posts and of followers.

use serde::Deserialize;
use serde_json::value::RawValue;
use storage::ids::PostId;

use super::account::Account;
use super::acct::Acct;
use super::garbage;
use super::known::Known;
use super::place::Place;
use crate::source::bounded::AtMost;
use crate::source::{Asked, CursorLoops, FollowersPage, MOST_ITEMS, SourceError, TimelinePage};

/// A list that is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Posts,
    Followers,
}

impl List {
    pub fn name(self) -> &'static str {
        match self {
            Self::Posts => "statuses",
            Self::Followers => "followers",
        }
    }

    /// The longest page of Mastodon.
    pub fn limit(self) -> &'static str {
        match self {
            Self::Posts => "40",
            Self::Followers => "80",
        }
    }
}

/// A page as it came.
pub(super) struct Listed {
    pub acct: Acct,
    pub asked: Asked,
    /// The account's id at its home.
    pub id: String,
    pub body: Vec<u8>,
    /// The `max_id` of this page and of the next one.
    pub before: Option<String>,
    pub next: Option<String>,
    /// Whether it is the first page.
    pub first: bool,
    /// What was remembered of the account, if its id was not looked up by this walk.
    pub remembered: Option<Known>,
}

impl Listed {
    /// The cursor of the next page. Ids decrease from page to page, except for those that are opaque.
    fn next(&self) -> Result<Option<String>, SourceError> {
        let Some(max_id) = &self.next else { return Ok(None) };
        let number = |text: &str| text.parse::<u64>().ok();
        let back = match &self.before {
            None => false,
            Some(before) => match (number(max_id), number(before)) {
                (Some(next), Some(before)) => next >= before,
                _ => max_id == before,
            },
        };
        let cursor = Place::Before { id: self.id.clone(), max_id: max_id.clone() }.cursor();
        if back {
            let loops = CursorLoops { cursor: cursor.unwrap_or_default() };
            return Err(SourceError::Loops { asked: self.asked.clone(), loops });
        }
        Ok(cursor)
    }
}

/// A page of posts, without those that are not newer than `since`; and whether it came without any.
pub(super) fn timeline(
    listed: &mut Listed,
    since: Option<&str>,
) -> Result<(TimelinePage, bool), SourceError> {
    let page = TimelinePage::parse_with(std::mem::take(&mut listed.body), post_id);
    let mut page = page.map_err(|what| garbage(&listed.asked, what))?;
    if page.items().is_empty() && page.unusable > 0 {
        // Accepting this as the end would silently truncate the timeline.
        return Err(garbage(&listed.asked, format!("none of {} posts has a usable id", page.unusable)));
    }
    if let Some(author) = page.items().first().and_then(|item| author(page.json(item), &listed.acct)) {
        if !author.is(&listed.acct) {
            // A host that was set up anew gives old ids to other accounts.
            return Err(garbage(&listed.asked, format!("the posts are those of {author}")));
        }
    }
    page.next = listed.next()?;
    let is_empty = page.items().is_empty();
    if let Some(since) = since.and_then(PostId::parse) {
        if page.cut_at(&since) {
            page.next = None;
        }
    }
    Ok((page, is_empty))
}

/// Ids are decimal numbers, or texts without anything to unescape.
fn post_id(text: &str) -> Option<PostId> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let fits = !text.is_empty() && text.bytes().all(plain);
    PostId::parse(text).filter(|id| fits && *id != PostId::Number(0))
}

/// The author of a post.
fn author(post: &str, home: &Acct) -> Option<Acct> {
    #[derive(Deserialize)]
    struct Post {
        account: Author,
    }
    #[derive(Deserialize)]
    struct Author {
        acct: String,
    }
    let post: Post = serde_json::from_str(post).ok()?;
    Acct::seen_at(&post.account.acct, &home.domain).ok()
}

/// A page of followers, with their profiles as this host knows them.
pub(super) fn followers(listed: &Listed) -> Result<FollowersPage, SourceError> {
    let wrong = |what: String| garbage(&listed.asked, what);
    let text = std::str::from_utf8(&listed.body)
        .map_err(|e| wrong(format!("not UTF-8 at byte {}", e.valid_up_to())))?;
    let AtMost(accounts) = serde_json::from_str::<AtMost<Box<RawValue>, MOST_ITEMS>>(text)
        .map_err(|error| wrong(error.to_string()))?;
    let mut page = FollowersPage::default();
    let mut last = None;
    for raw in accounts {
        match Account::read(raw, &listed.acct.domain) {
            Ok(account) => {
                page.ids.push(account.profile.id.clone());
                page.profiles.push(account.profile);
            }
            Err(what) => {
                page.unusable += 1;
                last = Some(what);
            }
        }
    }
    if let (true, Some(what)) = (page.ids.is_empty(), last) {
        return Err(wrong(format!("none of {} followers is usable: {what}", page.unusable)));
    }
    page.next = listed.next()?;
    Ok(page)
}
