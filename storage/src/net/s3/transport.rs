//! Connections, deadlines and retries, the same for every request.

use std::sync::Arc;
use std::time::Duration;

use ::http::header::{CONTENT_RANGE, HeaderMap, RETRY_AFTER};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};
use reqwest::redirect::Policy;
use tokio::time::{Instant, sleep, timeout};

use super::error::{Answer, Failure};
use super::requests::{Counter, Kind};
use super::{Credentials, S3Options, S3Problem, answers, tls};
use crate::env::{Backoff, SystemEntropy};

/// The slowest transfer that is waited for, in bytes per second.
const LEAST_RATE: u64 = 256 << 10;

/// Most bytes of an answer that is no object: a page of 1,000 keys has at most about 4 MiB.
const MAX_ANSWER: usize = 16 << 20;

/// Most bytes that are read of a refusal.
const MAX_REFUSAL: usize = 64 << 10;

/// The first wait before another attempt, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Idle connections are closed before the usual servers close them.
const KEEP_IDLE: Duration = Duration::from_secs(10);

/// Longest time for a request with, or an answer of, this many bytes.
pub(super) fn patience(timeout: Duration, bytes: u64) -> Duration {
    timeout.saturating_add(Duration::from_secs(bytes / LEAST_RATE))
}

/// Sends requests that are signed already.
#[derive(Debug)]
pub(super) struct Transport {
    client: reqwest::Client,
    counter: Arc<Counter>,
    credentials: Credentials,
    timeout: Duration,
    retry_for: Duration,
    entropy: SystemEntropy,
}

/// Why an attempt failed, and how long the server asks to wait before the next one.
struct Failed {
    failure: Failure,
    again: bool,
    wait: Option<Duration>,
}

impl Transport {
    pub(super) fn new(options: &S3Options, counter: Arc<Counter>) -> Result<Self, S3Problem> {
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::config(options.ca.as_deref())?)
            .http1_only()
            .connect_timeout(options.connect_timeout)
            .pool_idle_timeout(KEEP_IDLE)
            .user_agent(concat!("twm/", env!("CARGO_PKG_VERSION")))
            // A signature is for one host.
            .redirect(Policy::none())
            // Retries are decided and counted here.
            .retry(reqwest::retry::never())
            .no_proxy();
        let client = builder.build().map_err(|error| S3Problem::Failed(error.to_string()))?;
        Ok(Self {
            client,
            counter,
            credentials: options.credentials.clone(),
            timeout: options.timeout,
            retry_for: options.retry_for,
            entropy: SystemEntropy::new(),
        })
    }

    /// Sends a request until it is answered, refused, or out of time.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, Failure> {
        let (parts, body) = request.into_parts();
        let kind = Kind::of(&parts);
        let patience = patience(self.timeout, body.content_length() as u64);
        let (begun, mut backoff) = (Instant::now(), Backoff::new(WAITS.0, WAITS.1));
        let mut is_retry = false;
        loop {
            self.counter.count(kind, is_retry);
            let attempt = self.attempt(kind, HttpRequest::from_parts(parts.clone(), body.clone()));
            let failed = match timeout(patience, attempt).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(failed)) => failed,
                Err(_) => Failed { failure: S3Problem::Silent(patience).into(), again: true, wait: None },
            };
            let wait = backoff.next(&self.entropy).max(failed.wait.unwrap_or_default());
            if !failed.again || begun.elapsed().saturating_add(wait) >= self.retry_for {
                return Err(failed.failure);
            }
            tracing::debug!(method = %parts.method, why = ?failed.failure, ?wait, "a request to S3 is tried again");
            is_retry = true;
            sleep(wait).await;
        }
    }

    async fn attempt(&self, kind: Kind, request: HttpRequest) -> Result<HttpResponse, Failed> {
        let response = HttpService::call(&self.client, request).await.map_err(broken)?;
        let (mut parts, body) = response.into_parts();
        if !parts.status.is_success() {
            let body = read(body, MAX_REFUSAL).await.map_err(broken)?.0;
            let mut failed = self.refused(parts.status.as_u16(), &body, &parts.headers);
            // It has no body that could say so.
            if let (Kind::Head, Failure::Answer(answer @ Answer { status: 404, .. })) =
                (kind, &mut failed.failure)
            {
                "NotFound".clone_into(&mut answer.code);
            }
            return Err(failed);
        }
        if kind == Kind::Get {
            drop_wrong_range(&mut parts);
            return Ok(HttpResponse::from_parts(parts, body));
        }
        let (body, is_all) = read(body, MAX_ANSWER).await.map_err(broken)?;
        if !is_all {
            let why = S3Problem::NotS3(format!("its answer has more than {MAX_ANSWER} bytes"));
            return Err(Failed { failure: why.into(), again: false, wait: None });
        }
        // The end of a multipart upload and a copy may fail after the status was sent.
        if matches!(kind, Kind::Put | Kind::Multipart) && answers::error(&body).is_some() {
            return Err(self.refused(parts.status.as_u16(), &body, &parts.headers));
        }
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::from(body)))
    }

    fn refused(&self, status: u16, body: &[u8], headers: &HeaderMap) -> Failed {
        let mut answer = Answer::read(status, body);
        self.credentials.hide_in(&mut answer.message);
        let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let again = answer.is_passing();
        Failed { failure: Failure::Answer(answer), again, wait: seconds.map(Duration::from_secs) }
    }
}

fn broken(error: HttpError) -> Failed {
    let problem = super::error::no_answer(&error);
    let again = matches!(problem, S3Problem::Unreachable(_) | S3Problem::Broken(_));
    Failed { failure: problem.into(), again, wait: None }
}

/// At most `most` bytes of a body, and whether that is all.
async fn read(mut body: HttpResponseBody, most: usize) -> Result<(Bytes, bool), HttpError> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = most - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok((bytes.freeze(), false));
        }
    }
    Ok((bytes.freeze(), true))
}

/// `object_store` computes with the numbers in it unchecked. Without the header it reports the answer as an
/// error.
fn drop_wrong_range(parts: &mut ::http::response::Parts) {
    let is_right = |text: &str| {
        let (range, _) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (from, to) = range.split_once('-')?;
        let (from, to) = (from.parse::<u64>().ok()?, to.parse::<u64>().ok()?);
        Some(from <= to && to < u64::MAX)
    };
    let value = parts.headers.get(CONTENT_RANGE);
    if value.is_some_and(|value| value.to_str().ok().and_then(is_right) != Some(true)) {
        parts.headers.remove(CONTENT_RANGE);
    }
}

#[async_trait]
impl HttpService for Transport {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.send(request).await.map_err(Failure::into_http)
    }
}

/// Gives `object_store` the client that exists already.
#[derive(Debug)]
pub(super) struct Ready(pub(super) HttpClient);

impl HttpConnector for Ready {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_cannot_be_is_dropped() {
        for (text, stays) in [
            ("bytes 0-9/10", true),
            ("bytes 0-9/*", true),
            ("bytes 5-4/10", false),
            ("bytes 0-18446744073709551615/10", false),
            ("bytes 0-99999999999999999999/10", false),
            ("0-9/10", false),
            ("", false),
        ] {
            let response = ::http::Response::builder().header(CONTENT_RANGE, text).body(()).unwrap();
            let mut parts = response.into_parts().0;
            drop_wrong_range(&mut parts);
            assert_eq!(parts.headers.contains_key(CONTENT_RANGE), stays, "{text}");
        }
    }

    #[test]
    fn large_bodies_have_more_time() {
        assert_eq!(patience(Duration::from_secs(10), 0), Duration::from_secs(10));
        assert_eq!(patience(Duration::from_secs(10), 5 << 20), Duration::from_secs(30));
    }
}
