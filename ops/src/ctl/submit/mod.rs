//! `submit FILE`.

mod fingerprint;
mod source;
mod upload;

use std::path::{Path, PathBuf};
use storage::dataset::SourceName;

use api::client::ClientError;
use api::model::{
    Amount, CrawlId, CrawlPhase, CrawlSpec, CrawlView, Operation, Operations, Response, Traversal, Write,
};
use clap::{Args, ValueEnum};
use serde_json::json;
use storage::ids::UserId;

use super::crawl::wait;
use super::output::note;
use super::render::count;
use super::source::somebody_has;
use super::{Cluster, CtlError, Output};
use fingerprint::fingerprint;
use source::Source;
use upload::Upload;

/// Arguments.
#[derive(Debug, Args)]
pub struct Submit {
    /// The list, plain or gzip: one account id a line; blank lines and `#` comments are skipped. `-`
    /// is standard input.
    #[arg(value_name = "FILE")]
    list: PathBuf,
    /// Download the timelines; the default when no operation is given.
    #[arg(short = 'T', long)]
    timeline: bool,
    /// Download the followers.
    #[arg(short = 'F', long)]
    followers: bool,
    /// Look up the followers and keep those that the follow rule admits.
    #[arg(short = 'A', long)]
    analysis: bool,
    /// Put new tweets in front of the saved timelines.
    #[arg(short = 'U', long, conflicts_with = "timeline")]
    update: bool,
    /// Where admitted accounts go: to the frontier, to the end or to the front of the queue.
    #[arg(long, value_enum, default_value_t = Traverse::Default)]
    traverse: Traverse,
    /// Crawl accounts found at most this many steps from a target.
    #[arg(long, value_name = "N")]
    depth: Option<u32>,
    /// Admit only accounts for which this expression holds, like `user.lang == 'it'`.
    #[arg(long, value_name = "RULE")]
    follow: Option<String>,
    /// A list of accounts that count as known and are not crawled.
    #[arg(long, value_name = "FILE")]
    seeds: Option<PathBuf>,
    /// Share of the cluster's work among running crawls.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=100))]
    priority: u8,
    /// The source of the accounts, as in the settings of the nodes.
    #[arg(long, value_name = "NAME", default_value_t = SourceName::default())]
    source: SourceName,
    /// The most that the crawl may spend over its whole life, as 12.50, in the currency that its source bills in.
    #[arg(long, value_name = "AMOUNT")]
    spend_limit: Option<Amount>,
    /// A name for people; the file's name when not given.
    #[arg(long)]
    name: Option<String>,
    /// Wait until the crawl is over, showing how far it is.
    #[arg(long)]
    wait: bool,
}

/// [`Traversal`] on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Traverse {
    Default,
    Bfs,
    Dfs,
}

impl Submit {
    /// Creates a crawl from the list.
    pub async fn run(&self, cluster: &Cluster, output: Output) -> Result<(), CtlError> {
        let stdin = Path::new("-");
        if self.list == stdin && self.seeds.as_deref() == Some(stdin) {
            return Err(CtlError::Usage("the targets and --seeds cannot both be standard input".to_owned()));
        }
        let mut targets = Source::open(&self.list, &self.source)?;
        let seeds = self.seeds.as_deref().map(|seeds| Source::open(seeds, &self.source)).transpose()?;
        if !self.source.is_default() {
            let kind = somebody_has(cluster, &self.source).await?;
            if self.spend_limit.is_some() && kind != "x" {
                return Err(CtlError::Usage(format!(
                    "the source {} is of kind {kind}, which charges nothing; leave --spend-limit out",
                    self.source
                )));
            }
        } else if self.spend_limit.is_some() {
            let what = "the default source charges nothing; leave --spend-limit out, or name another one with --source";
            return Err(CtlError::Usage(what.to_owned()));
        }
        let spec = self.spec(self.fingerprint()?);
        // A list without a single target must leave no crawl behind.
        let Some(head) = targets.head(cluster).await? else {
            let (name, bad) = (targets.name(), count(targets.bad()));
            return Err(CtlError::Failed(format!(
                "{name} names no account ({bad} bad lines); nothing was submitted"
            )));
        };

        let mut upload = match begun(cluster, &spec).await? {
            Some(crawl) => Upload::resume(cluster, crawl),
            None => Upload::new(cluster, create(cluster, spec).await?),
        };
        let crawl = upload.crawl();
        let sent = self.send(&mut upload, head, &mut targets, seeds).await;
        if let Err(CtlError::List(error)) = sent {
            upload.cancel().await?;
            return Err(CtlError::Failed(format!(
                "{error}; crawl {crawl} was cancelled, submit again once the list is whole"
            )));
        }
        let summary = sent?;
        upload.seal().await?;
        // Removes its spinner from the screen before the result is printed.
        drop(targets);
        self.tell(output, crawl, &summary)?;
        if self.wait { wait::wait(cluster, output, crawl).await } else { Ok(()) }
    }

    fn fingerprint(&self) -> Result<Option<u64>, CtlError> {
        let lists = std::iter::once(&self.list).chain(&self.seeds).map(PathBuf::as_path);
        if self.list == Path::new("-") || self.seeds.as_deref() == Some(Path::new("-")) {
            return Ok(None);
        }
        fingerprint(lists).map_err(CtlError::io("cannot look at the lists"))
    }

    fn spec(&self, fingerprint: Option<u64>) -> CrawlSpec {
        CrawlSpec {
            name: self.name.clone().unwrap_or_else(|| file_name(&self.list)),
            operations: self.operations(),
            traversal: match self.traverse {
                Traverse::Default => Traversal::Default,
                Traverse::Bfs => Traversal::Bfs,
                Traverse::Dfs => Traversal::Dfs,
            },
            depth: self.depth,
            follow: self.follow.clone(),
            priority: self.priority,
            fingerprint,
            source: self.source.clone(),
            spend_limit: self.spend_limit.map(|Amount(micros)| micros),
        }
    }

    fn operations(&self) -> Operations {
        let wanted = [
            (self.timeline, Operation::Timeline),
            (self.followers, Operation::Followers),
            (self.analysis, Operation::Analysis),
            (self.update, Operation::Update),
        ];
        let operations: Operations =
            wanted.into_iter().filter(|(wanted, _)| *wanted).map(|(_, op)| op).collect();
        if operations.is_empty() { Operations::only(Operation::Timeline) } else { operations }
    }

    /// Sends the seeds first, so that no target's analysis finds one of them new, and then the targets.
    async fn send(
        &self,
        upload: &mut Upload<'_>,
        head: Vec<Vec<UserId>>,
        targets: &mut Source,
        seeds: Option<Source>,
    ) -> Result<Summary, CtlError> {
        let mut summary = upload.so_far();
        if let Some(mut seeds) = seeds {
            while let Some(users) = seeds.next_users(upload.cluster()).await? {
                let added = upload.add(users, true).await?;
                summary.seeds += added.accepted;
                seeds.show(summary.seeds);
            }
            summary.bad += seeds.bad();
        }
        let mut head = head.into_iter();
        loop {
            let users = match head.next() {
                Some(users) => users,
                None => match targets.next_users(upload.cluster()).await? {
                    Some(users) => users,
                    None => break,
                },
            };
            let added = upload.add(users, false).await?;
            summary.accepted += added.accepted;
            summary.duplicates += added.duplicates;
            targets.show(summary.accepted + summary.duplicates);
        }
        summary.bad += targets.bad();
        Ok(summary)
    }

    fn tell(&self, output: Output, crawl: CrawlId, summary: &Summary) -> Result<(), CtlError> {
        note(format!(
            "crawl {crawl}: {} accounts accepted, {} named again, {} bad lines",
            count(summary.accepted),
            count(summary.duplicates),
            count(summary.bad),
        ));
        if !output.is_json() {
            return output.line(crawl.to_string());
        }
        output.json(&json!({
            "crawl": crawl.0,
            "accepted": summary.accepted,
            "duplicates": summary.duplicates,
            "bad": summary.bad,
            "seeds": summary.seeds,
        }))
    }
}

/// The interrupted crawl of the same submission, if any.
async fn begun(cluster: &Cluster, spec: &CrawlSpec) -> Result<Option<CrawlView>, ClientError> {
    if spec.fingerprint.is_none() {
        return Ok(None);
    }
    let same = |crawl: &CrawlView| crawl.phase == CrawlPhase::Loading && crawl.spec == *spec;
    Ok(cluster.crawls().await?.into_iter().find(same))
}

async fn create(cluster: &Cluster, spec: CrawlSpec) -> Result<CrawlId, ClientError> {
    let request = cluster.request_id();
    match cluster.write(Write::CreateCrawl { request, spec }).await? {
        Response::CrawlCreated(crawl) => Ok(crawl),
        _ => Err(ClientError::UnexpectedResponse { asked: "creation of a crawl" }),
    }
}

/// The result of a submission.
#[derive(Default)]
struct Summary {
    accepted: u64,
    duplicates: u64,
    bad: u64,
    seeds: u64,
}

fn file_name(path: &Path) -> String {
    if path == Path::new("-") {
        return "standard input".to_owned();
    }
    path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        submit: Submit,
    }

    fn spec(args: &[&str]) -> CrawlSpec {
        Line::try_parse_from([&["submit"], args].concat()).unwrap().submit.spec(None)
    }

    #[test]
    fn timelines_are_the_default_and_operations_add_up() {
        assert_eq!(spec(&["list"]).operations.to_string(), "T");
        assert_eq!(spec(&["-F", "-A", "list"]).operations.to_string(), "FA");
        assert_eq!(spec(&["-TFA", "list"]).operations.to_string(), "TFA");
        assert_eq!(spec(&["-UFA", "list"]).operations.to_string(), "UFA");
    }

    #[test]
    fn whole_timelines_and_updates_exclude_each_other() {
        let refusal = Line::try_parse_from(["submit", "-TU", "list"]).err().expect("a refusal").to_string();
        assert!(refusal.contains("'--timeline' cannot be used with '--update'"), "{refusal}");
    }

    #[test]
    fn the_flags_make_the_spec() {
        let spec = spec(&[
            "a/list.gz",
            "--traverse",
            "bfs",
            "--depth",
            "2",
            "--follow",
            "user.ok",
            "--priority",
            "7",
        ]);
        assert_eq!((spec.name.as_str(), spec.traversal, spec.depth), ("list.gz", Traversal::Bfs, Some(2)));
        assert_eq!((spec.follow.as_deref(), spec.priority), (Some("user.ok"), 7));
    }

    #[test]
    fn a_submission_from_files_is_known_again_and_one_from_standard_input_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let [list, seeds] = ["list", "seeds"].map(|name| folder.path().join(name));
        std::fs::write(&list, "1\n").unwrap();
        std::fs::write(&seeds, "2\n").unwrap();
        let [list, seeds] = [list, seeds].map(|path| path.display().to_string());
        let of = |args: &[&str]| {
            let line = Line::try_parse_from([&["submit"], args].concat()).unwrap();
            line.submit.fingerprint().unwrap()
        };
        let alone = of(&[&list]);
        assert!(alone.is_some());
        assert_eq!(of(&[&list]), alone);
        assert!(of(&[&list, "--seeds", &seeds]).is_some_and(|both| Some(both) != alone));
        assert_eq!(of(&["-"]), None);
        assert_eq!(of(&["-", "--seeds", &seeds]), None);
        assert_eq!(of(&[&list, "--seeds", "-"]), None);
    }

    #[test]
    fn a_priority_out_of_range_is_a_usage_error() {
        for priority in ["0", "101", "x"] {
            assert!(Line::try_parse_from(["submit", "list", "--priority", priority]).is_err());
        }
    }
}
