//! The authority's files, and signing.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use storage::net::trust::Identity;
use time::{Duration, OffsetDateTime};

use crate::ctl::CtlError;

/// Certificates are valid from this long ago, because clocks of other hosts may be slow.
const BEFORE: Duration = Duration::HOUR;

/// An authority in a folder: `ca.crt`, `ca.key` and `cluster`, the cluster's name.
pub(super) struct Authority {
    dir: PathBuf,
}

impl Authority {
    pub(super) fn in_dir(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Creates the authority. Nothing is overwritten.
    pub(super) fn create(&self, cluster: &str, days: u32) -> Result<PathBuf, CtlError> {
        if cluster.is_empty() || cluster.contains(['/', '\n']) {
            return Err(CtlError::Usage(format!(
                "{cluster:?} is no name for a cluster: give that of --cluster of its nodes"
            )));
        }
        fs::create_dir_all(&self.dir).map_err(CtlError::io(format!("making {}", self.dir.display())))?;
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = valid_for(days)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // A unique name, so that a certificate of another authority can be told from a damaged one.
        let tail: String =
            key.public_key_raw().iter().rev().take(8).map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name.push(DnType::CommonName, format!("twm {cluster} {tail}"));
        let certificate = params.self_signed(&key).map_err(failed)?;
        write_new(&self.dir.join("ca.key"), &key.serialize_pem(), 0o600)?;
        write_new(&self.dir.join("ca.crt"), &certificate.pem(), 0o644)?;
        write_new(&self.dir.join("cluster"), &format!("{cluster}\n"), 0o644)?;
        Ok(self.dir.join("ca.crt"))
    }

    /// The name of the cluster.
    pub(super) fn cluster(&self) -> Result<String, CtlError> {
        Ok(self.read("cluster")?.trim_end().to_owned())
    }

    /// Signs a certificate that also names these hosts.
    pub(super) fn sign(
        &self,
        identity: &Identity,
        hosts: &[String],
        key: &KeyPair,
        days: u32,
    ) -> Result<String, CtlError> {
        let own = KeyPair::from_pem(&self.read("ca.key")?).map_err(failed)?;
        let issuer = Issuer::from_ca_cert_pem(&self.read("ca.crt")?, own).map_err(failed)?;
        let mut params = valid_for(days)?;
        let uri = identity.to_string();
        params.distinguished_name.push(DnType::CommonName, uri.as_str());
        let uri = uri.as_str().try_into().map_err(|_| {
            CtlError::Usage(format!("{uri:?} has letters that a certificate cannot hold; use ASCII"))
        })?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        for host in hosts {
            params.subject_alt_names.push(match host.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(host.as_str().try_into().map_err(|_| {
                    CtlError::Usage(format!("--host {host:?} is no name of a host; use ASCII"))
                })?),
            });
        }
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        Ok(params.signed_by(key, &issuer).map_err(failed)?.pem())
    }

    fn read(&self, name: &str) -> Result<String, CtlError> {
        let path = self.dir.join(name);
        fs::read_to_string(&path).map_err(CtlError::io(format!(
            "reading {} (`twm-ctl certs init` makes an authority, and --dir says where one is)",
            path.display()
        )))
    }
}

fn valid_for(days: u32) -> Result<CertificateParams, CtlError> {
    let mut params = CertificateParams::new(Vec::new()).map_err(failed)?;
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BEFORE;
    params.not_after = now + Duration::days(i64::from(days));
    Ok(params)
}

/// Creates a file that does not exist yet.
pub(super) fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), CtlError> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(CtlError::io(format!("writing {}, which must not be there yet", path.display())))
}

pub(super) fn failed(error: rcgen::Error) -> CtlError {
    CtlError::Failed(format!("the certificate cannot be made: {error}"))
}
