//! An HTTP client, bound to one local address.

mod body;
mod guard;
mod names;
mod open;

use std::error::Error as _;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Proxy, Request, Url};
use storage::env::Clock;

pub use body::BodyError;
pub use guard::{ForbiddenHost, ForeignHosts};
pub use open::OpenAnswer;
pub use storage::net::tls::ClientTls;

use guard::Resolver;

use crate::rate::{Delivery, RateInfo};

/// How long a connection is kept that nobody uses. A walk uses its own again within moments. Those of a crawl of thousands of
/// hosts add up: each keeps a buffer of the size of the pages that came over it.
const KEPT_IDLE: Duration = Duration::from_secs(2);
/// Most connections to one host that are kept although nobody uses them, if a stranger has named it.
const IDLE_PER_STRANGER: usize = 2;

/// Settings of requests.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Timeout for establishing a connection.
    pub connect_timeout: Duration,
    /// Timeout of a whole answer, including its body.
    pub request_timeout: Duration,
    /// Timeout of a silent connection within an answer.
    pub idle_timeout: Duration,
    /// Most bytes of a body, after decompression.
    pub body_limit: usize,
    /// URL of a proxy. The environment's `http_proxy` is ignored, because a proxy would defeat the bound
    /// address.
    pub proxy: Option<String>,
    /// Whether answers may be compressed with gzip.
    pub accept_gzip: bool,
    /// The `User-Agent` header.
    pub user_agent: String,
}

/// Who named the host of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamedBy {
    /// The operator, in the settings.
    Settings,
    /// Anybody: a document of an account, or an answer of a server. It has to be one of these.
    Strangers(ForeignHosts),
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(15),
            body_limit: 16 << 20,
            proxy: None,
            accept_gzip: true,
            user_agent: concat!("twm/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Why a client could not be created.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The proxy's URL is invalid.
    #[error("the proxy {url:?} is not a proxy URL: {source}; give one such as http://host:3128")]
    Proxy {
        /// The setting's value.
        url: String,
        /// What is wrong with it.
        source: reqwest::Error,
    },
    /// The client could not be built.
    #[error("no HTTP client for the address {address}: {source}; check --ips and the user agent")]
    Build {
        /// The local address, or `any`.
        address: String,
        /// What went wrong.
        source: reqwest::Error,
    },
}

/// Why a request got no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAnswer {
    /// Whether the server may have counted it: [`Delivery::NotSent`] or [`Delivery::Unanswered`].
    pub delivery: Delivery,
    /// What went wrong.
    pub what: String,
    /// The host may not be asked: it would not be later, either.
    pub forbidden: bool,
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.delivery {
            Delivery::NotSent => write!(f, "no connection: {}", self.what),
            _ => write!(f, "no answer: {}", self.what),
        }
    }
}

/// An answer of any status.
#[derive(Debug)]
pub struct HttpAnswer {
    /// HTTP status.
    pub status: u16,
    /// What its headers report about the budget.
    pub rate: RateInfo,
    /// All its headers.
    pub headers: HeaderMap,
    /// Its body, decompressed.
    pub body: Result<Vec<u8>, BodyError>,
}

/// An HTTP client with its own connections, bound to one local address.
pub struct HttpClient {
    client: Client,
    /// For hosts that strangers name: made with the first such request.
    guarded: OnceLock<Client>,
    address: Option<IpAddr>,
    settings: HttpSettings,
    tls: ClientTls,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("address", &self.address).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client whose connections come from `address`, or from an address that the system chooses.
    pub fn new(
        address: Option<IpAddr>,
        settings: &HttpSettings,
        tls: &ClientTls,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, HttpError> {
        let (settings, tls) = (settings.clone(), tls.clone());
        let client =
            connections(address, &settings, &tls)?.build().map_err(|source| unbuilt(address, source))?;
        Ok(Self { client, guarded: OnceLock::new(), address, settings, tls, clock })
    }

    /// The local address, or `None` if the system chooses it.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// A request for a page. User and password of the URL are moved to a header.
    ///
    /// # Errors
    /// The URL is unusable.
    pub fn get(&self, url: Url) -> Result<Request, reqwest::Error> {
        self.client.get(url).build()
    }

    /// Sends a request exactly once, and reads its answer. Its host is one of the settings.
    pub async fn exchange(&self, request: Request) -> Result<HttpAnswer, NoAnswer> {
        self.exchange_with(request, NamedBy::Settings).await
    }

    /// Sends a request exactly once, and reads its answer.
    ///
    /// # Errors
    /// There is no answer, or the host may not be asked.
    pub async fn exchange_with(&self, request: Request, named_by: NamedBy) -> Result<HttpAnswer, NoAnswer> {
        let answer = self.open(request, named_by).await?;
        let (status, rate, headers) = (answer.status, answer.rate.clone(), answer.headers.clone());
        let body = answer.body().await;
        Ok(HttpAnswer { status, rate, headers, body })
    }

    /// Sends a request exactly once; its body is left to the caller, which may be long. The request's own timeout
    /// applies if it has one.
    ///
    /// # Errors
    /// There is no answer, or the host may not be asked.
    pub async fn open(&self, request: Request, named_by: NamedBy) -> Result<OpenAnswer, NoAnswer> {
        let client = match named_by {
            NamedBy::Settings => &self.client,
            NamedBy::Strangers(hosts) => self.guarded(request.url(), hosts)?,
        };
        let response = client.execute(request).await.map_err(|error| NoAnswer {
            delivery: if error.is_connect() { Delivery::NotSent } else { Delivery::Unanswered },
            what: root_cause(&error),
            forbidden: is_forbidden(&error),
        })?;
        let rate = RateInfo::from_headers(response.status().as_u16(), response.headers(), self.clock.wall());
        Ok(OpenAnswer::new(response, rate, self.settings.body_limit))
    }

    /// The client for a host that a stranger named.
    fn guarded(&self, url: &Url, hosts: ForeignHosts) -> Result<&Client, NoAnswer> {
        let refused = |what: String, forbidden| NoAnswer { delivery: Delivery::NotSent, what, forbidden };
        hosts.check(url).map_err(|forbidden| refused(forbidden.to_string(), true))?;
        if hosts == ForeignHosts::Any {
            return Ok(&self.client);
        }
        if let Some(client) = self.guarded.get() {
            return Ok(client);
        }
        let built = connections(self.address, &self.settings, &self.tls).and_then(|builder| {
            // A proxy resolves names itself, and its own host is one of the settings.
            let builder = match self.settings.proxy {
                Some(_) => builder,
                None => builder.dns_resolver(Resolver::Public),
            };
            // There may be thousands of them, and each connection has buffers of its own.
            builder
                .pool_max_idle_per_host(IDLE_PER_STRANGER)
                .build()
                .map_err(|source| unbuilt(self.address, source))
        });
        let client = built.map_err(|error| refused(error.to_string(), false))?;
        Ok(self.guarded.get_or_init(|| client))
    }
}

/// A client's settings.
fn connections(
    address: Option<IpAddr>,
    settings: &HttpSettings,
    tls: &ClientTls,
) -> Result<ClientBuilder, HttpError> {
    let mut headers = HeaderMap::new();
    if settings.accept_gzip {
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let mut builder = Client::builder()
        .local_address(address)
        .tls_backend_preconfigured(tls.config())
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.request_timeout)
        .read_timeout(settings.idle_timeout)
        .user_agent(&settings.user_agent)
        .default_headers(headers)
        .redirect(Policy::none())
        .dns_resolver(Resolver::Any)
        .pool_idle_timeout(KEPT_IDLE)
        // A request that is sent twice counts twice.
        .retry(reqwest::retry::never())
        .no_proxy();
    if let Some(url) = &settings.proxy {
        let proxy = Proxy::all(url).map_err(|source| HttpError::Proxy { url: url.clone(), source })?;
        builder = builder.proxy(proxy);
    }
    Ok(builder)
}

fn unbuilt(address: Option<IpAddr>, source: reqwest::Error) -> HttpError {
    let address = address.map_or_else(|| "any".to_owned(), |address| address.to_string());
    HttpError::Build { address, source }
}

/// Whether the resolver refused the host.
fn is_forbidden(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(source) = cause {
        if source.is::<ForbiddenHost>() {
            return true;
        }
        cause = source.source();
    }
    false
}

/// The root cause of an error, without the URL, which may contain secrets.
pub(super) fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.source().is_none() { "broken".to_owned() } else { cause.to_string() }
}
