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
    /// List the members, and the changes that are in progress.
    List,
    /// Admit a new node; it holds a replica and runs workers, and votes once it is promoted.
    Add(add::Add),
    /// Admit one new disk of a member, once, while its old one is silent.
    Replace(replace::Replace),
    /// Promote a member to a voter.
    Promote(change::OfNode),
    /// Demote a member to a learner; it stays a member.
    Demote(change::OfNode),
    /// Remove a member from the cluster for good; its node stops.
    Remove(change::OfNode),
    /// Change the address of a member.
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
