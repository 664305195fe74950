//! Snapshots: the state on disk as one file, and its resumable transfer to a peer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use storage::env::Work;
use storage::planted::{Bug, planted};
use storage::snapshot::{SnapshotReader, SnapshotReceiver, SnapshotWriter};

use super::machine::Replica;
use super::types::SnapshotMeta;

/// Size of one chunk, bytes.
pub(super) const CHUNK: usize = 1 << 20;

/// A snapshot in openraft's hands: this node's own state on disk, or a file received from a peer.
pub(crate) enum SnapshotData {
    Own(Arc<Replica>),
    Received(PathBuf),
}

impl SnapshotData {
    pub(super) fn of(replica: &Arc<Replica>) -> Self {
        Self::Own(Arc::clone(replica))
    }

    /// The file to install from, and whether it can be removed afterwards. A snapshot of this process
    /// (openraft's test suite passes them directly) is written to its replica's folder.
    pub(super) async fn installable(self) -> io::Result<(PathBuf, bool)> {
        match self {
            Self::Received(path) => Ok((path, true)),
            Self::Own(_) => Ok((self.file().await?.path, false)),
        }
    }

    /// Writes the state on disk to a file, or finds the file of the same state. The state may be later than
    /// what openraft asked for: all of it is committed, and the file says what it contains.
    pub(super) async fn file(&self) -> io::Result<SnapshotFile> {
        let replica = match self {
            Self::Own(replica) => Arc::clone(replica),
            Self::Received(_) => return Err(io::Error::other("a received snapshot is not sent on")),
        };
        let on_disk = Arc::clone(&replica.on_disk).lock_owned().await;
        let work = replica.work.clone();
        work.run(move || {
            let file = write(&replica);
            drop(on_disk);
            file
        })
        .await?
    }
}

/// A snapshot to be sent.
#[derive(Debug, Clone)]
pub(super) struct SnapshotFile {
    pub(super) id: String,
    pub(super) bytes: u64,
    path: PathBuf,
    /// Kept open, so that the transfer continues when a later snapshot replaces the file.
    file: Arc<File>,
    work: Work,
    /// Largest chunk, bytes.
    most: usize,
}

impl SnapshotFile {
    fn open(id: String, path: &Path, replica: &Replica) -> io::Result<Self> {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let (work, most) = (replica.work.clone(), replica.snapshot_chunk.load(Ordering::Relaxed));
        Ok(Self { id, bytes, path: path.to_owned(), file: Arc::new(file), work, most })
    }

    /// The chunk at an offset; shorter at the end.
    pub(super) async fn chunk(&self, offset: u64) -> io::Result<Bytes> {
        let file = Arc::clone(&self.file);
        let length = self.most.min(self.bytes.saturating_sub(offset) as usize);
        self.work
            .run(move || {
                let mut chunk = vec![0; length];
                file.read_exact_at(&mut chunk, offset)?;
                Ok(chunk.into())
            })
            .await?
    }
}

fn write(replica: &Replica) -> io::Result<SnapshotFile> {
    let meta = replica.checkpoint_meta().ok_or_else(|| io::Error::other("there is no checkpoint yet"))?;
    let id = meta.last_log_id.map_or_else(|| "empty".to_owned(), |id| format!("{id}"));
    let path = replica.snapshots.join(format!("out-{id}.snapshot"));
    if path.exists() {
        return SnapshotFile::open(id, &path, replica);
    }
    remove_outgoing(&replica.snapshots)?;
    let header = postcard::to_stdvec(&meta).map_err(io::Error::other)?;
    let unfinished = path.with_extension("writing");
    let mut writer = SnapshotWriter::create(&unfinished, &header).map_err(io::Error::other)?;
    for entry in replica.store().scan(&[], None) {
        let (key, value) = entry.map_err(io::Error::other)?;
        writer.put(&key, &value).map_err(io::Error::other)?;
    }
    writer.finish().map_err(io::Error::other)?;
    std::fs::rename(&unfinished, &path)?;
    SnapshotFile::open(id, &path, replica)
}

/// Removes the files of earlier states.
fn remove_outgoing(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("out-") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Where a follower assembles the snapshot that its leader sends.
pub(crate) struct SnapshotInbox {
    dir: PathBuf,
    work: Work,
    receiving: tokio::sync::Mutex<Option<(String, SnapshotReceiver)>>,
}

impl SnapshotInbox {
    pub(crate) fn in_dir(dir: PathBuf, work: Work) -> Self {
        Self { dir, work, receiving: tokio::sync::Mutex::new(None) }
    }

    /// Accepts a chunk if it is the next one, and returns the offset at which to continue.
    pub(super) async fn take(&self, id: String, offset: u64, chunk: Bytes) -> io::Result<u64> {
        let mut slot = self.receiving.lock().await;
        let current = slot.take().filter(|(at, _)| *at == id || planted(Bug::AnySnapshotChunk));
        let dir = self.dir.clone();
        let taken = self.work.run(move || {
            let mut receiver = match current {
                Some((_, receiver)) => receiver,
                None => SnapshotReceiver::open(&dir, &id).map_err(io::Error::other)?,
            };
            if !chunk.is_empty() && offset == receiver.offset() {
                receiver.append(offset, &chunk).map_err(io::Error::other)?;
            }
            let next = receiver.offset();
            io::Result::Ok((id, receiver, next))
        });
        let (id, receiver, next) = taken.await??;
        *slot = Some((id, receiver));
        Ok(next)
    }

    /// All chunks have arrived: checks the file and returns what state it contains.
    pub(super) async fn finish(&self, id: &str, bytes: u64) -> io::Result<(SnapshotMeta, SnapshotData)> {
        let mut slot = self.receiving.lock().await;
        let (_, receiver) = slot
            .take()
            .filter(|(at, _)| at == id)
            .ok_or_else(|| io::Error::other("this snapshot was not begun"))?;
        self.work
            .run(move || {
                let path = receiver.finish(bytes).map_err(io::Error::other)?;
                let reader = SnapshotReader::open(&path).map_err(io::Error::other)?;
                let meta = postcard::from_bytes(reader.header()).map_err(io::Error::other)?;
                Ok((meta, SnapshotData::Received(path)))
            })
            .await?
    }
}

#[cfg(test)]
mod tests {
    use openraft::StoredMembership;

    use super::*;

    /// The bytes of a snapshot, as a leader sends them.
    fn snapshot(folder: &Path, id: &str, value: &[u8]) -> Vec<u8> {
        let meta = SnapshotMeta { last_log_id: None, last_membership: StoredMembership::default() };
        let path = folder.join(id);
        let mut writer = SnapshotWriter::create(&path, &postcard::to_stdvec(&meta).unwrap()).unwrap();
        writer.put(b"key", value).unwrap();
        writer.finish().unwrap();
        std::fs::read(path).unwrap()
    }

    #[tokio::test]
    async fn a_snapshot_of_a_new_leader_is_taken_from_its_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (snapshot(folder.path(), "old", b"old"), snapshot(folder.path(), "new", b"new"));
        let inbox = SnapshotInbox::in_dir(folder.path().join("in"), Work::default());
        std::fs::create_dir(folder.path().join("in")).unwrap();
        let half = |of: &[u8]| Bytes::copy_from_slice(&of[..of.len() / 2]);
        let half_of_old = old.len() as u64 / 2;
        assert_eq!(inbox.take("old".to_owned(), 0, half(&old)).await.unwrap(), half_of_old);
        // The leader is deposed.
        assert_eq!(inbox.take("new".to_owned(), 0, Bytes::new()).await.unwrap(), 0);
        assert_eq!(inbox.take("new".to_owned(), 0, half(&new)).await.unwrap(), new.len() as u64 / 2);
        assert!(inbox.finish("old", old.len() as u64).await.is_err());

        let mut at = inbox.take("new".to_owned(), 0, Bytes::new()).await.unwrap();
        while at < new.len() as u64 {
            at = inbox.take("new".to_owned(), at, Bytes::copy_from_slice(&new[at as usize..])).await.unwrap();
        }
        let (_, data) = inbox.finish("new", new.len() as u64).await.unwrap();
        let SnapshotData::Received(path) = data else { panic!("it came from a peer") };
        assert_eq!(std::fs::read(path).unwrap(), new);
    }
}
