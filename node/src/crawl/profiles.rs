//! Keeps the profiles that an analysis looks up.

use std::time::Duration;

use api::model::{DraftProgress, Finding, Job};
use storage::dataset::provenance::{FILE_LOST, LEFT_OUT, PROFILES_LOST};
use storage::dataset::{Appended, Dataset, DatasetError, ProfilesDraft, SavePoint, profile_line};

use super::Crawler;
use super::job_error::JobError;
use crate::session::Assignment;
use crate::source::Profile;

/// The file that an analysis writes.
pub(super) enum Kept {
    /// None: the crawl was created when the cluster's version was older.
    Off,
    /// Nothing was looked up yet.
    Nothing,
    Draft(Box<dyn ProfilesDraft>),
    /// A blocking thread that broke off had it.
    Lost,
}

impl Kept {
    /// Appends profiles to the draft, which is begun if necessary.
    fn push(
        self,
        dataset: &dyn Dataset,
        job: &Job,
        profiles: &[(Duration, Profile)],
        left_out: &mut bool,
    ) -> Result<Self, DatasetError> {
        let mut draft = match self {
            Self::Draft(draft) => draft,
            Self::Nothing if !profiles.is_empty() => dataset.begin_profiles(&job.account(), job.lease.0)?,
            other => return Ok(other),
        };
        for (at, profile) in profiles {
            match draft.push(&profile_line(*at, &job.source, job.crawl.0, &profile.raw)) {
                Err(error @ DatasetError::ItemTooLarge { .. }) => {
                    tracing::warn!("left out: {error}");
                    *left_out = true;
                }
                other => other?,
            }
        }
        Ok(Self::Draft(draft))
    }
}

impl Crawler {
    /// Continues the file of an analysis that ran before.
    pub(super) async fn resume_profiles(&self, assignment: &Assignment) -> Result<Kept, JobError> {
        let job = &assignment.job;
        if !self.parts.tracker.keeps_profiles(job.crawl) {
            return Ok(Kept::Off);
        }
        let Some(from) = job.progress.as_ref().and_then(|progress| progress.draft.clone()) else {
            return Ok(Kept::Nothing);
        };
        let (dataset, account, lease) = (self.parts.dataset.clone(), job.account(), job.lease.0);
        let saved = SavePoint { token: from.token, items: from.items };
        let resumed =
            self.on_disk(move || match dataset.resume_profiles(&account, saved, from.lease.0, lease) {
                Ok(draft) => Ok(Kept::Draft(draft)),
                Err(missing @ DatasetError::DraftMissing { .. }) => {
                    tracing::warn!(user = %account.user, "profiles that were looked up are lost: {missing}");
                    Ok(Kept::Nothing)
                }
                Err(other) => Err(other),
            });
        let kept = resumed.await?;
        match kept {
            Kept::Draft(_) => assignment.resumed(),
            _ => assignment.cut_short(PROFILES_LOST),
        }
        Ok(kept)
    }

    /// Appends profiles, each with the Unix time at which it came.
    pub(super) async fn keep(
        &self,
        assignment: &Assignment,
        kept: &mut Kept,
        found: Vec<(Duration, Profile)>,
    ) -> Result<(), JobError> {
        if matches!(kept, Kept::Off) {
            return Ok(());
        }
        let (dataset, job) = (self.parts.dataset.clone(), assignment.job.clone());
        let left_out = self.with_kept(kept, move |kept| {
            let mut left_out = false;
            Ok((kept.push(&*dataset, &job, &found, &mut left_out)?, left_out))
        });
        if left_out.await? {
            assignment.cut_short(LEFT_OUT);
        }
        Ok(())
    }

    /// Makes the draft durable; `None` if there is none.
    pub(super) async fn save_profiles(
        &self,
        job: &Job,
        kept: &mut Kept,
    ) -> Result<Option<DraftProgress>, JobError> {
        let saved = self.with_kept(kept, |kept| match kept {
            Kept::Draft(mut draft) => {
                let saved = draft.save_point()?;
                Ok((Kept::Draft(draft), Some(saved)))
            }
            other => Ok((other, None)),
        });
        let Some(SavePoint { token, items }) = saved.await? else { return Ok(None) };
        self.dataset_health.written(&*self.parts.clock);
        // No update: what is published by then is appended at the end.
        let (lease, storage, based_on) = (job.lease, self.parts.storage, 0);
        Ok(Some(DraftProgress { lease, storage, token, items, based_on }))
    }

    /// Ends an analysis whose findings were reported.
    pub(super) async fn finish_profiles(
        &self,
        assignment: &Assignment,
        kept: Kept,
        looked_up: u64,
    ) -> Result<Finding, JobError> {
        let Kept::Draft(mut draft) = kept else {
            return Ok(Finding::Completed { file: false, items: looked_up });
        };
        // Those of earlier leases are among them.
        let items = draft.items();
        let (finished, set_aside) = self
            .on_disk(move || {
                let Appended { set_aside, .. } = draft.append_existing()?;
                Ok((draft.finish()?, set_aside))
            })
            .await?;
        if let Some(error) = set_aside {
            tracing::warn!(user = %assignment.job.user, "{error}");
            assignment.cut_short(FILE_LOST);
        }
        self.dataset_health.written(&*self.parts.clock);
        Ok(Finding::Completed { file: finished.items > 0, items })
    }

    /// Works on the draft on a blocking thread.
    async fn with_kept<T: Send + 'static>(
        &self,
        kept: &mut Kept,
        work: impl FnOnce(Kept) -> Result<(Kept, T), DatasetError> + Send + 'static,
    ) -> Result<T, JobError> {
        let taken = std::mem::replace(kept, Kept::Lost);
        if matches!(taken, Kept::Lost) {
            return Err(JobError::DraftLost { what: "profiles were lost in an earlier failure".to_owned() });
        }
        let (back, value) = self.on_disk(move || work(taken)).await?;
        *kept = back;
        Ok(value)
    }
}
