//! Identifies files of the dataset, and names them.

use std::fmt;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{DatasetError, Result, SourceName};
use crate::ids::UserId;

/// Longest encoded id in a name. File systems allow 255 bytes; a draft's name adds a suffix, a lease and a
/// mark.
const MAX_NAME: usize = 200;

/// The kinds of files of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FileKind {
    /// `.twt`
    Timeline,
    /// `.fws`
    Followers,
    /// `.prf`
    Profiles,
}

impl FileKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Timeline, Self::Followers, Self::Profiles];

    /// The file's extension, without the dot.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Timeline => "twt",
            Self::Followers => "fws",
            Self::Profiles => "prf",
        }
    }
}

/// An account of a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account {
    /// Where it was crawled: ids of different sources may be equal.
    pub source: SourceName,
    /// Its id there.
    pub user: UserId,
}

impl Account {
    /// The account's timeline.
    pub fn timeline(&self) -> FileKey {
        FileKey { account: self.clone(), kind: FileKind::Timeline }
    }

    /// The account's followers.
    pub fn followers(&self) -> FileKey {
        FileKey { account: self.clone(), kind: FileKind::Followers }
    }

    /// The profiles of its followers that were looked up.
    pub fn profiles(&self) -> FileKey {
        FileKey { account: self.clone(), kind: FileKind::Profiles }
    }
}

/// An account of the source whose files are at the root of a dataset.
impl From<UserId> for Account {
    fn from(user: UserId) -> Self {
        Self { source: SourceName::default(), user }
    }
}

impl From<&UserId> for Account {
    fn from(user: &UserId) -> Self {
        user.clone().into()
    }
}

/// A file of the dataset, wherever it is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// The account.
    pub account: Account,
    /// Which of its files.
    pub kind: FileKind,
}

impl FileKey {
    /// The timeline of an account of the source at the root.
    pub fn timeline(user: &UserId) -> Self {
        Account::from(user).timeline()
    }

    /// The followers of an account of the source at the root.
    pub fn followers(user: &UserId) -> Self {
        Account::from(user).followers()
    }

    /// The key of a published file by its name: `ID.twt`, `ID.fws` or `ID.prf`, also followed by `.gz`. Its source is the one at
    /// the root: the name does not tell.
    pub fn of_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        Self::of_name(name.strip_suffix(".gz").unwrap_or(name))
    }

    /// The key and the published name of a file that was set aside: `ID.twt.unreadable`, possibly with a
    /// number.
    pub fn of_set_aside(path: &Path) -> Option<(Self, PathBuf)> {
        let name = path.file_name()?.to_str()?;
        let (published, mark) = name.rsplit_once('.')?;
        let number = mark.strip_prefix("unreadable")?;
        if !number.is_empty() && number.strip_prefix('-')?.parse::<u32>().is_err() {
            return None;
        }
        let published = Path::new(published);
        let key = Self::of_path(published)?;
        Some((key, path.with_file_name(published)))
    }

    /// The published path of the file in a dataset's folder.
    ///
    /// # Errors
    /// [`DatasetError::NameTooLong`].
    pub fn path_under(&self, output: &Path) -> Result<PathBuf> {
        Ok(self.folder_under(output).join(self.name()?))
    }

    /// The file's name in a dataset, with its folders, such as `22/22013880.twt`.
    ///
    /// # Errors
    /// [`DatasetError::NameTooLong`].
    pub fn stored_name(&self) -> Result<String> {
        Ok(self.path_under(Path::new(""))?.to_string_lossy().into_owned())
    }

    /// The file with a name in a dataset; `None` for drafts, files of the original program and anything else.
    pub(super) fn of_stored_name(stored: &str) -> Option<Self> {
        let path = Path::new(stored);
        let mut key = Self::of_path(path)?;
        if let Some((source, rest)) = stored.split_once('/').filter(|(_, rest)| rest.contains('/')) {
            key.account.source = source.parse().ok()?;
            return (key.stored_name().ok()? == stored && rest.matches('/').count() == 1).then_some(key);
        }
        (key.stored_name().ok()? == stored).then_some(key)
    }

    /// The published path of the file, in the folder of another one.
    ///
    /// # Errors
    /// [`DatasetError::NameTooLong`].
    pub fn path_beside(&self, other: &Path) -> Result<PathBuf> {
        Ok(other.with_file_name(self.name()?))
    }

    /// The key of `ID.twt`, `ID.fws` or `ID.prf`.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let (id, suffix) = name.rsplit_once('.')?;
        let kind = FileKind::ALL.into_iter().find(|kind| kind.suffix() == suffix)?;
        let key = Self { account: decode(id)?.into(), kind };
        // Only the canonical spelling: `007.twt` and `7.twt` are not the same file.
        (encode(&key.account.user) == id).then_some(key)
    }

    /// The file's name.
    ///
    /// # Errors
    /// [`DatasetError::NameTooLong`].
    pub(super) fn name(&self) -> Result<String> {
        let user = &self.account.user;
        let mut name = encode(user);
        if name.len() > MAX_NAME {
            return Err(DatasetError::NameTooLong { user: user.to_string(), bytes: name.len() });
        }
        name.push('.');
        name.push_str(self.kind.suffix());
        Ok(name)
    }

    /// The folder of the file in a dataset's folder.
    pub(super) fn folder_under(&self, output: &Path) -> PathBuf {
        match self.account.source.folder() {
            Some(source) => output.join(source).join(self.folder()),
            None => output.join(self.folder()),
        }
    }

    /// The name of the file's folder: the first two digits of a number, as in the original program.
    pub(super) fn folder(&self) -> String {
        match &self.account.user {
            UserId::Number(number) => number.to_string().chars().take(2).collect(),
            UserId::Text(text) => format!("{:02x}", crc32fast::hash(text.as_bytes()) >> 24),
        }
    }
}

impl fmt::Display for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = self.account.source.folder() {
            write!(f, "{source}/")?;
        }
        write!(f, "{}.{}", self.account.user, self.kind.suffix())
    }
}

fn encode(user: &UserId) -> String {
    let UserId::Text(text) = user else { return user.to_string() };
    let mut name = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte) {
            name.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(name, "%{byte:02X}");
        }
    }
    name
}

fn decode(name: &str) -> Option<UserId> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let high = char::from(rest.next()?).to_digit(16)?;
        let low = char::from(rest.next()?).to_digit(16)?;
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(id: &str) -> String {
        let key = FileKey::timeline(&id.parse().unwrap());
        format!("{}/{}", key.folder(), key.name().unwrap())
    }

    #[test]
    fn names_are_the_original_ones_and_safe_for_any_id() {
        assert_eq!(name("22013880"), "22/22013880.twt");
        assert_eq!(name("5"), "5/5.twt");
        assert_eq!(
            name("did:plc:abc"),
            format!("{:02x}/did%3Aplc%3Aabc.twt", crc32fast::hash(b"did:plc:abc") >> 24)
        );
        assert!(name("me@host.example").ends_with("/me@host.example.twt"));
        assert!(name("a%2Fb").ends_with("/a%252Fb.twt"));
    }

    #[test]
    fn a_name_leads_back_to_its_key() {
        for id in ["1", "22013880", "did:plc:abc", "é!@x.y", "a.twt", "a%2Fb"] {
            for kind in FileKind::ALL {
                let key = FileKey { kind, ..FileKey::timeline(&id.parse().unwrap()) };
                let name = key.name().unwrap();
                assert_eq!(FileKey::of_name(&name), Some(key.clone()));
                assert_eq!(FileKey::of_path(Path::new(&format!("/x/22/{name}.gz"))), Some(key));
            }
        }
        for other in ["", ".twt", "007.twt", "5.tx", "5", "%zz.twt", "%2.twt", "a:b.twt", "5.twt.unreadable"]
        {
            assert_eq!(FileKey::of_path(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn an_id_that_no_file_system_takes_is_refused() {
        let key = FileKey::timeline(&":".repeat(100).parse().unwrap());
        assert!(matches!(key.name(), Err(DatasetError::NameTooLong { bytes: 300, .. })));
    }
}
