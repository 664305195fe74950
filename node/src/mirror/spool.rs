//! What a node still has to send, in files: it survives the process, and a Redis that is away.
//!
//! ```text
//! FOLDER/0000000000000007.spool      records, one behind the other: length (u32), CRC-32 (u32), postcard of an Item
//! ```
//!
//! Files are written one after the other and removed when all in them was sent, so after a crash at most what one
//! file holds is sent again. They are not synced: a power cut can lose what came in the last seconds.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use storage::dataset::{Account, SourceName};
use storage::ids::{PostId, UserId};
use tokio::sync::Notify;

/// Size at which a file is full, bytes.
const FULL: u64 = 1 << 20;
/// Longest record that is read, bytes: a damaged length must not cause an unbounded allocation.
const LONGEST: u32 = 64 << 20;

/// Something to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Item {
    /// The tweets of a published timeline that are newer than `since`.
    Timeline {
        /// The account.
        user: UserId,
        /// The newest tweet in the file before; 0 if there was none.
        since: u64,
    },
    /// Profiles as the network sent them.
    Profiles(Vec<(UserId, String)>),
    /// As [`Timeline`](Self::Timeline), of a source whose posts have texts for ids.
    Posts {
        /// The account.
        user: UserId,
        /// The newest post in the file before.
        since: Box<str>,
    },
    /// As [`Timeline`](Self::Timeline), of another source than the default one.
    PostsOf {
        /// The source.
        source: SourceName,
        /// The account.
        user: UserId,
        /// The newest post in the file before; `None` if there was none.
        since: Option<PostId>,
    },
    /// Profiles of another source than the default one.
    ProfilesOf {
        /// The source.
        source: SourceName,
        /// Each as the network sent it.
        profiles: Vec<(UserId, String)>,
    },
}

impl Item {
    /// The posts of a published timeline that are newer than `since`.
    pub(super) fn timeline(account: Account, since: Option<PostId>) -> Self {
        let Account { source, user } = account;
        match since {
            since if !source.is_default() => Self::PostsOf { source, user, since },
            None => Self::Timeline { user, since: 0 },
            Some(PostId::Number(since)) => Self::Timeline { user, since },
            Some(PostId::Text(since)) => Self::Posts { user, since },
        }
    }

    /// Profiles of a source.
    pub(super) fn profiles(source: &SourceName, profiles: Vec<(UserId, String)>) -> Self {
        match source.is_default() {
            true => Self::Profiles(profiles),
            false => Self::ProfilesOf { source: source.clone(), profiles },
        }
    }
}

/// The position of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    file: u64,
    at: u64,
}

/// The files.
pub(super) struct Spool {
    folder: PathBuf,
    /// Most bytes; what does not fit is dropped.
    bound: u64,
    state: Mutex<State>,
    grown: Notify,
}

#[derive(Default)]
struct State {
    /// Size of each file, bytes.
    files: BTreeMap<u64, u64>,
    /// The file being written, unless it is full.
    open: Option<(u64, File)>,
    /// Number of the next file. Numbers are not reused, because readers identify their position by them.
    next: u64,
    dropped: u64,
}

impl Spool {
    /// Opens the folder, with what an earlier process left in it.
    ///
    /// # Errors
    /// The folder cannot be created or read.
    pub(super) fn open(folder: PathBuf, bound: u64) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let mut state = State::default();
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if let Some(number) = number_of(&entry.path()) {
                state.files.insert(number, entry.metadata()?.len());
                state.next = state.next.max(number + 1);
            }
        }
        Ok(Self { folder, bound, state: Mutex::new(state), grown: Notify::new() })
    }

    /// Adds an item. Items that cannot be stored are counted and logged; the crawl continues without them.
    pub(super) fn add(&self, item: &Item) {
        let mut state = self.lock();
        if let Err(error) = self.write(&mut state, item) {
            state.dropped += 1;
            // A partial record would hide the ones behind it.
            state.open = None;
            if state.dropped.is_power_of_two() {
                tracing::warn!(dropped = state.dropped, folder = %self.folder.display(), "not mirrored: {error}");
            }
        }
        drop(state);
        self.grown.notify_one();
    }

    fn write(&self, state: &mut State, item: &Item) -> io::Result<()> {
        let body = postcard::to_stdvec(item).map_err(io::Error::other)?;
        let size = body.len() as u64 + 8;
        if state.files.values().sum::<u64>() + size > self.bound {
            return Err(io::Error::other("too much waits for Redis already"));
        }
        let mut record = Vec::with_capacity(body.len() + 8);
        record.extend_from_slice(&(body.len() as u32).to_le_bytes());
        record.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
        record.extend_from_slice(&body);
        let number = match &state.open {
            Some((number, _)) => *number,
            None => {
                let number = state.next;
                state.next += 1;
                let path = self.path(number);
                let file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
                state.files.insert(number, 0);
                state.open = Some((number, file));
                number
            }
        };
        let Some((_, file)) = &mut state.open else { return Ok(()) };
        file.write_all(&record)?;
        let length = state.files.entry(number).or_default();
        *length += size;
        if *length >= FULL {
            state.open = None;
        }
        Ok(())
    }

    /// The first item at or behind a position, and the position behind it; `None` if there is none. Files that were
    /// read completely are removed. Blocks.
    pub(super) fn read(&self, from: Option<Place>) -> io::Result<Option<(Item, Place)>> {
        loop {
            let first = self.lock().files.first_key_value().map(|(&file, &length)| (file, length));
            let Some((file, length)) = first else { return Ok(None) };
            let place = from.filter(|place| place.file == file).unwrap_or(Place { file, at: 0 });
            if place.at < length {
                if let Some(found) = self.read_at(place)? {
                    return Ok(Some(found));
                }
                tracing::warn!(
                    file = %self.path(file).display(),
                    at = place.at,
                    "the rest of a spool file is damaged, as a power cut may leave it, and not mirrored"
                );
                self.remove(file, u64::MAX)?;
            } else {
                self.remove(file, place.at)?;
            }
        }
    }

    /// `None` if there is no complete record.
    fn read_at(&self, place: Place) -> io::Result<Option<(Item, Place)>> {
        let mut file = File::open(self.path(place.file))?;
        file.seek(SeekFrom::Start(place.at))?;
        let mut head = [0; 8];
        if let Err(error) = file.read_exact(&mut head) {
            return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
        }
        let [a, b, c, d, rest @ ..] = head;
        let (length, sum) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(rest));
        let mut body = Vec::new();
        file.take(length.min(LONGEST).into()).read_to_end(&mut body)?;
        let whole = body.len() == length as usize && crc32fast::hash(&body) == sum;
        let item = if whole { postcard::from_bytes(&body).ok() } else { None };
        let next = Place { at: place.at + 8 + u64::from(length), ..place };
        Ok(item.map(|item| (item, next)))
    }

    /// Removes a file, unless it has grown beyond `read` bytes meanwhile.
    fn remove(&self, file: u64, read: u64) -> io::Result<()> {
        let mut state = self.lock();
        if state.files.get(&file).is_some_and(|length| *length > read) {
            return Ok(());
        }
        state.open.take_if(|(number, _)| *number == file);
        state.files.remove(&file);
        fs::remove_file(self.path(file))
    }

    /// Waits until an item was added.
    pub(super) async fn grown(&self) {
        self.grown.notified().await;
    }

    /// Number of dropped items.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().files.values().sum()
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:016}.spool"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn number_of(path: &Path) -> Option<u64> {
    (path.extension()? == "spool").then(|| path.file_stem()?.to_str()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(n: u64) -> Item {
        Item::Timeline { user: UserId::Number(n), since: n / 2 }
    }

    /// Everything that can be read from here on.
    fn rest(spool: &Spool, mut place: Option<Place>) -> Vec<Item> {
        let mut items = Vec::new();
        while let Some((item, next)) = spool.read(place).unwrap() {
            items.push(item);
            place = Some(next);
        }
        items
    }

    #[test]
    fn what_was_added_is_read_once_in_order_over_many_files_and_then_gone() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path().to_owned(), 1 << 30).unwrap();
        let profiles = |n: u64| Item::Profiles(vec![(UserId::Number(n), "x".repeat(50_000))]);
        let items: Vec<Item> = (0..100).map(|n| if n % 3 == 0 { timeline(n) } else { profiles(n) }).collect();
        items.iter().for_each(|item| spool.add(item));
        assert!(fs::read_dir(folder.path()).unwrap().count() > 2);
        assert_eq!(rest(&spool, None), items);
        assert_eq!((fs::read_dir(folder.path()).unwrap().count(), spool.bytes()), (0, 0));
        spool.add(&timeline(7));
        assert_eq!(rest(&spool, None), [timeline(7)]);
    }

    #[test]
    fn a_reader_goes_on_where_it_was_after_files_were_removed() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path().to_owned(), 1 << 30).unwrap();
        let (mut place, mut read) = (None, Vec::new());
        for round in 0..5 {
            (0..=round % 3).for_each(|n| spool.add(&timeline(10 * round + n)));
            while let Some((item, next)) = spool.read(place).unwrap() {
                read.push(item);
                place = Some(next);
            }
        }
        let added = (0..5).flat_map(|round| (0..=round % 3).map(move |n| timeline(10 * round + n)));
        assert_eq!(read, added.collect::<Vec<_>>());
    }

    #[test]
    fn what_was_not_read_to_the_end_of_its_file_comes_again_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path().to_owned(), 1 << 30).unwrap();
        (0..5).for_each(|n| spool.add(&timeline(n)));
        let (first, _) = spool.read(None).unwrap().unwrap();
        assert_eq!(first, timeline(0));
        drop(spool);
        let spool = Spool::open(folder.path().to_owned(), 1 << 30).unwrap();
        spool.add(&timeline(5));
        assert_eq!(rest(&spool, None), (0..6).map(timeline).collect::<Vec<_>>());
    }

    #[test]
    fn a_torn_record_costs_itself_and_nothing_in_front() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path().to_owned(), 1 << 30).unwrap();
        (0..3).for_each(|n| spool.add(&timeline(n)));
        drop(spool);
        let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let length = fs::metadata(&path).unwrap().len();
        File::options().write(true).open(&path).unwrap().set_len(length - 1).unwrap();
        let spool = Spool::open(folder.path().to_owned(), 1 << 30).unwrap();
        spool.add(&timeline(9));
        assert_eq!(rest(&spool, None), [timeline(0), timeline(1), timeline(9)]);
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path().to_owned(), 100).unwrap();
        (0..50).for_each(|n| spool.add(&timeline(n)));
        let kept = rest(&spool, None);
        assert_eq!(kept.len() as u64 + spool.dropped(), 50);
        assert!(spool.dropped() > 0 && !kept.is_empty());
        spool.add(&timeline(50));
        assert_eq!(rest(&spool, None), [timeline(50)], "there is room again");
    }
}
