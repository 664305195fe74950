//! The tokenizer, in tantivy's interface.

use tantivy::Index;
use tantivy::tokenizer::{TextAnalyzer, Token, TokenStream, Tokenizer};

use crate::indexer::words::words;

/// Its name in the index.
pub(super) const WORDS: &str = "words";

/// Registers it with an index.
pub(super) fn register(index: &Index) {
    index.tokenizers().register(WORDS, TextAnalyzer::builder(Words).build());
}

#[derive(Clone)]
struct Words;

struct WordStream {
    words: std::vec::IntoIter<String>,
    token: Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream {
        WordStream { words: words(text).collect::<Vec<_>>().into_iter(), token: Token::default() }
    }
}

impl TokenStream for WordStream {
    fn advance(&mut self) -> bool {
        let Some(word) = self.words.next() else { return false };
        self.token.position = self.token.position.wrapping_add(1);
        self.token.text = word;
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}
