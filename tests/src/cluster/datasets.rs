//! The datasets of a cluster.

use std::path::PathBuf;

use anyhow::{Context, ensure};

use super::{Cluster, FileName, Truth, eventually, truth};

impl Cluster {
    /// Compares the files of all nodes with the truth, and waits until no draft is left.
    ///
    /// A proof of publication is removed once the cluster is known to have counted the file, which is shortly after
    /// the crawl is reported as finished. All other drafts must already be gone.
    ///
    /// # Errors
    /// The files differ from the truth, or drafts are left.
    pub async fn holds(&self, truth: &Truth<'_>) -> anyhow::Result<()> {
        truth.check(&self.outputs())?;
        let drafts = self.drafts()?;
        let proof = |path: &PathBuf| path.extension().is_some_and(|end| end == "published");
        ensure!(drafts.iter().all(proof), "drafts are left: {drafts:?}");
        eventually("no proof of a publication is left", async || Ok(self.drafts()?.is_empty().then_some(())))
            .await
    }

    /// All drafts.
    ///
    /// # Errors
    /// A folder cannot be read.
    pub fn drafts(&self) -> anyhow::Result<Vec<PathBuf>> {
        truth::drafts(&self.outputs())
    }

    /// Starts the stopped nodes, and waits until no draft is left: every node removes unneeded drafts when it starts
    /// and periodically.
    ///
    /// # Errors
    /// A node is not ready before the deadline, or drafts are left.
    pub async fn drafts_removed(&mut self) -> anyhow::Result<()> {
        // Running nodes must find the drafts by themselves.
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
    /// The file does not exist, or cannot be read to its end.
    pub fn lines(&self, node: u64, name: FileName) -> anyhow::Result<Vec<String>> {
        let path = self.output(node).join(name.path());
        truth::read_lines(&path).with_context(|| format!("reading {}", path.display()))
    }
}
