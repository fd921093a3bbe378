//! How a table came to be: its batches in order, and which file took which place, as the entries of its log tell.

use std::collections::HashMap;

use deltalake_core::kernel::{Add, Remove};
use futures::{StreamExt, TryStreamExt, stream};
use hitherto_core::Timestamp;
use object_store::ObjectStore;
use serde_json::Value;

use super::line::{Line, lines};
use super::purge::version_of;
use super::{BATCH_APP, CLOCK_APP, History, Snapshot};
use crate::{COMMIT_SEQUENCE, Error, Result};

/// Entries that are read at once.
const AT_ONCE: usize = 16;

/// What a table's log tells of the past, from the first of its entries that is still there. What came before, which batches
/// and which files, nobody can tell any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chronicle {
    /// The version of the log with which the telling begins: 0 where the log is whole.
    pub begins_at: u64,
    /// Whether it begins so late because an erasure was purged; where not, older entries were not kept any longer, or another
    /// program has deleted them.
    pub is_purged: bool,
    /// The batches that were appended, in the order of their rows.
    pub batches: Vec<LoggedBatch>,
    /// Every file that is or was part of the table, in the order in which they came.
    pub files: Vec<LoggedFile>,
}

/// A batch, as the commit that made it visible tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedBatch {
    /// The version of the log that the commit made.
    pub version: u64,
    /// Its place among the batches of that commit, from 0; none where the commit has no other.
    pub index: Option<usize>,
    /// The id under which the batch is remembered; none where it is not.
    pub id: Option<String>,
    /// The `_ingested_at` of its rows.
    pub time: Option<Timestamp>,
    /// How many rows it has.
    pub rows: u64,
    /// The `_sequence` of its first row.
    pub first_sequence: i64,
    /// The `_sequence` of its last row.
    pub last_sequence: i64,
}

/// A file that is or was part of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedFile {
    /// Its path below the table's folder.
    pub name: String,
    /// How many rows it has, where the log says so.
    pub rows: Option<u64>,
    /// The `_sequence` of its first row, where the commit gave it: of a fresh file.
    pub first_sequence: Option<i64>,
    /// Its size.
    pub size_bytes: u64,
    /// Where its rows came from.
    pub origin: FileOrigin,
    /// The version of the log that added it; none where it was there before the telling begins.
    pub added: Option<u64>,
    /// The version of the log that replaced it; none while it is part of the table.
    pub removed: Option<u64>,
}

/// Where the rows of a file came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOrigin {
    /// From those of the batches of this version of the log that it has rows of; see [`LoggedFile::has_rows_of`].
    Batch(u64),
    /// From these files, whose place it took with others that were written at once.
    Files(Vec<String>),
    /// The entry that told is gone.
    Unknown,
}

impl Chronicle {
    /// Whether `file` was part of the table at `version` of its log, as far as is known: of the versions before the telling
    /// begins nothing is.
    pub fn was_part_at(&self, file: &LoggedFile, version: u64) -> bool {
        let since = file.added.unwrap_or(self.begins_at);
        since <= version && file.removed.is_none_or(|removed| removed > version)
    }
}

impl LoggedFile {
    /// Whether rows of `batch` were written to it.
    pub fn has_rows_of(&self, batch: &LoggedBatch) -> bool {
        if self.origin != FileOrigin::Batch(batch.version) {
            return false;
        }
        let (Some(first), Some(rows)) = (self.first_sequence, self.rows) else { return true };
        first <= batch.last_sequence && batch.first_sequence < first.saturating_add_unsigned(rows)
    }
}

impl History {
    /// Reads the whole log, entry by entry: one request each, after one for their list. A table that nobody has written yet
    /// has no past.
    pub async fn chronicle(&self) -> Result<Chronicle> {
        let snapshot = self.snapshot().await?;
        let Some(last) = snapshot.version else { return Ok(Chronicle::default()) };
        let first = self.first_entry().await?.unwrap_or(last + 1);
        let entries = stream::iter(first..=last).map(|version| async move {
            let entry = self.log_store.read_commit_entry(version).await;
            let entry = entry.map_err(|e| Error::delta(format!("read the log of table '{}'", self.table.id), e))?;
            Ok::<_, Error>((version, entry))
        });
        let mut entries = entries.buffered(AT_ONCE);
        let mut chronicle = Chronicle { begins_at: first, ..Chronicle::default() };
        // by name, its place among the files
        let mut known = HashMap::new();
        while let Some((version, entry)) = entries.try_next().await? {
            let Some(entry) = entry else {
                // a purge is under way: of what is before a gap the end is not known
                chronicle = Chronicle { begins_at: version + 1, ..Chronicle::default() };
                known.clear();
                continue;
            };
            let lines = lines(&entry).map_err(|reason| Error::Corrupt {
                path: format!("entry {version} of the log of table '{}'", self.table.id),
                reason,
            })?;
            chronicle.tell(version, &lines, &mut known);
        }
        self.tell_untold(&snapshot, &mut chronicle, &known);
        // what was deleted beyond that was too old, or is another program's doing
        let purged_to = snapshot.erasures.iter().filter_map(|erasure| erasure.forgotten_in).max();
        chronicle.is_purged =
            chronicle.begins_at > 0 && purged_to.is_some_and(|version| version >= chronicle.begins_at);
        Ok(chronicle)
    }

    /// The version of the oldest entry that is still there.
    async fn first_entry(&self) -> Result<Option<u64>> {
        let log = self.root.clone().join("_delta_log");
        let failed = |error| Error::object_store(format!("read the log of table '{}'", self.table.id), error);
        let mut files = self.store.store().list(Some(&log));
        let mut first = None;
        while let Some(file) = files.try_next().await.map_err(failed)? {
            // checkpoints have versions too, and tell nothing of the past
            let version = version_of(&file.location).filter(|_| file.location.extension() == Some("json"));
            first = match (first, version) {
                (Some(first), Some(version)) => Some(version.min(first)),
                (first, version) => first.or(version),
            };
        }
        Ok(first)
    }

    /// Files of the table whose entry is gone.
    fn tell_untold(&self, snapshot: &Snapshot, chronicle: &mut Chronicle, known: &HashMap<String, usize>) {
        for file in &snapshot.files {
            let name = self.below_root(&file.path);
            if !known.contains_key(&name) {
                chronicle.files.push(LoggedFile {
                    name,
                    rows: Some(file.rows),
                    first_sequence: file.first_sequence,
                    size_bytes: file.size_bytes,
                    origin: FileOrigin::Unknown,
                    added: None,
                    removed: None,
                });
            }
        }
    }
}

impl Chronicle {
    fn tell(&mut self, version: u64, lines: &[Line], known: &mut HashMap<String, usize>) {
        let removed: Vec<&Remove> = lines.iter().filter_map(|line| line.remove.as_ref()).collect();
        let added: Vec<&Add> = lines.iter().filter_map(|line| line.add.as_ref()).collect();
        for remove in &removed {
            match known.get(&remove.path).and_then(|index| self.files.get_mut(*index)) {
                Some(file) => file.removed = Some(version),
                None => self.remember(version, remove, known),
            }
        }
        let origin = if removed.is_empty() {
            FileOrigin::Batch(version)
        } else {
            FileOrigin::Files(removed.iter().map(|remove| remove.path.clone()).collect())
        };
        for add in &added {
            known.insert(add.path.clone(), self.files.len());
            self.files.push(LoggedFile {
                name: add.path.clone(),
                rows: rows(add),
                first_sequence: first_sequence(add),
                size_bytes: add.size.try_into().unwrap_or_default(),
                origin: origin.clone(),
                added: Some(version),
                removed: None,
            });
        }
        if removed.is_empty() {
            self.batches.extend(batches(version, &added, lines));
        }
    }

    /// A file of which only its end is told.
    fn remember(&mut self, version: u64, remove: &Remove, known: &mut HashMap<String, usize>) {
        known.insert(remove.path.clone(), self.files.len());
        self.files.push(LoggedFile {
            name: remove.path.clone(),
            rows: None,
            first_sequence: None,
            size_bytes: remove.size.and_then(|size| size.try_into().ok()).unwrap_or_default(),
            origin: FileOrigin::Unknown,
            added: None,
            removed: Some(version),
        });
    }
}

/// The batches that an entry appended, in the order of their rows. Where it is silent about that, it appended one.
fn batches(version: u64, added: &[&Add], lines: &[Line]) -> Vec<LoggedBatch> {
    let Some(first) = added.iter().filter_map(|add| first_sequence(add)).min() else { return Vec::new() };
    let rows: u64 = added.iter().filter_map(|add| rows(add)).sum();
    let transactions = || lines.iter().filter_map(|line| line.txn.as_ref());
    let time = transactions().find(|transaction| transaction.app_id == CLOCK_APP);
    let time = time.map(|transaction| Timestamp(transaction.version));
    let told = lines.iter().find_map(|line| line.info.as_ref()?.batches.as_deref());
    // what does not add up was not written by us
    let parts = match told.filter(|parts| parts.iter().map(|(_, rows)| rows).sum::<u64>() == rows) {
        Some(parts) => parts.to_vec(),
        None => vec![(
            transactions().find_map(|transaction| transaction.app_id.strip_prefix(BATCH_APP)).map(str::to_owned),
            rows,
        )],
    };
    let (is_lone, mut next) = (parts.len() == 1, first);
    let batch = |(index, (id, rows)): (usize, (Option<String>, u64))| {
        let first_sequence = next;
        next = next.saturating_add_unsigned(rows);
        LoggedBatch {
            version,
            index: (!is_lone).then_some(index),
            id,
            time,
            rows,
            first_sequence,
            last_sequence: next - 1,
        }
    };
    parts.into_iter().enumerate().map(batch).collect()
}

fn first_sequence(add: &Add) -> Option<i64> {
    add.partition_values.get(COMMIT_SEQUENCE)?.as_ref()?.parse().ok()
}

fn rows(add: &Add) -> Option<u64> {
    serde_json::from_str::<Value>(add.stats.as_ref()?).ok()?.get("numRecords")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::super::line::lines as lines_of;
    use super::*;

    fn entry(lines: &[&str]) -> Vec<Line> {
        lines_of(lines.join("\n").as_bytes()).expect("JSON")
    }

    fn add(name: &str, sequence: Option<i64>, rows: u64) -> String {
        let sequence = sequence.map_or_else(|| "null".to_owned(), |sequence| format!("\"{sequence}\""));
        format!(
            "{{\"add\":{{\"path\":\"data/{name}\",\"partitionValues\":{{\"_commit_sequence\":{sequence}}},\"size\":9,\
             \"modificationTime\":0,\"dataChange\":true,\"stats\":\"{{\\\"numRecords\\\":{rows}}}\"}}}}"
        )
    }

    fn told() -> Chronicle {
        let mut chronicle = Chronicle::default();
        let mut known = HashMap::new();
        let clock = r#"{"txn":{"appId":"hitherto/clock","version":7}}"#;
        let id = r#"{"txn":{"appId":"hitherto/batch/monday","version":-3,"lastUpdated":1}}"#;
        let (a, b) = (add("a", Some(0), 2), add("b", Some(2), 3));
        chronicle.tell(0, &entry(&[r#"{"commitInfo":{}}"#, &a, &b, clock, id]), &mut known);
        chronicle.tell(1, &entry(&[&add("c", Some(5), 1)]), &mut known);
        let remove = |name: &str| format!("{{\"remove\":{{\"path\":\"data/{name}\",\"dataChange\":false}}}}");
        chronicle.tell(2, &entry(&[&remove("a"), &remove("c"), &add("r", None, 3)]), &mut known);
        chronicle
    }

    #[test]
    fn batches_are_told_by_the_commits_that_appended_them() {
        let first = LoggedBatch {
            version: 0,
            index: None,
            id: Some("monday".to_owned()),
            time: Some(Timestamp(7)),
            rows: 5,
            first_sequence: 0,
            last_sequence: 4,
        };
        let second =
            LoggedBatch { version: 1, index: None, id: None, time: None, rows: 1, first_sequence: 5, last_sequence: 5 };
        assert_eq!(told().batches, [first, second]);
    }

    #[test]
    fn batches_of_one_commit_have_each_their_own_rows() {
        let mut chronicle = Chronicle::default();
        let info = r#"{"commitInfo":{"operation":"WRITE","hitherto.batches":[["a",2],[null,1],["b",3]]}}"#;
        let ids = [
            r#"{"txn":{"appId":"hitherto/batch/a","version":1}}"#,
            r#"{"txn":{"appId":"hitherto/batch/b","version":2}}"#,
        ];
        let (x, y) = (add("x", Some(10), 3), add("y", Some(13), 3));
        chronicle.tell(4, &entry(&[info, &x, &y, ids[0], ids[1]]), &mut HashMap::new());
        let told: Vec<_> =
            chronicle.batches.iter().map(|b| (b.index, b.id.as_deref(), b.first_sequence, b.last_sequence)).collect();
        assert_eq!(told, [(Some(0), Some("a"), 10, 11), (Some(1), None, 12, 12), (Some(2), Some("b"), 13, 15)]);
        let lies = |file: usize, batch: usize| chronicle.files[file].has_rows_of(&chronicle.batches[batch]);
        assert_eq!([lies(0, 0), lies(0, 1), lies(0, 2)], [true, true, false]);
        assert_eq!([lies(1, 0), lies(1, 1), lies(1, 2)], [false, false, true]);
        // another's word that does not add up is not believed
        let mut other = Chronicle::default();
        let wrong = r#"{"commitInfo":{"hitherto.batches":[["a",2]]}}"#;
        other.tell(4, &entry(&[wrong, &x, ids[0]]), &mut HashMap::new());
        assert_eq!(other.batches.iter().map(|batch| (batch.index, batch.rows)).collect::<Vec<_>>(), [(None, 3)]);
    }

    #[test]
    fn files_are_told_with_their_origin_and_their_end() {
        let told = told();
        let names = |version| parts(&told, version);
        let files = &told.files;
        assert_eq!(names(0), ["data/a", "data/b"]);
        assert_eq!(names(1), ["data/a", "data/b", "data/c"]);
        assert_eq!(names(2), ["data/b", "data/r"]);
        assert_eq!(files[2].origin, FileOrigin::Batch(1));
        assert_eq!(files[3].origin, FileOrigin::Files(vec!["data/a".to_owned(), "data/c".to_owned()]));
        assert_eq!((files[3].rows, files[0].removed), (Some(3), Some(2)));
    }

    /// The files that are known to have been part of the table at a version.
    fn parts(chronicle: &Chronicle, version: u64) -> Vec<&str> {
        let there = chronicle.files.iter().filter(|file| chronicle.was_part_at(file, version));
        there.map(|file| file.name.as_str()).collect()
    }

    #[test]
    fn of_versions_before_the_telling_begins_nothing_is_claimed() {
        let mut chronicle = Chronicle { begins_at: 5, is_purged: true, ..Chronicle::default() };
        let mut known = HashMap::new();
        chronicle.tell(5, &entry(&[r#"{"metaData":{}}"#]), &mut known);
        chronicle.tell(6, &entry(&[&add("d", Some(9), 1)]), &mut known);
        let remove = r#"{"remove":{"path":"data/r","dataChange":false,"size":7}}"#;
        chronicle.tell(7, &entry(&[remove, &add("s", None, 4)]), &mut known);
        let told: Vec<(&str, Option<u64>, Option<u64>)> =
            chronicle.files.iter().map(|file| (file.name.as_str(), file.added, file.removed)).collect();
        // a file that was there before is known by its removal
        let expected = [("data/d", Some(6), None), ("data/r", None, Some(7)), ("data/s", Some(7), None)];
        assert_eq!(told, expected);
        assert_eq!((&chronicle.files[1].origin, chronicle.files[1].size_bytes), (&FileOrigin::Unknown, 7));
        assert_eq!(chronicle.files[2].origin, FileOrigin::Files(vec!["data/r".to_owned()]));
        assert_eq!(parts(&chronicle, 4), Vec::<&str>::new());
        assert_eq!(parts(&chronicle, 5), ["data/r"]);
        assert_eq!(parts(&chronicle, 6), ["data/d", "data/r"]);
        assert_eq!(parts(&chronicle, 7), ["data/d", "data/s"]);
        assert_eq!(chronicle.batches.iter().map(|batch| batch.version).collect::<Vec<_>>(), [6]);
    }
}
