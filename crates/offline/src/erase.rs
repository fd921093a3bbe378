//! Erasure: every row of one entity key leaves the table, and no writer that began before brings one back.

use std::collections::HashSet;
use std::sync::Arc;

use hitherto_core::{EntityKey, Span, Timestamp};
use object_store::path::Path;
use uuid::Uuid;

use crate::compact::{Rows, RunRequest};
use crate::key_match::{KeyMark, KeyMatch};
use crate::log::{Excised, Excision, Failure, NewFile, Snapshot};
use crate::scan::HeldRows;
use crate::{CompactOptions, DataFile, Error, History, PinnedTable, Result, TableErasure};

/// How often the table is searched again because others wrote to it meanwhile.
const ATTEMPTS_MAX: usize = 50;

/// What is to be erased.
#[derive(Clone, Copy, Debug)]
pub struct Erasing<'a> {
    /// The erasure's id: the same in every table that it concerns.
    pub id: &'a str,
    /// The entity key, in the order of the table's keys.
    pub key: &'a EntityKey,
    /// When, by the clock that users see.
    pub at: Timestamp,
    /// The real present, which is compared with times of the store.
    pub now: Timestamp,
    /// How long files that still hold the rows stay, for those who read them.
    pub delay: Span,
}

/// An id for an erasure, different each time.
pub fn erasure_id() -> String {
    Uuid::new_v4().to_string()
}

/// What a table had of an entity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Rows.
    pub rows: u64,
    /// The least `_sequence` of them.
    pub first_sequence: Option<i64>,
    /// Files that held them.
    pub files: usize,
    /// The version of the log that took them out; none where nothing was committed.
    pub version: Option<u64>,
}

impl History {
    /// How many rows of an entity key the table has; nothing is changed.
    pub async fn find(&self, key: &EntityKey) -> Result<Erased> {
        let snapshot = self.snapshot().await?;
        Ok(summary(&self.search(&snapshot.files, &KeyMatch::Key(key.clone())).await?, None))
    }

    /// Takes every row of a key out of the table, in one commit: the files that hold some are rewritten as one run without
    /// them. `_sequence` and `_ingested_at` of all other rows stay. The commit is made where there is no such row as well,
    /// so that an append that began before and holds the key is refused; a table without any history is left alone.
    ///
    /// The replaced files stay until [`History::purge`] finds the delay over. `progress` is told the rows so far and those
    /// in all.
    pub async fn erase(
        &self,
        wanted: &Erasing<'_>,
        options: &CompactOptions,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<Erased> {
        let key = KeyMatch::Key(wanted.key.clone());
        let mark = KeyMark::new(wanted.key);
        let (mut searched, mut held) = (HashSet::new(), Vec::new());
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.snapshot().await?;
            if snapshot.version.is_none() {
                return Ok(Erased::default());
            }
            self.refuse_unknown_columns(&snapshot)?;
            self.search_on(&snapshot, &key, &mut searched, &mut held).await?;
            let found = summary(&held, None);
            let erasure = TableErasure {
                id: wanted.id.to_owned(),
                at: wanted.at,
                rows: found.rows,
                first_sequence: found.first_sequence,
                committed: wanted.now,
                due: wanted.now.saturating_add(wanted.delay),
                mark: Some(mark.clone()),
                forgotten_in: None,
            };
            match self.take_out(&erasure, &held, &searched, &key, options, progress).await? {
                Excised::Done { version } => return Ok(Erased { version: Some(version), ..found }),
                Excised::Overtaken => {}
            }
        }
        Err(Error::Conflict(format!(
            "could not erase from table '{}': others wrote to it {ATTEMPTS_MAX} times meanwhile; try again",
            self.table().id
        )))
    }

    /// The rows of files that are not committed, and hold a key that was erased since `known`.
    pub(crate) async fn refuse_erased(&self, files: &[NewFile], now: &Snapshot, known: &HashSet<String>) -> Result<()> {
        let since = now.erasures.iter().filter(|erasure| !known.contains(&erasure.id));
        let (ids, marks): (Vec<&str>, Vec<KeyMark>) =
            since.filter_map(|erasure| Some((erasure.id.as_str(), erasure.mark.clone()?))).unzip();
        if marks.is_empty() {
            return Ok(());
        }
        let files: Vec<DataFile> = files.iter().map(|file| file.uncommitted(self)).collect();
        let rows: u64 = self.search(&files, &KeyMatch::Marks(marks)).await?.iter().map(|held| held.rows).sum();
        if rows == 0 {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "could not append to table '{}': {rows} of the rows are of an entity that was erased after this began ({}); nothing \
             was appended: leave its rows out, or append again if it is to come back",
            self.table().id,
            ids.join(", ")
        )))
    }

    async fn search(&self, files: &[DataFile], key: &KeyMatch) -> Result<Vec<HeldRows>> {
        let store = Arc::clone(self.store().store());
        PinnedTable::new(store, self.table().clone(), files, i64::MAX).holding(key).await
    }

    /// Searches the files that were not yet, and forgets those that are gone.
    async fn search_on(
        &self,
        snapshot: &Snapshot,
        key: &KeyMatch,
        searched: &mut HashSet<Path>,
        held: &mut Vec<HeldRows>,
    ) -> Result<()> {
        let active: HashSet<&Path> = snapshot.files.iter().map(|file| &file.path).collect();
        held.retain(|held| active.contains(&held.file.path));
        searched.retain(|path| active.contains(path));
        let fresh: Vec<DataFile> =
            snapshot.files.iter().filter(|file| !searched.contains(&file.path)).cloned().collect();
        match self.search(&fresh, key).await {
            Ok(found) => held.extend(found),
            // a compaction and a vacuum came in between: the next attempt sees what there is now
            Err(error) if error.kind() == hitherto_core::Kind::NotFound && !self.has_all(&fresh).await? => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        searched.extend(fresh.into_iter().map(|file| file.path));
        Ok(())
    }

    async fn take_out(
        &self,
        erasure: &TableErasure,
        held: &[HeldRows],
        searched: &HashSet<Path>,
        key: &KeyMatch,
        options: &CompactOptions,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<Excised> {
        let inputs: Vec<DataFile> = held.iter().map(|held| held.file.clone()).collect();
        let mut outputs = Vec::new();
        let rows = Rows::Without { key, rows: erasure.rows };
        let written = if inputs.is_empty() {
            Ok(())
        } else {
            self.write_run(&RunRequest { inputs: &inputs, rows, options, progress }, &mut outputs).await
        };
        let done = match written {
            Ok(()) => self.excise(&Excision { erasure, inputs: &inputs, outputs: &outputs, searched }).await,
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(done @ Excised::Done { .. }) => Ok(done),
            Ok(Excised::Overtaken) => {
                self.discard(&outputs).await;
                Ok(Excised::Overtaken)
            }
            Err(Failure { error, may_delete }) => {
                if may_delete {
                    self.discard(&outputs).await;
                }
                if error.kind() == hitherto_core::Kind::NotFound && !self.has_all(&inputs).await? {
                    return Ok(Excised::Overtaken);
                }
                Err(error)
            }
        }
    }
}

fn summary(held: &[HeldRows], version: Option<u64>) -> Erased {
    Erased {
        rows: held.iter().map(|held| held.rows).sum(),
        first_sequence: held.iter().map(|held| held.first_sequence).min(),
        files: held.len(),
        version,
    }
}

#[cfg(test)]
mod tests;
