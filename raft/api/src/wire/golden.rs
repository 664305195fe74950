//! Messages of older builds are understood, and the encoding of today's messages has not changed by accident.

#[path = "../../../../tests/golden/lines.rs"]
mod lines;

use std::fmt::Debug;
use std::time::Duration;
use storage::dataset::SourceName;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use storage::ids::UserId;

use super::service::PeerRequest;
use super::*;
use crate::model::*;
use lines::Golden;

/// A call, encoded as [`tarpc::ClientMessage`] is.
#[derive(Serialize)]
enum Message {
    Request { may_take: Duration, trace: tarpc::trace::Context, id: u64, call: PeerRequest },
}

/// Encoded values by name.
#[derive(Default)]
struct Samples(Vec<(String, Vec<u8>)>);

impl Samples {
    /// Adds a value, which must survive decoding unchanged.
    fn add<T: Serialize + DeserializeOwned + Debug>(&mut self, name: &str, value: &T) -> &mut Self {
        let bytes = postcard::to_stdvec(value).unwrap();
        let read: T = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(format!("{read:?}"), format!("{value:?}"));
        self.0.push((name.to_owned(), bytes));
        self
    }
}

const MEMBER: MemberId = MemberId { node: 3, disk: DiskId(30) };
const CLUSTER: ClusterId = ClusterId(7);

fn spec() -> CrawlSpec {
    CrawlSpec {
        name: "roma".to_owned(),
        operations: Operations::only(Operation::Timeline),
        traversal: Traversal::Default,
        depth: Some(2),
        follow: Some("profile.followers > 10".to_owned()),
        priority: 10,
        fingerprint: Some(9),
        source: SourceName::default(),
        spend_limit: None,
    }
}

fn requests(all: &mut Samples) {
    let crawl = CrawlId(5);
    let request = RequestId { client: 8, sequence: 9 };
    let users = vec![UserId::Number(22_013_880), "user@host".parse().unwrap()];
    let user = Some(UserId::Number(1));
    for (name, write) in [
        ("create", Write::CreateCrawl { request, spec: spec() }),
        ("add-targets", Write::AddTargets { crawl, chunk: 1, users, seeds: true }),
        ("seal", Write::SealCrawl { crawl }),
        ("pause", Write::PauseCrawl { crawl }),
        ("resume", Write::ResumeCrawl { crawl }),
        ("cancel", Write::CancelCrawl { crawl }),
        ("retry", Write::RetryErrors { request, crawl, user: user.clone(), limit: 100 }),
        ("drain", Write::Drain { node: 2, drained: true }),
        ("delete", Write::DeleteCrawl { crawl }),
    ] {
        all.add(&format!("write/{name}"), &ApiRequest::Write(write));
    }
    for (name, query) in [
        ("status", Query::Status),
        ("crawls", Query::Crawls),
        ("crawl", Query::Crawl(crawl)),
        ("errors", Query::Errors { crawl, after: user.clone(), limit: 10 }),
        ("gone", Query::Gone { crawl, after: None, limit: 10 }),
        ("frontier", Query::Frontier { crawl, from: 3 }),
        ("drafts", Query::DraftsInUse(vec![LeaseId(4)])),
    ] {
        all.add(&format!("query/{name}"), &ApiRequest::Query(query));
    }
    let address = "10.0.0.1:8000".to_owned();
    for (name, request) in [
        ("add", MemberRequest::Add { node: 4, address: address.clone() }),
        ("replace", MemberRequest::Replace { node: 4, address: None }),
        ("promote", MemberRequest::Promote { node: 4 }),
        ("demote", MemberRequest::Demote { node: 4 }),
        ("remove", MemberRequest::Remove { node: 4 }),
        ("set-address", MemberRequest::SetAddress { node: 4, address: address.clone() }),
        ("replace-disk", MemberRequest::ReplaceDisk { node: 4, disk: DiskId(40), address: Some(address) }),
    ] {
        all.add(&format!("members/{name}"), &ApiRequest::Members(request));
    }
    all.add("node-status", &ApiRequest::NodeStatus)
        .add("transfer-leader", &ApiRequest::TransferLeader { to: Some(2) })
        .add("resolve-names", &ApiRequest::ResolveNames(vec!["anna".to_owned()]))
        .add("check-replicas", &ApiRequest::CheckReplicas)
        .add("once", &ApiRequest::Once { request, write: Write::PauseCrawl { crawl } });
}

/// Calls that name a source.
fn sourced(all: &mut Samples) {
    let (session, request) = (SessionId(6), RequestId { client: 8, sequence: 9 });
    let bluesky: SourceName = "bluesky".parse().unwrap();
    let spec = CrawlSpec { source: bluesky.clone(), ..spec() };
    let report = Report { session, sequence: 3, findings: Vec::new(), wants: Wants::any(7) };
    let others = vec![SourceWants { source: bluesky.clone(), each: [1, 2, 3, 4] }];
    let wait =
        NodeRequest::WaitForWorkOf { session, wants: Wants::NONE, others: others.clone(), timeout_ms: 1_000 };
    let names = vec!["anna.example".to_owned()];
    all.add("write/create-of", &ApiRequest::Write(Write::CreateCrawl { request, spec }))
        .add("resolve-names-of", &ApiRequest::ResolveNamesOf { source: bluesky.clone(), names })
        .add("sources", &ApiRequest::Sources { check: true })
        .add(
            "node/report-of",
            &ApiRequest::Node { node: 1, request: NodeRequest::ReportOf { report, others } },
        )
        .add("node/wait-for-work-of", &ApiRequest::Node { node: 1, request: wait });
    for reason in [
        GoneReason::Deleted,
        GoneReason::Deactivated,
        GoneReason::TakenDown,
        GoneReason::Blocked,
        GoneReason::HiddenFollowers,
        GoneReason::LoginRequired,
        GoneReason::HostGone,
    ] {
        all.add(&format!("gone/{}", reason.name().replace(' ', "-")), &Finding::Gone(reason));
    }
    for source in [SourceName::default(), bluesky.clone()] {
        let (user, operation) = (UserId::Number(1), Operation::Analysis);
        for progress in [None, Some(Progress { cursor: "-1".to_owned(), draft: None })] {
            let name = format!("job/{source}/{}", progress.is_some());
            let (user, source) = (user.clone(), source.clone());
            let (id, lease, crawl) = (JobId(1), LeaseId(2), CrawlId(5));
            all.add(
                &name,
                &Job { id, lease, crawl, user, operation, depth: 1, attempt: 2, progress, source },
            );
        }
        for operation in Operation::ALL {
            let name = format!("publication/{source}/{operation}");
            let (job, lease, draft) = (JobId(1), LeaseId(2), LeaseId(2));
            let (user, source) = (user.clone(), source.clone());
            all.add(&name, &Publication { job, lease, draft, user, operation, source });
        }
    }
    let place = "https://public.api.bsky.app".to_owned();
    let statuses = [None, Some(Reached::After(12)), Some(Reached::Failed("no".to_owned()))].map(|reached| {
        let (name, kind, place) = (bluesky.clone(), "bluesky".to_owned(), place.clone());
        SourceStatus { name, kind, place, trouble: Some("no".to_owned()), reached }
    });
    let reply: Result<ApiReply, ApiError> = Ok(ApiReply::Sources(statuses.into()));
    all.add("reply/sources", &reply);
}

/// Calls about money, and their answers.
fn money(all: &mut Samples) {
    let (session, app) = (SessionId(6), || AppName::from("one"));
    let cycles = [CycleRule::Monthly { day: 12 }, CycleRule::Every { seconds: 3_600 }];
    let apps = cycles.map(|cycle| (app(), AppTerms { limit: 5, cycle, margin: 300 })).into();
    let changes = vec![
        Change::Settle { app: app(), crawl: CrawlId(5), spent: 1, lost: 2, returned: 3 },
        Change::Reserve { app: app(), crawl: NO_CRAWL, least: 4, wanted: 5 },
    ];
    let report = SpendReport { sequence: 3, apps, dates: vec![(app(), 1_795_422_061)], changes };
    let spend = NodeRequest::Spend { session, report };
    let request = RequestId { client: 8, sequence: 9 };
    let limited = CrawlSpec { spend_limit: Some(7_000_000), ..spec() };
    all.add("node/spend", &ApiRequest::Node { node: 1, request: spend })
        .add("query/spend", &ApiRequest::Query(Query::Spend))
        .add("write/create-limited", &ApiRequest::Write(Write::CreateCrawl { request, spec: limited }));
    let outcomes = vec![
        Outcome::Settled { excess: 1 },
        Outcome::Granted { amount: 2 },
        Outcome::Wait { of: Exhausted::App, until: Some(3), held: true },
        Outcome::Wait { of: Exhausted::Crawl, until: None, held: false },
        Outcome::Unknown,
        Outcome::Full,
    ];
    let marks = vec![
        Mark::App { app: app(), cycle: Some(9), percent: 80 },
        Mark::Crawl { crawl: CrawlId(5), percent: 100 },
    ];
    let of_app = AppStatus {
        limit: 1,
        disputed: true,
        cycle: Some(2),
        next_cycle: Some(3),
        spent: 4,
        lost: 5,
        held: 6,
    };
    let of_crawl =
        CrawlMoney { limit: Some(1), spent: 2, held: 3, at_limit: true, waits_for: vec![(app(), Some(4))] };
    let status = SpendStatus { apps: vec![(app(), of_app)], crawls: vec![(CrawlId(5), of_crawl)] };
    let reply = |reply: ApiReply| -> Result<ApiReply, ApiError> { Ok(reply) };
    let spent = Response::Spent(SpendAnswer { outcomes, marks });
    all.add("reply/spent", &reply(ApiReply::Mutated(spent)))
        .add("reply/spend", &reply(ApiReply::Answer(Box::new(Answer::Spend(Box::new(status))))));
}

/// Calls about budgets of the cluster and about hosts, and their answers.
fn shares_and_hosts(all: &mut Samples) {
    let seen = WindowSeen { epoch: 1, remaining: 2, limit: Some(3), ends_in_ms: 4, window: Some(5) };
    let events = vec![
        ShareEvent::Spent { epoch: 1, requests: 2, window: Some(3) },
        ShareEvent::Lost { epoch: 1, requests: 2 },
        ShareEvent::Returned { epoch: 1, requests: 2 },
        ShareEvent::Seen(seen),
        ShareEvent::Unlimited { epoch: 1 },
        ShareEvent::Paused { ms: 1, refused: true },
    ];
    let budgets = vec![BudgetReport { budget: "b".into(), events, wanted: 7 }];
    let report = ShareReport { session: SessionId(6), sequence: 3, budgets };
    all.add("node/shares", &ApiRequest::Node { node: 1, request: NodeRequest::Shares(report) });
    let standings = [
        Standing::Unknown { valid_ms: 1 },
        Standing::Window { left: 1, ends_in_ms: 2, window: Some(3) },
        Standing::Unlimited { valid_ms: 1 },
        Standing::Full,
    ];
    let answer = |standing| ShareAnswer { epoch: 1, granted: 2, standing, limit: Some(3), paused_ms: 4 };
    let shares = Response::Shares(SharesAnswer { budgets: standings.map(answer).into() });
    let reply: Result<ApiReply, ApiError> = Ok(ApiReply::Mutated(shares));
    all.add("reply/shares", &reply);
    for (name, trouble) in [
        ("busy", HostTrouble::Busy),
        ("limited", HostTrouble::Limited),
        ("away", HostTrouble::Away { reason: "no".to_owned(), gone_after_ms: 86_400_000 }),
    ] {
        let (host, progress) = ("host.example".to_owned(), None);
        let waits = Finding::WaitsForHost { progress, host, after_ms: 5, trouble };
        all.add(&format!("finding/waits-for-host/{name}"), &waits);
    }
}

fn draft() -> DraftProgress {
    DraftProgress { lease: LeaseId(2), storage: StorageId(3), token: 4, items: 5, based_on: 6 }
}

fn reports(all: &mut Samples) {
    let (session, progress) = (SessionId(6), Progress { cursor: "-1".to_owned(), draft: Some(draft()) });
    let admitted = vec![UserId::Number(77)];
    let failed = Finding::Failed { progress: None, after_ms: 5, reason: "HTTP 503".to_owned(), retry: true };
    let findings = [
        Finding::Advanced(progress.clone()),
        Finding::Discovered { progress: progress.clone(), admitted, discarded: vec!["a@b".parse().unwrap()] },
        Finding::Limited { progress: None, after_ms: 900_000 },
        failed,
        Finding::HandedBack { progress: Some(progress) },
        Finding::Completed { file: true, items: 200 },
        Finding::Gone(GoneReason::NotFound),
        Finding::Published,
        Finding::DraftLost,
        Finding::InputMissing,
    ];
    let findings = findings.into_iter().map(|finding| (JobId(1), LeaseId(2), finding)).collect();
    let report = Report { session, sequence: 3, findings, wants: Wants::any(7) };
    let open = OpenSession {
        node: 1,
        incarnation: 2,
        storage: StorageId(3),
        workers: 4,
        shared: false,
        adopt: true,
    };
    for (name, request) in [
        ("open-session", NodeRequest::OpenSession(open)),
        ("report", NodeRequest::Report(report)),
        ("end-session", NodeRequest::EndSession { session }),
        ("wait-for-work", NodeRequest::WaitForWork { session, wants: Wants::any(7), timeout_ms: 1_000 }),
        ("events-passed", NodeRequest::EventsPassed { through: EventId::default() }),
        ("digest", NodeRequest::Digest { index: 900 }),
    ] {
        all.add(&format!("node/{name}"), &ApiRequest::Node { node: 1, request });
    }
}

fn samples() -> Samples {
    let mut all = Samples::default();
    all.add("greeting/client", &Greeting::of_client())
        .add("greeting/member", &Greeting::of_member(Purpose::Control, CLUSTER, MEMBER, MEMBER))
        .add("greeting/candidate", &Greeting::of_candidate(MEMBER, Some(1)))
        .add("welcome", &Welcome::Welcome { version: 4, cluster: Some(CLUSTER), member: MEMBER })
        .add("welcome/refused", &Welcome::Refused(Refused::Now("no".to_owned())))
        .add("welcome/retired", &Welcome::Refused(Refused::Retired("no".to_owned())));
    requests(&mut all);
    sourced(&mut all);
    money(&mut all);
    shares_and_hosts(&mut all);
    reports(&mut all);
    let formation = Formation { cluster: CLUSTER, name: "twm".to_owned(), disks: [(3, DiskId(30))].into() };
    let candidate = Candidate { name: "twm".to_owned(), member: MEMBER, bind: true };
    let probed = Probed {
        name: "twm".to_owned(),
        member: MEMBER,
        stage: JoinStage::Promised(CLUSTER),
        members: vec![MEMBER],
        peers: [(3, "a:1".to_owned())].into(),
    };
    all.add("join/probe", &JoinRequest::Probe)
        .add("join/prepare", &JoinRequest::Prepare(formation))
        .add("join/begin", &JoinRequest::Begin(CLUSTER))
        .add("join/join", &JoinRequest::Join(candidate))
        .add("joined/probed", &JoinAnswer::Probed(probed))
        .add("joined/done", &JoinAnswer::Done)
        .add("joined/admitted", &JoinAnswer::Admitted(CLUSTER))
        .add("joined/not-now", &JoinAnswer::NotNow("no".to_owned()))
        .add("joined/never", &JoinAnswer::Never("no".to_owned()));
    let reply = |reply: ApiReply| -> Result<ApiReply, ApiError> { Ok(reply) };
    let digest = StateDigest { cluster: 1, jobs: 2, ..StateDigest::default() };
    let replica = |outcome| CheckedReplica { member: MEMBER, outcome };
    let replicas = [
        CheckOutcome::Digest(digest),
        CheckOutcome::NotThere { applied: 7 },
        CheckOutcome::Silent("no".to_owned()),
    ];
    let check = ReplicaCheck { index: 900, replicas: replicas.map(replica).into() };
    all.add("reply/digest", &reply(ApiReply::Digest(DigestAt { applied: 900, digest: Some(digest) })))
        .add("reply/checked", &reply(ApiReply::Checked(check)));
    let error = |error: ApiError| -> Result<ApiReply, ApiError> { Err(error) };
    all.add("reply/done", &reply(ApiReply::Done))
        .add("reply/work", &reply(ApiReply::Work(true)))
        .add("reply/transferred", &reply(ApiReply::Transferred(2)))
        .add("reply/resolved", &reply(ApiReply::Resolved(vec![("anna".to_owned(), UserId::Number(1))])))
        .add("reply/created", &reply(ApiReply::Mutated(Response::CrawlCreated(CrawlId(5)))))
        .add("reply/refused", &error(ApiError::Refused(Refusal::NoSuchCrawl(CrawlId(5)))))
        .add("reply/bad", &error(ApiError::BadRequest("no".to_owned())))
        .add("reply/forbidden", &error(ApiError::Forbidden("no".to_owned())))
        .add("reply/unavailable", &error(ApiError::Unavailable("no".to_owned())));
    // Whole calls as they are sent after their length.
    let call = |call: PeerRequest| {
        let trace = tarpc::trace::Context::default();
        postcard::to_stdvec(&Message::Request { may_take: Duration::from_secs(10), trace, id: 7, call })
            .unwrap()
    };
    let forwarded = Forwarded { by: 1, hops: 1, request: ApiRequest::NodeStatus };
    for (name, request) in [
        ("api", PeerRequest::Api { request: ApiRequest::NodeStatus }),
        ("raft", PeerRequest::Raft { message: Bytes::from_static(b"m") }),
        ("forwarded", PeerRequest::Forwarded { call: forwarded }),
        ("join", PeerRequest::Join { request: JoinRequest::Probe }),
    ] {
        all.0.push((format!("call/{name}"), call(request)));
    }
    all
}

#[test]
fn calls_have_the_form_of_their_version() {
    let today = samples().0;
    // A version that is no longer spoken needs no file.
    assert_eq!(WIRE_VERSIONS, (4, 7), "add the files of each version that is spoken");
    Golden::open("wire-7.txt", &today).is(&today);
    // Existing messages keep their encoding; only the greeting differs, since it lists the versions.
    for old in ["wire-4.txt", "wire-5.txt", "wire-6.txt"] {
        Golden::open(old, &today).is_part_of(&today, |name| name.starts_with("greeting/"));
    }
}
