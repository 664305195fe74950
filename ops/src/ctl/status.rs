//! `status`.

use std::io::{self, IsTerminal};
use std::time::Duration;

use api::client::ClientError;
use api::documents::{self, Pace, Rates};
use api::model::{ClusterStatus, CrawlView, NodeStatus, SpendStatus};
use clap::Args;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::output::note;
use super::render::{self, json};
use super::{Cluster, CtlError, Output, health, seconds};

/// Moves the cursor to the top left corner; overwriting flickers less than clearing first.
const HOME: &str = "\x1b[H";
/// Clears to the end of the line.
const CLEAR_LINE: &str = "\x1b[K";
/// Clears everything below.
const CLEAR_BELOW: &str = "\x1b[J";
const CLEAR_ALL: &str = "\x1b[2J";

/// Arguments.
#[derive(Debug, Args)]
pub struct Status {
    /// Show it again every S seconds until Ctrl-C.
    #[arg(long, value_name = "S", num_args = 0..=1, default_missing_value = "2", value_parser = seconds)]
    watch: Option<Duration>,
}

impl Status {
    /// Shows the cluster; an unhealthy one is an error, after it was shown.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        if let Some(pause) = self.watch {
            return tokio::select! {
                result = watch(cluster, output, pause) => result,
                _ = tokio::signal::ctrl_c() => Ok(()),
            };
        }
        let picture = StatusView::take(cluster).await?;
        let troubles = picture.troubles();
        if output.is_json() {
            output.json(&picture.json(&troubles, Rates::mean))?;
        } else {
            output.line(picture.text(Rates::mean).trim_end())?;
        }
        if troubles.is_empty() { Ok(()) } else { Err(CtlError::Unhealthy(troubles.join("\ntwm-ctl: "))) }
    }
}

/// Shows the cluster repeatedly, with recent rates. A cluster that is unreachable for a while is shown as
/// such.
async fn watch(cluster: &Cluster, output: Output, pause: Duration) -> Result<(), CtlError> {
    let start = Instant::now();
    let mut pace = Pace::default();
    let mut screen = Screen { redraws: io::stdout().is_terminal(), drawn: false };
    loop {
        match StatusView::take(cluster).await {
            Ok(picture) => {
                let troubles = picture.troubles();
                pace.take(start.elapsed(), picture.crawls());
                if output.is_json() {
                    output.json(&picture.json(&troubles, |crawl| pace.of(crawl)))?;
                } else {
                    let mut text = picture.text(|crawl| pace.of(crawl));
                    text.extend(troubles.iter().map(|trouble| format!("\n! {trouble}\n")));
                    screen.show(output, &text)?;
                }
            }
            Err(error @ ClientError::Unreachable { .. }) if !output.is_json() => {
                screen.show(output, &format!("! {error}\n"))?;
            }
            Err(error @ ClientError::Unreachable { .. }) => note(format!("twm-ctl: {error}")),
            Err(error) => return Err(error.into()),
        }
        sleep(pause).await;
    }
}

/// The screen on which the watched status is drawn.
struct Screen {
    redraws: bool,
    drawn: bool,
}

impl Screen {
    fn show(&mut self, output: Output, text: &str) -> Result<(), CtlError> {
        if !self.redraws {
            return output.line(text);
        }
        let first = if self.drawn { "" } else { CLEAR_ALL };
        self.drawn = true;
        let lines = text.trim_end().replace('\n', &format!("{CLEAR_LINE}\n"));
        output.line(format!("{first}{HOME}{lines}{CLEAR_LINE}{CLEAR_BELOW}"))
    }
}

/// What is known of the cluster.
enum StatusView {
    /// The leader answered.
    Whole(Box<ClusterStatus>, Option<SpendStatus>),
    /// There is no leader, but some nodes answered.
    Leaderless { answers: Vec<(String, NodeStatus)>, asked: usize },
}

impl StatusView {
    /// Asks the leader, and at the same time each node for itself in case there is none.
    async fn take(cluster: &Cluster) -> Result<Self, ClientError> {
        let mut nodes = JoinSet::new();
        for endpoint in cluster.endpoints() {
            let (endpoint, node) = (endpoint.clone(), cluster.only(endpoint));
            nodes.spawn(async move { (endpoint, node.node_status().await) });
        }
        let error = match cluster.status().await {
            Ok(status) => {
                let money = cluster.money(&status).await?;
                return Ok(Self::Whole(Box::new(status), money));
            }
            Err(error @ ClientError::Unreachable { .. }) => error,
            Err(error) => return Err(error),
        };
        let mut answers = Vec::new();
        while let Some(answer) = nodes.join_next().await {
            if let Ok((endpoint, Ok(status))) = answer {
                answers.push((endpoint, status));
            }
        }
        if answers.is_empty() {
            return Err(error);
        }
        answers.sort_by_key(|(_, status)| status.id);
        Ok(Self::Leaderless { answers, asked: cluster.endpoints().len() })
    }

    fn troubles(&self) -> Vec<String> {
        match self {
            Self::Whole(status, money) => {
                let money = money.as_ref().map(documents::money::troubles).unwrap_or_default();
                [health::troubles(status), health::outages(status), money].concat()
            }
            Self::Leaderless { answers, asked } => health::leaderless(answers, *asked),
        }
    }

    fn crawls(&self) -> &[CrawlView] {
        match self {
            Self::Whole(status, _) => &status.crawls,
            Self::Leaderless { .. } => &[],
        }
    }

    fn json(&self, troubles: &[String], rates: impl Fn(&CrawlView) -> Rates) -> Value {
        match self {
            Self::Whole(status, money) => json::status(status, money.as_ref(), troubles, rates),
            Self::Leaderless { answers, .. } => json::leaderless(answers, troubles),
        }
    }

    fn text(&self, rates: impl Fn(&CrawlView) -> Rates) -> String {
        match self {
            Self::Whole(status, money) => render::status(status, money.as_ref(), rates),
            Self::Leaderless { answers, .. } => render::leaderless(answers),
        }
    }
}
