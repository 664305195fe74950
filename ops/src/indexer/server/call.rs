//! HTTP calls to a search server.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use storage::net::tls::ClientTls;

use super::ServerUrl;

/// Timeouts of a connection and of a whole answer.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(60);
/// Largest answer, bytes.
const LARGEST: usize = 32 << 20;
/// Longest quoted part of an answer, characters.
const SHOWN: usize = 300;

/// A client of a server.
pub(super) struct Call {
    client: Client,
    url: ServerUrl,
}

/// An answer of any status.
pub(super) struct Answer {
    pub(super) status: u16,
    body: Vec<u8>,
}

/// Why there is no usable answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("no answer: {0}")]
    Silent(String),
    #[error("an answer of more than {LARGEST} bytes")]
    TooLarge,
    #[error("it answers {status}: {text}")]
    Bad { status: u16, text: String },
    #[error("its answer is not understood: {0}")]
    Strange(String),
}

impl Call {
    /// A client of the server at this URL.
    pub(super) fn new(url: ServerUrl) -> Result<Self, String> {
        let tls = ClientTls::new().map_err(|error| error.to_string())?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls.config())
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("twm-indexer/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { client: client.map_err(|error| error.to_string())?, url })
    }

    pub(super) fn url(&self) -> &ServerUrl {
        &self.url
    }

    pub(super) async fn get(&self, path: &str) -> Result<Answer, CallError> {
        self.send(self.request(Method::GET, path)?).await
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Answer, CallError> {
        self.send(self.request(Method::DELETE, path)?).await
    }

    pub(super) async fn put(&self, path: &str, json: &Value) -> Result<Answer, CallError> {
        let request = self.request(Method::PUT, path)?;
        self.send(request.header(CONTENT_TYPE, "application/json").body(json.to_string())).await
    }

    pub(super) async fn post(&self, path: &str, json: &Value) -> Result<Answer, CallError> {
        let request = self.request(Method::POST, path)?;
        self.send(request.header(CONTENT_TYPE, "application/json").body(json.to_string())).await
    }

    /// Posts lines of JSON.
    pub(super) async fn post_lines(&self, path: &str, lines: &str) -> Result<Answer, CallError> {
        let request = self.request(Method::POST, path)?;
        self.send(request.header(CONTENT_TYPE, "application/x-ndjson").body(lines.to_owned())).await
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, CallError> {
        let url = self.url.base.join(path).map_err(|error| CallError::Strange(error.to_string()))?;
        let request = self.client.request(method, url);
        Ok(match &self.url.login {
            Some((user, password)) => request.basic_auth(user, Some(password)),
            None => request,
        })
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, CallError> {
        let mut response = request.send().await.map_err(|error| CallError::Silent(root_cause(&error)))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) =
            response.chunk().await.map_err(|error| CallError::Silent(root_cause(&error)))?
        {
            if body.len() + chunk.len() > LARGEST {
                return Err(CallError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
    }
}

impl Answer {
    /// Itself, if it reports success.
    pub(super) fn good(self) -> Result<Self, CallError> {
        match self.status {
            200..=299 => Ok(self),
            status => Err(CallError::Bad { status, text: self.text() }),
        }
    }

    pub(super) fn json(&self) -> Result<Value, CallError> {
        serde_json::from_slice(&self.body).map_err(|error| CallError::Strange(error.to_string()))
    }

    /// Its text, shortened: the reason of an error, if there is one.
    pub(super) fn text(&self) -> String {
        let json = self.json().unwrap_or_default();
        let text = match reason(&json["error"]) {
            Some(reason) => reason,
            None => String::from_utf8_lossy(&self.body).into_owned(),
        };
        text.chars().take(SHOWN).collect()
    }
}

/// Type, reason and cause of an error in the format of search servers, each shortened.
pub(super) fn reason(error: &Value) -> Option<String> {
    let short = |text: &str| text.chars().take(SHOWN).collect::<String>();
    let reason = short(error["reason"].as_str()?);
    let kind = error["type"].as_str().unwrap_or("error");
    Some(match error["caused_by"]["reason"].as_str() {
        Some(cause) => format!("{kind}: {reason}: {}", short(cause)),
        None => format!("{kind}: {reason}"),
    })
}

/// The root cause of an error, without the URL.
fn root_cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "timed out".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.source().is_none() { "broken off".to_owned() } else { cause.to_string() }
}
