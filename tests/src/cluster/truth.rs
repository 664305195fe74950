//! The expected content of a dataset.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use flate2::read::MultiGzDecoder;
use serde_json::Value;

use crate::emulator::Emulator;

/// Folder of drafts within a dataset's folder.
const DRAFTS: &str = ".tmp";
/// The other permitted entries in a dataset's folder: the id of a shared one, and the provenance.
const OTHERS: [&str; 2] = [".twm-output", PROVENANCE];
/// Folder of the provenance within a dataset's folder.
pub(super) const PROVENANCE: &str = ".provenance";
/// Maximum differences listed in an error.
const MOST_NAMED: usize = 20;

/// A file of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileName {
    /// `ID.twt`.
    Timeline(u64),
    /// `ID.fws`.
    Followers(u64),
    /// `ID.prf`.
    Profiles(u64),
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeline(account) => write!(f, "{account}.twt"),
            Self::Followers(account) => write!(f, "{account}.fws"),
            Self::Profiles(account) => write!(f, "{account}.prf"),
        }
    }
}

impl FileName {
    /// Its path within a dataset's folder.
    pub fn path(self) -> PathBuf {
        let (Self::Timeline(account) | Self::Followers(account) | Self::Profiles(account)) = self;
        let digits = account.to_string();
        Path::new(&digits[..digits.len().min(2)]).join(self.to_string())
    }

    /// Parses a path within a dataset's folder; `None` if it is not a dataset file.
    pub fn of(path: &Path) -> Option<Self> {
        let account = path.file_stem()?.to_str()?.parse().ok()?;
        let name = match path.extension()?.to_str()? {
            "twt" => Self::Timeline(account),
            "fws" => Self::Followers(account),
            "prf" => Self::Profiles(account),
            _ => return None,
        };
        Some(name).filter(|name| *name.path() == *path)
    }
}

/// The expected content of a dataset: each tweet and each follower exactly once, and nothing else. Analyses write profiles of
/// followers, each at most once for a crawl.
///
/// The check reads the files itself and shares no code with the writers.
pub struct Truth<'a> {
    emulator: &'a Emulator,
    timelines: BTreeSet<u64>,
    followers: BTreeSet<u64>,
    permitted: BTreeSet<FileName>,
    copies: bool,
    sources: BTreeSet<PathBuf>,
}

impl<'a> Truth<'a> {
    /// Uses the emulator's data; contains no accounts yet.
    pub fn of(emulator: &'a Emulator) -> Self {
        Self {
            emulator,
            timelines: BTreeSet::new(),
            followers: BTreeSet::new(),
            permitted: BTreeSet::new(),
            copies: false,
            sources: BTreeSet::new(),
        }
    }

    /// Expects the timelines of these accounts.
    #[must_use]
    pub fn timelines(mut self, accounts: impl IntoIterator<Item = u64>) -> Self {
        self.timelines.extend(accounts);
        self
    }

    /// Expects the followers of these accounts.
    #[must_use]
    pub fn followers(mut self, accounts: impl IntoIterator<Item = u64>) -> Self {
        self.followers.extend(accounts);
        self
    }

    /// Permits these files, such as those of a cancelled crawl; a file that exists must be complete.
    #[must_use]
    pub fn permit(mut self, files: impl IntoIterator<Item = FileName>) -> Self {
        self.permitted.extend(files);
        self
    }

    /// Permits a file in several folders: if the file of a dead node cannot be verified, it is written again
    /// elsewhere.
    #[must_use]
    pub fn copies(mut self) -> Self {
        self.copies = true;
        self
    }

    /// Leaves out the folder of this source, which has a truth of its own.
    #[must_use]
    pub fn without_source(mut self, name: &str) -> Self {
        self.sources.insert(name.into());
        self
    }

    /// Compares the datasets in these folders, taken together.
    ///
    /// # Errors
    /// The datasets differ; the error lists the differences.
    pub fn check(&self, folders: &[PathBuf]) -> anyhow::Result<()> {
        let mut wrong = Vec::new();
        let mut found: BTreeMap<FileName, u32> = BTreeMap::new();
        for folder in folders {
            for path in files(folder)? {
                if self.sources.iter().any(|source| path.starts_with(source)) {
                    continue;
                }
                let place = folder.join(&path);
                match FileName::of(&path) {
                    None => wrong.push(format!("{} is no file of a dataset", place.display())),
                    Some(name) => {
                        *found.entry(name).or_default() += 1;
                        wrong.extend(
                            self.compare(name, &place)
                                .err()
                                .map(|why| format!("{}: {why:#}", place.display())),
                        );
                    }
                }
            }
        }
        let expected = self.expected();
        wrong.extend(
            expected.iter().filter(|name| !found.contains_key(name)).map(|name| format!("{name} is missing")),
        );
        if !self.copies {
            let several = found.iter().filter(|(_, copies)| **copies > 1);
            wrong.extend(several.map(|(name, copies)| format!("{name} is there {copies} times")));
        }
        let named = wrong.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join("\n");
        ensure!(wrong.is_empty(), "the dataset differs from the truth in {} places:\n{named}", wrong.len());
        Ok(())
    }

    fn expected(&self) -> BTreeSet<FileName> {
        let timelines = self.timelines.iter().map(|account| FileName::Timeline(*account));
        let followers = self.followers.iter().map(|account| FileName::Followers(*account));
        timelines.chain(followers).filter(|name| !self.content(*name).is_empty()).collect()
    }

    /// The expected ids in a file; a file without ids must not exist.
    fn content(&self, name: FileName) -> Vec<u64> {
        match name {
            FileName::Timeline(account) => self.emulator.expected_timeline(account),
            FileName::Followers(account) | FileName::Profiles(account) => {
                self.emulator.expected_followers(account)
            }
        }
    }

    fn compare(&self, name: FileName, path: &Path) -> anyhow::Result<()> {
        let listed = match name {
            FileName::Timeline(account) => self.timelines.contains(&account),
            FileName::Followers(account) => self.followers.contains(&account),
            FileName::Profiles(account) => {
                let followers = self.emulator.expected_followers(account);
                return check_profiles(&read_lines(path)?, &followers.into_iter().collect());
            }
        };
        let wanted = listed || self.permitted.contains(&name);
        ensure!(wanted && !self.content(name).is_empty(), "it should not be there");
        let lines = read_lines(path)?;
        let id = |line: &String| match name {
            FileName::Timeline(account) => tweet_id(line, account),
            FileName::Followers(_) | FileName::Profiles(_) => {
                line.parse().with_context(|| format!("{line:?} is no id"))
            }
        };
        let ids = lines.iter().map(id).collect::<anyhow::Result<Vec<u64>>>()?;
        let (is, should) = (ids.len(), self.content(name));
        let distinct = ids.iter().collect::<BTreeSet<_>>().len();
        ensure!(
            ids == should,
            "it has {is} items, {distinct} different ones; {} in order should be there",
            should.len()
        );
        Ok(())
    }
}

fn check_profiles(lines: &[String], followers: &BTreeSet<u64>) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    for line in lines {
        let kept: Value = serde_json::from_str(line).with_context(|| format!("{line:?}"))?;
        let (crawl, id) = (kept["crawl"].as_u64(), kept["profile"]["id"].as_u64());
        let of_follower = id.is_some_and(|id| followers.contains(&id));
        ensure!(
            of_follower && kept["source"] == "twitter" && kept["at"].is_string(),
            "{line:?} is no profile of a follower"
        );
        ensure!(seen.insert((crawl, id)), "it has a profile twice: {line:?}");
    }
    ensure!(!seen.is_empty(), "it has no profiles");
    Ok(())
}

/// Drafts in the temporary folders of these datasets.
///
/// # Errors
/// A folder cannot be read.
pub(super) fn drafts(folders: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let list = |folder: &PathBuf| {
        let drafts = folder.join(DRAFTS);
        if drafts.exists() { entries(&drafts) } else { Ok(Vec::new()) }
    };
    Ok(folders.iter().map(list).collect::<anyhow::Result<Vec<_>>>()?.concat())
}

/// Lines of a file, gzip or plain.
///
/// # Errors
/// The file cannot be read to its end.
pub(super) fn read_lines(path: &Path) -> anyhow::Result<Vec<String>> {
    let mut file = BufReader::new(File::open(path)?);
    let lines: io::Result<Vec<String>> = match file.fill_buf()? {
        [0x1f, 0x8b, ..] => BufReader::new(MultiGzDecoder::new(file)).lines().collect(),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            BufReader::new(zstd::stream::read::Decoder::with_buffer(file)?).lines().collect()
        }
        _ => file.lines().collect(),
    };
    Ok(lines?)
}

fn tweet_id(line: &str, account: u64) -> anyhow::Result<u64> {
    let tweet: Value = serde_json::from_str(line)?;
    ensure!(tweet["user"]["id"].as_u64() == Some(account), "a tweet is somebody else's");
    tweet["id"].as_u64().context("a tweet without an id")
}

/// All files below a dataset's folder except drafts, the storage id and the provenance, by their paths within it.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for path in entries(&next)? {
            let inner = path.strip_prefix(folder)?;
            match path.is_dir() {
                _ if inner == Path::new(DRAFTS) || OTHERS.iter().any(|other| inner == Path::new(other)) => {}
                true => folders.push(path),
                false => found.push(inner.to_owned()),
            }
        }
    }
    Ok(found)
}

fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let list = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    list().with_context(|| format!("listing {}", folder.display()))
}
