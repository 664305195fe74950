//! `/_emulator/`: queries and settings for tests while the emulator runs. Not counted, not rate limited.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use serde::Serialize;

use super::query::Query;
use super::{Api, collect, response};
use crate::emulator::FaultRule;
use crate::emulator::body::Body;
use crate::emulator::world::Accounts;

/// Ids per chunk of a long list.
const PIECE: u64 = 10_000;

impl Api {
    pub(super) async fn control(&self, action: &str, request: Request<Incoming>) -> Response<Body> {
        let post = request.method() == Method::POST;
        match (action, post) {
            ("stats", false) => to_json(&self.ledger.stats()),
            ("reset", true) => {
                self.ledger.reset();
                done()
            }
            ("faults", false) => to_json(&self.injector.rules()),
            ("faults", true) => self.set_faults(request).await,
            ("users", false) => self.users(&Query::read(request.uri().query(), &[])),
            (_, false) => self.account(action),
            _ => nothing_there(),
        }
    }

    async fn set_faults(&self, request: Request<Incoming>) -> Response<Body> {
        let Ok(body) = collect(request.into_body()).await else {
            return problem(StatusCode::PAYLOAD_TOO_LARGE, "the rules do not fit a mebibyte".into());
        };
        let rules = serde_json::from_slice::<Vec<FaultRule>>(&body).map_err(|error| error.to_string());
        match rules.and_then(|rules| self.injector.set(rules)) {
            Ok(()) => done(),
            Err(reason) => problem(StatusCode::BAD_REQUEST, reason),
        }
    }

    fn users(&self, query: &Query) -> Response<Body> {
        let (Ok(offset), Ok(limit)) = (query.number("offset"), query.number("limit")) else {
            return problem(StatusCode::BAD_REQUEST, "offset and limit are numbers".into());
        };
        let offset = offset.unwrap_or(0);
        let end = limit.map_or(u64::MAX, |limit| offset.saturating_add(limit)).min(self.accounts.count());
        lines(Arc::clone(&self.accounts), offset..end, |accounts, piece| {
            piece.filter_map(|position| accounts.at(position)).collect()
        })
    }

    /// `expected/timeline/ID`, `expected/followers/ID` and `profile/ID`.
    fn account(&self, action: &str) -> Response<Body> {
        let parsed = action.rsplit_once('/').and_then(|(what, id)| Some((what, id.parse().ok()?)));
        let Some((what, id)) = parsed else { return nothing_there() };
        let accounts = Arc::clone(&self.accounts);
        if !accounts.lists(id) {
            return nothing_there();
        }
        match what {
            "expected/timeline" => {
                let ids = accounts.timeline_ids(id);
                lines(accounts, 0..ids.len() as u64, move |_, piece| {
                    piece.filter_map(|position| ids.get(position as usize).copied()).collect()
                })
            }
            "expected/followers" => {
                let total = accounts.follower_count(id);
                lines(accounts, 0..total, move |accounts, piece| {
                    let mut ids = Vec::new();
                    accounts.followers(id, piece.start, (piece.end - piece.start) as usize, &mut ids);
                    ids
                })
            }
            "profile" => match accounts.profile(id) {
                Some(profile) => response::json(StatusCode::OK, profile.into()),
                None => nothing_there(),
            },
            _ => nothing_there(),
        }
    }
}

/// A long list of ids, one per line, computed in chunks.
fn lines(
    accounts: Arc<Accounts>,
    range: Range<u64>,
    ids: impl Fn(&Accounts, Range<u64>) -> Vec<u64> + Send + 'static,
) -> Response<Body> {
    let starts = stream::iter(range.clone().step_by(PIECE as usize));
    let piece = move |start: u64| {
        let ids = ids(&accounts, start..(start + PIECE).min(range.end));
        Ok(Bytes::from(ids.iter().map(|id| format!("{id}\n")).collect::<String>()))
    };
    response::text(StatusCode::OK, Body::stream(None, starts.map(piece)))
}

fn to_json(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(body) => response::json(StatusCode::OK, Bytes::from(body).into()),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn done() -> Response<Body> {
    response::json(StatusCode::OK, Bytes::from_static(b"{}").into())
}

fn nothing_there() -> Response<Body> {
    problem(StatusCode::NOT_FOUND, "no such account or action".into())
}

fn problem(status: StatusCode, reason: String) -> Response<Body> {
    response::text(status, Bytes::from(reason).into())
}
