//! Batches of provenance in a keyspace. A batch is one row, which is never written with other bytes and never deleted.

use std::collections::VecDeque;

use super::super::Result;
use super::super::provenance::{BatchName, StoredBatch};
use super::CassandraStore;
use crate::net::cassandra::CassandraError;

impl CassandraStore {
    /// Writes a batch; durable on return. Repeated, it writes the same row again.
    pub(super) fn put_batch(&self, name: &BatchName, bytes: Vec<u8>) -> Result<()> {
        let doing = format!("write {}", name.stored_name());
        let row = (name.to_string(), bytes.len() as i64, bytes);
        Ok(self.keyspace.write(&doing, &self.statements.write_batch, row)?)
    }

    pub(super) fn has_batch(&self, name: &BatchName) -> Result<bool, CassandraError> {
        let doing = format!("look for {}", name.stored_name());
        let rows: Vec<(Option<i64>,)> =
            self.keyspace.rows(&doing, &self.statements.find_batch, (name.to_string(),))?;
        Ok(!rows.is_empty())
    }

    /// The bytes of a batch.
    pub(super) fn batch(&self, name: &BatchName) -> Result<Option<Vec<u8>>, CassandraError> {
        let doing = format!("read {}", name.stored_name());
        let rows: Vec<(Option<Vec<u8>>,)> =
            self.keyspace.rows(&doing, &self.statements.read_batch, (name.to_string(),))?;
        Ok(rows.into_iter().next().and_then(|(data,)| data))
    }

    /// All batches, in pages.
    pub(super) fn all_batches(&self) -> impl Iterator<Item = Result<StoredBatch>> + use<> {
        let (store, mut from, mut ended) = (self.clone(), None, false);
        let mut rows: VecDeque<(String, Option<i64>)> = VecDeque::new();
        std::iter::from_fn(move || {
            loop {
                if let Some((name, bytes)) = rows.pop_front() {
                    let Ok(name) = name.parse() else { continue };
                    return Some(Ok(StoredBatch { name, bytes: bytes.unwrap_or_default() as u64 }));
                }
                if ended {
                    return None;
                }
                let statement = &store.statements.list_batches;
                match store.keyspace.page("list the batches of provenance", statement, (), from.take()) {
                    Ok(page) => {
                        rows.extend(page.rows);
                        ended = page.next.is_none();
                        from = page.next;
                    }
                    Err(error) => {
                        ended = true;
                        return Some(Err(error.into()));
                    }
                }
            }
        })
    }
}
