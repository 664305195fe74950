//! `U`: prepends new tweets to the saved ones.

use api::model::Finding;
use storage::dataset::{Appended, DatasetError};
use storage::ids::PostId;

use super::Crawler;
use super::draft::{Draft, Pages};
use super::job_error::JobStop;
use crate::session::Assignment;

/// The saved part of a timeline.
enum Saved {
    Newest(PostId),
    Nothing,
}

impl Crawler {
    pub(super) async fn update(&self, assignment: &Assignment) -> Result<Finding, JobStop> {
        let Saved::Newest(newest) = self.newest_saved(assignment).await? else {
            return Ok(Finding::InputMissing);
        };
        let walked = self.walk(assignment, Pages::Timeline, Some(&newest.to_string())).await?;
        let Some(Draft::Timeline(mut draft)) = walked else {
            return Ok(Finding::Completed { file: false, items: 0 });
        };
        let new = draft.items();
        if new == 0 {
            // Only removes the empty draft.
            self.finish(Draft::Timeline(draft)).await?;
            return Ok(Finding::Completed { file: false, items: 0 });
        }
        self.note_cap(assignment, Pages::Timeline, new);
        let (draft, Appended { items, set_aside }) = self
            .on_disk(move || {
                let appended = draft.append_existing()?;
                Ok((draft, appended))
            })
            .await?;
        if let Some(error) = set_aside {
            tracing::warn!(user = %assignment.job.user, "{error}");
            return Ok(Finding::InputMissing);
        }
        if items == 0 {
            // It existed when the walk began. Without it, the new tweets are not the whole timeline.
            return Ok(Finding::InputMissing);
        }
        self.finish(Draft::Timeline(draft)).await?;
        Ok(Finding::Completed { file: true, items: new })
    }

    async fn newest_saved(&self, assignment: &Assignment) -> Result<Saved, JobStop> {
        let (dataset, account) = (self.parts.dataset.clone(), assignment.job.account());
        let found = self.on_disk(move || match dataset.newest_post(&account) {
            Ok(newest) => Ok(newest.map_or(Saved::Nothing, Saved::Newest)),
            Err(error @ DatasetError::SetAside { .. }) => {
                tracing::warn!(user = %account.user, "{error}");
                Ok(Saved::Nothing)
            }
            Err(other) => Err(other),
        });
        Ok(found.await?)
    }
}
