//! Names of accounts: `user@domain`.

use std::fmt;

use reqwest::Url;
use storage::ids::UserId;

/// Longest user name, in bytes. Mastodon's own have at most 30, those of other software can be longer.
const LONGEST_USER: usize = 128;
/// Longest domain name, in bytes (RFC 1035).
const LONGEST_DOMAIN: usize = 253;

/// An account as its home names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Acct {
    /// The name at home. Its case is the home's; names that differ only in case are one account.
    pub user: String,
    /// The home, in lower case, with international names in their ASCII form.
    pub domain: String,
}

/// Why a text names no account.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} names no account: {what}; write it as user@host, @user@host or https://host/@user")]
pub struct InvalidAcct {
    text: String,
    what: &'static str,
}

impl Acct {
    /// Parses a target: `user@host`, `@user@host`, or the address of a profile.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse_target(text: &str) -> Result<Self, InvalidAcct> {
        let text = text.trim();
        match text.split_once("://") {
            Some(_) => from_url(text),
            None => Self::parse(text.strip_prefix('@').unwrap_or(text)),
        }
        .map_err(|what| InvalidAcct { text: storage::text::excerpt(text, 100), what })
    }

    /// Parses `user@host`.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (user, domain) = text.split_once('@').ok_or("it has no host")?;
        Self::new(user, domain)
    }

    /// The account of a name at a home.
    pub(super) fn new(user: &str, domain: &str) -> Result<Self, &'static str> {
        let letters = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if user.is_empty() || user.len() > LONGEST_USER || !user.bytes().all(letters) {
            return Err("a user name is letters, digits, dots, hyphens and underscores");
        }
        if user.starts_with(['.', '-']) {
            return Err("a user name begins with a letter, a digit or an underscore");
        }
        Ok(Self { user: user.to_owned(), domain: domain_name(domain)? })
    }

    /// The account with an id of a crawl.
    pub(super) fn of(user: &UserId) -> Result<Self, InvalidAcct> {
        let text = user.to_string();
        Self::parse(&text).map_err(|what| InvalidAcct { text, what })
    }

    /// The account that a host calls `acct`: without a domain it is one of its own.
    pub(super) fn seen_at(acct: &str, host: &str) -> Result<Self, &'static str> {
        match acct.split_once('@') {
            Some((user, domain)) => Self::new(user, domain),
            None => Self::new(acct, host),
        }
    }

    /// Whether both are one account.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.domain == other.domain && self.user.eq_ignore_ascii_case(&other.user)
    }

    /// The id that a crawl uses; `None` if it is too long for one.
    pub fn id(&self) -> Option<UserId> {
        self.to_string().parse().ok()
    }
}

impl fmt::Display for Acct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.user, self.domain)
    }
}

/// `https://host/@user`, `https://host/users/user`, and the same with something behind.
fn from_url(text: &str) -> Result<Acct, &'static str> {
    let url = Url::parse(text).map_err(|_| "it is no URL")?;
    if url.scheme() != "https" {
        return Err("profiles are at https:// addresses");
    }
    if url.port().is_some() || !url.username().is_empty() {
        return Err("the address has a port or a user in front of its host");
    }
    let host = url.host_str().ok_or("the address has no host")?;
    let mut parts = url.path_segments().ok_or("the address has no path")?;
    let user = match (parts.next(), parts.next()) {
        (Some("users"), Some(user)) => user,
        (Some(user), _) => user.strip_prefix('@').ok_or("the address is none of a profile")?,
        _ => return Err("the address is none of a profile"),
    };
    // A host shows accounts of others as `/@user@home`.
    match user.split_once('@') {
        Some((user, home)) => Acct::new(user, home),
        None => Acct::new(user, host),
    }
}

/// A public domain name in its ASCII form. Addresses and names without a dot are none: a crawl asks nobody inside.
fn domain_name(text: &str) -> Result<String, &'static str> {
    const WRONG: &str = "the host is no public domain name";
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    if text.len() > LONGEST_DOMAIN || !text.chars().all(plain) {
        return Err(WRONG);
    }
    let url = Url::parse(&format!("https://{text}/")).map_err(|_| WRONG)?;
    // An address of digits, in any notation, is no domain here.
    let name = url.domain().ok_or(WRONG)?.trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = name.split('.').collect();
    let fits = |label: &&str| !label.is_empty() && label.len() <= 63;
    if labels.len() < 2 || !labels.iter().all(fits) || name.len() > LONGEST_DOMAIN {
        return Err(WRONG);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Option<String> {
        Acct::parse_target(text).ok().map(|acct| acct.to_string())
    }

    #[test]
    fn targets_come_in_three_spellings() {
        for text in [
            "Gargron@Mastodon.Social",
            "@Gargron@mastodon.social",
            " https://mastodon.social/@Gargron ",
            "https://mastodon.social/@Gargron/117440824995689268",
            "https://mastodon.social/users/Gargron",
            "https://other.example/@Gargron@mastodon.social",
            "Gargron@mastodon.social.",
        ] {
            assert_eq!(target(text).as_deref(), Some("Gargron@mastodon.social"), "{text}");
        }
        assert_eq!(target("a@m\u{fc}nchen.example").as_deref(), Some("a@xn--mnchen-3ya.example"));
        assert_eq!(target("1@h1.test").as_deref(), Some("1@h1.test"), "digits are a name here");
    }

    #[test]
    fn what_names_no_account_of_a_public_host_is_refused() {
        for text in [
            "",
            "@",
            "@user",
            "user",
            "user@",
            "@@host.example",
            "user@host",
            "user@localhost",
            "a/b@host.example",
            "..@host.example",
            "a b@host.example",
            "user@127.0.0.1",
            "user@0x7f.1",
            "user@2130706433",
            "user@[::1]",
            "user@host.example:8080",
            "user@host.example/x",
            "user@host..example",
            "user@a@b.example",
            "http://host.example/@user",
            "https://host.example:8443/@user",
            "https://u:p@host.example/@user",
            "https://host.example/about",
            "https://127.0.0.1/@user",
            "ftp://host.example/@user",
            "https://",
        ] {
            let error = Acct::parse_target(text).err();
            assert!(
                error.is_some_and(|error| error.to_string().contains("write it as user@host")),
                "{text:?}"
            );
        }
        assert_eq!(target(&format!("{}@host.example", "a".repeat(200))), None);
        assert_eq!(target(&format!("a@{}.example", "b".repeat(64))), None);
    }

    #[test]
    fn names_in_another_case_are_one_account() {
        let acct = |text| Acct::parse_target(text).unwrap();
        assert!(acct("Ada@h1.test").is(&acct("aDA@H1.test")));
        assert!(!acct("Ada@h1.test").is(&acct("Ada@h2.test")));
    }
}
