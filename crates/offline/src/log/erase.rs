//! Erasures in the log: the commit that takes an entity's rows out of the table, and what is remembered of it.

use std::collections::{HashMap, HashSet};

use deltalake_core::DeltaTable;
use deltalake_core::kernel::{Action, Add, MetadataExt, Remove};
use deltalake_core::protocol::DeltaOperation;
use hitherto_core::{Span, Timestamp};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::entry::{Entry, Failure, NewFile};
use super::{DataFile, History, Snapshot};
use crate::key_match::KeyTrace;
use crate::{Error, Result};

/// The table property that holds the erasures, as JSON.
const PROPERTY: &str = "hitherto.erasures";

/// An entity that was taken out of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableErasure {
    /// Its id: of one erasure the same in every table.
    pub id: String,
    /// When, by the clock of who erased.
    pub at: Timestamp,
    /// How many rows went.
    pub rows: u64,
    /// The least `_sequence` of them; none where there were none.
    pub first_sequence: Option<i64>,
    /// When it was committed: by the real clock, and not before what the store says of the files that it wrote.
    pub committed: Timestamp,
    /// When what still holds the rows may go, by the same clock.
    pub due: Timestamp,
    /// The files that held the rows, below the table's folder; none any more when they are gone.
    #[serde(default)]
    pub files: Vec<String>,
    /// What recognises the key in the files of those who began before; gone with the files.
    pub trace: Option<KeyTrace>,
    /// The version of the log that recorded that the files are gone.
    pub forgotten_in: Option<u64>,
}

impl TableErasure {
    /// Files that the table has not needed since then go with the erasure: those that are older than it, and what writers
    /// that began before it have left in the first half of its delay.
    pub(super) fn swept_until(&self) -> Timestamp {
        Timestamp(self.committed.0.midpoint(self.due.0))
    }

    /// Whether what the table was up to `last_sequence` is no longer all there.
    pub fn concerns(&self, last_sequence: i64) -> bool {
        self.first_sequence.is_some_and(|first| first <= last_sequence)
    }
}

/// What is to be committed: files without the key in the place of files with it.
pub(crate) struct Excision<'a> {
    /// Without rows where the table has none of the key: the record alone stops writers that began before.
    pub(crate) erasure: TableErasure,
    /// From the commit to when what still holds the rows may go.
    pub(crate) delay: Span,
    /// The real present.
    pub(crate) now: &'a (dyn Fn() -> Timestamp + Send + Sync),
    pub(crate) inputs: &'a [DataFile],
    pub(crate) outputs: &'a [NewFile],
    /// Every file that was searched.
    pub(crate) searched: &'a HashSet<Path>,
}

/// How an attempt ended, if not in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excised {
    Done,
    /// The table has other files now than those that were searched.
    Overtaken,
}

impl History {
    /// Commits at the log's end, if every file of the table was searched.
    pub(crate) async fn excise(&self, mut excision: Excision<'_>) -> std::result::Result<Excised, Failure> {
        let mut cached = self.cached.lock().await;
        let snapshot = self.refresh(&mut cached).await?;
        let active: HashSet<&Path> = snapshot.files.iter().map(|file| &file.path).collect();
        let inputs_stay = excision.inputs.iter().all(|file| active.contains(&file.path));
        let all_searched = active.iter().all(|path| excision.searched.contains(*path));
        let Some(last) = snapshot.version.filter(|_| inputs_stay && all_searched) else {
            return Ok(Excised::Overtaken);
        };
        let written = excision.outputs.iter().map(|file| Timestamp(file.modified_ms.saturating_mul(1000))).max();
        let erasure = &mut excision.erasure;
        erasure.committed = written.map_or((excision.now)(), |written| written.max((excision.now)()));
        erasure.due = erasure.committed.saturating_add(excision.delay);
        erasure.files = excision.inputs.iter().map(|file| self.below_root(&file.path)).collect();
        let mut actions = vec![self.remembering(cached.delta.as_ref(), &snapshot, |erasures| {
            erasures.push(excision.erasure.clone());
        })?];
        actions.extend(self.replacing(&excision));
        let version = last + 1;
        // as it stands in the property, which is a JSON text within JSON
        let witness = format!(r#"\"id\":\"{}\""#, excision.erasure.id);
        let entry = Entry {
            version,
            actions,
            // the predicate would name the entity
            operation: DeltaOperation::Delete { predicate: None },
            witness: &witness,
            batches: None,
            what: format!("erase from table '{}'", self.table.id),
        };
        let is_done = self.write_entry(&mut cached, entry).await?;
        drop(cached);
        if is_done {
            self.checkpoint_when_due(version).await;
        }
        Ok(if is_done { Excised::Done } else { Excised::Overtaken })
    }

    /// Records that nothing is left of these erasures' rows; false where another commit came first.
    pub(super) async fn forget(&self, ids: &HashSet<String>) -> std::result::Result<bool, Failure> {
        let mut cached = self.cached.lock().await;
        let snapshot = self.refresh(&mut cached).await?;
        let Some(last) = snapshot.version else { return Ok(true) };
        if snapshot.erasures.iter().all(|erasure| !ids.contains(&erasure.id)) {
            // another purge has forgotten them, and they took no row
            return Ok(true);
        }
        let version = last + 1;
        let action = self.remembering(cached.delta.as_ref(), &snapshot, |erasures| {
            for erasure in erasures.iter_mut().filter(|erasure| ids.contains(&erasure.id)) {
                erasure.trace = None;
                erasure.files.clear();
                erasure.forgotten_in = Some(version);
            }
            fold_rowless(erasures);
        })?;
        let witness = format!(r#"\"forgotten_in\":{version}"#);
        let entry = Entry {
            version,
            actions: vec![action],
            operation: DeltaOperation::SetTableProperties { properties: HashMap::new() },
            witness: &witness,
            batches: None,
            what: format!("forget what was erased from table '{}'", self.table.id),
        };
        let is_done = self.write_entry(&mut cached, entry).await?;
        drop(cached);
        if is_done {
            self.checkpoint_when_due(version).await;
        }
        Ok(is_done)
    }

    /// The table's metadata with other erasures.
    fn remembering(
        &self,
        delta: Option<&DeltaTable>,
        snapshot: &Snapshot,
        change: impl FnOnce(&mut Vec<TableErasure>),
    ) -> Result<Action> {
        let what = || format!("record an erasure in table '{}'", self.table.id);
        let mut erasures = snapshot.erasures.clone();
        change(&mut erasures);
        let text = serde_json::to_string(&erasures).map_err(|error| Error::delta(what(), error.into()))?;
        let state = delta.map(DeltaTable::snapshot).transpose().map_err(|error| Error::delta(what(), error))?;
        let state = state.ok_or_else(|| Error::Invalid(format!("could not {}: it has no log", what())))?;
        let metadata = state.metadata().clone().add_config_key(PROPERTY.to_owned(), text);
        Ok(Action::Metadata(metadata.map_err(|error| Error::delta(what(), error.into()))?))
    }

    fn replacing(&self, excision: &Excision<'_>) -> Vec<Action> {
        let (removes, adds) = self.replacement(excision.inputs, excision.outputs);
        let removed_ms = excision.erasure.committed.0.div_euclid(1000);
        let removes = removes
            .map(|remove| Action::Remove(Remove { data_change: true, deletion_timestamp: Some(removed_ms), ..remove }));
        removes.chain(adds.map(|add| Action::Add(Add { data_change: true, ..add }))).collect()
    }
}

/// Of forgotten erasures that took no row, those before another forgotten one need not be remembered: whoever does not know
/// them does not know that one either, and is refused by it. The last one says when any was last forgotten.
fn fold_rowless(erasures: &mut Vec<TableErasure>) {
    let newest = erasures.iter().filter_map(|erasure| erasure.forgotten_in).max();
    let mut kept: Vec<TableErasure> = Vec::new();
    let mut is_last = true;
    for mut erasure in erasures.drain(..).rev() {
        let is_forgotten = erasure.forgotten_in.is_some();
        if is_forgotten && is_last {
            erasure.forgotten_in = newest;
            is_last = false;
        } else if is_forgotten && erasure.first_sequence.is_none() {
            continue;
        }
        kept.push(erasure);
    }
    erasures.extend(kept.into_iter().rev());
}

/// The erasures that a table's properties tell of.
pub(super) fn erasures(properties: &HashMap<String, String>) -> std::result::Result<Vec<TableErasure>, String> {
    let Some(text) = properties.get(PROPERTY) else { return Ok(Vec::new()) };
    serde_json::from_str(text).map_err(|error| format!("its property {PROPERTY} cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_forgotten_erasures_that_took_no_row_the_last_is_remembered() {
        let of = |(id, first_sequence, forgotten_in): &(&str, Option<i64>, Option<u64>)| TableErasure {
            id: (*id).to_owned(),
            at: Timestamp(0),
            rows: 0,
            first_sequence: *first_sequence,
            committed: Timestamp(0),
            due: Timestamp(0),
            files: Vec::new(),
            trace: None,
            forgotten_in: *forgotten_in,
        };
        let folded = |erasures: &[(&str, Option<i64>, Option<u64>)]| {
            let mut erasures: Vec<TableErasure> = erasures.iter().map(of).collect();
            fold_rowless(&mut erasures);
            erasures.into_iter().map(|left| format!("{} {:?}", left.id, left.forgotten_in)).collect::<Vec<_>>()
        };
        assert_eq!(folded(&[]), Vec::<String>::new());
        assert_eq!(folded(&[("a", None, None)]), ["a None"], "it is not forgotten");
        assert_eq!(folded(&[("a", None, Some(3)), ("b", None, None)]), ["a Some(3)", "b None"]);
        assert_eq!(
            folded(&[("a", None, Some(9)), ("b", Some(1), Some(4)), ("c", None, Some(4)), ("d", None, None)]),
            ["b Some(4)", "c Some(9)", "d None"],
            "b took rows; d is still in its delay; a was forgotten last"
        );
        assert_eq!(folded(&[("a", None, Some(4)), ("b", Some(1), Some(4))]), ["b Some(4)"]);
    }
}
