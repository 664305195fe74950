//! An answer whose body was not read yet.

use bytes::Bytes;
use reqwest::Response;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use super::body::{BodyError, read_body};
use crate::rate::RateInfo;

/// Most bytes of an error's body that are kept: enough for every message that networks send.
const ERROR_BODY_LIMIT: usize = 64 << 10;

/// An answer of any status. Dropping it closes its connection unless the body was read to its end.
#[derive(Debug)]
pub struct OpenAnswer {
    /// HTTP status.
    pub status: u16,
    /// What its headers report about the budget.
    pub rate: RateInfo,
    /// All its headers.
    pub headers: HeaderMap,
    response: Response,
    body_limit: usize,
}

impl OpenAnswer {
    pub(super) fn new(response: Response, rate: RateInfo, body_limit: usize) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, rate, headers, response, body_limit }
    }

    /// Reads the body, decompressed and up to the client's limit.
    ///
    /// # Errors
    /// It is too large, damaged, or ends early.
    pub async fn body(self) -> Result<Vec<u8>, BodyError> {
        let good = self.response.status().is_success();
        let limit = if good { self.body_limit } else { ERROR_BODY_LIMIT.min(self.body_limit) };
        read_body(self.response, limit).await
    }

    /// How long the body says that it is, bytes.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next piece of a body that is not compressed; `None` at its end. The caller has to bound what it keeps.
    ///
    /// # Errors
    /// It ends early, stalls, or is compressed: the request has to ask for `identity`.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, BodyError> {
        if let Some(encoding) = self.headers.get(CONTENT_ENCODING).filter(|value| *value != "identity") {
            let encoding = String::from_utf8_lossy(encoding.as_bytes()).into_owned();
            return Err(BodyError::Encoding { encoding, what: "none was asked for".to_owned() });
        }
        self.response.chunk().await.map_err(|error| BodyError::Broken(super::root_cause(&error)))
    }
}
