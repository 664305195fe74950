//! The cluster version that introduced each command.

use api::model::{FIRST_CLUSTER_VERSION, Refusal, Report};

use super::Mutation;

/// The version that introduced the newest finding of a report.
fn of_findings(report: &Report) -> u32 {
    let versions = report.findings.iter().map(|(_, _, finding)| finding.since_version());
    versions.max().unwrap_or(FIRST_CLUSTER_VERSION)
}

impl Mutation {
    /// The cluster version that introduced the command. The command is refused below it.
    pub fn since_version(&self) -> u32 {
        match self {
            Self::DeleteCrawl { .. } => 2,
            Self::Spend { .. } => 6,
            Self::CreateCrawl { spec, .. } if spec.spend_limit.is_some() => 6,
            Self::CreateCrawl { spec, .. } if !spec.source.is_default() => 5,
            Self::Shares { .. } => 6,
            Self::Report(report) => of_findings(report),
            Self::ReportOf { report, .. } => of_findings(report).max(5),
            Self::Once { write, .. } => Self::from(write.clone()).since_version().max(3),
            _ => FIRST_CLUSTER_VERSION,
        }
    }

    /// The refusal of the command by a cluster of this version, if it is newer.
    pub fn refused_at(&self, cluster: u32) -> Option<Refusal> {
        let needs = self.since_version();
        (needs > cluster).then(|| Refusal::NeedsVersion { what: self.name().to_owned(), needs, cluster })
    }

    /// What the command does, for messages: "to ...".
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tick => "to let time pass",
            Self::OpenSession(_) => "to open a session",
            Self::Report(_) => "to report",
            Self::ReportOf { .. } => "to report on several sources",
            Self::EndSession { .. } => "to end a session",
            Self::Spend { .. } => "to report money",
            Self::CreateCrawl { spec, .. } if spec.spend_limit.is_some() => {
                "to create a crawl with a limit of money"
            }
            Self::CreateCrawl { spec, .. } if !spec.source.is_default() => {
                "to create a crawl of another source"
            }
            Self::CreateCrawl { .. } => "to create a crawl",
            Self::AddTargets { .. } => "to add targets",
            Self::SealCrawl { .. } => "to seal a crawl",
            Self::PauseCrawl { .. } => "to pause a crawl",
            Self::ResumeCrawl { .. } => "to resume a crawl",
            Self::CancelCrawl { .. } => "to cancel a crawl",
            Self::RetryErrors { .. } => "to retry errors",
            Self::Drain { .. } => "to drain a node",
            Self::Lead { .. } => "to lead",
            Self::KeepEvents { .. } => "to keep events",
            Self::EventsPassed { .. } => "to pass events on",
            Self::RaiseVersion { .. } => "to raise the cluster's version",
            Self::DeleteCrawl { .. } => "to delete a crawl",
            Self::Roster(_) => "to change members",
            Self::Once { .. } => "to change something once",
            Self::Shares { .. } => "to share budgets",
        }
    }
}
