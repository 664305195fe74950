//! The content of a file: as readers see it, and as it is on the disk.

use std::collections::BTreeSet;

use storage::env::{Entropy, SeededEntropy};

/// Unit that a disk writes atomically.
const SECTOR: usize = 512;
/// Unit that the operating system writes back.
const PAGE: usize = 4_096;

/// The content of a file.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Changes since the last sync, in order.
    unsynced: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => write(to, *at, bytes),
            Self::Resize(length) => to.resize(*length, 0),
        }
    }
}

fn write(to: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if to.len() < end {
        to.resize(end, 0);
    }
    to[at..end].copy_from_slice(bytes);
}

impl Content {
    pub(super) fn len(&self) -> u64 {
        self.now.len() as u64
    }

    /// At most `bytes` bytes from `at` on.
    pub(super) fn read(&self, at: u64, bytes: usize) -> &[u8] {
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(self.now.len());
        &self.now[from..from.saturating_add(bytes).min(self.now.len())]
    }

    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) {
        let at = at as usize;
        write(&mut self.now, at, bytes);
        self.unsynced.push(Change::Write { at, bytes: bytes.to_owned() });
    }

    pub(super) fn resize(&mut self, length: u64) {
        self.now.resize(length as usize, 0);
        self.unsynced.push(Change::Resize(length as usize));
    }

    /// Makes the whole content durable.
    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// Bytes that a cut may lose.
    pub(super) fn at_risk(&self) -> usize {
        let size = |change: &Change| match change {
            Change::Write { bytes, .. } => bytes.len(),
            Change::Resize(_) => 0,
        };
        self.unsynced.iter().map(size).sum()
    }

    /// Cuts the power: durable data remains, and part of the rest. Each page has its state at some moment since the
    /// last sync; the sectors of a torn page have states of different moments. The length is also that of some
    /// moment.
    pub(super) fn cut(&mut self, dice: &SeededEntropy) {
        let changes = std::mem::take(&mut self.unsynced);
        let moment = || dice.next_u64() as usize % (changes.len() + 1);
        let mut pages = BTreeSet::new();
        for change in &changes {
            if let Change::Write { at, bytes } = change {
                pages.extend(at / PAGE..(at + bytes.len()).div_ceil(PAGE));
            }
        }
        let mut length = self.durable.len();
        changes[..moment()].iter().for_each(|change| match change {
            Change::Write { at, bytes } => length = length.max(at + bytes.len()),
            Change::Resize(to) => length = *to,
        });
        for page in pages {
            let torn = dice.next_u64() % 8 == 0;
            let whole = moment();
            for sector in (page * PAGE..(page + 1) * PAGE).step_by(SECTOR) {
                let moment = if torn { moment() } else { whole };
                self.write_back(sector, &changes[..moment]);
            }
        }
        self.durable.resize(length, 0);
        self.now.clone_from(&self.durable);
    }

    /// Makes the effect of these changes on a sector durable.
    fn write_back(&mut self, sector: usize, changes: &[Change]) {
        let end = sector + SECTOR;
        for change in changes {
            match change {
                Change::Write { at, bytes } => {
                    let (from, to) = (sector.max(*at), end.min(at + bytes.len()));
                    if from < to {
                        write(&mut self.durable, from, &bytes[from - at..to - at]);
                    }
                }
                Change::Resize(length) => {
                    let (from, to) = (sector.max(*length), end.min(self.durable.len()));
                    if from < to {
                        self.durable[from..to].fill(0);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_cuts(scene: impl Fn(&mut Content)) -> BTreeSet<Vec<u8>> {
        let cut = |seed| {
            let mut content = Content::default();
            scene(&mut content);
            content.cut(&SeededEntropy::new(seed));
            assert_eq!(content.at_risk(), 0);
            content.read(0, usize::MAX).to_owned()
        };
        (0..500).map(cut).collect()
    }

    #[test]
    fn what_was_synced_survives_every_cut_and_the_rest_survives_in_pages_and_sectors() {
        let left = after_cuts(|content| {
            content.write(0, &[1; 1_000]);
            content.sync();
            content.write(1_000, &[2; 20_000]);
            assert_eq!((content.len(), content.at_risk()), (21_000, 20_000));
        });
        assert!(left.iter().all(|bytes| bytes[..1_000] == [1; 1_000]));
        assert!(left.iter().all(|bytes| [1_000, 21_000].contains(&bytes.len())));
        let holes = left.iter().filter(|bytes| {
            let lost = bytes[1_000..].iter().position(|byte| *byte == 0);
            lost.is_some_and(|lost| bytes[1_000 + lost..].contains(&2))
        });
        assert!(holes.count() > 10, "later pages survive without earlier ones");
        let torn = left.iter().filter(|bytes| {
            let kept = |at: usize| bytes.get(at) == Some(&2);
            bytes.len() > 8_192 && (4_096..8_192).step_by(SECTOR).any(|at| kept(at) != kept(4_096))
        });
        assert!(torn.count() > 10, "pages are torn at sectors");
    }

    #[test]
    fn a_write_in_the_same_sector_as_an_earlier_one_does_not_survive_without_it() {
        let left = after_cuts(|content| {
            content.write(0, b"aaaa");
            content.sync();
            content.write(0, b"bb");
            content.write(2, b"cc");
        });
        assert_eq!(left, [b"aaaa", b"bbaa", b"bbcc"].map(|text| text.to_vec()).into());
    }

    #[test]
    fn what_was_cut_off_and_written_again_is_there_as_it_was_at_some_moment() {
        let left = after_cuts(|content| {
            content.write(0, b"old!");
            content.sync();
            content.resize(0);
            content.write(0, b"new");
        });
        let seen: BTreeSet<String> =
            left.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        let page = ["old", "\0\0\0", "new"];
        assert!(
            seen.iter().all(|text| text.is_empty() || page.iter().any(|page| text.starts_with(page))),
            "{seen:?}"
        );
        assert!(seen.contains("") && seen.contains("new") && seen.contains("old!"), "{seen:?}");
    }
}
