//! Whom a client of S3 trusts.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::S3Problem;
use crate::net::tls::ClientTls;

/// Trusts the authorities in a PEM file and no others, or without a file those of the system.
pub(super) fn config(ca: Option<&Path>) -> Result<ClientConfig, S3Problem> {
    let mut config = match ca {
        Some(path) => trusting(path)?,
        None => ClientTls::new().map_err(|error| S3Problem::Failed(error.to_string()))?.config(),
    };
    // Servers of S3 speak nothing newer.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn trusting(path: &Path) -> Result<ClientConfig, S3Problem> {
    let unusable =
        |why: String| S3Problem::Setting(format!("the CA file {} cannot be used: {why}", path.display()));
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))? {
        let authority = authority.map_err(|error| unusable(error.to_string()))?;
        roots.add(authority).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("it has no certificate; it must be in PEM format".to_owned()));
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| S3Problem::Failed(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
