//! Where the dataset is.

use std::fmt;
use std::path::PathBuf;

#[cfg(feature = "cassandra")]
use storage::net::cassandra::{CassandraOptions, CassandraUrl, Login, LoginError, Trust};
#[cfg(feature = "hdfs")]
use storage::net::hdfs::HdfsUrl;
#[cfg(feature = "s3")]
use storage::net::s3::{Credentials, S3Options, S3Url};

/// The place of the dataset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputPlace {
    /// A folder.
    Folder(PathBuf),
    /// A folder of an HDFS, which all nodes share.
    #[cfg(feature = "hdfs")]
    Hdfs(HdfsUrl),
    /// A bucket of an S3-compatible store, which all nodes share.
    #[cfg(feature = "s3")]
    Bucket(S3Url),
    /// A keyspace of a Cassandra cluster, which all nodes share.
    #[cfg(feature = "cassandra")]
    Keyspace(CassandraUrl),
}

impl OutputPlace {
    /// Parses a folder or a URL.
    ///
    /// # Errors
    /// A URL that is wrong, or of a kind that this program does not support.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = super::values::text(text)?;
        let Some((scheme, _)) = text.split_once("://") else { return Ok(Self::Folder(text.into())) };
        match scheme.to_ascii_lowercase().as_str() {
            #[cfg(feature = "hdfs")]
            "hdfs" => HdfsUrl::parse(&text).map(Self::Hdfs).map_err(|error| error.to_string()),
            #[cfg(feature = "s3")]
            "s3" => S3Url::parse(&text).map(Self::Bucket).map_err(|error| error.to_string()),
            #[cfg(feature = "cassandra")]
            "cassandra" => CassandraUrl::parse(&text).map(Self::Keyspace).map_err(|error| error.to_string()),
            scheme => Err(format!(
                "this program writes no datasets to {scheme}://; give a folder{}{}{}",
                if cfg!(feature = "hdfs") { ", or hdfs://HOST:PORT/PATH" } else { "" },
                if cfg!(feature = "s3") { ", or s3://BUCKET/PREFIX" } else { "" },
                if cfg!(feature = "cassandra") { ", or cassandra://HOST,HOST/KEYSPACE" } else { "" }
            )),
        }
    }

    /// Whether all nodes of a cluster share the place.
    pub(super) fn is_shared(&self) -> bool {
        !matches!(self, Self::Folder(_))
    }
}

impl fmt::Display for OutputPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            #[cfg(feature = "hdfs")]
            Self::Hdfs(url) => url.fmt(f),
            #[cfg(feature = "s3")]
            Self::Bucket(url) => url.fmt(f),
            #[cfg(feature = "cassandra")]
            Self::Keyspace(url) => url.fmt(f),
        }
    }
}

/// How an S3-compatible store is reached. What is not set comes from the variables of AWS's own tools.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Settings {
    /// The server.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// A file in the format of `~/.aws/credentials`.
    pub credentials: Option<PathBuf>,
    /// A PEM file of the only authorities to trust.
    pub ca: Option<PathBuf>,
    /// Whether `http://` is allowed to another machine.
    pub plain_http: bool,
}

#[cfg(feature = "s3")]
impl S3Settings {
    /// The options of a client. `variable` returns the value of an environment variable.
    ///
    /// # Errors
    /// Credentials that are missing or cannot be read.
    pub fn options(&self, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<S3Options> {
        let credentials = match &self.credentials {
            Some(path) => Credentials::from_file(path, "default")?,
            None => Credentials::from_environment(&variable)?.ok_or_else(|| {
                anyhow::anyhow!(
                    "credentials of the store are missing; name a file with --s3-credentials-file, or set \
                     AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                )
            })?,
        };
        let mut options = S3Options::new(credentials).with_environment(variable);
        if let Some(endpoint) = &self.endpoint {
            options.endpoint = Some(endpoint.clone());
        }
        if let Some(region) = &self.region {
            options.region.clone_from(region);
        }
        if let Some(ca) = &self.ca {
            options.ca = Some(ca.clone());
        }
        options.allow_http |= self.plain_http;
        Ok(options)
    }
}

/// How a Cassandra cluster is reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CassandraSettings {
    /// A file with the user and the password.
    pub credentials: Option<PathBuf>,
    /// Whether connections have TLS.
    pub tls: bool,
    /// A PEM file of the only authorities to trust; connections then have TLS.
    pub ca: Option<PathBuf>,
    /// Whether servers may lose what they acknowledged.
    pub accept_periodic: bool,
}

#[cfg(feature = "cassandra")]
impl CassandraSettings {
    /// The options of a client.
    ///
    /// # Errors
    /// The file with the login cannot be read.
    pub fn options(&self) -> Result<CassandraOptions, LoginError> {
        let login = self.credentials.as_deref().map(Login::from_file).transpose()?;
        let tls = match &self.ca {
            Some(ca) => Some(Trust::File(ca.clone())),
            None => self.tls.then_some(Trust::System),
        };
        Ok(CassandraOptions { login, tls, ..CassandraOptions::new() })
    }
}
