//! What goes wrong, and what helps.

use std::io;
use std::time::Duration;

use hdfs_native::HdfsError as Native;

use crate::text::excerpt;

/// Most characters of a server's own text in a message.
const MAX_TEXT: usize = 200;

/// Why an operation failed: what was done, where, and the problem.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: cannot {doing}: {problem}")]
pub struct HdfsError {
    /// What was to be done, such as `read 22/1.twt`.
    pub doing: String,
    /// The URL of the folder.
    pub place: String,
    /// What went wrong.
    pub problem: HdfsProblem,
}

impl HdfsError {
    /// Whether the same operation may succeed later although nobody changes a setting: the file system is away, silent,
    /// starting or full.
    pub fn is_temporary(&self) -> bool {
        use HdfsProblem as P;
        matches!(
            self.problem,
            P::Unreachable(_)
                | P::Silent(_)
                | P::Broken(_)
                | P::NotServing(_)
                | P::NoDatanode(_)
                | P::Full(_)
        )
    }

    /// Whether the error concerns one file rather than the file system.
    pub fn is_of_one_file(&self) -> bool {
        use HdfsProblem as P;
        matches!(self.problem, P::Refused(_) | P::Fenced(_) | P::Absent | P::Lost(_) | P::Local(_))
    }

    /// Whether the file being written is lost to its writer, while a new one may succeed: its datanodes are away, or
    /// another client has ended it.
    pub(crate) fn is_of_the_writer(&self) -> bool {
        use HdfsProblem as P;
        matches!(self.problem, P::NoDatanode(_) | P::Fenced(_) | P::Absent | P::Broken(_))
    }
}

impl From<HdfsError> for io::Error {
    fn from(error: HdfsError) -> Self {
        let kind = match error.problem {
            HdfsProblem::Unreachable(_) => io::ErrorKind::NotConnected,
            HdfsProblem::Silent(_) => io::ErrorKind::TimedOut,
            HdfsProblem::Denied(_) => io::ErrorKind::PermissionDenied,
            HdfsProblem::Full(_) => io::ErrorKind::StorageFull,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// The kinds of problems, each with a remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HdfsProblem {
    /// No connection to a name node.
    #[error("no name node can be reached ({0}); check that it runs and that its host and port are right")]
    Unreachable(String),
    /// No answer in time.
    #[error(
        "no answer came within {0:?}; see whether the name node and the datanodes are overloaded or their network drops packets"
    )]
    Silent(Duration),
    /// The connection ended within an answer or before it.
    #[error(
        "the connection broke off ({0}); see whether the name node has stopped, and in its log whether it wants Kerberos"
    )]
    Broken(String),
    /// The name node answers, but does not serve: safe mode, standby, starting.
    #[error(
        "the name node does not serve yet ({0}); see `hdfs dfsadmin -safemode get` and `hdfs haadmin -getAllServiceState`"
    )]
    NotServing(String),
    /// The datanodes do not take or give the bytes.
    #[error("no datanode takes or gives the file's bytes ({0}); see `hdfs dfsadmin -report`")]
    NoDatanode(String),
    /// Something else answers there.
    #[error(
        "what answers at {address} is no name node ({found}); give the address of dfs.namenode.rpc-address"
    )]
    NotHdfs {
        /// Where.
        address: String,
        /// What it answered.
        found: String,
    },
    /// A quota, or no room.
    #[error(
        "there is no room ({0}); raise the quota (`hdfs dfsadmin -setQuota`, `-setSpaceQuota`) or add space"
    )]
    Full(String),
    /// The user may not do it.
    #[error("permission is denied ({0}); give the user of HADOOP_USER_NAME the folder (`hdfs dfs -chown`)")]
    Denied(String),
    /// The name node does not accept the user's proof.
    #[error("the login is refused ({0}); see Hadoop's settings in HADOOP_CONF_DIR and the ticket of `kinit`")]
    Login(String),
    /// Settings that cannot be used.
    #[error(
        "the settings cannot be used ({0}); give HOST:PORT, or explain the name service in HADOOP_CONF_DIR"
    )]
    Setting(String),
    /// A folder of a kind that the client cannot use.
    #[error(
        "the folder is erasure-coded or encrypted, which this program does not support ({0}); give another path"
    )]
    Unsupported(String),
    /// The place of the folder is taken.
    #[error("a file is in the place of the folder; give another path")]
    NotAFolder,
    /// Another client has ended the file that was being written, or removed it.
    #[error("the file was ended or removed by another process ({0})")]
    Fenced(String),
    /// It does not exist.
    #[error("it does not exist")]
    Absent,
    /// Blocks that no living datanode has, or whose state the datanodes do not settle.
    #[error("its blocks are missing ({0}); see `hdfs fsck`")]
    Lost(String),
    /// A local file.
    #[error("the local file failed ({0})")]
    Local(String),
    /// Another answer.
    #[error("it is refused ({0}); see the name node's log")]
    Refused(String),
    /// An error of this program.
    #[error("the client failed ({0}); report it")]
    Failed(String),
}

impl From<Native> for HdfsProblem {
    fn from(error: Native) -> Self {
        match error {
            Native::IOError(error) => of_io(&error),
            Native::RPCError(class, text) | Native::FatalRPCError(class, text) => of_class(&class, &text),
            Native::DataTransferError(text) if text.contains("failed: []") => {
                Self::Lost("no datanode has them".to_owned())
            }
            Native::DataTransferError(text) => {
                Self::NoDatanode(line(text.split('[').next().unwrap_or_default()))
            }
            Native::OperationFailed(text) if text.contains("complete file") => {
                Self::NoDatanode("the datanodes did not report its last block in time".to_owned())
            }
            Native::OperationFailed(text) if text.contains("erasure-coded") => Self::Unsupported(line(&text)),
            Native::UnsupportedErasureCodingPolicy(text) => Self::Unsupported(line(&text)),
            Native::UnsupportedFeature(_) => Self::Unsupported("an encryption zone".to_owned()),
            Native::FileNotFound(_) => Self::Absent,
            Native::BlocksNotFound(text) => Self::Lost(line(&text)),
            Native::ChecksumError => Self::Lost("its bytes do not fit their checksums".to_owned()),
            Native::SASLError(text) => Self::Login(line(&text)),
            Native::GSSAPIError(_, _, text) => Self::Login(line(&text)),
            Native::NoSASLMechanism => Self::Login("no known method is offered".to_owned()),
            Native::InvalidRPCResponse(error) => Self::Broken(line(&error.to_string())),
            Native::UrlParseError(_) | Native::XmlParseError(_) | Native::InvalidArgument(_) => {
                Self::Setting(line(&error.to_string()))
            }
            // Its further lines are a stack trace.
            other => Self::Refused(line(other.to_string().lines().next().unwrap_or_default())),
        }
    }
}

fn of_io(error: &io::Error) -> HdfsProblem {
    use io::ErrorKind as K;
    match error.kind() {
        K::ConnectionRefused
        | K::HostUnreachable
        | K::NetworkUnreachable
        | K::NotFound
        | K::AddrNotAvailable => HdfsProblem::Unreachable(line(&error.to_string())),
        K::TimedOut => HdfsProblem::NoDatanode(line(&error.to_string())),
        _ => HdfsProblem::Broken(line(&error.to_string())),
    }
}

/// What an exception of a name node means.
fn of_class(class: &str, text: &str) -> HdfsProblem {
    use HdfsProblem as P;
    let name = class.rsplit(['.', '$']).next().unwrap_or(class);
    // The rest is the stack trace.
    let text = line(text.lines().next().unwrap_or_default());
    let said = format!("{name}: {text}");
    match name {
        "SafeModeException"
        | "RetriableException"
        | "StandbyException"
        | "ObserverRetryOnActiveException"
        | "ServerTooBusyException" => P::NotServing(said),
        "NSQuotaExceededException" | "DSQuotaExceededException" | "QuotaByStorageTypeExceededException" => {
            P::Full(said)
        }
        "AccessControlException" | "AuthorizationException" => P::Denied(said),
        "InvalidToken" | "SaslException" | "GSSException" => P::Login(said),
        "RpcNoSuchProtocolException" | "RpcNoSuchMethodException" => {
            P::NotHdfs { address: "the given address".to_owned(), found: said }
        }
        "FileNotFoundException" => P::Absent,
        "LeaseExpiredException" | "RecoveryInProgressException" => P::Fenced(said),
        "NotReplicatedYetException" => P::NoDatanode(said),
        _ if text.contains("could only be written to") => P::NoDatanode(said),
        _ => P::Refused(said),
    }
}

/// A text of a stranger in one line of bounded length.
pub(super) fn line(text: &str) -> String {
    let words: Vec<_> =
        text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()).collect();
    excerpt(&words.join(" "), MAX_TEXT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_exception_is_the_problem_that_it_means_without_its_stack_trace() {
        for (class, text, expected) in [
            (
                "org.apache.hadoop.hdfs.server.namenode.SafeModeException",
                "Cannot create",
                "does not serve yet",
            ),
            ("org.apache.hadoop.hdfs.protocol.NSQuotaExceededException", "The quota", "raise the quota"),
            ("org.apache.hadoop.security.AccessControlException", "Permission denied", "HADOOP_USER_NAME"),
            ("org.apache.hadoop.security.token.SecretManager$InvalidToken", "old", "kinit"),
            ("java.io.IOException", "File /x could only be written to 0 of the 1", "-report"),
            ("java.io.IOException", "something", "the name node's log"),
            ("org.apache.hadoop.hdfs.server.namenode.LeaseExpiredException", "No lease", "another process"),
        ] {
            let text = format!("{text}\n\tat org.apache.Some.thing(Some.java:7)\n");
            let shown = HdfsProblem::from(Native::RPCError(class.to_owned(), text)).to_string();
            assert!(shown.contains(expected) && !shown.contains("Some.java"), "{class}: {shown}");
            assert_eq!(shown.lines().count(), 1, "{shown}");
        }
        let all = Native::DataTransferError("All DataNodes failed: [DatanodeInfoProto { id: 1 }]".to_owned());
        assert_eq!(HdfsProblem::from(all), HdfsProblem::NoDatanode("All DataNodes failed:".to_owned()));
    }
}
