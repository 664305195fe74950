//! Certificates of servers that know nothing of twm.

use std::path::Path;

use anyhow::ensure;
use tokio::process::Command;

use crate::cluster::ended;

/// Creates `ca.pem`, and `server.pem` with `server.key` for 127.0.0.1, signed by it.
///
/// # Errors
/// There is no openssl, or it fails.
pub async fn certificates(folder: &Path) -> anyhow::Result<()> {
    let make = async |arguments: &str| {
        let output = ended(Command::new("openssl").current_dir(folder).args(arguments.split(' '))).await?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        anyhow::Ok(())
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    make(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=twm-test-ca")).await?;
    make(&format!(
        "req -x509 {key} -keyout server.key -out server.pem -subj /CN=server -CA ca.pem -CAkey ca.key \
         -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
    ))
    .await
}
