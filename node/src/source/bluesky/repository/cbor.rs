//! DAG-CBOR, read with bounds: the encoding of records and of the tree that holds them.
//!
//! JSON as the AT Protocol writes it: links are `{"$link": ...}`, bytes `{"$bytes": ...}` in Base 64 without padding.

use std::fmt::Write as _;

use super::cid::Cid;

/// Deepest nesting, as in `serde_json`, which reads what is made here.
const DEEPEST: usize = 100;
/// The tag of a link.
const LINK: u64 = 42;

/// Why bytes are no DAG-CBOR, in a few words.
pub(super) type Fault = &'static str;

/// Reads one item after the other.
pub(super) struct Decoder<'a> {
    rest: &'a [u8],
}

/// The head of an item: its major type and its argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    major: u8,
    argument: u64,
    /// How the argument was written: 0 to 23 in place, 24 to 27 for 1, 2, 4 or 8 bytes.
    form: u8,
}

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, count: u64) -> Result<&'a [u8], Fault> {
        let count = usize::try_from(count).ok().filter(|&count| count <= self.rest.len());
        let (taken, rest) = self.rest.split_at(count.ok_or("it ends early")?);
        self.rest = rest;
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head, Fault> {
        let first = self.take(1)?[0];
        let (major, form) = (first >> 5, first & 31);
        let argument = match form {
            0..=23 => u64::from(form),
            24..=27 => {
                let bytes = self.take(1 << (form - 24))?;
                bytes.iter().fold(0, |value, &byte| value << 8 | u64::from(byte))
            }
            _ => return Err("an item without a length"),
        };
        Ok(Head { major, argument, form })
    }

    /// The number of entries of a map or array. Each takes at least a byte, so that a length cannot lie.
    fn count(&mut self, major: u8) -> Result<usize, Fault> {
        let head = self.head()?;
        if head.major != major {
            return Err(if major == 5 { "no map" } else { "no array" });
        }
        usize::try_from(head.argument).ok().filter(|&count| count <= self.rest.len()).ok_or("it ends early")
    }

    /// Opens a map: the number of its entries, each a [`text`](Self::text) and an item.
    pub(super) fn map(&mut self) -> Result<usize, Fault> {
        self.count(5)
    }

    /// Opens an array: the number of its items.
    pub(super) fn array(&mut self) -> Result<usize, Fault> {
        self.count(4)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Fault> {
        match self.head()? {
            Head { major: 3, argument, .. } => {
                std::str::from_utf8(self.take(argument)?).map_err(|_| "a text that is not UTF-8")
            }
            _ => Err("no text"),
        }
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        match self.head()? {
            Head { major: 2, argument, .. } => self.take(argument),
            _ => Err("no bytes"),
        }
    }

    pub(super) fn unsigned(&mut self) -> Result<u64, Fault> {
        match self.head()? {
            Head { major: 0, argument, .. } => Ok(argument),
            _ => Err("no number"),
        }
    }

    /// A link, or `null`.
    pub(super) fn link(&mut self) -> Result<Option<Cid>, Fault> {
        match self.head()? {
            Head { major: 7, argument: 22, form: 22 } => Ok(None),
            Head { major: 6, argument: LINK, .. } => self.target().map(Some),
            _ => Err("no link"),
        }
    }

    /// What follows a link's tag: a zero byte and the CID.
    fn target(&mut self) -> Result<Cid, Fault> {
        let bytes = self.bytes()?;
        let cid =
            bytes.split_first().filter(|(zero, _)| **zero == 0).and_then(|(_, cid)| Cid::from_bytes(cid));
        cid.ok_or("a link of another kind")
    }

    /// Passes over one item.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        let mut left = 1usize;
        // Every item is at least a byte, so this ends with the input.
        while left > 0 {
            left -= 1;
            let Head { major, argument, .. } = self.head()?;
            let inner = match major {
                2 | 3 => self.take(argument).map(|_| 0)?,
                4 => argument,
                5 => argument.checked_mul(2).ok_or("it ends early")?,
                6 => 1,
                _ => 0,
            };
            let inner = usize::try_from(inner).ok().filter(|&inner| inner <= self.rest.len());
            left += inner.ok_or("it ends early")?;
        }
        Ok(())
    }

    /// Writes one item as JSON.
    pub(super) fn json(&mut self, out: &mut String) -> Result<(), Fault> {
        self.json_at(out, 0)
    }

    fn json_at(&mut self, out: &mut String, depth: usize) -> Result<(), Fault> {
        if depth > DEEPEST {
            return Err("it is nested too deeply");
        }
        let head = self.head()?;
        match head.major {
            0 => put(out, format_args!("{}", head.argument)),
            1 => put(out, format_args!("{}", -1 - i128::from(head.argument))),
            2 => {
                out.push_str("{\"$bytes\":\"");
                base64(self.take(head.argument)?, out);
                out.push_str("\"}");
            }
            3 => {
                let text = self.take(head.argument)?;
                json_text(std::str::from_utf8(text).map_err(|_| "a text that is not UTF-8")?, out);
            }
            4 => self.json_array(head.argument, out, depth)?,
            5 => self.json_map(head.argument, out, depth)?,
            6 if head.argument == LINK => {
                let cid = self.target()?;
                put(out, format_args!("{{\"$link\":\"{cid}\"}}"));
            }
            7 => simple(head, out)?,
            _ => return Err("a tag that is no link"),
        }
        Ok(())
    }

    fn json_array(&mut self, count: u64, out: &mut String, depth: usize) -> Result<(), Fault> {
        out.push('[');
        for place in 0..count {
            if place > 0 {
                out.push(',');
            }
            self.json_at(out, depth + 1)?;
        }
        out.push(']');
        Ok(())
    }

    fn json_map(&mut self, count: u64, out: &mut String, depth: usize) -> Result<(), Fault> {
        out.push('{');
        for place in 0..count {
            if place > 0 {
                out.push(',');
            }
            json_text(self.text()?, out);
            out.push(':');
            self.json_at(out, depth + 1)?;
        }
        out.push('}');
        Ok(())
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // A string takes everything.
    let _always = out.write_fmt(text);
}

fn simple(head: Head, out: &mut String) -> Result<(), Fault> {
    match (head.form, head.argument) {
        (20, _) => out.push_str("false"),
        (21, _) => out.push_str("true"),
        (22, _) => out.push_str("null"),
        // The protocol has no fractions, but some servers let them pass.
        (27, bits) if f64::from_bits(bits).is_finite() => put(out, format_args!("{}", f64::from_bits(bits))),
        _ => return Err("a value that JSON does not have"),
    }
    Ok(())
}

/// Escapes what JSON requires and nothing else.
pub(super) fn json_text(text: &str, out: &mut String) {
    out.push('"');
    let mut start = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= b' ' && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[start..at]);
        start = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            8 => out.push_str("\\b"),
            12 => out.push_str("\\f"),
            other => put(out, format_args!("\\u{other:04x}")),
        }
    }
    out.push_str(&text[start..]);
    out.push('"');
}

fn base64(bytes: &[u8], out: &mut String) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        for place in 0..=three.len() {
            out.push(char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(bytes: &[u8]) -> Result<String, Fault> {
        let mut out = String::new();
        let mut decoder = Decoder::new(bytes);
        decoder.json(&mut out)?;
        assert!(decoder.is_at_end());
        Ok(out)
    }

    #[test]
    fn every_kind_of_value_becomes_the_json_of_the_protocol() {
        assert_eq!(
            json(&[0xa1, 0x61, b'a', 0x82, 0x18, 0x64, 0x39, 0x01, 0xf3]).unwrap(),
            r#"{"a":[100,-500]}"#
        );
        assert_eq!(json(&[0x83, 0xf4, 0xf5, 0xf6]).unwrap(), "[false,true,null]");
        assert_eq!(json(&[0x44, 1, 2, 3, 4]).unwrap(), r#"{"$bytes":"AQIDBA"}"#);
        assert_eq!(json(&[0x40]).unwrap(), r#"{"$bytes":""}"#);
        assert_eq!(json(b"\x67a\"\\\n\x01\xc3\xa9").unwrap(), "\"a\\\"\\\\\\n\\u0001\u{e9}\"");
        let cid = Cid::of(b"x");
        let link = [&[0xd8, 42, 0x58, 37, 0][..], &cid.to_bytes()].concat();
        assert_eq!(json(&link).unwrap(), format!("{{\"$link\":\"{cid}\"}}"));
        assert_eq!(json(&[0xfb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0]).unwrap(), "1.5");
        assert_eq!(json(&[0x1b, 255, 255, 255, 255, 255, 255, 255, 255]).unwrap(), u64::MAX.to_string());
    }

    #[test]
    fn what_is_not_allowed_is_an_error() {
        let deep = [vec![0x81; 200], vec![0x80]].concat();
        let cases: [&[u8]; 10] = [
            b"",
            b"\x5f",                                 // without a length
            b"\x62a",                                // cut
            b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff", // a map of too many
            b"\x9a\x00\xff\xff\xff\x00",
            b"\x61\xff",                 // not UTF-8
            b"\xa1\x01\x02",             // a key that is no text
            b"\xc0\x61a",                // another tag
            b"\xfb\x7f\xf8\0\0\0\0\0\0", // not a number
            &deep,
        ];
        for bytes in cases {
            assert!(json(bytes).is_err(), "{bytes:?}");
        }
        assert_eq!(Decoder::new(&deep).skip(), Ok(()), "passing over does not recurse");
        assert!(Decoder::new(b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff").skip().is_err());
    }
}
