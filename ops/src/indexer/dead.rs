//! Entries that are refused for good: counted, logged, and written to a file if one is given.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use crate::stream::Stamp;

/// The first entries are logged individually; after that, one in this many is.
const NAMED: u64 = 100;
/// Longest JSON of an entry in the file, bytes.
const LONGEST_JSON: usize = 64 << 10;

/// An entry that is refused for good.
#[derive(Debug)]
pub(super) struct DeadItem {
    pub(super) entry: Stamp,
    /// The tweet's id, if known.
    pub(super) id: Option<String>,
    pub(super) reason: String,
    /// As it came.
    pub(super) json: Vec<u8>,
}

/// Reports dead items.
#[derive(Debug, Clone)]
pub(super) struct DeadItems {
    file: Option<(PathBuf, Arc<Mutex<File>>)>,
    reported: u64,
}

impl DeadItems {
    /// Appends to this file, if there is one.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(path: Option<&Path>) -> Result<Self, String> {
        let open = |path: &Path| {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let file = file.map_err(|error| format!("cannot open {} (--dead): {error}", path.display()))?;
            Ok::<_, String>((path.to_owned(), Arc::new(Mutex::new(file))))
        };
        Ok(Self { file: path.map(open).transpose()?, reported: 0 })
    }

    /// Reports them. A file that cannot be written blocks nothing.
    pub(super) async fn report(&mut self, dead: Vec<DeadItem>) {
        for item in &dead {
            self.reported += 1;
            if self.reported <= NAMED || self.reported % NAMED == 0 {
                let (entry, id) = (item.entry, item.id.as_deref().unwrap_or("unknown"));
                tracing::warn!(%entry, id, since_start = self.reported, "not indexed: {}", item.reason);
            }
        }
        let Some((path, file)) = self.file.clone().filter(|_| !dead.is_empty()) else { return };
        let written = tokio::task::spawn_blocking(move || {
            let lines: Vec<u8> = dead.iter().flat_map(line).collect();
            file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&lines)
        });
        let failed = match written.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::error!(
            "items that were not indexed cannot be written to {}: {failed}; the log has them",
            path.display()
        );
    }
}

fn line(item: &DeadItem) -> Vec<u8> {
    let json = item.json.get(..LONGEST_JSON).unwrap_or(&item.json);
    let line = json!({
        "entry": item.entry.to_string(),
        "id": item.id,
        "reason": item.reason,
        "json": String::from_utf8_lossy(json),
    });
    format!("{line}\n").into_bytes()
}
