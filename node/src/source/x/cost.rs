//! What requests cost: the exact cost of an answer, and the most that a request can cost.

use super::settings::{Wording, XSettingsError};
use crate::source::Endpoint;

/// Prices of objects, in millionths of the currency that the account is billed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    /// A post, in a page or in its `includes`.
    pub post: u64,
    /// A user that was looked up or is in `includes`.
    pub user: u64,
    /// A user on a page of followers.
    pub follower: u64,
}

impl Default for Prices {
    /// The list of August 2026, in millionths of a dollar: half a cent a post, a cent a user or follower.
    fn default() -> Self {
        Self { post: 5_000, user: 10_000, follower: 10_000 }
    }
}

/// Charged objects by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Posts.
    pub posts: u64,
    /// Users that were looked up or included.
    pub users: u64,
    /// Followers.
    pub followers: u64,
}

impl Cost {
    /// The sum in millionths of the currency; [`u64::MAX`] instead of an overflow.
    pub fn micros(&self, prices: &Prices) -> u64 {
        let parts = [(self.posts, prices.post), (self.users, prices.user), (self.followers, prices.follower)];
        parts.iter().fold(0u64, |sum, (count, price)| sum.saturating_add(count.saturating_mul(*price)))
    }
}

/// Posts that a post can refer to: one that it replies to, one that it quotes, one that it repeats.
const REFERENCES: u64 = 3;
/// Other versions of a post: it can be edited five times.
const EDITS: u64 = 5;
/// Posts that the media of a post were taken from: it has at most four.
const MEDIA_SOURCES: u64 = 4;

/// What an answer can hold beside the objects of its page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Extras {
    /// Posts included for each post.
    posts_of_post: u64,
    /// Users included for each post.
    users_of_post: u64,
    /// Users included once in a page.
    users_of_page: u64,
    /// Posts included for each user.
    posts_of_user: u64,
}

impl Extras {
    /// # Errors
    /// An expansion is unknown, or nothing bounds what it adds.
    pub(super) fn of(
        wording: Wording,
        of_posts: &[String],
        of_users: &[String],
    ) -> Result<Self, XSettingsError> {
        let mut extras = Self::default();
        let has = |name: &str| of_posts.iter().any(|one| one == name);
        for expansion in of_posts {
            match (wording, expansion.as_str()) {
                (
                    _,
                    "attachments.media_keys"
                    | "attachments.poll_ids"
                    | "geo.place_id"
                    | "article.cover_media",
                )
                | (_, "author_id" | "in_reply_to_user_id")
                | (Wording::Tweets, "referenced_tweets.id.author_id")
                | (Wording::Tweets, "referenced_tweets.id.attachments.media_keys") => {}
                (Wording::Tweets, "referenced_tweets.id") | (Wording::Posts, "referenced_posts") => {
                    extras.posts_of_post += REFERENCES;
                }
                (Wording::Tweets, "edit_history_tweet_ids") | (Wording::Posts, "edit_history_post_ids") => {
                    extras.posts_of_post += EDITS;
                }
                (_, "attachments.media_source_tweet") => extras.posts_of_post += MEDIA_SOURCES,
                _ => return Err(XSettingsError::Expansion { name: expansion.clone() }),
            }
        }
        // The owner of the page once, and whoever wrote the included posts: the API's guides do not say that it leaves
        // those out.
        if has("author_id") || has("referenced_tweets.id.author_id") {
            extras.users_of_page = 1;
            extras.users_of_post += extras.posts_of_post;
        }
        if has("in_reply_to_user_id") {
            extras.users_of_post += 1 + extras.posts_of_post;
        }
        for expansion in of_users {
            match (wording, expansion.as_str()) {
                (Wording::Tweets, "pinned_tweet_id" | "most_recent_tweet_id")
                | (Wording::Posts, "pinned_post_id" | "most_recent_post_id") => extras.posts_of_user += 1,
                _ => return Err(XSettingsError::Expansion { name: expansion.clone() }),
            }
        }
        Ok(extras)
    }

    /// The most that an answer to one request can cost.
    pub(super) fn worst(&self, endpoint: Endpoint, size: u32) -> Cost {
        let size = u64::from(size);
        let of_users = size * self.posts_of_user;
        match endpoint {
            Endpoint::Timeline | Endpoint::Repository => Cost {
                posts: size * (1 + self.posts_of_post),
                users: self.users_of_page + size * self.users_of_post,
                followers: 0,
            },
            Endpoint::Followers => Cost { posts: of_users, users: 0, followers: size },
            Endpoint::Lookup | Endpoint::Resolve | Endpoint::Locate => {
                Cost { posts: of_users, users: size, followers: 0 }
            }
        }
    }
}

/// The sizes that a page can have: the least and the most.
pub(super) fn sizes(endpoint: Endpoint) -> (u32, u32) {
    match endpoint {
        Endpoint::Timeline | Endpoint::Repository => (5, 100),
        Endpoint::Followers => (1, 1000),
        Endpoint::Lookup | Endpoint::Resolve | Endpoint::Locate => (1, 100),
    }
}
