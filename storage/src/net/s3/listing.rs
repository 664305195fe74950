//! Lists of objects, and of uploads that were begun and not ended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;

use ::http::Method;
use object_store::path::Path;

use super::answers::{self, ObjectPage, UploadPage};
use super::bucket::Inner;
use super::error::Failure;
use super::key::relative_key;
use super::signed::Unsigned;
use super::{Bucket, S3Error, S3Problem};

/// How many pages in a row may be empty although more follow.
const EMPTY_PAGES: u32 = 10;

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key, relative to the bucket's prefix.
    pub key: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its version, as in [`Meta`](super::Meta).
    pub etag: String,
}

/// An upload that was begun and neither ended nor aborted. It costs space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    /// The key of the object that it would make, relative to the bucket's prefix.
    pub key: String,
    /// What the server calls it.
    pub id: String,
    /// When it was begun, by the server's clock, if the server says it.
    pub begun: Option<SystemTime>,
}

impl Bucket {
    /// All objects whose key begins with `prefix`, in the order of their keys' bytes, after the key
    /// `start_after` if one is given. A prefix is any text, not only a folder. Pages of up to 1,000 keys are
    /// asked for as the iterator reaches them, so there are no requests before the first step, and memory
    /// holds one page.
    ///
    /// Keys that objects of this client cannot have, such as `a//b`, are skipped with a note in the log.
    pub fn list(&self, prefix: &str, start_after: Option<&str>) -> Listing {
        let under = |text: &str| match self.inner.prefix.as_str() {
            "" => text.to_owned(),
            folder => format!("{folder}/{text}"),
        };
        let next = Some(Objects { token: None, start_after: start_after.map(under) });
        Listing { pages: Pages::new(self, under(prefix), next) }
    }

    /// All unfinished uploads of keys that begin with `prefix`, with their pages as in [`list`](Self::list).
    /// Uploads that are under way are among them: abort only those that are old, or whose owner is known to
    /// be gone.
    pub fn unfinished_uploads(&self, prefix: &str) -> Uploads {
        let prefix = match self.inner.prefix.as_str() {
            "" => prefix.to_owned(),
            folder => format!("{folder}/{prefix}"),
        };
        Uploads { pages: Pages::new(self, prefix, Some(Markers::default())) }
    }

    /// Aborts an upload, and so frees its space. One that has ended or was aborted is fine; an object that it
    /// made stays.
    ///
    /// # Errors
    /// See [`S3Problem`].
    pub fn abort(&self, upload: &Upload) -> Result<(), S3Error> {
        let doing = || format!("abort an upload of {}", upload.key);
        let path = self.path(&upload.key, doing)?;
        self.abort_upload(path, upload.id.clone()).map_err(|failure| self.error(doing(), failure))
    }
}

/// The objects of a list. It ends after an error.
#[derive(Debug)]
pub struct Listing {
    pages: Pages<Objects, Listed>,
}

/// The unfinished uploads. It ends after an error.
#[derive(Debug)]
pub struct Uploads {
    pages: Pages<Markers, Upload>,
}

impl Iterator for Listing {
    type Item = Result<Listed, S3Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pages.next("list the objects")
    }
}

impl Iterator for Uploads {
    type Item = Result<Upload, S3Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pages.next("list the unfinished uploads")
    }
}

/// Where a page begins, and how to read it.
trait Page<T>: Clone + PartialEq + Send + Sync + 'static {
    fn query(&self, prefix: &str) -> Vec<(&'static str, String)>;

    /// What is on the page, and where the next one begins.
    fn read(body: &[u8], folder: &str) -> Result<(VecDeque<T>, Option<Self>), S3Problem>;
}

#[derive(Debug)]
struct Pages<P, T> {
    bucket: Bucket,
    prefix: String,
    next: Option<P>,
    ready: VecDeque<T>,
}

impl<T: Send + 'static, P: Page<T>> Pages<P, T> {
    fn new(bucket: &Bucket, prefix: String, next: Option<P>) -> Self {
        Self { bucket: bucket.clone(), prefix, next, ready: VecDeque::new() }
    }

    fn next(&mut self, doing: &str) -> Option<Result<T, S3Error>> {
        let mut empty = 0;
        while self.ready.is_empty() {
            let here = self.next.take()?;
            let (inner, page, prefix) = (Arc::clone(&self.bucket.inner), here.clone(), self.prefix.clone());
            let read = self.bucket.run(async move { inner.page(&page, &prefix).await });
            let failed = match read {
                // It would go on for ever.
                Ok((_, Some(next))) if next == here => {
                    S3Problem::NotS3("a page of its list names itself as the next one".to_owned()).into()
                }
                Ok((ready, Some(_))) if ready.is_empty() && empty == EMPTY_PAGES => {
                    S3Problem::NotS3("its list has empty pages only".to_owned()).into()
                }
                Ok((ready, next)) => {
                    empty += 1;
                    (self.ready, self.next) = (ready, next);
                    continue;
                }
                Err(failure) => failure,
            };
            return Some(Err(self.bucket.error(doing.to_owned(), failed)));
        }
        self.ready.pop_front().map(Ok)
    }
}

impl Inner {
    async fn page<T, P: Page<T>>(&self, page: &P, prefix: &str) -> Result<(VecDeque<T>, Option<P>), Failure> {
        let mut query = page.query(prefix);
        // Without `encoding-type`: versitygw says that it encodes, and does not.
        query.push(("prefix", prefix.to_owned()));
        let request = Unsigned { method: Method::GET, key: None, query, header: None, xml: None };
        Ok(P::read(&self.ask(request).await?, &self.prefix)?)
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Objects {
    token: Option<String>,
    start_after: Option<String>,
}

impl Page<Listed> for Objects {
    fn query(&self, _: &str) -> Vec<(&'static str, String)> {
        let mut query = vec![("list-type", "2".to_owned())];
        match (&self.token, &self.start_after) {
            (Some(token), _) => query.push(("continuation-token", token.clone())),
            (None, Some(key)) => query.push(("start-after", key.clone())),
            (None, None) => {}
        }
        query
    }

    fn read(body: &[u8], folder: &str) -> Result<(VecDeque<Listed>, Option<Self>), S3Problem> {
        let page: ObjectPage = answers::read(body, "ListBucketResult")?;
        let mut found = VecDeque::new();
        for entry in page.contents {
            if let Some(key) = own_key(&entry.key, folder) {
                found.push_back(Listed { key, bytes: entry.size, etag: entry.etag });
            }
        }
        let next = match (page.is_truncated, page.next_continuation_token) {
            (false, _) => None,
            (true, Some(token)) => Some(Self { token: Some(token), start_after: None }),
            (true, None) => {
                return Err(S3Problem::NotS3("its list goes on, but it does not say where".to_owned()));
            }
        };
        Ok((found, next))
    }
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Markers {
    key: String,
    id: String,
}

impl Page<Upload> for Markers {
    fn query(&self, _: &str) -> Vec<(&'static str, String)> {
        let mut query = vec![("uploads", String::new())];
        if !self.key.is_empty() {
            query.push(("key-marker", self.key.clone()));
        }
        if !self.id.is_empty() {
            query.push(("upload-id-marker", self.id.clone()));
        }
        query
    }

    fn read(body: &[u8], folder: &str) -> Result<(VecDeque<Upload>, Option<Self>), S3Problem> {
        let page: UploadPage = answers::read(body, "ListMultipartUploadsResult")?;
        let mut found = VecDeque::new();
        for entry in page.uploads {
            if let Some(key) = own_key(&entry.key, folder) {
                let begun = humantime::parse_rfc3339_weak(&entry.initiated).ok();
                found.push_back(Upload { key, id: entry.upload_id, begun });
            }
        }
        let next = Self { key: page.next_key_marker, id: page.next_upload_id_marker };
        Ok((found, page.is_truncated.then_some(next)))
    }
}

/// The key relative to the folder, or `None` for one that is not ours to use.
fn own_key(full: &str, folder: &str) -> Option<String> {
    let is_usable = Path::parse(full).is_ok_and(|path| path.as_ref() == full);
    let own = relative_key(folder, full).filter(|key| is_usable && !key.is_empty());
    if own.is_none() {
        tracing::debug!(key = full, "skipped an object whose key cannot be used");
    }
    own.map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_the_objects_of_the_folder_and_goes_on_where_it_says() {
        let entry = |key: &str| format!("<Contents><Key>{key}</Key><Size>1</Size><ETag>e</ETag></Contents>");
        let body = |contents: &str| format!("<ListBucketResult>{contents}</ListBucketResult>");
        let keys = |body: &str| {
            let (found, next) = Objects::read(body.as_bytes(), "x").unwrap();
            (found.into_iter().map(|listed| listed.key).collect::<Vec<_>>(), next)
        };
        let all: String = ["x/a", "x/b%20+c", "y/a", "x/", "x/d//e", "x"].map(entry).concat();
        assert_eq!(keys(&body(&all)), (["a", "b%20+c"].map(str::to_owned).to_vec(), None));
        let more = "<IsTruncated>true</IsTruncated>";
        let (_, next) = keys(&body(&format!("{more}<NextContinuationToken>t</NextContinuationToken>")));
        assert_eq!(next, Some(Objects { token: Some("t".to_owned()), start_after: None }));
        assert!(matches!(Objects::read(body(more).as_bytes(), "x"), Err(S3Problem::NotS3(_))));
    }

    #[test]
    fn uploads_are_read_with_their_age_if_there_is_one() {
        let body = "<ListMultipartUploadsResult><IsTruncated>true</IsTruncated><NextKeyMarker>x/b</NextKeyMarker><NextUploadIdMarker>i2</NextUploadIdMarker>
            <Upload><Key>x/a</Key><UploadId>i1</UploadId><Initiated>1970-01-02T00:00:00.000Z</Initiated><Initiator><ID>me</ID></Initiator></Upload>
            <Upload><Key>x/b</Key><UploadId>i2</UploadId><Initiated>yesterday</Initiated></Upload></ListMultipartUploadsResult>";
        let (found, next) = Markers::read(body.as_bytes(), "x").unwrap();
        let day = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(86_400);
        let upload = |key: &str, id: &str, begun| Upload { key: key.to_owned(), id: id.to_owned(), begun };
        assert_eq!(found, [upload("a", "i1", Some(day)), upload("b", "i2", None)]);
        assert_eq!(next, Some(Markers { key: "x/b".to_owned(), id: "i2".to_owned() }));
    }
}
