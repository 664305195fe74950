//! Mutual TLS with certificates that name nodes and people instead of hosts.
//!
//! Both sides have a certificate of the cluster's own authority with one URI name (see [`Identity`]); the host on
//! which it is used does not matter. The files are reloaded when they change, for new connections.

mod identity;
mod verify;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

pub use identity::{Identity, Named, Role};

/// Pause between two checks of the files.
const LOOK_PAUSE: Duration = Duration::from_secs(5);

/// Timeout of a handshake.
const HANDSHAKE: Duration = Duration::from_secs(3);

/// The PEM files of one party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustFiles {
    /// The authority's certificate, or several during a rotation.
    pub ca: PathBuf,
    /// The own certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// Why a party is not trusted, or cannot identify itself.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file cannot be read.
    #[error("cannot read {}: {why}; `twm-ctl certs` makes certificates", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// The files do not match.
    #[error("the certificate {} cannot be used: {why}", path.display())]
    Unusable {
        /// The own certificate.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// A certificate that is not X.509.
    #[error("the certificate cannot be read")]
    Unreadable,
    /// A certificate for another purpose.
    #[error(
        "the certificate names no node, operator or viewer of a twm cluster; issue one with `twm-ctl certs issue`"
    )]
    NoRole,
    /// The handshake failed.
    #[error("{0}")]
    Handshake(String),
}

/// The trusted authority and the own certificate. Clones share it.
#[derive(Debug, Clone)]
pub struct Trust {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    files: TrustFiles,
    material: RwLock<Arc<Material>>,
}

#[derive(Debug)]
struct Material {
    read: [SystemTime; 3],
    own: Named,
    server: Arc<ServerConfig>,
    /// The same for callers that need not show a certificate.
    open_server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Trust {
    /// Loads the files.
    ///
    /// # Errors
    /// One cannot be read, or they do not match.
    pub fn load(files: TrustFiles) -> Result<Self, TrustError> {
        let material = RwLock::new(Arc::new(Material::load(&files)?));
        Ok(Self { inner: Arc::new(Inner { files, material }) })
    }

    /// Reloads the files if one has changed; returns whether one had. If the new files cannot be used, the old ones
    /// stay in use.
    ///
    /// # Errors
    /// One cannot be read, or they do not match.
    pub fn reload_if_changed(&self) -> Result<bool, TrustError> {
        if self.material().read == changed(&self.inner.files)? {
            return Ok(false);
        }
        let new = Arc::new(Material::load(&self.inner.files)?);
        *self.inner.material.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(true)
    }

    /// Reloads the files whenever they change, forever. New connections use the latest ones.
    pub async fn follow(&self) {
        let mut failed = None;
        loop {
            tokio::time::sleep(LOOK_PAUSE).await;
            let looked = self.clone();
            match tokio::task::spawn_blocking(move || looked.reload_if_changed()).await {
                Ok(Ok(true)) => {
                    failed = None;
                    tracing::info!(identity = %self.own().identity, "new certificates are in use");
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    let said = error.to_string();
                    if failed.as_ref() != Some(&said) {
                        tracing::error!("the certificates stay as they were: {said}");
                        failed = Some(said);
                    }
                }
                Err(error) => tracing::warn!("checking the certificates failed: {error}"),
            }
        }
    }

    /// The current configuration of a client: it trusts the authority, whatever host its certificates are
    /// used on.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.material().client)
    }

    /// The own certificate.
    pub fn own(&self) -> Named {
        self.material().own.clone()
    }

    fn material(&self) -> Arc<Material> {
        Arc::clone(&self.inner.material.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Accepts a connection and identifies the caller.
    ///
    /// # Errors
    /// The caller does not speak TLS, or shows no trusted certificate.
    pub async fn accept<S>(&self, stream: S) -> Result<(server::TlsStream<S>, Named), TrustError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accepted = TlsAcceptor::from(Arc::clone(&self.material().server)).accept(stream);
        let accepted = timeout(HANDSHAKE, accepted).await.map_err(|_| late())?.map_err(|e| handshake(&e))?;
        let named = peer(accepted.get_ref().1.peer_certificates())?;
        Ok((accepted, named))
    }

    /// Accepts a connection of a caller with or without a certificate, such as a browser.
    ///
    /// # Errors
    /// The caller does not speak TLS, or shows a certificate that is not trusted.
    pub async fn accept_anybody<S>(
        &self,
        stream: S,
    ) -> Result<(server::TlsStream<S>, Option<Named>), TrustError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accepted = TlsAcceptor::from(Arc::clone(&self.material().open_server)).accept(stream);
        let accepted = timeout(HANDSHAKE, accepted).await.map_err(|_| late())?.map_err(|e| handshake(&e))?;
        let shown = accepted.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let named = shown.map(Named::of).transpose()?;
        Ok((accepted, named))
    }

    /// Identifies itself on a connection, and returns the identity of the peer.
    ///
    /// # Errors
    /// The peer does not speak TLS, or shows no trusted certificate. Whether the peer trusts this side may be known
    /// only from later reads; see [`explain`].
    pub async fn connect<S>(&self, stream: S) -> Result<(client::TlsStream<S>, Named), TrustError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // No host is named: certificates name nodes.
        let name = ServerName::try_from("twm").map_err(|e| TrustError::Handshake(e.to_string()))?;
        let connected = TlsConnector::from(Arc::clone(&self.material().client)).connect(name, stream);
        let connected =
            timeout(HANDSHAKE, connected).await.map_err(|_| late())?.map_err(|e| handshake(&e))?;
        let named = peer(connected.get_ref().1.peer_certificates())?;
        Ok((connected, named))
    }
}

impl Material {
    fn load(files: &TrustFiles) -> Result<Self, TrustError> {
        // Checked before the files are read: a change in between causes one more read.
        let read = changed(files)?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(&files.ca)? {
            roots.add(authority).map_err(|error| unusable(&files.ca, error))?;
        }
        let chain = certificates(&files.cert)?;
        let own = chain.first().ok_or_else(|| unusable(&files.cert, "it holds no certificate"))?;
        let own = Named::of(own).map_err(|error| unusable(&files.cert, error))?;
        let key = || PrivateKeyDer::from_pem_file(&files.key).map_err(|error| unread(&files.key, error));
        let (roots, provider) = (Arc::new(roots), Arc::new(ring::default_provider()));
        let clients =
            || WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider));
        let serving = |clients: Result<_, VerifierBuilderError>| {
            ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[&rustls::version::TLS13])
                .map_err(|error| unusable(&files.cert, error))?
                .with_client_cert_verifier(clients.map_err(|error| unusable(&files.ca, error))?)
                .with_single_cert(chain.clone(), key()?)
                .map_err(|error| unusable(&files.cert, error))
        };
        let server = serving(clients().build())?;
        let open_server = serving(clients().allow_unauthenticated().build())?;
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| unusable(&files.cert, error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verify::OfAuthority { roots, provider }))
            .with_client_auth_cert(chain, key()?)
            .map_err(|error| unusable(&files.cert, error))?;
        client.enable_sni = false;
        Ok(Self {
            read,
            own,
            server: Arc::new(server),
            open_server: Arc::new(open_server),
            client: Arc::new(client),
        })
    }
}

/// Whether TLS failed, rather than the protocol on top of it.
pub fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// Explains a failed read or write on a TLS connection.
pub fn explain(error: &io::Error) -> String {
    use rustls::AlertDescription as Alert;
    use rustls::CertificateError as Bad;
    use rustls::Error as Tls;
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>());
    let text = match tls {
        Some(Tls::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature)) => {
            "its certificate is of another authority; check --tls-ca"
        }
        Some(Tls::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. })) => {
            "its certificate has expired; `twm-ctl certs renew` makes a new one"
        }
        Some(Tls::AlertReceived(Alert::UnknownCA | Alert::DecryptError)) => {
            "it does not trust the authority of this side's certificate; check --tls-ca and --tls-cert on both sides"
        }
        Some(Tls::AlertReceived(Alert::CertificateExpired)) => {
            "this side's certificate has expired; `twm-ctl certs renew` makes a new one"
        }
        Some(Tls::AlertReceived(Alert::CertificateRequired)) | Some(Tls::NoCertificatesPresented) => {
            "a certificate is needed; give --tls-ca, --tls-cert and --tls-key"
        }
        Some(Tls::InvalidMessage(_)) => {
            "it speaks no TLS: either both sides have --tls-ca, --tls-cert and --tls-key, or none"
        }
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it ended the connection in the handshake: perhaps it has no TLS, or does not trust this side"
        }
        _ => return error.to_string(),
    };
    text.to_owned()
}

fn handshake(error: &io::Error) -> TrustError {
    TrustError::Handshake(explain(error))
}

fn late() -> TrustError {
    TrustError::Handshake("no TLS handshake within 3 s: perhaps the other side has no TLS".to_owned())
}

fn peer(certificates: Option<&[CertificateDer<'_>]>) -> Result<Named, TrustError> {
    Named::of(certificates.and_then(<[_]>::first).ok_or(TrustError::NoRole)?)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let read = CertificateDer::pem_file_iter(path).map_err(|error| unread(path, error))?;
    read.collect::<Result<_, _>>().map_err(|error| unread(path, error))
}

fn changed(files: &TrustFiles) -> Result<[SystemTime; 3], TrustError> {
    let of = |path: &PathBuf| {
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        modified.map_err(|error| unread(path, error))
    };
    Ok([of(&files.ca)?, of(&files.cert)?, of(&files.key)?])
}

fn unread(path: &Path, why: impl ToString) -> TrustError {
    TrustError::File { path: path.to_owned(), why: why.to_string() }
}

fn unusable(path: &Path, why: impl ToString) -> TrustError {
    TrustError::Unusable { path: path.to_owned(), why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

    use super::*;

    fn of_rustls(error: Error) -> String {
        explain(&io::Error::new(io::ErrorKind::InvalidData, error))
    }

    #[test]
    fn a_failed_handshake_says_which_side_has_to_do_what() {
        for (error, says) in [
            (CertificateError::UnknownIssuer, "is of another authority; check --tls-ca"),
            (CertificateError::BadSignature, "is of another authority; check --tls-ca"),
            (CertificateError::Expired, "its certificate has expired; `twm-ctl certs renew`"),
        ] {
            let said = of_rustls(Error::InvalidCertificate(error));
            assert!(said.starts_with("its certificate") && said.contains(says), "{said}");
        }
        for (alert, says) in [
            (AlertDescription::UnknownCA, "it does not trust the authority of this side's certificate"),
            (AlertDescription::DecryptError, "it does not trust the authority of this side's certificate"),
            (
                AlertDescription::CertificateExpired,
                "this side's certificate has expired; `twm-ctl certs renew`",
            ),
            (AlertDescription::CertificateRequired, "give --tls-ca, --tls-cert and --tls-key"),
        ] {
            let said = of_rustls(Error::AlertReceived(alert));
            assert!(said.contains(says), "{alert:?}: {said}");
        }
        assert!(
            of_rustls(Error::NoCertificatesPresented).contains("give --tls-ca, --tls-cert and --tls-key")
        );
        let plain = of_rustls(Error::InvalidMessage(InvalidMessage::InvalidContentType));
        assert!(plain.contains("either both sides have --tls-ca"), "{plain}");
    }

    #[test]
    fn a_connection_that_ends_in_the_handshake_is_explained_and_other_errors_say_what_they_say() {
        let ended = explain(&io::ErrorKind::UnexpectedEof.into());
        assert!(ended.contains("perhaps it has no TLS, or does not trust this side"), "{ended}");
        let reset = io::Error::new(io::ErrorKind::ConnectionReset, "reset by peer");
        assert_eq!(explain(&reset), "reset by peer");
        let unknown = Error::General("something else".to_owned());
        assert_eq!(of_rustls(unknown.clone()), unknown.to_string());
    }

    #[test]
    fn only_errors_of_rustls_are_of_tls() {
        assert!(is_of_tls(&io::Error::other(Error::DecryptError)));
        assert!(!is_of_tls(&io::Error::other("a cable")));
        assert!(!is_of_tls(&io::ErrorKind::UnexpectedEof.into()));
    }
}
