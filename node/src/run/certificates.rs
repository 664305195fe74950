//! Loads and checks the node's own certificate.

use storage::net::trust::{Role, Trust};

use crate::settings::Settings;

/// Loads the certificates, if configured.
pub(super) fn load(settings: &Settings) -> anyhow::Result<Option<Trust>> {
    let Some(files) = &settings.tls else { return Ok(None) };
    let trust = Trust::load(files.clone())?;
    let own = trust.own().identity;
    let expected = Role::Node(settings.id);
    anyhow::ensure!(
        own.role == expected && own.cluster == settings.cluster,
        "the certificate {} is for {own}, and this is node {} of cluster {:?}; issue one with `twm-ctl certs issue --node {}`",
        files.cert.display(),
        settings.id,
        settings.cluster,
        settings.id
    );
    Ok(Some(trust))
}
