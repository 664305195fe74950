//! Small disks that a test can fill, unmount and make read-only.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use super::eventually;

/// The file that fills a disk.
const BALLAST: &str = "lost+found";

/// A file system in memory, mounted over a folder. Requires root. Dropping it unmounts it and discards its content.
#[derive(Debug)]
pub struct Tmpfs {
    path: PathBuf,
    options: String,
}

impl Tmpfs {
    /// Mounts a file system of `bytes` bytes over a folder, which is created if missing.
    ///
    /// # Errors
    /// It cannot be mounted, for example without root.
    pub fn mount(path: &Path, bytes: u64) -> anyhow::Result<Self> {
        fs::create_dir_all(path)?;
        let options = format!("size={bytes},mode=755");
        let mounted = mount("tmpfs", path, "tmpfs", MountFlags::empty(), Some(&*c_string(&options)?));
        mounted.with_context(|| format!("mounting a tmpfs at {}, which only root can", path.display()))?;
        Ok(Self { path: path.to_owned(), options })
    }

    /// Fills the file system, leaving `but` bytes free. A further call also fills space that was freed since.
    ///
    /// # Errors
    /// The file that fills it cannot be written.
    pub fn fill(&self, but: usize) -> anyhow::Result<()> {
        let mut ballast = File::options().create(true).append(true).open(self.path.join(BALLAST))?;
        let block = [0; 4096];
        let mut written = ballast.metadata()?.len();
        loop {
            match ballast.write(&block) {
                Ok(bytes) => written += bytes as u64,
                Err(e) if e.kind() == ErrorKind::StorageFull => break,
                Err(e) => bail!("filling {}: {e}", self.path.display()),
            }
        }
        Ok(ballast.set_len(written.saturating_sub(but as u64))?)
    }

    /// Frees the space that [`fill`](Self::fill) took.
    ///
    /// # Errors
    /// The file system was not filled.
    pub fn free(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.path.join(BALLAST))?)
    }

    /// Makes the mount read-only or writable, once no file is open for writing.
    ///
    /// # Errors
    /// A file is still open for writing at the deadline.
    pub async fn read_only(&self, yes: bool) -> anyhow::Result<()> {
        let flags = if yes { MountFlags::RDONLY } else { MountFlags::empty() };
        let options = c_string(&self.options)?;
        eventually("the mount can be changed", async || match mount_remount(&self.path, flags, &*options) {
            Ok(()) => Ok(Some(())),
            Err(rustix::io::Errno::BUSY) => Ok(None),
            Err(e) => Err(e.into()),
        })
        .await
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.path, UnmountFlags::DETACH) {
            eprintln!("{} stays mounted: {error}", self.path.display());
        }
    }
}

fn c_string(text: &str) -> anyhow::Result<std::ffi::CString> {
    Ok(std::ffi::CString::new(text)?)
}
