//! `A`: chooses the followers with which the crawl continues.
//!
//! What a look-up finds is reported in groups. The profiles of a group are durable before it is reported: the crawl
//! then knows these accounts and never looks them up again.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api::model::{CrawlSpec, Finding, Job, Progress};
use storage::dataset::{Account, DatasetError, Followers};
use storage::ids::UserId;

use super::Crawler;
use super::job_error::{JobError, JobStop};
use super::profiles::Kept;
use super::saver::Saver;
use crate::follow::FollowRule;
use crate::session::Assignment;
use crate::source::Profile;

/// Followers read at a time.
const READ: usize = 5000;
/// Most accounts of one step whose profiles came along.
const CAME: usize = 100;
/// A group of this many accounts is reported.
const GROUP: usize = 500;
/// Attempts of an analysis in which a host that fails stops it.
const ATTEMPTS: u32 = 2;
/// How long this replica may take to learn of a crawl whose job the leader has granted.
const CATCH_UP: Duration = Duration::from_secs(5);
const CATCH_UP_STEP: Duration = Duration::from_millis(20);

/// A follower list that is being read.
struct Reading {
    /// Absent while a blocking thread has it.
    followers: Option<Followers>,
    /// The list's stamp.
    list: u64,
    /// Followers read.
    read: u64,
    /// Followers that the crawl does not know, with the number of followers up to each.
    candidates: VecDeque<(UserId, u64)>,
    at_end: bool,
    /// Profiles looked up.
    looked_up: u64,
    /// Accounts that were looked up and not reported.
    admitted: Vec<UserId>,
    discarded: Vec<UserId>,
    kept: Kept,
}

/// The result of opening the list.
enum Opened {
    Reading(Box<Reading>),
    Missing,
}

impl Crawler {
    pub(super) async fn analyse(&self, assignment: &Assignment) -> Result<Finding, JobStop> {
        let spec = self.spec(assignment).await?;
        let rule = match self.rules.of(&self.parts.work, assignment.job.crawl, &spec).await {
            Ok(rule) => rule,
            Err(what) => return Err(JobError::Permanent { what }.into()),
        };
        let Opened::Reading(mut reading) = self.open_list(assignment).await? else {
            return Ok(Finding::InputMissing);
        };
        reading.kept = self.resume_profiles(assignment).await?;
        let mut saver = Saver::new(&*self.parts.clock);
        loop {
            match self.analyse_step(assignment, &mut reading, rule.as_ref(), &mut saver).await {
                Ok(Step::More) => {}
                Ok(Step::Done) => {
                    self.report_rest(assignment, &mut reading).await?;
                    let Reading { kept, looked_up, .. } = *reading;
                    return Ok(self.finish_profiles(assignment, kept, looked_up).await?);
                }
                Ok(Step::Unreadable) => {
                    self.report_rest(assignment, &mut reading).await?;
                    return Ok(Finding::InputMissing);
                }
                Err(error) => {
                    let Some(wait) = saver.repeat_after(&error, &*self.parts.entropy) else {
                        return Err(self.stop_analysis(assignment, *reading, error).await);
                    };
                    tokio::select! {
                        stop = assignment.stopped() => {
                            return Err(self.stop_analysis(assignment, *reading, stop.into()).await);
                        }
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }

    /// The crawl's specification, which a replica behind the leader may not have yet.
    async fn spec(&self, assignment: &Assignment) -> Result<CrawlSpec, JobError> {
        let crawl = assignment.job.crawl;
        let known = async {
            loop {
                match self.parts.tracker.crawl_spec(crawl) {
                    Some(spec) => return spec,
                    None => tokio::time::sleep(CATCH_UP_STEP).await,
                }
            }
        };
        tokio::time::timeout(CATCH_UP, known).await.map_err(|_| JobError::Retryable {
            what: format!("this node's replica does not know crawl {crawl} yet; see whether it keeps up"),
            after: None,
        })
    }

    async fn open_list(&self, assignment: &Assignment) -> Result<Opened, JobError> {
        let job = &assignment.job;
        let (dataset, account) = (self.parts.dataset.clone(), job.account());
        let saved = job.progress.as_ref().and_then(|progress| Place::parse(&progress.cursor));
        self.on_disk(move || {
            // Taken before the list is opened, so that a list published in between counts as another one
            // later.
            let list = dataset.stamp(&account.followers())?;
            let done = saved.filter(|saved| saved.list == list).map_or(0, |saved| saved.done);
            let mut followers = match dataset.open_followers(&account) {
                Ok(Some(followers)) => followers,
                Ok(None) => return Ok(Opened::Missing),
                Err(error) => {
                    return missing_if_unreadable(&*dataset, &account, list, error).map(|_| Opened::Missing);
                }
            };
            for _ in 0..done {
                match followers.next() {
                    Some(Ok(_)) => {}
                    Some(Err(error)) => {
                        return missing_if_unreadable(&*dataset, &account, list, error)
                            .map(|_| Opened::Missing);
                    }
                    None => break,
                }
            }
            Ok(Opened::Reading(Box::new(Reading {
                followers: Some(followers),
                list,
                read: done,
                candidates: VecDeque::new(),
                at_end: false,
                looked_up: 0,
                admitted: Vec::new(),
                discarded: Vec::new(),
                kept: Kept::Off,
            })))
        })
        .await
    }

    /// Reads until there are enough candidates for a full look-up, and looks them up.
    async fn analyse_step(
        &self,
        assignment: &Assignment,
        reading: &mut Reading,
        rule: Option<&Arc<FollowRule>>,
        saver: &mut Saver,
    ) -> Result<Step, JobError> {
        if let Some(stop) = assignment.stop() {
            return Err(stop.into());
        }
        let network = self.network(&assignment.job.source)?;
        let batch = network.source.lookup_batch().max(1);
        if !reading.at_end && reading.candidates.len() < batch {
            if !self.read_on(assignment, reading).await? {
                return Ok(Step::Unreadable);
            }
            saver.page_done();
            self.report_if_due(assignment, reading, saver).await?;
            return Ok(Step::More);
        }
        if reading.candidates.is_empty() {
            return Ok(Step::Done);
        }
        let candidates = reading.candidates.iter().map(|(user, _)| user);
        // What came with the list need not be looked up, if it says what the rule asks for.
        let is_whole = network.source.followers_come_whole();
        let says_all = |profile: &Profile| is_whole || rule.is_none_or(|rule| rule.is_decided_by(profile));
        let now = self.parts.clock.monotonic();
        let came = network.came_along.first_of(candidates.clone().take(CAME), now, says_all);
        let (users, profiles) = match came.is_empty() {
            false => (candidates.take(came.len()).cloned().collect(), came),
            true => {
                let mut users: Vec<UserId> = candidates.take(batch).cloned().collect();
                let profiles = tokio::select! {
                    biased;
                    stop = assignment.stopped() => return Err(stop.into()),
                    found = self.look_up(network, assignment.job.crawl, &users) => match found {
                        Err(error) if is_left_out(&error, batch, assignment.job.attempt) => {
                            tracing::warn!(?error, "an account is left out of an analysis");
                            Vec::new()
                        }
                        found => {
                            let (profiles, looked_up) = found?;
                            users.truncate(looked_up);
                            profiles
                        }
                    },
                };
                let at = self.parts.clock.wall();
                (users, profiles.into_iter().map(|profile| (at, profile)).collect())
            }
        };
        // A rule may take milliseconds for a batch: a loop or a pattern over long texts.
        let (rule, candidates, found) = (rule.cloned(), users.len(), profiles.len() as u64);
        let (admitted, discarded, profiles) = self
            .on_disk(move || {
                let (admitted, discarded) = sort_out(users, &profiles, rule.as_deref());
                Ok((admitted, discarded, profiles))
            })
            .await?;
        self.keep(assignment, &mut reading.kept, profiles).await?;
        reading.candidates.drain(..candidates);
        reading.looked_up += found;
        reading.admitted.extend(admitted);
        reading.discarded.extend(discarded);
        saver.page_done();
        self.report_if_due(assignment, reading, saver).await?;
        Ok(Step::More)
    }

    async fn report_if_due(
        &self,
        assignment: &Assignment,
        reading: &mut Reading,
        saver: &mut Saver,
    ) -> Result<(), JobError> {
        let group = reading.admitted.len() + reading.discarded.len();
        // Without a file, there is nothing to save at less cost.
        let full = group >= GROUP || group > 0 && matches!(reading.kept, Kept::Off);
        if full || saver.is_due(&*self.parts.clock) {
            saver.saved(&*self.parts.clock);
            self.report(assignment, reading).await?;
        }
        Ok(())
    }

    /// Reports what was looked up since the last time, if anything was.
    async fn report_rest(&self, assignment: &Assignment, reading: &mut Reading) -> Result<(), JobError> {
        match reading.admitted.is_empty() && reading.discarded.is_empty() {
            true => Ok(()),
            false => self.report(assignment, reading).await,
        }
    }

    /// Reports what was looked up since the last time, with its profiles durable, and the progress.
    async fn report(&self, assignment: &Assignment, reading: &mut Reading) -> Result<(), JobError> {
        let progress = self.save_analysis(&assignment.job, reading).await?;
        let (admitted, discarded) =
            (std::mem::take(&mut reading.admitted), std::mem::take(&mut reading.discarded));
        let nothing = admitted.is_empty() && discarded.is_empty();
        let finding = match nothing {
            true => Finding::Advanced(progress),
            false => Finding::Discovered { admitted, discarded, progress },
        };
        assignment.report(finding).await;
        Ok(())
    }

    async fn save_analysis(&self, job: &Job, reading: &mut Reading) -> Result<Progress, JobError> {
        let draft = self.save_profiles(job, &mut reading.kept).await?;
        Ok(Progress { draft, ..reading.progress() })
    }

    /// Reports what was looked up before the job stops.
    async fn stop_analysis(&self, assignment: &Assignment, mut reading: Reading, error: JobError) -> JobStop {
        if matches!(error, JobError::Abandoned | JobError::DraftLost { .. } | JobError::DatasetDown { .. }) {
            return JobStop { error, progress: None };
        }
        // The progress that ends the job comes after it.
        let saved = match self.report_rest(assignment, &mut reading).await {
            Ok(()) => self.save_analysis(&assignment.job, &mut reading).await,
            Err(error) => Err(error),
        };
        match saved {
            Ok(progress) => JobStop { error, progress: Some(progress) },
            Err(error) => JobStop { error, progress: None },
        }
    }

    /// Reads a part of the list and keeps what the crawl does not know. `false` if the list cannot be read.
    async fn read_on(&self, assignment: &Assignment, reading: &mut Reading) -> Result<bool, JobError> {
        let Some(mut followers) = reading.followers.take() else {
            return Err(JobError::DraftLost {
                what: "a follower list was lost in an earlier failure".to_owned(),
            });
        };
        let (dataset, tracker) = (self.parts.dataset.clone(), self.parts.tracker.clone());
        let (account, crawl, start) = (assignment.job.account(), assignment.job.crawl, reading.read);
        let list = reading.list;
        let part = self.on_disk(move || {
            let mut users = Vec::with_capacity(READ);
            for follower in followers.by_ref().take(READ) {
                match follower {
                    Ok(follower) => users.push(follower),
                    Err(error) => {
                        return missing_if_unreadable(&*dataset, &account, list, error).map(|_| None);
                    }
                }
            }
            let read = users.len() as u64;
            let places: HashMap<UserId, u64> = users.iter().cloned().zip(start + 1..).collect();
            let unseen = tracker.unseen(crawl, users);
            let place = |user: UserId| {
                let place = places.get(&user).copied().unwrap_or(start);
                (user, place)
            };
            let candidates: Vec<_> = unseen.into_iter().map(place).collect();
            Ok(Some((followers, read, candidates)))
        });
        let Some((followers, read, candidates)) = part.await? else { return Ok(false) };
        reading.followers = Some(followers);
        reading.read += read;
        reading.at_end = read < READ as u64;
        reading.candidates.extend(candidates);
        Ok(true)
    }
}

/// The result of a step.
enum Step {
    More,
    Done,
    Unreadable,
}

/// A position in a follower list, meaningless in any other list.
struct Place {
    /// The list's stamp.
    list: u64,
    /// Followers that are done.
    done: u64,
}

impl Place {
    fn parse(cursor: &str) -> Option<Self> {
        let (list, done) = cursor.split_once(':')?;
        Some(Self { list: u64::from_str_radix(list, 16).ok()?, done: done.parse().ok()? })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}:{}", self.list, self.done)
    }
}

impl Reading {
    /// All followers before the first candidate that was not looked up are done.
    fn progress(&self) -> Progress {
        let done = self.candidates.front().map_or(self.read, |(_, place)| place - 1);
        Progress { cursor: Place { list: self.list, done }.to_string(), draft: None }
    }
}

/// Sets an unreadable list aside, unless it was replaced since its stamp was taken, so that it is made again, and reports its
/// new name; passes any other error on.
fn missing_if_unreadable(
    dataset: &dyn storage::dataset::Dataset,
    account: &Account,
    list: u64,
    error: DatasetError,
) -> Result<DatasetError, DatasetError> {
    let error = match error {
        DatasetError::SetAside { .. } => error,
        DatasetError::Unreadable { path, item, why } => {
            // The new name is where the list can be recovered.
            match dataset.set_aside(&account.followers(), list)? {
                Some(to) => DatasetError::SetAside { path, to: to.into(), why },
                None => DatasetError::Unreadable { path, item, why },
            }
        }
        other => return Err(other),
    };
    tracing::warn!(user = %account.user, "{error}");
    Ok(error)
}

/// Whether an account that could not be looked up counts as one without a profile. Only where accounts are looked up one by
/// one, each at its own host: one that refuses, or fails time and again, must not keep the others from being analysed.
fn is_left_out(error: &JobError, batch: usize, attempt: u32) -> bool {
    match error {
        JobError::Permanent { .. } => batch == 1,
        JobError::Retryable { .. } => batch == 1 && attempt > ATTEMPTS,
        _ => false,
    }
}

/// Accounts that the rule admits, and the others; those without a profile are suspended or unknown.
fn sort_out(
    users: Vec<UserId>,
    profiles: &[(Duration, Profile)],
    rule: Option<&FollowRule>,
) -> (Vec<UserId>, Vec<UserId>) {
    let profiles: HashMap<&UserId, &Profile> =
        profiles.iter().map(|(_, profile)| (&profile.id, profile)).collect();
    let admits = |user: &UserId| match (profiles.get(user), rule) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(profile), Some(rule)) => rule.admits(profile).unwrap_or_else(|error| {
            tracing::debug!(%user, "the follow rule does not apply: {error}");
            false
        }),
    };
    users.into_iter().partition(admits)
}

#[cfg(test)]
mod tests {
    use storage::dataset::{Dataset, FilesDataset, FilesOptions};

    use super::*;

    #[test]
    fn an_account_is_left_out_only_where_accounts_are_looked_up_one_by_one() {
        let failed = JobError::Retryable { what: "HTTP 503".to_owned(), after: None };
        let refused = JobError::Permanent { what: "HTTP 401".to_owned() };
        for attempt in 1..5 {
            // The others of the batch would be lost with it.
            assert!(!is_left_out(&failed, 25, attempt) && !is_left_out(&refused, 25, attempt));
            assert_eq!(is_left_out(&failed, 1, attempt), attempt > ATTEMPTS);
            assert!(is_left_out(&refused, 1, attempt));
            assert!(!is_left_out(&JobError::HandBack, 1, attempt));
        }
    }

    #[test]
    fn a_list_set_aside_is_named_by_where_it_is_now() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = FilesDataset::open(FilesOptions::new(folder.path())).unwrap();
        let path = folder.path().join("7/7.fws");
        std::fs::create_dir_all(folder.path().join("7")).unwrap();
        std::fs::write(&path, b"\x1f\x8b garbage").unwrap();
        let account = Account::from(UserId::Number(7));
        let unreadable = || {
            let list = dataset.open_followers(&account);
            list.and_then(|list| list.unwrap().collect::<Result<Vec<_>, _>>()).unwrap_err()
        };
        let stamp = dataset.stamp(&account.followers()).unwrap();
        missing_if_unreadable(&dataset, &account, stamp ^ 1, unreadable()).unwrap();
        assert!(path.exists(), "what is there now was not read");
        let said = missing_if_unreadable(&dataset, &account, stamp, unreadable()).unwrap().to_string();
        let now = folder.path().join("7/7.fws.unreadable");
        assert!(now.exists() && !path.exists());
        assert!(said.contains(&format!("`twm-ctl dataset recover {}`", now.display())), "{said}");
    }
}
