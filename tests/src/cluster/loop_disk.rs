//! Disks that lose power.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use rustix::mount::{UnmountFlags, unmount};
use tempfile::TempDir;
use tokio::process::Command;

use super::ended;

/// Size of a disk, in bytes.
const BYTES: u64 = 256 << 20;

/// An ext4 file system in an image, mounted over a folder. Requires root. Dropping it unmounts it and discards its
/// content.
///
/// The image contains what the file system wrote to the disk. Unsynced data is still in the memory of the file
/// system, so a copy of the image is what a power cut leaves.
#[derive(Debug)]
pub struct LoopDisk {
    path: PathBuf,
    images: TempDir,
    image: PathBuf,
    cuts: u32,
}

impl LoopDisk {
    /// Mounts an empty disk over a folder, which is created if missing.
    ///
    /// # Errors
    /// The disk cannot be created or mounted, for example without root.
    pub async fn mount(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path)?;
        let images = tempfile::Builder::new().prefix("twm-disk-").tempdir().context("making a folder")?;
        let image = images.path().join("0");
        File::create(&image)?.set_len(BYTES)?;
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image)).await?;
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(path)).await?;
        Ok(Self { path: path.to_owned(), images, image, cuts: 0 })
    }

    /// Cuts and restores the power: what was not synced is lost. No process may still write to the disk.
    ///
    /// # Errors
    /// The image cannot be copied or mounted.
    pub async fn cut(&mut self) -> anyhow::Result<()> {
        self.cuts += 1;
        let left = self.images.path().join(self.cuts.to_string());
        run(Command::new("cp").arg("--sparse=always").arg(&self.image).arg(&left)).await?;
        unmount(&self.path, UnmountFlags::DETACH)?;
        fs::remove_file(&self.image)?;
        self.image = left;
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.path)).await
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        if let Err(error) = unmount(&self.path, UnmountFlags::DETACH) {
            eprintln!("{} stays mounted: {error}", self.path.display());
        }
    }
}

async fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = ended(command).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{:?} ended with {}: {said}", command.as_std(), output.status);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cut_takes_what_was_not_synced_and_leaves_what_was() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = LoopDisk::mount(folder.path()).await.unwrap();
        let [synced, unsynced] = ["synced", "unsynced"].map(|name| folder.path().join(name));
        fs::write(&unsynced, "lost").unwrap();
        fs::write(&synced, "kept").unwrap();
        File::open(&synced).unwrap().sync_all().unwrap();
        File::open(folder.path()).unwrap().sync_all().unwrap();
        disk.cut().await.unwrap();
        assert_eq!(fs::read(&synced).unwrap(), b"kept");
        // The name may have been synced together with the other one.
        assert_eq!(fs::read(&unsynced).unwrap_or_default(), b"");
    }
}
