//! The list that is submitted.

use std::path::Path;

use storage::ids::UserId;
use tokio::sync::mpsc::Receiver;

use crate::ctl::progress::Spinner;
use crate::ctl::render::count;
use crate::ctl::targets::{Batch, ListError, TargetList, batches};

/// A list on its way to the cluster. Names its bad lines as they come.
pub struct Source {
    name: String,
    batches: Receiver<Result<Batch, ListError>>,
    spinner: Spinner,
    named: u64,
    bad: u64,
}

impl Source {
    /// Begins to read.
    pub fn open(path: &Path) -> Result<Self, ListError> {
        let list = TargetList::open(path)?;
        let name = list.name().to_owned();
        Ok(Self { name, batches: batches(list), spinner: Spinner::new(), named: 0, bad: 0 })
    }

    /// The list's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bad lines so far.
    pub fn bad(&self) -> u64 {
        self.bad
    }

    /// The next accounts, at least one; nothing at the end of the list.
    pub async fn next_users(&mut self) -> Result<Option<Vec<UserId>>, ListError> {
        while let Some(batch) = self.batches.recv().await {
            let batch = batch?;
            for (line, why) in &batch.named {
                self.spinner.note(&format!("{}:{line}: {why}", self.name));
            }
            self.named += batch.named.len() as u64;
            self.bad += batch.bad;
            if !batch.users.is_empty() {
                return Ok(Some(batch.users));
            }
        }
        if self.bad > self.named {
            self.spinner.note(&format!("{}: {} more bad lines", self.name, count(self.bad - self.named)));
            self.named = self.bad;
        }
        Ok(None)
    }

    /// Shows who watches how many accounts were sent.
    pub fn show(&self, sent: u64) {
        self.spinner.show(format!("{}: {} accounts sent", self.name, count(sent)));
    }
}
