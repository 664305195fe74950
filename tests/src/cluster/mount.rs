//! Small disks that a test can fill, take away and forbid to write to.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

use super::eventually;

/// The file that takes up a disk's room.
const BALLAST: &str = "lost+found";

/// A file system in memory, mounted over a folder. Needs root. Dropped, it is unmounted and its content is gone.
#[derive(Debug)]
pub struct Tmpfs {
    path: PathBuf,
    options: String,
}

impl Tmpfs {
    /// Mounts one of so many bytes over a folder, which is made if there is none.
    ///
    /// # Errors
    /// It cannot be mounted, as by anybody but root.
    pub fn mount(path: &Path, bytes: u64) -> anyhow::Result<Self> {
        fs::create_dir_all(path)?;
        let options = format!("size={bytes},mode=755");
        let mounted = mount("tmpfs", path, "tmpfs", MountFlags::empty(), Some(&*c_string(&options)?));
        mounted.with_context(|| format!("mounting a tmpfs at {}, which only root can", path.display()))?;
        Ok(Self { path: path.to_owned(), options })
    }

    /// Takes up all its room but so many bytes, or what is left of it after an earlier call.
    ///
    /// # Errors
    /// It cannot be written.
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

    /// Gives back the room that [`fill`](Self::fill) took.
    ///
    /// # Errors
    /// It was not filled.
    pub fn free(&self) -> anyhow::Result<()> {
        Ok(fs::remove_file(self.path.join(BALLAST))?)
    }

    /// Forbids or allows to write, once nobody has a file open for it.
    ///
    /// # Errors
    /// Somebody keeps one open.
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
