//! A folder of an HDFS.

use std::future::Future;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdfs_native::client::FileStatus;
use hdfs_native::{Client, HdfsError as Native, WriteOptions};

use super::connection::Connection;
use super::{HdfsError, HdfsFile, HdfsListing, HdfsProblem, HdfsUrl, HdfsWriter};

/// Permissions of folders, which the name node's umask does not restrict.
const FOLDER_PERMISSION: u32 = 0o755;

/// Who is the client, and its time limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HdfsOptions {
    /// The user; `None`: that of `HADOOP_USER_NAME`, of the Kerberos ticket, or of the process.
    pub user: Option<String>,
    /// For one call to a name node, with the attempts to find the active one.
    pub call: Duration,
    /// For the bytes of one piece of a file, at most 1 MiB. The crate itself gives up a datanode that is silent for a minute and
    /// goes on with the others, so more than that.
    pub transfer: Duration,
}

impl Default for HdfsOptions {
    fn default() -> Self {
        Self { user: None, call: Duration::from_secs(30), transfer: Duration::from_secs(90) }
    }
}

/// A file or a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HdfsStatus {
    /// Length in bytes; of a file that is being written, what was synced.
    pub bytes: u64,
    /// Time of the last change, milliseconds since 1970. A rename keeps it.
    pub modified: u64,
    /// Whether it is a folder.
    pub is_folder: bool,
}

impl From<&FileStatus> for HdfsStatus {
    fn from(status: &FileStatus) -> Self {
        Self { bytes: status.length as u64, modified: status.modification_time, is_folder: status.isdir }
    }
}

/// What became of a rename.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameOutcome {
    /// It was renamed.
    Renamed,
    /// There is nothing of the old name, or the new one's folder is missing.
    Missing,
    /// The new name is taken.
    Taken,
}

/// A folder of an HDFS, whose files are named relative to it. Clones share their connection. All calls block, and end by the time limits
/// of the options.
#[derive(Debug, Clone)]
pub struct Hdfs {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    url: HdfsUrl,
    options: HdfsOptions,
    place: String,
    connection: Mutex<Connecting>,
    /// Attempts to connect.
    attempts: AtomicU64,
    /// Makes names unique.
    session: u64,
    names: AtomicU64,
}

#[derive(Debug, Default)]
struct Connecting {
    connected: Option<Arc<Connection>>,
    /// Why the last attempt failed.
    failed: Option<HdfsProblem>,
}

impl Hdfs {
    /// Connects to a folder, which need not exist.
    ///
    /// # Errors
    /// No name node answers, what answers is none, or a file is in the place of the folder.
    pub fn open(url: &HdfsUrl, options: HdfsOptions) -> Result<Self, HdfsError> {
        let session = RandomState::new().build_hasher().finish();
        let (connection, attempts, names) = Default::default();
        let place = url.to_string();
        let shared = Shared { url: url.clone(), options, place, connection, attempts, session, names };
        let folder = Self { shared: Arc::new(shared) };
        match folder.status("")? {
            Some(found) if !found.is_folder => Err(folder.error("use", HdfsProblem::NotAFolder)),
            _ => Ok(folder),
        }
    }

    /// Ensures that files can be written, synced, renamed and read: the permissions, the quota and the datanodes allow it. Creates
    /// the folder.
    ///
    /// # Errors
    /// They do not.
    pub fn check_use(&self) -> Result<(), HdfsError> {
        let (name, renamed) =
            (format!(".twm-check-{}", self.unique()), format!(".twm-check-{}", self.unique()));
        let mut file = self.create(&name)?;
        file.write(b"che".as_slice().into())?;
        // Not every folder lets it.
        file.sync()?;
        file.write(b"ck".as_slice().into())?;
        file.close()?;
        let outcome = self.rename(&name, &renamed, false)?;
        let mut text = String::new();
        let read =
            self.open_file(&renamed)?.map(|mut file| std::io::Read::read_to_string(&mut file, &mut text));
        self.delete(&renamed)?;
        match (outcome, read) {
            (RenameOutcome::Renamed, Some(Ok(_))) if text == "check" => Ok(()),
            (_, Some(Err(error))) => {
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<HdfsError>()).cloned();
                Err(inner.unwrap_or_else(|| self.error("read", HdfsProblem::Failed(error.to_string()))))
            }
            _ => {
                let why = "a file that was written, closed and renamed is not what it was".to_owned();
                Err(self.error("use", HdfsProblem::Refused(why)))
            }
        }
    }

    /// The folder's URL, for messages.
    pub fn place(&self) -> &str {
        &self.shared.place
    }

    /// A text that no other process and no other call gets.
    pub fn unique(&self) -> String {
        format!("{:016x}-{}", self.shared.session, self.shared.names.fetch_add(1, Ordering::Relaxed))
    }

    /// What has this name; `None` if nothing. The empty name is the folder's own.
    ///
    /// # Errors
    /// No name node answers.
    pub fn status(&self, name: &str) -> Result<Option<HdfsStatus>, HdfsError> {
        let path = self.path(name);
        let found = self.call("look at", name, |client| async move { client.get_file_info(&path).await });
        absent(found.map(|status| HdfsStatus::from(&status)))
    }

    /// The files and folders in a folder; `None` if there is no such folder.
    ///
    /// # Errors
    /// No name node answers.
    pub fn list(&self, name: &str) -> Result<Option<HdfsListing>, HdfsError> {
        HdfsListing::begin(self, name)
    }

    /// Creates a folder, and those above it; one that exists is left as it is.
    ///
    /// # Errors
    /// It cannot be created.
    pub fn create_folder(&self, name: &str) -> Result<(), HdfsError> {
        let path = self.path(name);
        self.call("create the folder", name, |client| async move {
            client.mkdirs(&path, FOLDER_PERMISSION, true).await
        })
    }

    /// Renames a file or a folder. With `replace`, a file of the new name is replaced. If the answer is lost, it may or may not
    /// have been renamed.
    ///
    /// # Errors
    /// No name node answers, or it refuses.
    pub fn rename(&self, from: &str, to: &str, replace: bool) -> Result<RenameOutcome, HdfsError> {
        let (old, new) = (self.path(from), self.path(to));
        let renamed = self.call("rename", from, |client| async move {
            match client.rename(&old, &new, replace).await {
                Err(Native::AlreadyExists(_)) => Ok(RenameOutcome::Taken),
                other => other.map(|()| RenameOutcome::Renamed),
            }
        });
        Ok(absent(renamed)?.unwrap_or(RenameOutcome::Missing))
    }

    /// Removes a file, or a folder with all that is in it. Returns whether there was one.
    ///
    /// # Errors
    /// No name node answers, or it refuses.
    pub fn delete(&self, name: &str) -> Result<bool, HdfsError> {
        let path = self.path(name);
        self.call("remove", name, |client| async move { client.delete(&path, true).await })
    }

    /// Begins a file that does not exist, and creates the folders above it.
    ///
    /// # Errors
    /// It exists, or cannot be created.
    pub fn create(&self, name: &str) -> Result<HdfsWriter, HdfsError> {
        let path = self.path(name);
        let created = self.connected("create", name, |connection| {
            let client = connection.client().clone();
            let task = async move { client.create(&path, WriteOptions::default()).await };
            Ok((connection.clone(), connection.run(self.shared.options.call, task)?))
        });
        let (connection, writer) = created?;
        Ok(HdfsWriter::new(self.clone(), connection, name.to_owned(), writer))
    }

    /// Opens a file that nobody writes; `None` if there is none.
    ///
    /// # Errors
    /// No name node answers.
    pub fn open_file(&self, name: &str) -> Result<Option<HdfsFile>, HdfsError> {
        let path = self.path(name);
        let opened = self.call("open", name, |client| async move { client.read(&path).await });
        Ok(absent(opened)?.map(|reader| HdfsFile::new(self.clone(), name.to_owned(), reader)))
    }

    /// Ends the writing of a file by whoever writes it, so that its length is known. Returns `false` if there is no such file.
    ///
    /// # Errors
    /// No name node answers, or the datanodes do not settle the length in time.
    pub fn end_writing(&self, name: &str) -> Result<bool, HdfsError> {
        const PAUSE: Duration = Duration::from_millis(100);
        let (path, limit) = (self.path(name), self.shared.options.transfer);
        let task = move |client: Client| async move {
            // The datanodes hear of it with their next heartbeats.
            let settled = async {
                while !client.recover_lease(&path).await? {
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(())
            };
            match tokio::time::timeout(limit, settled).await {
                Ok(settled) => settled.map(|()| true),
                Err(_) => Ok(false),
            }
        };
        let ended = self.connected("end the writing of", name, |connection| {
            let client = connection.client().clone();
            match connection.run(limit + self.shared.options.call, task(client))? {
                true => Ok(()),
                false => Err(HdfsProblem::Lost(format!(
                    "the datanodes did not settle how long it is within {limit:?}"
                ))),
            }
        });
        Ok(absent(ended)?.is_some())
    }

    pub(super) fn options(&self) -> &HdfsOptions {
        &self.shared.options
    }

    pub(super) fn path(&self, name: &str) -> String {
        match (self.shared.url.path(), name) {
            (root, "") => root.to_owned(),
            ("/", name) => format!("/{name}"),
            (root, name) => format!("{root}/{name}"),
        }
    }

    pub(super) fn error(&self, doing: impl Into<String>, problem: HdfsProblem) -> HdfsError {
        HdfsError { doing: doing.into(), place: self.shared.place.clone(), problem }
    }

    /// Calls a name node.
    pub(super) fn call<T, F>(
        &self,
        doing: &str,
        name: &str,
        task: impl FnOnce(Client) -> F,
    ) -> Result<T, HdfsError>
    where
        T: Send + 'static,
        F: Future<Output = hdfs_native::Result<T>> + Send + 'static,
    {
        self.connected(doing, name, |connection| {
            connection.run(self.shared.options.call, task(connection.client().clone()))
        })
    }

    /// Moves bytes of a file.
    pub(super) fn transfer<T: Send + 'static>(
        &self,
        doing: &str,
        name: &str,
        task: impl Future<Output = hdfs_native::Result<T>> + Send + 'static,
    ) -> Result<T, HdfsError> {
        self.connected(doing, name, |connection| connection.run(self.shared.options.transfer, task))
    }

    /// Works with the connection, and gives it up if it hangs.
    fn connected<T>(
        &self,
        doing: &str,
        name: &str,
        work: impl FnOnce(&Arc<Connection>) -> Result<T, HdfsProblem>,
    ) -> Result<T, HdfsError> {
        let named = |problem| self.error(format!("{doing} {}", shown(name)), problem);
        let connection = self.connection().map_err(named)?;
        work(&connection).map_err(|problem| {
            self.look_at(&connection, &problem);
            named(problem)
        })
    }

    /// Gives a connection up on which a call did not end.
    pub(super) fn look_at(&self, connection: &Arc<Connection>, problem: &HdfsProblem) {
        if !matches!(problem, HdfsProblem::Silent(_)) {
            return;
        }
        connection.give_up();
        let mut current = self.connecting();
        if current.connected.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection)) {
            current.connected = None;
        }
    }

    fn connection(&self) -> Result<Arc<Connection>, HdfsProblem> {
        let before = self.shared.attempts.load(Ordering::SeqCst);
        // One connects. The others wait for it, and share its result: otherwise the last of many would wait for the sum.
        let mut current = self.connecting();
        if let Some(connection) = &current.connected {
            return Ok(connection.clone());
        }
        if let Some(problem) = &current.failed
            && self.shared.attempts.load(Ordering::SeqCst) != before
        {
            return Err(problem.clone());
        }
        let opened = Connection::open(self.shared.url.servers(), &self.shared.options).map(Arc::new);
        self.shared.attempts.fetch_add(1, Ordering::SeqCst);
        current.connected = opened.as_ref().ok().cloned();
        current.failed = opened.as_ref().err().cloned();
        opened
    }

    fn connecting(&self) -> MutexGuard<'_, Connecting> {
        self.shared.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name for messages.
pub(super) fn shown(name: &str) -> &str {
    if name.is_empty() { "the folder" } else { name }
}

/// What does not exist is no error.
pub(super) fn absent<T>(result: Result<T, HdfsError>) -> Result<Option<T>, HdfsError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(HdfsError { problem: HdfsProblem::Absent, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
