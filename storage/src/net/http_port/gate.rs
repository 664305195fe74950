//! Access control of an HTTP port.
//!
//! A browser shows a page only to scripts of that page. Two attacks get around that: cross-site requests, and a name
//! that first resolves to the attacker's server and then to this program (DNS rebinding). Therefore every call must
//! name a host that can only be this program, and a change must come from one of its own pages. In addition a caller
//! shows a certificate of the cluster's authority or the token.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use subtle::ConstantTimeEq;
use url::{ParseError, Position, Url};

use crate::net::trust::{Identity, Role};

/// The caller on a connection to the port, for handlers: an extension of each request.
#[derive(Debug, Clone)]
pub enum HttpCaller {
    /// The port has no TLS: it is on loopback, or was opened to all on purpose.
    Plain,
    /// The port has TLS, and this is the identity in the caller's certificate, if it showed one.
    Tls(Option<Arc<Identity>>),
}

impl<S: Sync> FromRequestParts<S> for HttpCaller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(&parts.extensions))
    }
}

impl HttpCaller {
    /// The caller of a request with these extensions. Without any, the request did not come through a port,
    /// and the caller is unknown.
    pub fn of(extensions: &axum::http::Extensions) -> Self {
        extensions.get().cloned().unwrap_or(Self::Tls(None))
    }
}

/// The access that a call needs. A client that may write may also read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Access {
    /// To look.
    Read,
    /// To change something.
    Change,
}

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The answer's status.
    pub status: StatusCode,
    /// The reason and the remedy.
    pub why: String,
}

/// The URL of a program behind a proxy: `https://HOST[:PORT]`, possibly with a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    scheme: &'static str,
    /// The host as browsers send it (lower case, Punycode), with its port unless that is the scheme's default.
    authority: String,
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let remedy = "give it as https://HOST[:PORT]/, as browsers see it";
        let (_, rest) = text.split_once("://").ok_or(format!("it has no scheme; {remedy}"))?;
        let no_host = || format!("it names no host; {remedy}");
        let url = Url::parse(text).map_err(|error| match error {
            ParseError::EmptyHost => no_host(),
            error => format!("it is no URL ({error}); {remedy}"),
        })?;
        let scheme = match url.scheme() {
            "http" => "http",
            "https" => "https",
            _ => return Err(format!("its scheme is neither http nor https; {remedy}")),
        };
        // The parser would skip further slashes in front of a host.
        if rest.starts_with(['/', '\\']) || !url.username().is_empty() || url.password().is_some() {
            return Err(no_host());
        }
        Ok(Self { scheme, authority: url[Position::BeforeHost..Position::AfterPort].to_owned() })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// The rules of one port.
#[derive(Debug, Clone)]
pub struct Gate {
    /// Names by which this program may be called, in addition to addresses and `localhost`; lower case.
    names: Vec<String>,
    public: Option<PublicUrl>,
    token: Option<String>,
    token_flag: &'static str,
    certificates: bool,
    /// Access at a port without TLS and without the token.
    plain: Option<Access>,
}

impl Gate {
    /// Rules of a port with these names, and with the public URL of a proxy in front of it. Without TLS and without a
    /// token everybody may read there, and nobody may change anything.
    pub fn new(names: impl IntoIterator<Item = String>, public: Option<PublicUrl>) -> Self {
        let mut names: Vec<String> = names.into_iter().map(|name| name.to_ascii_lowercase()).collect();
        names.extend(public.as_ref().map(|public| host_of(&public.authority).to_owned()));
        Self {
            names,
            public,
            token: None,
            token_flag: "--token",
            certificates: false,
            plain: Some(Access::Read),
        }
    }

    /// A client with the token may read and change; `flag` is the setting that it comes from.
    pub fn token(self, token: Option<String>, flag: &'static str) -> Self {
        Self { token, token_flag: flag, ..self }
    }

    /// At a port without TLS, callers without the token have this access, or none.
    pub fn plain(self, may: Option<Access>) -> Self {
        Self { plain: may, ..self }
    }

    /// The port has TLS, so callers may show certificates.
    pub fn certificates(self, certificates: bool) -> Self {
        Self { certificates, ..self }
    }

    /// Whether anybody may change something.
    pub fn allows_changes(&self) -> bool {
        self.certificates || self.token.is_some() || self.plain == Some(Access::Change)
    }

    /// Checks that the call names this program by an address, or by one of its own names.
    ///
    /// # Errors
    /// It does not.
    pub fn check_host(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let host = text(headers, header::HOST).map(host_of).unwrap_or_default().to_ascii_lowercase();
        let address = host.parse::<Ipv4Addr>().is_ok()
            || host
                .strip_prefix('[')
                .and_then(|h| h.strip_suffix(']'))
                .is_some_and(|h| h.parse::<Ipv6Addr>().is_ok());
        if address || host == "localhost" || host.ends_with(".localhost") || self.names.contains(&host) {
            return Ok(());
        }
        let why = "this name is not known to be this program's, so it may be a trick of a foreign page; call it by its \
                   address, by the name that it was started with, or by that of --public-url";
        Err(denied(StatusCode::MISDIRECTED_REQUEST, why))
    }

    /// Checks that, if a browser sent the call, it came from a page of this program. Other programs do not report an
    /// origin.
    ///
    /// # Errors
    /// It came from another page.
    pub fn check_origin(&self, headers: &HeaderMap) -> Result<(), Denied> {
        let own_site = match text(headers, HeaderName::from_static("sec-fetch-site")) {
            None | Some("same-origin" | "none") => true,
            Some(_) => false,
        };
        if own_site && (!headers.contains_key(header::ORIGIN) || self.is_own_origin(headers)) {
            return Ok(());
        }
        let why = "a change can come from a page of this program only; behind a proxy, start it with --public-url and the \
                   address that browsers use";
        Err(denied(StatusCode::FORBIDDEN, why))
    }

    fn is_own_origin(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = text(headers, header::ORIGIN) else { return false };
        let by_host =
            origin.split_once("://").is_some_and(|(_, host)| Some(host) == text(headers, header::HOST));
        let by_proxy =
            self.public.as_ref().is_some_and(|public| public.to_string().eq_ignore_ascii_case(origin));
        by_host || by_proxy
    }

    /// Checks the caller's access: by its certificate, by the token, or because the port has no TLS and is open.
    ///
    /// # Errors
    /// None of them grants it.
    pub fn check_caller(
        &self,
        caller: &HttpCaller,
        headers: &HeaderMap,
        access: Access,
    ) -> Result<(), Denied> {
        match caller {
            HttpCaller::Tls(Some(identity)) => match (access, &identity.role) {
                (Access::Read, _) | (Access::Change, Role::Operator(_)) => return Ok(()),
                (Access::Change, _) => {}
            },
            HttpCaller::Plain if self.plain >= Some(access) => return Ok(()),
            HttpCaller::Plain | HttpCaller::Tls(None) => {}
        }
        self.check_token(caller, headers, access)
    }

    fn check_token(&self, caller: &HttpCaller, headers: &HeaderMap, access: Access) -> Result<(), Denied> {
        let whose = match access {
            Access::Read => "a certificate of the cluster's authority",
            Access::Change => "an operator's certificate",
        };
        let flag = self.token_flag;
        let given = text(headers, header::AUTHORIZATION).and_then(|value| value.split_once(' '));
        let given = given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let why = match (&self.token, given, caller) {
            (Some(token), Some((_, given)), _)
                if bool::from(given.trim().as_bytes().ct_eq(token.as_bytes())) =>
            {
                return Ok(());
            }
            (Some(_), Some(_), _) => format!("the token is not that of {flag}"),
            (Some(_), None, HttpCaller::Plain) => {
                format!("this needs the header `Authorization: Bearer TOKEN` with the token of {flag}")
            }
            (Some(_), None, _) => {
                format!("this needs {whose}, or `Authorization: Bearer TOKEN` with the token of {flag}")
            }
            (None, _, HttpCaller::Tls(_)) => format!("this needs {whose}, which `twm-ctl certs issue` makes"),
            (None, _, HttpCaller::Plain) => {
                let why = format!("changes are off; start the program with {flag} TOKEN");
                return Err(denied(StatusCode::FORBIDDEN, &why));
            }
        };
        let status = match caller {
            HttpCaller::Tls(Some(_)) => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        };
        Err(denied(status, &why))
    }

    /// All checks of a request; its method determines the access that it needs.
    ///
    /// # Errors
    /// The check that failed.
    pub fn check(&self, request: &Request) -> Result<(), Denied> {
        self.check_host(request.headers())?;
        let access = match request.method().is_safe() {
            true => Access::Read,
            false => Access::Change,
        };
        if access == Access::Change {
            self.check_origin(request.headers())?;
        }
        self.check_caller(&HttpCaller::of(request.extensions()), request.headers(), access)
    }
}

fn denied(status: StatusCode, why: &str) -> Denied {
    Denied { status, why: why.to_owned() }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(named: &[(&'static str, &'static str)]) -> HeaderMap {
        let named = named.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        named.collect()
    }

    fn gate() -> Gate {
        let public = "https://Crawl.example.org/".parse().unwrap();
        Gate::new(["Node1.Example.org".to_owned()], Some(public))
            .token(Some("correct horse".to_owned()), "--t")
    }

    #[test]
    fn only_names_that_can_be_no_others_lead_to_the_program() {
        for host in [
            "127.0.0.1:9898",
            "[::1]:9898",
            "[::1]",
            "localhost:1",
            "x.localhost",
            "node1.example.org:9898",
            "crawl.example.org",
        ] {
            assert!(gate().check_host(&headers(&[("host", host)])).is_ok(), "{host}");
        }
        for host in
            ["evil.example", "evil.example:9898", "127.0.0.1.evil.example", "", "node1.example.org.evil"]
        {
            assert!(gate().check_host(&headers(&[("host", host)])).is_err(), "{host}");
        }
        assert!(gate().check_host(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_change_comes_from_a_page_of_the_program_or_from_no_page() {
        let host = ("host", "127.0.0.1:1");
        for good in [
            &[host][..],
            &[host, ("origin", "http://127.0.0.1:1"), ("sec-fetch-site", "same-origin")],
            // A proxy that terminates TLS and calls by the address.
            &[host, ("origin", "https://crawl.example.org")],
        ] {
            assert!(gate().check_origin(&headers(good)).is_ok(), "{good:?}");
        }
        for bad in [
            &[host, ("origin", "http://evil.example")][..],
            &[host, ("origin", "http://127.0.0.1:2")],
            &[host, ("origin", "http://crawl.example.org")],
            &[host, ("origin", "null")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
        ] {
            assert!(gate().check_origin(&headers(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_certificate_or_the_token_allows_what_it_may() {
        let of = |role| HttpCaller::Tls(Some(Arc::new(Identity { cluster: "twm".to_owned(), role })));
        let (operator, viewer) = (of(Role::Operator("ada".into())), of(Role::Viewer("ada".into())));
        let (nobody, plain) = (HttpCaller::Tls(None), HttpCaller::Plain);
        let (none, token) = (headers(&[]), headers(&[("authorization", "Bearer correct horse")]));
        let may = |gate: &Gate, caller: &HttpCaller, headers: &HeaderMap| {
            [Access::Read, Access::Change].map(|access| gate.check_caller(caller, headers, access).is_ok())
        };
        let without = Gate::new([], None);
        for (caller, with_token, without_token) in [
            (&operator, [true, true], [true, true]),
            (&viewer, [true, false], [true, false]),
            (&nobody, [false, false], [false, false]),
            (&plain, [true, false], [true, false]),
        ] {
            assert_eq!(may(&gate(), caller, &none), with_token, "{caller:?}");
            assert_eq!(may(&without, caller, &none), without_token, "{caller:?}");
            assert_eq!(may(&gate(), caller, &token), [true, true], "{caller:?}");
        }
        assert_eq!(may(&gate().plain(None), &plain, &none), [false, false]);
        assert_eq!(may(&without.plain(Some(Access::Change)), &plain, &none), [true, true]);
        for bad in ["Bearer correct hors", "Basic correct horse", "Bearer"] {
            let headers = headers(&[("authorization", bad)]);
            assert_eq!(may(&gate(), &nobody, &headers), [false, false], "{bad}");
        }
    }

    #[test]
    fn a_port_allows_changes_if_it_has_tls_or_a_token_or_is_open_to_all() {
        let closed = Gate::new([], None);
        assert!(!closed.allows_changes());
        assert!(closed.clone().certificates(true).allows_changes());
        assert!(!closed.clone().certificates(true).certificates(false).allows_changes());
        assert!(closed.clone().token(Some("t".to_owned()), "--t").allows_changes());
        assert!(!closed.clone().token(None, "--t").allows_changes());
        assert!(closed.clone().plain(Some(Access::Change)).allows_changes());
        assert!(!closed.plain(None).allows_changes());
    }

    #[test]
    fn a_refusal_names_what_would_be_enough_and_the_setting_of_the_token() {
        let viewer = Identity { cluster: "twm".to_owned(), role: Role::Viewer("ada".into()) };
        let viewer = HttpCaller::Tls(Some(Arc::new(viewer)));
        let (nobody, plain) = (HttpCaller::Tls(None), HttpCaller::Plain);
        let closed = gate().plain(None);
        let without = Gate::new([], None).token(None, "--t");
        let wrong = [("authorization", "Bearer x")];
        for (gate, caller, headers, access, status, says) in [
            (&closed, &plain, &[][..], Access::Read, 401, "the token of --t"),
            (&closed, &plain, &wrong, Access::Read, 401, "the token is not that of --t"),
            (&closed, &nobody, &[], Access::Read, 401, "a certificate of the cluster's authority, or"),
            (&closed, &nobody, &[], Access::Change, 401, "an operator's certificate, or"),
            (&closed, &viewer, &[], Access::Change, 403, "an operator's certificate, or"),
            (&without, &nobody, &[], Access::Read, 401, "which `twm-ctl certs issue` makes"),
            (&without, &viewer, &[], Access::Change, 403, "which `twm-ctl certs issue` makes"),
            (&without, &plain, &[], Access::Change, 403, "start the program with --t TOKEN"),
        ] {
            let denied = gate.check_caller(caller, &self::headers(headers), access).unwrap_err();
            assert_eq!(denied.status, status, "{denied:?}");
            assert!(denied.why.contains(says), "{denied:?} does not say {says:?}");
        }
    }

    #[test]
    fn a_public_url_is_a_scheme_and_a_host() {
        for (text, shown) in [
            ("https://a.example", "https://a.example"),
            ("HTTPS://A.example:443/x/", "https://a.example"),
            ("http://a.example:8080/", "http://a.example:8080"),
            ("https://[::1]:8443", "https://[::1]:8443"),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(text.parse::<PublicUrl>().unwrap().to_string(), shown);
        }
        for bad in [
            "a.example",
            "https:a",
            "ftp://a",
            "https://",
            "https:///x",
            "https://a b",
            "https://u@a",
            "https://a:0x",
        ] {
            assert!(bad.parse::<PublicUrl>().is_err(), "{bad}");
        }
    }
}
