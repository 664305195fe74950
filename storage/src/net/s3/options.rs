//! Settings of a client.

use std::path::PathBuf;
use std::time::Duration;

use ::url::{Host, Url};

use super::multipart::MULTIPART_FROM;
use super::{Credentials, S3Problem};

/// Where the server is, who asks, and how long to wait.
#[derive(Debug, Clone)]
pub struct S3Options {
    /// The server, `http[s]://HOST[:PORT]`; `None` for AWS.
    pub endpoint: Option<String>,
    /// The region, which is part of each signature. Servers other than AWS usually take `us-east-1`.
    pub region: String,
    /// Who asks.
    pub credentials: Credentials,
    /// A PEM file of the only authorities to trust; `None` for those of the system.
    pub ca: Option<PathBuf>,
    /// Whether `http://` is allowed to another machine: everyone in between can read and change what is sent.
    pub allow_http: bool,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Longest time from a request to the end of its answer, and between two pieces of an object that is
    /// read. Another second is added for each 256 KiB.
    pub timeout: Duration,
    /// How long after its beginning a request may still be tried again; zero for never. With its last
    /// attempt, a call ends after at most this and `timeout`.
    pub retry_for: Duration,
    /// Files from this size on, in bytes, are uploaded in several parts, which are at least as large: at
    /// least 5 MiB for a server that keeps to the rules, and the memory that an upload takes.
    pub multipart_from: u64,
}

impl S3Options {
    /// AWS in `us-east-1`: 3 s to connect, 10 s for an answer, 10 s for retries.
    pub fn new(credentials: Credentials) -> Self {
        Self {
            endpoint: None,
            region: "us-east-1".to_owned(),
            credentials,
            ca: None,
            allow_http: false,
            connect_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(10),
            retry_for: Duration::from_secs(10),
            multipart_from: MULTIPART_FROM,
        }
    }

    /// Takes what the variables of AWS's own tools say, if they are set: `AWS_ENDPOINT_URL_S3` or
    /// `AWS_ENDPOINT_URL`, `AWS_REGION` or `AWS_DEFAULT_REGION`, and `AWS_CA_BUNDLE`. `variable` returns the
    /// value of a variable.
    pub fn with_environment(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| {
            names.iter().filter_map(|name| variable(name)).find(|value| !value.trim().is_empty())
        };
        if let Some(endpoint) = first(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]) {
            self.endpoint = Some(endpoint);
        }
        if let Some(region) = first(&["AWS_REGION", "AWS_DEFAULT_REGION"]) {
            self.region = region;
        }
        if let Some(ca) = first(&["AWS_CA_BUNDLE"]) {
            self.ca = Some(ca.into());
        }
        self
    }

    /// The checked endpoint, without a slash at its end.
    pub(super) fn checked_endpoint(&self) -> Result<String, S3Problem> {
        let region = self.region.trim();
        if region.is_empty() || !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(S3Problem::Setting("the S3 region is no name like us-east-1".to_owned()));
        }
        let Some(endpoint) = &self.endpoint else { return Ok(format!("https://s3.{region}.amazonaws.com")) };
        let endpoint = endpoint.trim();
        check_endpoint(endpoint, self.allow_http).map_err(|problem| {
            // What stands before an @ may be a secret.
            let shown =
                endpoint.rsplit_once('@').map_or(endpoint.to_owned(), |(_, rest)| format!("***@{rest}"));
            S3Problem::Setting(format!("the S3 endpoint {shown}: {problem}; write http[s]://HOST[:PORT]"))
        })
    }
}

fn check_endpoint(endpoint: &str, allow_http: bool) -> Result<String, &'static str> {
    let url = Url::parse(endpoint).map_err(|_| "it is no URL")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("its scheme is neither http nor https");
    }
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err("it has no host"),
    };
    if url.scheme() == "http" && !is_loopback && !allow_http {
        return Err("http:// to another machine is readable on the way; use https://, or allow it");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it takes no user and no password; give the credentials in a file or in the environment");
    }
    if url.path() != "/" {
        return Err("it takes no path; the bucket and the prefix belong into the URL s3://BUCKET/PREFIX");
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it takes no options");
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(endpoint: Option<&str>) -> S3Options {
        let endpoint = endpoint.map(str::to_owned);
        S3Options { endpoint, ..S3Options::new(Credentials::new("key", "secret", None).unwrap()) }
    }

    #[test]
    fn an_endpoint_is_a_server_that_is_reached_safely() {
        for (endpoint, expected) in [
            (None, "https://s3.us-east-1.amazonaws.com"),
            (Some(" https://s3.example/ "), "https://s3.example"),
            (Some("https://s3.example:9000"), "https://s3.example:9000"),
            (Some("http://127.0.0.1:7070"), "http://127.0.0.1:7070"),
            (Some("http://[::1]:7070/"), "http://[::1]:7070"),
            (Some("http://localhost"), "http://localhost"),
        ] {
            assert_eq!(options(endpoint).checked_endpoint().unwrap(), expected);
        }
        for (endpoint, problem) in [
            ("s3.example:9000", "its scheme is neither"),
            ("s3.example", "it is no URL"),
            ("https://", "it is no URL"),
            ("ftp://s3.example", "its scheme is neither"),
            ("http://s3.example", "readable on the way"),
            ("http://10.0.0.1:7070", "readable on the way"),
            ("https://key:secret@s3.example", "it takes no user"),
            ("https://s3.example/twm", "it takes no path"),
            ("https://s3.example?x", "it takes no options"),
        ] {
            let error = options(Some(endpoint)).checked_endpoint().unwrap_err().to_string();
            assert!(error.contains(problem) && !error.contains("secret"), "{endpoint}: {error}");
        }
        let allowed = S3Options { allow_http: true, ..options(Some("http://10.0.0.1:7070")) };
        assert_eq!(allowed.checked_endpoint().unwrap(), "http://10.0.0.1:7070");
        let nowhere = S3Options { region: "us east".to_owned(), ..options(None) };
        assert!(nowhere.checked_endpoint().unwrap_err().to_string().contains("region"));
    }

    #[test]
    fn the_environment_of_the_usual_tools_counts() {
        let options = options(None).with_environment(|name| match name {
            "AWS_ENDPOINT_URL" => Some("https://s3.example".to_owned()),
            "AWS_ENDPOINT_URL_S3" => Some(" ".to_owned()),
            "AWS_DEFAULT_REGION" => Some("eu-west-1".to_owned()),
            _ => None,
        });
        assert_eq!(options.endpoint.as_deref(), Some("https://s3.example"));
        assert_eq!((options.region.as_str(), options.ca), ("eu-west-1", None));
    }
}
