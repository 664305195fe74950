//! `certs init`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::authority::Authority;
use crate::ctl::output::note;
use crate::ctl::{CtlError, Output};

/// Arguments.
#[derive(Debug, Args)]
pub struct Init {
    /// Where the authority is kept.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// The cluster's name, as in --cluster of its nodes.
    #[arg(long, value_name = "NAME", default_value = "twm")]
    cluster: String,
    /// For how many days it is valid.
    #[arg(long, value_name = "N", default_value_t = 3650, value_parser = clap::value_parser!(u32).range(0..=36500))]
    days: u32,
}

impl Init {
    /// Makes an authority.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        let ca = Authority::in_dir(&self.dir).create(&self.cluster, self.days)?;
        if output.is_json() {
            return output.json(&json!({ "ca": ca, "cluster": self.cluster }));
        }
        note(format!(
            "{} is for all nodes and clients (--tls-ca). Keep ca.key beside it on this host alone: whoever holds it can impersonate any node or operator",
            ca.display()
        ));
        Ok(())
    }
}
