//! URLs of a Graphite.

use std::fmt;

use reqwest::Url;

/// Where graphite-web is: `http[s]://[USER:PASSWORD@]HOST[:PORT][/PATH]`. Its `Display` and `Debug` forms omit user
/// and password.
#[derive(Clone, PartialEq, Eq)]
pub struct GraphiteUrl(Url);

impl GraphiteUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// What is wrong with it, and what is allowed. The text is not repeated: it may contain a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "give the URL of graphite-web, such as http://10.0.0.8:8080/";
        let mut url = Url::parse(text.trim()).map_err(|error| format!("it is no URL ({error}); {form}"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(format!("it does not begin with http:// or https:// and a host; {form}"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("it has a query or a fragment; {form}"));
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self(url))
    }

    /// Its render API with this query.
    pub(crate) fn render(&self, query: &[(&str, String)]) -> Url {
        let mut url = self.0.clone();
        url.set_path(&format!("{}render", url.path()));
        url.query_pairs_mut().extend_pairs(query);
        url
    }
}

impl fmt::Display for GraphiteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0.clone();
        // Neither fails if there is a host.
        let _ = (shown.set_username(""), shown.set_password(None));
        write!(f, "{shown}")
    }
}

impl fmt::Debug for GraphiteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GraphiteUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_leads_to_the_render_api_below_its_path_and_shows_no_password() {
        for (text, shown, render) in [
            ("http://a", "http://a/", "http://a/render?from=1"),
            (" https://u:s3cret@a:81/g ", "https://a:81/g/", "https://u:s3cret@a:81/g/render?from=1"),
        ] {
            let url = GraphiteUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), format!("{url:?}").contains("s3cret")), (shown, false));
            assert_eq!(url.render(&[("from", "1".to_owned())]).as_str(), render);
        }
    }

    #[test]
    fn what_is_no_url_of_a_graphite_is_refused_without_repeating_it() {
        for text in
            ["", "10.0.0.8:8080", "s3cret", "ftp://u:s3cret@a/", "http://u:s3cret@a/?x=1", "http:///s3cret#"]
        {
            let error = GraphiteUrl::parse(text).unwrap_err();
            assert!(error.contains("such as http://10.0.0.8:8080/") && !error.contains("s3cret"), "{error}");
        }
    }
}
