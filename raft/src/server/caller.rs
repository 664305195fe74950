//! The identity of a caller and what it may do.

use std::io;

use storage::net::trust::{Identity, Role};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::model::NodeId;
use crate::wire::{ApiError, Needs};

use super::options::TrackerOptions;

/// A connection, with or without TLS.
pub(super) type Stream = Box<dyn Connected>;

/// What a connection's users need.
pub(super) trait Connected: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connected for S {}

/// Who is calling.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// Without certificates, every client that reaches the port is trusted.
    Anybody,
    /// A caller with a certificate.
    Known(Identity),
}

impl Caller {
    /// Accepts a connection and identifies the caller.
    pub(super) async fn of(stream: TcpStream, options: &TrackerOptions) -> io::Result<(Self, Stream)> {
        let Some(trust) = &options.trust else { return Ok((Self::Anybody, Box::new(stream))) };
        let (stream, named) = trust.accept(stream).await.map_err(io::Error::other)?;
        let identity = named.identity;
        if identity.cluster != options.cluster {
            let what = format!("{identity} is of another cluster than {:?}", options.cluster);
            return Err(io::Error::other(what));
        }
        Ok((Self::Known(identity), Box::new(stream)))
    }

    /// Whether the caller may make a call that needs this.
    pub(super) fn may(&self, needs: Needs) -> Result<(), ApiError> {
        let Self::Known(identity) = self else { return Ok(()) };
        let (allowed, needed) = match (needs, &identity.role) {
            (Needs::Viewer, _) | (Needs::Operator, Role::Operator(_)) => (true, String::new()),
            (Needs::Operator, _) => (false, "an operator's certificate".to_owned()),
            (Needs::Node(node), Role::Node(own)) if *own == node => (true, String::new()),
            (Needs::Node(node), _) => (false, format!("the certificate of node {node}")),
        };
        match allowed {
            true => Ok(()),
            false => Err(ApiError::Forbidden(format!(
                "this needs {needed}, and {identity} asks for it; issue one with `twm-ctl certs issue`"
            ))),
        }
    }

    /// Whether the caller is this node.
    pub(super) fn is(&self, node: NodeId) -> Result<(), String> {
        match self {
            Self::Anybody => Ok(()),
            Self::Known(Identity { role: Role::Node(own), .. }) if *own == node => Ok(()),
            Self::Known(identity) => {
                Err(format!("{identity} says to be node {node}; a node shows its own certificate"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_allows_what_its_role_may_and_nothing_else() {
        let of = |role| Caller::Known(Identity { cluster: "twm".to_owned(), role });
        let (node, operator, viewer) =
            (of(Role::Node(3)), of(Role::Operator("ada".into())), of(Role::Viewer("ada".into())));
        let table = [
            (Needs::Viewer, [true, true, true, true]),
            (Needs::Operator, [true, false, true, false]),
            (Needs::Node(3), [true, true, false, false]),
            (Needs::Node(4), [true, false, false, false]),
        ];
        for (needs, allowed) in table {
            for (caller, allowed) in [&Caller::Anybody, &node, &operator, &viewer].into_iter().zip(allowed) {
                let answer = caller.may(needs);
                assert_eq!(answer.is_ok(), allowed, "{caller:?} {needs:?}: {answer:?}");
            }
        }
        assert!(node.is(3).is_ok() && Caller::Anybody.is(3).is_ok());
        assert!(node.is(4).is_err() && operator.is(3).is_err() && viewer.is(3).is_err());
    }
}
