//! What still holds erased rows goes when its time has come: replaced files, and the log's entries about them.

use std::collections::HashSet;
use std::sync::Arc;

use deltalake_core::checkpoints::create_checkpoint;
use futures::{StreamExt, TryStreamExt, stream};
use hitherto_core::Timestamp;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use tokio::sync::Mutex;

use super::entry::{ATTEMPTS_MAX, backoff};
use super::{Cached, History, Snapshot};
use crate::{Error, Result, Sweep};

/// Digits with which the name of each file of the log begins.
const VERSION_DIGITS: usize = 20;

/// What a purge deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// The erasures of which nothing is left now.
    pub erasures: Vec<String>,
    /// Files of rows.
    pub files: u64,
    /// Their size.
    pub bytes: u64,
    /// Files of the log: statistics there name the least and the greatest key of each file.
    pub log_files: u64,
}

impl History {
    /// Deletes what still holds the rows of erasures that are due by `now`, which is the real present as for
    /// [`History::vacuum`]: files that the table has not needed since the erasure, and the log from before it, in whose
    /// place a checkpoint stands. Those who still read such a file fail. Nothing else changes.
    ///
    /// One that was killed half-way is finished by the next.
    pub async fn purge(&self, now: Timestamp) -> Result<Purged> {
        let snapshot = self.snapshot().await?;
        let mut purged = Purged::default();
        let due: Vec<_> =
            snapshot.erasures.iter().filter(|erasure| erasure.forgotten_in.is_none() && erasure.due <= now).collect();
        if let Some(until) = due.iter().map(|erasure| erasure.committed).max() {
            let swept = self.sweep(until, Sweep::Delete).await?;
            (purged.files, purged.bytes) = (swept.deleted_files, swept.deleted_bytes);
            purged.erasures = due.iter().map(|erasure| erasure.id.clone()).collect();
            self.forget_all(&purged.erasures.iter().cloned().collect()).await?;
        }
        purged.log_files = self.shorten_log().await?;
        Ok(purged)
    }

    async fn forget_all(&self, ids: &HashSet<String>) -> Result<()> {
        for attempt in 0..ATTEMPTS_MAX {
            if self.forget(ids).await.map_err(|failure| failure.error)? {
                return Ok(());
            }
            tokio::time::sleep(backoff(attempt)).await;
        }
        Err(Error::Conflict(format!(
            "could not forget what was erased from table '{}': {ATTEMPTS_MAX} other commits came first; try again",
            self.table.id
        )))
    }

    /// Deletes the log's files from before the last time that an erasure was forgotten. How many there were.
    async fn shorten_log(&self) -> Result<u64> {
        let snapshot = self.snapshot().await?;
        let Some(forgotten) = snapshot.erasures.iter().filter_map(|erasure| erasure.forgotten_in).max() else {
            return Ok(0);
        };
        let failed = |error| Error::object_store(format!("shorten the log of table '{}'", self.table.id), error);
        let log = self.root.clone().join("_delta_log");
        let found: Vec<ObjectMeta> = self.store.store().list(Some(&log)).try_collect().await.map_err(failed)?;
        let old: Vec<Path> = found
            .into_iter()
            .map(|file| file.location)
            .filter(|path| version_of(path).is_some_and(|version| version < forgotten))
            .collect();
        if old.is_empty() {
            return Ok(0);
        }
        self.stand_on_checkpoint().await?;
        let count = old.len() as u64;
        let mut deleted = self.store.store().delete_stream(stream::iter(old.into_iter().map(Ok)).boxed());
        while let Some(done) = deleted.next().await {
            match done {
                // another purge was faster
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(count)
    }

    /// Writes a checkpoint of the log as it is now, and makes sure that it says what the log does.
    async fn stand_on_checkpoint(&self) -> Result<()> {
        let what = || format!("write a checkpoint of the log of table '{}'", self.table.id);
        let mut cached = self.cached.lock().await;
        let expected = self.refresh(&mut cached).await?;
        let Some(delta) = &cached.delta else { return Ok(()) };
        create_checkpoint(delta, None).await.map_err(|error| Error::delta(what(), error))?;
        drop(cached);
        // another eye, which begins with the checkpoint
        let again = Self {
            store: self.store.clone(),
            table: self.table.clone(),
            root: self.root.clone(),
            log_store: Arc::clone(&self.log_store),
            cached: Mutex::new(Cached::default()),
        };
        let found = again.snapshot().await?;
        let is_later = found.version > expected.version;
        if is_later || content(&found) == content(&expected) {
            return Ok(());
        }
        Err(Error::Corrupt {
            path: self.root.to_string(),
            reason: "a checkpoint of its log does not say what the log does; the log was left as it is".to_owned(),
        })
    }
}

/// A snapshot with its files in one order.
fn content(snapshot: &Snapshot) -> Snapshot {
    let mut content = snapshot.clone();
    content.files.sort_by(|a, b| a.path.cmp(&b.path));
    content
}

/// The version of a commit or a checkpoint; none of other files.
pub(super) fn version_of(path: &Path) -> Option<u64> {
    let name = path.filename()?;
    let (version, rest) = name.split_at_checked(VERSION_DIGITS)?;
    rest.starts_with('.').then(|| version.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_log_tell_their_version() {
        let of = |name: &str| version_of(&Path::from(format!("v/v-1/_delta_log/{name}")));
        assert_eq!(of("00000000000000000007.json"), Some(7));
        assert_eq!(of("00000000000000000120.checkpoint.parquet"), Some(120));
        assert_eq!(of("00000000000000000120.checkpoint.0000000001.0000000002.parquet"), Some(120));
        for other in ["_last_checkpoint", "_commit_7.json.tmp", "0000000000000000000x.json", "7.json"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
