//! Real files: sources, the offline store, the training set.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray, TimestampNanosecondArray,
};
use hitherto_core::{Name, NewTables, Timestamp};
use hitherto_engine::{Clock, Destination, Engine, Existing, Spine, TrainingSetRequest};
use hitherto_offline::input::{ExtraColumns, Input, Location, Options};
use hitherto_offline::{BatchId, OfflineStore, OutputLocation, array_of};
use tempfile::TempDir;

use super::case::{Case, CreatedIn, Member, Precision, Row, View};
use super::expected::Committed;
use crate::support::{read_parquet, write_parquet};

/// All commits are of this moment.
const NOW: i64 = 9;

/// A folder with one project in it.
pub(super) struct Place {
    folder: TempDir,
    engine: Engine,
}

impl Place {
    /// The definitions of `case` applied.
    pub(super) async fn new(case: &Case) -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a temporary folder");
        let project: Name = "default".parse().expect("a name");
        let at = folder.path().display();
        let registry = hitherto_registry::open(&format!("sqlite://{at}/registry.db"), &project).await;
        let offline = OfflineStore::open(&format!("file://{at}/offline"), [("", ""); 0]);
        let clock = Clock::Frozen(Timestamp(NOW));
        let engine = Engine::new(project, registry.expect("a registry"), offline.expect("a store"), None, clock);
        let definitions = definitions(case);
        let applied = engine.apply(&[("case.yaml".to_owned(), definitions.clone())], NewTables::Refuse).await;
        applied.unwrap_or_else(|error| panic!("{error}\n{definitions}"));
        Self { folder, engine }
    }

    /// The definitions and the rows of `case`.
    pub(super) async fn of(case: &Case) -> Self {
        let place = Self::new(case).await;
        place.ingest(case).await;
        place
    }

    /// Every batch of every view from files; the rows as they were committed.
    pub(super) async fn ingest(&self, case: &Case) -> Vec<Committed> {
        let mut committed = Vec::new();
        for (index, view) in case.views.iter().enumerate() {
            let mut rows = Committed::new();
            for (number, files) in view.batches.iter().enumerate() {
                let name = format!("{index}-{number}");
                let first = self.ingest_batch(&name, &format!("v{index}"), view, files).await;
                let sent = files.iter().flatten();
                rows.extend((first..).zip(sent).map(|(sequence, row)| (ruled(view, row, sequence), row.clone())));
            }
            committed.push(rows);
        }
        committed
    }

    /// The `_sequence` of the first row.
    async fn ingest_batch(&self, name: &str, view: &str, definition: &View, files: &[Vec<Row>]) -> i64 {
        let mut locations = Vec::new();
        for (number, rows) in files.iter().enumerate() {
            let path = self.folder.path().join(format!("{name}-{number}.parquet"));
            write_parquet(&path, &source(definition, rows));
            locations.push(Location::Local(path.display().to_string()));
        }
        let input = Input::open(locations, &Options::default()).await.expect("files that can be read");
        let batch = BatchId::Given(name.to_owned());
        let view = view.parse().expect("a name");
        let ingest = self.engine.ingest(&view, &input, batch, ExtraColumns::Refuse, Destination::Offline, |_| ());
        let done = ingest.await.expect("rows that fit");
        let count = files.iter().map(Vec::len).sum::<usize>() as u64;
        assert_eq!(done.commit.as_ref().map_or(0, |commit| commit.rows), count);
        let available = |row: &Row| definition.reading().available_at(&ruled(definition, row, 0));
        let past = files.iter().flatten().filter(|row| available(row) < Timestamp(NOW)).count() as u64;
        assert_eq!(done.backdated, past, "rows that change the past");
        done.commit.map_or(0, |commit| commit.first_sequence)
    }

    /// The training set of `case`, read from its file.
    pub(super) async fn training_set(&self, case: &Case) -> RecordBatch {
        let path = self.folder.path().join("training.parquet");
        let out = OutputLocation::file(&path).expect("a file");
        let wanted = TrainingSetRequest {
            mode: case.mode,
            evidence: case.evidence,
            existing: Existing::Replace,
            ..TrainingSetRequest::new("wanted".parse().expect("a name"), Spine::Batches(spine(case)), out)
        };
        let dataset = self.engine.training_set(&wanted, |_| ()).await.expect("a training set");
        let built = read_parquet(&path);
        assert_eq!(dataset.rows, built.num_rows() as u64);
        built
    }
}

/// The spine's columns: keys, times, and a label that tells its rows apart.
pub(super) fn spine(case: &Case) -> RecordBatch {
    let rows = &case.spine;
    let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
    for (index, name) in ["a", "other_a"].into_iter().enumerate() {
        columns.push((name, Arc::new(rows.iter().map(|row| row.a[index]).collect::<Int64Array>())));
    }
    for (index, name) in ["b", "other_b"].into_iter().enumerate() {
        columns.push((name, Arc::new(rows.iter().map(|row| row.b[index]).collect::<StringArray>())));
    }
    let times: ArrayRef = match case.precision {
        Precision::Microseconds => micros(rows.iter().map(|row| row.t)),
        Precision::Nanoseconds => {
            let nanos = rows.iter().map(|row| row.t * 1000 + row.beyond);
            Arc::new(TimestampNanosecondArray::from_iter_values(nanos).with_timezone("UTC"))
        }
    };
    columns.push(("event_timestamp", times));
    columns.push(("label", Arc::new((0..rows.len() as i64).collect::<Int64Array>())));
    batch(columns)
}

fn source(view: &View, rows: &[Row]) -> RecordBatch {
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    if view.keys.left() {
        columns.push((view.source("a"), Arc::new(rows.iter().map(|row| row.a).collect::<Int64Array>())));
    }
    if view.keys.right() {
        columns.push((view.source("b"), Arc::new(rows.iter().map(|row| row.b).collect::<StringArray>())));
    }
    columns.push((view.source("event_timestamp"), micros(rows.iter().map(|row| row.event))));
    if view.created == CreatedIn::Column {
        columns.push((view.source("created_timestamp"), micros(rows.iter().map(|row| row.created))));
    }
    for (index, value_type) in view.features.iter().enumerate() {
        let values: Vec<_> = rows.iter().map(|row| row.value(index, value_type)).collect();
        let values = array_of(value_type, &values).expect("values of the type");
        columns.push((view.source(&format!("f{index}")), values));
    }
    columns.push(("_deleted".to_owned(), Arc::new(rows.iter().map(|row| row.deleted).collect::<BooleanArray>())));
    batch(columns)
}

fn ruled(view: &View, row: &Row, sequence: i64) -> hitherto_core::Row {
    let created = match view.created {
        CreatedIn::Nothing => None,
        CreatedIn::Column => Some(Timestamp(row.created)),
        CreatedIn::Commit => Some(Timestamp(NOW)),
    };
    hitherto_core::Row { event: Timestamp(row.event), created, sequence, deleted: row.deleted == Some(true) }
}

fn definitions(case: &Case) -> String {
    let mut text = "kind: entity\nname: left\njoin_keys: {a: int64}\n---\n\
                    kind: entity\nname: right\njoin_keys: {b: string}\n"
        .to_owned();
    for (index, view) in case.views.iter().enumerate() {
        text += &view_definition(&format!("v{index}"), view);
    }
    text += "---\nkind: feature_set\nname: wanted\nfeatures:\n";
    for member in case.members() {
        text += &member_definition(case, member);
    }
    text
}

fn view_definition(name: &str, view: &View) -> String {
    let (left, right) = (view.keys.left(), view.keys.right());
    let entities: Vec<&str> = left.then_some("left").into_iter().chain(right.then_some("right")).collect();
    let keys = left.then_some("a").into_iter().chain(right.then_some("b"));
    let keys: Vec<String> = keys.map(|key| format!("{key}: \"{}\"", view.source(key))).collect();
    let created = match view.created {
        CreatedIn::Nothing => String::new(),
        CreatedIn::Column => format!("created_timestamp: \"{}\"\n", view.source("created_timestamp")),
        CreatedIn::Commit => "created_timestamp: _ingested_at\n".to_owned(),
    };
    let features = view.features.iter().enumerate().map(|(index, value_type)| {
        let name = format!("f{index}");
        format!("  {name}: {{type: \"{value_type}\", column: \"{}\"}}\n", view.source(&name))
    });
    format!(
        "---\nkind: feature_view\nname: {name}\nentities: [{}]\njoin_keys: {{{}}}\nevent_timestamp: \"{}\"\n\
         {created}source_delay: {}us\n{}features:\n{}",
        entities.join(", "),
        keys.join(", "),
        view.source("event_timestamp"),
        view.delay,
        view.ttl.map(|ttl| format!("ttl: {ttl}us\n")).unwrap_or_default(),
        features.collect::<String>()
    )
}

fn member_definition(case: &Case, member: Member) -> String {
    let count = case.views.len();
    match member {
        Member::All(view) => format!("  - \"v{}:*\"\n", view % count),
        Member::One(view, feature) => {
            let view = view % count;
            let feature = feature % case.views[view].features.len();
            format!("  - {{ref: \"v{view}:f{feature}\", as: r{view}_{feature}}}\n")
        }
        Member::Aliased(view, left, right) => {
            let view = view % count;
            let keys = case.views[view].keys;
            let left = (left && keys.left()).then_some("a: other_a");
            let right = (right && keys.right()).then_some("b: other_b");
            let mapping: Vec<&str> = left.into_iter().chain(right).collect();
            format!("  - {{view: v{view}, as: w{view}, join_keys: {{{}}}}}\n", mapping.join(", "))
        }
    }
}

fn micros(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC"))
}

fn batch<N: AsRef<str>>(columns: Vec<(N, ArrayRef)>) -> RecordBatch {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
}
