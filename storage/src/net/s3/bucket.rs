//! A bucket, and the requests of one object that carry no body.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ::http::Method;
use object_store::Attributes as StoreAttributes;
use object_store::aws::{AmazonS3, AmazonS3Builder, AwsCredential, S3ConditionalPut};
use object_store::client::HttpClient;
use object_store::path::Path;
use object_store::{CopyOptions, GetOptions, ObjectStore as _, ObjectStoreExt as _, RetryConfig};

use super::answers::{self, ObjectPage};
use super::error::Failure;
use super::key::{self, Attributes};
use super::put::Source;
use super::requests::Counter;
use super::signed::Unsigned;
use super::threads::Threads;
use super::transport::{Ready, Transport};
use super::{Condition, Meta, PutOutcome, RequestCounts, S3Error, S3Options, S3Problem, S3Url};

/// A bucket, or the part of it below the prefix of its URL. Clones share the connections.
///
/// Keys are relative to the prefix. All calls block, from microseconds to the limits of [`S3Options`]: within
/// a runtime they belong to `spawn_blocking`. Every call may return an [`S3Error`] for what went wrong on the
/// way or at the server.
#[derive(Clone)]
pub struct Bucket {
    pub(super) inner: Arc<Inner>,
    pub(super) threads: Arc<Threads>,
}

/// What tasks share.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) store: AmazonS3,
    pub(super) http: HttpClient,
    pub(super) credential: AwsCredential,
    pub(super) region: String,
    /// `ENDPOINT/BUCKET`.
    pub(super) base: String,
    pub(super) place: String,
    url: String,
    pub(super) prefix: String,
    pub(super) timeout: Duration,
    pub(super) multipart_from: u64,
    counter: Arc<Counter>,
}

impl Bucket {
    /// Connects, and makes one request, a list of at most one key. It proves that a server of S3 is there,
    /// that it knows the credentials and lets them list, and that the bucket exists.
    ///
    /// # Errors
    /// A wrong setting, or what the request found; see [`S3Problem`].
    pub fn open(url: &S3Url, options: &S3Options) -> Result<Self, S3Error> {
        let server = options.endpoint.as_deref().map_or("AWS", str::trim);
        // Before it is checked, an endpoint may contain a password.
        let server = server.rsplit_once('@').map_or(server, |(_, rest)| rest);
        let place = format!("{url} at {server}");
        let failed = |problem| S3Error { doing: "open it".to_owned(), place: place.clone(), problem };
        let inner = Inner::new(url, options, place.clone()).map_err(failed)?;
        let threads = Threads::new().map_err(failed)?;
        let bucket = Self { inner: Arc::new(inner), threads: Arc::new(threads) };
        let inner = Arc::clone(&bucket.inner);
        let probed = bucket.run(async move { inner.probe().await });
        probed.map_err(|failure| failed(failure.problem()))?;
        Ok(bucket)
    }

    /// What is known of an object, without reading it, or `None` if there is none.
    ///
    /// The answer has no text, so a bucket that was deleted since it was opened looks like an absent object.
    ///
    /// # Errors
    /// See [`S3Problem`].
    pub fn head(&self, key: &str) -> Result<Option<Meta>, S3Error> {
        let doing = || format!("look at {key}");
        let path = self.path(key, doing)?;
        let inner = Arc::clone(&self.inner);
        let looked = async move {
            let options = GetOptions { head: true, ..GetOptions::default() };
            Ok(Meta::of(&inner.store.get_opts(&path, options).await?))
        };
        self.found(doing, self.run(looked))
    }

    /// Deletes an object. An absent one is fine.
    ///
    /// # Errors
    /// See [`S3Problem`].
    pub fn delete(&self, key: &str) -> Result<(), S3Error> {
        let doing = || format!("delete {key}");
        let path = self.path(key, doing)?;
        let inner = Arc::clone(&self.inner);
        let deleted = self.run(async move { Ok(inner.store.delete(&path).await?) });
        self.found(doing, deleted).map(|_| ())
    }

    /// Copies an object with its attributes, within the server, and replaces what is there. Returns whether
    /// there was one to copy. S3 copies at most 5 GiB so.
    ///
    /// It takes no condition, because servers ignore it: a copy is no fence.
    ///
    /// # Errors
    /// See [`S3Problem`].
    pub fn copy(&self, from: &str, to: &str) -> Result<bool, S3Error> {
        let doing = || format!("copy {from} to {to}");
        let (from, to) = (self.path(from, doing)?, self.path(to, doing)?);
        let inner = Arc::clone(&self.inner);
        let copied = async move { Ok(inner.store.copy_opts(&from, &to, CopyOptions::default()).await?) };
        Ok(self.found(doing, self.run(copied))?.is_some())
    }

    /// Checks that the server keeps conditions, by writing the empty object `key`, which nobody else uses, and
    /// deleting it: a server that ignores them would let two writers replace each other's files. Eight requests.
    ///
    /// # Errors
    /// The server ignores a condition ([`S3Problem::Setting`]), an object of this name has contents, or see
    /// [`S3Problem`].
    pub fn check_conditions(&self, key: &str) -> Result<(), S3Error> {
        let doing = || format!("check the conditions of writing with {key}");
        let put = |condition| self.put(key, Vec::new().into(), &Attributes::new(), &condition);
        let said = |problem: &str| self.error(doing(), S3Problem::Setting(problem.to_owned()));
        let etag = match put(Condition::Absent)? {
            PutOutcome::Written(etag) => etag,
            // The answer to our own first attempt may have been lost.
            PutOutcome::Refused => match self.head(key)? {
                Some(there) if there.bytes == 0 => there.etag,
                Some(_) => return Err(said("there is an object of this name; delete it if nobody needs it")),
                None => return Err(said("the server refuses to create an object that is not there")),
            },
        };
        let kept = (|| {
            // The end of an upload has a condition of its own.
            let path = self.path(key, doing)?;
            let parts = self.put_parts(path, Source::of(b"x"), StoreAttributes::new(), &Condition::Absent);
            let whole = self.outcome(doing, parts, &Condition::Absent)?;
            let absent = put(Condition::Absent)?;
            // Another, well-formed one.
            let other = etag.chars().map(|c| if c.is_ascii_hexdigit() { '0' } else { c }).collect();
            Ok((whole, absent, put(Condition::Matches(other))?))
        })();
        self.delete(key)?;
        match kept? {
            (PutOutcome::Refused, PutOutcome::Refused, PutOutcome::Refused) => Ok(()),
            _ => Err(said(
                "the server ignores If-None-Match or If-Match, so it cannot hold a dataset; use one that keeps them, such as AWS, MinIO or versitygw",
            )),
        }
    }

    /// Requests since the bucket was opened, of all clones together.
    pub fn requests(&self) -> RequestCounts {
        self.inner.counter.counts()
    }

    /// Its URL and its server, for messages.
    pub fn place(&self) -> &str {
        &self.inner.place
    }

    /// Its URL, for messages that name an object.
    pub fn url(&self) -> &str {
        &self.inner.url
    }

    /// Waits for a task of the client.
    pub(super) fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> Result<T, Failure> {
        self.threads.run(task)?
    }

    /// `None` for an object that is absent.
    pub(super) fn found<T>(
        &self,
        doing: impl Fn() -> String,
        result: Result<T, Failure>,
    ) -> Result<Option<T>, S3Error> {
        match result {
            Ok(found) => Ok(Some(found)),
            Err(failure) if failure.is_absent() => Ok(None),
            Err(failure) => Err(self.error(doing(), failure)),
        }
    }

    pub(super) fn path(&self, key: &str, doing: impl Fn() -> String) -> Result<Path, S3Error> {
        key::full_key(&self.inner.prefix, key).map_err(|problem| self.error(doing(), problem))
    }

    pub(super) fn error(&self, doing: String, failure: impl Into<Failure>) -> S3Error {
        S3Error { doing, place: self.inner.place.clone(), problem: failure.into().problem() }
    }
}

impl Inner {
    fn new(url: &S3Url, options: &S3Options, place: String) -> Result<Self, S3Problem> {
        let endpoint = options.checked_endpoint()?;
        let counter = Arc::new(Counter::default());
        let http = HttpClient::new(Transport::new(options, Arc::clone(&counter))?);
        let (credentials, region) = (&options.credentials, options.region.trim());
        let mut builder = AmazonS3Builder::new()
            .with_endpoint(&endpoint)
            .with_allow_http(true)
            .with_bucket_name(url.bucket())
            .with_region(region)
            .with_access_key_id(&credentials.access_key)
            .with_secret_access_key(&credentials.secret_key)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            // One request for one object, which every server has.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(Ready(http.clone()));
        if let Some(token) = &credentials.session_token {
            builder = builder.with_token(token);
        }
        let store = builder.build().map_err(|error| S3Problem::Failed(error.to_string()))?;
        let credential = AwsCredential {
            key_id: credentials.access_key.clone(),
            secret_key: credentials.secret_key.clone(),
            token: credentials.session_token.clone(),
        };
        Ok(Self {
            store,
            http,
            credential,
            region: region.to_owned(),
            base: format!("{endpoint}/{}", url.bucket()),
            place,
            url: url.to_string(),
            prefix: url.prefix().to_owned(),
            timeout: options.timeout,
            multipart_from: options.multipart_from.max(1),
            counter,
        })
    }

    async fn probe(&self) -> Result<(), Failure> {
        let query = vec![
            ("list-type", "2".to_owned()),
            ("max-keys", "1".to_owned()),
            ("prefix", self.prefix.clone()),
        ];
        let request = Unsigned { method: Method::GET, key: None, query, header: None, xml: None };
        let body = self.ask(request).await?;
        answers::read::<ObjectPage>(&body, "ListBucketResult")?;
        Ok(())
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bucket({})", self.inner.place)
    }
}
