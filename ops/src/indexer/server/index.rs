//! Creates, checks and deletes the index and the document with its position.

use std::sync::PoisonError;

use serde_json::{Value, json};

use super::call::{Answer, CallError};
use super::{Failure, SearchServer, ServerError, mapping};
use crate::indexer::index::Progress;

/// Statuses that refuse the login.
const LOGIN: [u16; 2] = [401, 403];

impl SearchServer {
    /// Where the position is stored.
    fn progress_index(&self) -> String {
        format!("{}-position", self.index)
    }

    pub(super) async fn prepare_once(&self) -> Result<Progress, Failure> {
        let recreate = *self.recreate.lock().unwrap_or_else(PoisonError::into_inner);
        if recreate {
            // The position first: without it the stream is read from its beginning, however far the deletion
            // gets.
            self.delete(&self.progress_index()).await?;
            self.delete(&self.index).await?;
            *self.recreate.lock().unwrap_or_else(PoisonError::into_inner) = false;
            tracing::info!("deleted the index {}", self.index);
        }
        let Some(uuid) = self.look().await? else {
            self.delete(&self.progress_index()).await?;
            self.create(&self.index, json!({ "mappings": mapping::ours() })).await?;
            tracing::info!("made the index {}", self.index);
            return Ok(Progress::START);
        };
        self.progress_of(&uuid).await
    }

    pub(super) async fn keep_once(&self, progress: Progress) -> Result<(), Failure> {
        let Some(uuid) = self.look().await? else {
            let what =
                format!("the index {} was deleted; start twm-indexer again to recreate it", self.index);
            return Err(Failure::Passing(what));
        };
        let mut document =
            serde_json::to_value(progress).map_err(|error| Failure::Passing(error.to_string()))?;
        document["index_uuid"] = json!(uuid);
        let path = format!("{}/_doc/position", self.progress_index());
        self.call.put(&path, &document).await?.good()?;
        Ok(())
    }

    /// The index's own id, if the index exists; its mapping must be ours.
    async fn look(&self) -> Result<Option<String>, Failure> {
        let answer = self.call.get(&self.index).await?;
        let json = match answer.status {
            404 => return Ok(None),
            _ => self.let_in(answer)?.good()?.json()?,
        };
        // An alias is answered with the names of its indexes.
        let indexes: Vec<&Value> = json.as_object().into_iter().flatten().map(|(_, index)| index).collect();
        let [index] = indexes[..] else {
            return Err(self.other("it is an alias of several indexes".to_owned()));
        };
        if let Some(difference) = mapping::difference(&index["mappings"]) {
            return Err(self.other(difference));
        }
        let uuid = index["settings"]["index"]["uuid"].as_str();
        Ok(Some(uuid.ok_or(CallError::Strange("the index has no uuid".to_owned()))?.to_owned()))
    }

    async fn progress_of(&self, uuid: &str) -> Result<Progress, Failure> {
        let answer = self.call.get(&format!("{}/_doc/position", self.progress_index())).await?;
        if answer.status == 404 {
            return Ok(Progress::START);
        }
        let document = &answer.good()?.json()?["_source"];
        if document["index_uuid"] != uuid {
            tracing::warn!(
                "the index {} was recreated by others: the stream is read from its beginning",
                self.index
            );
            return Ok(Progress::START);
        }
        let read = serde_json::from_value(document.clone());
        Ok(read.map_err(|error| CallError::Strange(format!("the kept position: {error}")))?)
    }

    async fn create(&self, index: &str, body: Value) -> Result<(), Failure> {
        let answer = self.let_in(self.call.put(index, &body).await?)?;
        match answer.status {
            // Probably an invalid name.
            400 => Err(Failure::Lasting(ServerError::Refused {
                url: self.call.url().to_string(),
                index: index.to_owned(),
                status: answer.status,
                answer: answer.text(),
            })),
            _ => {
                answer.good()?;
                Ok(())
            }
        }
    }

    async fn delete(&self, index: &str) -> Result<(), Failure> {
        let answer = self.let_in(self.call.delete(index).await?)?;
        match answer.status {
            404 => Ok(()),
            _ => {
                answer.good()?;
                Ok(())
            }
        }
    }

    fn let_in(&self, answer: Answer) -> Result<Answer, Failure> {
        match answer.status {
            status if LOGIN.contains(&status) => {
                Err(Failure::Lasting(ServerError::Login { url: self.call.url().to_string(), status }))
            }
            _ => Ok(answer),
        }
    }

    fn other(&self, difference: String) -> Failure {
        let (url, index) = (self.call.url().to_string(), self.index.clone());
        Failure::Lasting(ServerError::OtherMapping { url, index, difference })
    }
}
