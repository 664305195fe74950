//! Who may look at the monitor, and who may act through it.
//!
//! A browser shows any page that its user visits to scripts of that page only. Two tricks get around that: a page that
//! sends requests elsewhere (cross-site requests), and a name that first leads to the page's server and then to this
//! node (DNS rebinding). So every call must name a host that can only be this node, and an action must come from a
//! page of this node, with a token that a foreign page does not have.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use super::{Monitor, MonitorSettings};

/// Nothing from elsewhere, nothing inline, in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What goes with every answer.
const HEADERS: [(&str, &str); 7] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
];

/// The rules.
pub(super) struct Access {
    token: Option<String>,
    hosts: Vec<String>,
}

impl Access {
    pub(super) fn of(settings: MonitorSettings) -> Self {
        let hosts = settings.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { token: settings.token, hosts }
    }

    /// Whether anybody may act.
    pub(super) fn allows_actions(&self) -> bool {
        self.token.is_some()
    }

    /// Whether the call names this node by an address, or by a name that is known to be its own.
    pub(super) fn check_host(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let host = text(headers, header::HOST).map(host_of).unwrap_or_default().to_ascii_lowercase();
        let address = host.parse::<Ipv4Addr>().is_ok()
            || host
                .strip_prefix('[')
                .and_then(|h| h.strip_suffix(']'))
                .is_some_and(|h| h.parse::<Ipv6Addr>().is_ok());
        if address || host == "localhost" || host.ends_with(".localhost") || self.hosts.contains(&host) {
            return Ok(());
        }
        let what = "this name is not known to be this node's, so it may be a trick of a foreign page; call the node by \
                    its address, or by the name that it has in --peers or --http";
        Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, what))
    }

    /// Whether the call may change something.
    pub(super) fn check_action(&self, headers: &HeaderMap) -> Result<(), Problem> {
        check_origin(headers)?;
        let Some(token) = &self.token else {
            let what = "actions are off; start the node with --monitor-token TOKEN (or TWM_MONITOR_TOKEN), or use twm-ctl";
            return Err(Problem::new(StatusCode::FORBIDDEN, what));
        };
        let given = text(headers, header::AUTHORIZATION).and_then(|value| value.split_once(' '));
        let given =
            given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        let Some(given) = given else {
            let what =
                "an action needs the header `Authorization: Bearer TOKEN` with the node's --monitor-token";
            return Err(Problem::new(StatusCode::UNAUTHORIZED, what));
        };
        if !bool::from(given.as_bytes().ct_eq(token.as_bytes())) {
            return Err(Problem::new(StatusCode::UNAUTHORIZED, "the token is not that of --monitor-token"));
        }
        Ok(())
    }
}

/// Whether a browser sent the call from a page of this node. Programs that are no browsers say nothing of that.
fn check_origin(headers: &HeaderMap) -> Result<(), Problem> {
    let own_site = match text(headers, HeaderName::from_static("sec-fetch-site")) {
        None | Some("same-origin" | "none") => true,
        Some(_) => false,
    };
    let own_origin = match headers.contains_key(header::ORIGIN) {
        false => true,
        true => {
            let origin = text(headers, header::ORIGIN).and_then(|origin| origin.split_once("://"));
            origin.is_some_and(|(_, host)| Some(host) == text(headers, header::HOST))
        }
    };
    if own_site && own_origin {
        return Ok(());
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "an action can come from a page of this node only"))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// A host without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Lets only calls through that name this node.
pub(super) async fn guard(State(monitor): State<Monitor>, request: Request, next: Next) -> Response {
    match monitor.inner.access.check_host(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Tells browsers what the pages do not need.
pub(crate) async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(named: &[(&'static str, &'static str)]) -> HeaderMap {
        named
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn access() -> Access {
        let hosts = vec!["Node1.Example.org".to_owned()];
        Access::of(MonitorSettings { token: Some("correct horse".to_owned()), hosts, indexer: None })
    }

    #[test]
    fn only_names_that_can_be_no_others_lead_to_the_node() {
        for host in
            ["127.0.0.1:9898", "[::1]:9898", "[::1]", "localhost:1", "x.localhost", "node1.example.org:9898"]
        {
            assert!(access().check_host(&headers(&[("host", host)])).is_ok(), "{host}");
        }
        for host in
            ["evil.example", "evil.example:9898", "127.0.0.1.evil.example", "", "node1.example.org.evil"]
        {
            assert!(access().check_host(&headers(&[("host", host)])).is_err(), "{host}");
        }
        assert!(access().check_host(&HeaderMap::new()).is_err());
    }

    #[test]
    fn an_action_needs_the_token_and_a_page_of_this_node() {
        let (host, token) = (("host", "127.0.0.1:1"), ("authorization", "Bearer correct horse"));
        let own = ("origin", "http://127.0.0.1:1");
        for good in [&[host, token][..], &[host, token, own, ("sec-fetch-site", "same-origin")]] {
            assert!(access().check_action(&headers(good)).is_ok(), "{good:?}");
        }
        for bad in [
            &[host][..],
            &[host, ("authorization", "Bearer correct hors")],
            &[host, ("authorization", "Basic correct horse")],
            &[host, token, ("origin", "http://evil.example")],
            &[host, token, ("origin", "http://127.0.0.1:2")],
            &[host, token, ("origin", "null")],
            &[host, token, ("sec-fetch-site", "cross-site")],
            &[host, token, ("sec-fetch-site", "same-site")],
        ] {
            assert!(access().check_action(&headers(bad)).is_err(), "{bad:?}");
        }
    }
}
