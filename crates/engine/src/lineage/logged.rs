//! What the logs of history record, as edges: batches, and the files that their rows lie or lay in.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use hitherto_core::{Dataset, Table};
use hitherto_offline::{Chronicle, FileOrigin, LoggedBatch, LoggedFile};
use serde_json::{Map, Value, json};

use super::graph::{Edge, NodeId, NodeKind, Relation};
use crate::{Engine, Result};

/// The past of one table.
#[derive(Debug)]
pub(crate) struct Logged {
    table: Table,
    pub(crate) chronicle: Chronicle,
    /// By name, the place of a file in the chronicle.
    files: HashMap<String, usize>,
}

impl Engine {
    /// The past of `table`: its whole log is read.
    pub(crate) async fn logged(&self, table: &Table) -> Result<Logged> {
        let chronicle = self.history(table)?.history().chronicle().await?;
        Ok(Logged::new(table.clone(), chronicle))
    }
}

impl Logged {
    fn new(table: Table, chronicle: Chronicle) -> Self {
        let files = chronicle.files.iter().enumerate().map(|(index, file)| (file.name.clone(), index)).collect();
        Self { table, chronicle, files }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// `weather-1/12`, or `weather-1/12.0` for the first of those that share the commit.
    pub(crate) fn batch(&self, batch: &LoggedBatch) -> NodeId {
        let place = batch.index.map(|index| format!(".{index}")).unwrap_or_default();
        NodeId::new(NodeKind::Batch, format!("{}/{}{place}", self.table.id, batch.version))
    }

    /// `weather/weather-1/data/….parquet`.
    pub(crate) fn file(&self, file: &LoggedFile) -> NodeId {
        NodeId::new(NodeKind::DataFile, format!("{}/{}/{}", self.table.view, self.table.id, file.name))
    }

    fn node(&self) -> NodeId {
        NodeId::new(NodeKind::Table, &self.table.id)
    }

    /// Everything, an edge at a time: each batch and file, with the table, and with every one of `datasets` that read it. No
    /// more is held at once than the edges of one file or of one dataset.
    pub(crate) fn edges(self: &Arc<Self>, datasets: &Arc<[Dataset]>) -> impl Iterator<Item = Edge> + Send + use<> {
        let [batches, files, reads] = [self, self, self].map(Arc::clone);
        let datasets = Arc::clone(datasets);
        let appended =
            (0..self.chronicle.batches.len()).map(move |index| batches.appended(&batches.chronicle.batches[index]));
        let lying = (0..self.chronicle.files.len()).flat_map(move |index| {
            let file = &files.chronicle.files[index];
            files.origin(file).into_iter().chain(files.part(file))
        });
        let read = (0..datasets.len()).flat_map(move |index| reads.read_for(&datasets[index]));
        appended.chain(lying).chain(read)
    }

    /// What the table is made of now.
    pub(crate) fn whole(&self) -> Vec<Edge> {
        let mut edges: Vec<Edge> = self.chronicle.batches.iter().map(|batch| self.appended(batch)).collect();
        let now = self.chronicle.files.iter().filter(|file| file.removed.is_none());
        edges.extend(self.origins(now));
        edges.extend(self.chronicle.files.iter().filter_map(|file| self.part(file)));
        edges
    }

    /// What `dataset` read of the table: the batches up to the last `_sequence` that it saw, the files that they lay in
    /// when it was built, and where the rows of these came from.
    pub(crate) fn pinned(&self, dataset: &Dataset) -> Vec<Edge> {
        let mut edges = self.read_for(dataset);
        edges.extend(self.batches_of(dataset).map(|batch| self.appended(batch)));
        edges.extend(self.origins(self.files_of(dataset)));
        edges
    }

    /// What became of one batch: its table, its files, and those of `datasets` that read it.
    pub(crate) fn of_batch(&self, id: &NodeId, datasets: &[Dataset]) -> Vec<Edge> {
        let Some(batch) = self.batch_named(&id.name) else { return Vec::new() };
        let mut edges = vec![self.appended(batch)];
        let written: Vec<&LoggedFile> = self.chronicle.files.iter().filter(|file| file.has_rows_of(batch)).collect();
        edges.extend(written.iter().map(|file| self.written_as(batch, file)));
        edges.extend(self.heirs(written));
        let reads = datasets.iter().filter(|dataset| self.has_read_batch(dataset, batch));
        edges.extend(reads.map(|dataset| read_for(id.clone(), dataset)));
        edges
    }

    /// What became of one file, and where its rows came from.
    pub(crate) fn of_file(&self, id: &NodeId, datasets: &[Dataset]) -> (Vec<Edge>, Vec<Edge>) {
        let Some(file) = self.file_named(&id.name) else { return (Vec::new(), Vec::new()) };
        let mut down = self.heirs(vec![file]);
        let reads = datasets.iter().filter(|dataset| self.has_read_file(dataset, file));
        down.extend(reads.map(|dataset| read_for(id.clone(), dataset)));
        down.extend(self.part(file));
        (self.origins([file].into_iter()), down)
    }

    /// The last `_sequence` of the table that `dataset` saw; none where it did not read it.
    fn last_read(&self, dataset: &Dataset) -> Option<i64> {
        dataset.last_sequence_read(&self.table.id)
    }

    fn has_read_batch(&self, dataset: &Dataset, batch: &LoggedBatch) -> bool {
        self.last_read(dataset).is_some_and(|last| batch.first_sequence <= last)
    }

    /// Whether a file is one of the version of the log that `dataset` was built from. Where the manifest does not say, as in
    /// those of format 0, whether it is a fresh file of its batches.
    fn has_read_file(&self, dataset: &Dataset, file: &LoggedFile) -> bool {
        let version = dataset.build.delta_versions.get(&self.table.id).copied().flatten();
        self.last_read(dataset).is_some()
            && match (version, &file.origin) {
                (Some(version), _) => self.chronicle.was_part_at(file, version),
                (None, FileOrigin::Batch(_)) => self.batches_in(file).any(|batch| self.has_read_batch(dataset, batch)),
                (None, _) => false,
            }
    }

    fn batches_of(&self, dataset: &Dataset) -> impl Iterator<Item = &LoggedBatch> {
        self.chronicle.batches.iter().filter(move |batch| self.has_read_batch(dataset, batch))
    }

    fn files_of(&self, dataset: &Dataset) -> impl Iterator<Item = &LoggedFile> {
        self.chronicle.files.iter().filter(move |file| self.has_read_file(dataset, file))
    }

    fn read_for(&self, dataset: &Dataset) -> Vec<Edge> {
        if self.last_read(dataset).is_none() {
            return Vec::new();
        }
        let batches = self.batches_of(dataset).map(|batch| self.batch(batch));
        let files = self.files_of(dataset).map(|file| self.file(file));
        batches.chain(files).map(|from| read_for(from, dataset)).collect()
    }

    fn appended(&self, batch: &LoggedBatch) -> Edge {
        Edge::new(self.batch(batch), self.node(), Relation::AppendedTo)
    }

    /// That a file is part of the table now, if it is.
    fn part(&self, file: &LoggedFile) -> Option<Edge> {
        file.removed.is_none().then(|| Edge::new(self.file(file), self.node(), Relation::PartOf))
    }

    fn written_as(&self, batch: &LoggedBatch, file: &LoggedFile) -> Edge {
        Edge::new(self.batch(batch), self.file(file), Relation::WrittenAs)
    }

    /// What the rows of `file` came from.
    fn origin(&self, file: &LoggedFile) -> Vec<Edge> {
        match &file.origin {
            FileOrigin::Batch(_) => self.batches_in(file).map(|batch| self.written_as(batch, file)).collect(),
            FileOrigin::Files(inputs) => {
                let inputs = inputs.iter().filter_map(|name| self.named(name));
                inputs.map(|input| Edge::new(self.file(input), self.file(file), Relation::RewrittenAs)).collect()
            }
            FileOrigin::Unknown => Vec::new(),
        }
    }

    /// What the rows of `files` came from, back to their batches.
    fn origins<'a>(&'a self, files: impl Iterator<Item = &'a LoggedFile>) -> Vec<Edge> {
        let mut next: Vec<&LoggedFile> = files.collect();
        let mut seen: HashSet<&str> = next.iter().map(|file| file.name.as_str()).collect();
        let mut edges = Vec::new();
        while let Some(file) = next.pop() {
            edges.extend(self.origin(file));
            if let FileOrigin::Files(inputs) = &file.origin {
                let inputs = inputs.iter().filter_map(|name| self.named(name));
                next.extend(inputs.filter(|input| seen.insert(&input.name)));
            }
        }
        edges
    }

    /// Where the rows of `files` were copied to, on to the files of today.
    fn heirs<'a>(&'a self, mut next: Vec<&'a LoggedFile>) -> Vec<Edge> {
        let mut copies: BTreeMap<&str, Vec<&LoggedFile>> = BTreeMap::new();
        for file in &self.chronicle.files {
            if let FileOrigin::Files(inputs) = &file.origin {
                for input in inputs {
                    copies.entry(input).or_default().push(file);
                }
            }
        }
        let mut seen: HashSet<&str> = next.iter().map(|file| file.name.as_str()).collect();
        let mut edges = Vec::new();
        while let Some(file) = next.pop() {
            for copy in copies.get(file.name.as_str()).into_iter().flatten() {
                edges.push(Edge::new(self.file(file), self.file(copy), Relation::RewrittenAs));
                if seen.insert(&copy.name) {
                    next.push(copy);
                }
            }
        }
        edges
    }

    fn named(&self, name: &str) -> Option<&LoggedFile> {
        self.files.get(name).and_then(|index| self.chronicle.files.get(*index))
    }

    /// The file of the node with this name, if it is one of this table.
    fn file_named(&self, node: &str) -> Option<&LoggedFile> {
        let below_view = node.strip_prefix(self.table.view.as_str())?.strip_prefix('/')?;
        self.named(below_view.strip_prefix(&self.table.id)?.strip_prefix('/')?)
    }

    /// The batch of the node with this name, if it is one of this table.
    fn batch_named(&self, node: &str) -> Option<&LoggedBatch> {
        let place = node.strip_prefix(&self.table.id)?.strip_prefix('/')?;
        let (version, index) = match place.split_once('.') {
            Some((version, index)) => (version, Some(index.parse().ok()?)),
            None => (place, None),
        };
        self.batches_at(version.parse().ok()?).iter().find(|batch| batch.index == index)
    }

    /// The batches of one commit.
    fn batches_at(&self, version: u64) -> &[LoggedBatch] {
        let batches = &self.chronicle.batches;
        let first = batches.partition_point(|batch| batch.version < version);
        let count = batches[first..].iter().take_while(|batch| batch.version == version).count();
        &batches[first..first + count]
    }

    /// The batches whose rows were written to `file`.
    fn batches_in(&self, file: &LoggedFile) -> impl Iterator<Item = &LoggedBatch> {
        let batches = match file.origin {
            FileOrigin::Batch(version) => self.batches_at(version),
            FileOrigin::Files(_) | FileOrigin::Unknown => &[],
        };
        batches.iter().filter(move |batch| file.has_rows_of(batch))
    }

    /// Where the telling begins, where it does so late: entries of the log that are gone are told of by nothing.
    pub(crate) fn beginning(&self) -> Option<String> {
        let Chronicle { begins_at, is_purged, .. } = self.chronicle;
        let why = if is_purged { "an erasure was purged" } else { "it was not to be kept any longer" };
        (begins_at > 0).then(|| format!("before version {begins_at} the log is gone ({why})"))
    }

    /// What is to be told of a batch or file of this table, or of the table itself; nothing of another's.
    pub(crate) fn attributes(&self, id: &NodeId) -> Option<Map<String, Value>> {
        let told = match id.kind {
            NodeKind::Batch => {
                let batch = self.batch_named(&id.name)?;
                json!({
                    "table": self.table.id,
                    "batch_id": batch.id,
                    "ingested_at": batch.time.map(|time| time.to_string()),
                    "rows": batch.rows,
                    "first_sequence": batch.first_sequence,
                    "last_sequence": batch.last_sequence,
                    "log_version": batch.version,
                })
            }
            NodeKind::DataFile => {
                let file = self.file_named(&id.name)?;
                json!({
                    "table": self.table.id,
                    "rows": file.rows,
                    "bytes": file.size_bytes,
                    "is_current": file.removed.is_none(),
                    "is_origin_known": file.origin != FileOrigin::Unknown,
                })
            }
            NodeKind::Table if id.name == self.table.id => {
                let mut told = json!({"view": self.table.view});
                if let (Some(beginning), Value::Object(told)) = (self.beginning(), &mut told) {
                    told.insert("log_begins_at".to_owned(), self.chronicle.begins_at.into());
                    told.insert("gone".to_owned(), beginning.into());
                }
                told
            }
            _ => return None,
        };
        told.as_object().cloned()
    }
}

fn read_for(from: NodeId, dataset: &Dataset) -> Edge {
    Edge::new(from, NodeId::new(NodeKind::Dataset, &dataset.id), Relation::ReadFor)
}

#[cfg(test)]
mod tests {
    use hitherto_core::Created;

    use super::*;

    fn file(name: &str, origin: FileOrigin, added: u64, removed: Option<u64>) -> LoggedFile {
        let (name, rows) = (name.to_owned(), Some(1));
        LoggedFile { name, rows, first_sequence: None, size_bytes: 1, origin, added: Some(added), removed }
    }

    fn table() -> Table {
        let view = "v".parse().expect("a name");
        Table { id: "v-1".to_owned(), view, keys: Vec::new(), created: Created::Absent, columns: Vec::new() }
    }

    /// Three batches of a row each; the first two were compacted at version 2, before the third.
    fn logged() -> Logged {
        let batch = |version, sequence| LoggedBatch {
            version,
            index: None,
            id: None,
            time: None,
            rows: 1,
            first_sequence: sequence,
            last_sequence: sequence,
        };
        let inputs = FileOrigin::Files(vec!["a".to_owned(), "b".to_owned()]);
        let chronicle = Chronicle {
            begins_at: 0,
            is_purged: false,
            batches: vec![batch(0, 0), batch(1, 1), batch(3, 2)],
            files: vec![
                file("a", FileOrigin::Batch(0), 0, Some(2)),
                file("b", FileOrigin::Batch(1), 1, Some(2)),
                file("r", inputs, 2, None),
                file("c", FileOrigin::Batch(3), 3, None),
            ],
        };
        Logged::new(table(), chronicle)
    }

    fn dataset(last_sequence: i64, log_version: Option<u64>) -> Dataset {
        let mut dataset: Dataset = serde_json::from_value(json!({
            "id": "d", "name": null, "feature_set": {"name": "s", "version": 1}, "feature_set_hash": "h",
            "mode": "knowledge", "spine": "spine.csv", "spine_fingerprint": "f", "event_timestamp": "t",
            "evidence": false, "tables": {"v-1": last_sequence}, "location": "t.parquet", "rows": 1, "file_hash": "x",
            "built_at": 0,
        }))
        .expect("a dataset");
        dataset.build.delta_versions.insert("v-1".to_owned(), log_version);
        dataset
    }

    fn told(edges: &[Edge]) -> Vec<String> {
        let mut told: Vec<String> =
            edges.iter().map(|edge| format!("{} {} {}", edge.from.name, edge.relation.name(), edge.to.name)).collect();
        told.sort();
        told
    }

    #[test]
    fn a_dataset_comes_from_the_batches_and_files_that_it_saw() {
        let early = [
            "v-1/0 appended_to v-1",
            "v-1/0 read_for d",
            "v-1/0 written_as v/v-1/a",
            "v-1/1 appended_to v-1",
            "v-1/1 read_for d",
            "v-1/1 written_as v/v-1/b",
            "v/v-1/a read_for d",
            "v/v-1/b read_for d",
        ];
        assert_eq!(told(&logged().pinned(&dataset(1, Some(1)))), early);
        let compacted = told(&logged().pinned(&dataset(1, Some(2))));
        assert!(compacted.contains(&"v/v-1/r read_for d".to_owned()), "{compacted:?}");
        assert!(compacted.contains(&"v/v-1/a rewritten_as v/v-1/r".to_owned()), "{compacted:?}");
        assert!(!compacted.contains(&"v/v-1/a read_for d".to_owned()), "{compacted:?}");
        assert!(compacted.iter().all(|edge| !edge.contains("v-1/3")), "the third came later: {compacted:?}");
        assert_eq!(told(&logged().pinned(&dataset(-1, None))), Vec::<String>::new());
        let unsaid = told(&logged().pinned(&dataset(0, None)));
        assert_eq!(unsaid, [early[0], early[1], early[2], early[6]]);
    }

    #[test]
    fn all_edges_are_those_of_the_table_and_of_each_dataset_that_read_it() {
        let mut other = dataset(2, Some(3));
        other.tables = std::iter::once(("w-1".to_owned(), 7)).collect();
        let edges: Vec<Edge> = Arc::new(logged()).edges(&Arc::from([dataset(0, Some(0)), other])).collect();
        let expected = [
            "v-1/0 appended_to v-1",
            "v-1/0 read_for d",
            "v-1/0 written_as v/v-1/a",
            "v-1/1 appended_to v-1",
            "v-1/1 written_as v/v-1/b",
            "v-1/3 appended_to v-1",
            "v-1/3 written_as v/v-1/c",
            "v/v-1/a read_for d",
            "v/v-1/a rewritten_as v/v-1/r",
            "v/v-1/b rewritten_as v/v-1/r",
            "v/v-1/c part_of v-1",
            "v/v-1/r part_of v-1",
        ];
        assert_eq!(told(&edges), expected);
    }

    #[test]
    fn a_batch_is_followed_to_the_file_that_has_it_now() {
        let logged = logged();
        let id = logged.batch(&logged.chronicle.batches[1]);
        let (before, after) = (dataset(0, Some(0)), dataset(2, Some(3)));
        let expected =
            ["v-1/1 appended_to v-1", "v-1/1 read_for d", "v-1/1 written_as v/v-1/b", "v/v-1/b rewritten_as v/v-1/r"];
        assert_eq!(told(&logged.of_batch(&id, &[before, after])), expected);
    }

    #[test]
    fn batches_of_one_commit_are_told_apart() {
        let mut logged = logged();
        let shared = &mut logged.chronicle.batches[2];
        *shared = LoggedBatch { index: Some(0), rows: 2, last_sequence: 3, ..shared.clone() };
        let other = LoggedBatch { index: Some(1), rows: 1, first_sequence: 4, last_sequence: 4, ..shared.clone() };
        logged.chronicle.batches.push(other);
        // rows of both in one file, and the last of the first in one before it
        (logged.chronicle.files[3].first_sequence, logged.chronicle.files[3].rows) = (Some(3), Some(2));
        let ids = [2, 3].map(|index| logged.batch(&logged.chronicle.batches[index]));
        assert_eq!(ids.each_ref().map(|id| id.name.as_str()), ["v-1/3.0", "v-1/3.1"]);
        let expected = ["v-1/3.1 appended_to v-1", "v-1/3.1 written_as v/v-1/c"];
        assert_eq!(told(&logged.of_batch(&ids[1], &[dataset(3, Some(3))])), expected);
        let (up, _) = logged.of_file(&logged.file(&logged.chronicle.files[3]), &[]);
        assert_eq!(told(&up), ["v-1/3.0 written_as v/v-1/c", "v-1/3.1 written_as v/v-1/c"]);
        let sequences = |id: &NodeId| logged.attributes(id).map(|told| told["first_sequence"].clone());
        assert_eq!(ids.each_ref().map(sequences), [Some(json!(2)), Some(json!(4))]);
        let nobody = NodeId::new(NodeKind::Batch, "v-1/3");
        assert_eq!(logged.attributes(&nobody), None, "which of them is not said");
    }

    #[test]
    fn a_file_is_followed_both_ways() {
        let logged = logged();
        let (up, down) = logged.of_file(&logged.file(&logged.chronicle.files[2]), &[dataset(1, Some(2))]);
        let expected = [
            "v-1/0 written_as v/v-1/a",
            "v-1/1 written_as v/v-1/b",
            "v/v-1/a rewritten_as v/v-1/r",
            "v/v-1/b rewritten_as v/v-1/r",
        ];
        assert_eq!(told(&up), expected);
        assert_eq!(told(&down), ["v/v-1/r part_of v-1", "v/v-1/r read_for d"]);
    }
    /// A file was there when the log begins, at version 5; a batch of a row came after it.
    #[test]
    fn after_a_purge_no_dataset_reads_files_that_it_cannot_have_read() {
        let old = LoggedFile { added: None, ..file("old", FileOrigin::Unknown, 0, None) };
        let batch =
            LoggedBatch { version: 6, index: None, id: None, time: None, rows: 1, first_sequence: 9, last_sequence: 9 };
        let chronicle = Chronicle {
            begins_at: 5,
            is_purged: true,
            batches: vec![batch],
            files: vec![old, file("new", FileOrigin::Batch(6), 6, None)],
        };
        let logged = Logged::new(table(), chronicle);
        assert_eq!(told(&logged.pinned(&dataset(3, Some(2)))), Vec::<String>::new());
        assert_eq!(told(&logged.pinned(&dataset(8, Some(5)))), ["v/v-1/old read_for d"]);
        let told_of = |kind, name: &str| logged.attributes(&NodeId::new(kind, name)).map(Value::Object);
        let told = told_of(NodeKind::Table, "v-1").expect("attributes");
        let beginning = "before version 5 the log is gone (an erasure was purged)";
        assert_eq!(told, json!({"view": "v", "log_begins_at": 5, "gone": beginning}));
        assert_eq!(told_of(NodeKind::Table, "v-2"), None);
        let told = told_of(NodeKind::DataFile, "v/v-1/old").expect("attributes");
        assert_eq!((&told["is_origin_known"], &told["is_current"]), (&json!(false), &json!(true)));
    }
}
