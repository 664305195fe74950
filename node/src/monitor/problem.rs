//! Error answers.

use api::client::{ApiError, ClientError};
use api::model::Refusal;
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::asked::AskError;

/// An error of the API: what is wrong, and the remedy.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    text: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.text }));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                (self.status, [(header::WWW_AUTHENTICATE, "Bearer")], body).into_response()
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                (self.status, [(header::RETRY_AFTER, "1")], body).into_response()
            }
            status => (status, body).into_response(),
        }
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        match error {
            AskError::NoLeader | AskError::Silent => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
            }
            AskError::Failed(error) => error.into(),
        }
    }
}

impl From<ClientError> for Problem {
    fn from(error: ClientError) -> Self {
        let status = match &error {
            ClientError::Api(ApiError::Refused(Refusal::NoSuchCrawl(_) | Refusal::NotFailed { .. })) => {
                StatusCode::NOT_FOUND
            }
            ClientError::Api(ApiError::Refused(_)) => StatusCode::CONFLICT,
            ClientError::Api(ApiError::BadRequest(_)) => StatusCode::BAD_REQUEST,
            ClientError::Api(ApiError::Forbidden(_)) => StatusCode::FORBIDDEN,
            ClientError::Api(ApiError::Unavailable(_)) | ClientError::Unreachable { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            ClientError::UnexpectedResponse { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}
