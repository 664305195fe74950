//! Identities in certificates.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::TrustError;

/// An identity, from the certificate's URI name `twm://CLUSTER/node/3`, `twm://CLUSTER/operator/NAME` or
/// `twm://CLUSTER/viewer/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name of the cluster.
    pub cluster: String,
    /// Its rights.
    pub role: Role,
}

/// The rights of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// To act as this node, and to read.
    Node(u64),
    /// To change and to read; the name is for people.
    Operator(String),
    /// To read; the name is for people.
    Viewer(String),
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "twm://{}/{}", self.cluster, self.role)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => write!(f, "node/{id}"),
            Self::Operator(name) => write!(f, "operator/{name}"),
            Self::Viewer(name) => write!(f, "viewer/{name}"),
        }
    }
}

impl FromStr for Identity {
    type Err = ();

    fn from_str(uri: &str) -> Result<Self, ()> {
        let mut parts = uri.strip_prefix("twm://").ok_or(())?.split('/');
        let (Some(cluster), Some(role), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(());
        };
        if cluster.is_empty() || name.is_empty() {
            return Err(());
        }
        let role = match role {
            "node" => Role::Node(name.parse().ok().filter(|id| *id > 0).ok_or(())?),
            "operator" => Role::Operator(name.to_owned()),
            "viewer" => Role::Viewer(name.to_owned()),
            _ => return Err(()),
        };
        Ok(Self { cluster: cluster.to_owned(), role })
    }
}

/// The relevant parts of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Whom it names.
    pub identity: Identity,
    /// Its expiry, seconds since 1970.
    pub not_after: i64,
    /// Its additional names and addresses of hosts, for browsers.
    pub hosts: Vec<String>,
}

impl Named {
    /// Parses a certificate, without checking whether it can be trusted.
    ///
    /// # Errors
    /// It is damaged, or names no identity of a twm cluster, or several.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self, TrustError> {
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| TrustError::Unreadable)?;
        let names = parsed.subject_alternative_name().map_err(|_| TrustError::Unreadable)?;
        let hosts = names.iter().flat_map(|names| &names.value.general_names).filter_map(host).collect();
        let uris = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::URI(uri) => uri.parse().ok(),
            _ => None,
        });
        let found: Vec<Identity> = uris.collect();
        let [identity] = found.as_slice() else { return Err(TrustError::NoRole) };
        Ok(Self { identity: identity.clone(), not_after: parsed.validity().not_after.timestamp(), hosts })
    }
}

/// The host in a name of a certificate.
fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_is_written_and_nothing_else_is_one() {
        for uri in ["twm://main/node/3", "twm://main/operator/ada", "twm://x.y/viewer/a b"] {
            assert_eq!(uri.parse::<Identity>().unwrap().to_string(), uri);
        }
        for bad in [
            "twm://main/node/0",
            "twm://main/node/x",
            "twm://main/node/3/4",
            "twm://main/root/ada",
            "twm:///node/3",
            "twm://main/viewer/",
            "https://main/node/3",
            "",
        ] {
            assert_eq!(bad.parse::<Identity>(), Err(()), "{bad}");
        }
    }
}
