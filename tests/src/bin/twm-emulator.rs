//! The emulators of the Twitter API, of the Mastodon API and of the X API v2 as a separate program.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Parser, ValueEnum};
use twm_tests::emulator::faults::parse_rules;
use twm_tests::emulator::mastodon::{Fediverse, FediverseOptions, HostKind, Limits};
use twm_tests::emulator::x::{Billing, XBuilder, XEmulator};
use twm_tests::emulator::{
    Builder, Emulator, FaultRule, HeaderSpelling, IdScheme, RateLimits, SyntheticOptions,
};

/// An emulator of the Twitter API v1 and v1.1, of many hosts of the Mastodon API, or of the X API v2, for tests and
/// benchmarks.
///
/// Prints `listening on http://ADDRESS` when it is ready. Counters, faults and expected results are served
/// below `/_emulator/`.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Serve the accounts of a dataset: DD/ID.twt and DD/ID.fws, profiles.jsonl, gone (ID STATUS).
    #[arg(
        long,
        value_name = "DIR",
        conflicts_with = "synthetic",
        required_unless_present_any = ["synthetic", "mastodon"]
    )]
    dataset: Option<PathBuf>,
    /// Serve this many hosts of the Mastodon API instead, h1.test and on, told apart by the Host header.
    #[arg(long, value_name = "HOSTS", conflicts_with_all = ["dataset", "synthetic"])]
    mastodon: Option<u32>,
    /// Accounts of each of these hosts.
    #[arg(long, value_name = "ACCOUNTS", default_value_t = 20)]
    mastodon_accounts: u64,
    /// Kinds of these hosts, as 3=token,5=hang: open, old, token, limited, gotosocial, other, web, gone, hang.
    #[arg(long, value_name = "KINDS", value_parser = Kinds::read, default_value = "")]
    mastodon_kinds: Kinds,
    /// Accounts of these hosts that are suspended, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    mastodon_suspended_percent: f64,
    /// Accounts of these hosts that hide their follower list, in percent.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    mastodon_hidden_percent: f64,
    /// Without the rate limits of Mastodon: 300 requests in 5 minutes, 300 pages in 15 minutes.
    #[arg(long)]
    mastodon_unlimited: bool,
    /// Serve the synthetic accounts by the X API v2 below /2/ instead, to these apps, each with its bearer token. What each
    /// was charged is printed at the end.
    #[arg(long, value_name = "APP=TOKEN,...", value_delimiter = ',', value_parser = app, requires = "synthetic")]
    x: Vec<(String, String)>,
    /// Length of its billing cycles, which are counted from 1970, in seconds; 30 days when not given.
    #[arg(long, value_name = "SECONDS", requires = "x", value_parser = clap::value_parser!(u64).range(1..))]
    x_cycle: Option<u64>,
    /// Number of synthetic accounts to generate from the seed and serve.
    #[arg(long, value_name = "USERS")]
    synthetic: Option<u64>,
    /// Seed of all random decisions.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Ids of synthetic accounts: ascending from 1, or scattered over 61 bits.
    #[arg(long, value_enum, default_value_t = Ids::Ascending)]
    ids: Ids,
    /// Mean number of tweets of a synthetic account (at most 3,200 each).
    #[arg(long, default_value_t = 240.0)]
    tweets_mean: f64,
    /// Mean number of followers of a synthetic account.
    #[arg(long, default_value_t = 120.0)]
    followers_mean: f64,
    /// Followers of the first synthetic account.
    #[arg(long, value_name = "FOLLOWERS")]
    celebrity: Option<u64>,
    /// Unknown accounts among the followers, in percent of the synthetic accounts.
    #[arg(long, default_value_t = 0.0)]
    outside_percent: f64,
    /// Accounts that answer 401.
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    protected: Vec<u64>,
    /// Accounts that answer 404.
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    missing: Vec<u64>,
    /// Share of all accounts that answer 401.
    #[arg(long, default_value_t = 0.0)]
    protected_percent: f64,
    /// Share of all accounts that answer 404.
    #[arg(long, default_value_t = 0.0)]
    missing_percent: f64,
    /// Address to listen on; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// Maximum number of followers per page.
    #[arg(long, default_value_t = 5000)]
    page_size: usize,
    /// Requests per window and client address: timeline=180/900s,followers=15/900s,lookup=180/900s.
    #[arg(long, value_name = "LIMITS", default_value = "")]
    rate_limit: RateLimits,
    /// Spelling of the limit headers: path (by API version), v1 (x-ratelimit-*) or v1.1 (x-rate-limit-*).
    #[arg(long, value_name = "SPELLING", default_value = "path")]
    headers: HeaderSpelling,
    /// Status of answers to requests beyond the limit.
    #[arg(long, value_name = "STATUS", default_value_t = 429)]
    limited_status: u16,
    /// Send Retry-After with these answers.
    #[arg(long)]
    retry_after: bool,
    /// Faults to inject, as status=503,endpoint=timeline,p=0.05;reset,user=7,count=2. Conditions are
    /// endpoint, user, address, p (probability), after and count (of matching requests).
    #[arg(long, value_name = "RULES", value_parser = Faults::read, default_value = "")]
    faults: Faults,
    /// Count requests per account as well.
    #[arg(long)]
    count_users: bool,
    /// Threads that serve.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Write all accounts as a dataset to this folder, and exit.
    #[arg(long, value_name = "DIR")]
    export: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Ids {
    Ascending,
    Hashed,
}

/// An app and its token.
fn app(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, token)) if !name.is_empty() && !token.is_empty() => {
            Ok((name.to_owned(), token.to_owned()))
        }
        _ => Err("give each app as NAME=TOKEN".to_owned()),
    }
}

/// The kinds of hosts of one argument.
#[derive(Clone)]
struct Kinds(BTreeMap<u32, HostKind>);

impl Kinds {
    fn read(text: &str) -> Result<Self, String> {
        FediverseOptions::parse_kinds(text).map(Self)
    }
}

/// The fault rules of one argument.
#[derive(Clone)]
struct Faults(Vec<FaultRule>);

impl Faults {
    fn read(text: &str) -> Result<Self, String> {
        parse_rules(text).map(Self)
    }
}

impl Arguments {
    fn builder(&self) -> anyhow::Result<Builder> {
        for share in [self.protected_percent, self.missing_percent] {
            if !(0.0..=100.0).contains(&share) {
                bail!("a share of accounts is between 0 and 100 percent, not {share}");
            }
        }
        let both: BTreeSet<_> = self.protected.iter().filter(|id| self.missing.contains(id)).collect();
        if let Some(id) = both.first() {
            bail!("account {id} is both protected and missing; name it once");
        }
        let builder = Emulator::builder();
        let builder = match (&self.dataset, self.synthetic) {
            (Some(folder), _) => builder.dataset(folder),
            (None, Some(users)) => builder.synthetic(self.population(users)),
            (None, None) => bail!("give --dataset DIR or --synthetic USERS"),
        };
        let limited =
            self.limited_status.try_into().ok().filter(|_| (400..600).contains(&self.limited_status));
        let limited =
            limited.ok_or_else(|| anyhow!("--limited-status is between 400 and 599, as 429 or 420"))?;
        Ok(builder
            .seed(self.seed)
            .protected(self.protected.iter().copied())
            .missing(self.missing.iter().copied())
            .gone_percent(self.protected_percent, self.missing_percent)
            .listen(self.listen)
            .page_size(self.page_size)
            .rate_limits(self.rate_limit.clone())
            .headers(self.headers)
            .limited_status(limited)
            .retry_after(self.retry_after)
            .faults(self.faults.0.clone())
            .count_users(self.count_users))
    }

    fn fediverse(&self, hosts: u32) -> FediverseOptions {
        FediverseOptions {
            posts_mean: self.tweets_mean,
            followers_mean: self.followers_mean,
            celebrity: self.celebrity,
            kinds: self.mastodon_kinds.0.clone(),
            suspended_percent: self.mastodon_suspended_percent,
            hidden_percent: self.mastodon_hidden_percent,
            limits: (!self.mastodon_unlimited).then(Limits::default),
            listen: self.listen,
            ..FediverseOptions::new(hosts, self.mastodon_accounts, self.seed)
        }
    }

    fn x_builder(&self, users: u64) -> XBuilder {
        let mut billing = Billing::default();
        billing.cycle = self.x_cycle.map_or(billing.cycle, Duration::from_secs);
        let builder = XEmulator::builder(self.population(users)).listen(self.listen).billing(billing);
        let builder = builder.protected(self.protected.iter().copied()).missing(self.missing.iter().copied());
        self.x.iter().fold(builder, |builder, (app, token)| builder.app(app, token))
    }

    fn population(&self, users: u64) -> SyntheticOptions {
        SyntheticOptions {
            ids: match self.ids {
                Ids::Ascending => IdScheme::Ascending,
                Ids::Hashed => IdScheme::Hashed,
            },
            tweets_mean: self.tweets_mean,
            followers_mean: self.followers_mean,
            celebrity: self.celebrity,
            outside_percent: self.outside_percent,
            ..SyntheticOptions::new(users, self.seed)
        }
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    if let Some(hosts) = arguments.mastodon {
        let options = arguments.fediverse(hosts);
        return runtime(&arguments)?.block_on(async {
            let fediverse = Fediverse::start(options).await?;
            println!("listening on {}", fediverse.url());
            tokio::signal::ctrl_c().await.context("wait for an interrupt")
        });
    }
    if let (false, Some(users)) = (arguments.x.is_empty(), arguments.synthetic) {
        return runtime(&arguments)?.block_on(serve_x(&arguments, users));
    }
    let builder = arguments.builder()?;
    if let Some(folder) = &arguments.export {
        return builder.export(folder).with_context(|| format!("export to {}", folder.display()));
    }
    runtime(&arguments)?.block_on(async {
        let emulator = builder.start().await?;
        println!("listening on {}", emulator.url());
        tokio::signal::ctrl_c().await.context("wait for an interrupt")
    })
}

async fn serve_x(arguments: &Arguments, users: u64) -> anyhow::Result<()> {
    let emulator = arguments.x_builder(users).start().await?;
    println!("listening on {}", emulator.url());
    let interrupted = tokio::signal::ctrl_c().await.context("wait for an interrupt");
    let prices = emulator.billing().prices;
    for (app, _) in &arguments.x {
        let bill = emulator.bill(app, None);
        let dollars = bill.micros(&prices) as f64 / 1e6;
        println!(
            "app {app}: {} posts, {} users, {} followers: {dollars} dollars in all",
            bill.posts, bill.users, bill.followers
        );
    }
    interrupted
}

fn runtime(arguments: &Arguments) -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads.max(1))
        .enable_all()
        .build()
        .context("start the runtime")
}
