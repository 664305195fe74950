//! Parses requests and answers them.

mod answer;
mod call;
mod control;
mod pages;
mod query;
mod response;

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};

use super::body::{Body, join};
use super::connection::ResetSwitch;
use super::faults::{Delivery, Fault, Injector, Target, deliver, mangle};
use super::ledger::Ledger;
use super::limits::Allowance;
use super::world::{Accounts, TimelinePage};
use super::{Endpoint, HeaderSpelling};
use answer::{Answer, Refusal, Version};
use call::Call;
use query::Query;

/// Maximum size of a form or of fault rules, in bytes.
const LARGEST_REQUEST: usize = 1 << 20;

/// Breaks the connection instead of sending a response.
#[derive(Debug, thiserror::Error)]
#[error("the connection is broken on purpose")]
pub(super) struct Broken;

/// Who asks.
pub(super) struct Client {
    pub address: IpAddr,
    pub reset: ResetSwitch,
}

/// Shared state for answering requests.
pub(super) struct Api {
    pub accounts: Arc<Accounts>,
    pub ledger: Arc<Ledger>,
    pub injector: Injector,
    /// Maximum followers on a page.
    pub page_size: usize,
    pub headers: HeaderSpelling,
    /// Status of a response beyond the budget.
    pub limited_status: StatusCode,
    /// Whether such a response has `Retry-After`.
    pub retry_after: bool,
}

/// The properties of a request that determine the form of the response.
#[derive(Clone, Copy)]
struct Route<'a> {
    version: Version,
    endpoint: Endpoint,
    path: &'a str,
}

impl Api {
    /// Answers a request.
    pub async fn answer(
        &self,
        client: &Client,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Broken> {
        let path = request.uri().path().to_owned();
        if let Some(action) = path.strip_prefix("/_emulator/") {
            return Ok(self.control(action, request).await);
        }
        let in_flight = self.ledger.enter();
        let route = Version::split(&path).and_then(|(version, rest)| {
            let endpoint = Endpoint::ALL.into_iter().find(|endpoint| endpoint.path() == rest)?;
            Some(Route { version, endpoint, path: &path })
        });
        let Some(route) = route else {
            self.ledger.count_unserved();
            let body = Refusal::NO_SUCH_PAGE.body(Version::V1_1, &path);
            return Ok(response::json(StatusCode::NOT_FOUND, body.into()));
        };
        let response = self.serve(client, route, request).await?;
        self.ledger.count_status(response.status().as_u16());
        Ok(response.map(|body| body.hold(in_flight)))
    }

    /// Counts and charges the request, then answers it or injects a fault.
    async fn serve(
        &self,
        client: &Client,
        route: Route<'_>,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Broken> {
        let call = self.read(route.endpoint, request).await;
        let users = call.as_ref().map_or(&[][..], Call::users);
        let allowance = self.ledger.charge(client.address, route.endpoint, users);
        if let Some(allowance) = allowance.filter(|allowance| allowance.exhausted) {
            return Ok(self.limited(route, &allowance));
        }
        let target = Target { endpoint: route.endpoint, address: client.address, users };
        let verdict = self.injector.judge(&target);
        if !verdict.latency.is_zero() {
            self.ledger.count_fault(Fault::LatencyMs(0).name());
            tokio::time::sleep(verdict.latency).await;
        }
        if let Some(fault) = verdict.fault {
            self.ledger.count_fault(fault.name());
            return self.fail(fault, client, route, call, allowance).await;
        }
        let answer = call.and_then(|call| self.perform(&call, client.address, None));
        Ok(self.respond(route, answer, allowance))
    }

    async fn read(&self, endpoint: Endpoint, request: Request<Incoming>) -> Result<Call, Refusal> {
        let allowed = match *request.method() {
            Method::GET => true,
            Method::POST => endpoint == Endpoint::Lookup,
            _ => false,
        };
        if !allowed {
            return Err(Refusal::WRONG_METHOD);
        }
        let (head, body) = request.into_parts();
        let form = if head.method == Method::POST { collect(body).await? } else { Bytes::new() };
        let query = Query::read(head.uri.query(), &form);
        Call::read(endpoint, &query, &self.accounts, self.page_size)
    }

    /// The successful response to a call; a fault can change the page or its cursor.
    fn perform(&self, call: &Call, address: IpAddr, fault: Option<Fault>) -> Answer {
        let accounts = &self.accounts;
        match call {
            Call::Timeline { user, page } => {
                let max = page.max.filter(|_| fault != Some(Fault::Looping));
                pages::timeline(accounts, *user, TimelinePage { max, ..*page })
            }
            Call::Followers { user, offset, count, as_text } => {
                pages::followers(accounts, *user, *offset, *count, *as_text, fault)
            }
            Call::Lookup { users } => pages::lookup(accounts, users),
            Call::Show { user } => pages::show(accounts, *user),
            Call::Limits => pages::limits(&self.ledger.allowances(address)),
        }
    }

    fn respond(&self, route: Route<'_>, answer: Answer, allowance: Option<Allowance>) -> Response<Body> {
        let mut response = match answer {
            Ok(parts) => response::json(StatusCode::OK, Body::ready(parts)),
            Err(refusal) => response::json(refusal.status, refusal.body(route.version, route.path).into()),
        };
        self.add_limits(&mut response, route, allowance);
        response
    }

    fn limited(&self, route: Route<'_>, allowance: &Allowance) -> Response<Body> {
        let refusal = Refusal::limited(self.limited_status);
        let mut response = self.respond(route, Err(refusal), Some(*allowance));
        if self.retry_after {
            response::set_retry_after(&mut response, allowance.reset_in);
        }
        response
    }

    fn add_limits(&self, response: &mut Response<Body>, route: Route<'_>, allowance: Option<Allowance>) {
        let Some(allowance) = allowance else { return };
        let old = match self.headers {
            HeaderSpelling::ByPath => route.version == Version::V1,
            HeaderSpelling::V1 => true,
            HeaderSpelling::V1_1 => false,
        };
        response::set_limits(response, old, &allowance);
    }

    /// Answers with a fault.
    async fn fail(
        &self,
        fault: Fault,
        client: &Client,
        route: Route<'_>,
        call: Result<Call, Refusal>,
        allowance: Option<Allowance>,
    ) -> Result<Response<Body>, Broken> {
        match fault {
            Fault::Reset => {
                client.reset.pull();
                return Err(Broken);
            }
            Fault::Hang => return pending().await,
            Fault::Status(status) => return Ok(response::front_end_error(status)),
            Fault::Bare429 | Fault::RetryAfter(_) => {
                let refusal = Refusal::limited(StatusCode::TOO_MANY_REQUESTS);
                let mut response = self.respond(route, Err(refusal), None);
                if let Fault::RetryAfter(seconds) = fault {
                    response::set_retry_after(&mut response, seconds.into());
                }
                return Ok(response);
            }
            _ => {}
        }
        let answer = call.and_then(|call| self.perform(&call, client.address, Some(fault)));
        let parts = match answer {
            Ok(parts) => parts,
            Err(refusal) => return Ok(self.respond(route, Err(refusal), allowance)),
        };
        let mangled = mangle(fault, join(parts)).map_err(std::io::Error::from);
        match mangled.and_then(|body| deliver(fault, body, &client.reset)) {
            Ok(Delivery { body, gzip }) => {
                let mut response = response::json(StatusCode::OK, body);
                if gzip {
                    response::set_gzip(&mut response);
                }
                match fault {
                    Fault::LimitNonsense => response::set_limit_nonsense(&mut response),
                    _ => self.add_limits(&mut response, route, allowance),
                }
                Ok(response)
            }
            Err(error) => {
                tracing::error!(%error, fault = fault.name(), path = route.path, "the fault cannot be made");
                Ok(response::front_end_error(500))
            }
        }
    }
}

/// The whole body of a request, if it does not exceed the maximum size.
async fn collect(body: Incoming) -> Result<Bytes, Refusal> {
    match Limited::new(body, LARGEST_REQUEST).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(_) => Err(Refusal::BODY_TOO_LARGE),
    }
}
