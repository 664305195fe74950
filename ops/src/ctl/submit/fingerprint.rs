//! Identifies a submission.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use flate2::Crc;

/// Bytes of a list that are hashed: a list that grew or was edited has another modification time.
const HEAD: u64 = 64 * 1024;

/// A number for these lists in their order, which stays the same as long as they are not written to; `None`
/// if one is not a regular file and thus can be read only once.
pub fn fingerprint<'a>(lists: impl IntoIterator<Item = &'a Path>) -> io::Result<Option<u64>> {
    let (mut heads, mut files) = (Crc::new(), Crc::new());
    for list in lists {
        let file = File::open(list)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Ok(None);
        }
        for number in [found.len(), found.mtime() as u64, found.mtime_nsec() as u64] {
            files.update(&number.to_le_bytes());
        }
        let mut head = Vec::new();
        file.take(HEAD).read_to_end(&mut head)?;
        heads.update(&head);
    }
    Ok(Some(u64::from(heads.sum()) << 32 | u64::from(files.sum())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn lists_are_known_again_until_somebody_writes_to_them() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        fs::write(&one, "1\n2\n").unwrap();
        fs::write(&two, "3\n").unwrap();
        let of = |lists: &[&Path]| fingerprint(lists.iter().copied()).unwrap().unwrap();
        let both = of(&[&one, &two]);
        assert_eq!(of(&[&one, &two]), both);
        assert_ne!(of(&[&two, &one]), both);
        assert_ne!(of(&[&one]), both);
        fs::write(&two, "4\n").unwrap();
        assert_ne!(of(&[&one, &two]), both);
    }

    #[test]
    fn a_stream_has_none_and_a_missing_list_is_an_error() {
        assert_eq!(fingerprint([Path::new("/dev/null")]).unwrap(), None);
        assert!(fingerprint([Path::new("/nowhere/list")]).is_err());
    }
}
