//! One line of a list.

use storage::ids::{InvalidUserId, UserId};

/// Longest line that can contain an account, bytes.
pub const MAX_LINE: usize = 4096;

/// Longest screen name.
const MAX_NAME: usize = 50;
/// Longest name in another source: as long as a host name may be.
const MAX_LONG_NAME: usize = 253;

/// The target on a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An account.
    Account(UserId),
    /// A screen name, without its `@`, which has to be resolved.
    Name(String),
}

/// Why a line contains no target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// Longer than [`MAX_LINE`].
    #[error("the line is longer than {MAX_LINE} bytes; write one account a line")]
    TooLong,
    /// A NUL byte.
    #[error("binary or UTF-16 data; convert the list with `iconv -f utf-16 -t utf-8`")]
    Binary,
    /// Another encoding.
    #[error("no UTF-8 text; convert the list, for example with `iconv -f latin1 -t utf-8`")]
    NotUtf8,
    /// An invalid screen name.
    #[error("{0:?} is no screen name; behind the @ stand at most {MAX_NAME} letters, digits and underscores")]
    ScreenName(String),
    /// An invalid name of another source.
    #[error("{0:?} is no name; behind the @ stand at most {MAX_LONG_NAME} ASCII characters without spaces")]
    Name(String),
    /// A URL of something else.
    #[error("{0:?} is no profile's URL; expected one like `https://host/@name`")]
    Url(String),
    /// A screen name without an account.
    #[error("{0:?} names no account of the network; check its spelling, or whether the account was renamed")]
    NoSuchName(String),
    /// A bare word. Text ids of other networks contain a `:` or an `@`.
    #[error(
        "{0:?} is no account id; write a decimal id, or another network's id like `did:plc:...` or `id@host`"
    )]
    Word(String),
    /// An invalid id.
    #[error(transparent)]
    Id(#[from] InvalidUserId),
}

/// The target of a source other than the default one on a line; `None` for a blank line or a comment.
///
/// A line is an id, a name after an `@`, or the URL of a profile, whose name is resolved: `https://host/@name`.
pub fn parse_line_of_source(line: &[u8]) -> Result<Option<Target>, BadLine> {
    if line.contains(&0) {
        return Err(BadLine::Binary);
    }
    let text = std::str::from_utf8(line).map_err(|_| BadLine::NotUtf8)?.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let of_url = |url: &str| {
        let (host, name) = url.trim_end_matches('/').split_once("/@")?;
        Some(if name.contains('@') { name.to_owned() } else { format!("{name}@{host}") })
    };
    let name = match (text.strip_prefix('@'), text.strip_prefix("https://")) {
        (Some(name), _) => Some(name.to_owned()),
        (None, Some(url)) => Some(of_url(url).ok_or_else(|| BadLine::Url(text.to_owned()))?),
        (None, None) => None,
    };
    match name {
        Some(name)
            if (1..=MAX_LONG_NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Ok(Some(Target::Name(name)))
        }
        Some(name) => Err(BadLine::Name(name)),
        None => match text.parse()? {
            UserId::Text(text) if !text.contains([':', '@']) => Err(BadLine::Word(text.into())),
            user => Ok(Some(Target::Account(user))),
        },
    }
}

/// The target on a line; `None` for a blank line or a comment.
///
/// A line is an id, a screen name after an `@`, or a job as the original saved its frontier: `T,<id>,0`, of which the
/// id counts.
pub fn parse_line(line: &[u8]) -> Result<Option<Target>, BadLine> {
    if line.contains(&0) {
        return Err(BadLine::Binary);
    }
    let text = std::str::from_utf8(line).map_err(|_| BadLine::NotUtf8)?.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let id = job_user(text).unwrap_or(text);
    if let Some(name) = id.strip_prefix('@') {
        let fits = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        return match fits {
            true => Ok(Some(Target::Name(name.to_owned()))),
            false => Err(BadLine::ScreenName(id.to_owned())),
        };
    }
    match id.parse()? {
        // A word without either is a header line or a name that lost its `@`.
        UserId::Text(text) if !text.contains([':', '@']) => Err(BadLine::Word(text.into())),
        user => Ok(Some(Target::Account(user))),
    }
}

/// The account of a saved job, if the line is one.
fn job_user(text: &str) -> Option<&str> {
    let mut fields = text.split(',');
    let (operation, user, cursor) = (fields.next()?, fields.next()?, fields.next()?);
    let is_job = matches!(operation, "T" | "F" | "A" | "U") && cursor.parse::<i128>().is_ok();
    (is_job && fields.next().is_none()).then_some(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> Result<Option<Target>, BadLine> {
        Ok(Some(Target::Account(UserId::Number(n))))
    }

    #[test]
    fn good_lines_name_an_account() {
        for (line, expected) in [
            (&b"22013880"[..], id(22_013_880)),
            (b"  12\t\r", id(12)),
            (b"18446744073709551615", id(u64::MAX)),
            (b"007", id(7)),
            (b"T,42,0", id(42)),
            (b"F,42,-1", id(42)),
            (b"", Ok(None)),
            (b" \t\r", Ok(None)),
            (b"# a comment", Ok(None)),
        ] {
            assert_eq!(parse_line(line), expected, "{:?}", String::from_utf8_lossy(line));
        }
        for text in ["did:plc:z72i7hdynmk6r22z27h6tvur", "109@mastodon.social"] {
            let expected = Target::Account(text.parse().unwrap());
            assert_eq!(parse_line(text.as_bytes()), Ok(Some(expected)));
        }
    }

    #[test]
    fn a_screen_name_stands_behind_an_at_sign() {
        for line in ["@jack_9", " @jack_9\r", "T,@jack_9,0"] {
            assert_eq!(parse_line(line.as_bytes()), Ok(Some(Target::Name("jack_9".into()))), "{line:?}");
        }
    }

    #[test]
    fn bad_lines_are_told_apart() {
        assert_eq!(parse_line(b"1\x002\x00"), Err(BadLine::Binary));
        assert_eq!(parse_line(b"Andr\xe9"), Err(BadLine::NotUtf8));
        for name in ["@", "@j ck", "@jack,jill", "@a@host", "@j\u{e4}ck", &format!("@{}", "j".repeat(51))] {
            assert_eq!(parse_line(name.as_bytes()), Err(BadLine::ScreenName(name.into())));
        }
        assert_eq!(parse_line(b"user_id"), Err(BadLine::Word("user_id".into())));
        assert_eq!(parse_line(b"-5"), Err(BadLine::Id(InvalidUserId::Negative("-5".into()))));
        for out_of_range in ["0", "18446744073709551616", "99999999999999999999999"] {
            let expected = Err(BadLine::Id(InvalidUserId::OutOfRange(out_of_range.into())));
            assert_eq!(parse_line(out_of_range.as_bytes()), expected);
        }
        for no_id in ["1 2", "1,2", "X,1,0", "T,1,0,9", "T,1,", "T,a b,0"] {
            assert!(matches!(parse_line(no_id.as_bytes()), Err(BadLine::Id(_))), "{no_id:?}");
        }
    }

    #[test]
    fn other_sources_have_ids_names_and_urls() {
        let name = |name: &str| Ok(Some(Target::Name(name.to_owned())));
        for (line, expected) in [
            ("@anna.bsky.social", name("anna.bsky.social")),
            ("@anna@host.example\r", name("anna@host.example")),
            ("https://host.example/@anna", name("anna@host.example")),
            ("https://host.example/@anna@home.example/", name("anna@home.example")),
            (" # no", Ok(None)),
            ("12", id(12)),
            (
                "did:plc:z72i7hdynmk6r22z27h6tvur",
                Ok(Some(Target::Account("did:plc:z72i7hdynmk6r22z27h6tvur".parse().unwrap()))),
            ),
            ("anna", Err(BadLine::Word("anna".to_owned()))),
            ("@", Err(BadLine::Name(String::new()))),
            ("@an na", Err(BadLine::Name("an na".to_owned()))),
            ("https://host.example/tags/x", Err(BadLine::Url("https://host.example/tags/x".to_owned()))),
        ] {
            assert_eq!(parse_line_of_source(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn what_is_printed_cannot_steer_a_terminal() {
        let message = parse_line(b"\x1b[2Jx:y").unwrap_err().to_string();
        assert!(!message.contains('\x1b'), "{message:?}");
    }
}
