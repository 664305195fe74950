//! A blocking client of one bucket on an S3-compatible server.
//!
//! It is made for a dataset whose fence is a condition: [`Bucket::put`] replaces an object only if the object
//! is absent, or only if it is the one that was read. The requests that the crate `object_store` has are made
//! by it; what it lacks (a condition at the end of a multipart upload, lists of unfinished uploads) is signed
//! by its own signer. Both use the same connections, deadlines, retries and counters, which are in
//! `transport`.
//!
//! Settings that matter on every server:
//! - Objects are addressed by path (`ENDPOINT/BUCKET/KEY`), never by host.
//! - A request is tried again for [`S3Options::retry_for`] if no answer came, the connection broke off, or
//!   the server said that it is busy. Each attempt has a deadline.
//! - A conditional write that is tried again may be refused because its own first attempt was carried out and
//!   only the answer was lost. This is reported as [`PutOutcome::Refused`], never hidden: the caller reads
//!   the attributes of the object that is there, and knows whether it is its own.

mod answers;
mod bucket;
mod credentials;
mod error;
mod key;
mod listing;
mod multipart;
mod object;
mod options;
mod put;
mod requests;
mod signed;
#[cfg(test)]
mod tests;
mod threads;
mod tls;
mod transport;
mod url;

pub use bucket::Bucket;
pub use credentials::{Credentials, CredentialsError};
pub use error::{Answer, S3Error, S3Problem};
pub use key::Attributes;
pub use listing::{Listed, Listing, Upload, Uploads};
pub use multipart::{LEAST_PART, MOST_PARTS, MULTIPART_FROM};
pub use object::{Meta, Object};
pub use options::S3Options;
pub use put::{Body, Condition, PutOutcome};
pub use requests::RequestCounts;
pub use url::{S3Url, S3UrlError};
