//! Builds requests.

use reqwest::header::{AUTHORIZATION, HeaderValue, USER_AGENT};
use reqwest::{Method, Request, Url};
use storage::ids::UserId;

use super::cost::sizes;
use super::settings::{Wording, XApp, XSettings, XSettingsError};
use crate::rate::{BudgetScope, Per};
use crate::source::{Asked, Endpoint, SourceError};

/// Builds requests. Constant parts are built once.
#[derive(Debug)]
pub(super) struct Requests {
    base: Url,
    apps: Vec<XApp>,
    user_agent: Option<HeaderValue>,
    /// By app and endpoint.
    scopes: Vec<[BudgetScope; 4]>,
    /// The constant part of the query of posts and of users.
    post_query: String,
    user_query: String,
}

fn path_of(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Timeline | Endpoint::Repository => "users/:id/tweets",
        Endpoint::Followers => "users/:id/followers",
        Endpoint::Lookup | Endpoint::Locate => "users",
        Endpoint::Resolve => "users/by",
    }
}

const ENDPOINTS: [Endpoint; 4] =
    [Endpoint::Timeline, Endpoint::Followers, Endpoint::Lookup, Endpoint::Resolve];

impl Requests {
    pub(super) fn new(settings: &XSettings) -> Result<Self, XSettingsError> {
        let base = settings.check()?;
        let scope = |app: &XApp, endpoint| {
            BudgetScope::new(&format!("{base}{} app {}", path_of(endpoint), app.name()), Per::Source)
        };
        let scopes = settings.apps.iter().map(|app| ENDPOINTS.map(|endpoint| scope(app, endpoint))).collect();
        let fields = match settings.wording {
            Wording::Tweets => "tweet.fields",
            Wording::Posts => "post.fields",
        };
        let of_posts = [
            (fields, &settings.post_fields),
            ("user.fields", &settings.user_fields),
            ("media.fields", &settings.media_fields),
            ("place.fields", &settings.place_fields),
            ("poll.fields", &settings.poll_fields),
            ("expansions", &settings.post_expansions),
            ("exclude", &settings.exclude),
        ];
        let mut of_users = vec![("user.fields", &settings.user_fields)];
        if !settings.user_expansions.is_empty() {
            of_users.extend([(fields, &settings.post_fields), ("expansions", &settings.user_expansions)]);
        }
        let (post_query, user_query) = (query(&of_posts), query(&of_users));
        let user_agent = settings.user_agent.as_deref().map(HeaderValue::from_str).transpose();
        let user_agent = user_agent.map_err(|_| XSettingsError::UserAgent)?;
        Ok(Self { base, apps: settings.apps.clone(), user_agent, scopes, post_query, user_query })
    }

    /// Where the API is.
    pub(super) fn place(&self) -> String {
        self.base.to_string()
    }

    pub(super) fn asked(&self, endpoint: Endpoint, user: Option<&UserId>) -> Asked {
        Asked { url: format!("{}{}", self.base, path_of(endpoint)).into(), user: user.cloned() }
    }

    pub(super) fn scope(&self, app: usize, endpoint: Endpoint) -> BudgetScope {
        let at = ENDPOINTS.iter().position(|one| *one == endpoint).unwrap_or(0);
        self.scopes[app][at].clone()
    }

    /// A page of posts or of followers, of `size` objects at the most.
    pub(super) fn list(
        &self,
        app: usize,
        endpoint: Endpoint,
        user: &UserId,
        (cursor, since): (Option<&str>, Option<&str>),
        size: u32,
    ) -> Result<Request, SourceError> {
        let id = self.numeric(endpoint, user)?;
        let (least, most) = sizes(endpoint);
        let mut url = self.base.clone();
        let (list, query) = match endpoint {
            Endpoint::Timeline | Endpoint::Repository => ("tweets", &self.post_query),
            _ => ("followers", &self.user_query),
        };
        url.set_path(&format!("{}users/{id}/{list}", self.base.path()));
        url.set_query(Some(&format!("max_results={}{query}", size.clamp(least, most))));
        for (name, value) in [("pagination_token", cursor), ("since_id", since)] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        Ok(self.signed(app, url))
    }

    pub(super) fn lookup(&self, app: usize, ids: &[UserId]) -> Result<Request, SourceError> {
        let endpoint = Endpoint::Lookup;
        let ids: Result<Vec<String>, _> =
            ids.iter().map(|id| Ok(self.numeric(endpoint, id)?.to_string())).collect();
        self.users(app, endpoint, "users", "ids", &ids?)
    }

    pub(super) fn resolve(&self, app: usize, names: &[String]) -> Result<Request, SourceError> {
        let fits = |name: &&String| {
            (1..=15).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        if let Some(name) = names.iter().find(|name| !fits(name)) {
            let what = format!("{:?} is no user name", storage::text::excerpt(name, 40));
            let remedy = "user names are 1 to 15 letters, digits and underscores";
            return Err(self.unfit(Endpoint::Resolve, None, what, remedy));
        }
        self.users(app, Endpoint::Resolve, "users/by", "usernames", names)
    }

    fn users(
        &self,
        app: usize,
        endpoint: Endpoint,
        path: &str,
        parameter: &str,
        values: &[String],
    ) -> Result<Request, SourceError> {
        if values.is_empty() || values.len() > super::LOOKUP_BATCH {
            let what = format!("{} accounts in one look-up", values.len());
            return Err(self.unfit(endpoint, None, what, "look up between 1 and 100 at a time"));
        }
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        url.set_query(Some(&format!("{parameter}={}{}", values.join(","), self.user_query)));
        Ok(self.signed(app, url))
    }

    /// A request that is refused and not charged.
    pub(super) fn without_token(&self) -> Request {
        let mut url = self.base.clone();
        url.set_path(&format!("{}users", self.base.path()));
        self.plain(url)
    }

    /// The budget of [such requests](Self::without_token).
    pub(super) fn date_scope(&self) -> BudgetScope {
        BudgetScope::new(&format!("{}users without a token", self.base), Per::Source)
    }

    fn signed(&self, app: usize, url: Url) -> Request {
        let mut request = self.plain(url);
        request.headers_mut().insert(AUTHORIZATION, self.apps[app].header().clone());
        request
    }

    fn plain(&self, url: Url) -> Request {
        let mut request = Request::new(Method::GET, url);
        if let Some(user_agent) = &self.user_agent {
            request.headers_mut().insert(USER_AGENT, user_agent.clone());
        }
        request
    }

    fn numeric(&self, endpoint: Endpoint, user: &UserId) -> Result<u64, SourceError> {
        match user {
            UserId::Number(id) => Ok(*id),
            UserId::Text(text) => {
                let what = format!("{text:?} is no id of X");
                Err(self.unfit(endpoint, Some(user), what, "X's ids are numbers; give @name for a name"))
            }
        }
    }

    fn unfit(
        &self,
        endpoint: Endpoint,
        user: Option<&UserId>,
        what: String,
        remedy: &'static str,
    ) -> SourceError {
        SourceError::Refused { asked: self.asked(endpoint, user), status: None, what, remedy }
    }
}

/// Lists as parameters of a query. Their names and items need no escapes.
fn query(lists: &[(&str, &Vec<String>)]) -> String {
    let given = lists.iter().filter(|(_, list)| !list.is_empty());
    given.map(|(name, list)| format!("&{name}={}", list.join(","))).collect()
}
