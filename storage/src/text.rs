//! Shortens texts.

/// Shortens a text to at most `most` bytes, at a character boundary.
pub fn truncate(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
}

/// The first `most` characters of a text, followed by `...` if there are more.
pub fn excerpt(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_at_a_character_boundary() {
        for (most, expected) in [(0, ""), (1, "a"), (2, "a"), (3, "a\u{e9}"), (9, "a\u{e9}")] {
            let mut text = "a\u{e9}".to_owned();
            truncate(&mut text, most);
            assert_eq!(text, expected, "{most}");
        }
    }

    #[test]
    fn an_excerpt_says_that_it_is_one() {
        assert_eq!(excerpt("a\u{e9}b", 2), "a\u{e9}...");
        assert_eq!(excerpt("a\u{e9}b", 3), "a\u{e9}b");
    }
}
