//! TLS for clients, shared by all clients of a process.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::ring;
use rustls_platform_verifier::BuilderVerifierExt;

use super::trust::Trust;

/// A TLS configuration that is created once: reading the system's certificates for each of thousands of
/// addresses would cost seconds and megabytes.
#[derive(Debug, Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// Trusts the system's certificates, and uses ring.
    ///
    /// Without a usable certificate store, plain HTTP still works and HTTPS fails with "unknown issuer": that is
    /// logged here, with the remedy.
    ///
    /// # Errors
    /// The crypto provider supports no version of TLS.
    pub fn new() -> Result<Self, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = match builder.clone().with_platform_verifier() {
            Ok(builder) => builder.with_no_client_auth(),
            Err(error) => {
                tracing::warn!(%error, "no certificate store: https requests will fail; install ca-certificates");
                builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// Trusts the cluster's authority, and shows the own certificate.
    pub fn trusting(trust: &Trust) -> Self {
        Self(trust.client_config())
    }

    /// The configuration, for a client.
    pub fn config(&self) -> ClientConfig {
        (*self.0).clone()
    }
}
