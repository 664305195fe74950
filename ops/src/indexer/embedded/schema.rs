//! The fields of an embedded index.

use tantivy::TantivyDocument;
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, STRING, Schema, TextFieldIndexing, TextOptions,
};

use super::tokenizer::WORDS;
use crate::indexer::place::Cell;
use crate::indexer::tweet::Tweet;

/// Names of fields whose values are read by document.
pub(super) const ID: &str = "id";
pub(super) const CREATED_AT: &str = "created_at";
pub(super) const HASHTAGS: &str = "hashtags";
pub(super) const CELL: &str = "cell";

/// The fields.
pub(super) struct Fields {
    pub(super) id: Field,
    pub(super) text: Field,
    /// In lower case.
    pub(super) screen_name: Field,
    pub(super) user: Field,
    pub(super) lang: Field,
    pub(super) created_at: Field,
    pub(super) hashtags: Field,
    pub(super) cell: Field,
    /// The document as a search server would store it.
    pub(super) source: Field,
}

/// The schema of this program.
pub(super) fn build() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let words = TextFieldIndexing::default()
        .set_tokenizer(WORDS)
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::Basic);
    let fields = Fields {
        id: schema.add_text_field(ID, STRING | FAST),
        text: schema.add_text_field("text", TextOptions::default().set_indexing_options(words)),
        screen_name: schema.add_text_field("screen_name", STRING),
        user: schema.add_text_field("user", STRING),
        lang: schema.add_text_field("lang", STRING),
        created_at: schema.add_i64_field(CREATED_AT, INDEXED | FAST),
        hashtags: schema.add_text_field(HASHTAGS, STRING | FAST),
        cell: schema.add_text_field(CELL, STRING | FAST),
        source: schema.add_text_field("source", STORED),
    };
    (schema.build(), fields)
}

impl Fields {
    pub(super) fn document(&self, tweet: &Tweet) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        let mut text = |field, value: &Option<String>| {
            if let Some(value) = value {
                document.add_text(field, value);
            }
        };
        text(self.screen_name, &tweet.screen_name.as_ref().map(|name| name.to_lowercase()));
        text(self.user, &tweet.user);
        text(self.lang, &tweet.lang);
        text(self.cell, &tweet.geo.map(|(lat, lon)| Cell::of(lat, lon).to_string()));
        document.add_text(self.id, &tweet.id);
        document.add_text(self.text, &tweet.text);
        tweet.hashtags.iter().for_each(|tag| document.add_text(self.hashtags, tag));
        if let Some(created_at) = tweet.created_at {
            document.add_i64(self.created_at, created_at);
        }
        document.add_text(self.source, tweet.document().to_string());
        document
    }
}
