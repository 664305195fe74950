//! The two wordings of the API.

/// How the API calls a post. Version 2.167 of the specification renamed parameters and fields; the guides and all
/// versions before it say "tweet".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wording {
    /// `tweet.fields`, `includes.tweets`, `referenced_tweets`: up to version 2.166.
    #[default]
    Tweets,
    /// `post.fields`, `includes.posts`, `referenced_posts`: version 2.167.
    Posts,
}

/// The names that differ.
pub(super) struct Names {
    pub fields: &'static str,
    pub included: &'static str,
    pub references: &'static str,
    /// The expansions that add referenced posts, and their authors.
    pub reference_expansion: &'static str,
    pub reference_author_expansion: Option<&'static str>,
    pub edit_history: &'static str,
    pub pinned: &'static str,
    pub reposts: &'static str,
    pub posts_count: &'static str,
    /// `resource_type` of a post in a problem.
    pub resource: &'static str,
}

impl Wording {
    pub(super) fn names(self) -> Names {
        match self {
            Self::Tweets => Names {
                fields: "tweet.fields",
                included: "tweets",
                references: "referenced_tweets",
                reference_expansion: "referenced_tweets.id",
                reference_author_expansion: Some("referenced_tweets.id.author_id"),
                edit_history: "edit_history_tweet_ids",
                pinned: "pinned_tweet_id",
                reposts: "retweet_count",
                posts_count: "tweet_count",
                resource: "tweet",
            },
            Self::Posts => Names {
                fields: "post.fields",
                included: "posts",
                references: "referenced_posts",
                reference_expansion: "referenced_posts",
                reference_author_expansion: None,
                edit_history: "edit_history_post_ids",
                pinned: "pinned_post_id",
                reposts: "repost_count",
                posts_count: "post_count",
                resource: "post",
            },
        }
    }
}
