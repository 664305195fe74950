//! Uploads in several parts.

use std::sync::Arc;

use ::http::Method;
use ::http::header::{IF_MATCH, IF_NONE_MATCH};
use object_store::multipart::{MultipartStore as _, PartId};
use object_store::path::Path;
use object_store::{Attributes, PutMultipartOptions, PutPayload};
use quick_xml::escape::escape;

use super::answers::{self, Completed};
use super::bucket::Inner;
use super::error::Failure;
use super::put::Source;
use super::signed::Unsigned;
use super::{Bucket, Condition, S3Problem, key};

/// Files from this size on, in bytes, are uploaded in parts unless a setting says otherwise.
pub const MULTIPART_FROM: u64 = 5 << 20;

/// The smallest part that S3 takes, in bytes, except for the last one.
pub const LEAST_PART: u64 = 5 << 20;

/// Most parts of an upload.
pub const MOST_PARTS: u64 = 10_000;

/// The size of a part, in bytes: as small as possible, so that an upload takes little memory, but such that
/// 10,000 of them suffice. That is 5 MiB for files up to 48 GiB, and 525 MiB for the largest object of 5 TiB.
fn part_size(bytes: u64, least: u64) -> u64 {
    const STEP: u64 = 1 << 20;
    let needed = bytes.div_ceil(MOST_PARTS);
    if needed <= least { least } else { needed.div_ceil(STEP) * STEP }
}

impl Bucket {
    /// Uploads a file in parts, one after another.
    pub(super) fn put_parts(
        &self,
        path: Path,
        mut source: Source,
        attributes: Attributes,
        condition: &Condition,
    ) -> Result<String, Failure> {
        let inner = Arc::clone(&self.inner);
        let target = path.clone();
        let begun = self.run(async move {
            let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
            Ok(inner.store.create_multipart_opts(&target, options).await?)
        });
        let id = begun?;
        key::checked_upload(&id)?;
        let written = self.put_each(&path, &id, &mut source).and_then(|parts| {
            let (inner, target, id, condition) =
                (Arc::clone(&self.inner), path.clone(), id.clone(), condition.clone());
            self.run(async move { inner.complete(&target, id, &parts, condition).await })
        });
        // Without an answer the object may be there. Its parts then belong to it, and the abort does nothing.
        if written.is_err()
            && let Err(failure) = self.abort_upload(path.clone(), id)
        {
            let problem = failure.problem();
            tracing::warn!(key = %path, place = self.inner.place, "an upload is left unfinished: {problem}");
        }
        written
    }

    fn put_each(&self, path: &Path, id: &str, source: &mut Source) -> Result<Vec<PartId>, Failure> {
        let size = part_size(source.bytes, self.inner.multipart_from);
        let (mut parts, mut left) = (Vec::new(), source.bytes);
        while left > 0 {
            let part = source.next(left.min(size))?;
            left -= part.len() as u64;
            let (inner, path, id, at) = (Arc::clone(&self.inner), path.clone(), id.to_owned(), parts.len());
            let part = self.run(async move {
                Ok(inner.store.put_part(&path, &id, at, PutPayload::from_bytes(part)).await?)
            })?;
            key::checked_etag(&part.content_id)?;
            parts.push(part);
        }
        Ok(parts)
    }

    /// Aborts an upload. One that is gone is fine.
    pub(super) fn abort_upload(&self, path: Path, id: String) -> Result<(), Failure> {
        key::checked_upload(&id)?;
        let inner = Arc::clone(&self.inner);
        let aborted = self.run(async move { Ok(inner.store.abort_multipart(&path, &id).await?) });
        match aborted {
            Err(failure) if matches!(failure.answered(), Some((404, "NoSuchUpload"))) => Ok(()),
            aborted => aborted,
        }
    }
}

impl Inner {
    /// Ends an upload under a condition, which `object_store` cannot send.
    async fn complete(
        &self,
        path: &Path,
        id: String,
        parts: &[PartId],
        condition: Condition,
    ) -> Result<String, Failure> {
        let header = match condition {
            Condition::Any => None,
            Condition::Absent => Some((IF_NONE_MATCH, "*".to_owned())),
            Condition::Matches(etag) => Some((IF_MATCH, etag)),
        };
        let request = Unsigned {
            method: Method::POST,
            key: Some(path.as_ref().to_owned()),
            query: vec![("uploadId", id)],
            header,
            xml: Some(list_of(parts)),
        };
        let body = self.ask(request).await?;
        let completed: Completed = answers::read(&body, "CompleteMultipartUploadResult")?;
        match completed.etag.is_empty() {
            true => Err(S3Problem::NotS3("its answer has no ETag".to_owned()).into()),
            false => Ok(completed.etag),
        }
    }
}

fn list_of(parts: &[PartId]) -> String {
    let mut xml = r#"<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">"#.to_owned();
    for (number, part) in (1..).zip(parts) {
        let etag = escape(&part.content_id);
        xml.push_str(&format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"));
    }
    xml.push_str("</CompleteMultipartUpload>");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_small_and_never_too_many() {
        const MB: u64 = 1 << 20;
        for (bytes, size) in [
            (5 * MB, 5 * MB),
            (50_000 * MB, 5 * MB),
            (50_000 * MB + 1, 6 * MB),
            (5 << 40, 525 * MB),
            (u64::MAX, u64::MAX.div_ceil(MOST_PARTS).div_ceil(MB) * MB),
        ] {
            let part = part_size(bytes, LEAST_PART);
            assert_eq!(part, size, "{bytes}");
            assert!(bytes.div_ceil(part) <= MOST_PARTS, "{bytes}");
        }
        assert_eq!(part_size(100, 7), 7);
    }

    #[test]
    fn what_a_server_called_a_part_is_no_markup() {
        let parts = [PartId { content_id: "\"a<&\"".to_owned() }, PartId { content_id: "b".to_owned() }];
        let xml = list_of(&parts);
        assert!(xml.contains("<PartNumber>1</PartNumber><ETag>&quot;a&lt;&amp;&quot;</ETag>"), "{xml}");
        assert!(xml.contains("<PartNumber>2</PartNumber><ETag>b</ETag></Part></Complete"), "{xml}");
    }
}
