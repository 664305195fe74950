//! `member`.

mod add;
mod change;
mod list;
mod replace;
mod set_address;

use clap::Subcommand;

use super::{Cluster, CtlError, Output};

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Member {
    /// List the members, and the changes that are under way.
    List,
    /// Let a new node in; it holds the replica and runs workers, and votes once it is promoted.
    Add(add::Add),
    /// Let one new disk of a member in, once, while its old one is silent.
    Replace(replace::Replace),
    /// Let a member vote.
    Promote(change::OfNode),
    /// Take a member's vote away; it stays a member.
    Demote(change::OfNode),
    /// Take a member out of the cluster for good; its node stops.
    Remove(change::OfNode),
    /// Tell the others where a member is reached now.
    SetAddress(set_address::SetAddress),
}

impl Member {
    /// Runs the verb.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        match self {
            Self::List => list::run(cluster, output).await,
            Self::Add(args) => args.run(cluster, output).await,
            Self::Replace(args) => args.run(cluster, output).await,
            Self::Promote(args) => args.promote(cluster, output).await,
            Self::Demote(args) => args.demote(cluster, output).await,
            Self::Remove(args) => args.remove(cluster, output).await,
            Self::SetAddress(args) => args.run(cluster, output).await,
        }
    }
}
