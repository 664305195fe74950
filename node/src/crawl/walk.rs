//! Walks an account's pages into a draft.

use api::model::{DraftProgress, Finding, Progress};
use api::wire::bounds::MAX_CURSOR;
use storage::dataset::DatasetError;
use storage::dataset::provenance::LEFT_OUT;
use storage::planted::{Bug, planted};

use super::Crawler;
use super::draft::{Draft, Page, Pages, Pushed};
use super::job_error::{JobError, JobStop};
use super::saver::Saver;
use crate::session::Assignment;
use crate::source::CursorWatch;

/// Most consecutive pages without anything new. Some are empty, because all accounts of a page were suspended; a walk
/// with only such pages never ends, even if every cursor is new.
const MOST_FRUITLESS: u32 = 100;

/// A walk in progress.
struct Walk {
    pages: Pages,
    /// Begun with the first item.
    draft: Option<Draft>,
    /// The cursor of the next page; `None` for the first one.
    cursor: Option<String>,
    watch: CursorWatch,
    saver: Saver,
    /// The published file's stamp, taken before the draft is saved for the first time.
    based_on: Option<u64>,
    /// Consecutive pages without anything new.
    fruitless: u32,
}

impl Crawler {
    /// Walks to the end, or down to the tweet `since`. Returns the draft, still open; `None` if there was nothing.
    pub(super) async fn walk(
        &self,
        assignment: &Assignment,
        pages: Pages,
        since: Option<&str>,
    ) -> Result<Option<Draft>, JobStop> {
        let mut walk = self.begin_walk(assignment, pages).await?;
        loop {
            match self.step(assignment, &mut walk, since).await {
                Ok(true) => return Ok(walk.draft),
                Ok(false) => {}
                Err(error) => {
                    let Some(wait) = walk.saver.repeat_after(&error, &*self.parts.entropy) else {
                        return Err(self.halt(assignment, walk, error).await);
                    };
                    tokio::select! {
                        stop = assignment.stopped() => return Err(self.halt(assignment, walk, stop.into()).await),
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// Continues where the job was left, if its draft is still here; otherwise starts over.
    async fn begin_walk(&self, assignment: &Assignment, pages: Pages) -> Result<Walk, JobStop> {
        let saver = Saver::new(&*self.parts.clock);
        let job = &assignment.job;
        let (watch, fruitless) = (CursorWatch::new(), 0);
        let mut walk = Walk { pages, draft: None, cursor: None, watch, saver, based_on: None, fruitless };
        let Some(Progress { cursor, draft: Some(from) }) = job.progress.clone() else { return Ok(walk) };
        let based_on = self.stamp(assignment, &mut walk).await?;
        if from.based_on != based_on && !planted(Bug::UpdateOverNewer) {
            tracing::info!(user = %job.user, "a walk starts over: its file was changed while the job waited");
            return Ok(walk);
        }
        let (dataset, account, lease) = (self.parts.dataset.clone(), job.account(), job.lease.0);
        let resumed = self.on_disk(move || match Draft::resume(&*dataset, pages, &account, &from, lease) {
            Ok(draft) => Ok(Ok(draft)),
            Err(missing @ DatasetError::DraftMissing { .. }) => Ok(Err(missing)),
            Err(other) => Err(other),
        });
        match resumed.await? {
            Ok(draft) => {
                walk.draft = Some(draft);
                walk.cursor = Some(cursor);
                assignment.resumed();
            }
            Err(missing) => tracing::warn!(user = %job.user, "a walk starts over: {missing}"),
        }
        Ok(walk)
    }

    /// Fetches one page. `true` at the end of the walk.
    async fn step(
        &self,
        assignment: &Assignment,
        walk: &mut Walk,
        since: Option<&str>,
    ) -> Result<bool, JobError> {
        if let Some(stop) = assignment.stop() {
            return Err(stop.into());
        }
        let network = self.network(&assignment.job.source)?;
        let user = &assignment.job.user;
        let page = tokio::select! {
            biased;
            stop = assignment.stopped() => return Err(stop.into()),
            page = self.page(network, (walk.pages, assignment.job.crawl, user), walk.cursor.as_deref(), since) => page?,
        };
        if page.unusable() > 0 {
            tracing::warn!(%user, count = page.unusable(), "left out items without a usable id");
            assignment.cut_short(LEFT_OUT);
        }
        let next = page.next().map(str::to_owned);
        if let Some(next) = &next {
            if next.len() > MAX_CURSOR {
                let what = format!(
                    "user {user}: the next page has a cursor of {} bytes, which is garbage",
                    next.len()
                );
                return Err(JobError::Retryable { what, after: None });
            }
            if let Err(loops) = walk.watch.check(next) {
                return Err(JobError::CursorLoop { what: format!("user {user}: {loops}") });
            }
        }
        let new = self.write_all(assignment, walk, page).await?;
        let Some(next) = next else { return Ok(true) };
        walk.fruitless = if new > 0 { 0 } else { walk.fruitless + 1 };
        if walk.fruitless > MOST_FRUITLESS {
            let what = format!(
                "user {user}: {MOST_FRUITLESS} pages in a row brought nothing new and none was the last; the walk has to start over"
            );
            return Err(JobError::CursorLoop { what });
        }
        walk.cursor = Some(next);
        walk.saver.page_done();
        if walk.saver.is_due(&*self.parts.clock) {
            if let Some(progress) = self.save(assignment, walk).await? {
                assignment.report(Finding::Advanced(progress)).await;
            }
        }
        Ok(false)
    }

    /// Writes a page and what its answer has beyond it, of which one page at a time is in memory. Returns the number of
    /// new items.
    async fn write_all(
        &self,
        assignment: &Assignment,
        walk: &mut Walk,
        mut page: Page,
    ) -> Result<u64, JobError> {
        let mut rest = page.take_rest();
        let mut new = self.write(assignment, walk, page).await?;
        while let Some(mut more) = rest.take() {
            if let Some(stop) = assignment.stop() {
                return Err(stop.into());
            }
            let read = self.parts.work.run(move || {
                let page = more.next_page();
                page.map(|page| page.map(|page| (more, page)))
            });
            let user = &assignment.job.user;
            let read = read.await.map_err(|lost| JobError::DraftLost { what: lost.to_string() })?;
            let read = read
                .map_err(|what| JobError::Retryable { what: format!("user {user}: {what}"), after: None })?;
            let Some((more, page)) = read else { break };
            self.tell_items(assignment.job.operation, page.items().len());
            if page.unusable > 0 {
                tracing::warn!(%user, count = page.unusable, "left out items without a usable id");
            }
            new += self.write(assignment, walk, Page::Timeline(page)).await?;
            rest = Some(more);
        }
        Ok(new)
    }

    /// Returns the number of new items.
    async fn write(&self, assignment: &Assignment, walk: &mut Walk, page: Page) -> Result<u64, JobError> {
        if page.is_empty() {
            assignment.page_done(0);
            return Ok(0);
        }
        if let Some(stop) = assignment.stop() {
            return Err(stop.into());
        }
        let pages = walk.pages;
        let (draft, Pushed { new, left_out }) =
            self.with_draft(assignment, walk, move |draft| draft.push(&page)).await?;
        walk.draft = Some(draft);
        if left_out {
            assignment.cut_short(LEFT_OUT);
        }
        assignment.page_done(new);
        match pages {
            Pages::Timeline => self.counters.add_tweets(new),
            Pages::Followers => self.counters.add_followers(new),
        }
        Ok(new)
    }

    /// The published file's stamp. A walk that is never saved does without: on a remote dataset, it is a request.
    async fn stamp(&self, assignment: &Assignment, walk: &mut Walk) -> Result<u64, JobError> {
        if let Some(stamp) = walk.based_on {
            return Ok(stamp);
        }
        // No other job writes the file while this one has its lease.
        let key = walk.pages.file(&assignment.job.account());
        let dataset = self.parts.dataset.clone();
        let stamp = self.on_disk(move || dataset.stamp(&key)).await?;
        walk.based_on = Some(stamp);
        Ok(stamp)
    }

    /// Makes the draft durable; `None` if nothing was added since.
    async fn save(&self, assignment: &Assignment, walk: &mut Walk) -> Result<Option<Progress>, JobError> {
        let Some(cursor) = walk.cursor.clone().filter(|_| walk.saver.has_unsaved()) else { return Ok(None) };
        let based_on = self.stamp(assignment, walk).await?;
        let (draft, saved) = self.with_draft(assignment, walk, Draft::save_point).await?;
        walk.draft = Some(draft);
        self.dataset_health.written(&*self.parts.clock);
        walk.saver.saved(&*self.parts.clock);
        let (lease, storage) = (assignment.job.lease, self.parts.storage);
        let (token, items) = (saved.token, saved.items);
        let draft = DraftProgress { lease, storage, token, items, based_on };
        Ok(Some(Progress { cursor, draft: Some(draft) }))
    }

    /// Works on the walk's draft, which is begun if necessary.
    async fn with_draft<T: Send + 'static>(
        &self,
        assignment: &Assignment,
        walk: &mut Walk,
        work: impl FnOnce(&mut Draft) -> Result<T, DatasetError> + Send + 'static,
    ) -> Result<(Draft, T), JobError> {
        let (draft, pages, dataset) = (walk.draft.take(), walk.pages, self.parts.dataset.clone());
        let (account, lease) = (assignment.job.account(), assignment.job.lease.0);
        self.on_disk(move || {
            let mut draft = match draft {
                Some(draft) => draft,
                None => Draft::begin(&*dataset, pages, &account, lease)?,
            };
            let value = work(&mut draft)?;
            Ok((draft, value))
        })
        .await
    }

    /// Saves the progress before the job stops.
    async fn halt(&self, assignment: &Assignment, mut walk: Walk, error: JobError) -> JobStop {
        match error {
            JobError::Abandoned
            | JobError::Gone(_)
            | JobError::DraftLost { .. }
            | JobError::DatasetDown { .. } => {
                return error.into();
            }
            JobError::CursorLoop { .. } => return JobStop { error, progress: Some(from_the_beginning()) },
            JobError::HandBack
            | JobError::Limited { .. }
            | JobError::NoMoney { .. }
            | JobError::HostWaits { .. }
            | JobError::Retryable { .. }
            | JobError::SourceDown { .. }
            | JobError::Permanent { .. }
            | JobError::NoAddress(_) => {}
        }
        match self.save(assignment, &mut walk).await {
            Ok(progress) => JobStop { error, progress },
            Err(error) => JobStop { error, progress: None },
        }
    }
}

/// Progress that revokes what was reported before: an attempt that reports none continues from there.
fn from_the_beginning() -> Progress {
    Progress { cursor: String::new(), draft: None }
}
