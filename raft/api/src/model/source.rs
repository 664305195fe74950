//! The sources of a node.

use serde::{Deserialize, Serialize};
use storage::dataset::SourceName;

/// A source as a node has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Its name.
    pub name: SourceName,
    /// The kind of network: `twitter`, `bluesky`, `mastodon` or `x`.
    pub kind: String,
    /// Where its API is.
    pub place: String,
    /// Why jobs of this source do not run on this node now.
    pub trouble: Option<String>,
    /// Whether its hosts were reached, if they were asked.
    pub reached: Option<Reached>,
}

/// The result of asking a source's hosts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reached {
    /// They answered within this many ms.
    After(u64),
    /// What is wrong.
    Failed(String),
}
