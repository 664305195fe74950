//! The hosts: where their API is, with which token, and which budgets their requests count against.

use std::collections::HashMap;

use reqwest::header::{AUTHORIZATION, HOST, HeaderValue, USER_AGENT};
use reqwest::{Method, Request, Url};

use super::acct::Acct;
use super::elsewhere::Elsewhere;
use super::settings::{MastodonSettings, MastodonSettingsError, agent, base_url, bearer};
use crate::http_client::{ForeignHosts, NamedBy};
use crate::rate::{BudgetScope, Per};

/// What the settings say about all hosts.
#[derive(Debug)]
pub(super) struct Hosts {
    tokens: HashMap<String, Token>,
    apis: HashMap<String, Url>,
    gateway: Option<Url>,
    agent: Option<HeaderValue>,
    /// Of domains that have no API themselves.
    pub elsewhere: Elsewhere,
}

#[derive(Debug)]
struct Token {
    header: HeaderValue,
    /// For names of budgets, which are written to disk: does not reveal the token.
    mark: String,
}

/// The two limits of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Budget {
    /// All requests.
    Plain,
    /// Pages behind the first one, which count as plain requests too.
    Paging,
}

impl Hosts {
    pub fn new(settings: &MastodonSettings) -> Result<Self, MastodonSettingsError> {
        let named = |host: &str| match Acct::new("x", host) {
            Ok(acct) => Ok(acct.domain),
            Err(what) => Err(MastodonSettingsError::Host { host: host.to_owned(), what: what.to_owned() }),
        };
        let mut tokens = HashMap::new();
        for (host, token) in &settings.tokens {
            let mark = format!("{:08x}", crc32fast::hash(token.as_bytes()));
            tokens.insert(named(host)?, Token { header: bearer(host, token)?, mark });
        }
        let mut apis = HashMap::new();
        for (host, url) in &settings.apis {
            apis.insert(named(host)?, base_url(url)?);
        }
        let gateway = settings.gateway.as_deref().map(base_url).transpose()?;
        let agent = settings.user_agent.as_deref().map(agent).transpose()?;
        Ok(Self { tokens, apis, gateway, agent, elsewhere: Elsewhere::default() })
    }

    /// For people.
    pub fn place(&self) -> String {
        match &self.gateway {
            Some(gateway) => format!("all hosts, reached at {gateway}"),
            None => "the home of each account".to_owned(),
        }
    }

    /// Who named a host: accounts do, unless the settings say where it is.
    pub fn named_by(&self, domain: &str) -> NamedBy {
        match self.gateway.is_some() || self.apis.contains_key(domain) {
            true => NamedBy::Settings,
            false => NamedBy::Strangers(ForeignHosts::Public),
        }
    }

    /// The hosts that the settings name.
    pub fn named(&self) -> Vec<String> {
        let mut hosts: Vec<String> = self.tokens.keys().chain(self.apis.keys()).cloned().collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }

    pub fn has_token(&self, domain: &str) -> bool {
        self.token(domain).is_some()
    }

    /// The token of a domain, or of the host that has its API.
    fn token(&self, domain: &str) -> Option<&Token> {
        self.tokens.get(domain).or_else(|| self.tokens.get(&self.elsewhere.host_of(domain)?))
    }

    /// Whether the settings say where the API of a domain is.
    pub fn is_set(&self, domain: &str) -> bool {
        self.apis.contains_key(domain)
    }

    /// The host and port that the links of a host name.
    pub fn authority(&self, domain: &str) -> String {
        let Some(api) = self.apis.get(domain) else {
            return self.elsewhere.host_of(domain).unwrap_or_else(|| domain.to_owned());
        };
        let host = api.host_str().unwrap_or_default();
        api.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The address of a resource for messages.
    pub fn shown(&self, domain: &str, path: &str) -> String {
        format!("https://{}{path}", self.authority(domain))
    }

    /// The budget of a host. With a token, all addresses share it; without one, those of an IPv6 network do.
    pub fn scope(&self, domain: &str, budget: Budget) -> BudgetScope {
        let kind = match budget {
            Budget::Plain => "requests",
            Budget::Paging => "pages",
        };
        // Two domains whose API is at one host share its budget.
        let authority = self.authority(domain);
        let scope = match self.token(domain) {
            Some(Token { mark, .. }) => {
                BudgetScope::new(&format!("mastodon {authority} {kind} token {mark}"), Per::Source)
            }
            None => BudgetScope::new(&format!("mastodon {authority} {kind}"), Per::Network),
        };
        match budget {
            Budget::Plain => scope,
            Budget::Paging => scope.within(self.scope(domain, Budget::Plain)),
        }
    }

    /// A request to a host; the error says why there is none.
    pub fn get(&self, domain: &str, path: &str, query: &[(&str, &str)]) -> Result<Request, &'static str> {
        let own = match self.apis.get(domain) {
            Some(api) => Some(api.clone()),
            None => self.gateway.clone(),
        };
        let host = self.elsewhere.host_of(domain);
        let host = host.as_deref().unwrap_or(domain);
        let direct = || Url::parse(&format!("https://{host}/"));
        let mut url = own.map_or_else(direct, Ok).map_err(|_| "its host makes no URL")?;
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = Request::new(Method::GET, url);
        if self.gateway.is_some() && !self.apis.contains_key(domain) {
            let host = HeaderValue::from_str(host).map_err(|_| "its host makes no header")?;
            request.headers_mut().insert(HOST, host);
        }
        if let Some(agent) = &self.agent {
            request.headers_mut().insert(USER_AGENT, agent.clone());
        }
        if let Some(token) = self.token(domain) {
            request.headers_mut().insert(AUTHORIZATION, token.header.clone());
        }
        Ok(request)
    }
}
