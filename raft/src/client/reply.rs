//! What a call was answered, as the type that it asked for.

use storage::ids::UserId;

use super::ClientError;
use crate::model::{Answer, NodeId, NodeStatus, ReportAnswer, Response, SessionOpened};
use crate::wire::{ApiError, ApiReply};

impl ApiReply {
    /// What became of a mutation. A refusal is an error.
    pub(crate) fn mutated(self) -> Result<Response, ClientError> {
        match self {
            Self::Mutated(Response::Refused(refusal)) => Err(ClientError::Api(ApiError::Refused(refusal))),
            Self::Mutated(response) => Ok(response),
            _ => Err(ClientError::Confused { asked: "mutation" }),
        }
    }

    pub(crate) fn opened(self) -> Result<SessionOpened, ClientError> {
        match self.mutated()? {
            Response::SessionOpened(opened) => Ok(opened),
            _ => Err(ClientError::Confused { asked: "session" }),
        }
    }

    pub(crate) fn reported(self) -> Result<ReportAnswer, ClientError> {
        match self.mutated()? {
            Response::Report(answer) => Ok(answer),
            _ => Err(ClientError::Confused { asked: "report" }),
        }
    }

    pub(crate) fn answer(self) -> Result<Answer, ClientError> {
        match self {
            Self::Answer(answer) => Ok(*answer),
            _ => Err(ClientError::Confused { asked: "query" }),
        }
    }

    pub(crate) fn work(self) -> Result<bool, ClientError> {
        match self {
            Self::Work(work) => Ok(work),
            _ => Err(ClientError::Confused { asked: "wait" }),
        }
    }

    pub(crate) fn node_status(self) -> Result<NodeStatus, ClientError> {
        match self {
            Self::NodeStatus(status) => Ok(*status),
            _ => Err(ClientError::Confused { asked: "status" }),
        }
    }

    pub(crate) fn transferred(self) -> Result<NodeId, ClientError> {
        match self {
            Self::Transferred(leader) => Ok(leader),
            _ => Err(ClientError::Confused { asked: "transfer" }),
        }
    }

    pub(crate) fn resolved(self) -> Result<Vec<(String, UserId)>, ClientError> {
        match self {
            Self::Resolved(accounts) => Ok(accounts),
            _ => Err(ClientError::Confused { asked: "look-up of names" }),
        }
    }
}
