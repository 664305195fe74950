//! Errors in the wording of the API.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::wording::Wording;

/// An answer that is an error as a whole.
#[derive(Debug)]
pub(super) struct Refusal {
    pub status: StatusCode,
    pub body: Value,
}

/// The address of a problem's type on one of the two hosts that the API has used.
pub(super) fn kind(host: &str, name: &str) -> String {
    format!("https://{host}/2/problems/{name}")
}

impl Refusal {
    fn new(status: StatusCode, kind: &str, title: &str, detail: &str) -> Self {
        let body = json!({"title": title, "type": kind, "detail": detail, "status": status.as_u16()});
        Self { status, body }
    }

    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "about:blank", "Unauthorized", "Unauthorized")
    }

    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "about:blank", "Not Found", "Not Found")
    }

    pub fn too_many_requests() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "about:blank", "Too Many Requests", "Too Many Requests")
    }

    pub fn unavailable() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "about:blank",
            "Service Unavailable",
            "Service Unavailable",
        )
    }

    pub fn forbidden(host: &str) -> Self {
        let detail = "Your client app is not enrolled in the product that this endpoint requires.";
        let kind = kind(host, "client-forbidden");
        let mut refusal = Self::new(StatusCode::FORBIDDEN, &kind, "Client Forbidden", detail);
        refusal.body["reason"] = "client-not-enrolled".into();
        refusal
    }

    pub fn credits(host: &str) -> Self {
        let detail = "Your enrolled account does not have any credits to fulfill this request.";
        Self::new(StatusCode::PAYMENT_REQUIRED, &kind(host, "credits"), "CreditsDepleted", detail)
    }

    pub fn spend_cap(host: &str, reset_date: &str) -> Self {
        let detail = "Your enrolled account has reached its billing cycle spend cap.";
        let mut refusal = Self::new(StatusCode::FORBIDDEN, &kind(host, "credits"), "SpendCapReached", detail);
        refusal.body["reset_date"] = reset_date.into();
        refusal
    }

    pub fn usage_cap(host: &str) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let (title, detail) = ("UsageCapExceeded", "Usage cap exceeded: Monthly product cap");
        let mut refusal = Self::new(status, &kind(host, "usage-capped"), title, detail);
        refusal.body["period"] = "Monthly".into();
        refusal.body["scope"] = "Product".into();
        refusal
    }

    /// A parameter is missing, unknown or out of its range. The two versions of the specification name it differently.
    pub fn invalid(host: &str, wording: Wording, parameter: &str, value: &str, what: &str) -> Self {
        let detail = "One or more parameters to your request was invalid.";
        let kind = kind(host, "invalid-request");
        let mut refusal = Self::new(StatusCode::BAD_REQUEST, &kind, "Invalid Request", detail);
        match wording {
            Wording::Tweets => {
                refusal.body["errors"] = json!([{"parameters": {parameter: [value]}, "message": what}]);
            }
            Wording::Posts => {
                refusal.body["parameter"] = parameter.into();
                refusal.body["value"] = value.into();
            }
        }
        refusal
    }
}

/// Why an object is missing, by the status that API v1.1 would send: 401 protected, 403 suspended, else not found.
pub(super) fn missing(host: &str, why: u16, resource: &str, parameter: &str, value: &str) -> Value {
    let (name, title, detail) = match why {
        401 => (
            "not-authorized-for-resource",
            "Authorization Error",
            format!("Sorry, you are not authorized to see the {resource} with {parameter}: [{value}]."),
        ),
        403 => ("resource-not-found", "Forbidden", format!("User has been suspended: [{value}].")),
        _ => (
            "resource-not-found",
            "Not Found Error",
            format!("Could not find {resource} with {parameter}: [{value}]."),
        ),
    };
    let mut problem = json!({
        "value": value, "detail": detail, "title": title, "resource_type": resource, "parameter": parameter,
        "resource_id": value, "type": kind(host, name),
    });
    if why == 401 {
        problem["section"] = "data".into();
    }
    problem
}
