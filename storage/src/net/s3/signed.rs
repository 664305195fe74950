//! Requests that `object_store` does not have, signed by its signer.

use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use ::http::{HeaderName, Method};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use object_store::aws::AwsAuthorizer;
use object_store::client::{HttpRequest, HttpRequestBody};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::S3Problem;
use super::bucket::Inner;
use super::error::Failure;

/// What is not encoded in a signature:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
const IN_PATH: &AsciiSet = &IN_QUERY.remove(b'/');

/// A request that is not signed yet.
#[derive(Debug)]
pub(super) struct Unsigned {
    pub(super) method: Method,
    /// The full key, or `None` for the bucket itself.
    pub(super) key: Option<String>,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) header: Option<(HeaderName, String)>,
    pub(super) xml: Option<String>,
}

impl Inner {
    /// Signs and sends a request, and returns the body of a successful answer.
    pub(super) async fn ask(&self, request: Unsigned) -> Result<Bytes, Failure> {
        let mut request = request.build(&self.base).map_err(S3Problem::Failed)?;
        let signer = AwsAuthorizer::new(&self.credential, "s3", &self.region);
        signer.try_authorize(&mut request, None)?;
        let answer = self.http.execute(request).await?;
        Ok(answer.into_body().collect().await?.to_bytes())
    }
}

impl Unsigned {
    fn build(self, base: &str) -> Result<HttpRequest, String> {
        let mut uri = base.to_owned();
        if let Some(key) = &self.key {
            uri = format!("{uri}/{}", utf8_percent_encode(key, IN_PATH));
        }
        for (at, (name, value)) in self.query.iter().enumerate() {
            let mark = if at == 0 { '?' } else { '&' };
            uri = format!("{uri}{mark}{name}={}", utf8_percent_encode(value, IN_QUERY));
        }
        let mut builder = ::http::Request::builder().method(self.method).uri(uri);
        if let Some((name, value)) = self.header {
            builder = builder.header(name, value);
        }
        let body = self.xml.unwrap_or_default();
        if !body.is_empty() {
            builder = builder.header(CONTENT_TYPE, "application/xml").header(CONTENT_LENGTH, body.len());
        }
        builder.body(HttpRequestBody::from(body)).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_encoded_as_they_are_signed() {
        let request = Unsigned {
            method: Method::GET,
            key: Some("a b/\u{e9}+~%".to_owned()),
            query: vec![("list-type", "2".to_owned()), ("prefix", "x/&=+ *".to_owned())],
            header: None,
            xml: None,
        };
        let request = request.build("http://h:1/twm").unwrap();
        let expected = "http://h:1/twm/a%20b/%C3%A9%2B~%25?list-type=2&prefix=x%2F%26%3D%2B%20%2A";
        assert_eq!(request.uri().to_string(), expected);
        assert!(request.body().is_empty() && request.headers().is_empty());
    }
}
