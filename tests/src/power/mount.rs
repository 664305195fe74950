//! A FUSE disk mounted over a folder.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow,
    WriteFlags,
};
use storage::env::{Clock, SeededEntropy, SystemClock};

use super::content::Content;
use super::tree::{No, Number, ROOT, Thing, Tree};

/// The kernel caches nothing; the data is in memory anyway.
const TTL: Duration = Duration::ZERO;

/// Size of the disk as reported, in blocks of 4 KiB.
const ROOM: u64 = 1 << 22;

/// A disk, mounted over a folder. Requires root. Dropping it unmounts it and discards its content.
pub struct PowerDisk {
    path: PathBuf,
    disk: Shared,
    mounted: Option<BackgroundSession>,
}

type Shared = Arc<Mutex<Disk>>;

#[derive(Debug, Default)]
struct Disk {
    tree: Tree,
    written_at: HashMap<Number, SystemTime>,
    power: Power,
}

/// State of the power.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Power {
    #[default]
    On,
    /// Off after this many more writes, syncs and changes of names.
    GoesAfter(u64),
    Off,
}

fn lock(disk: &Shared) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PowerDisk {
    /// Mounts an empty disk over a folder, which is created if missing.
    ///
    /// # Errors
    /// It cannot be mounted, for example without root.
    pub fn mount(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path)?;
        let mut disk = Self { path: path.to_owned(), disk: Shared::default(), mounted: None };
        disk.remount()?;
        Ok(disk)
    }

    fn remount(&mut self) -> anyhow::Result<()> {
        self.mounted = None;
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("twm-power".to_owned()), MountOption::NoAtime];
        let mounted = fuser::spawn_mount(Calls(Arc::clone(&self.disk)), &self.path, &config);
        let mounted = mounted.with_context(|| format!("mounting a disk at {}", self.path.display()))?;
        self.mounted = Some(mounted);
        Ok(())
    }

    /// Cuts the power after `changes` more writes, syncs and changes of names. Processes that use the disk then get
    /// errors.
    pub fn cut_after(&self, changes: u64) {
        lock(&self.disk).power = Power::GoesAfter(changes);
    }

    /// Power goes now.
    pub fn cut_now(&self) {
        lock(&self.disk).power = Power::Off;
    }

    /// Whether the power is off.
    pub fn is_off(&self) -> bool {
        lock(&self.disk).power == Power::Off
    }

    /// The numbers of name changes and of bytes that a cut may lose now.
    pub fn at_risk(&self) -> (usize, usize) {
        lock(&self.disk).tree.at_risk()
    }

    /// Restores the power, after cutting it if it is on: all or part of what was not synced is lost. No process may
    /// use the disk during this call.
    ///
    /// # Errors
    /// It cannot be mounted again.
    pub fn restore(&mut self, dice: &SeededEntropy) -> anyhow::Result<()> {
        lock(&self.disk).power = Power::Off;
        // Unmounting also discards the state in the kernel.
        self.mounted = None;
        {
            let mut disk = lock(&self.disk);
            disk.tree.cut(dice);
            disk.power = Power::On;
        }
        self.remount()
    }
}

impl From<No> for Errno {
    fn from(no: No) -> Self {
        match no {
            No::NotThere => Self::ENOENT,
            No::Exists => Self::EEXIST,
            No::NotEmpty => Self::ENOTEMPTY,
            No::IsFolder => Self::EISDIR,
            No::IsFile => Self::ENOTDIR,
        }
    }
}

impl Disk {
    /// Counts one change; fails if the power is off.
    fn change(&mut self) -> Result<(), Errno> {
        match self.power {
            Power::On => return Ok(()),
            Power::GoesAfter(0) => self.power = Power::Off,
            Power::GoesAfter(left) => {
                self.power = Power::GoesAfter(left - 1);
                return Ok(());
            }
            Power::Off => {}
        }
        Err(Errno::EIO)
    }

    fn look(&self) -> Result<(), Errno> {
        if self.power == Power::Off { Err(Errno::EIO) } else { Ok(()) }
    }

    fn written(&mut self, number: Number) {
        self.written_at.insert(number, UNIX_EPOCH + SystemClock::new().wall());
    }

    fn attributes(&self, number: Number) -> Result<FileAttr, Errno> {
        self.look()?;
        let (kind, size, links, perm) = match self.tree.get(number)? {
            Thing::File(content) => (FileType::RegularFile, content.len(), self.tree.links(number), 0o644),
            Thing::Folder(_) => (FileType::Directory, 4096, 2, 0o755),
        };
        let at = self.written_at.get(&number).copied().unwrap_or(UNIX_EPOCH);
        Ok(FileAttr {
            ino: INodeNo(number),
            size,
            blocks: size.div_ceil(512),
            atime: at,
            mtime: at,
            ctime: at,
            crtime: at,
            kind,
            perm,
            nlink: links,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }

    fn make(&mut self, folder: Number, name: &OsStr, thing: Thing) -> Result<FileAttr, Errno> {
        self.change()?;
        let number = self.tree.make(folder, name, thing)?;
        self.written(number);
        self.attributes(number)
    }
}

/// Handles requests of the kernel.
struct Calls(Shared);

impl Calls {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        lock(&self.0)
    }

    fn changed(&self, change: impl FnOnce(&mut Disk) -> Result<(), Errno>, reply: ReplyEmpty) {
        let mut disk = self.disk();
        match disk.change().and_then(|()| change(&mut disk)) {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }
}

fn entry(found: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match found {
        Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for Calls {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let disk = self.disk();
        let found = disk.look().and_then(|()| Ok(disk.tree.look_up(parent.0, name)?));
        entry(found.and_then(|number| disk.attributes(number)), reply);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.disk().attributes(number.0) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        number: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.disk();
        let resized = match size {
            None => Ok(()),
            Some(size) => disk.change().and_then(|()| {
                disk.tree.content(number.0)?.resize(size);
                disk.written(number.0);
                Ok(())
            }),
        };
        match resized.and_then(|()| disk.attributes(number.0)) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(errno) => reply.error(errno),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        entry(self.disk().make(parent.0, name, Thing::Folder(Default::default())), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.changed(|disk| Ok(disk.tree.remove(parent.0, name, false)?), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.changed(|disk| Ok(disk.tree.remove(parent.0, name, true)?), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        self.changed(|disk| Ok(disk.tree.rename((parent.0, name), (new_parent.0, new_name))?), reply);
    }

    fn link(&self, _: &Request, number: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut disk = self.disk();
        let linked = disk.change().and_then(|()| Ok(disk.tree.link(number.0, parent.0, name)?));
        entry(linked.and_then(|()| disk.attributes(number.0)), reply);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.disk().look() {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(errno) => reply.error(errno),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.disk().make(parent.0, name, Thing::File(Content::default())) {
            Ok(made) => reply.created(&TTL, &made, Generation(0), FileHandle(0), FopenFlags::empty()),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut disk = self.disk();
        match disk.look().and_then(|()| Ok(disk.tree.content(number.0)?)) {
            Ok(content) => reply.data(content.read(offset, size as usize)),
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _: &Request,
        number: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut disk = self.disk();
        let written = disk.change().and_then(|()| {
            disk.tree.content(number.0)?.write(offset, data);
            disk.written(number.0);
            Ok(())
        });
        match written {
            Ok(()) => reply.written(data.len() as u32),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, number: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.changed(
            |disk| {
                disk.tree.content(number.0)?.sync();
                Ok(())
            },
            reply,
        );
    }

    fn fsyncdir(&self, _: &Request, number: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        self.changed(
            |disk| {
                disk.tree.sync_names(number.0);
                Ok(())
            },
            reply,
        );
    }

    fn readdir(&self, _: &Request, number: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let disk = self.disk();
        let names = match disk.look().and_then(|()| Ok(disk.tree.names(number.0)?)) {
            Ok(names) => names,
            Err(errno) => return reply.error(errno),
        };
        let own = [(OsStr::new("."), number.0), (OsStr::new(".."), ROOT)].into_iter();
        let all = own.chain(names.iter().map(|(name, number)| (name.as_os_str(), *number)));
        for (at, (name, number)) in (1u64..).zip(all).skip(offset as usize) {
            let kind = match disk.tree.get(number) {
                Ok(Thing::File(_)) => FileType::RegularFile,
                _ => FileType::Directory,
            };
            if reply.add(INodeNo(number), at, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(ROOM, ROOM, ROOM, 1 << 20, 1 << 20, 4096, 255, 4096);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;

    use super::*;

    #[test]
    fn a_mounted_disk_behaves_as_one_and_loses_what_was_not_synced() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = PowerDisk::mount(folder.path()).unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("f")).unwrap();
        fs::write(path("f/kept"), "x".repeat(200_000)).unwrap();
        File::open(path("f/kept")).unwrap().sync_all().unwrap();
        File::open(path("f")).unwrap().sync_all().unwrap();
        File::open(folder.path()).unwrap().sync_all().unwrap();
        fs::hard_link(path("f/kept"), path("again")).unwrap();
        fs::rename(path("again"), path("third")).unwrap();
        assert_eq!(fs::read(path("third")).unwrap().len(), 200_000);
        fs::remove_file(path("third")).unwrap();
        assert_eq!(disk.at_risk(), (3, 0));
        fs::write(path("lost"), "y").unwrap();
        assert_eq!(disk.at_risk(), (4, 1));
        let mut lost = 0;
        for seed in 0..20 {
            fs::write(path("lost"), "y").unwrap();
            disk.restore(&SeededEntropy::new(seed)).unwrap();
            assert_eq!(fs::read(path("f/kept")).unwrap().len(), 200_000);
            lost += u32::from(fs::read(path("lost")).unwrap_or_default().is_empty());
            let _may_be_lost = fs::remove_file(path("lost"));
        }
        assert!((1..20).contains(&lost), "{lost}");
    }

    #[test]
    fn power_goes_in_the_middle_of_a_load() {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = PowerDisk::mount(folder.path()).unwrap();
        let path = folder.path().join("file");
        let mut file = File::create(&path).unwrap();
        file.sync_all().unwrap();
        File::open(folder.path()).unwrap().sync_all().unwrap();
        disk.cut_after(9);
        let written = (0..100).take_while(|_| file.write_all(b"x").is_ok()).count();
        assert_eq!((written, disk.is_off()), (9, true));
        assert!(fs::read(&path).is_err(), "there is no power");
        drop(file);
        disk.restore(&SeededEntropy::new(1)).unwrap();
        assert!(fs::read(&path).unwrap().len() < 10);
    }
}
