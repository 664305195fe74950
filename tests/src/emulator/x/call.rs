//! Reads a request.

use std::collections::BTreeSet;

use form_urlencoded::parse;

use super::api::XEndpoint;
use super::problem::Refusal;
use super::wording::Wording;

/// Most ids or names in a look-up.
const LOOKUP_MOST: usize = 100;

/// Posts on a page and followers on a page: least, default, most.
const POSTS: (u64, u64, u64) = (5, 10, 100);
const FOLLOWERS: (u64, u64, u64) = (1, 100, 1000);

/// The parameters of a request.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub fn read(query: Option<&str>) -> Self {
        Self(parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The items of a list, separated by commas.
    fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        self.text(name).into_iter().flat_map(|value| value.split(',')).filter(|item| !item.is_empty())
    }
}

/// What a request is about.
pub(super) enum Subject {
    /// Posts of an account: below `until`, above `since`.
    Posts {
        user: u64,
        since: Option<u64>,
        until: Option<u64>,
        size: usize,
        exclude: BTreeSet<String>,
    },
    Followers {
        user: u64,
        offset: u64,
        size: usize,
    },
    /// The parameter's name, and its values as they came.
    Users {
        parameter: &'static str,
        values: Vec<String>,
    },
}

/// A request.
pub(super) struct Call {
    pub subject: Subject,
    pub expansions: BTreeSet<String>,
    pub post_fields: BTreeSet<String>,
    pub user_fields: BTreeSet<String>,
}

/// Reads parameters and complains in the API's words.
struct Reader<'a> {
    host: &'static str,
    wording: Wording,
    query: &'a Query,
}

impl Call {
    /// Reads the parameters of a request to `endpoint` about `user`, if its path names one.
    pub fn read(
        host: &'static str,
        wording: Wording,
        endpoint: XEndpoint,
        user: Option<&str>,
        query: &Query,
    ) -> Result<Self, Refusal> {
        let (reader, names) = (Reader { host, wording, query }, wording.names());
        let other = if names.fields == "tweet.fields" { "post.fields" } else { "tweet.fields" };
        if let Some(value) = query.text(other) {
            return Err(reader.wrong(other, value, "this parameter is not known"));
        }
        let subject = match endpoint {
            XEndpoint::Posts => reader.posts(user.unwrap_or_default())?,
            XEndpoint::Followers => reader.followers(user.unwrap_or_default())?,
            XEndpoint::Users => reader.users("ids", |id| id.parse::<u64>().is_ok() && id.len() <= 19)?,
            XEndpoint::UsersBy => reader.users("usernames", |name| {
                (1..=15).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            })?,
        };
        let set = |name: &str| query.list(name).map(str::to_owned).collect();
        Ok(Self {
            subject,
            expansions: set("expansions"),
            post_fields: set(names.fields),
            user_fields: set("user.fields"),
        })
    }
}

impl Reader<'_> {
    fn wrong(&self, parameter: &str, value: &str, what: &str) -> Refusal {
        let what = format!("The `{parameter}` query parameter: {what}");
        Refusal::invalid(self.host, self.wording, parameter, value, &what)
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let Some(text) = self.query.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| self.wrong(name, text, "it is not a number"))
    }

    fn id(&self, text: &str) -> Result<u64, Refusal> {
        text.parse().map_err(|_| self.wrong("id", text, "it does not match ^[0-9]{1,19}$"))
    }

    fn size(&self, (least, default, most): (u64, u64, u64)) -> Result<usize, Refusal> {
        let size = self.number("max_results")?.unwrap_or(default);
        if !(least..=most).contains(&size) {
            let what = format!("it is not between {least} and {most}");
            return Err(self.wrong("max_results", &size.to_string(), &what));
        }
        Ok(size as usize)
    }

    fn posts(&self, user: &str) -> Result<Subject, Refusal> {
        let user = self.id(user)?;
        let until = match self.query.text("pagination_token") {
            Some(token) => Some(self.token(token, 'p', user)?),
            None => self.number("until_id")?,
        };
        let exclude: BTreeSet<String> = self.query.list("exclude").map(str::to_owned).collect();
        if let Some(other) = exclude.iter().find(|one| !["replies", "retweets"].contains(&one.as_str())) {
            return Err(self.wrong("exclude", other, "it is not one of replies, retweets"));
        }
        Ok(Subject::Posts { user, since: self.number("since_id")?, until, size: self.size(POSTS)?, exclude })
    }

    fn followers(&self, user: &str) -> Result<Subject, Refusal> {
        let user = self.id(user)?;
        let offset =
            self.query.text("pagination_token").map(|token| self.token(token, 'f', user)).transpose()?;
        Ok(Subject::Followers { user, offset: offset.unwrap_or(0), size: self.size(FOLLOWERS)? })
    }

    fn users(&self, parameter: &'static str, fits: impl Fn(&str) -> bool) -> Result<Subject, Refusal> {
        let values: Vec<String> = self.query.list(parameter).map(str::to_owned).collect();
        if values.is_empty() || values.len() > LOOKUP_MOST {
            let what = format!("it has {} values; from 1 to {LOOKUP_MOST} are allowed", values.len());
            return Err(self.wrong(parameter, "", &what));
        }
        match values.iter().find(|value| !fits(value)) {
            Some(value) => Err(self.wrong(parameter, value, "it does not match its pattern")),
            None => Ok(Subject::Users { parameter, values }),
        }
    }

    fn token(&self, token: &str, kind: char, user: u64) -> Result<u64, Refusal> {
        read_token(token, kind, user).ok_or_else(|| self.wrong("pagination_token", token, "it is not valid"))
    }
}

/// A token for the page from `position` on. It belongs to one list of one account.
pub(super) fn write_token(kind: char, user: u64, position: u64) -> String {
    format!("{kind}{:016x}{position:016x}", user ^ 0x5a5a_5a5a)
}

fn read_token(token: &str, kind: char, user: u64) -> Option<u64> {
    let rest = token.strip_prefix(kind)?.strip_prefix(format!("{:016x}", user ^ 0x5a5a_5a5a).as_str())?;
    u64::from_str_radix(rest, 16).ok().filter(|_| rest.len() == 16)
}
