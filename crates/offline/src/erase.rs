//! Erasure: every row of one entity key leaves the table, and no writer that began before brings one back.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use hitherto_core::{EntityKey, Kind, Span, Timestamp};
use object_store::path::Path;
use uuid::Uuid;

use crate::compact::{Rows, RunRequest};
use crate::key_match::{KeyMatch, KeyTrace};
use crate::log::{Excised, Excision, Failure, NewFile, Snapshot, backoff};
use crate::scan::HeldRows;
use crate::{CompactOptions, DataFile, Error, History, PinnedTable, Result, TableErasure};

/// How often the table is searched again because others wrote to it meanwhile.
const ATTEMPTS_MAX: u32 = 250;

/// What is to be erased.
#[derive(Clone, Copy)]
pub struct Erasing<'a> {
    /// The erasure's id: the same in every table that it concerns.
    pub id: &'a str,
    /// The entity key, in the order of the table's keys.
    pub key: &'a EntityKey,
    /// When, by the clock that users see.
    pub at: Timestamp,
    /// The real present, which is compared with times of the store.
    pub now: &'a (dyn Fn() -> Timestamp + Send + Sync),
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
    /// Files that held them.
    pub files: usize,
    /// Earlier erasures of the same key whose files are still there, and their rows: whoever was interrupted is told of
    /// them when he asks again.
    pub earlier: BTreeMap<String, u64>,
    /// The least `_sequence` of the rows.
    pub first_sequence: Option<i64>,
    /// By id, the least `_sequence` that was taken by each of those earlier erasures, and by those whose files are gone:
    /// nobody can tell any more whose rows these took, and it may have been this key's.
    pub before: BTreeMap<String, i64>,
}

/// What is known of a table's files while one is erased from it.
#[derive(Default)]
struct Search {
    /// The files that were searched.
    searched: HashSet<Path>,
    /// Those of them that hold rows of the key.
    held: Vec<HeldRows>,
    /// What takes their place, once it is written.
    written: Option<(Vec<Path>, Vec<NewFile>)>,
}

impl History {
    /// How many rows of an entity key the table has; nothing is changed.
    pub async fn find(&self, key: &EntityKey) -> Result<Erased> {
        let snapshot = self.snapshot().await?;
        let held = self.search(&snapshot.files, &KeyMatch::Key(key.clone())).await?;
        Ok(Erased::new(&held).after(&snapshot, key))
    }

    /// How many rows have this key but for parts that are null, and some part that is not. They match no key, this one
    /// neither, and an erasure leaves them; they may have been meant for it.
    pub async fn null_parts(&self, key: &EntityKey) -> Result<u64> {
        let snapshot = self.snapshot().await?;
        let keys = &self.table().keys;
        let may_have =
            |file: &&DataFile| keys.len() > 1 && keys.iter().any(|(name, _)| file.null_count(name.as_str()) != Some(0));
        let files: Vec<DataFile> = snapshot.files.iter().filter(may_have).cloned().collect();
        let held = self.search(&files, &KeyMatch::NullParts(key.clone())).await?;
        Ok(held.iter().map(|held| held.rows).sum())
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
        let mut search = Search::default();
        let erased = self.erase_searching(wanted, options, progress, &mut search).await;
        if let (Err(_), Some((_, files))) = (&erased, search.written.take()) {
            self.discard(&files).await;
        }
        erased
    }

    async fn erase_searching(
        &self,
        wanted: &Erasing<'_>,
        options: &CompactOptions,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
        search: &mut Search,
    ) -> Result<Erased> {
        let key = KeyMatch::Key(wanted.key.clone());
        let trace = KeyTrace::new(wanted.key);
        for attempt in 0..ATTEMPTS_MAX {
            let snapshot = self.snapshot().await?;
            if snapshot.version.is_none() {
                return Ok(Erased::default());
            }
            self.refuse_unknown_columns(&snapshot)?;
            self.search_on(&snapshot, &key, search).await?;
            let own = Erased::new(&search.held);
            let erasure = TableErasure {
                id: wanted.id.to_owned(),
                at: wanted.at,
                rows: own.rows,
                first_sequence: own.first_sequence,
                // of the commit, which knows them
                committed: Timestamp::MIN,
                due: Timestamp::MIN,
                files: Vec::new(),
                trace: Some(trace.clone()),
                forgotten_in: None,
            };
            let ended = match self.write_without(&key, own.rows, options, progress, search).await {
                Ok(()) => self.take_out(erasure, wanted, search).await,
                Err(error) => Err(error),
            };
            match ended {
                Ok(Excised::Done) => return Ok(Erased::new(&search.held).after(&snapshot, wanted.key)),
                Ok(Excised::Overtaken) => {}
                // a compaction and a vacuum came in between: the next attempt sees what there is now
                Err(error) if error.kind() == Kind::NotFound && !self.has_all(&search.inputs()).await? => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(backoff(attempt)).await;
        }
        Err(Error::Conflict(format!(
            "could not erase from table '{}': others wrote to it {ATTEMPTS_MAX} times meanwhile; try again",
            self.table().id
        )))
    }

    /// Refuses rows of files that are not committed, if they are of a key that was erased since `known`, and adds to it what
    /// they were held against.
    pub(crate) async fn refuse_erased(&self, files: &[NewFile], known: &mut HashSet<String>) -> Result<()> {
        let now = self.snapshot().await?;
        let since: Vec<&TableErasure> = now.erasures.iter().filter(|erasure| !known.contains(&erasure.id)).collect();
        if since.is_empty() {
            return Ok(());
        }
        let refused = |what: String, ids: &[&str]| {
            Err(Error::Conflict(format!(
                "could not append to table '{}': {what} ({}); nothing was appended: leave its rows out, or append again if it is \
                 to come back",
                self.table().id,
                ids.join(", ")
            )))
        };
        let ids: Vec<&str> = since.iter().map(|erasure| erasure.id.as_str()).collect();
        let Some(traces) = since.iter().map(|erasure| erasure.trace.clone()).collect::<Option<Vec<KeyTrace>>>() else {
            // its delay was shorter than this append: nobody can tell any more whose rows it was
            return refused("an entity was erased after this began, and its rows may be among these".to_owned(), &ids);
        };
        let files: Vec<DataFile> = files.iter().map(|file| file.uncommitted(self)).collect();
        let rows: u64 = self.search(&files, &KeyMatch::Traces(traces)).await?.iter().map(|held| held.rows).sum();
        if rows > 0 {
            return refused(format!("{rows} of the rows are of an entity that was erased after this began"), &ids);
        }
        known.extend(ids.into_iter().map(str::to_owned));
        Ok(())
    }

    async fn search(&self, files: &[DataFile], key: &KeyMatch) -> Result<Vec<HeldRows>> {
        let store = Arc::clone(self.store().store());
        PinnedTable::new(store, self.table().clone(), files, i64::MAX).holding(key).await
    }

    /// Searches the files that were not yet, and forgets those that are gone.
    async fn search_on(&self, snapshot: &Snapshot, key: &KeyMatch, search: &mut Search) -> Result<()> {
        let active: HashSet<&Path> = snapshot.files.iter().map(|file| &file.path).collect();
        search.held.retain(|held| active.contains(&held.file.path));
        search.searched.retain(|path| active.contains(path));
        let fresh: Vec<DataFile> =
            snapshot.files.iter().filter(|file| !search.searched.contains(&file.path)).cloned().collect();
        match self.search(&fresh, key).await {
            Ok(found) => search.held.extend(found),
            // what is gone has been replaced, and is searched at the next attempt
            Err(error) if error.kind() == Kind::NotFound && !self.has_all(&fresh).await? => return Ok(()),
            Err(error) => return Err(error),
        }
        search.searched.extend(fresh.into_iter().map(|file| file.path));
        Ok(())
    }

    /// Writes what takes the place of the files that hold rows, unless that was done before and they are still the same.
    async fn write_without(
        &self,
        key: &KeyMatch,
        rows: u64,
        options: &CompactOptions,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
        search: &mut Search,
    ) -> Result<()> {
        let inputs = search.inputs();
        let paths: Vec<Path> = inputs.iter().map(|file| file.path.clone()).collect();
        if let Some((_, files)) = search.written.take_if(|(replaced, _)| *replaced != paths) {
            self.discard(&files).await;
        }
        if search.written.is_some() || inputs.is_empty() {
            return Ok(());
        }
        let (_, outputs) = search.written.insert((paths, Vec::new()));
        let rows = Rows::Without { key, rows };
        let written = self.write_run(&RunRequest { inputs: &inputs, rows, options, progress }, outputs).await;
        if written.is_err()
            && let Some((_, broken)) = search.written.take()
        {
            self.discard(&broken).await;
        }
        written
    }

    async fn take_out(&self, erasure: TableErasure, wanted: &Erasing<'_>, search: &mut Search) -> Result<Excised> {
        let inputs = search.inputs();
        let outputs = search.written.as_ref().map_or(&[][..], |(_, files)| files);
        // they may have waited for longer than somebody's vacuum was told to
        self.refuse_gone(outputs).await?;
        let (delay, now, searched) = (wanted.delay, wanted.now, &search.searched);
        match self.excise(Excision { erasure, delay, now, inputs: &inputs, outputs, searched }).await {
            Ok(ended) => Ok(ended),
            Err(Failure { error, may_delete }) => {
                if !may_delete {
                    // the log may name them
                    search.written = None;
                }
                Err(error)
            }
        }
    }
}

impl Search {
    fn inputs(&self) -> Vec<DataFile> {
        self.held.iter().map(|held| held.file.clone()).collect()
    }
}

impl Erased {
    fn new(held: &[HeldRows]) -> Self {
        Self {
            rows: held.iter().map(|held| held.rows).sum(),
            files: held.len(),
            first_sequence: held.iter().map(|held| held.first_sequence).min(),
            ..Self::default()
        }
    }

    /// With what earlier erasures took, as far as there were rows.
    fn after(mut self, snapshot: &Snapshot, key: &EntityKey) -> Self {
        let bytes = key.to_bytes();
        for erasure in &snapshot.erasures {
            let Some(first) = erasure.first_sequence else { continue };
            let is_of = erasure.trace.as_ref().map(|trace| trace.is_of(&bytes));
            if is_of == Some(true) {
                self.earlier.insert(erasure.id.clone(), erasure.rows);
            }
            if is_of != Some(false) {
                self.before.insert(erasure.id.clone(), first);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests;
