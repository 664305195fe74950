//! Reads bodies with a limit.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;

/// Most bytes allocated at once based on a `Content-Length`.
const TRUSTED_LENGTH: u64 = 1 << 20;

/// Why a body cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than any page, once decompressed.
    #[error("the body exceeds the limit of {limit} bytes")]
    TooLarge {
        /// The limit, bytes.
        limit: usize,
    },
    /// It ended early, or stalled for too long.
    #[error("the body ended early: {0}")]
    Broken(String),
    /// It has an unexpected encoding, or is damaged.
    #[error("the body's content encoding {encoding:?} cannot be undone: {what}")]
    Encoding {
        /// The header's value.
        encoding: String,
        /// What is wrong.
        what: String,
    },
}

/// Reads a body of at most `limit` bytes, counted after decompression: a small body can be a decompression
/// bomb.
pub(super) async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(BodyError::TooLarge { limit });
    }
    let room = response.content_length().unwrap_or(0).min(TRUSTED_LENGTH) as usize;
    let encoding =
        response.headers().get(CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
    let sink = BoundedSink { bytes: Vec::with_capacity(room), limit, exceeded: false };
    let mut decoder = match encoding.as_deref() {
        None | Some(b"" | b"identity") => Decoder::Plain(sink),
        Some(b"gzip" | b"x-gzip") => Decoder::Gzip(Box::new(MultiGzDecoder::new(sink))),
        Some(other) => {
            let encoding = String::from_utf8_lossy(other).into_owned();
            return Err(BodyError::Encoding { encoding, what: "only gzip was asked for".to_owned() });
        }
    };
    while let Some(chunk) = response.chunk().await.map_err(|e| BodyError::Broken(super::root_cause(&e)))? {
        decoder.push(&chunk)?;
    }
    decoder.finish()
}

/// Undoes the body's compression.
enum Decoder {
    Plain(BoundedSink),
    Gzip(Box<MultiGzDecoder<BoundedSink>>),
}

impl Decoder {
    fn push(&mut self, chunk: &[u8]) -> Result<(), BodyError> {
        match self {
            Self::Plain(sink) => sink.write_all(chunk).map_err(|e| sink.explain(&e)),
            Self::Gzip(decoder) => decoder.write_all(chunk).map_err(|e| decoder.get_ref().explain(&e)),
        }
    }

    fn finish(self) -> Result<Vec<u8>, BodyError> {
        match self {
            Self::Plain(sink) => Ok(sink.bytes),
            Self::Gzip(mut decoder) => {
                decoder.try_finish().map_err(|e| decoder.get_ref().explain(&e))?;
                Ok(std::mem::take(&mut decoder.get_mut().bytes))
            }
        }
    }
}

/// Accepts this many bytes and no more.
struct BoundedSink {
    bytes: Vec<u8>,
    limit: usize,
    exceeded: bool,
}

impl BoundedSink {
    fn explain(&self, error: &io::Error) -> BodyError {
        if self.exceeded {
            return BodyError::TooLarge { limit: self.limit };
        }
        BodyError::Encoding { encoding: "gzip".to_owned(), what: error.to_string() }
    }
}

impl Write for BoundedSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > self.limit - self.bytes.len() {
            self.exceeded = true;
            return Err(io::Error::other("limit exceeded"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
