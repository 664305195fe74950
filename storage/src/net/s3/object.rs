//! Reading objects.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use futures::{FutureExt as _, StreamExt as _};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, GetResult, ObjectStore as _};
use tokio::time::{Instant, timeout};

use super::error::Failure;
use super::key::{self, Attributes};
use super::transport::patience;
use super::{Bucket, S3Error, S3Problem};

/// How many bytes are taken from the connection at once if they have arrived.
const AHEAD: usize = 256 << 10;

/// How often the rest of an object is asked for after its connection broke off.
const RESUMES: u32 = 5;

type Pieces = BoxStream<'static, object_store::Result<Bytes>>;

/// What is known of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Its version, with its quotation marks, as [`Condition::Matches`](super::Condition::Matches) takes it.
    pub etag: String,
    /// The size of the whole object, in bytes.
    pub bytes: u64,
    /// What was written with it.
    pub attributes: Attributes,
}

impl Meta {
    pub(super) fn of(got: &GetResult) -> Self {
        Self {
            etag: got.meta.e_tag.clone().unwrap_or_default(),
            bytes: got.meta.size,
            attributes: key::of_object(&got.attributes),
        }
    }
}

impl Bucket {
    /// Reads an object, or returns `None` if there is none. The answer's beginning is awaited, the rest is
    /// read by the caller's reads.
    ///
    /// # Errors
    /// See [`S3Problem`].
    pub fn get(&self, key: &str) -> Result<Option<Object>, S3Error> {
        self.get_part(key, None)
    }

    /// Reads some bytes of an object, counted from 0. A range that goes beyond the end is cut there.
    ///
    /// # Errors
    /// The range is empty or begins at the end or later ([`S3Problem::Range`]), or see [`S3Problem`].
    pub fn get_range(&self, key: &str, range: Range<u64>) -> Result<Option<Object>, S3Error> {
        self.get_part(key, Some(range))
    }

    fn get_part(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Object>, S3Error> {
        let doing = || format!("read {key}");
        let path = self.path(key, doing)?;
        let beyond =
            |range: &Range<u64>| self.error(doing(), S3Problem::Range { from: range.start, to: range.end });
        if let Some(range) = range.as_ref().filter(|range| range.is_empty()) {
            return Err(beyond(range));
        }
        let options = GetOptions { range: range.clone().map(GetRange::Bounded), ..GetOptions::default() };
        let got = match (self.ask_for(&path, options), range) {
            (Err(failure), Some(range)) if failure.answered().is_some_and(|(status, _)| status == 416) => {
                return Err(beyond(&range));
            }
            (got, _) => got,
        };
        let Some(got) = self.found(doing, got)? else { return Ok(None) };
        Ok(Some(Object {
            bucket: self.clone(),
            key: key.to_owned(),
            path,
            meta: Meta::of(&got),
            rest: got.range.clone(),
            ready: Bytes::new(),
            pieces: Some(got.into_stream().fuse().boxed()),
            arrived: 0,
            waited: Duration::ZERO,
            resumes: 0,
        }))
    }

    fn ask_for(&self, path: &Path, options: GetOptions) -> Result<GetResult, Failure> {
        let (inner, path) = (Arc::clone(&self.inner), path.clone());
        self.run(async move { Ok(inner.store.get_opts(&path, options).await?) })
    }
}

/// An object that is read from its beginning, or a range of one. It takes at most about 512 KiB of memory.
///
/// If the connection breaks off, the rest is asked for, a few times, and only of the same version of the
/// object. A read that waits in vain ends after [`S3Options::timeout`](super::S3Options::timeout), and so
/// does one from a server that sends less than 256 KiB per second all the time. Its errors wrap an
/// [`S3Error`], for `into_inner` and `downcast`.
pub struct Object {
    bucket: Bucket,
    key: String,
    path: Path,
    meta: Meta,
    /// What has not arrived yet.
    rest: Range<u64>,
    /// What has arrived and is not read yet.
    ready: Bytes,
    pieces: Option<Pieces>,
    arrived: u64,
    waited: Duration,
    resumes: u32,
}

impl Object {
    /// What is known of it.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Waits until something is ready.
    fn fetch(&mut self) -> Result<(), Failure> {
        loop {
            let pieces = match self.pieces.take() {
                Some(pieces) => pieces,
                None => self.resume()?,
            };
            let timeout = self.bucket.inner.timeout;
            // All waits together are bounded too: a server may send a byte now and then.
            let within = patience(timeout, self.arrived).saturating_sub(self.waited).min(timeout);
            let arrived = self.bucket.threads.run(next(pieces, within))?;
            self.waited += arrived.waited;
            match arrived.bytes {
                Ok(piece) if piece.len() as u64 > self.rest.end - self.rest.start => {
                    return Err(S3Problem::NotS3("it sends more bytes than it announced".to_owned()).into());
                }
                Ok(piece) if !piece.is_empty() => {
                    self.rest.start += piece.len() as u64;
                    self.arrived += piece.len() as u64;
                    self.ready = piece;
                    self.pieces = Some(arrived.pieces);
                    return Ok(());
                }
                Ok(_) => self.lost(S3Problem::Broken("the object ended early".to_owned()).into())?,
                Err(failure) => self.lost(failure)?,
            }
        }
    }

    /// Whether to ask for the rest after this failure.
    fn lost(&mut self, failure: Failure) -> Result<(), Failure> {
        self.resumes += 1;
        let again = matches!(failure, Failure::Problem(S3Problem::Broken(_) | S3Problem::Unreachable(_)));
        if self.resumes > RESUMES || !again {
            return Err(failure);
        }
        tracing::debug!(key = self.key, from = self.rest.start, why = ?failure, "reading on after a broken connection");
        Ok(())
    }

    fn resume(&self) -> Result<Pieces, Failure> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(self.rest.clone())),
            if_match: Some(self.meta.etag.clone()),
            ..GetOptions::default()
        };
        key::checked_etag(&self.meta.etag)?;
        let got = match self.bucket.ask_for(&self.path, options) {
            Err(failure) if failure.is_absent() || matches!(failure.answered(), Some((412 | 416, _))) => {
                return Err(S3Problem::Changed.into());
            }
            got => got?,
        };
        // A server may ignore the condition.
        if got.meta.e_tag.as_deref() != Some(self.meta.etag.as_str()) || got.range != self.rest {
            return Err(S3Problem::Changed.into());
        }
        Ok(got.into_stream().fuse().boxed())
    }
}

/// What a wait has brought.
struct Arrived {
    pieces: Pieces,
    /// Nothing at the end.
    bytes: Result<Bytes, Failure>,
    waited: Duration,
}

/// The next bytes, and those behind them that have arrived as well.
async fn next(mut pieces: Pieces, within: Duration) -> Arrived {
    let begun = Instant::now();
    let bytes = match timeout(within, pieces.next()).await {
        Err(_) => Err(S3Problem::Silent(within).into()),
        Ok(None) => Ok(Bytes::new()),
        Ok(Some(Err(error))) => Err(broken(error)),
        Ok(Some(Ok(first))) => Ok(first),
    };
    let waited = begun.elapsed();
    let bytes = bytes.map(|first| {
        let mut all = BytesMut::from(first);
        while all.len() < AHEAD {
            // An error ends the stream, which is noticed at the next wait.
            let Some(Some(Ok(piece))) = pieces.next().now_or_never() else { break };
            all.extend_from_slice(&piece);
        }
        all.freeze()
    });
    Arrived { pieces, bytes, waited }
}

/// An error of the stream is one of the connection.
fn broken(error: object_store::Error) -> Failure {
    match Failure::from(error) {
        Failure::Problem(S3Problem::NotS3(why)) => S3Problem::Broken(why).into(),
        other => other,
    }
}

impl Read for Object {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ready.is_empty() && !self.rest.is_empty() && !buffer.is_empty() {
            self.fetch().map_err(|failure| self.bucket.error(format!("read {}", self.key), failure))?;
        }
        let some = self.ready.split_to(self.ready.len().min(buffer.len()));
        buffer[..some.len()].copy_from_slice(&some);
        Ok(some.len())
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("key", &self.key).field("meta", &self.meta).finish_non_exhaustive()
    }
}
