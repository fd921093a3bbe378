//! Every case of the contract through the real path: definitions, ingest batch by batch, training sets in both modes.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Int64Type;
use hitherto_core::{Mode, NewTables, Timestamp};
use hitherto_engine::{Clock, Destination, Engine, Spine, TrainingSetRequest};
use hitherto_offline::input::{ExtraColumns, Input, Location, Options};
use hitherto_offline::{BatchId, OfflineStore, OutputLocation};
use serde_json::Value;

use crate::support::Hitherto;
use crate::support::workspace::read;

const MODES: [(Mode, &str); 2] = [(Mode::Knowledge, "knowledge"), (Mode::Event, "event")];

/// Cases that go through the binary too: composite keys, ties between batches, tombstones, a delay without created times.
const BY_COMMAND: [&str; 4] = ["keys_do_not_collide", "tombstone_tie", "tombstone_and_ttl", "source_delay"];

#[tokio::test]
async fn every_case_has_its_answers_in_process() -> Result<()> {
    let cases = cases();
    assert_eq!(cases.len(), 24);
    for case in &cases {
        let place = Hitherto::new();
        case.write(&place);
        let engine = engine(&place).await?;
        let text = case.definitions();
        engine.apply(&[("case.yaml".to_owned(), text)], NewTables::Refuse).await?;
        for batch in 0..case.batches().len() {
            let id = BatchId::Given(format!("batch-{batch}"));
            let input = input(&place, &format!("batch-{batch}.parquet")).await?;
            engine.ingest(&"v".parse()?, &input, id, ExtraColumns::Refuse, Destination::Offline, |_| ()).await?;
        }
        for (mode, name) in MODES {
            let spine = Spine::Input(input(&place, "spine.parquet").await?);
            let out = OutputLocation::file(&place.path(&format!("{name}.parquet")))?;
            let wanted = TrainingSetRequest { mode, ..TrainingSetRequest::new("s".parse()?, spine, out) };
            engine.training_set(&wanted, |_| ()).await?;
            case.check(&place, name);
        }
    }
    Ok(())
}

#[test]
fn cases_have_their_answers_through_the_binary() {
    let cases = cases();
    for name in BY_COMMAND {
        let case = cases.iter().find(|case| case.name() == name).expect("a case of that name");
        let place = Hitherto::new();
        case.write(&place);
        place.write("case.yaml", case.definitions());
        place.ok("apply -f case.yaml");
        for batch in 0..case.batches().len() {
            place.ok(&format!("ingest v batch-{batch}.parquet --batch-id batch-{batch}"));
        }
        for (_, mode) in MODES {
            let out = format!("--out {mode}.parquet --mode {mode}");
            place.ok(&format!("training-set --feature-set s --spine spine.parquet {out}"));
            case.check(&place, mode);
        }
    }
}

struct Case(Value);

impl Case {
    fn name(&self) -> &str {
        self.0["name"].as_str().expect("a name")
    }

    fn batches(&self) -> &[Value] {
        self.0["batches"].as_array().expect("batches")
    }

    /// Entity key to type.
    fn keys(&self) -> Vec<(&str, &str)> {
        let keys = self.0["view"]["join_keys"].as_object().expect("keys");
        keys.iter().map(|(name, key_type)| (name.as_str(), key_type.as_str().expect("a type"))).collect()
    }

    fn has_created(&self) -> bool {
        self.0["view"]["created_timestamp"].as_bool().expect("whether there is a created column")
    }

    fn definitions(&self) -> String {
        let view = &self.0["view"];
        assert_eq!(view["features"], serde_json::json!({"f": "int64"}));
        let keys: Vec<String> = self.keys().iter().map(|(name, key_type)| format!("{name}: {key_type}")).collect();
        let created = if self.has_created() { "created_timestamp: created_timestamp\n" } else { "" };
        let ttl = view["ttl_us"].as_i64().map(|ttl| format!("ttl: {ttl}us\n")).unwrap_or_default();
        let delay = view["source_delay_us"].as_i64().expect("a delay");
        format!(
            "kind: entity\nname: e\njoin_keys: {{{}}}\n---\nkind: feature_view\nname: v\nentity: e\n{created}{ttl}\
             source_delay: {delay}us\nfeatures: {{f: int64}}\n---\nkind: feature_set\nname: s\nfeatures: [v:f]\n",
            keys.join(", ")
        )
    }

    /// Write each batch and the spine as a Parquet file; the spine's rows are numbered.
    fn write(&self, place: &Hitherto) {
        for (index, batch) in self.batches().iter().enumerate() {
            let rows = batch.as_array().expect("rows");
            let mut columns = self.key_columns(rows);
            columns.push(("event_timestamp".to_owned(), times(rows, "event_timestamp")));
            if self.has_created() {
                columns.push(("created_timestamp".to_owned(), times(rows, "created_timestamp")));
            }
            columns.push(("f".to_owned(), Arc::new(integers(rows, "f"))));
            if rows.iter().any(|row| row.get("_deleted").is_some()) {
                let deleted: BooleanArray = rows.iter().map(|row| row["_deleted"].as_bool()).collect();
                columns.push(("_deleted".to_owned(), Arc::new(deleted)));
            }
            place.write_parquet(&format!("batch-{index}.parquet"), &batch_of(columns));
        }
        let rows = self.0["spine"].as_array().expect("a spine");
        let mut columns = self.key_columns(rows);
        columns.push(("event_timestamp".to_owned(), times(rows, "event_timestamp")));
        columns.push(("row".to_owned(), Arc::new(Int64Array::from_iter_values(0..rows.len() as i64))));
        place.write_parquet("spine.parquet", &batch_of(columns));
    }

    fn key_columns(&self, rows: &[Value]) -> Vec<(String, ArrayRef)> {
        let column = |(name, key_type): (&str, &str)| -> (String, ArrayRef) {
            let array: ArrayRef = match key_type {
                "int64" => Arc::new(integers(rows, name)),
                "string" => Arc::new(rows.iter().map(|row| row[name].as_str()).collect::<StringArray>()),
                other => panic!("{}: a key of type {other}", self.name()),
            };
            (name.to_owned(), array)
        };
        self.keys().into_iter().map(column).collect()
    }

    /// The training set has the spine's rows, untouched and in order, and the answers expected.
    fn check(&self, place: &Hitherto, mode: &str) {
        let spine = place.read_parquet("spine.parquet");
        let made = place.read_parquet(&format!("{mode}.parquet"));
        let width = spine.num_columns();
        assert_eq!(made.num_columns(), width + 1, "case {} in mode {mode}", self.name());
        for (index, field) in spine.schema().fields().iter().enumerate() {
            assert_eq!(made.schema().field(index).name(), field.name(), "case {} in mode {mode}", self.name());
            assert_eq!(
                made.column(index),
                spine.column(index),
                "case {} in mode {mode}: {}",
                self.name(),
                field.name()
            );
        }
        assert_eq!(made.schema().field(width).name(), "v__f");
        let answers = made.column(width).as_primitive::<Int64Type>();
        let answers: Vec<Value> = answers.iter().map(|answer| answer.map_or(Value::Null, Value::from)).collect();
        assert_eq!(Value::Array(answers), self.0["expect"][mode], "case {} in mode {mode}", self.name());
    }
}

fn cases() -> Vec<Case> {
    let cases: Vec<Value> = serde_json::from_str(&read("tests/conformance/cases.json")).expect("JSON");
    cases.into_iter().map(Case).collect()
}

async fn engine(place: &Hitherto) -> Result<Engine> {
    let project = "default".parse()?;
    let home = place.folder().display();
    let registry = hitherto_registry::open(&format!("sqlite://{home}/registry.db"), &project).await?;
    let offline = OfflineStore::open(&format!("file://{home}/offline"), [("", ""); 0])?;
    Ok(Engine::new(project, registry, offline, None, Clock::System))
}

async fn input(place: &Hitherto, file: &str) -> Result<Input> {
    let location = Location::Local(place.path(file).display().to_string());
    Ok(Input::open([location], &Options::default()).await?)
}

fn integers(rows: &[Value], name: &str) -> Int64Array {
    rows.iter().map(|row| row[name].as_i64()).collect()
}

fn times(rows: &[Value], name: &str) -> ArrayRef {
    let time = |row: &Value| -> Timestamp { row[name].as_str().expect("a time").parse().expect("a time") };
    let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| time(row).0));
    assert_eq!(times.null_count(), 0);
    Arc::new(times.with_timezone("UTC"))
}

fn batch_of(columns: Vec<(String, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .expect("columns of one length")
}
