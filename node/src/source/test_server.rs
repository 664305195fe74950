//! A small HTTP server for the unit tests of this crate.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use storage::env::SystemClock;
use tokio::net::TcpListener;

use crate::http_client::{ClientTls, HttpClient, HttpSettings};

/// A request as received by the server.
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    pub(crate) from: IpAddr,
}

/// Serves every request with `answer`, until the test's runtime ends. Returns the base URL.
pub(crate) async fn serve<F, Fut>(answer: F) -> String
where
    F: Fn(Seen) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Response> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let handler = move |ConnectInfo(peer): ConnectInfo<SocketAddr>,
                        method: Method,
                        uri: Uri,
                        headers: HeaderMap,
                        body: Bytes| {
        let (path, query) = (uri.path().to_owned(), uri.query().unwrap_or_default().to_owned());
        let body = String::from_utf8_lossy(&body).into_owned();
        answer.clone()(Seen { method, path, query, headers, body, from: peer.ip() })
    };
    let app = Router::new().fallback(handler).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}/1/")
}

/// Settings with short timeouts.
pub(crate) fn quick_settings() -> HttpSettings {
    HttpSettings {
        request_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_millis(300),
        body_limit: 1 << 20,
        ..HttpSettings::default()
    }
}

pub(crate) fn client(address: Option<&str>) -> HttpClient {
    let address = address.map(|address| address.parse().unwrap());
    let tls = ClientTls::new().unwrap();
    HttpClient::new(address, &quick_settings(), &tls, Arc::new(SystemClock::new())).unwrap()
}
