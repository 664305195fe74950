//! `certs renew`.

use std::fs;
use std::path::PathBuf;

use clap::Args;
use rcgen::KeyPair;
use serde_json::json;
use storage::net::trust::Named;

use super::authority::{Authority, failed, write_new};
use super::show::read;
use crate::ctl::output::note;
use crate::ctl::{CtlError, Output};

/// Arguments.
#[derive(Debug, Args)]
pub struct Renew {
    /// The certificate; its key lies beside it.
    #[arg(value_name = "FILE.crt")]
    file: PathBuf,
    /// Where the authority is kept.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// For how many days it is valid from now on.
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(0..=36500))]
    days: u32,
}

impl Renew {
    /// Issues the certificate again. The key stays, so that the two files match at every moment.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        let Named { identity, hosts, .. } = read(&self.file)?;
        let key = self.file.with_extension("key");
        let pem = fs::read_to_string(&key).map_err(CtlError::io(format!("reading {}", key.display())))?;
        let key = KeyPair::from_pem(&pem).map_err(failed)?;
        let certificate = Authority::in_dir(&self.dir).sign(&identity, &hosts, &key, self.days)?;
        let new = self.file.with_extension("crt.new");
        write_new(&new, &certificate, 0o644)?;
        fs::rename(&new, &self.file).map_err(CtlError::io(format!("replacing {}", self.file.display())))?;
        if output.is_json() {
            return output.json(&json!({ "identity": identity.to_string(), "cert": self.file }));
        }
        note(format!("{identity} is valid for {} days from now", self.days));
        Ok(())
    }
}
