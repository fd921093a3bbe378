//! What still holds erased rows goes when its time has come: replaced files, and the log's entries about them.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use deltalake_core::DeltaTable;
use deltalake_core::checkpoints::create_checkpoint;
use futures::TryStreamExt;
use hitherto_core::Timestamp;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::entry::{ATTEMPTS_MAX, LOG_FOLDER, backoff};
use super::{History, Snapshot};
use crate::vacuum::Until;
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
        if let Some(until) = due.iter().map(|erasure| erasure.swept_until()).max() {
            let swept = self.sweep(&[], Until { replaced: until, unknown: until }, Sweep::Delete).await?;
            (purged.files, purged.bytes) = (swept.deleted_files, swept.deleted_bytes);
            // whatever the clocks of the store and of who erased say, these held the rows
            let held = due.iter().flat_map(|erasure| &erasure.files);
            let held = held.map(|name| name.split('/').fold(self.root.clone(), Path::join)).collect();
            purged.files += self.delete_all(held).await?;
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
        if self.shortened_to.load(Ordering::Relaxed) >= forgotten {
            return Ok(0);
        }
        let failed = |error| Error::object_store(format!("shorten the log of table '{}'", self.table.id), error);
        let log = self.root.clone().join(LOG_FOLDER);
        let found: Vec<ObjectMeta> = self.store.store().list(Some(&log)).try_collect().await.map_err(failed)?;
        let versions = found.into_iter().filter_map(|file| Some((version_of(&file.location)?, file.location)));
        let mut old: Vec<(u64, Path)> = versions.filter(|(version, _)| *version < forgotten).collect();
        let mut count = 0;
        if !old.is_empty() {
            self.stand_on_checkpoint().await?;
            // the first goes first: a writer that puts an entry where one was deleted knows it by the one before, which is gone
            old.sort_unstable();
            count = self.delete_all(old.into_iter().map(|(_, path)| path).collect()).await?;
        }
        // the versions before it are never written again, so that the log need not be listed for them again
        self.shortened_to.fetch_max(forgotten, Ordering::Relaxed);
        Ok(count)
    }

    /// Deletes files one after the other; how many were there.
    async fn delete_all(&self, paths: Vec<Path>) -> Result<u64> {
        let mut count = 0;
        for path in paths {
            // most stores do not say whether there was something to delete
            let found = self.store.store().head(&path).await;
            let deleted = match found {
                Ok(_) => self.store.store().delete(&path).await,
                Err(error) => Err(error),
            };
            match deleted {
                Ok(()) => count += 1,
                // another purge was faster
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(Error::object_store(format!("delete '{path}'"), error)),
            }
        }
        Ok(count)
    }

    /// Writes a checkpoint of the log as it is now, and makes sure that it says what the log does. Nobody waits for the log
    /// meanwhile: it tells of every file that was removed lately.
    pub(super) async fn stand_on_checkpoint(&self) -> Result<()> {
        let what = || format!("write a checkpoint of the log of table '{}'", self.table.id);
        let (expected, delta) = {
            let mut cached = self.cached.lock().await;
            (self.refresh_whole(&mut cached).await?, cached.delta.clone())
        };
        let Some(delta) = delta else { return Ok(()) };
        create_checkpoint(&delta, None).await.map_err(|error| Error::delta(what(), error))?;
        // another eye, which begins with the checkpoint
        let mut again = DeltaTable::new(Arc::clone(&self.log_store));
        again.load_version(delta.version().unwrap_or_default()).await.map_err(|error| Error::delta(what(), error))?;
        if content(&self.read_snapshot(&again).await?) == content(&expected) {
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
    use std::collections::HashMap;

    use deltalake_core::kernel::{Action, Transaction};
    use deltalake_core::protocol::DeltaOperation;
    use hitherto_core::{Created, EntityKey, KeyType, KeyValue, Span};

    use super::super::entry::Entry;
    use super::*;
    use crate::compact::samples::{self, Sample, append, memory, table};
    use crate::{CompactOptions, Erasing};

    #[tokio::test]
    async fn an_entry_in_the_place_of_a_deleted_one_is_no_commit() {
        let table = table(&[KeyType::Int64], Created::Column);
        let store = memory();
        let (history, late) = (samples::history(&store, &table), samples::history(&store, &table));
        let sample = |key, event| Sample { key, event, created: event, deleted: None, seed: 1 };
        let mut rows = samples::Rows::new();
        append(&history, &[sample(5, 1), sample(6, 1)], Timestamp(1), &mut rows).await;
        let before = late.snapshot().await.expect("a snapshot").version.expect("a log");
        let key = EntityKey(vec![KeyValue::Int(2)]);
        let (now, delay) = (samples::present, Span::ZERO);
        let erasing = Erasing { id: "e1", key: &key, at: Timestamp(1), now: &now, delay };
        history.erase(&erasing, &CompactOptions::default(), &|_, _| ()).await.expect("an erasure");
        append(&history, &[sample(6, 2)], Timestamp(1), &mut rows).await;
        history.purge(now()).await.expect("a purge");

        // prepared before the log was shortened, it lands below what anybody reads
        let mut cached = late.cached.lock().await;
        let entry = Entry {
            version: before + 1,
            actions: vec![Action::Txn(Transaction::new("late", 1))],
            operation: DeltaOperation::SetTableProperties { properties: HashMap::new() },
            witness: "\"late\"",
            batches: None,
            what: "commit late".to_owned(),
        };
        let put = late.write_entry(&mut cached, entry).await.map_err(|failure| failure.error).expect("nothing fails");
        assert!(!put, "its entry is where another was");
        drop(cached);
        rows.remove(&0);
        assert_eq!(samples::read(&history, i64::MAX).await, rows, "the table is as it was");
        let commit = append(&late, &[sample(6, 3)], Timestamp(1), &mut rows).await;
        assert_eq!(commit.first_sequence, 3);
        assert_eq!(samples::read(&history, i64::MAX).await, rows);
    }

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
