//! Records that are not in the dataset yet, in files: they survive the process, and a dataset that is away.
//!
//! ```text
//! FOLDER/NODE-SPOOL-NUMBER.records    named as the batch that it becomes, see `storage::dataset::provenance`
//!   n 5b0e6a3f {"source":...}         a *note*: a draft was finished, CRC-32 of the line's rest
//!   r 9b1c02aa {"source":...}         a *record*: the draft was published
//! ```
//!
//! A file is written by one process only, so the records of a file of an earlier process are always the same, and so is its
//! batch, however often it is written. Records are synced before anybody relies on them; notes are not.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use storage::dataset::provenance::{BatchName, Record};

/// Records and bytes at which a file is full.
const FULL: (u64, u64) = (4_096, 1 << 20);
/// Most bytes that are read of a file.
const LONGEST: u64 = 16 << 20;
/// Ends the name of a file.
const SUFFIX: &str = "records";
const NOTE: &str = "n";
const RECORD: &str = "r";

/// The files.
pub(super) struct Spool {
    folder: PathBuf,
    node: u64,
    /// Distinguishes the files of this process.
    id: u64,
    /// Most bytes of all files.
    bound: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<BatchName, Size>,
    /// The file that is being written, unless it is full.
    open: Option<(BatchName, File)>,
    next: u64,
}

#[derive(Default, Clone, Copy)]
struct Size {
    bytes: u64,
    records: u64,
}

/// A line to be added.
pub(super) struct Line {
    pub(super) record: Record,
    /// Whether the draft was published.
    pub(super) published: bool,
}

/// The contents of a file.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Contents {
    pub(super) notes: Vec<Record>,
    pub(super) records: Vec<Record>,
    /// Lines that are none: of a record that was not synced when the power failed.
    pub(super) damaged: u64,
}

impl Spool {
    /// Opens the folder, with what earlier processes left in it. `id` is random.
    pub(super) fn open(folder: PathBuf, node: u64, id: u64, bound: u64) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let spool = Self { folder, node, id, bound, state: Mutex::default() };
        for entry in fs::read_dir(&spool.folder)? {
            let entry = entry?;
            let Some(name) = name_of(&entry.path()) else { continue };
            let (bytes, records) = (entry.metadata()?.len(), spool.read(&name)?.records.len() as u64);
            spool.lock().files.insert(name, Size { bytes, records });
        }
        Ok(spool)
    }

    /// Adds lines, and syncs them if records are among them. After an error, some may have been added.
    pub(super) fn add(&self, lines: &[Line]) -> io::Result<()> {
        let mut text = String::new();
        for Line { record, published } in lines {
            let (mark, line) = (if *published { RECORD } else { NOTE }, record.to_line());
            text += &format!("{mark} {:08x} {line}\n", crc32fast::hash(line.as_bytes()));
        }
        let records = lines.iter().filter(|line| line.published).count() as u64;
        let mut state = self.lock();
        let waiting: u64 = state.files.values().map(|size| size.bytes).sum();
        if waiting + text.len() as u64 > self.bound {
            return Err(io::Error::other(format!(
                "{waiting} bytes of provenance wait in {} for the dataset, which does not take them; the log says why",
                self.folder.display()
            )));
        }
        let written = self.write(&mut state, text.as_bytes(), records);
        if written.is_err() {
            // A torn line would be taken for a part of the next one.
            state.open = None;
        }
        written
    }

    fn write(&self, state: &mut State, text: &[u8], records: u64) -> io::Result<()> {
        if state.open.is_none() {
            let name = BatchName { node: self.node, spool: self.id, number: state.next };
            state.next += 1;
            let file = File::options().append(true).create_new(true).mode(0o600).open(self.path(&name))?;
            state.files.insert(name.clone(), Size::default());
            state.open = Some((name, file));
            File::open(&self.folder)?.sync_all()?;
        }
        let Some((name, file)) = &mut state.open else { return Ok(()) };
        file.write_all(text)?;
        if records > 0 {
            file.sync_data()?;
        }
        let size = state.files.entry(name.clone()).or_default();
        size.bytes += text.len() as u64;
        size.records += records;
        if size.records >= FULL.0 || size.bytes >= FULL.1 {
            state.open = None;
        }
        Ok(())
    }

    /// Begins a new file with the next record.
    pub(super) fn seal(&self) {
        self.lock().open = None;
    }

    /// The files that are not written any more.
    pub(super) fn sealed(&self) -> Vec<BatchName> {
        let state = self.lock();
        let open = state.open.as_ref().map(|(name, _)| name);
        state.files.keys().filter(|name| Some(*name) != open).cloned().collect()
    }

    pub(super) fn has_sealed(&self) -> bool {
        let state = self.lock();
        state.files.len() > usize::from(state.open.is_some())
    }

    /// Number of records that wait.
    pub(super) fn records(&self) -> u64 {
        self.lock().files.values().map(|size| size.records).sum()
    }

    /// Reads a file.
    pub(super) fn read(&self, name: &BatchName) -> io::Result<Contents> {
        let mut bytes = Vec::new();
        File::open(self.path(name))?.take(LONGEST).read_to_end(&mut bytes)?;
        let mut contents = Contents::default();
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match parse(line) {
                Some(Line { record, published: true }) => contents.records.push(record),
                Some(Line { record, published: false }) => contents.notes.push(record),
                None => contents.damaged += 1,
            }
        }
        Ok(contents)
    }

    /// Removes a file whose records are in the dataset.
    pub(super) fn remove(&self, name: &BatchName) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.lock().files.remove(name);
        Ok(())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, name: &BatchName) -> PathBuf {
        self.folder.join(format!("{name}.{SUFFIX}"))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name_of(path: &Path) -> Option<BatchName> {
    (path.extension()? == SUFFIX).then(|| path.file_stem()?.to_str()?.parse().ok())?
}

fn parse(line: &[u8]) -> Option<Line> {
    let line = std::str::from_utf8(line).ok()?;
    let (mark, rest) = line.split_once(' ')?;
    let (sum, json) = rest.split_once(' ')?;
    let published = match mark {
        RECORD => true,
        NOTE => false,
        _ => return None,
    };
    let whole = u32::from_str_radix(sum, 16).ok()? == crc32fast::hash(json.as_bytes());
    let record = Record::of_line(json).ok().filter(|_| whole)?;
    Some(Line { record, published })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use storage::dataset::FileKey;

    use super::*;

    fn record(lease: u64) -> Record {
        Record {
            key: FileKey::timeline(&lease.into()),
            crawl: Some(1),
            operation: 'T',
            begun: None,
            ended: None,
            published: Duration::from_secs(lease),
            items: Some(3),
            node: 1,
            lease,
            epoch: 0,
            extent: None,
        }
    }

    fn line(lease: u64, published: bool) -> Line {
        Line { record: record(lease), published }
    }

    fn open(folder: &Path, id: u64) -> Spool {
        Spool::open(folder.to_owned(), 1, id, 1 << 30).unwrap()
    }

    /// The leases of all records in sealed files.
    fn leases(spool: &Spool) -> Vec<u64> {
        let records = spool.sealed().into_iter().flat_map(|name| spool.read(&name).unwrap().records);
        records.map(|record| record.lease).collect()
    }

    #[test]
    fn what_a_killed_process_left_is_read_by_the_next_one_under_the_same_name() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), 5);
        spool.add(&[line(1, false), line(1, true), line(2, false)]).unwrap();
        spool.add(&[line(3, true)]).unwrap();
        assert!(!spool.has_sealed() && spool.records() == 2);
        drop(spool);
        let spool = open(folder.path(), 6);
        assert_eq!((spool.records(), spool.sealed().len(), leases(&spool)), (2, 1, vec![1, 3]));
        let [first] = &spool.sealed()[..] else { panic!() };
        assert_eq!(*first, BatchName { node: 1, spool: 5, number: 0 });
        assert_eq!(spool.read(first).unwrap().notes, [record(1), record(2)]);
        spool.add(&[line(4, true)]).unwrap();
        assert_eq!(leases(&spool), [1, 3], "nothing is added to a file of another process");
        spool.remove(first).unwrap();
        spool.remove(first).unwrap();
        spool.seal();
        assert_eq!((leases(&spool), spool.records()), (vec![4], 1));
    }

    #[test]
    fn a_full_file_is_sealed() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), 5);
        for group in 0..11 {
            let lines: Vec<Line> = (0..1_000).map(|n| line(1 + group * 1_000 + n, true)).collect();
            spool.add(&lines).unwrap();
        }
        assert!(spool.sealed().len() >= 2, "{:?}", spool.sealed());
        spool.seal();
        assert_eq!(leases(&spool), (1..=11_000).collect::<Vec<_>>());
    }

    #[test]
    fn a_torn_record_costs_itself_alone() {
        let folder = tempfile::tempdir().unwrap();
        let spool = open(folder.path(), 5);
        spool.add(&[line(1, true), line(2, true)]).unwrap();
        spool.seal();
        let name = spool.sealed().remove(0);
        let path = spool.path(&name);
        let mut bytes = fs::read(&path).unwrap();
        bytes.truncate(bytes.len() - 3);
        bytes.splice(0..0, b"\0\0\0 a block that was not written\n".iter().copied());
        fs::write(&path, bytes).unwrap();
        let contents = spool.read(&name).unwrap();
        assert_eq!((contents.records, contents.damaged), (vec![record(1)], 2));
    }

    #[test]
    fn nothing_is_added_beyond_the_bound_and_there_is_room_again_later() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path().to_owned(), 1, 5, 3_000).unwrap();
        let added = (1..100).take_while(|lease| spool.add(&[line(*lease, true)]).is_ok()).count();
        assert!((5..20).contains(&added), "{added}");
        let refused = spool.add(&[line(100, true)]).unwrap_err().to_string();
        assert!(refused.contains("provenance wait in"), "{refused}");
        spool.seal();
        assert_eq!(leases(&spool).len(), added);
        spool.remove(&spool.sealed()[0]).unwrap();
        spool.add(&[line(100, true)]).unwrap();
    }
}
