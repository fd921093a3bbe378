//! What writers that were killed left behind in local folders: staging files, which no listing shows.

use std::fs;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::time::UNIX_EPOCH;

use hitherto_core::Timestamp;
use object_store::local::LocalFileSystem;
use object_store::path::Path;

use crate::{Error, OfflineStore, Result};

/// A staging file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leftover {
    path: PathBuf,
    pub(crate) size_bytes: u64,
    /// When it was last written to, by the file system's clock.
    pub(crate) modified: Timestamp,
}

impl OfflineStore {
    /// The staging files in `folder`, but not below it; none where the store is no folder of this machine.
    pub(crate) async fn leftovers(&self, folder: &Path) -> Result<Vec<Leftover>> {
        if !self.is_local() {
            return Ok(Vec::new());
        }
        let what = || format!("list '{folder}'");
        let place = LocalFileSystem::new().path_to_filesystem(folder).map_err(|e| Error::object_store(what(), e))?;
        let found = tokio::task::spawn_blocking(move || staged_in(&place)).await;
        found.map_err(io::Error::from).and_then(|found| found).map_err(|e| Error::io(what(), e))
    }

    /// Removes a staging file; that it has gone already is no error.
    pub(crate) async fn remove_leftover(&self, leftover: Leftover) -> Result<()> {
        let what = format!("remove '{}'", leftover.path.display());
        let done = tokio::task::spawn_blocking(move || match fs::remove_file(&leftover.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        });
        done.await.map_err(io::Error::from).and_then(|done| done).map_err(|e| Error::io(what, e))
    }
}

fn staged_in(folder: &FilePath) -> io::Result<Vec<Leftover>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if !is_staged(&entry.file_name().to_string_lossy()) {
            continue;
        }
        // a writer at work may have placed it or taken it back meanwhile
        let Ok(metadata) = entry.metadata() else { continue };
        let since = metadata.modified()?.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
        let modified = Timestamp(i64::try_from(since).unwrap_or(i64::MAX));
        if metadata.is_file() {
            found.push(Leftover { path: entry.path(), size_bytes: metadata.len(), modified });
        }
    }
    Ok(found)
}

/// As [`super::DurableFileSystem`] names them: `a.parquet#340282…`.
fn is_staged(name: &str) -> bool {
    let number = name.rsplit_once('#').map_or("", |(_, number)| number);
    !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_staging_files_are_staging_files() {
        assert!(is_staged("a.parquet#17") && is_staged("00001.json#340282366920938463463374607431768211455"));
        for other in ["a.parquet", "a.parquet#", "a#b", "#", "a#1b"] {
            assert!(!is_staged(other), "{other}");
        }
    }
}
