//! What a cluster has written.

use std::path::PathBuf;

use anyhow::{Context, ensure};

use super::{Cluster, FileName, Truth, eventually, truth};

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

    /// Waits until no draft is left. Nodes look for drafts that nobody needs when they start and now and then: so that
    /// no test has to wait for that, all are restarted, those that did not run too.
    ///
    /// # Errors
    /// A node does not stop or start in good order, or drafts are left.
    pub async fn drafts_removed(&mut self) -> anyhow::Result<()> {
        // Running nodes have to find what is left by themselves.
        for id in self.ids() {
            if !self.node(id)?.runs() {
                self.restart(id).await?;
            }
        }
        eventually("no draft is left", async || Ok(self.drafts()?.is_empty().then_some(()))).await
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
