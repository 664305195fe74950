//! Sends requests and classifies their answers.

use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, HeaderValue, USER_AGENT};
use reqwest::{Method, Request, Url};
use storage::ids::UserId;

use super::verdict::Refusal;
use crate::http_client::{HttpClient, NamedBy, NoAnswer, OpenAnswer};
use crate::rate::{Delivery, RateInfo};
use crate::source::{Answer, Asked, SourceError};

/// Longest message about an answer, characters.
const LONGEST_COMPLAINT: usize = 200;

/// A request to one server, and what errors call it.
pub(super) struct Ask {
    pub(super) request: Request,
    pub(super) asked: Asked,
    named_by: NamedBy,
}

/// What came of a request.
pub(super) enum Reply<T> {
    Good(T),
    Refused(Refusal),
}

impl Ask {
    /// A GET of `path` with these parameters.
    pub(super) fn get(
        (origin, named_by): (&Url, NamedBy),
        path: &str,
        parameters: &[(&str, &str)],
        user: Option<&UserId>,
        agent: &HeaderValue,
    ) -> Self {
        let mut url = origin.clone();
        url.set_path(path);
        let asked = Asked { url: url.as_str().into(), user: user.cloned() };
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let mut request = Request::new(Method::GET, url);
        request.headers_mut().insert(USER_AGENT, agent.clone());
        Self { request, asked, named_by }
    }

    /// For an answer that is read as it arrives, within `timeout`.
    pub(super) fn streamed(mut self, timeout: Duration) -> Self {
        self.request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        *self.request.timeout_mut() = Some(timeout);
        self
    }

    /// Sends it, and reads the answer.
    pub(super) async fn send(self, via: &HttpClient) -> Answer<Reply<Vec<u8>>> {
        let asked = self.asked.clone();
        let Answer { outcome, mut rate, cost } = self.open(via).await;
        let outcome = match outcome {
            Err(error) => Err(error),
            Ok(answer) => {
                let status = answer.status;
                match (status, answer.body().await) {
                    (200..=299, Ok(body)) => Ok(Reply::Good(body)),
                    (200..=299, Err(error)) => Err(garbage(&asked, error.to_string())),
                    // An error's body only refines its status.
                    (status, body) => {
                        settled(Refusal::read(status, &body.unwrap_or_default()), &asked, &mut rate)
                    }
                }
            }
        };
        Answer { outcome, rate, cost }
    }

    /// Sends it, and leaves the body to the caller.
    pub(super) async fn open(self, via: &HttpClient) -> Answer<OpenAnswer> {
        match via.open(self.request, self.named_by).await {
            Ok(answer) => Answer { rate: answer.rate.clone(), outcome: Ok(answer), cost: 0 },
            Err(none) => unanswered(&self.asked, none, self.named_by),
        }
    }
}

/// A refusal that does not concern the account is an error, whatever was asked.
pub(super) fn settled<T>(
    refusal: Refusal,
    asked: &Asked,
    rate: &mut RateInfo,
) -> Result<Reply<T>, SourceError> {
    let general = matches!(refusal.status, 401 | 408 | 429 | 300..=399)
        || refusal.status >= 500 && refusal.status != 501
        || refusal.name == "RateLimitExceeded";
    match general {
        true => Err(refusal.error(asked, rate)),
        false => Ok(Reply::Refused(refusal)),
    }
}

fn unanswered<T>(asked: &Asked, none: NoAnswer, named_by: NamedBy) -> Answer<T> {
    let asked = asked.clone();
    let error = match none.forbidden {
        true => SourceError::Refused {
            asked,
            status: None,
            what: none.what,
            remedy: "the account names this host itself; nothing can be done about it here",
        },
        false => SourceError::Passing { asked, what: none.to_string(), retry_after: None },
    };
    let delivery = match named_by {
        // One account's server that is away is no outage of the network: a request that was not sent would be one.
        NamedBy::Strangers(_) if !none.forbidden => Delivery::Unanswered,
        _ => none.delivery,
    };
    Answer { outcome: Err(error), rate: RateInfo { delivery, ..RateInfo::not_sent() }, cost: 0 }
}

/// `what` may quote the answer, however long it is; an error repeats its beginning.
pub(super) fn garbage(asked: &Asked, what: impl Into<String>) -> SourceError {
    let what = storage::text::excerpt(&what.into(), LONGEST_COMPLAINT);
    SourceError::Garbage { asked: asked.clone(), what }
}
