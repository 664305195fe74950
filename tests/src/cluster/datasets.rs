//! What a cluster has written.

use std::path::PathBuf;

use anyhow::{Context, ensure};
use tokio::time::{Instant, sleep};

use super::{Cluster, DEADLINE, FileName, Truth, truth};

impl Cluster {
    /// Compares what all nodes have written with the truth; no draft may be left.
    ///
    /// # Errors
    /// What differs.
    pub fn holds(&self, truth: &Truth) -> anyhow::Result<()> {
        truth.check(&self.outputs())?;
        let drafts = self.drafts()?;
        ensure!(drafts.is_empty(), "drafts are left: {drafts:?}");
        Ok(())
    }

    /// All drafts.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn drafts(&self) -> anyhow::Result<Vec<PathBuf>> {
        truth::drafts(&self.outputs())
    }

    /// Waits until no draft is left. Nodes look for drafts that nobody needs once a minute.
    ///
    /// # Errors
    /// Some are left after two of these looks.
    pub async fn drafts_removed(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + 2 * DEADLINE + DEADLINE / 6;
        loop {
            let drafts = self.drafts()?;
            if drafts.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "drafts are left: {drafts:?}");
            sleep(DEADLINE / 600).await;
        }
    }

    /// The lines of a file that a node has written.
    ///
    /// # Errors
    /// It is not there, or cannot be read to its end.
    pub fn lines(&self, node: u64, name: FileName) -> anyhow::Result<Vec<String>> {
        let path = self.output(node).join(name.path());
        truth::read_lines(&path).with_context(|| format!("reading {}", path.display()))
    }
}
