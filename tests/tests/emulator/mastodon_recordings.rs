//! The double of the Mastodon API beside recordings of real servers.
//!
//! The recordings are those of Mastodon.py; `ops/require` fetches them. Only those of Mastodon 4.7 are compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;
use twm_tests::emulator::mastodon::{Fediverse, FediverseOptions, Limits};

use super::client::{Reply, try_get_with};

/// Headers that only a server under development sends.
const DEVELOPMENT: [&str; 1] = ["server-timing"];

/// One exchange with a real server.
#[derive(Deserialize)]
struct Recording {
    folder: String,
    method: String,
    uri: String,
    status: u16,
    headers: BTreeMap<String, Vec<String>>,
    body: String,
}

/// The recordings of Mastodon 4.7 on one machine.
fn recordings() -> Vec<Recording> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../.cache/tools/mastodon-recordings-2.3.3/recordings.jsonl");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| {
        panic!("{}: {error}; ops/require fetches it (require_mastodon_recordings)", file.display())
    });
    let all: Vec<Recording> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let here = |recording: &Recording| {
        recording.folder == "cassettes" && recording.uri.starts_with("http://localhost:3000/")
    };
    all.into_iter().filter(here).collect()
}

/// For each field, how often it is there and of which types.
#[derive(Default)]
struct Shape {
    objects: usize,
    fields: BTreeMap<String, (usize, BTreeSet<&'static str>)>,
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

impl Shape {
    fn add(&mut self, object: &serde_json::Map<String, Value>) {
        self.objects += 1;
        for (name, value) in object {
            let (times, types) = self.fields.entry(name.clone()).or_default();
            *times += 1;
            types.insert(type_of(value));
        }
    }

    /// What the double's objects have that the recorded ones do not, and the other way round.
    fn differences(&self, double: &Self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, (times, _)) in &self.fields {
            let there = double.fields.get(name).map_or(0, |(times, _)| *times);
            if *times == self.objects && there != double.objects {
                wrong.push(format!("{name} is always there, in {there} of {} here", double.objects));
            }
        }
        for (name, (_, types)) in &double.fields {
            match self.fields.get(name) {
                None => wrong.push(format!("{name} was never recorded")),
                Some((_, recorded)) if !types.is_subset(recorded) => {
                    wrong.push(format!("{name} is {types:?}, recorded {recorded:?}"));
                }
                Some(_) => {}
            }
        }
        wrong
    }
}

/// The kinds of objects that are compared.
#[derive(Default)]
struct Shapes {
    account: Shape,
    status: Shape,
}

impl Shapes {
    fn add(&mut self, value: &Value) {
        match value {
            Value::Object(object) => {
                let has = |names: &[&str]| names.iter().all(|name| object.contains_key(*name));
                if has(&["acct", "username", "followers_count"]) {
                    self.account.add(object);
                }
                if has(&["visibility", "account", "reblog", "content"]) {
                    self.status.add(object);
                }
                object.values().for_each(|value| self.add(value));
            }
            Value::Array(values) => values.iter().for_each(|value| self.add(value)),
            _ => {}
        }
    }
}

async fn ask(fediverse: &Fediverse, path: &str) -> Reply {
    let bearer = format!("Bearer {}", Fediverse::token(1));
    let headers = [("host", "h1.test"), ("authorization", bearer.as_str())];
    try_get_with(&format!("{}{path}", fediverse.url()), &headers).await.unwrap()
}

/// A double, and the id of an account with more than one page of posts and of followers.
async fn double() -> (Fediverse, String) {
    let options = FediverseOptions {
        limits: Some(Limits::default()),
        celebrity: Some(100),
        ..FediverseOptions::new(3, 60, 2)
    };
    let fediverse = Fediverse::start(options).await.unwrap();
    let name = fediverse.accounts()[0].split('@').next().unwrap().to_owned();
    let account = ask(&fediverse, &format!("/api/v1/accounts/lookup?acct={name}")).await.json();
    (fediverse, account["id"].as_str().unwrap().to_owned())
}

/// Whether a recording is a good answer to one of the calls that a crawl makes.
fn is_of_a_crawl(recording: &Recording) -> bool {
    let path = recording.uri.trim_start_matches("http://localhost:3000").split('?').next().unwrap();
    let account = path.strip_prefix("/api/v1/accounts");
    let calls = ["", "lookup", "ID", "ID/statuses", "ID/followers"];
    let call = account.map(|rest| {
        let parts = rest.split('/').filter(|part| !part.is_empty());
        let parts = parts.map(|part| if part.parse::<u64>().is_ok() { "ID" } else { part });
        parts.collect::<Vec<_>>().join("/")
    });
    recording.method == "GET"
        && recording.status == 200
        && call.is_some_and(|call| calls.contains(&call.as_str()))
}

#[tokio::test]
async fn accounts_and_posts_have_the_fields_of_recorded_ones() {
    let mut recorded = Shapes::default();
    // Of all calls: a repeated post was recorded as the answer to its repetition.
    for recording in recordings().iter().filter(|recording| recording.status == 200) {
        if let Ok(body) = serde_json::from_str(&recording.body) {
            recorded.add(&body);
        }
    }
    assert!(recorded.account.objects > 400 && recorded.status.objects > 200, "{}", recorded.account.objects);
    let (fediverse, id) = double().await;
    let mut here = Shapes::default();
    for path in ["statuses", "followers"] {
        here.add(&ask(&fediverse, &format!("/api/v1/accounts/{id}/{path}?limit=80")).await.json());
    }
    here.add(&ask(&fediverse, &format!("/api/v1/accounts?id[]={id}")).await.json());
    let found = (here.account.objects, here.status.objects);
    assert!(found.0 > 80 && found.1 > 10, "{found:?}");
    assert_eq!(recorded.account.differences(&here.account), Vec::<String>::new());
    assert_eq!(recorded.status.differences(&here.status), Vec::<String>::new());
}

#[tokio::test]
async fn headers_are_those_of_recorded_answers() {
    let recordings: Vec<Recording> = recordings().into_iter().filter(is_of_a_crawl).collect();
    assert!(recordings.len() > 15, "{}", recordings.len());
    let mut always: BTreeSet<String> = recordings[0].headers.keys().cloned().collect();
    always.retain(|name| recordings.iter().all(|recording| recording.headers.contains_key(name)));
    let (fediverse, id) = double().await;
    let reply = ask(&fediverse, &format!("/api/v1/accounts/{id}")).await;
    let missing: Vec<&String> = always
        .iter()
        .filter(|name| !DEVELOPMENT.contains(&name.as_str()) && reply.header(name).is_none())
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    for name in ["content-type", "cache-control", "vary", "x-ratelimit-limit"] {
        assert_eq!(reply.header(name), Some(recordings[0].headers[name][0].as_str()), "{name}");
    }
    // Digits apart, a reset is spelled alike.
    let form =
        |text: &str| text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect::<String>();
    for recording in &recordings {
        let reset = &recording.headers["x-ratelimit-reset"][0];
        assert_eq!(form(reset), form(reply.header("x-ratelimit-reset").unwrap()));
        // Windows end at whole multiples of five minutes, to which the fraction of the moment is added.
        assert!(["0:00.", "5:00."].iter().any(|end| reset[15..].starts_with(end)), "{reset}");
    }
}

#[tokio::test]
async fn links_are_spelled_as_recorded_ones() {
    let (fediverse, id) = double().await;
    // Names and values that differ from server to server are replaced.
    let form = |link: &str| {
        let link = link.replace("http://localhost:3000", "HOST").replace("https://h1.test", "HOST");
        let mut text = String::new();
        for c in link.chars() {
            match c {
                '0'..='9' if text.ends_with('#') => {}
                '0'..='9' => text.push('#'),
                other => text.push(other),
            }
        }
        text
    };
    let pages = recordings().into_iter().filter(is_of_a_crawl);
    let links: BTreeSet<String> = pages
        .filter(|recording| recording.uri.ends_with("statuses?limit=5"))
        .map(|recording| form(&recording.headers["link"][0]))
        .collect();
    assert_eq!(links.len(), 1, "{links:?}");
    let reply = ask(&fediverse, &format!("/api/v1/accounts/{id}/statuses?limit=5")).await;
    assert_eq!(links.first(), Some(&form(reply.header("link").unwrap())));
}

#[tokio::test]
async fn errors_are_worded_as_recorded_ones() {
    let (fediverse, _) = double().await;
    let errors: BTreeSet<(u16, String)> = recordings()
        .into_iter()
        .filter(|recording| recording.method == "GET" && recording.status >= 400)
        .map(|recording| (recording.status, recording.body))
        .collect();
    let unknown = ask(&fediverse, "/api/v1/accounts/lookup?acct=nobody").await;
    let headers = [("host", "h1.test"), ("authorization", "Bearer wrong")];
    let url = format!("{}/api/v1/accounts/1", fediverse.url());
    let wrong = try_get_with(&url, &headers).await.unwrap();
    for reply in [unknown, wrong] {
        let body = String::from_utf8(reply.body.to_vec()).unwrap();
        assert!(errors.contains(&(reply.status, body.clone())), "{} {body}", reply.status);
    }
}

#[tokio::test]
async fn the_description_of_an_instance_has_the_recorded_fields() {
    let (fediverse, _) = double().await;
    for (path, uri) in [("/api/v2/instance", "/api/v2/instance/"), ("/nodeinfo/2.0", "/nodeinfo/2.0")] {
        let mut recorded = Shape::default();
        let wanted = format!("http://localhost:3000{uri}");
        for recording in recordings().iter().filter(|recording| recording.uri == wanted) {
            let body: Value = serde_json::from_str(&recording.body).unwrap();
            recorded.add(body.as_object().unwrap());
        }
        let mut here = Shape::default();
        here.add(ask(&fediverse, path).await.json().as_object().unwrap());
        assert!(recorded.objects > 0);
        assert_eq!(recorded.differences(&here), Vec::<String>::new(), "{path}");
    }
}
