//! `certs issue`.

use std::path::PathBuf;

use clap::Args;
use rcgen::KeyPair;
use serde_json::json;
use storage::net::trust::{Identity, Role};

use super::authority::{Authority, failed, write_new};
use crate::ctl::output::note;
use crate::ctl::{CtlError, Output};

/// Arguments.
#[derive(Debug, Args)]
pub struct Issue {
    #[command(flatten)]
    subject: Subject,
    /// Where the authority is kept; the certificate and its key are written there too.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    dir: PathBuf,
    /// A name or address of the host, for browsers and scrapers of the HTTP port; may be given several times.
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// For how many days it is valid.
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(0..=36500))]
    days: u32,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Subject {
    /// For the node of this number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    node: Option<u64>,
    /// For a person or program that may change things.
    #[arg(long, value_name = "NAME", value_parser = name)]
    operator: Option<String>,
    /// For a person or program that may only look.
    #[arg(long, value_name = "NAME", value_parser = name)]
    viewer: Option<String>,
}

impl Issue {
    /// Issues a certificate.
    pub fn run(&self, output: Output) -> Result<(), CtlError> {
        let authority = Authority::in_dir(&self.dir);
        let (role, stem) = match &self.subject {
            Subject { node: Some(id), .. } => (Role::Node(*id), format!("node-{id}")),
            Subject { operator: Some(name), .. } => {
                (Role::Operator(name.clone()), format!("operator-{name}"))
            }
            Subject { viewer, .. } => {
                let name = viewer.clone().unwrap_or_default();
                (Role::Viewer(name.clone()), format!("viewer-{name}"))
            }
        };
        let identity = Identity { cluster: authority.cluster()?, role };
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = authority.sign(&identity, &self.hosts, &key, self.days)?;
        let path = |end: &str| self.dir.join(format!("{stem}.{end}"));
        write_new(&path("key"), &key.serialize_pem(), 0o600)?;
        write_new(&path("crt"), &certificate, 0o644)?;
        if output.is_json() {
            return output.json(&json!({
                "identity": identity.to_string(),
                "cert": path("crt"),
                "key": path("key"),
            }));
        }
        note(format!("{identity}: --tls-cert {} --tls-key {}", path("crt").display(), path("key").display()));
        Ok(())
    }
}

/// A name that becomes part of a file's name and of a URI.
fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    match (1..=64).contains(&text.len()) && !text.starts_with('.') && text.chars().all(fits) {
        true => Ok(text.to_owned()),
        false => Err("give 1 to 64 letters, digits, and any of - _ . @".to_owned()),
    }
}
