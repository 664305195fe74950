//! Datasets that an argument names by a URL.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::dataset::FileKey;
use storage::dataset::store::{Folder, Rewritable, Store, StoredFile, fetch};
use tempfile::TempDir;

use super::files::failure;
use crate::ctl::CtlError;

/// A dataset that is not on this machine.
pub type Remote = Arc<dyn Rewritable>;

/// What a URL names.
pub struct Named {
    /// The dataset.
    pub place: Remote,
    /// The name of a file in it, if the URL is that of a file.
    pub file: Option<String>,
}

/// A file of a remote dataset, and its copy in a temporary folder.
pub struct Fetched {
    place: Remote,
    /// The file.
    pub file: StoredFile,
    folder: TempDir,
}

/// The text of a URL; `None` for a path.
pub fn url(argument: &Path) -> Option<&str> {
    let text = argument.to_str()?;
    let (scheme, _) = text.split_once("://")?;
    (!scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(text)
}

/// Connects to what a URL names.
pub fn connect(url: &str) -> Result<Named, CtlError> {
    let (dataset, file) = split(url);
    Ok(Named { place: open(dataset)?, file: file.map(str::to_owned) })
}

/// Connects to a dataset.
pub fn dataset(url: &str) -> Result<Remote, CtlError> {
    match connect(url)? {
        Named { place, file: None } => Ok(place),
        Named { file: Some(_), .. } => {
            Err(CtlError::Usage(format!("{url} is a file; give the URL of a dataset here")))
        }
    }
}

/// A dataset for reading, wherever it is.
pub fn store(argument: &Path) -> Result<Box<dyn Store>, CtlError> {
    match url(argument) {
        Some(url) => Ok(Box::new(dataset(url)?)),
        None => Ok(Box::new(Folder::new(argument))),
    }
}

/// Splits the URL of a file into that of its dataset and its name.
fn split(url: &str) -> (&str, Option<&str>) {
    let rest = url.find("://").map_or(0, |at| at + 3);
    let at = url[rest..].rmatch_indices('/').nth(1).map(|(at, _)| rest + at);
    match at {
        Some(at) if StoredFile::of_name(&url[at + 1..], 0, String::new()).is_some() => {
            (&url[..at], Some(&url[at + 1..]))
        }
        _ => (url, None),
    }
}

fn open(url: &str) -> Result<Remote, CtlError> {
    let scheme = url.split("://").next().unwrap_or_default().to_ascii_lowercase();
    match scheme.as_str() {
        #[cfg(feature = "cassandra")]
        "cassandra" => keyspace(url),
        #[cfg(feature = "hdfs")]
        "hdfs" => hdfs(url),
        #[cfg(feature = "s3")]
        "s3" => bucket(url),
        scheme => Err(CtlError::Usage(format!(
            "there are no datasets at {scheme}://; give a folder{}{}{}",
            if cfg!(feature = "hdfs") { ", or hdfs://HOST:PORT/PATH" } else { "" },
            if cfg!(feature = "s3") { ", or s3://BUCKET/PREFIX" } else { "" },
            if cfg!(feature = "cassandra") { ", or cassandra://HOST,HOST/KEYSPACE" } else { "" }
        ))),
    }
}

/// With the login and the authorities that the variables of a node's settings name.
#[cfg(feature = "cassandra")]
fn keyspace(text: &str) -> Result<Remote, CtlError> {
    use storage::dataset::cassandra::{CassandraStore, KeyspaceStore};
    use storage::env::SystemClock;
    use storage::net::cassandra::{CassandraOptions, CassandraUrl, Login, Trust};

    let url = CassandraUrl::parse(text).map_err(|error| CtlError::Usage(error.to_string()))?;
    let file = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let login = file("TWM_CASSANDRA_CREDENTIALS_FILE").map(|path| Login::from_file(&path)).transpose();
    let login = login.map_err(|error| CtlError::Usage(error.to_string()))?;
    let tls = match file("TWM_CASSANDRA_CA") {
        Some(ca) => Some(Trust::File(ca)),
        None => std::env::var("TWM_CASSANDRA_TLS").is_ok_and(|tls| tls == "true").then_some(Trust::System),
    };
    let options = CassandraOptions { login, tls, ..CassandraOptions::new() };
    let store =
        CassandraStore::connect(&url, &options).map_err(|error| CtlError::Failed(error.to_string()))?;
    Ok(Arc::new(KeyspaceStore::new(store, Arc::new(SystemClock::new()))))
}

#[cfg(feature = "hdfs")]
fn hdfs(text: &str) -> Result<Remote, CtlError> {
    use storage::dataset::hdfs::HdfsStore;
    use storage::net::hdfs::{Hdfs, HdfsOptions, HdfsUrl};

    let url = HdfsUrl::parse(text).map_err(|error| CtlError::Usage(error.to_string()))?;
    let hdfs =
        Hdfs::open(&url, HdfsOptions::default()).map_err(|error| CtlError::Failed(error.to_string()))?;
    Ok(Arc::new(HdfsStore::new(hdfs)))
}

#[cfg(feature = "s3")]
fn bucket(text: &str) -> Result<Remote, CtlError> {
    use storage::dataset::s3::BucketStore;
    use storage::net::s3::{Bucket, Credentials, S3Options, S3Url};

    let url = S3Url::parse(text).map_err(|error| CtlError::Usage(error.to_string()))?;
    let variable = |name: &str| std::env::var(name).ok();
    let credentials =
        Credentials::from_environment(variable).map_err(|error| CtlError::Usage(error.to_string()))?;
    let credentials = credentials.ok_or_else(|| {
        let what = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for another server than AWS";
        CtlError::Usage(format!("{url}: there are no credentials; {what}"))
    })?;
    let options = S3Options::new(credentials).with_environment(variable);
    let bucket = Bucket::open(&url, &options).map_err(|error| CtlError::Failed(error.to_string()))?;
    Ok(Arc::new(BucketStore::new(bucket)))
}

impl Fetched {
    /// Downloads a file.
    pub fn new(place: &Remote, file: StoredFile) -> Result<Self, CtlError> {
        let folder = scratch()?;
        let fetched = Self { place: place.clone(), file, folder };
        let path = fetched.path();
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .map_err(|error| CtlError::Failed(format!("cannot make {}: {error}", parent.display())))?;
        }
        fetch(&**place, &fetched.file, &path).map_err(|error| fetched.failure(failure(error)))?;
        Ok(fetched)
    }

    /// Where it was downloaded to: a folder that looks like the dataset.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join(&self.file.name)
    }

    /// The place of the file that a path in the temporary folder stands for.
    pub fn shown(&self, path: &Path) -> String {
        self.rename(&path.display().to_string())
    }

    /// A failure whose text names the remote file instead of its copy.
    pub fn failure(&self, error: CtlError) -> CtlError {
        match error {
            CtlError::Failed(why) => CtlError::Failed(self.rename(&why)),
            other => other,
        }
    }

    /// Puts what a command has made of the copy in place of the file.
    pub fn replace(&self, with: &Path) -> Result<(), CtlError> {
        let own = self.file.key.stored_name().map_err(failure)?;
        if self.file.name == own {
            return self.place.replace(&self.file, with).map_err(failure);
        }
        // Under the name of another program, or set aside.
        if !self.place.create(&self.file.key, with).map_err(failure)? {
            return Err(exists(&*self.place, &own));
        }
        if self.file.set_aside { Ok(()) } else { self.place.remove(&self.file).map_err(failure) }
    }

    /// Keeps the file under another name, and returns the place of that.
    pub fn keep_aside(&self, bytes: &Path) -> Result<String, CtlError> {
        let name = self.place.keep_aside(&self.file, bytes).map_err(failure)?;
        Ok(format!("{}/{name}", self.place))
    }

    /// Removes the file, of which something was kept elsewhere.
    pub fn remove(&self) -> Result<(), CtlError> {
        self.place.remove(&self.file).map_err(failure)
    }

    /// Whether it is the published file of a key in a place.
    pub fn is_at(&self, place: &dyn Rewritable, key: &FileKey) -> bool {
        self.file.key == *key && !self.file.set_aside && self.place.to_string() == place.to_string()
    }

    /// Its dataset.
    pub fn place(&self) -> &Remote {
        &self.place
    }

    fn rename(&self, text: &str) -> String {
        text.replace(&self.folder.path().display().to_string(), &self.place.to_string())
    }
}

/// A file that is there and was not read.
pub fn exists(place: &dyn Rewritable, name: &str) -> CtlError {
    let path = PathBuf::from(format!("{place}/{name}"));
    failure(storage::dataset::DatasetError::Exists { path })
}

/// A temporary folder.
pub fn scratch() -> Result<TempDir, CtlError> {
    TempDir::with_prefix("twm-ctl-")
        .map_err(|error| CtlError::Failed(format!("cannot make a temporary folder: {error}; set TMPDIR")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_of_a_file_is_that_of_its_dataset_with_its_name() {
        for (text, dataset, file) in [
            ("s3://b/22/22013880.twt", "s3://b", Some("22/22013880.twt")),
            ("s3://b/a/c/22/22013880.twt.unreadable-2", "s3://b/a/c", Some("22/22013880.twt.unreadable-2")),
            ("s3://b/a/22", "s3://b/a/22", None),
            ("s3://b", "s3://b", None),
            ("s3://b/7.twt", "s3://b/7.twt", None),
            ("s3://22/22013880.twt", "s3://22/22013880.twt", None),
        ] {
            assert_eq!(split(text), (dataset, file), "{text}");
        }
    }

    #[test]
    fn a_path_is_no_url() {
        for path in ["a/b", "C:/x", "/data/s3://x", "://x", "./s3://b"] {
            assert_eq!(url(Path::new(path)), None, "{path}");
        }
        assert_eq!(url(Path::new("s3://b/p")), Some("s3://b/p"));
    }
}
