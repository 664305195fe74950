//! URLs of a `twm-indexer`.

use std::fmt;

use reqwest::Url;

/// The URL of a `twm-indexer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexerUrl(Url);

impl IndexerUrl {
    /// Parses the URL of an indexer.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = "expected a URL such as http://127.0.0.1:9700";
        let mut url = Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
        let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !plain {
            return Err(expected.to_owned());
        }
        url.set_path(&format!("{}/inspect", url.path().trim_end_matches('/')));
        Ok(Self(url))
    }

    /// The endpoint of the inspections.
    pub(crate) fn inspection(&self) -> Url {
        self.0.clone()
    }
}

impl fmt::Display for IndexerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
