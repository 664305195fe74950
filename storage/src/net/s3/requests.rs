//! What was asked, since requests cost money.

use std::sync::atomic::{AtomicU64, Ordering};

use ::http::Method;
use ::http::request::Parts;

/// Requests that were sent, by kind, each attempt counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RequestCounts {
    /// Reading objects.
    pub get: u64,
    /// Reading what is known about objects.
    pub head: u64,
    /// Writing and copying objects.
    pub put: u64,
    /// Deleting objects.
    pub delete: u64,
    /// Pages of lists, and the request that opens a bucket.
    pub list: u64,
    /// Beginning, parts, end and abort of multipart uploads.
    pub multipart: u64,
    /// Those of all kinds that repeated an earlier attempt.
    pub retries: u64,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Get,
    Head,
    Put,
    Delete,
    List,
    Multipart,
}

impl Kind {
    pub(super) fn of(request: &Parts) -> Self {
        let query = request.uri.query().unwrap_or_default();
        let has = |name: &str| {
            query.split('&').any(|pair| pair.split_once('=').map_or(pair, |(name, _)| name) == name)
        };
        let multipart = has("uploadId");
        match request.method {
            Method::GET if has("list-type") || has("uploads") => Self::List,
            Method::GET => Self::Get,
            Method::HEAD => Self::Head,
            Method::PUT if !multipart => Self::Put,
            Method::DELETE if !multipart => Self::Delete,
            _ => Self::Multipart,
        }
    }
}

/// Counts since the bucket was opened.
#[derive(Debug, Default)]
pub(super) struct Counter {
    kinds: [AtomicU64; 6],
    retries: AtomicU64,
}

impl Counter {
    pub(super) fn count(&self, kind: Kind, is_retry: bool) {
        self.kinds[kind as usize].fetch_add(1, Ordering::Relaxed);
        if is_retry {
            self.retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn counts(&self) -> RequestCounts {
        let of = |kind: Kind| self.kinds[kind as usize].load(Ordering::Relaxed);
        RequestCounts {
            get: of(Kind::Get),
            head: of(Kind::Head),
            put: of(Kind::Put),
            delete: of(Kind::Delete),
            list: of(Kind::List),
            multipart: of(Kind::Multipart),
            retries: self.retries.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        for (method, uri, kind) in [
            (Method::GET, "http://h/b/k", Kind::Get),
            (Method::GET, "http://h/b?list-type=2&prefix=uploads", Kind::List),
            (Method::GET, "http://h/b?uploads=&prefix=x", Kind::List),
            (Method::GET, "http://h/b?uploads", Kind::List),
            (Method::HEAD, "http://h/b/k", Kind::Head),
            (Method::PUT, "http://h/b/k", Kind::Put),
            (Method::PUT, "http://h/b/k?partNumber=1&uploadId=x", Kind::Multipart),
            (Method::POST, "http://h/b/k?uploads", Kind::Multipart),
            (Method::POST, "http://h/b/k?uploadId=x", Kind::Multipart),
            (Method::DELETE, "http://h/b/k", Kind::Delete),
            (Method::DELETE, "http://h/b/k?uploadId=x", Kind::Multipart),
        ] {
            let request = ::http::Request::builder().method(method).uri(uri).body(()).unwrap();
            let parts = request.into_parts().0;
            assert_eq!(Kind::of(&parts), kind, "{} {uri}", parts.method);
        }
    }

    #[test]
    fn each_attempt_counts() {
        let counter = Counter::default();
        counter.count(Kind::Put, false);
        counter.count(Kind::Put, true);
        counter.count(Kind::List, false);
        assert_eq!(
            counter.counts(),
            RequestCounts { put: 2, list: 1, retries: 1, ..RequestCounts::default() }
        );
    }
}
