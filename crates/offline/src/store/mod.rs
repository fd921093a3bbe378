//! Where history lies: a folder of this machine, or a bucket.

mod disk;
mod entries;
#[cfg(test)]
pub(crate) mod faults;
mod kept;
mod leftovers;
mod local;

pub use disk::{Disk, RealDisk};
pub use kept::FileBeside;
pub use local::DurableFileSystem;

pub(crate) use leftovers::Leftover;
pub(crate) use local::DiskFailure;

use std::fmt;
use std::sync::Arc;

use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use url::Url;

use crate::{Error, Result};

/// An object store and the place in it under which all tables lie. Opening one makes nothing; the first write does.
#[derive(Clone)]
pub struct OfflineStore {
    store: Arc<dyn ObjectStore>,
    base: Path,
    url: Url,
    local: bool,
}

impl OfflineStore {
    /// Opens `file:///folder`, `s3://bucket/prefix`, `gs://…` or `az://…` with the options that the object store knows
    /// (`aws_access_key_id`, `aws_endpoint`, …), or `memory:///` for tests. Nothing is read from the environment.
    pub fn open<K, V>(url: &str, options: impl IntoIterator<Item = (K, V)>) -> Result<Self>
    where
        K: AsRef<str>,
        V: Into<String>,
    {
        let parsed = Url::parse(url).map_err(|e| {
            Error::Invalid(format!("'{url}' is no URL ({e}); use file:///folder, s3://bucket/prefix, gs:// or az://"))
        })?;
        match parsed.scheme() {
            "file" => Self::on_disk(parsed, Arc::new(RealDisk)),
            "memory" => Ok(Self::with_store(Arc::new(InMemory::new()), path_of(&parsed)?, parsed)),
            _ => {
                let (store, base) = object_store::parse_url_opts(&parsed, options)
                    .map_err(|e| Error::object_store(format!("open '{url}'"), e))?;
                Ok(Self::with_store(Arc::from(store), base, parsed))
            }
        }
    }

    /// A folder of this machine, given as a `file:` URL, on `disk`.
    pub fn on_disk(url: Url, disk: Arc<dyn Disk>) -> Result<Self> {
        let folder =
            url.to_file_path().map_err(|()| Error::Invalid(format!("'{url}' names no folder of this machine")))?;
        let base = Path::from_absolute_path(&folder)
            .map_err(|e| Error::Invalid(format!("'{url}' cannot be a store's folder: {e}")))?;
        let store = Arc::new(DurableFileSystem::new(folder, disk));
        Ok(Self { store, base, url, local: true })
    }

    /// Any object store; `base` is the place in it, `url` what messages call it.
    pub fn with_store(store: Arc<dyn ObjectStore>, base: Path, url: Url) -> Self {
        Self { store, base, url, local: false }
    }

    /// The object store, with `/` at its root, not at [`OfflineStore::base`].
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The place under which all tables lie.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// What was opened.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether an operation that failed here cannot take effect later, as one sent to a server can.
    pub(crate) fn is_local(&self) -> bool {
        self.local
    }

    /// The URL of `path`, with a slash at its end, as the table log wants it. The log parses the path back out of it.
    pub(crate) fn folder_url(&self, path: &Path) -> Result<Url> {
        let host = self.url.host_str().unwrap_or_default();
        let text = format!("{}://{host}/", self.url.scheme());
        let mut url = Url::parse(&text).map_err(|e| Error::Invalid(format!("'{text}' is no URL: {e}")))?;
        url.path_segments_mut()
            .map_err(|()| Error::Invalid(format!("'{}' cannot hold folders", self.url)))?
            .pop_if_empty()
            .extend(path.parts())
            .push("");
        Ok(url)
    }
}

impl fmt::Debug for OfflineStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OfflineStore").field(&self.url.as_str()).finish()
    }
}

fn path_of(url: &Url) -> Result<Path> {
    Path::from_url_path(url.path()).map_err(|e| Error::Invalid(format!("'{url}' has no valid path: {e}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_a_folder_makes_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let inside = folder.path().join("a b/ünd%20more");
        let url = Url::from_directory_path(&inside).expect("a URL");
        let store = OfflineStore::open(url.as_str(), [("", ""); 0]).expect("a store");
        assert!(!folder.path().join("a b").exists());
        let table = store.folder_url(&store.base().clone().join("view")).expect("a URL");
        assert_eq!(table.to_file_path().expect("a path"), inside.join("view"));
        assert_eq!(Path::from_url_path(table.path()).expect("a path"), store.base().clone().join("view"));
    }

    #[test]
    fn what_is_no_url_is_refused_with_the_remedy() {
        let error = OfflineStore::open("data/history", [("", ""); 0]).expect_err("not a URL");
        assert!(error.to_string().contains("use file:///folder"), "{error}");
        assert_eq!(error.kind(), hitherto_core::Kind::InvalidArgument);
    }
}
