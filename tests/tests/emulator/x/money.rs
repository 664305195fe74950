//! The ledger, the source and the double together: what is billed is never more than a limit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::model::{AppTerms, Change, CrawlId, CycleRule, Outcome, SessionId, SpendReport};
use node::follow::FollowRule;
use node::http_client::HttpClient;
use node::rate::Delivery;
use node::source::x::{Terms, XSource};
use node::source::{Endpoint, Source};
use raft::state::spend::{Share, Spend};
use storage::env::{Entropy, ManualClock, SeededEntropy};
use storage::ids::UserId;
use twm_tests::emulator::x::{Billing, XEmulator, XFault};

use super::source::{settings, via};
use super::{double, prolific};

const HOUR: u64 = 3600;
const CRAWL: CrawlId = CrawlId(1);

/// A node's session: its shares by app, and its reports.
struct Session {
    id: SessionId,
    sequence: u64,
    shares: [Share; 2],
    latest: [u64; 2],
}

impl Session {
    fn open(id: u64, spend: &mut Spend) -> Self {
        spend.open_session(SessionId(id)).unwrap();
        Self { id: SessionId(id), sequence: 0, shares: [Share::new(), Share::new()], latest: [0; 2] }
    }

    /// Reports what became of the shares, and asks for a block of `app`.
    fn report(
        &mut self,
        spend: &mut Spend,
        source: &XSource,
        app: usize,
        least: u64,
        wanted: u64,
    ) -> Outcome {
        self.sequence += 1;
        let (mut changes, mut dates) = (Vec::new(), Vec::new());
        for at in 0..2 {
            dates.push((source.app_name(at).into(), self.latest[at]));
            changes.extend(self.shares[at].settlement(&source.app_name(at).into(), CRAWL));
        }
        changes.push(Change::Reserve { app: source.app_name(app).into(), crawl: CRAWL, least, wanted });
        let report = SpendReport { apps: Vec::new(), sequence: self.sequence, dates, changes };
        let reported = spend.report(self.id, &report).unwrap();
        spend.check().unwrap();
        let outcome = *reported.outcomes.last().unwrap();
        if let Outcome::Granted { amount } = outcome {
            self.shares[app].granted(amount);
        }
        outcome
    }

    /// A page of followers or posts, as large as the share allows. `false` if it allows none.
    async fn page(&mut self, source: &XSource, via: &HttpClient, endpoint: Endpoint, user: u64) -> bool {
        let user = UserId::Number(user);
        let Terms { app, .. } = source.terms(endpoint, Some(&user));
        let free = self.shares[app].free();
        let Some(size) = source.largest_page(endpoint, free).map(|size| size.min(20)) else { return false };
        let worst = source.worst_cost(endpoint, size).micros(source.prices());
        let taken = self.shares[app].take(worst).unwrap();
        let terms = Terms { app, size };
        let (rate, cost) = match endpoint {
            Endpoint::Timeline => {
                let answer = source.posts(via, &user, None, None, terms).await;
                (answer.rate, answer.cost)
            }
            _ => {
                let answer = source.followers(via, &user, None, terms).await;
                (answer.rate, answer.cost)
            }
        };
        self.latest[app] = self.latest[app].max(rate.date.unwrap_or(0));
        match rate.delivery {
            Delivery::Answered(_) => self.shares[app].answered(taken, cost),
            Delivery::NotSent => self.shares[app].not_sent(taken),
            Delivery::Unanswered => self.shares[app].unanswered(taken),
        }
        true
    }
}

async fn world(limit: u64) -> (XEmulator, Arc<ManualClock>, Spend) {
    let clock = Arc::new(ManualClock::at_wall(Duration::from_secs(500_000 * HOUR / 2 + 600)));
    let billing = Billing { cycle: Duration::from_secs(HOUR), ..Billing::default() };
    let double = double().billing(billing).clock(Arc::clone(&clock) as Arc<_>).start().await.unwrap();
    let mut spend = Spend::default();
    for app in ["one", "two"] {
        let terms = AppTerms { limit, cycle: CycleRule::Every { seconds: HOUR }, margin: 300 };
        spend.set_app(app, terms).unwrap();
    }
    spend.set_crawl(CRAWL, None).unwrap();
    (double, clock, spend)
}

fn billed(double: &XEmulator, app: &str, cycle: u64) -> u64 {
    double.bill(app, Some(cycle)).micros(&double.billing().prices)
}

#[tokio::test]
async fn with_every_answer_the_ledger_agrees_with_the_bill_to_the_last_object() {
    let (double, _, mut spend) = world(u64::MAX / 2).await;
    let (source, via) = (XSource::new(settings(&double)).unwrap(), via());
    let mut session = Session::open(1, &mut spend);
    for user in double.users(0, 40) {
        for endpoint in [Endpoint::Timeline, Endpoint::Followers] {
            let app = source.terms(endpoint, Some(&UserId::Number(user))).app;
            session.report(&mut spend, &source, app, 10_000, 200_000);
            assert!(session.page(&source, &via, endpoint, user).await);
        }
    }
    session.report(&mut spend, &source, 0, 1, 1);
    let status = spend.status();
    let spent: BTreeMap<&str, u64> = status.apps.iter().map(|(name, app)| (&**name, app.spent)).collect();
    for app in ["one", "two"] {
        assert!(spent[app] > 0);
        assert_eq!(spent[app], billed(&double, app, double.cycle()), "{app}");
    }
}

#[tokio::test]
async fn kills_lost_answers_and_turns_of_the_cycle_never_bill_more_than_the_limit() {
    const LIMIT: u64 = 1_500_000;
    let (double, clock, mut spend) = world(LIMIT).await;
    let (source, via) = (XSource::new(settings(&double)).unwrap(), via());
    let dice = SeededEntropy::new(3);
    let below = |bound: u64| dice.next_u64() % bound;
    let mut sessions = [Session::open(1, &mut spend), Session::open(2, &mut spend)];
    let (mut next, first, mut waits) = (3, double.cycle(), 0);
    for _ in 0..1500 {
        clock.advance(Duration::from_secs(below(10)));
        let at = below(2) as usize;
        if below(40) == 0 {
            spend.end_session(sessions[at].id);
            sessions[at] = Session::open(next, &mut spend);
            next += 1;
        }
        let endpoint = if below(2) == 0 { Endpoint::Timeline } else { Endpoint::Followers };
        let user = 1 + below(60);
        let app = source.terms(endpoint, Some(&UserId::Number(user))).app;
        let session = &mut sessions[at];
        if session.shares[app].free() < 200_000 {
            match session.report(&mut spend, &source, app, 50_000, 400_000) {
                Outcome::Wait { .. } => {
                    waits += 1;
                    clock.advance(Duration::from_secs(60));
                    let date = source.date(&via).await.unwrap();
                    session.latest = session.latest.map(|latest| latest.max(date));
                }
                other => assert!(matches!(other, Outcome::Granted { .. }), "{other:?}"),
            }
        }
        let fault = [XFault::LoseAnswer, XFault::CutShort, XFault::Unavailable].get(below(30) as usize);
        double.plan_faults(fault.map(|fault| Some(*fault)));
        session.page(&source, &via, endpoint, user).await;
        for cycle in first..=double.cycle() {
            for app in ["one", "two"] {
                let billed = billed(&double, app, cycle);
                assert!(billed <= LIMIT, "{app} was billed {billed} in cycle {cycle}");
            }
        }
    }
    let (cycles, used) = (double.cycle() - first, billed(&double, "one", first));
    assert!(cycles >= 3 && next > 20 && waits > 10, "{cycles} cycles, {next} sessions, {waits} waits");
    assert!(used * 10 >= LIMIT * 6, "only {used} of {LIMIT} were used");
}

#[tokio::test]
async fn follow_rules_see_the_names_of_all_networks() {
    let (double, _, _) = world(1).await;
    let source = XSource::new(settings(&double)).unwrap();
    let user = UserId::Number(prolific(&double));
    let profiles = source.lookup(&via(), &[user]).await.outcome.unwrap();
    let admits = |rule: &str| FollowRule::compile(rule).unwrap().admits(&profiles[0]).unwrap();
    assert!(admits("user.followers_count >= 0 && user.statuses_count > 20 && user.posts_count > 20"));
    assert!(admits("user.screen_name == user.raw.username && user.raw.public_metrics.tweet_count > 20"));
    assert!(admits("!user.protected && string(user.id) == user.id_str && !has(user.lang)"));
}
