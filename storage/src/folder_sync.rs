//! Shares the sync of a folder among all whose names in it must be durable.
//!
//! A worker that finished a file waits until the folder that names it is synced. One sync makes all names durable
//! that existed when it began, so those who arrive while one runs share the next.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard};

use crate::durable::{FileError, Naming, sync_folder};

/// The error number of an unspecified disk failure (`EIO`).
const UNKNOWN_FAILURE: i32 = 5;

/// Shared syncs of one folder. They are numbered from 1.
#[derive(Debug)]
pub(crate) struct FolderSync {
    folder: PathBuf,
    syncs: Mutex<Syncs>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Syncs {
    running: bool,
    begun: u64,
    /// The last successful one.
    done: u64,
    /// The last failed one and its error. Those who waited for it must know: a later success does not bring
    /// back what the system dropped.
    failed: Option<(u64, i32)>,
}

impl FolderSync {
    /// Of this folder.
    pub(crate) fn of(folder: PathBuf) -> Self {
        Self { folder, syncs: Mutex::default(), ended: Condvar::new() }
    }

    /// Of the folder that names `path`.
    pub(crate) fn of_parent(path: &Path) -> Self {
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        Self::of(parent.unwrap_or(Path::new(".")).to_owned())
    }

    /// Returns when the current names in the folder are durable.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.sync_by(|| sync_folder(&self.folder))
    }

    fn sync_by(&self, sync: impl FnOnce() -> Result<(), FileError>) -> Result<(), FileError> {
        let mut syncs = self.lock();
        // A running one may have begun before the caller's name existed.
        let needed = syncs.begun + 1;
        while syncs.running {
            syncs = self.ended.wait(syncs).unwrap_or_else(|e| e.into_inner());
            match syncs.failed {
                Some((failed, code)) if failed >= needed => {
                    return Err(io::Error::from_raw_os_error(code)).naming("sync the folder", &self.folder);
                }
                _ if syncs.done >= needed => return Ok(()),
                _ => {}
            }
        }
        syncs.running = true;
        syncs.begun += 1;
        let this = syncs.begun;
        drop(syncs);
        let outcome = sync();
        let mut syncs = self.lock();
        syncs.running = false;
        match &outcome {
            Ok(()) => syncs.done = this,
            Err(error) => syncs.failed = Some((this, error.source.raw_os_error().unwrap_or(UNKNOWN_FAILURE))),
        }
        drop(syncs);
        self.ended.notify_all();
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, Syncs> {
        self.syncs.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    /// One sync is held while `waiting` more are requested; returns the number of syncs and the results of
    /// the others.
    fn held(waiting: usize, second: impl Fn() -> Result<(), FileError> + Sync) -> (u64, Vec<bool>) {
        let shared = FolderSync::of(PathBuf::from("/nowhere"));
        let count = AtomicU64::new(0);
        let (release, released) = mpsc::channel();
        thread::scope(|scope| {
            let (begun, begins) = mpsc::channel();
            let (shared, count) = (&shared, &count);
            scope.spawn(move || {
                let first = shared.sync_by(|| {
                    begun.send(()).unwrap();
                    released.recv().unwrap();
                    count.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                });
                first.unwrap();
            });
            begins.recv().unwrap();
            let second = &second;
            let (asks, asked) = mpsc::channel();
            let others: Vec<_> = (0..waiting)
                .map(|_| {
                    let asks = asks.clone();
                    scope.spawn(move || {
                        asks.send(()).unwrap();
                        let outcome = shared.sync_by(|| {
                            count.fetch_add(1, Ordering::SeqCst);
                            second()
                        });
                        outcome.is_ok()
                    })
                })
                .collect();
            asked.iter().take(waiting).for_each(drop);
            release.send(()).unwrap();
            let ended = others.into_iter().map(|other| other.join().unwrap()).collect();
            (count.load(Ordering::SeqCst), ended)
        })
    }

    #[test]
    fn who_asks_while_one_runs_is_served_by_a_later_one() {
        let (syncs, ended) = held(1, || Ok(()));
        assert_eq!((syncs, ended), (2, vec![true]));
    }

    #[test]
    fn many_share_and_none_is_forgotten() {
        let (syncs, ended) = held(16, || Ok(()));
        assert!((2..=17).contains(&syncs), "{syncs}");
        assert_eq!(ended, [true; 16]);
    }

    #[test]
    fn a_failure_reaches_everybody_who_waited_for_that_sync() {
        let fail = || Err(io::Error::from_raw_os_error(28)).naming("sync the folder", "/nowhere".as_ref());
        let (_, ended) = held(8, fail);
        assert_eq!(ended, [false; 8]);
    }

    #[test]
    fn a_folder_that_is_gone_is_an_error_that_names_it() {
        let error = FolderSync::of(PathBuf::from("/nowhere")).sync().unwrap_err();
        assert!(error.to_string().contains("/nowhere"), "{error}");
    }
}
