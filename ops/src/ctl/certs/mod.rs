//! `certs`: the cluster's own authority, and certificates for nodes and people.

mod authority;
mod init;
mod issue;
mod renew;
mod show;

use clap::Subcommand;

use super::{CtlError, Output};

/// Verbs.
#[derive(Debug, Subcommand)]
pub enum Certs {
    /// Make an authority for a cluster: ca.crt for everybody, ca.key for the host that issues certificates.
    Init(init::Init),
    /// Issue a certificate for a node, an operator or a viewer.
    Issue(issue::Issue),
    /// Issue a certificate again, for the same key and a new time. Nodes take it without a restart.
    Renew(renew::Renew),
    /// Show whom a certificate names and until when it is valid.
    Show(show::Show),
}

impl Certs {
    /// Runs the verb.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        match self {
            Self::Init(args) => args.run(output),
            Self::Issue(args) => args.run(output),
            Self::Renew(args) => args.run(output),
            Self::Show(args) => args.run(output),
        }
    }
}
