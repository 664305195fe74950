//! A network that has to be asked where an account is, and sends its whole timeline in one answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use node::http_client::HttpClient;
use node::rate::{BudgetScope, Delivery, Per, RateInfo};
use node::source::{
    Answer, Asked, Endpoint, FollowersPage, MorePosts, Profile, Source, SourceError, TimelinePage,
};
use storage::ids::{PostId, UserId};

use super::rig::{Folder, LIMITS, Rig, tweets, world};
use super::tracker::LocalTracker;

/// Tweets of an account, and of a page of its one answer.
const TWEETS: u64 = 2_500;
const PAGE: u64 = 400;

/// Where accounts are: they move once, at the first request.
#[derive(Default)]
struct Network {
    located: AtomicUsize,
    moved: AtomicUsize,
    timelines: AtomicU64,
    /// Pages of the first answer before it turns out to be damaged; 0: it is sound.
    sound_pages: u64,
}

#[derive(Debug)]
struct Rest {
    user: u64,
    left: u64,
    sound_pages: Option<u64>,
}

impl Rest {
    fn page(&mut self) -> TimelinePage {
        let mut page = TimelinePage::default();
        for n in (self.left.saturating_sub(PAGE) + 1..=self.left).rev() {
            let id = self.user * 10_000 + n;
            page.push(PostId::Number(id), &format!("{{\"id\":{id}}}"));
        }
        self.left = self.left.saturating_sub(PAGE);
        page
    }
}

impl MorePosts for Rest {
    fn next_page(&mut self) -> Result<Option<TimelinePage>, String> {
        if let Some(left) = &mut self.sound_pages {
            *left = left.checked_sub(1).ok_or("the rest is damaged")?;
        }
        Ok((self.left > 0).then(|| self.page()))
    }
}

fn answer<T: Send + 'static>(outcome: Result<T, SourceError>) -> BoxFuture<'static, Answer<T>> {
    let rate = RateInfo { delivery: Delivery::Answered(200), ..RateInfo::not_sent() };
    ready(Answer { outcome, rate, cost: 0 }).boxed()
}

impl Source for Network {
    fn kind(&self) -> &'static str {
        "network"
    }

    fn place(&self) -> String {
        "nowhere".to_owned()
    }

    fn probe_name(&self) -> Option<&str> {
        None
    }

    fn scope(&self, endpoint: Endpoint, _user: Option<&UserId>) -> BudgetScope {
        BudgetScope::new(&format!("{endpoint:?}"), Per::Address)
    }

    fn is_located(&self, _endpoint: Endpoint, _user: &UserId) -> bool {
        self.located.load(Ordering::SeqCst) > self.moved.load(Ordering::SeqCst)
    }

    fn locate<'a>(&'a self, _via: &'a HttpClient, _user: &'a UserId) -> BoxFuture<'a, Answer<()>> {
        self.located.fetch_add(1, Ordering::SeqCst);
        answer(Ok(()))
    }

    fn timeline_endpoint(&self, cursor: Option<&str>, _since: Option<&str>) -> Endpoint {
        if cursor.is_none() { Endpoint::Repository } else { Endpoint::Timeline }
    }

    fn lookup_batch(&self) -> usize {
        100
    }

    fn timeline_page<'a>(
        &'a self,
        _via: &'a HttpClient,
        user: &'a UserId,
        _cursor: Option<&'a str>,
        _since: Option<&'a str>,
    ) -> BoxFuture<'a, Answer<TimelinePage>> {
        if self.moved.swap(1, Ordering::SeqCst) == 0 {
            let asked = Asked { url: "https://old.example".into(), user: Some(user.clone()) };
            return answer(Err(SourceError::Moved { asked }));
        }
        let first = self.timelines.fetch_add(1, Ordering::SeqCst) == 0;
        let UserId::Number(user) = *user else { panic!("{user}") };
        let sound_pages = (first && self.sound_pages > 0).then_some(self.sound_pages);
        let mut rest = Rest { user, left: TWEETS, sound_pages };
        let mut page = rest.page();
        page.rest = Some(Box::new(rest));
        answer(Ok(page))
    }

    fn followers_page<'a>(
        &'a self,
        _via: &'a HttpClient,
        _user: &'a UserId,
        _cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Answer<FollowersPage>> {
        answer(Ok(FollowersPage::default()))
    }

    fn lookup<'a>(&'a self, _via: &'a HttpClient, _ids: &'a [UserId]) -> BoxFuture<'a, Answer<Vec<Profile>>> {
        answer(Ok(Vec::new()))
    }

    fn resolve<'a>(
        &'a self,
        _via: &'a HttpClient,
        _names: &'a [String],
    ) -> BoxFuture<'a, Answer<Vec<Profile>>> {
        answer(Ok(Vec::new()))
    }
}

fn expected(user: u64) -> Vec<u64> {
    tweets(10 * user, TWEETS)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_located_again_once_it_has_moved_and_its_one_answer_is_written_whole() {
    let (network, tracker, folder) = (Arc::new(Network::default()), LocalTracker::new(LIMITS), Folder::new());
    let rig = Rig::start_with_source(network.clone(), &tracker, &folder, world().0).await;
    let crawl = tracker.submit("T", &[7]);
    let done = tracker.finished(crawl).await;
    assert_eq!(folder.timeline(7), expected(7));
    assert_eq!((network.located.load(Ordering::SeqCst), network.timelines.load(Ordering::SeqCst)), (2, 1));
    assert_eq!(done.counters.users.failed, 0, "{done:?}");
    let requests = rig.crawler.as_ref().unwrap().counters().requests();
    let count = |endpoint| requests.iter().filter(|r| r.endpoint == endpoint).map(|r| r.count).sum::<u64>();
    assert_eq!((count("locate"), count("repository"), count("timeline")), (2, 2, 0));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_end_is_damaged_is_fetched_again_and_nothing_of_it_is_published() {
    let network = Arc::new(Network { sound_pages: 3, ..Network::default() });
    let (tracker, folder) = (LocalTracker::new(LIMITS), Folder::new());
    let rig = Rig::start_with_source(network.clone(), &tracker, &folder, world().0).await;
    let crawl = tracker.submit("T", &[7]);
    tracker.finished(crawl).await;
    assert_eq!(network.timelines.load(Ordering::SeqCst), 2);
    assert_eq!(folder.timeline(7), expected(7));
    assert_eq!(tracker.errors(crawl).len(), 0);
    rig.stop().await;
}
