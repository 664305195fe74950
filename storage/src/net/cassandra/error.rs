//! What goes wrong, and what helps.

use std::error::Error;
use std::io;
use std::time::Duration;

use scylla::errors::{
    BrokenConnectionError, BrokenConnectionErrorKind, ConnectionError, ConnectionPoolError,
    ConnectionSetupRequestErrorKind, DbError, ExecutionError, FrameHeaderParseError, MetadataError,
    MetadataFetchErrorKind, NewSessionError, PrepareError, RequestAttemptError,
};

use crate::text::excerpt;

/// Most characters of a server's own text in a message.
const MAX_TEXT: usize = 200;

/// Why a request failed: what was done, where, and the problem. It contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: cannot {doing}: {problem}")]
pub struct CassandraError {
    /// What was to be done, such as `read 22/1.twt`.
    pub doing: String,
    /// The keyspace and its servers.
    pub place: String,
    /// What went wrong.
    pub problem: CassandraProblem,
}

impl CassandraError {
    /// Whether the same request may succeed later although nobody changes a setting: servers are away, silent or busy.
    pub fn is_temporary(&self) -> bool {
        self.problem.is_temporary()
    }

    /// Whether the error concerns one file rather than the cluster.
    pub fn is_of_one_file(&self) -> bool {
        matches!(self.problem, CassandraProblem::Refused(_) | CassandraProblem::Invalid(_))
    }
}

impl From<CassandraError> for io::Error {
    fn from(error: CassandraError) -> Self {
        let kind = match error.problem {
            CassandraProblem::Unreachable(_) => io::ErrorKind::NotConnected,
            CassandraProblem::Silent(_) => io::ErrorKind::TimedOut,
            CassandraProblem::Broken(_) => io::ErrorKind::ConnectionAborted,
            CassandraProblem::Denied(_) | CassandraProblem::Login(_) => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// The kinds of problems, each with a remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CassandraProblem {
    /// No connection.
    #[error(
        "no server can be reached ({0}); check that they run and that hosts and ports of the URL are right"
    )]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer within {0:?}; see whether the servers are overloaded or the network drops packets")]
    Silent(Duration),
    /// The connection ended within an answer or before it.
    #[error("the connection broke off ({0}); see whether the server has stopped, and whether it wants TLS")]
    Broken(String),
    /// Something else answers there.
    #[error("what answers there is no Cassandra ({0}); check hosts and ports of the URL")]
    NotCassandra(String),
    /// A server's certificate cannot be verified.
    #[error(
        "a server's certificate is not trusted ({0}); name its authority's file as the CA file, and have the certificate name the server's IP address"
    )]
    Certificate(String),
    /// No login, or a wrong one.
    #[error("the login is refused ({0}); write user and password into the credentials file")]
    Login(String),
    /// The login is known, but not for this.
    #[error("access is denied ({0}); allow this user to select, modify and, for `dataset init`, create")]
    Denied(String),
    /// The keyspace is not there.
    #[error(
        "there is no keyspace {0:?}; check the URL, or make it with `twm-ctl dataset init cassandra://HOST,HOST/{0} --replication 3`"
    )]
    NoKeyspace(String),
    /// The tables are missing, incomplete, or of another version.
    #[error("{0}")]
    Schema(String),
    /// Too few replicas are up for a majority.
    #[error(
        "only {alive} of {required} replicas that are needed are up ({text}); start the other servers, or lower the replication of the keyspace to what there is"
    )]
    Replicas {
        /// How many are needed.
        required: i32,
        /// How many are up.
        alive: i32,
        /// The consistency.
        text: String,
    },
    /// The servers are overloaded, starting or failing, also after several attempts.
    #[error("the servers are busy or failing ({0}); see their logs")]
    Busy(String),
    /// The servers do not keep what they acknowledge.
    #[error("{0}")]
    Unsafe(String),
    /// The clocks differ.
    #[error(
        "the clock of a server differs from this machine's by {0:?}; set both with NTP: deletions are ordered by it"
    )]
    ClockSkew(Duration),
    /// Another answer.
    #[error("the server refuses it ({0}); see its log")]
    Refused(String),
    /// A value that the tables do not take, or a row that none of ours has written.
    #[error("{0}")]
    Invalid(String),
    /// A setting of the client.
    #[error("{0}")]
    Setting(String),
    /// The client itself failed.
    #[error("the request was not made: {0}")]
    Failed(String),
}

impl CassandraProblem {
    /// See [`CassandraError::is_temporary`].
    pub fn is_temporary(&self) -> bool {
        use CassandraProblem as P;
        matches!(self, P::Unreachable(_) | P::Silent(_) | P::Broken(_) | P::Busy(_) | P::Replicas { .. })
    }

    pub(super) fn of_session(error: &NewSessionError) -> Self {
        match error {
            NewSessionError::FailedToResolveAnyHostname(hosts) => {
                Self::Unreachable(line(format!("no address of {} is known", hosts.join(", "))))
            }
            NewSessionError::MetadataError(error) => Self::of_metadata(error),
            other => Self::Failed(line(other)),
        }
    }

    fn of_metadata(error: &MetadataError) -> Self {
        match error {
            MetadataError::ConnectionPoolError(error) => Self::of_pool(error),
            MetadataError::FetchError(error) => match &error.error {
                MetadataFetchErrorKind::PrepareError(error) => Self::of_attempt(error),
                other => Self::Busy(line(other)),
            },
            other => Self::Busy(line(other)),
        }
    }

    pub(super) fn of_execution(error: &ExecutionError) -> Self {
        match error {
            ExecutionError::LastAttemptError(error) => Self::of_attempt(error),
            ExecutionError::ConnectionPoolError(error) => Self::of_pool(error),
            ExecutionError::PrepareError(error) => Self::of_prepare(error),
            ExecutionError::RequestTimeout(after) => Self::Silent(*after),
            ExecutionError::EmptyPlan => Self::Unreachable("no server is known to be up".to_owned()),
            ExecutionError::SchemaAgreementError(error) => Self::Busy(line(error)),
            ExecutionError::MetadataError(error) => Self::of_metadata(error),
            other => Self::Failed(line(other)),
        }
    }

    pub(super) fn of_prepare(error: &PrepareError) -> Self {
        match error {
            PrepareError::ConnectionPoolError(error) => Self::of_pool(error),
            PrepareError::AllAttemptsFailed { first_attempt } => Self::of_attempt(first_attempt),
            other => Self::Failed(line(other)),
        }
    }

    fn of_attempt(error: &RequestAttemptError) -> Self {
        match error {
            RequestAttemptError::DbError(error, text) => Self::of_answer(error, text),
            RequestAttemptError::BrokenConnectionError(error) => Self::of_broken(error),
            RequestAttemptError::UnableToAllocStreamId => Self::Busy(line(error)),
            other => Self::Failed(line(other)),
        }
    }

    fn of_pool(error: &ConnectionPoolError) -> Self {
        match error {
            ConnectionPoolError::Broken { last_connection_error } => {
                Self::of_connection(last_connection_error)
            }
            other => Self::Unreachable(line(other)),
        }
    }

    fn of_connection(error: &ConnectionError) -> Self {
        match error {
            ConnectionError::IoError(error) => match certificate(&**error) {
                Some(why) => Self::Certificate(why),
                None => Self::Unreachable(line(error)),
            },
            ConnectionError::BrokenConnection(error) => Self::of_broken(error),
            ConnectionError::ConnectionSetupRequestError(error) => match error.get_error() {
                ConnectionSetupRequestErrorKind::DbError(error, text) => Self::of_answer(error, text),
                ConnectionSetupRequestErrorKind::BrokenConnection(error) => Self::of_broken(error),
                ConnectionSetupRequestErrorKind::MissingAuthentication => {
                    Self::Login("the servers want a user and a password".to_owned())
                }
                other => Self::NotCassandra(line(other)),
            },
            other => Self::Unreachable(line(other)),
        }
    }

    fn of_broken(error: &BrokenConnectionError) -> Self {
        match error.downcast_ref::<BrokenConnectionErrorKind>() {
            Some(BrokenConnectionErrorKind::FrameHeaderParseError(header)) => match header {
                FrameHeaderParseError::FrameFromClient
                | FrameHeaderParseError::VersionNotSupported(_)
                | FrameHeaderParseError::UnknownResponseOpcode(_) => Self::NotCassandra(line(header)),
                other => Self::Broken(line(other)),
            },
            Some(BrokenConnectionErrorKind::UnexpectedStreamId(_)) => Self::NotCassandra(line(error)),
            _ => Self::Broken(line(error)),
        }
    }

    fn of_answer(error: &DbError, text: &str) -> Self {
        let said = line(text);
        match error {
            DbError::AuthenticationError => Self::Login(said),
            DbError::Unauthorized => Self::Denied(said),
            DbError::Unavailable { required, alive, .. } => {
                Self::Replicas { required: *required, alive: *alive, text: said }
            }
            DbError::Overloaded
            | DbError::IsBootstrapping
            | DbError::ReadTimeout { .. }
            | DbError::WriteTimeout { .. }
            | DbError::ReadFailure { .. }
            | DbError::WriteFailure { .. }
            | DbError::RateLimitReached { .. }
            | DbError::ServerError
            | DbError::TruncateError => Self::Busy(said),
            DbError::Invalid if text.contains("unconfigured table") => Self::Schema(format!(
                "a table is missing ({said}); make the tables with `twm-ctl dataset init URL`"
            )),
            DbError::ProtocolError => Self::NotCassandra(said),
            _ => Self::Refused(said),
        }
    }
}

/// The first line of a text, shortened: servers send whole stack traces.
pub(super) fn line(text: impl ToString) -> String {
    let text = text.to_string();
    excerpt(text.lines().next().unwrap_or_default().trim(), MAX_TEXT)
}

/// Why a certificate is not accepted, if that is the reason of an error.
pub(super) fn certificate(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(line(tls));
        }
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_and_tells_what_passes_from_what_stays() {
        let problem = CassandraProblem::of_answer(
            &DbError::ServerError,
            "java.lang.RuntimeException: x\n\tat org.apache.Some.thing(Some.java:7)\n",
        );
        assert!(problem.is_temporary());
        let place = "cassandra://a/twm".to_owned();
        let error = CassandraError { doing: "read 7.twt".to_owned(), place, problem };
        assert_eq!(
            error.to_string(),
            "cassandra://a/twm: cannot read 7.twt: the servers are busy or failing (java.lang.RuntimeException: x); see their logs"
        );
        for (answer, temporary) in [
            (DbError::AuthenticationError, false),
            (DbError::Unauthorized, false),
            (DbError::Invalid, false),
            (DbError::SyntaxError, false),
            (DbError::Overloaded, true),
            (DbError::IsBootstrapping, true),
        ] {
            assert_eq!(CassandraProblem::of_answer(&answer, "x").is_temporary(), temporary, "{answer}");
        }
    }

    #[test]
    fn a_refused_certificate_is_found_below_other_errors() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = io::Error::new(io::ErrorKind::InvalidData, tls);
        assert!(certificate(&error).is_some_and(|why| why.contains("UnknownIssuer")));
        assert_eq!(certificate(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
    }
}
