//! Converts the reply to a call into the type that the call returns.

use storage::ids::UserId;

use super::ClientError;
use crate::model::{
    Answer, DigestAt, NodeId, NodeStatus, ReplicaCheck, ReportAnswer, Response, SessionOpened, SharesAnswer,
    SourceStatus, SpendAnswer,
};
use crate::wire::{ApiError, ApiReply};

impl ApiReply {
    /// The response to a mutation. A refusal becomes an error.
    ///
    /// # Errors
    /// [`ClientError::UnexpectedResponse`] when the reply belongs to another call; a refusal.
    pub fn mutated(self) -> Result<Response, ClientError> {
        match self {
            Self::Mutated(Response::Refused(refusal)) => Err(ClientError::Api(ApiError::Refused(refusal))),
            Self::Mutated(response) => Ok(response),
            _ => Err(ClientError::UnexpectedResponse { asked: "mutation" }),
        }
    }

    /// The session that was opened.
    ///
    /// # Errors
    /// [`ClientError::UnexpectedResponse`] when the reply answers another call; a refusal where the call can be refused.
    pub fn opened(self) -> Result<SessionOpened, ClientError> {
        match self.mutated()? {
            Response::SessionOpened(opened) => Ok(opened),
            _ => Err(ClientError::UnexpectedResponse { asked: "session" }),
        }
    }

    /// The answer to a report.
    ///
    /// # Errors
    /// [`ClientError::UnexpectedResponse`] when the reply answers another call; a refusal where the call can be refused.
    pub fn reported(self) -> Result<ReportAnswer, ClientError> {
        match self.mutated()? {
            Response::Report(answer) => Ok(answer),
            _ => Err(ClientError::UnexpectedResponse { asked: "report" }),
        }
    }

    /// The answer to a report of money.
    ///
    /// # Errors
    /// [`ClientError::UnexpectedResponse`] when the reply answers another call; a refusal where the call can be refused.
    pub fn spent(self) -> Result<SpendAnswer, ClientError> {
        match self.mutated()? {
            Response::Spent(answer) => Ok(answer),
            _ => Err(ClientError::UnexpectedResponse { asked: "report of money" }),
        }
    }

    /// The answer to a report about shared budgets.
    ///
    /// # Errors
    /// [`ClientError::UnexpectedResponse`] when the reply answers another call; a refusal where the call can be refused.
    pub fn shared(self) -> Result<SharesAnswer, ClientError> {
        match self.mutated()? {
            Response::Shares(answer) => Ok(answer),
            _ => Err(ClientError::UnexpectedResponse { asked: "report about shared budgets" }),
        }
    }

    /// The answer to a query.
    ///
    /// # Errors
    /// [`ClientError::UnexpectedResponse`] when the reply answers another call; a refusal where the call can be refused.
    pub fn answer(self) -> Result<Answer, ClientError> {
        match self {
            Self::Answer(answer) => Ok(*answer),
            _ => Err(ClientError::UnexpectedResponse { asked: "query" }),
        }
    }

    /// Whether there is work.
    ///
    /// # Errors
    /// [`ClientError::UnexpectedResponse`] when the reply answers another call; a refusal where the call can be refused.
    pub fn work(self) -> Result<bool, ClientError> {
        match self {
            Self::Work(work) => Ok(work),
            _ => Err(ClientError::UnexpectedResponse { asked: "wait" }),
        }
    }

    /// The status of a node.
    ///
    /// # Errors
    /// [`ClientError::UnexpectedResponse`] when the reply belongs to another call; a refusal where the call can be
    /// refused.
    pub fn node_status(self) -> Result<NodeStatus, ClientError> {
        match self {
            Self::NodeStatus(status) => Ok(*status),
            _ => Err(ClientError::UnexpectedResponse { asked: "status" }),
        }
    }

    /// Who leads now.
    ///
    /// # Errors
    /// [`ClientError::UnexpectedResponse`] when the reply answers another call; a refusal where the call can be refused.
    pub fn transferred(self) -> Result<NodeId, ClientError> {
        match self {
            Self::Transferred(leader) => Ok(leader),
            _ => Err(ClientError::UnexpectedResponse { asked: "transfer" }),
        }
    }

    /// Checks that the call was carried out.
    ///
    /// # Errors
    /// [`ClientError::UnexpectedResponse`] when the reply belongs to another call.
    pub fn done(self) -> Result<(), ClientError> {
        match self {
            Self::Done => Ok(()),
            _ => Err(ClientError::UnexpectedResponse { asked: "change of members" }),
        }
    }

    /// The digest of the called node's replica.
    ///
    /// # Errors
    /// [`ClientError::UnexpectedResponse`] when the reply answers another call.
    pub fn digest(self) -> Result<DigestAt, ClientError> {
        match self {
            Self::Digest(digest) => Ok(digest),
            _ => Err(ClientError::UnexpectedResponse { asked: "digest" }),
        }
    }

    /// All replicas at one entry of the log.
    ///
    /// # Errors
    /// [`ClientError::UnexpectedResponse`] when the reply answers another call.
    pub fn checked(self) -> Result<ReplicaCheck, ClientError> {
        match self {
            Self::Checked(check) => Ok(check),
            _ => Err(ClientError::UnexpectedResponse { asked: "check of the replicas" }),
        }
    }

    /// The names that have an account.
    ///
    /// # Errors
    /// [`ClientError::UnexpectedResponse`] when the reply answers another call; a refusal where the call can be refused.
    pub fn resolved(self) -> Result<Vec<(String, UserId)>, ClientError> {
        match self {
            Self::Resolved(accounts) => Ok(accounts),
            _ => Err(ClientError::UnexpectedResponse { asked: "look-up of names" }),
        }
    }

    /// The sources of a node.
    ///
    /// # Errors
    /// [`ClientError::UnexpectedResponse`] when the reply belongs to another call.
    pub fn sources(self) -> Result<Vec<SourceStatus>, ClientError> {
        match self {
            Self::Sources(sources) => Ok(sources),
            _ => Err(ClientError::UnexpectedResponse { asked: "question for sources" }),
        }
    }
}
