//! The parameters of a request.

use form_urlencoded::parse;

use super::answer::Refusal;

/// Parameters from the query and, in a POST, from the form.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub fn read(query: Option<&str>, form: &[u8]) -> Self {
        let query = parse(query.unwrap_or_default().as_bytes()).into_owned();
        Self(query.chain(parse(form).into_owned()).collect())
    }

    /// The first nonempty value with this name.
    pub fn text(&self, name: &str) -> Option<&str> {
        let mut values = self.0.iter().filter(|(key, value)| key == name && !value.is_empty());
        values.next().map(|(_, value)| value.as_str())
    }

    pub fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        self.text(name).map(|value| value.parse().map_err(|_| Refusal::BAD_PARAMETER)).transpose()
    }

    /// Whether a flag is set, in any spelling that the API accepts.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.text(name), Some("true" | "t" | "1"))
    }

    /// The items of a comma-separated list, from all values with this name.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.0.iter().filter(move |(key, _)| key == name);
        values.flat_map(|(_, value)| value.split(',')).map(str::trim).filter(|item| !item.is_empty())
    }
}
