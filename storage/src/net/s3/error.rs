//! What goes wrong, and what helps.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use object_store::client::{HttpError, HttpErrorKind};

use super::answers;
use crate::text::excerpt;

/// Most characters of a server's own text in a message.
const MAX_TEXT: usize = 200;

/// Why a request failed: what was done, where, and the problem. It contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: cannot {doing}: {problem}")]
pub struct S3Error {
    /// What was to be done, such as `read 22/1.twt`.
    pub doing: String,
    /// The bucket and its server.
    pub place: String,
    /// What went wrong.
    pub problem: S3Problem,
}

impl S3Error {
    /// Whether the same request may succeed later although nobody changes a setting: the server is away,
    /// silent, busy, or full.
    pub fn is_temporary(&self) -> bool {
        use S3Problem as P;
        matches!(self.problem, P::Unreachable(_) | P::Silent(_) | P::Broken(_) | P::Busy(_) | P::Full(_))
    }
}

impl S3Error {
    /// Whether the error concerns one object or one file rather than the store.
    pub fn is_of_one_object(&self) -> bool {
        use S3Problem as P;
        matches!(self.problem, P::Refused(_) | P::Invalid(_) | P::Range { .. } | P::Changed | P::File { .. })
    }
}

impl From<S3Error> for io::Error {
    fn from(error: S3Error) -> Self {
        let kind = match error.problem {
            S3Problem::Unreachable(_) => io::ErrorKind::NotConnected,
            S3Problem::Silent(_) => io::ErrorKind::TimedOut,
            S3Problem::Broken(_) => io::ErrorKind::ConnectionAborted,
            S3Problem::Denied(_) | S3Problem::Credentials(_) => io::ErrorKind::PermissionDenied,
            S3Problem::Full(_) => io::ErrorKind::StorageFull,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// The kinds of problems, each with a remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum S3Problem {
    /// No connection.
    #[error(
        "the server cannot be reached ({0}); check that it runs and that the endpoint's host and port are right"
    )]
    Unreachable(String),
    /// No answer in time.
    #[error(
        "the server did not answer within {0:?}; see whether it is overloaded or its network drops packets"
    )]
    Silent(Duration),
    /// The connection ended within an answer or before it.
    #[error(
        "the connection broke off ({0}); see whether the server has stopped, and whether the endpoint is one of S3"
    )]
    Broken(String),
    /// Something else answers there.
    #[error("what answers there is no S3 server ({0}); check the endpoint")]
    NotS3(String),
    /// The server's certificate cannot be verified.
    #[error(
        "the server's certificate is not trusted ({0}); name its authority's file as the CA file, or check the endpoint's host"
    )]
    Certificate(String),
    /// The bucket is not there.
    #[error("there is no such bucket ({0}); create it, or check its name and the endpoint")]
    NoBucket(Answer),
    /// The credentials are known, but not for this.
    #[error(
        "access is denied ({0}); allow these credentials to list the bucket, to get, put and delete objects, and to list and abort multipart uploads"
    )]
    Denied(Answer),
    /// The credentials are unknown, wrong or expired.
    #[error("the credentials are refused ({0}); check the access key, the secret key and the session token")]
    Credentials(Answer),
    /// The clocks differ by more than the 15 minutes that S3 permits.
    #[error("the clocks of this machine and of the server differ too much ({0}); set both with NTP")]
    ClockSkew(Answer),
    /// The bucket is elsewhere.
    #[error("the bucket is in another region ({0}); set the region to the bucket's")]
    Region(Answer),
    /// No room, or a quota.
    #[error("the server has no room ({0}); free or add space, or raise the quota")]
    Full(Answer),
    /// The server is overloaded or failing, also after several attempts.
    #[error("the server is busy or failing ({0}); see its log")]
    Busy(Answer),
    /// Another answer.
    #[error("the server refuses it ({0}); see its log")]
    Refused(Answer),
    /// The object was replaced or deleted while it was read.
    #[error("the object was replaced or deleted while it was read; read it again from its beginning")]
    Changed,
    /// A range beyond the end of an object, or an empty one.
    #[error("the range {from}..{to} has no byte of the object")]
    Range {
        /// The first byte.
        from: u64,
        /// The byte after the last one.
        to: u64,
    },
    /// A key, an attribute or an ETag that S3 does not take.
    #[error("{0}")]
    Invalid(String),
    /// A file of this machine.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        why: String,
    },
    /// A setting of the client.
    #[error("{0}")]
    Setting(String),
    /// The client itself failed.
    #[error("the request was not made: {0}")]
    Failed(String),
}

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The code of S3, such as `SlowDown`; empty if there is none, as in answers without a body.
    pub code: String,
    /// The server's own text, cut to a line.
    pub message: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        for part in [&self.code, &self.message] {
            if !part.is_empty() {
                write!(f, " {part}")?;
            }
        }
        Ok(())
    }
}

impl Error for Answer {}

impl Answer {
    /// An answer from its body.
    pub(super) fn read(status: u16, body: &[u8]) -> Self {
        let (code, message) = answers::error(body).unwrap_or_else(|| (String::new(), lossy(body)));
        Self { status, code: line(&code), message: line(&message) }
    }

    /// Whether S3 said it. A HEAD request's answer has no body.
    fn is_of_s3(&self) -> bool {
        !self.code.is_empty() || self.message.is_empty()
    }

    /// Whether the same request may have a better answer soon.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self.status, 408 | 429 | 500 | 502 | 503 | 504)
            || matches!(
                self.code.as_str(),
                "SlowDown" | "InternalError" | "RequestTimeout" | "OperationAborted" | "TemporaryRedirect"
            )
    }

    /// What it means if it is not what the request provides for.
    pub(super) fn problem(self) -> S3Problem {
        match self.code.as_str() {
            "NoSuchBucket" => return S3Problem::NoBucket(self),
            "AccessDenied" | "AllAccessDisabled" | "AccountProblem" => return S3Problem::Denied(self),
            "SignatureDoesNotMatch"
            // Of versitygw.
            | "XAdminUserNotFound"
            | "InvalidAccessKeyId"
            | "ExpiredToken"
            | "InvalidToken"
            | "TokenRefreshRequired"
            | "InvalidSecurity"
            | "NotSignedUp" => return S3Problem::Credentials(self),
            "RequestTimeTooSkewed" | "RequestExpired" => return S3Problem::ClockSkew(self),
            "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" => {
                return S3Problem::Region(self);
            }
            "QuotaExceeded"
            | "ServiceQuotaExceeded"
            | "InsufficientStorage"
            | "XMinioStorageFull"
            | "XMinioAdminBucketQuotaExceeded"
            | "NoSpaceLeft" => return S3Problem::Full(self),
            _ => {}
        }
        match self.status {
            507 => S3Problem::Full(self),
            _ if self.is_passing() => S3Problem::Busy(self),
            _ if !self.is_of_s3() => S3Problem::NotS3(format!("it answered {self}")),
            301 | 307 => S3Problem::Region(self),
            401 | 403 => S3Problem::Denied(self),
            _ => S3Problem::Refused(self),
        }
    }
}

/// Why a request has no successful answer.
#[derive(Debug, Clone)]
pub(super) enum Failure {
    /// The answer, which may be one that the request provides for.
    Answer(Answer),
    /// No answer.
    Problem(S3Problem),
}

impl Failure {
    pub(super) fn problem(self) -> S3Problem {
        match self {
            Self::Answer(answer) => answer.problem(),
            Self::Problem(problem) => problem,
        }
    }

    /// The status and the code of the answer, if there is one.
    pub(super) fn answered(&self) -> Option<(u16, &str)> {
        match self {
            Self::Answer(answer) => Some((answer.status, answer.code.as_str())),
            Self::Problem(_) => None,
        }
    }

    /// Whether there is no such object: not for a bucket that is missing, nor for a page of a proxy.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self.answered(), Some((404, "NoSuchKey" | "NotFound")))
    }

    /// For `object_store`, which does not look into it.
    pub(super) fn into_http(self) -> HttpError {
        match self {
            Self::Answer(answer) => HttpError::new(HttpErrorKind::Unknown, answer),
            Self::Problem(problem) => HttpError::new(HttpErrorKind::Unknown, problem),
        }
    }

    /// Finds what [`into_http`](Self::into_http) has wrapped.
    fn within(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(answer) = error.downcast_ref::<Answer>() {
                return Some(Self::Answer(answer.clone()));
            }
            if let Some(problem) = error.downcast_ref::<S3Problem>() {
                return Some(Self::Problem(problem.clone()));
            }
            next = error.source();
        }
        None
    }
}

impl From<S3Problem> for Failure {
    fn from(problem: S3Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<HttpError> for Failure {
    fn from(error: HttpError) -> Self {
        Self::within(&error).unwrap_or_else(|| Self::Problem(no_answer(&error)))
    }
}

impl From<object_store::Error> for Failure {
    fn from(error: object_store::Error) -> Self {
        Self::within(&error).unwrap_or_else(|| {
            // Neither refused nor broken: an answer that lacks what S3 sends.
            let mut cause: &dyn Error = &error;
            while let Some(source) = cause.source() {
                cause = source;
            }
            Self::Problem(S3Problem::NotS3(line(&cause.to_string())))
        })
    }
}

/// Why there is no answer. An error of the connection never contains headers.
pub(super) fn no_answer(error: &HttpError) -> S3Problem {
    let (mut last, mut next): (_, Option<&(dyn Error + 'static)>) = (String::new(), Some(error));
    while let Some(error) = next {
        if let Some(tls) = of_tls(error) {
            return match tls {
                rustls::Error::InvalidCertificate(why) => S3Problem::Certificate(why.to_string()),
                rustls::Error::InvalidMessage(_) => {
                    S3Problem::NotS3("it speaks no TLS; perhaps the endpoint begins with http://".to_owned())
                }
                other => S3Problem::Broken(line(&other.to_string())),
            };
        }
        if let Some(http) = error.downcast_ref::<hyper::Error>()
            && (http.is_parse() || http.is_parse_status())
        {
            return S3Problem::NotS3("it does not speak HTTP, or only with TLS".to_owned());
        }
        last = error.to_string();
        next = error.source();
    }
    match error.kind() {
        HttpErrorKind::Connect => S3Problem::Unreachable(line(&last)),
        _ => S3Problem::Broken(line(&last)),
    }
}

/// An error of TLS, also where errors of the connection hide it: their sources skip it.
fn of_tls<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e rustls::Error> {
    let mut error = error;
    loop {
        if let Some(tls) = error.downcast_ref() {
            return Some(tls);
        }
        error = error.downcast_ref::<io::Error>()?.get_ref()?;
    }
}

/// A text of a stranger in one line of bounded length.
fn line(text: &str) -> String {
    let words: Vec<_> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    excerpt(&words.join(" "), MAX_TEXT)
}

fn lossy(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(4 * MAX_TEXT)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_the_problem_that_it_means() {
        let of = |status, code: &str| {
            Answer { status, code: code.to_owned(), message: "text".to_owned() }.problem()
        };
        for (status, code, expected) in [
            (404, "NoSuchBucket", "create it"),
            (403, "AccessDenied", "allow these credentials"),
            (403, "SignatureDoesNotMatch", "check the access key"),
            (403, "InvalidAccessKeyId", "check the access key"),
            (400, "ExpiredToken", "session token"),
            (403, "RequestTimeTooSkewed", "NTP"),
            (301, "PermanentRedirect", "set the region"),
            (400, "AuthorizationHeaderMalformed", "set the region"),
            (507, "", "free or add space"),
            (403, "QuotaExceeded", "raise the quota"),
            (503, "SlowDown", "busy or failing"),
            (200, "InternalError", "busy or failing"),
            (500, "", "busy or failing"),
            (404, "", "no S3 server (it answered 404 text)"),
            (400, "InvalidArgument", "the server refuses it (400 InvalidArgument text)"),
        ] {
            let shown = of(status, code).to_string();
            assert!(shown.contains(expected), "{status} {code}: {shown}");
        }
        // A HEAD request's answer has no body.
        let head = Answer { status: 403, code: String::new(), message: String::new() };
        assert!(matches!(head.problem(), S3Problem::Denied(_)));
    }

    #[test]
    fn what_a_server_says_is_cut_to_a_line() {
        let body = format!("<html>\r\n<b>\u{1b}[2J{}</b>", "x".repeat(10_000));
        let answer = Answer::read(404, body.as_bytes());
        assert_eq!(answer.code, "");
        assert!(answer.message.starts_with("<html> <b> [2Jxxx"), "{answer}");
        assert!(answer.message.len() < 2 * MAX_TEXT && !answer.message.contains('\n'));
        assert_eq!(Answer::read(404, b"\xff\xfe").message, "\u{fffd}\u{fffd}");
    }

    #[test]
    fn an_error_of_tls_is_found_however_deep_it_is() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let hidden = io::Error::other(io::Error::other(tls));
        let problem = no_answer(&HttpError::new(HttpErrorKind::Connect, hidden));
        assert!(matches!(problem, S3Problem::Certificate(_)), "{problem}");
        let refused = HttpError::new(HttpErrorKind::Connect, io::Error::other("refused"));
        assert_eq!(no_answer(&refused), S3Problem::Unreachable("refused".to_owned()));
    }

    #[test]
    fn a_failure_comes_back_out_of_the_errors_of_object_store() {
        let answer = Answer { status: 412, code: "PreconditionFailed".to_owned(), message: String::new() };
        let wrapped = Failure::Answer(answer.clone()).into_http();
        let error = object_store::Error::Generic { store: "S3", source: Box::new(wrapped) };
        assert_eq!(Failure::from(error).answered(), Some((412, "PreconditionFailed")));
        let strange = object_store::Error::Generic { store: "S3", source: "no ETag".into() };
        assert_eq!(Failure::from(strange).problem(), S3Problem::NotS3("no ETag".to_owned()));
    }
}
