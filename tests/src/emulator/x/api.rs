//! Answers requests.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::apps::{Apps, Object, XFault};
use super::call::{Call, Query, Subject, write_token};
use super::expand::Page;
use super::objects;
use super::problem::Refusal;
use super::wording::Wording;
use crate::emulator::body::Body;
use crate::emulator::connection::ResetSwitch;
use crate::emulator::limits::Allowance;
use crate::emulator::world::{Accounts, Standing, TimelinePage};

/// An endpoint, the unit of rate limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum XEndpoint {
    /// `/2/users/:id/tweets`
    Posts,
    /// `/2/users/:id/followers`
    Followers,
    /// `/2/users`
    Users,
    /// `/2/users/by`
    UsersBy,
}

impl XEndpoint {
    /// The endpoint of a path, and the account that the path names.
    fn find(path: &str) -> Option<(Self, Option<&str>)> {
        let rest = path.strip_prefix("/2/users")?;
        match rest {
            "" => return Some((Self::Users, None)),
            "/by" => return Some((Self::UsersBy, None)),
            _ => {}
        }
        let (user, list) = rest.strip_prefix('/')?.split_once('/')?;
        match list {
            "tweets" => Some((Self::Posts, Some(user))),
            "followers" => Some((Self::Followers, Some(user))),
            _ => None,
        }
    }
}

/// The connection is broken instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is broken on purpose")]
pub(super) struct Broken;

/// What answers requests.
pub(super) struct Api {
    pub accounts: Arc<Accounts>,
    pub apps: Apps,
    pub wording: Wording,
    pub host: &'static str,
}

impl Api {
    pub async fn answer(
        &self,
        reset: &ResetSwitch,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Broken> {
        let Some((endpoint, user)) = XEndpoint::find(request.uri().path()) else {
            return Ok(self.refuse(Refusal::not_found(), None));
        };
        if request.method() != Method::GET {
            return Ok(self.refuse(Refusal::not_found(), None));
        }
        let token = bearer(&request);
        let (allowance, admitted) = self.apps.admit(token, endpoint);
        if let Err(refusal) = admitted {
            return Ok(self.refuse(refusal, allowance));
        }
        let fault = self.apps.next_fault();
        if fault == Some(XFault::Unavailable) {
            return Ok(self.refuse(Refusal::unavailable(), None));
        }
        let query = Query::read(request.uri().query());
        let (body, objects) = match Call::read(self.host, self.wording, endpoint, user, &query) {
            Ok(call) => self.perform(&call),
            Err(refusal) => return Ok(self.refuse(refusal, allowance)),
        };
        self.apps.charge(token, objects);
        self.deliver(fault, reset, body, allowance).await
    }

    async fn deliver(
        &self,
        fault: Option<XFault>,
        reset: &ResetSwitch,
        body: Value,
        allowance: Option<Allowance>,
    ) -> Result<Response<Body>, Broken> {
        let body = Bytes::from(body.to_string());
        match fault {
            Some(XFault::LoseAnswer) => {
                reset.pull();
                Err(Broken)
            }
            Some(XFault::Hang) => std::future::pending().await,
            Some(XFault::CutShort) => {
                let half = body.slice(..body.len() / 2);
                let half = Body::stream(Some(body.len() as u64), stream::iter([Ok(half)]));
                Ok(self.respond(StatusCode::OK, half, allowance))
            }
            Some(XFault::Unavailable) | None => Ok(self.respond(StatusCode::OK, body.into(), allowance)),
        }
    }

    fn perform(&self, call: &Call) -> (Value, Vec<Object>) {
        match &call.subject {
            Subject::Posts { .. } => self.posts(call),
            Subject::Followers { user, offset, size } => self.followers(call, *user, *offset, *size),
            Subject::Users { parameter, values } => self.users(call, parameter, values),
        }
    }

    /// An answer about an account that cannot be read: 200 with nothing but `errors`.
    fn gone(&self, call: &Call, user: u64, why: u16) -> (Value, Vec<Object>) {
        let names = self.wording.names();
        let mut page = Page::new(&self.accounts, &names, self.host, call);
        page.error(why, "user", "id", &user.to_string());
        page.finish(None)
    }

    fn posts(&self, call: &Call) -> (Value, Vec<Object>) {
        let Subject::Posts { user, since, until, size, exclude } = &call.subject else {
            return (Value::Null, Vec::new());
        };
        let user = *user;
        if let Standing::Gone(why) = self.accounts.standing(user) {
            return self.gone(call, user, why);
        }
        let names = self.wording.names();
        let max = until.map(|until| until.saturating_sub(1));
        // One more than the page has shows whether there is another page.
        let found = TimelinePage { since: *since, max, count: size + 1 };
        let mut found = objects::posts(&self.accounts, &names, user, found);
        let more = found.len() > *size;
        found.truncate(*size);
        let last = found.last().map(|(id, _)| *id);
        // What is excluded is left out after paging: pages are shorter than asked for, and go on.
        found.retain(|(id, _)| {
            let of = |kind: &str| objects::references(&self.accounts, *id).iter().any(|(k, ..)| *k == kind);
            !(exclude.contains("retweets") && of("retweeted")
                || exclude.contains("replies") && of("replied_to"))
        });
        let mut meta = json!({"result_count": found.len()});
        if let (Some((newest, _)), Some((oldest, _))) = (found.first(), found.last()) {
            meta["newest_id"] = newest.to_string().into();
            meta["oldest_id"] = oldest.to_string().into();
        }
        if let Some(last) = last.filter(|_| more) {
            meta["next_token"] = write_token('p', user, last).into();
        }
        let mut page = Page::new(&self.accounts, &names, self.host, call);
        for (id, post) in found {
            page.post(id, user, post);
        }
        page.finish(Some(meta))
    }

    fn followers(&self, call: &Call, user: u64, offset: u64, size: usize) -> (Value, Vec<Object>) {
        if let Standing::Gone(why) = self.accounts.standing(user) {
            return self.gone(call, user, why);
        }
        let names = self.wording.names();
        let mut ids = Vec::new();
        self.accounts.followers(user, offset, size, &mut ids);
        let mut page = Page::new(&self.accounts, &names, self.host, call);
        for id in ids {
            // Those that are gone are left out: the page is shorter than asked for.
            if let Some(follower) = objects::user(&self.accounts, &names, id) {
                page.user('f', id, follower);
            }
        }
        let mut meta = json!({"result_count": page.len()});
        let end = offset + size as u64;
        if end < self.accounts.follower_count(user) {
            meta["next_token"] = write_token('f', user, end).into();
        }
        page.finish(Some(meta))
    }

    fn users(&self, call: &Call, parameter: &str, values: &[String]) -> (Value, Vec<Object>) {
        let names = self.wording.names();
        let mut page = Page::new(&self.accounts, &names, self.host, call);
        for value in values {
            let id = if parameter == "ids" { value.parse().ok() } else { self.accounts.find(value) };
            let user = id.and_then(|id| Some((id, objects::user(&self.accounts, &names, id)?)));
            match (user, id.map(|id| self.accounts.standing(id))) {
                (Some((id, user)), _) => page.user('u', id, user),
                (None, Some(Standing::Gone(403))) => page.error(403, "user", parameter, value),
                (None, _) => page.error(404, "user", parameter, value),
            }
        }
        page.finish(None)
    }

    fn refuse(&self, refusal: Refusal, allowance: Option<Allowance>) -> Response<Body> {
        self.respond(refusal.status, Bytes::from(refusal.body.to_string()).into(), allowance)
    }

    fn respond(&self, status: StatusCode, body: Body, allowance: Option<Allowance>) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        if let Ok(date) = HeaderValue::from_str(&objects::http_date(self.apps.now())) {
            headers.insert(DATE, date);
        }
        if let Some(allowance) = allowance {
            let values = [
                ("x-rate-limit-limit", allowance.limit.into()),
                ("x-rate-limit-remaining", allowance.remaining.into()),
                ("x-rate-limit-reset", allowance.reset_unix),
            ];
            for (name, value) in values {
                headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
            }
        }
        response
    }
}

/// The token of a request; empty if there is none.
fn bearer(request: &Request<Incoming>) -> &str {
    let value = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    value.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
}
