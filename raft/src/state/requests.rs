//! Answers to writes with a request id, so that a repeated write is applied once.

use storage::planted::{Bug, planted};
use storage::state::StateStore;

use crate::model::{RequestId, Response};

use super::checksum::Checksum;
use super::keys;
use super::persist::{Changes, LoadError};
use super::saved::Saved;

/// How many answers are remembered. A client retries within seconds.
pub(super) const REQUESTS_KEPT: usize = 1024;

/// The newest answers, at most [`REQUESTS_KEPT`].
#[derive(Default)]
pub(super) struct Requests {
    /// Newest last.
    answers: Saved<Vec<(RequestId, Response)>>,
}

impl Requests {
    pub(super) fn load(store: &dyn StateStore) -> Result<Self, LoadError> {
        let answers = match store.get(keys::REQUESTS)? {
            Some(value) => postcard::from_bytes(&value)
                .map_err(|_| LoadError::damaged("list of requests", keys::REQUESTS))?,
            None => Vec::new(),
        };
        Ok(Self { answers: Saved::loaded(answers) })
    }

    pub(super) fn freeze(&mut self, changes: &mut Changes) {
        if let Some(answers) = self.answers.take_changed().filter(|_| !planted(Bug::RequestsNotSaved)) {
            changes.put_record("list of requests", keys::REQUESTS.to_vec(), answers);
        }
    }

    /// The answer to an earlier write with this id.
    pub(super) fn answer(&self, request: RequestId) -> Option<Response> {
        let found = self.answers.iter().rev().find(|(id, _)| *id == request);
        found.map(|(_, answer)| answer.clone())
    }

    /// Remembers an answer in place of the oldest one.
    pub(super) fn remember(&mut self, request: RequestId, answer: Response) {
        let answers = self.answers.change();
        if answers.len() == REQUESTS_KEPT {
            answers.remove(0);
        }
        answers.push((request, answer));
    }

    #[cfg(test)]
    pub(super) fn answers(&self) -> &[(RequestId, Response)] {
        &self.answers
    }

    pub(super) fn sum(&self) -> u64 {
        Checksum::default().record(&*self.answers).finish()
    }
}
