//! What a host is.

use std::str::FromStr;

/// How a host behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostKind {
    /// Mastodon 4.7, open to everybody.
    #[default]
    Open,
    /// Mastodon before 4.0: a suspended account is 410, and there are no look-ups by several ids.
    Old,
    /// Mastodon with `DISALLOW_UNAUTHENTICATED_API_ACCESS`: accounts and posts only with a token.
    Token,
    /// Mastodon in limited federation mode: nothing without a token, not even the description of the instance.
    Limited,
    /// GoToSocial 0.20.
    GoToSocial,
    /// Another software with an API of its own that answers in JSON (Misskey).
    Other,
    /// A web page, whatever is asked: a parked domain.
    Web,
    /// Every connection is broken.
    Gone,
    /// It accepts requests and never answers.
    Hang,
}

impl HostKind {
    const NAMES: [(&'static str, Self); 9] = [
        ("open", Self::Open),
        ("old", Self::Old),
        ("token", Self::Token),
        ("limited", Self::Limited),
        ("gotosocial", Self::GoToSocial),
        ("other", Self::Other),
        ("web", Self::Web),
        ("gone", Self::Gone),
        ("hang", Self::Hang),
    ];

    /// Whether accounts and posts are answered only to a token.
    pub(super) fn wants_token(self) -> bool {
        matches!(self, Self::Token | Self::Limited | Self::GoToSocial)
    }

    /// Name and version of the software, as in nodeinfo; `None` if there is no answer.
    pub(super) fn software(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Open | Self::Token | Self::Limited => Some(("mastodon", "4.7.3")),
            Self::Old => Some(("mastodon", "3.5.19")),
            Self::GoToSocial => Some(("gotosocial", "0.20.2")),
            Self::Other => Some(("misskey", "2026.9.1")),
            Self::Web | Self::Gone | Self::Hang => None,
        }
    }
}

impl FromStr for HostKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.into_iter().find(|(name, _)| *name == text);
        found.map(|(_, kind)| kind).ok_or_else(|| {
            let names = Self::NAMES.map(|(name, _)| name).join(", ");
            format!("{text:?} is no kind of host; choose among {names}")
        })
    }
}
