//! The node's own certificate: whether it fits, when it ends, and when its files change.

use std::time::Duration;

use storage::net::trust::{Role, Trust};

use crate::settings::Settings;

/// Pause between two looks at the files.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

/// Reads the certificates, if there are any.
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

/// Reads the files again whenever they change.
pub(super) async fn follow(trust: Trust) {
    let mut failed = None;
    loop {
        tokio::time::sleep(LOOK_PAUSE).await;
        let looked = trust.clone();
        let looked = tokio::task::spawn_blocking(move || looked.reload_if_changed()).await;
        match looked {
            Ok(Ok(true)) => {
                failed = None;
                tracing::info!(identity = %trust.own().identity, "new certificates are in use");
            }
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                let said = error.to_string();
                if failed.as_ref() != Some(&said) {
                    tracing::error!("the certificates stay as they were: {said}");
                    failed = Some(said);
                }
            }
            Err(error) => tracing::warn!("looking at the certificates broke off: {error}"),
        }
    }
}
