//! The double of the X API: what it answers, and what it charges.

mod answers;
mod billing;
mod fields;
mod money;
mod source;

use http_body_util::{BodyExt, Empty};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use twm_tests::emulator::SyntheticOptions;
use twm_tests::emulator::x::{XBuilder, XEmulator};

use super::client::{DEADLINE, Reply};

/// A double of 60 accounts with an app `one` whose token is `first`, and `two` with `second`.
fn double() -> XBuilder {
    let options =
        SyntheticOptions { tweets_mean: 40.0, followers_mean: 20.0, ..SyntheticOptions::new(60, 11) };
    XEmulator::builder(options).app("one", "first").app("two", "second")
}

async fn try_ask(double: &XEmulator, token: &str, path: &str) -> anyhow::Result<Reply> {
    let uri: Uri = format!("{}{path}", double.url()).parse()?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let exchange = async {
        let stream = TcpStream::connect(&authority).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::get(path)
            .header("host", &authority)
            .header("authorization", format!("Bearer {token}"))
            .body(Empty::<bytes::Bytes>::new())?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body })
    };
    timeout(DEADLINE, exchange).await?
}

async fn ask(double: &XEmulator, path: &str) -> Reply {
    try_ask(double, "first", path).await.unwrap()
}

async fn json(double: &XEmulator, path: &str) -> Value {
    let reply = ask(double, path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.json());
    reply.json()
}

/// The objects of all pages, and how many each page had.
async fn pages(double: &XEmulator, path: &str) -> (Vec<Value>, Vec<usize>) {
    let (mut objects, mut sizes, mut next) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = json(double, &format!("{path}{next}")).await;
        let data = page["data"].as_array().cloned().unwrap_or_default();
        assert_eq!(page["meta"]["result_count"], data.len());
        sizes.push(data.len());
        objects.extend(data);
        match page["meta"]["next_token"].as_str() {
            Some(token) => next = format!("&pagination_token={token}"),
            None => return (objects, sizes),
        }
    }
}

fn ids(objects: &[Value]) -> Vec<u64> {
    objects.iter().map(|object| object["id"].as_str().unwrap().parse().unwrap()).collect()
}

/// The account with the most posts.
fn prolific(double: &XEmulator) -> u64 {
    double.users(0, 60).into_iter().max_by_key(|user| double.expected_posts(*user).len()).unwrap()
}
