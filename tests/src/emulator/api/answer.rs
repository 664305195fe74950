//! Responses in the wording of the API.

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::json;

use crate::emulator::body::Parts;

/// A version of the API, by the first part of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V1_1,
}

impl Version {
    /// The version and the rest of a path.
    pub fn split(path: &str) -> Option<(Self, &str)> {
        let v1 = path.strip_prefix("/1/").map(|rest| (Self::V1, rest));
        v1.or_else(|| path.strip_prefix("/1.1/").map(|rest| (Self::V1_1, rest)))
    }
}

/// An error response with the code and message of the API (v1.1, "Error codes & responses").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    pub status: StatusCode,
    code: u16,
    message: &'static str,
}

impl Refusal {
    pub const NOT_AUTHORIZED: Self = Self::new(StatusCode::UNAUTHORIZED, 179, "Not authorized");
    pub const NO_SUCH_PAGE: Self = Self::new(StatusCode::NOT_FOUND, 34, "Sorry, that page does not exist");
    pub const NO_SUCH_USER: Self = Self::new(StatusCode::NOT_FOUND, 50, "User not found.");
    pub const SUSPENDED: Self = Self::new(StatusCode::FORBIDDEN, 63, "User has been suspended.");
    pub const NO_ACCOUNT_NAMED: Self =
        Self::new(StatusCode::BAD_REQUEST, 25, "Query parameters are missing.");
    pub const BAD_PARAMETER: Self = Self::new(StatusCode::BAD_REQUEST, 44, "A parameter is invalid.");
    pub const TOO_MANY: Self = Self::new(StatusCode::FORBIDDEN, 18, "Too many terms specified in query.");
    pub const WRONG_METHOD: Self =
        Self::new(StatusCode::METHOD_NOT_ALLOWED, 86, "This method requires a GET or POST.");
    pub const BODY_TOO_LARGE: Self =
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, 195, "Missing or invalid form parameters.");
    const fn new(status: StatusCode, code: u16, message: &'static str) -> Self {
        Self { status, code, message }
    }

    /// The response to reading an account that is gone.
    pub fn gone(status: u16) -> Self {
        match status {
            401 => Self::NOT_AUTHORIZED,
            403 => Self::SUSPENDED,
            _ => Self::NO_SUCH_PAGE,
        }
    }

    /// Out of budget.
    pub fn limited(status: StatusCode) -> Self {
        Self::new(status, 88, "Rate limit exceeded")
    }

    pub fn body(&self, version: Version, path: &str) -> Bytes {
        let body = match version {
            Version::V1 => json!({"request": path, "error": self.message}),
            Version::V1_1 => json!({"errors": [{"code": self.code, "message": self.message}]}),
        };
        body.to_string().into()
    }
}

/// The body of a successful response, or the error response.
pub(super) type Answer = Result<Parts, Refusal>;
