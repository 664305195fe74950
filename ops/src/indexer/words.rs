//! Splits texts into words.
//!
//! Both kinds of index must agree on it. Search servers split text by the rules of Unicode (UAX #29, their analyzer
//! `standard`), and so does this.

use unicode_segmentation::UnicodeSegmentation as _;

/// The words of a text in lower case, in order.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.unicode_words().map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_divided_as_search_servers_do() {
        let found = |text| words(text).collect::<Vec<_>>();
        assert_eq!(
            found("Don't PANIC, it's e.g. example.com!"),
            ["don't", "panic", "it's", "e.g", "example.com"]
        );
        assert_eq!(found("#Rust @a_b 3,5 Привет"), ["rust", "a_b", "3,5", "привет"]);
        assert_eq!(found("東京 \u{2600} -- ..."), ["東", "京"]);
    }
}
