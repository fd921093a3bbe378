//! What the logs of history record, as edges: batches, and the files that their rows lie or lay in.

use std::collections::{BTreeMap, HashMap, HashSet};

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

    /// `weather-1/12`.
    pub(crate) fn batch(&self, batch: &LoggedBatch) -> NodeId {
        self.batch_of(batch.version)
    }

    fn batch_of(&self, version: u64) -> NodeId {
        NodeId::new(NodeKind::Batch, format!("{}/{version}", self.table.id))
    }

    /// `weather/weather-1/data/….parquet`.
    pub(crate) fn file(&self, file: &LoggedFile) -> NodeId {
        NodeId::new(NodeKind::DataFile, format!("{}/{}/{}", self.table.view, self.table.id, file.name))
    }

    fn node(&self) -> NodeId {
        NodeId::new(NodeKind::Table, &self.table.id)
    }

    /// Everything: each batch and file, with the table, and with every one of `datasets` that read it.
    pub(crate) fn edges(&self, datasets: &[Dataset]) -> Vec<Edge> {
        let mut edges = self.batch_edges(self.chronicle.batches.iter());
        edges.extend(self.chronicle.files.iter().flat_map(|file| self.origin(file)));
        edges.extend(self.part_edges());
        for dataset in datasets {
            edges.extend(self.read_for(dataset));
        }
        edges
    }

    /// What the table is made of now.
    pub(crate) fn whole(&self) -> Vec<Edge> {
        let mut edges = self.batch_edges(self.chronicle.batches.iter());
        let now = self.chronicle.files.iter().filter(|file| file.removed.is_none());
        edges.extend(self.origins(now));
        edges.extend(self.part_edges());
        edges
    }

    /// What `dataset` read of the table: the batches up to the last `_sequence` that it saw, the files that they lay in
    /// when it was built, and where the rows of these came from.
    pub(crate) fn pinned(&self, dataset: &Dataset) -> Vec<Edge> {
        let mut edges = self.read_for(dataset);
        edges.extend(self.batch_edges(self.batches_of(dataset)));
        edges.extend(self.origins(self.files_of(dataset)));
        edges
    }

    /// What became of one batch: its table, its files, and those of `datasets` that read it.
    pub(crate) fn of_batch(&self, id: &NodeId, datasets: &[Dataset]) -> Vec<Edge> {
        let mine: Vec<&LoggedBatch> = self.chronicle.batches.iter().filter(|batch| self.batch(batch) == *id).collect();
        let mut edges = self.batch_edges(mine.iter().copied());
        for batch in mine {
            let written = |file: &&LoggedFile| file.origin == FileOrigin::Batch(batch.version);
            let written: Vec<&LoggedFile> = self.chronicle.files.iter().filter(written).collect();
            edges.extend(written.iter().flat_map(|file| self.origin(file)));
            edges.extend(self.heirs(written));
        }
        let reads = datasets.iter().flat_map(|dataset| self.read_for(dataset));
        edges.extend(reads.filter(|edge| edge.from == *id));
        edges
    }

    /// What became of one file, and where its rows came from.
    pub(crate) fn of_file(&self, id: &NodeId, datasets: &[Dataset]) -> (Vec<Edge>, Vec<Edge>) {
        let mine: Vec<&LoggedFile> = self.chronicle.files.iter().filter(|file| self.file(file) == *id).collect();
        let mut down = self.heirs(mine.clone());
        let reads = datasets.iter().flat_map(|dataset| self.read_for(dataset));
        down.extend(reads.filter(|edge| edge.from == *id));
        down.extend(self.part_edges().into_iter().filter(|edge| edge.from == *id));
        (self.origins(mine.into_iter()), down)
    }

    fn batches_of(&self, dataset: &Dataset) -> impl Iterator<Item = &LoggedBatch> {
        let last = dataset.tables.get(&self.table.id).copied().unwrap_or(-1);
        self.chronicle.batches.iter().filter(move |batch| batch.first_sequence <= last)
    }

    /// The files that `dataset` read: those of the version of the log that it was built from. Where the manifest does not
    /// say, as in those of format 0, the fresh files of its batches.
    fn files_of(&self, dataset: &Dataset) -> impl Iterator<Item = &LoggedFile> {
        let known = dataset.tables.contains_key(&self.table.id);
        let version = dataset.build.delta_versions.get(&self.table.id).copied().flatten();
        let batches: HashSet<u64> = self.batches_of(dataset).map(|batch| batch.version).collect();
        self.chronicle.files.iter().filter(move |file| match (version, &file.origin) {
            (Some(version), _) => known && self.chronicle.was_part_at(file, version),
            (None, FileOrigin::Batch(batch)) => batches.contains(batch),
            (None, _) => false,
        })
    }

    fn read_for(&self, dataset: &Dataset) -> Vec<Edge> {
        let id = NodeId::new(NodeKind::Dataset, &dataset.id);
        let batches = self.batches_of(dataset).map(|batch| self.batch(batch));
        let files = self.files_of(dataset).map(|file| self.file(file));
        batches.chain(files).map(|from| Edge::new(from, id.clone(), Relation::ReadFor)).collect()
    }

    fn batch_edges<'a>(&self, batches: impl Iterator<Item = &'a LoggedBatch>) -> Vec<Edge> {
        batches.map(|batch| Edge::new(self.batch(batch), self.node(), Relation::AppendedTo)).collect()
    }

    fn part_edges(&self) -> Vec<Edge> {
        let parts = self.chronicle.files.iter().filter(|file| file.removed.is_none());
        parts.map(|file| Edge::new(self.file(file), self.node(), Relation::PartOf)).collect()
    }

    /// What the rows of `file` came from.
    fn origin(&self, file: &LoggedFile) -> Vec<Edge> {
        match &file.origin {
            FileOrigin::Batch(version) => {
                vec![Edge::new(self.batch_of(*version), self.file(file), Relation::WrittenAs)]
            }
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
                inputs.iter().for_each(|input| copies.entry(input).or_default().push(file));
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

    /// Where the telling begins, where it does so late: entries of the log that are gone are told of by nothing.
    pub(crate) fn beginning(&self) -> Option<String> {
        let Chronicle { begins_at, is_purged, .. } = self.chronicle;
        let why = if is_purged { "an erasure was purged" } else { "another program deleted it" };
        (begins_at > 0).then(|| format!("before version {begins_at} the log is gone ({why})"))
    }

    /// What is to be told of a batch or file of this table, or of the table itself; nothing of another's.
    pub(crate) fn attributes(&self, id: &NodeId) -> Option<Map<String, Value>> {
        let told = match id.kind {
            NodeKind::Batch => {
                let version: u64 = id.name.strip_prefix(&format!("{}/", self.table.id))?.parse().ok()?;
                let batches = &self.chronicle.batches;
                let batch = &batches[batches.binary_search_by_key(&version, |batch| batch.version).ok()?];
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
                let name = id.name.strip_prefix(&format!("{}/{}/", self.table.view, self.table.id))?;
                let file = self.named(name)?;
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

#[cfg(test)]
mod tests {
    use hitherto_core::Created;

    use super::*;

    fn file(name: &str, origin: FileOrigin, added: u64, removed: Option<u64>) -> LoggedFile {
        LoggedFile { name: name.to_owned(), rows: Some(1), size_bytes: 1, origin, added: Some(added), removed }
    }

    fn table() -> Table {
        let view = "v".parse().expect("a name");
        Table { id: "v-1".to_owned(), view, keys: Vec::new(), created: Created::Absent, columns: Vec::new() }
    }

    /// Three batches of a row each; the first two were compacted at version 2, before the third.
    fn logged() -> Logged {
        let batch = |version, sequence| LoggedBatch {
            version,
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
    fn a_batch_is_followed_to_the_file_that_has_it_now() {
        let logged = logged();
        let id = logged.batch(&logged.chronicle.batches[1]);
        let (before, after) = (dataset(0, Some(0)), dataset(2, Some(3)));
        let expected =
            ["v-1/1 appended_to v-1", "v-1/1 read_for d", "v-1/1 written_as v/v-1/b", "v/v-1/b rewritten_as v/v-1/r"];
        assert_eq!(told(&logged.of_batch(&id, &[before, after])), expected);
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
        let batch = LoggedBatch { version: 6, id: None, time: None, rows: 1, first_sequence: 9, last_sequence: 9 };
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
