//! The submitted list.

use std::collections::HashMap;
use std::path::Path;

use api::client::ClientError;
use api::client::MAX_NAMES;
use storage::dataset::SourceName;
use storage::ids::UserId;
use tokio::sync::mpsc::Receiver;

use crate::ctl::progress::Spinner;
use crate::ctl::render::count;
use crate::ctl::targets::{BadLine, Batch, ListError, NAMED, TargetList, batches};
use crate::ctl::{Cluster, CtlError};

/// A list being sent to the cluster. Reports bad lines as they come.
pub struct Source {
    name: String,
    network: SourceName,
    batches: Receiver<Result<Batch, ListError>>,
    spinner: Spinner,
    named: u64,
    bad: u64,
}

impl Source {
    /// Begins to read.
    pub fn open(path: &Path, network: &SourceName) -> Result<Self, ListError> {
        let list = TargetList::open(path)?.of(network);
        let (name, network) = (list.name().to_owned(), network.clone());
        Ok(Self { name, network, batches: batches(list), spinner: Spinner::new(), named: 0, bad: 0 })
    }

    /// The list's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bad lines so far.
    pub fn bad(&self) -> u64 {
        self.bad
    }

    /// Skips to the first account, and returns the part with it; `None` if the list has none.
    pub async fn head(&mut self, cluster: &Cluster) -> Result<Option<Vec<Vec<UserId>>>, CtlError> {
        let mut head = Vec::new();
        while let Some(users) = self.next_users(cluster).await? {
            let found = !users.is_empty();
            head.push(users);
            if found {
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    /// The accounts of the next part of the list; `None` at its end. The cluster resolves screen names. A
    /// part may be empty and still counts: the numbering of parts must not depend on the network's answers.
    pub async fn next_users(&mut self, cluster: &Cluster) -> Result<Option<Vec<UserId>>, CtlError> {
        if let Some(batch) = self.batches.recv().await {
            let Batch { mut users, names, named, bad } = batch?;
            for (line, why) in &named {
                self.name_bad(*line, why);
            }
            self.bad += bad - named.len() as u64;
            for names in names.chunks(MAX_NAMES) {
                self.resolve(cluster, names, &mut users).await?;
            }
            return Ok(Some(users));
        }
        if self.bad > self.named {
            self.spinner.note(&format!("{}: {} more bad lines", self.name, count(self.bad - self.named)));
            self.named = self.bad;
        }
        Ok(None)
    }

    /// Adds the accounts of these names to `users`.
    async fn resolve(
        &mut self,
        cluster: &Cluster,
        names: &[(u64, String)],
        users: &mut Vec<UserId>,
    ) -> Result<(), ClientError> {
        let accounts =
            cluster.resolve(&self.network, names.iter().map(|(_, name)| name.clone()).collect()).await?;
        let accounts: HashMap<String, UserId> = accounts.into_iter().collect();
        for (line, name) in names {
            match accounts.get(name) {
                Some(user) => users.push(user.clone()),
                None if self.named < NAMED => self.name_bad(*line, &BadLine::NoSuchName(format!("@{name}"))),
                None => self.bad += 1,
            }
        }
        Ok(())
    }

    fn name_bad(&mut self, line: u64, why: &BadLine) {
        self.spinner.note(&format!("{}:{line}: {why}", self.name));
        self.named += 1;
        self.bad += 1;
    }

    /// Shows on a terminal how many accounts were sent.
    pub fn show(&self, sent: u64) {
        self.spinner.show(format!("{}: {} accounts sent", self.name, count(sent)));
    }
}
