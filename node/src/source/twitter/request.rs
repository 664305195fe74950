//! Twitter's requests.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request, Url};
use storage::ids::UserId;

use crate::rate::{BudgetScope, Per};
use crate::source::{Asked, SourceError};

/// The address of the API, and the credentials.
#[derive(Debug, Clone)]
pub struct TwitterSettings {
    /// The prefix of every URL before `statuses/...`, such as `http://localhost:5000/1/` or
    /// `https://api.twitter.com/1.1/`.
    pub base_url: String,
    /// A bearer token, sent with every request.
    pub bearer: Option<String>,
    /// How budgets are divided; by default per token if there is one, else per local address.
    pub budget_per: Option<Per>,
}

/// Why settings are invalid.
#[derive(Debug, thiserror::Error)]
pub enum TwitterSettingsError {
    /// Not an absolute `http` or `https` URL.
    #[error("{url:?} is no base URL of an API: {what}; give one such as https://api.twitter.com/1.1/")]
    BaseUrl {
        /// The setting's value.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// A token that does not fit into a header.
    #[error("the bearer token has characters that no token has; check for line breaks and spaces around it")]
    Bearer,
}

/// An endpoint with its own budget.
#[derive(Debug, Clone, Copy)]
pub(super) enum Resource {
    Timeline,
    Followers,
    Lookup,
}

impl Resource {
    const ALL: [Self; 3] = [Self::Timeline, Self::Followers, Self::Lookup];

    fn path(self) -> &'static str {
        match self {
            Self::Timeline => "statuses/user_timeline",
            Self::Followers => "followers/ids",
            Self::Lookup => "users/lookup",
        }
    }
}

/// Builds requests. Constant parts are built once.
#[derive(Debug)]
pub(super) struct Requests {
    urls: [Url; 3],
    shown_base: Box<str>,
    shown: [Box<str>; 3],
    scopes: [BudgetScope; 3],
    bearer: Option<HeaderValue>,
}

impl Requests {
    pub(super) fn new(settings: &TwitterSettings) -> Result<Self, TwitterSettingsError> {
        let base = parse_base(&settings.base_url)?;
        let mut shown_base = base.clone();
        // If there is nothing to strip, the URL contains no secrets either.
        let _ = shown_base.set_username("").and_then(|()| shown_base.set_password(None));
        let bearer = settings.bearer.as_deref().map(bearer_header).transpose()?;
        let per = settings.budget_per.unwrap_or(if bearer.is_some() { Per::Source } else { Per::Address });
        // Another token has another budget. The name is written to disk and must not reveal the token.
        let owner = settings
            .bearer
            .as_deref()
            .map(|token| format!(" token {:08x}", crc32fast::hash(token.as_bytes())));
        let owner = owner.unwrap_or_default();
        let join = |base: &Url, resource: Resource| {
            let mut url = base.clone();
            url.set_path(&format!("{}{}.json", base.path(), resource.path()));
            url
        };
        Ok(Self {
            urls: Resource::ALL.map(|resource| join(&base, resource)),
            shown: Resource::ALL.map(|resource| join(&shown_base, resource).as_str().into()),
            scopes: Resource::ALL
                .map(|resource| BudgetScope::new(&format!("{shown_base}{}{owner}", resource.path()), per)),
            shown_base: shown_base.as_str().into(),
            bearer,
        })
    }

    /// The base URL, without secrets.
    pub(super) fn base(&self) -> &str {
        &self.shown_base
    }

    pub(super) fn asked(&self, resource: Resource, user: Option<&UserId>) -> Asked {
        Asked { url: self.shown[resource as usize].clone(), user: user.cloned() }
    }

    pub(super) fn scope(&self, resource: Resource) -> BudgetScope {
        self.scopes[resource as usize].clone()
    }

    pub(super) fn timeline(
        &self,
        user: &UserId,
        max_id: Option<&str>,
        since_id: Option<&str>,
    ) -> Result<Request, SourceError> {
        let id = self.numeric(Resource::Timeline, user)?;
        let mut url = self.urls[Resource::Timeline as usize].clone();
        url.set_query(Some(&format!("count=200&include_rts=1&include_entities=1&user_id={id}")));
        for (name, value) in [("max_id", max_id), ("since_id", since_id)] {
            if let Some(value) = value {
                url.query_pairs_mut().append_pair(name, value);
            }
        }
        Ok(self.signed(Method::GET, url))
    }

    pub(super) fn followers(&self, user: &UserId, cursor: &str) -> Result<Request, SourceError> {
        let id = self.numeric(Resource::Followers, user)?;
        let mut url = self.urls[Resource::Followers as usize].clone();
        url.query_pairs_mut().append_pair("cursor", cursor);
        let query = format!("{}&stringify_ids=true&user_id={id}", url.query().unwrap_or_default());
        url.set_query(Some(&query));
        Ok(self.signed(Method::GET, url))
    }

    pub(super) fn lookup(&self, ids: &[UserId]) -> Result<Request, SourceError> {
        let ids: Vec<String> = ids
            .iter()
            .map(|id| Ok(self.numeric(Resource::Lookup, id)?.to_string()))
            .collect::<Result<_, _>>()?;
        self.users("user_id", &ids)
    }

    pub(super) fn resolve(&self, names: &[String]) -> Result<Request, SourceError> {
        let fits =
            |name: &String| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if let Some(name) = names.iter().find(|name| !fits(name)) {
            let what = format!("{name:?} is no screen name");
            return Err(self.unfit(
                Resource::Lookup,
                None,
                what,
                "screen names are letters, digits and underscores",
            ));
        }
        self.users("screen_name", names)
    }

    fn users(&self, field: &str, values: &[String]) -> Result<Request, SourceError> {
        if values.is_empty() || values.len() > super::LOOKUP_BATCH {
            let what = format!("{} accounts in one look-up", values.len());
            return Err(self.unfit(Resource::Lookup, None, what, "look up between 1 and 100 at a time"));
        }
        let mut request = self.signed(Method::POST, self.urls[Resource::Lookup as usize].clone());
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form);
        *request.body_mut() = Some(format!("{field}={}&include_entities=f", values.join(",")).into());
        Ok(request)
    }

    fn signed(&self, method: Method, url: Url) -> Request {
        let mut request = Request::new(method, url);
        if let Some(bearer) = &self.bearer {
            request.headers_mut().insert(AUTHORIZATION, bearer.clone());
        }
        request
    }

    fn numeric(&self, resource: Resource, user: &UserId) -> Result<u64, SourceError> {
        match user {
            UserId::Number(id) => Ok(*id),
            UserId::Text(text) => {
                let what = format!("{text:?} is no Twitter id");
                Err(self.unfit(
                    resource,
                    Some(user),
                    what,
                    "Twitter's ids are numbers; give @screen_name for a name",
                ))
            }
        }
    }

    fn unfit(
        &self,
        resource: Resource,
        user: Option<&UserId>,
        what: String,
        remedy: &'static str,
    ) -> SourceError {
        SourceError::Refused { asked: self.asked(resource, user), status: None, what, remedy }
    }
}

/// Checks a text for [`TwitterSettings::base_url`].
///
/// # Errors
/// What is wrong with it.
pub fn check_base_url(text: &str) -> Result<(), TwitterSettingsError> {
    parse_base(text).map(|_url| ())
}

/// Checks a text for [`TwitterSettings::bearer`].
///
/// # Errors
/// It has characters that no header can contain.
pub fn check_bearer(text: &str) -> Result<(), TwitterSettingsError> {
    bearer_header(text).map(|_header| ())
}

fn parse_base(text: &str) -> Result<Url, TwitterSettingsError> {
    let error = |what: String| TwitterSettingsError::BaseUrl { url: text.to_owned(), what };
    let mut url = Url::parse(text).map_err(|e| error(e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(error("it does not begin with http:// or https:// and a host".to_owned()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(error("it has a query or a fragment".to_owned()));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

fn bearer_header(token: &str) -> Result<HeaderValue, TwitterSettingsError> {
    let printable = !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
    let header = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| printable);
    let mut header = header.ok_or(TwitterSettingsError::Bearer)?;
    header.set_sensitive(true);
    Ok(header)
}
