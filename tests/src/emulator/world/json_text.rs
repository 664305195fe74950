//! JSON strings in the spellings of the API.

use std::fmt::Write;

/// Encoding of non-ASCII characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// `\u` escapes, with surrogate pairs; slashes as `\/` (API v1).
    Escaped,
    /// Unescaped UTF-8.
    Plain,
}

/// Appends `text` as a JSON string, quotes included.
pub(super) fn write_text(text: &str, spelling: Spelling, into: &mut String) {
    into.push('"');
    for c in text.chars() {
        match c {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '/' if spelling == Spelling::Escaped => into.push_str("\\/"),
            c if c.is_control() || (spelling == Spelling::Escaped && !c.is_ascii()) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _ = write!(into, "\\u{unit:04x}");
                }
            }
            c => into.push(c),
        }
    }
    into.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_read_back_as_the_same_text() {
        let text = "\"a\\b/c\"\n\u{1}\t perché 猫 🐈";
        for (spelling, ascii) in [(Spelling::Escaped, true), (Spelling::Plain, false)] {
            let mut json = String::new();
            write_text(text, spelling, &mut json);
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
            assert_eq!(json.is_ascii(), ascii);
        }
    }
}
