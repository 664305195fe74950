//! An index in a local folder, by tantivy.
//!
//! The position in the stream is part of each commit, so that both are durable or neither.

mod collect;
mod extent;
mod folder;
mod schema;
#[cfg(test)]
mod tests;
mod tokenizer;

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use tantivy::query::{AllQuery, BooleanQuery, Query, RangeQuery, TermQuery};
use tantivy::schema::{IndexRecordOption, Value as _};
use tantivy::{IndexReader, IndexWriter, ReloadPolicy, TantivyDocument, TantivyError, Term};

use super::index::{Progress, Refused};
use super::inspection::{Buckets, Findings};
use super::question::Question;
use super::tweet::Tweet;
use collect::Collect;
use extent::Extent;
use schema::Fields;

/// Memory for tweets that are not committed yet, in bytes.
const WRITER_MEMORY: usize = 32 << 20;
/// Longest term, in bytes: the same as in search servers.
const LONGEST_TERM: usize = 32_766;

/// Why an embedded index cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum EmbeddedError {
    #[error("the index in {folder}: {source}; free its disk, or rebuild it from the stream with --recreate")]
    Tantivy { folder: PathBuf, source: TantivyError },
    #[error("{folder} is in use by another twm-indexer; give this one a folder of its own with --data-dir")]
    InUse { folder: PathBuf },
    #[error(
        "cannot use {folder} for the index: {source}; choose another --data-dir, or check its owner and its disk"
    )]
    Folder { folder: PathBuf, source: std::io::Error },
    #[error("{folder} holds {found}, which is no index; give the index an empty folder with --data-dir")]
    Foreign { folder: PathBuf, found: String },
    #[error(
        "the index in {folder} has other fields than this program makes; --recreate deletes it and rebuilds it from the stream"
    )]
    OtherFields { folder: PathBuf },
    #[error(
        "the index in {folder} does not say how far the stream was indexed: {what}; --recreate deletes it and rebuilds it from the stream"
    )]
    Progress { folder: PathBuf, what: String },
}

/// The index in one folder. Calls may block on the disk.
pub(super) struct EmbeddedIndex {
    folder: PathBuf,
    fields: Fields,
    writer: Mutex<IndexWriter>,
    reader: IndexReader,
}

type Result<T, E = EmbeddedError> = std::result::Result<T, E>;

impl EmbeddedIndex {
    /// Opens the index in a folder, or creates it. `recreate` deletes an existing one.
    ///
    /// # Errors
    /// The folder contains something else, is in use, or cannot be used.
    pub(super) fn open(folder: &Path, recreate: bool) -> Result<Self> {
        let named = |source| EmbeddedError::Tantivy { folder: folder.to_owned(), source };
        let (schema, fields) = schema::build();
        let index = folder::open(folder, &schema, recreate)?;
        if index.schema() != schema {
            return Err(EmbeddedError::OtherFields { folder: folder.to_owned() });
        }
        tokenizer::register(&index);
        let writer = index.writer_with_num_threads(1, WRITER_MEMORY).map_err(|error| match error {
            TantivyError::LockFailure(..) => EmbeddedError::InUse { folder: folder.to_owned() },
            error => named(error),
        })?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(named)?;
        Ok(Self { folder: folder.to_owned(), fields, writer: Mutex::new(writer), reader })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The position in the stream.
    pub(super) fn progress(&self) -> Result<Progress> {
        let meta = self.reader.searcher().index().load_metas().map_err(|source| self.named(source))?;
        let Some(payload) = meta.payload else { return Ok(Progress::START) };
        let read = serde_json::from_str(&payload);
        read.map_err(|error| EmbeddedError::Progress { folder: self.folder.clone(), what: error.to_string() })
    }

    /// Adds tweets, each replacing an earlier one with its id; returns those that are refused.
    pub(super) fn add(&self, tweets: &[Tweet]) -> Result<Vec<Refused>> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut refused = Vec::new();
        for (place, tweet) in tweets.iter().enumerate() {
            if let Some(reason) = too_long(tweet) {
                refused.push(Refused { place, reason });
                continue;
            }
            writer.delete_term(Term::from_field_text(self.fields.id, &tweet.id));
            writer.add_document(self.fields.document(tweet)).map_err(|source| self.named(source))?;
        }
        Ok(refused)
    }

    /// Makes added tweets durable and searchable.
    pub(super) fn commit(&self, progress: Progress) -> Result<()> {
        let payload = serde_json::to_string(&progress).map_err(|error| EmbeddedError::Progress {
            folder: self.folder.clone(),
            what: error.to_string(),
        })?;
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut commit = || {
            let mut prepared = writer.prepare_commit()?;
            prepared.set_payload(&payload);
            prepared.commit()?;
            self.reader.reload()
        };
        commit().map_err(|source| self.named(source))
    }

    /// Number of searchable tweets.
    pub(super) fn count(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// The time range of matching tweets.
    pub(super) fn extent(&self, question: &Question) -> Result<Option<(i64, i64)>> {
        let searcher = self.reader.searcher();
        searcher.search(&*self.query(question), &Extent).map_err(|source| self.named(source))
    }

    /// Inspects all matching tweets.
    pub(super) fn find(&self, question: &Question, buckets: Option<Buckets>) -> Result<Findings> {
        let searcher = self.reader.searcher();
        let find = || {
            let (mut findings, newest) = searcher.search(&*self.query(question), &Collect { buckets })?;
            for address in newest {
                let document: TantivyDocument = searcher.doc(address)?;
                let source = document.get_first(self.fields.source).and_then(|value| value.as_str());
                let source = serde_json::from_str(source.unwrap_or_default());
                findings.samples.push(source.map_err(std::io::Error::from)?);
            }
            Ok(findings)
        };
        find().map_err(|source| self.named(source))
    }

    fn query(&self, question: &Question) -> Box<dyn Query> {
        let term = |field, text: &str| -> Box<dyn Query> {
            Box::new(TermQuery::new(Term::from_field_text(field, text), IndexRecordOption::Basic))
        };
        let fields = &self.fields;
        let mut all: Vec<Box<dyn Query>> = Vec::new();
        all.extend(question.words.iter().map(|word| term(fields.text, word)));
        all.extend(question.hashtags.iter().map(|tag| term(fields.hashtags, tag)));
        all.extend(question.names.iter().map(|name| term(fields.screen_name, name)));
        if question.from.is_some() || question.to.is_some() {
            let moment = |millis| Term::from_field_i64(fields.created_at, millis);
            let from = question.from.map_or(Bound::Unbounded, |from| Bound::Included(moment(from)));
            let to = question.to.map_or(Bound::Unbounded, |to| Bound::Excluded(moment(to)));
            all.push(Box::new(RangeQuery::new(from, to)));
        }
        match all.is_empty() {
            true => Box::new(AllQuery),
            false => Box::new(BooleanQuery::intersection(all)),
        }
    }

    fn named(&self, source: TantivyError) -> EmbeddedError {
        EmbeddedError::Tantivy { folder: self.folder.clone(), source }
    }
}

/// Terms that tantivy would silently drop.
fn too_long(tweet: &Tweet) -> Option<String> {
    let length = tweet.screen_name.as_ref().map_or(0, String::len);
    (length > LONGEST_TERM).then(|| format!("its screen_name has {length} bytes; {LONGEST_TERM} at most"))
}
