//! An HTTP client, bound to one local address.

mod body;

use std::error::Error as _;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy, Request, Url};
use storage::env::Clock;

pub use body::BodyError;
pub use storage::net::tls::ClientTls;

use body::read_body;

use crate::rate::{Delivery, RateInfo};

/// Most bytes of an error's body that are kept: enough for every message that networks send.
const ERROR_BODY_LIMIT: usize = 64 << 10;

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
    address: Option<IpAddr>,
    body_limit: usize,
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
            // A request that is sent twice counts twice.
            .retry(reqwest::retry::never())
            .no_proxy();
        if let Some(url) = &settings.proxy {
            let proxy = Proxy::all(url).map_err(|source| HttpError::Proxy { url: url.clone(), source })?;
            builder = builder.proxy(proxy);
        }
        let client = builder.build().map_err(|source| HttpError::Build {
            address: address.map_or_else(|| "any".to_owned(), |address| address.to_string()),
            source,
        })?;
        Ok(Self { client, address, body_limit: settings.body_limit, clock })
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

    /// Sends a request exactly once, and reads its answer.
    pub async fn exchange(&self, request: Request) -> Result<HttpAnswer, NoAnswer> {
        let response = self.client.execute(request).await.map_err(|error| NoAnswer {
            delivery: if error.is_connect() { Delivery::NotSent } else { Delivery::Unanswered },
            what: root_cause(&error),
        })?;
        let status = response.status().as_u16();
        let rate = RateInfo::from_headers(status, response.headers(), self.clock.wall());
        let good = response.status().is_success();
        let limit = if good { self.body_limit } else { ERROR_BODY_LIMIT.min(self.body_limit) };
        let headers = response.headers().clone();
        let body = read_body(response, limit).await;
        Ok(HttpAnswer { status, rate, headers, body })
    }
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
