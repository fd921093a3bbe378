//! The commit of a compaction: files take the place of others, and no row changes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use deltalake_core::kernel::{Action, Add, Remove};
use deltalake_core::protocol::DeltaOperation;
use futures::TryStreamExt;
use object_store::path::Path;

use super::entry::{ATTEMPTS_MAX, Entry, Failure, NewFile, backoff};
use super::{DataFile, History, Snapshot};
use crate::{COMMIT_SEQUENCE, COMMIT_TIME, Error, Result};

/// Files that take the place of others: the same rows, with their `_sequence` and `_ingested_at`.
pub(crate) struct Rewrite<'a> {
    /// At least one.
    pub(crate) inputs: &'a [DataFile],
    /// At least one.
    pub(crate) outputs: &'a [NewFile],
    /// How large a file was to become.
    pub(crate) file_bytes: u64,
}

/// How the commit of a rewrite ended, if not in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rewritten {
    Done {
        version: u64,
    },
    /// Some of the inputs are no longer part of the table: another rewrite came first.
    Overtaken,
}

impl History {
    /// Commits the rewrite at the log's end. Appends that come first do it no harm: they remove nothing.
    pub(crate) async fn rewrite(&self, rewrite: &Rewrite<'_>) -> std::result::Result<Rewritten, Failure> {
        for attempt in 0..ATTEMPTS_MAX {
            if let Some(ended) = self.attempt_rewrite(rewrite).await? {
                if let Rewritten::Done { version } = ended {
                    self.checkpoint_when_due(version).await;
                }
                return Ok(ended);
            }
            tokio::time::sleep(backoff(attempt)).await;
        }
        Err(Failure::from(Error::Conflict(format!(
            "could not compact table '{}': {ATTEMPTS_MAX} other commits came first; try again",
            self.table().id
        ))))
    }

    /// Whether all of `files` are part of the table now.
    pub(crate) async fn has_all(&self, files: &[DataFile]) -> Result<bool> {
        Ok(are_active(&*self.snapshot().await?, files))
    }

    /// The table as it is now, and when those of `wanted` that are no longer part of it were removed: in milliseconds, by path.
    /// The log forgets removals that are older than [`super::REMOVALS_KEPT`]. They are read while nobody waits for the log:
    /// they are all that compactions replaced within days.
    pub(crate) async fn with_removals(
        &self,
        wanted: &(dyn Fn(&Path) -> bool + Send + Sync),
    ) -> Result<(Arc<Snapshot>, HashMap<Path, i64>)> {
        let reading = |error| Error::delta(format!("read the log of table '{}'", self.table.id), error);
        let (snapshot, delta) = {
            let mut cached = self.cached.lock().await;
            (self.refresh_whole(&mut cached).await?, cached.delta.clone())
        };
        let mut removed = HashMap::new();
        let Some(delta) = delta else { return Ok((snapshot, removed)) };
        let mut tombstones = delta.snapshot().map_err(reading)?.all_tombstones(&*self.log_store);
        while let Some(tombstone) = tombstones.try_next().await.map_err(reading)? {
            let path = tombstone.path().split('/').fold(self.root.clone(), deltalake_core::Path::join);
            if wanted(&path) {
                removed.insert(path, tombstone.deletion_timestamp().unwrap_or_default());
            }
        }
        Ok((snapshot, removed))
    }

    async fn attempt_rewrite(&self, rewrite: &Rewrite<'_>) -> std::result::Result<Option<Rewritten>, Failure> {
        let mut cached = self.cached.lock().await;
        let snapshot = self.refresh(&mut cached).await?;
        let Some(last) = snapshot.version.filter(|_| are_active(&snapshot, rewrite.inputs)) else {
            return Ok(Some(Rewritten::Overtaken));
        };
        let version = last + 1;
        let entry = Entry {
            version,
            actions: self.rewrite_actions(rewrite),
            operation: DeltaOperation::Optimize { predicate: None, target_size: rewrite.file_bytes.cast_signed() },
            witness: rewrite.outputs.first().map(|file| file.name.as_str()).unwrap_or_default(),
            batches: None,
            what: format!("compact table '{}'", self.table.id),
        };
        let is_done = self.write_entry(&mut cached, entry).await?;
        Ok(is_done.then_some(Rewritten::Done { version }))
    }

    fn rewrite_actions(&self, rewrite: &Rewrite<'_>) -> Vec<Action> {
        // the store's clock and not ours, which may be pretended: vacuum compares it with the present one
        let deletion_timestamp = rewrite.outputs.iter().map(|file| file.modified_ms).max();
        let (removes, adds) = self.replacement(rewrite.inputs, rewrite.outputs);
        let removes = removes.map(|remove| Action::Remove(Remove { deletion_timestamp, ..remove }));
        removes.chain(adds.map(Action::Add)).collect()
    }

    /// Files that carry their rows' place in history, in the place of others.
    pub(super) fn replacement(
        &self,
        inputs: &[DataFile],
        outputs: &[NewFile],
    ) -> (impl Iterator<Item = Remove>, impl Iterator<Item = Add>) {
        let removes = inputs.iter().map(|file| {
            let partition_values = HashMap::from([
                (COMMIT_SEQUENCE.to_owned(), file.first_sequence.map(|first| first.to_string())),
                (COMMIT_TIME.to_owned(), file.first_sequence.and(file.commit_time).and_then(super::timestamp_text)),
            ]);
            Remove {
                path: self.below_root(&file.path),
                data_change: false,
                extended_file_metadata: Some(true),
                partition_values: Some(partition_values),
                size: Some(file.size_bytes.cast_signed()),
                ..Remove::default()
            }
        });
        let adds = outputs.iter().map(|file| Add {
            path: file.name.clone(),
            partition_values: HashMap::from([(COMMIT_SEQUENCE.to_owned(), None), (COMMIT_TIME.to_owned(), None)]),
            size: file.size_bytes.cast_signed(),
            modification_time: file.modified_ms,
            data_change: false,
            stats: Some(file.stats.to_string()),
            tags: Some(file.tags()),
            ..Add::default()
        });
        (removes, adds)
    }

    /// The path as the log has it: from the table's folder.
    pub(super) fn below_root(&self, path: &Path) -> String {
        let parts: Vec<_> = path.parts().skip(self.root.parts().count()).collect();
        parts.iter().map(AsRef::as_ref).collect::<Vec<_>>().join("/")
    }
}

fn are_active(snapshot: &Snapshot, files: &[DataFile]) -> bool {
    let active: HashSet<&Path> = snapshot.files.iter().map(|file| &file.path).collect();
    files.iter().all(|file| active.contains(&file.path))
}
