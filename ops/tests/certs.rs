//! Certificates: issued by an operator, and reloaded by a running program.

#![allow(clippy::unwrap_used, reason = "a test stops where its scene cannot be set")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use storage::net::trust::{Role, Trust, TrustFiles};

fn certs(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_twm-ctl"));
    command.arg("certs").args(arguments).arg("--dir").arg(dir).output().unwrap()
}

fn well(dir: &Path, arguments: &[&str]) {
    let output = certs(dir, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn files(dir: &Path, name: &str) -> TrustFiles {
    let at = |name: String| -> PathBuf { dir.join(name) };
    TrustFiles { ca: at("ca.crt".into()), cert: at(format!("{name}.crt")), key: at(format!("{name}.key")) }
}

#[test]
fn nothing_is_overwritten_and_keys_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    well(dir.path(), &["init", "--cluster", "main"]);
    well(dir.path(), &["issue", "--node", "3"]);
    for again in [&["init"][..], &["issue", "--node", "3"]] {
        let output = certs(dir.path(), again);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains("must not be there yet"), "{said}");
    }
    for key in ["ca.key", "node-3.key"] {
        let mode = std::fs::metadata(dir.path().join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    for bad in [&["issue"][..], &["issue", "--node", "0"], &["issue", "--operator", "../ada"]] {
        assert_eq!(certs(dir.path(), bad).status.code(), Some(2), "{bad:?}");
    }
    let own = Trust::load(files(dir.path(), "node-3")).unwrap().own().identity;
    assert_eq!((own.cluster.as_str(), own.role), ("main", Role::Node(3)));
    assert!(Trust::load(files(dir.path(), "ca")).is_err(), "the authority is nobody");
}

#[tokio::test]
async fn a_renewed_certificate_is_taken_while_the_program_runs_and_a_broken_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    well(dir.path(), &["init"]);
    well(dir.path(), &["issue", "--node", "1", "--days", "0"]);
    well(dir.path(), &["issue", "--operator", "ada"]);
    let (node, ada) = (files(dir.path(), "node-1"), files(dir.path(), "operator-ada"));
    let server = Trust::load(node.clone()).unwrap();
    let client = Trust::load(ada).unwrap();
    let meet = async || {
        let (near, far) = tokio::io::duplex(16 << 10);
        let (accepted, connected) = tokio::join!(server.accept(near), client.connect(far));
        connected.map_err(|error| error.to_string())?;
        accepted.map(|(_, named)| named.identity.role).map_err(|error| error.to_string())
    };
    let before = server.own().not_after;
    assert!(!server.reload_if_changed().unwrap());
    // The certificate expires in this second.
    let expired = async {
        while meet().await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        meet().await
    };
    let said = tokio::time::timeout(std::time::Duration::from_secs(20), expired).await.unwrap().unwrap_err();
    assert!(said.contains("has expired"), "{said}");

    well(dir.path(), &["renew", &node.cert.to_string_lossy()]);
    assert!(server.reload_if_changed().unwrap());
    assert!(server.own().not_after > before);
    assert_eq!(meet().await, Ok(Role::Operator("ada".to_owned())));

    std::fs::write(&node.cert, "not a certificate").unwrap();
    assert!(server.reload_if_changed().is_err());
    assert_eq!(meet().await, Ok(Role::Operator("ada".to_owned())), "what was there stays in use");
}
