//! Which servers a client trusts.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::{CassandraProblem, Trust};
use crate::net::tls::ClientTls;

pub(super) fn config(trust: &Trust) -> Result<Arc<ClientConfig>, CassandraProblem> {
    let mut config = match trust {
        Trust::File(path) => trusting(path)?,
        Trust::System => {
            ClientTls::new().map_err(|error| CassandraProblem::Failed(error.to_string()))?.config()
        }
    };
    // Cassandra's protocol has no name there.
    config.alpn_protocols.clear();
    Ok(Arc::new(config))
}

fn trusting(path: &Path) -> Result<ClientConfig, CassandraProblem> {
    let unusable = |why: String| {
        CassandraProblem::Setting(format!("the CA file {} cannot be used: {why}", path.display()))
    };
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
    let builder = builder.map_err(|error| CassandraProblem::Failed(error.to_string()))?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}
