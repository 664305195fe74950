//! Writing objects.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStore as _, PutMode, PutOptions, PutPayload, UpdateVersion};

use super::error::Failure;
use super::key::{self, Attributes};
use super::{Bucket, S3Error, S3Problem};

/// Whether an object may be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Whatever is there.
    Any,
    /// Only if there is none of this name.
    Absent,
    /// Only in place of the object with this ETag.
    Matches(String),
}

/// What has become of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutOutcome {
    /// It was carried out, and the object has this ETag now.
    Written(String),
    /// The condition does not hold.
    ///
    /// That may be the write's own doing: if the answer to an attempt is lost, the attempt is repeated, and
    /// finds what the first one has written. Only the caller can tell, from the attributes of the object that
    /// is there: give each write some that no other has, and look ([`Bucket::head`]) before taking this for a
    /// defeat. The same answer is given with [`Condition::Any`] for an upload in several parts whose end was
    /// repeated and is not known any more, or that somebody aborted.
    Refused,
}

/// The contents of a new object.
#[derive(Debug, Clone)]
pub enum Body {
    /// In memory. Sent in one request, so at most 5 GiB.
    Bytes(Bytes),
    /// A file, of the size that it has when the call begins. It must not change during the call.
    File(PathBuf),
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&Path> for Body {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl Bucket {
    /// Writes an object: all of it at once, or nothing. An empty file is an empty object.
    ///
    /// Files from [`S3Options::multipart_from`](super::S3Options::multipart_from) bytes on are uploaded in
    /// parts; the condition is sent with the request that ends the upload, which is the moment when the
    /// object appears. An upload that fails is aborted; if that fails too,
    /// [`unfinished_uploads`](Self::unfinished_uploads) finds it.
    ///
    /// [`PutOutcome::Refused`] is not always a defeat: read its documentation.
    ///
    /// # Errors
    /// The file cannot be read or has changed, or see [`S3Problem`]. After an error it is not known whether
    /// the object was written, except that a condition that did not hold was kept.
    pub fn put(
        &self,
        key: &str,
        body: Body,
        attributes: &Attributes,
        condition: &Condition,
    ) -> Result<PutOutcome, S3Error> {
        let doing = || format!("write {key}");
        let path = self.path(key, doing)?;
        let written = (|| {
            let attributes = key::checked(attributes)?;
            if let Condition::Matches(etag) = condition {
                key::checked_etag(etag)?;
            }
            let payload = match body {
                Body::Bytes(bytes) => bytes,
                Body::File(file) => {
                    let source = Source::open(file)?;
                    if source.bytes >= self.inner.multipart_from {
                        return self.put_parts(path, source, attributes, condition);
                    }
                    source.all()?
                }
            };
            let mode = match condition {
                Condition::Any => PutMode::Overwrite,
                Condition::Absent => PutMode::Create,
                Condition::Matches(etag) => {
                    PutMode::Update(UpdateVersion { e_tag: Some(etag.clone()), version: None })
                }
            };
            let inner = Arc::clone(&self.inner);
            self.run(async move {
                let options = PutOptions { mode, attributes, ..PutOptions::default() };
                let put = inner.store.put_opts(&path, PutPayload::from_bytes(payload), options).await?;
                put.e_tag.ok_or_else(|| S3Problem::NotS3("its answer has no ETag".to_owned()).into())
            })
        })();
        self.outcome(doing, written, condition)
    }

    pub(super) fn outcome(
        &self,
        doing: impl Fn() -> String,
        written: Result<String, Failure>,
        condition: &Condition,
    ) -> Result<PutOutcome, S3Error> {
        match written {
            Ok(etag) => Ok(PutOutcome::Written(etag)),
            Err(failure) if is_refusal(&failure, condition) => Ok(PutOutcome::Refused),
            Err(failure) => Err(self.error(doing(), failure)),
        }
    }
}

/// Whether the condition was the reason.
fn is_refusal(failure: &Failure, condition: &Condition) -> bool {
    match (failure.answered(), condition) {
        // The upload was ended by an earlier attempt, or aborted.
        (Some((_, "NoSuchUpload")), _) => true,
        // AWS does not wait for another conditional write that is under way. The end of an upload may be refused
        // after its status was sent.
        (
            Some((412, _) | (_, "PreconditionFailed" | "ConditionalRequestConflict")),
            Condition::Absent | Condition::Matches(_),
        ) => true,
        // Nothing is there that could match.
        (Some((404, _)), Condition::Matches(_)) => failure.is_absent(),
        _ => false,
    }
}

/// What is uploaded.
pub(super) struct Source {
    path: PathBuf,
    reader: Box<dyn Read + Send>,
    pub(super) bytes: u64,
}

impl Source {
    /// Bytes in memory.
    pub(super) fn of(bytes: &'static [u8]) -> Self {
        Self { path: PathBuf::new(), reader: Box::new(bytes), bytes: bytes.len() as u64 }
    }

    fn open(path: PathBuf) -> Result<Self, S3Problem> {
        let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
        match opened {
            Ok((metadata, file)) if metadata.is_file() => {
                Ok(Self { path, reader: Box::new(file), bytes: metadata.len() })
            }
            Ok(_) => Err(S3Problem::File { path, why: "it is no file".to_owned() }),
            Err(error) => Err(S3Problem::File { path, why: error.to_string() }),
        }
    }

    /// The next `bytes` bytes.
    pub(super) fn next(&mut self, bytes: u64) -> Result<Bytes, S3Problem> {
        let failed = |why: String| S3Problem::File { path: self.path.clone(), why };
        let room = usize::try_from(bytes).map_err(|error| failed(error.to_string()))?;
        let mut part = Vec::with_capacity(room);
        self.reader.by_ref().take(bytes).read_to_end(&mut part).map_err(|error| failed(error.to_string()))?;
        if part.len() != room {
            return Err(failed("it has become shorter while it was uploaded".to_owned()));
        }
        Ok(part.into())
    }

    fn all(mut self) -> Result<Bytes, S3Problem> {
        let bytes = self.bytes;
        self.next(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Answer;
    use super::*;

    #[test]
    fn only_what_the_condition_causes_is_a_refusal() {
        let (any, absent, matches) =
            (Condition::Any, Condition::Absent, Condition::Matches("\"e\"".to_owned()));
        for (status, code, refused) in [
            (412, "PreconditionFailed", [false, true, true]),
            (412, "", [false, true, true]),
            (200, "PreconditionFailed", [false, true, true]),
            (409, "ConditionalRequestConflict", [false, true, true]),
            (409, "OperationAborted", [false, false, false]),
            (404, "NoSuchKey", [false, false, true]),
            (404, "NoSuchBucket", [false, false, false]),
            (404, "NoSuchUpload", [true, true, true]),
            (403, "AccessDenied", [false, false, false]),
        ] {
            let answer = Answer { status, code: code.to_owned(), message: String::new() };
            let failure = Failure::Answer(answer);
            let found = [&any, &absent, &matches].map(|condition| is_refusal(&failure, condition));
            assert_eq!(found, refused, "{status} {code}");
        }
    }

    #[test]
    fn a_file_that_shrinks_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, b"0123456789").unwrap();
        let mut source = Source::open(path.clone()).unwrap();
        assert_eq!((source.bytes, &source.next(4).unwrap()[..]), (10, &b"0123"[..]));
        File::options().write(true).open(&path).unwrap().set_len(6).unwrap();
        assert!(source.next(6).unwrap_err().to_string().contains("has become shorter"));
        let error = Source::open(folder.path().to_owned()).map(drop).unwrap_err();
        assert!(error.to_string().contains("it is no file"), "{error}");
    }
}
