//! Flags of a service's HTTP port.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use storage::net::http_port::{Access, Denied, Gate, HttpPort, PublicUrl, is_loopback};
use storage::net::secret;
use storage::net::trust::{Trust, TrustFiles};

use super::ServiceEnd;

/// Shortest token, characters.
const SHORTEST_TOKEN: usize = 8;

/// Who may call a service.
#[derive(Debug, clap::Args)]
pub struct HttpFlags {
    /// A file whose first line is a token: callers need it, as `Authorization: Bearer TOKEN`
    #[arg(long, value_name = "FILE", env = "TWM_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Answers over TLS: certificate of the cluster's authority, see `twm-ctl certs`; callers need a certificate of it,
    /// or the token
    #[arg(long, value_name = "FILE", env = "TWM_TLS_CA", requires_all = ["tls_cert", "tls_key"])]
    tls_ca: Option<PathBuf>,
    /// The own certificate
    #[arg(long, value_name = "FILE", env = "TWM_TLS_CERT", requires = "tls_ca")]
    tls_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", env = "TWM_TLS_KEY", requires = "tls_ca")]
    tls_key: Option<PathBuf>,
    /// Where callers find it behind a proxy, such as `https://lookup.example.org/`
    #[arg(long, value_name = "URL", env = "TWM_PUBLIC_URL")]
    public_url: Option<PublicUrl>,
    /// Listens beyond loopback without TLS: anyone who reaches the port may ask
    #[arg(long)]
    insecure: bool,
}

/// The evaluated flags.
pub struct Served {
    port: HttpPort,
    gate: Arc<Gate>,
    trust: Option<Trust>,
}

impl HttpFlags {
    /// Opens the port at `HOST:PORT`.
    ///
    /// # Errors
    /// The flags contradict each other, a file cannot be read, or the port cannot be opened.
    pub async fn open(&self, listen: &str) -> Result<Served, ServiceEnd> {
        let trust = self.trust()?;
        let token = self.token()?;
        if trust.is_none() && !self.insecure && !is_loopback(listen) {
            return Err(ServiceEnd::Usage(format!(
                "--listen {listen} is reached from other machines, and without TLS all is readable on the way; give \
                 --tls-ca, --tls-cert and --tls-key (see `twm-ctl certs`), or listen on 127.0.0.1 behind a proxy with TLS \
                 (and give --public-url), or --insecure"
            )));
        }
        let port = HttpPort::open(listen, "--listen").await.map_err(ServiceEnd::failed)?;
        let host = listen.rsplit_once(':').map(|(host, _)| host.to_owned());
        let open_to_all = token.is_none().then_some(Access::Change);
        let gate = Gate::new(host, self.public_url.clone())
            .token(token, "--token-file")
            .certificates(trust.is_some())
            .plain(open_to_all);
        Ok(Served { port: port.trusting(trust.clone()), gate: Arc::new(gate), trust })
    }

    fn trust(&self) -> Result<Option<Trust>, ServiceEnd> {
        let (Some(ca), Some(cert), Some(key)) = (&self.tls_ca, &self.tls_cert, &self.tls_key) else {
            return Ok(None);
        };
        let files = TrustFiles { ca: ca.clone(), cert: cert.clone(), key: key.clone() };
        Trust::load(files).map(Some).map_err(ServiceEnd::failed)
    }

    fn token(&self) -> Result<Option<String>, ServiceEnd> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let wrong = |what: String| ServiceEnd::Usage(format!("--token-file {}: {what}", path.display()));
        let token = secret::first_line(path).map_err(|error| wrong(error.to_string()))?;
        match token.len() >= SHORTEST_TOKEN && token.chars().all(|c| c.is_ascii_graphic()) {
            true => Ok(Some(token)),
            false => Err(wrong(format!(
                "its first line is no token; write at least {SHORTEST_TOKEN} letters and digits there"
            ))),
        }
    }
}

impl Served {
    /// Where it answers.
    pub fn url(&self) -> String {
        self.port.url()
    }

    /// Serves these pages until `stop` is cancelled. Certificates are reloaded when they change.
    pub async fn serve(self, pages: Router, stop: tokio_util::sync::CancellationToken) {
        let Self { port, gate, trust } = self;
        let pages = pages.layer(from_fn_with_state(gate, guard));
        let served = port.serve(pages, stop);
        match trust {
            Some(trust) => tokio::select! {
                () = served => {}
                () = trust.follow() => {}
            },
            None => served.await,
        }
    }
}

async fn guard(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    match gate.check(&request) {
        Ok(()) => next.run(request).await,
        Err(Denied { status, why }) => {
            let body = axum::Json(json!({ "error": why }));
            match status {
                StatusCode::UNAUTHORIZED => {
                    (status, [(header::WWW_AUTHENTICATE, "Bearer")], body).into_response()
                }
                status => (status, body).into_response(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        http: HttpFlags,
    }

    async fn refused(flags: &[&str], listen: &str) -> String {
        let cli = Cli::try_parse_from([&["x"], flags].concat()).unwrap();
        match cli.http.open(listen).await {
            Err(ServiceEnd::Usage(why) | ServiceEnd::Failed(why)) => why,
            Ok(served) => panic!("it answers at {}", served.url()),
        }
    }

    #[tokio::test]
    async fn a_port_for_other_machines_needs_tls_or_a_word() {
        let why = refused(&[], "0.0.0.0:0").await;
        assert!(why.contains("--tls-cert") && why.contains("--insecure"), "{why}");
        let cli = Cli::try_parse_from(["x", "--insecure"]).unwrap();
        assert!(cli.http.open("0.0.0.0:0").await.is_ok());
        assert!(Cli::try_parse_from(["x", "--tls-cert", "a"]).is_err());
    }

    #[tokio::test]
    async fn a_file_without_a_token_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        for (text, what) in
            [(None, "cannot be read"), (Some("\n"), "first line is empty"), (Some("short\n"), "at least 8")]
        {
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
            }
            let why = refused(&["--token-file", &path.to_string_lossy()], "127.0.0.1:0").await;
            assert!(why.contains(what) && why.contains("--token-file"), "{why}");
        }
    }
}
