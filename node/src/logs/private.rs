//! Log files that only their owner reads.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::env::Clock;

/// Seconds per day. Files change with the UTC day.
const DAY: u64 = 24 * 60 * 60;

/// Creates the folder of the files, closed to other users. An existing one keeps its permissions.
pub(super) fn make_folder(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent().filter(|parent| *parent != Path::new("")) {
        fs::create_dir_all(parent)?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => Ok(()),
        other => other,
    }
}

/// A writer of daily files that removes the read permission of other users with the first line of each day.
pub(super) struct Private<W> {
    files: W,
    dir: PathBuf,
    prefix: String,
    clock: Arc<dyn Clock>,
    day: Option<u64>,
}

impl<W: Write> Private<W> {
    /// Wraps a writer of files in `dir` whose names begin with `prefix`.
    pub(super) fn over(files: W, dir: &Path, prefix: &str, clock: Arc<dyn Clock>) -> Self {
        Self { files, dir: dir.to_owned(), prefix: prefix.to_owned(), clock, day: None }
    }

    fn close_to_others(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&self.prefix) {
                fs::set_permissions(entry.path(), Permissions::from_mode(0o600))?;
            }
        }
        Ok(())
    }
}

impl<W: Write> Write for Private<W> {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        // Read before the writer reads its own clock: if the day is new here, the file is new as well.
        let day = self.clock.wall().as_secs() / DAY;
        let written = self.files.write(lines)?;
        if self.day != Some(day) {
            self.close_to_others()?;
            self.day = Some(day);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.files.flush()
    }
}

#[cfg(test)]
mod tests {
    use tracing_appender::rolling::{RollingFileAppender, Rotation};

    use super::*;

    fn rights(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn log_files_are_closed_to_others_also_in_a_folder_that_is_open() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/logs");
        make_folder(&dir).unwrap();
        make_folder(&dir).unwrap();
        assert_eq!(rights(&dir), 0o700);
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        let files = RollingFileAppender::builder().rotation(Rotation::DAILY).filename_prefix("twm-node-1");
        let files = files.build(&dir).unwrap();
        fs::write(dir.join("theirs"), "").unwrap();
        fs::set_permissions(dir.join("theirs"), Permissions::from_mode(0o644)).unwrap();
        let clock = Arc::new(storage::env::SystemClock::new());
        let mut writer = Private::over(files, &dir, "twm-node-1", clock);
        writer.write_all(b"a line\n").unwrap();
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(rights(&path), if path.ends_with("theirs") { 0o644 } else { 0o600 }, "{path:?}");
        }
        assert_eq!(rights(&dir), 0o755, "a folder that was there keeps its rights");
    }
}
