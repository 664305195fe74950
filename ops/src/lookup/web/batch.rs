//! Many profiles in one request.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Lookup, Refusal, json_body, json_bytes};
use crate::lookup::profile::{self, LONGEST_KEY};
use crate::lookup::store::{Profiles, StoreError};

/// Most ids and names in one request.
const MOST: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    ids: Vec<Value>,
    #[serde(default)]
    names: Vec<String>,
}

#[derive(Default, Serialize)]
struct Answer {
    profiles: Vec<Box<RawValue>>,
    missing: Missing,
}

#[derive(Default, Serialize)]
struct Missing {
    ids: Vec<String>,
    names: Vec<String>,
}

/// Returns the profiles of ids, then those of names, each in the order of the request, and lists the missing ones.
pub(super) async fn answer(
    State(lookup): State<Lookup>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Refusal> {
    let body = json_body(&headers, body)?;
    let wanted: Wanted = serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad(format!("expected {{\"ids\": [...], \"names\": [...]}}: {error}")))?;
    if wanted.ids.len() + wanted.names.len() > MOST {
        return Err(Refusal::bad(format!("at most {MOST} ids and names together")));
    }
    let ids: Option<Vec<String>> = wanted.ids.iter().map(profile::id).collect();
    let ids =
        ids.ok_or_else(|| Refusal::bad(format!("an id is a number or a text of 1 to {LONGEST_KEY} bytes")))?;
    if wanted.names.iter().any(|name| name.len() > LONGEST_KEY) {
        return Err(Refusal::bad(format!("a name has at most {LONGEST_KEY} bytes")));
    }
    let names = wanted.names;
    let answer = lookup.on_disk(move |profiles| look_up(profiles, ids, names)).await?;
    Ok(json_bytes(serde_json::to_vec(&answer).map_err(Refusal::bad)?))
}

fn look_up(profiles: &Profiles, ids: Vec<String>, names: Vec<String>) -> Result<Answer, StoreError> {
    let mut answer = Answer::default();
    for id in ids {
        match raw(profiles.by_id(&id)?) {
            Some(profile) => answer.profiles.push(profile),
            None => answer.missing.ids.push(id),
        }
    }
    for name in names {
        match raw(profiles.by_name(&name)?) {
            Some(profile) => answer.profiles.push(profile),
            None => answer.missing.names.push(name),
        }
    }
    Ok(answer)
}

/// A stored profile was checked when it arrived.
fn raw(profile: Option<Vec<u8>>) -> Option<Box<RawValue>> {
    RawValue::from_string(String::from_utf8(profile?).ok()?).ok()
}
