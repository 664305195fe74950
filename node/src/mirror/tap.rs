//! Records fetched profiles and published timelines for the mirror.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use api::model::Operation;
use futures::FutureExt;
use futures::future::BoxFuture;
use storage::dataset::{Account, Dataset, DatasetError, FileKey, FileKind, Result, SourceName};
use storage::ids::{PostId, UserId};

use super::spool::{Item, Spool};
use crate::http_client::HttpClient;
use crate::rate::BudgetScope;
use crate::session::PublicationHook;
use crate::source::{
    Answer, Endpoint, FollowersPage, HostCheck, HostReport, Lead, MorePosts, Profile, Source, TimelinePage,
    Trail,
};

/// What was recorded and is not sent yet.
pub(super) struct Tap {
    pub(super) spool: Spool,
    /// Items fetched since the last pulse, by [`Operation::index`].
    fetched: [AtomicU64; 4],
    /// Timelines that are being published: until they are, their files are the old ones.
    publishing: Mutex<BTreeMap<Account, usize>>,
}

impl Tap {
    pub(super) fn new(spool: Spool) -> Self {
        Self { spool, fetched: Default::default(), publishing: Mutex::default() }
    }

    fn count(&self, operation: Operation, items: usize) {
        self.fetched[operation.index()].fetch_add(items as u64, Ordering::Relaxed);
    }

    /// Takes and resets a counter.
    pub(super) fn take_fetched(&self, operation: Operation) -> u64 {
        self.fetched[operation.index()].swap(0, Ordering::Relaxed)
    }

    pub(super) fn is_publishing(&self, account: &Account) -> bool {
        self.publishing().contains_key(account)
    }

    /// Keeps profiles, each as the network sent it, until they are sent.
    async fn keep(self: &Arc<Self>, source: &SourceName, profiles: &[Profile]) {
        if profiles.is_empty() {
            return;
        }
        let texts = profiles.iter().map(|profile| (profile.id.clone(), profile.raw.get().to_owned()));
        let (tap, item) = (self.clone(), Item::profiles(source, texts.collect()));
        if let Err(broken) = tokio::task::spawn_blocking(move || tap.spool.add(&item)).await {
            tracing::warn!("profiles are not mirrored: {broken}");
        }
    }

    fn publishing(&self) -> std::sync::MutexGuard<'_, BTreeMap<Account, usize>> {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A source that counts pages and mirrors profiles.
pub(super) struct TappedSource {
    pub(super) name: SourceName,
    pub(super) source: Arc<dyn Source>,
    pub(super) tap: Arc<Tap>,
}

impl TappedSource {
    async fn keep(&self, answer: Answer<Vec<Profile>>) -> Answer<Vec<Profile>> {
        if let Ok(profiles) = &answer.outcome {
            self.tap.count(Operation::Analysis, profiles.len());
            self.tap.keep(&self.name, profiles).await;
        }
        answer
    }
}

impl Source for TappedSource {
    fn kind(&self) -> &'static str {
        self.source.kind()
    }

    fn probe_name(&self) -> Option<&str> {
        self.source.probe_name()
    }

    fn host_checks(&self) -> Vec<HostCheck> {
        self.source.host_checks()
    }

    fn check_host<'a>(
        &'a self,
        via: &'a HttpClient,
        check: &'a HostCheck,
    ) -> BoxFuture<'a, Answer<HostReport>> {
        self.source.check_host(via, check)
    }

    fn has_one_host(&self, endpoint: Endpoint) -> bool {
        self.source.has_one_host(endpoint)
    }

    fn place(&self) -> String {
        self.source.place()
    }

    fn scope(&self, endpoint: Endpoint, user: Option<&UserId>) -> BudgetScope {
        self.source.scope(endpoint, user)
    }

    fn page_scope(&self, endpoint: Endpoint, user: &UserId, cursor: Option<&str>) -> BudgetScope {
        self.source.page_scope(endpoint, user, cursor)
    }

    fn is_located(&self, endpoint: Endpoint, user: &UserId) -> bool {
        self.source.is_located(endpoint, user)
    }

    fn locate<'a>(&'a self, via: &'a HttpClient, user: &'a UserId) -> BoxFuture<'a, Answer<()>> {
        self.source.locate(via, user)
    }

    fn timeline_endpoint(&self, cursor: Option<&str>, since: Option<&str>) -> Endpoint {
        self.source.timeline_endpoint(cursor, since)
    }

    fn followers_come_whole(&self) -> bool {
        self.source.followers_come_whole()
    }

    fn lookup_batch(&self) -> usize {
        self.source.lookup_batch()
    }

    fn most_items(&self, endpoint: Endpoint) -> Option<u64> {
        self.source.most_items(endpoint)
    }

    fn timeline_page<'a>(
        &'a self,
        via: &'a HttpClient,
        user: &'a UserId,
        cursor: Option<&'a str>,
        since: Option<&'a str>,
    ) -> BoxFuture<'a, Answer<TimelinePage>> {
        let operation = if since.is_some() { Operation::Update } else { Operation::Timeline };
        let page = self.source.timeline_page(via, user, cursor, since);
        page.map(move |answer| {
            answer.and_then(|mut page| {
                self.tap.count(operation, page.items().len());
                let tapped = |rest| {
                    Box::new(TappedRest { rest, tap: self.tap.clone(), operation }) as Box<dyn MorePosts>
                };
                page.rest = page.rest.take().map(tapped);
                Ok(page)
            })
        })
        .boxed()
    }

    fn followers_page<'a>(
        &'a self,
        via: &'a HttpClient,
        user: &'a UserId,
        cursor: Option<&'a str>,
    ) -> BoxFuture<'a, Answer<FollowersPage>> {
        async move {
            let answer = self.source.followers_page(via, user, cursor).await;
            if let Ok(page) = &answer.outcome {
                self.tap.count(Operation::Followers, page.ids.len());
                self.tap.keep(&self.name, &page.profiles).await;
            }
            answer
        }
        .boxed()
    }

    fn lookup<'a>(&'a self, via: &'a HttpClient, ids: &'a [UserId]) -> BoxFuture<'a, Answer<Vec<Profile>>> {
        async move { self.keep(self.source.lookup(via, ids).await).await }.boxed()
    }

    fn resolve<'a>(
        &'a self,
        via: &'a HttpClient,
        names: &'a [String],
    ) -> BoxFuture<'a, Answer<Vec<Profile>>> {
        async move { self.keep(self.source.resolve(via, names).await).await }.boxed()
    }

    fn first_lead(&self, name: &str) -> Option<Lead> {
        self.source.first_lead(name)
    }

    fn follow_lead<'a>(&'a self, via: &'a HttpClient, lead: &'a Lead) -> BoxFuture<'a, Answer<Trail>> {
        self.source.follow_lead(via, lead)
    }
}

/// The rest of a long answer, counted as it is read.
struct TappedRest {
    rest: Box<dyn MorePosts>,
    tap: Arc<Tap>,
    operation: Operation,
}

impl fmt::Debug for TappedRest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rest.fmt(f)
    }
}

impl MorePosts for TappedRest {
    fn next_page(&mut self) -> std::result::Result<Option<TimelinePage>, String> {
        let page = self.rest.next_page()?;
        self.tap.count(self.operation, page.as_ref().map_or(0, |page| page.items().len()));
        Ok(page)
    }
}

/// Mirrors published timelines.
pub(super) struct TimelineTap {
    pub(super) dataset: Arc<dyn Dataset>,
    pub(super) tap: Arc<Tap>,
}

impl TimelineTap {
    fn newest(&self, account: &Account) -> Result<Option<PostId>> {
        match self.dataset.newest_post(account) {
            Err(error @ DatasetError::SetAside { .. }) => {
                tracing::warn!(user = %account.user, "{error}");
                Ok(None)
            }
            other => other,
        }
    }
}

impl PublicationHook for TimelineTap {
    /// Recorded before the file has its name: a crash in between then costs a read of an old file, while the reverse order
    /// would lose the tweets.
    fn before(&self, key: &FileKey) -> Result<()> {
        if key.kind != FileKind::Timeline {
            return Ok(());
        }
        let since = self.newest(&key.account)?;
        *self.tap.publishing().entry(key.account.clone()).or_default() += 1;
        self.tap.spool.add(&Item::timeline(key.account.clone(), since));
        Ok(())
    }

    fn after(&self, key: &FileKey) {
        let mut publishing = self.tap.publishing();
        let is_timeline = key.kind == FileKind::Timeline;
        if let Some(count) = publishing.get_mut(&key.account).filter(|_| is_timeline) {
            *count -= 1;
            if *count == 0 {
                publishing.remove(&key.account);
            }
        }
    }
}
