//! The `Link` header of a page.

/// Where a page was asked for.
pub(super) struct Place<'a> {
    pub domain: &'a str,
    pub path: &'a str,
    /// The limit as it was asked for.
    pub limit: Option<&'a str>,
}

impl Place<'_> {
    fn link(&self, relation: &str, name: &str, value: &str) -> String {
        let limit = self.limit.map(|limit| format!("limit={limit}&")).unwrap_or_default();
        format!("<https://{}{}?{limit}{name}={value}>; rel=\"{relation}\"", self.domain, self.path)
    }

    /// The links to the next and the previous page; `None` without any.
    pub fn header(&self, next: Option<(&str, &str)>, previous: Option<(&str, &str)>) -> Option<String> {
        let links = [("next", next), ("prev", previous)];
        let links: Vec<String> = links
            .into_iter()
            .filter_map(|(relation, link)| link.map(|(name, value)| self.link(relation, name, value)))
            .collect();
        (!links.is_empty()).then(|| links.join(", "))
    }
}
