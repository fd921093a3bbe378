//! What is built while an entity is erased: it may hold what was erased, and is not kept.

use std::collections::{BTreeMap, BTreeSet};

use hitherto_core::{Catalog, Dataset};
use hitherto_offline::{OutputLocation, TableErasure};

use crate::dataset::taken;
use crate::join::Pins;
use crate::sql::{Reads, TableRead};
use crate::{Engine, Error, Result};

/// What a build has read of each table, by its id: for its features, by its spine's query, which was earlier, and through
/// the training sets that its spine came from.
pub(crate) struct HasRead(BTreeMap<String, Vec<TableRead>>);

impl HasRead {
    pub(crate) fn of(pins: &Pins, reads: &Reads) -> Self {
        let mut tables: BTreeMap<String, Vec<TableRead>> = BTreeMap::new();
        for (table, pinned) in pins {
            tables.entry(table.clone()).or_default().push(TableRead::of(pinned));
        }
        for (table, read) in reads.tables.iter().chain(reads.drawn.iter().map(|(table, read)| (table, read))) {
            tables.entry(table.clone()).or_default().push(read.clone());
        }
        Self(tables)
    }
}

/// What becomes of a file that may hold what was erased while it was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is removed: no entry names it, so nobody would be told of it.
    Goes,
    /// It stays: it is, to the byte, the file that an entry named before, and whoever erases is told of that.
    Stays,
}

impl Fate {
    /// Of what was built, going by the entries that there were before.
    pub(crate) fn of(built: &Dataset, known: &[Dataset]) -> Self {
        let is_it = |known: &Dataset| {
            (&known.id, &known.location, &known.file_hash) == (&built.id, &built.location, &built.file_hash)
        };
        if known.iter().any(is_it) { Self::Stays } else { Self::Goes }
    }

    pub(crate) fn refusal(self, out: &OutputLocation, erased: &str) -> Error {
        let what = match self {
            Self::Goes => "the file was removed",
            Self::Stays => "the file is what it was before, and stays",
        };
        Error::Conflict(format!(
            "could not keep '{out}': {erased} while it was built, and it may hold them; {what}: run it again, on the history of \
             now"
        ))
    }
}

impl Engine {
    /// What training sets had read when they were built, and those that they came from: what is erased of that from now on is in
    /// what is made of them. Of one that was forgotten nothing tells: it may have read all of every table.
    pub(crate) async fn drawn(&self, training_sets: &BTreeSet<String>) -> Result<Vec<(String, TableRead)>> {
        if training_sets.is_empty() {
            return Ok(Vec::new());
        }
        let catalog = self.registry().catalog().await?;
        let known = self.registry().datasets().await?;
        let all = catalog.tables.keys().map(String::as_str);
        let mut drawn = Vec::new();
        for (id, last_sequence) in read_through(training_sets, &known, &all.collect::<Vec<_>>()) {
            let Some(table) = catalog.tables.get(&id) else { continue };
            let snapshot = self.history(table)?.history().snapshot().await?;
            let erasures = snapshot.erasures.iter().map(|erasure| erasure.id.clone()).collect();
            drawn.push((id, TableRead { last_sequence, log_version: snapshot.version, erasures }));
        }
        Ok(drawn)
    }

    /// What was erased, in words, from what `read` says since it was read; none where nothing was. Whoever erases looks for
    /// training sets afterwards: where this is asked after a file was recorded, one of the two sees the other.
    pub(crate) async fn overtaken(&self, catalog: &Catalog, read: &HasRead) -> Result<Option<String>> {
        let mut erased = Vec::new();
        for (id, reads) in &read.0 {
            let table = catalog.tables.get(id);
            let table = table.ok_or_else(|| Error::internal("an unknown table was read", id.clone()))?;
            let snapshot = self.history(table)?.history().snapshot().await?;
            let is_new = |read: &TableRead, erasure: &TableErasure| {
                erasure.concerns(read.last_sequence) && !read.erasures.contains(&erasure.id)
            };
            let since = snapshot.erasures.iter().filter(|erasure| reads.iter().any(|read| is_new(read, erasure)));
            erased.extend(since.map(|erasure| taken(erasure, id)));
        }
        Ok(Some(erased.join("; ")).filter(|erased| !erased.is_empty()))
    }

    /// Refuses `out`, which was built from what `read` says, if something of that was erased since.
    pub(crate) async fn refuse_overtaken(
        &self,
        catalog: &Catalog,
        read: &HasRead,
        out: &OutputLocation,
        fate: Fate,
    ) -> Result<()> {
        match self.overtaken(catalog, read).await? {
            None => Ok(()),
            Some(erased) => Err(fate.refusal(out, &erased)),
        }
    }
}

/// How far tables were read for training sets, and for those that these came from; of one that is not `known`, whoever it is,
/// every table of `all` to its end.
fn read_through(training_sets: &BTreeSet<String>, known: &[Dataset], all: &[&str]) -> BTreeMap<String, i64> {
    let mut read: BTreeMap<String, i64> = BTreeMap::new();
    let mut further = |table: &str, last: i64| {
        let known = read.entry(table.to_owned()).or_insert(last);
        *known = last.max(*known);
    };
    let (mut seen, mut open) = (training_sets.clone(), training_sets.iter().cloned().collect::<Vec<_>>());
    while let Some(id) = open.pop() {
        let Some(dataset) = known.iter().find(|known| known.id == id) else {
            for table in all {
                further(table, i64::MAX);
            }
            continue;
        };
        let lasts = dataset.tables.iter().chain(&dataset.build.spine_tables);
        lasts.for_each(|(table, last)| further(table, *last));
        open.extend(dataset.build.spine_datasets.iter().filter(|id| seen.insert((*id).clone())).cloned());
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_training_set_has_read_what_those_had_that_it_came_from() {
        let of = |id: &str, tables: &str, build: &str| -> Dataset {
            let text = format!(
                r#"{{"id":"{id}","name":null,"feature_set":{{"name":"late","version":1}},"feature_set_hash":"aa",
                "mode":"knowledge","spine":"s","spine_fingerprint":"f0","event_timestamp":"t","evidence":false,
                "tables":{tables},"location":"/t.parquet","rows":2,"file_hash":"cc","built_at":7,"build":{build}}}"#
            );
            serde_json::from_str(&text).expect("a manifest")
        };
        let known = [
            of("a", r#"{"x-1":3}"#, r#"{"spine_tables":{"y-1":5},"spine_datasets":["b"]}"#),
            of("b", r#"{"x-1":4,"z-1":0}"#, r#"{"spine_datasets":["a"]}"#),
            of("c", r#"{"x-1":9}"#, r#"{"spine_datasets":["gone"]}"#),
        ];
        let read = |ids: &[&str]| -> Vec<(String, i64)> {
            let ids = ids.iter().map(|id| (*id).to_owned()).collect();
            read_through(&ids, &known, &["x-1", "w-1"]).into_iter().collect()
        };
        let expected = |tables: &[(&str, i64)]| -> Vec<(String, i64)> {
            tables.iter().map(|(table, last)| ((*table).to_owned(), *last)).collect()
        };
        assert!(read(&[]).is_empty());
        assert_eq!(read(&["a"]), expected(&[("x-1", 4), ("y-1", 5), ("z-1", 0)]));
        assert_eq!(read(&["c"]), expected(&[("w-1", i64::MAX), ("x-1", i64::MAX)]));
    }
}
