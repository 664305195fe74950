//! `certs show`.

use std::path::{Path, PathBuf};

use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use storage::net::trust::Named;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::ctl::render::columns;
use crate::ctl::{CtlError, Output};

/// Arguments.
#[derive(Debug, Args)]
pub struct Show {
    /// The certificate.
    #[arg(value_name = "FILE.crt")]
    file: PathBuf,
}

impl Show {
    /// Shows it.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        let Named { identity, not_after, hosts } = read(&self.file)?;
        let days = (not_after - OffsetDateTime::now_utc().unix_timestamp()).div_euclid(86_400);
        let until =
            OffsetDateTime::from_unix_timestamp(not_after).ok().and_then(|at| at.format(&Rfc3339).ok());
        let until = until.unwrap_or_else(|| not_after.to_string());
        if output.is_json() {
            return output.json(&json!({
                "identity": identity.to_string(),
                "not_after": until,
                "days_left": days,
                "hosts": hosts,
            }));
        }
        output.table(&columns(
            ["IDENTITY", "UNTIL", ">DAYS", "HOSTS"],
            [[identity.to_string(), until, days.to_string(), hosts.join(" ")]],
        ))
    }
}

/// Reads a certificate.
pub(super) fn read(path: &Path) -> Result<Named, CtlError> {
    let certificate = CertificateDer::from_pem_file(path)
        .map_err(|error| CtlError::Failed(format!("cannot read {}: {error}", path.display())))?;
    Named::of(&certificate).map_err(|error| CtlError::Failed(format!("{}: {error}", path.display())))
}
