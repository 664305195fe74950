//! Names and attributes of objects.

use std::collections::BTreeMap;

use object_store::path::Path;
use object_store::{Attribute, Attributes as StoreAttributes};

use super::S3Problem;

/// Text that is kept with an object, by name: S3's user-defined metadata. A name has lower-case letters,
/// digits and hyphens; a value is printable ASCII without spaces at its ends. Together they have at most
/// 2,048 bytes.
pub type Attributes = BTreeMap<String, String>;

/// Longest key, in bytes of UTF-8.
const MAX_KEY: usize = 1024;

/// Most bytes of all attributes of an object.
const MAX_ATTRIBUTES: usize = 2048;

/// Longest ETag that is sent back.
const MAX_ETAG: usize = 1024;

/// Longest id of an upload that is sent back. The longest known ones have a few hundred bytes.
const MAX_UPLOAD_ID: usize = 4096;

/// A key below a prefix, as the server knows it.
pub(super) fn full_key(prefix: &str, key: &str) -> Result<Path, S3Problem> {
    let full = match prefix {
        "" => key.to_owned(),
        prefix => format!("{prefix}/{key}"),
    };
    let refuse = |why: &str| S3Problem::Invalid(format!("the key {key:?} cannot be used: {why}"));
    if key.is_empty() {
        return Err(refuse("it is empty"));
    }
    if full.len() > MAX_KEY {
        return Err(refuse("with its prefix it has more than 1,024 bytes"));
    }
    match Path::parse(&full) {
        Ok(path) if path.as_ref() == full => Ok(path),
        _ => Err(refuse("a part of it is empty, . or .., or has control characters")),
    }
}

/// The key of an object that a list names, relative to the prefix.
pub(super) fn relative_key<'k>(prefix: &str, full: &'k str) -> Option<&'k str> {
    match prefix {
        "" => Some(full),
        prefix => full.strip_prefix(prefix)?.strip_prefix('/'),
    }
}

/// Checks attributes, since what is no header would panic.
pub(super) fn checked(attributes: &Attributes) -> Result<StoreAttributes, S3Problem> {
    let bytes: usize = attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > MAX_ATTRIBUTES {
        return Err(S3Problem::Invalid(format!(
            "the attributes have {bytes} bytes; S3 takes {MAX_ATTRIBUTES}"
        )));
    }
    for (name, value) in attributes {
        let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || !name.bytes().all(named) {
            return Err(S3Problem::Invalid(format!(
                "the attribute {name:?} cannot be used: its name has other characters than a-z, 0-9 and -"
            )));
        }
        let printable = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        if !value.bytes().all(printable) || value.trim() != value {
            return Err(S3Problem::Invalid(format!(
                "the attribute {name:?} cannot be used: its value is not printable ASCII, or has spaces at its ends"
            )));
        }
    }
    let of = |(name, value): (&String, &String)| (Attribute::Metadata(name.clone().into()), value.clone());
    Ok(attributes.iter().map(of).collect())
}

/// The attributes of an object, from its headers.
pub(super) fn of_object(attributes: &StoreAttributes) -> Attributes {
    let of = |(attribute, value): (&Attribute, &object_store::AttributeValue)| match attribute {
        Attribute::Metadata(name) => Some((name.to_string(), value.to_string())),
        _ => None,
    };
    attributes.iter().filter_map(of).collect()
}

/// Checks an ETag that is sent back, since what is no header would panic.
pub(super) fn checked_etag(etag: &str) -> Result<(), S3Problem> {
    if etag.is_empty() || etag.len() > MAX_ETAG || !etag.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(S3Problem::Invalid(format!(
            "the ETag {:?} cannot be used",
            crate::text::excerpt(etag, 50)
        )));
    }
    Ok(())
}

/// Checks what a server calls an upload, since what fits into no URL would panic.
pub(super) fn checked_upload(id: &str) -> Result<(), S3Problem> {
    if id.is_empty() || id.len() > MAX_UPLOAD_ID || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        let shown = crate::text::excerpt(id, 50);
        return Err(S3Problem::NotS3(format!("it calls an upload {shown:?}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_used_as_it_is_or_refused() {
        for (prefix, key, full) in [
            ("", "22/1.twt", "22/1.twt"),
            ("x/y", "a b+%23\u{e9}", "x/y/a b+%23\u{e9}"),
            ("x", "did:plc:z/~", "x/did:plc:z/~"),
        ] {
            let path = full_key(prefix, key).unwrap();
            assert_eq!(path.as_ref(), full);
            assert_eq!(relative_key(prefix, full), Some(key));
        }
        for key in ["", "/a", "a/", "a//b", ".", "a/../b", "a\nb", &"x".repeat(1025)] {
            assert!(matches!(full_key("", key), Err(S3Problem::Invalid(_))), "{key:?}");
            assert!(matches!(full_key("x", key), Err(S3Problem::Invalid(_))), "{key:?}");
        }
        assert_eq!(relative_key("x", "xy/a"), None);
        assert_eq!(relative_key("x", "y"), None);
    }

    #[test]
    fn only_what_is_a_header_is_an_attribute() {
        let one = |name: &str, value: &str| Attributes::from([(name.to_owned(), value.to_owned())]);
        assert_eq!(of_object(&checked(&one("twm-lease", "7 of 9")).unwrap()), one("twm-lease", "7 of 9"));
        for bad in [
            one("", "1"),
            one("Twm", "1"),
            one("twm_lease", "1"),
            one("twm:x", "1"),
            one("twm", "a\r\nb"),
            one("twm", "\u{e9}"),
            one("twm", " 1"),
            one("twm", &"1".repeat(2048)),
        ] {
            assert!(matches!(checked(&bad), Err(S3Problem::Invalid(_))), "{bad:?}");
        }
    }

    #[test]
    fn only_what_is_a_header_is_an_etag() {
        assert_eq!(checked_etag("\"0123-4\""), Ok(()));
        for bad in ["", "a b", "a\n", "\u{e9}", &"x".repeat(1025)] {
            assert!(checked_etag(bad).is_err(), "{bad:?}");
        }
    }
}
