//! Every message, there and back.

use std::collections::BTreeMap;

use hitherto_core::{
    Action, Alias, Build, Change, Dataset, DatasetView, Definition, EntityVersion, KeyType, Mode, ModelVersion, Name,
    NewTables, Output, Provenance, ResolvedSet, SetVersion, Share, Span, SpineKey, Split, Status, Timestamp, Value,
    ValueType, VersionedName, ViewKey, ViewUse, ViewVersion, parse_definitions,
};
use prost::Message;

use crate::{
    AnswerFormat, Column, Consumer, Definitions, Destination, Error, EventTimes, ExpectedAlias, FeatureColumn,
    Features, GetFeatures, ModelPin, MoveAlias, NewTrainingSet, Planned, Push, Pushed, RegisterModel, Spine,
    ViewAnswer, Watermark, v1,
};

/// Sends `$value` as the message `$wire`, and reads it back as `$type`.
macro_rules! assert_survives {
    ($value:expr, $wire:ty, $type:ty) => {{
        let value: $type = $value;
        let message: $wire = value.clone().try_into().expect("it can be sent");
        let bytes = message.encode_to_vec();
        let read: $type =
            <$wire>::decode(bytes.as_slice()).expect("what was encoded").try_into().expect("it can be read");
        assert_eq!(read, value);
    }};
}

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn versioned(text: &str, version: u32) -> VersionedName {
    VersionedName { name: name(text), version }
}

fn keys() -> Column {
    Column::new("tailnum", ValueType::String, vec![Value::String("N14228".into()), Value::Null])
}

fn features() -> Features {
    let lag = Span::from_micros(10).expect("not negative");
    let watermark = Watermark { sequence: 7, clock: Timestamp(90), lag, is_stale: true };
    Features {
        columns: vec![
            FeatureColumn {
                name: "legs__delay".to_owned(),
                value_type: ValueType::Float32,
                values: vec![Value::Float32(1.5), Value::Null],
                statuses: vec![Status::Present, Status::OutsideMaxAge],
                view: Some(0),
            },
            FeatureColumn {
                name: "is_late".to_owned(),
                value_type: ValueType::Bool,
                values: vec![Value::Null, Value::Bool(false)],
                statuses: vec![Status::NullValue, Status::Present],
                view: None,
            },
        ],
        views: vec![ViewAnswer {
            view: versioned("aircraft_last_leg", 2),
            alias: name("legs"),
            event_times: Some(vec![Some(Timestamp(-1)), None]),
            watermark: Some(watermark),
        }],
        feature_set: versioned("late_arrival", 3),
        feature_set_hash: "ab".repeat(32),
        model: Some(ModelPin { version: versioned("late", 4), alias: Some(name("champion")) }),
        clock: Timestamp(100),
        rows: 2,
        arrow: None,
    }
}

#[test]
fn reads_of_features_survive_the_wire() {
    let wanted = GetFeatures {
        consumer: Consumer::Model("late@champion".parse().expect("a selector")),
        entities: vec![keys()],
        request_fields: vec![Column::new("paid", ValueType::Float64, vec![Value::Float64(2.0), Value::Null])],
        event_times: EventTimes::Omit,
        format: AnswerFormat::Arrow,
        routing_key: Some("session 7".to_owned()),
    };
    assert_survives!(wanted, v1::GetFeaturesRequest, GetFeatures);
    assert_survives!(features(), v1::GetFeaturesResponse, Features);
    let mut bare = features();
    bare.model = None;
    bare.views[0].event_times = None;
    bare.views[0].watermark = None;
    assert_survives!(bare, v1::GetFeaturesResponse, Features);
    let mut as_arrow = features();
    as_arrow.arrow = Some(vec![255, 0]);
    as_arrow.columns.iter_mut().for_each(|column| column.values.clear());
    assert_survives!(as_arrow, v1::GetFeaturesResponse, Features);
}

#[test]
fn reads_that_say_too_little_are_refused() {
    let consumer = Some(v1::get_features_request::Consumer::FeatureSet("late_arrival@2".to_owned()));
    let entities = vec![v1::Column::try_from(keys()).expect("texts")];
    let refusal = |sent: v1::GetFeaturesRequest| GetFeatures::try_from(sent).expect_err("must be refused");
    let sent = v1::GetFeaturesRequest { entities: entities.clone(), ..Default::default() };
    assert_eq!(refusal(sent), Error::Absent { field: "feature_set or model" });
    let sent = v1::GetFeaturesRequest { consumer: consumer.clone(), ..Default::default() };
    assert_eq!(refusal(sent), Error::Absent { field: "entities" });
    let sent = v1::GetFeaturesRequest { consumer, entities: entities.clone(), ..Default::default() };
    let read = GetFeatures::try_from(sent.clone()).expect("all that must be said");
    assert_eq!((read.event_times, read.row_count()), (EventTimes::Include, Ok(2)));
    assert_eq!(read.format, AnswerFormat::Columns);
    assert_eq!(refusal(v1::GetFeaturesRequest { format: 7, ..sent.clone() }).field(), "format");
    let sent = v1::GetFeaturesRequest { routing_key: Some(String::new()), ..sent };
    assert_eq!(GetFeatures::try_from(sent).expect("all that must be said").routing_key, None, "empty is absent");
    let consumer = Some(v1::get_features_request::Consumer::Model("late@".to_owned()));
    let error = refusal(v1::GetFeaturesRequest { consumer, entities, ..Default::default() });
    assert_eq!(error.field(), "model");
}

#[test]
fn requests_with_more_values_than_memory_is_meant_for_are_refused() {
    let packed =
        |kind| v1::Column { name: "x".to_owned(), values: Some(v1::Values { kind: Some(kind) }), ..Default::default() };
    let bools = |rows| packed(v1::values::Kind::Bools(v1::Bools { values: vec![true; rows] }));
    let nulls = |rows| v1::Column {
        name: "x".to_owned(),
        r#type: "bool".to_owned(),
        values: None,
        validity: vec![false; rows],
    };
    let vectors = packed(v1::values::Kind::Vectors(v1::Vectors { length: 30, items: vec![0.0; 3_000_000] }));
    let read = |entities: Vec<v1::Column>| {
        let consumer = Some(v1::get_features_request::Consumer::FeatureSet("late_arrival@2".to_owned()));
        GetFeatures::try_from(v1::GetFeaturesRequest { consumer, entities, ..Default::default() })
    };
    assert!(read(vec![bools(100_000)]).is_ok());
    let refused = |error: Error| error.to_string();
    let many =
        "the field 'entities' is not valid: 100001 rows are too many: send them in several requests of at most 100000";
    assert_eq!(refused(read(vec![bools(100_001)]).expect_err("too many")), many);
    assert_eq!(refused(read(vec![nulls(100_001)]).expect_err("too many")), many);
    let wide = refused(read(vec![bools(90_000); 30]).expect_err("too wide"));
    assert!(wide.contains("2700000 values are too many"), "{wide}");
    let wide = refused(read(vec![vectors]).expect_err("too wide"));
    assert!(wide.contains("3100000 values are too many"), "{wide}");
    let push = |columns| Push::try_from(v1::PushRequest { view: "legs".to_owned(), columns, ..Default::default() });
    assert!(push(vec![bools(100_001)]).is_ok());
    let many = refused(push(vec![bools(1_000_001)]).expect_err("too many"));
    assert!(many.contains("'columns' is not valid: 1000001 rows are too many"), "{many}");
}

#[test]
fn answers_that_contradict_themselves_are_refused() {
    let refusal = |change: fn(&mut v1::GetFeaturesResponse)| {
        let mut sent = v1::GetFeaturesResponse::try_from(features()).expect("it can be sent");
        change(&mut sent);
        Features::try_from(sent).expect_err("must be refused").to_string()
    };
    assert!(refusal(|sent| sent.rows = 3).contains("has 2 of 3 rows"));
    assert!(refusal(|sent| sent.columns[0].view = Some(1)).contains("is of view 1, and there are 1"));
    assert!(refusal(|sent| sent.columns[0].statuses.truncate(1)).contains("has 2 values, but 1 statuses"));
    assert!(refusal(|sent| sent.arrow = Some(Vec::new())).contains("has 2 values, and should have 0"));
    let no_values = |sent: &mut v1::GetFeaturesResponse| {
        let column = sent.columns[0].column.as_mut().expect("a column");
        (column.values, column.validity) = (None, Vec::new());
    };
    assert!(refusal(no_values).contains("has 0 values, and should have 2"));
    assert!(refusal(|sent| sent.columns[0].statuses[0] = 9).contains("9 is not known"));
    assert!(refusal(|sent| sent.columns[0].statuses[0] = 3).contains("with the status NotFound"));
    assert!(refusal(|sent| sent.views[0].event_times_us.truncate(1)).contains("event_time_validity"));
    assert!(refusal(|sent| sent.feature_set = None).contains("'feature_set' is not set"));
}

#[test]
fn statuses_and_modes_survive_the_wire() {
    for status in [Status::Present, Status::NullValue, Status::NotFound, Status::OutsideMaxAge] {
        assert_eq!(v1::Status::from(status).try_into(), Ok(status));
    }
    assert!(Status::try_from(v1::Status::Unspecified).is_err());
    for mode in [Mode::Knowledge, Mode::Event] {
        assert_eq!(Mode::from(v1::Mode::from(mode)), mode);
    }
    assert_eq!(Mode::from(v1::Mode::Unspecified), Mode::Knowledge);
    // the contract's words are what others read
    assert_eq!(v1::Status::OutsideMaxAge.as_str_name(), "OUTSIDE_MAX_AGE");
}

#[test]
fn pushes_survive_the_wire() {
    for destination in [Destination::Offline, Destination::Both] {
        let batch_id = Some("july".to_owned());
        let push = Push { view: name("legs"), columns: vec![keys()], batch_id, destination };
        assert_survives!(push, v1::PushRequest, Push);
    }
    let pushed = Pushed {
        rows: 5,
        already: false,
        first_sequence: Some(0),
        last_sequence: Some(4),
        online_rows: 3,
        null_key_rows: 1,
        backdated_rows: 2,
    };
    assert_survives!(pushed, v1::PushResponse, Pushed);
    let columns = vec![v1::Column::try_from(keys()).expect("texts")];
    let sent = v1::PushRequest { view: "legs".to_owned(), columns, ..Default::default() };
    let read = Push::try_from(sent).expect("all that must be said");
    assert_eq!((read.destination, read.batch_id), (Destination::Both, None));
}

#[test]
fn plans_survive_the_wire() {
    let files = vec![("a.yaml".to_owned(), "kind: entity".to_owned())];
    for new_tables in [NewTables::Refuse, NewTables::Allow] {
        assert_survives!(Definitions { files: files.clone(), new_tables }, v1::PlanRequest, Definitions);
        assert_survives!(Definitions { files: files.clone(), new_tables }, v1::ApplyRequest, Definitions);
    }
    let kinds = ["entity", "feature_view", "feature_set", "feature_view", "entity"];
    let actions = [Action::Create, Action::NewVersion, Action::NewTable, Action::Notes, Action::Unchanged];
    let change = |(kind, action)| Change {
        action,
        kind,
        name: name("legs"),
        version: 2,
        previous: (action != Action::Create).then_some(1),
        new_table: (action == Action::NewTable).then(|| "legs-2".to_owned()),
        details: vec!["ttl 1d -> 2d".to_owned()],
    };
    let planned = Planned { changes: kinds.into_iter().zip(actions).map(change).collect(), revision: 9 };
    assert_survives!(planned.clone(), v1::PlanResponse, Planned);
    assert_survives!(planned, v1::ApplyResponse, Planned);
    assert!(Definitions::try_from(v1::PlanRequest::default()).is_err());
}

const DEFINITIONS: &str = "
kind: entity
name: aircraft
join_keys: {tailnum: string, leg: int32}
description: a tail number
---
kind: feature_view
name: last_leg
entity: aircraft
join_keys: {tailnum: tail}
created_timestamp: known_at
source_delay: 10m
ttl: 2d
features:
  delay: {type: float32, column: DepDelay, description: minutes, tags: {owner: ops}}
  embedding: 'vector<float32, 8>'
---
kind: feature_set
name: late
features:
  - {ref: 'last_leg@1:delay', as: wait}
  - last_leg:*
  - {view: last_leg, as: twin, join_keys: {tailnum: other}}
request: {paid: float64}
transforms:
  - {name: is_late, expr: 'wait > 15'}
";

#[test]
fn applied_definitions_survive_the_wire() {
    let files = vec![("a.yaml".to_owned(), DEFINITIONS.to_owned())];
    let definitions = parse_definitions(&files).expect("definitions").into_iter().map(|located| located.definition);
    let key = |key: &str, key_type| ViewKey { name: name(key), key_type, column: key.to_owned() };
    let mut seen = 0;
    for definition in definitions {
        seen += 1;
        match definition {
            Definition::Entity(definition) => {
                assert_survives!(EntityVersion { version: 1, definition }, v1::Entity, EntityVersion);
            }
            Definition::FeatureView(definition) => {
                assert_eq!(definition.notes, hitherto_core::Notes::default());
                let keys = vec![key("leg", KeyType::Int32), key("tailnum", KeyType::String)];
                let view = ViewVersion { version: 2, table: "last_leg-1".to_owned(), keys, definition };
                assert_survives!(view, v1::FeatureView, ViewVersion);
            }
            Definition::FeatureSet(definition) => {
                let resolved = ResolvedSet {
                    uses: vec![ViewUse {
                        alias: name("last_leg"),
                        view: versioned("last_leg", 1),
                        table: "last_leg-1".to_owned(),
                        source_delay: "10m".parse().expect("a duration"),
                        ttl: None,
                        keys: vec![SpineKey {
                            name: name("tailnum"),
                            key_type: KeyType::String,
                            spine_column: "tailnum".to_owned(),
                        }],
                    }],
                    outputs: vec![Output {
                        name: "wait".to_owned(),
                        view_use: 0,
                        feature: name("delay"),
                        value_type: ValueType::Float32,
                    }],
                    request: definition.request.clone(),
                    transforms: definition.transforms.clone(),
                };
                let set = SetVersion { version: 1, definition, resolved, hash: "cd".repeat(32) };
                let mut beyond = v1::FeatureSet::from(set.clone());
                beyond.outputs[0].view_use = 1;
                assert!(SetVersion::try_from(beyond).is_err(), "an output of a use that is not there");
                assert_survives!(set, v1::FeatureSet, SetVersion);
            }
            Definition::Gate(gate) => panic!("the file has no gate '{}'", gate.name),
        }
    }
    assert_eq!(seen, 3);
}

#[test]
fn models_survive_the_wire() {
    let tags = BTreeMap::from([("run".to_owned(), "42".to_owned())]);
    let wanted = RegisterModel {
        name: name("late"),
        feature_set: Some("late_arrival@2".parse().expect("a selector")),
        feature_set_hash: None,
        dataset: Some("ef".repeat(32)),
        tags: tags.clone(),
    };
    assert_survives!(wanted, v1::RegisterModelRequest, RegisterModel);
    let nothing = v1::RegisterModelRequest { name: "late".to_owned(), ..Default::default() };
    assert!(RegisterModel::try_from(nothing).is_err(), "a model of nothing");
    let model = ModelVersion {
        name: name("late"),
        version: 3,
        feature_set: versioned("late_arrival", 2),
        feature_set_hash: "ab".repeat(32),
        dataset: None,
        provenance: Provenance::default(),
        tags,
        registered_at: Timestamp(-5),
    };
    assert_survives!(model, v1::ModelVersion, ModelVersion);
    for expected in [ExpectedAlias::Anywhere, ExpectedAlias::Nowhere, ExpectedAlias::Version(2)] {
        let wanted = MoveAlias { model: name("late"), alias: name("champion"), version: 3, expected };
        assert_survives!(wanted, v1::MoveAliasRequest, MoveAlias);
    }
    let alias = Alias::new(name("late"), name("champion"), 3, Timestamp(6));
    assert_survives!(alias.clone(), v1::ModelAlias, Alias);
    let split = vec![Share { version: 2, weight: 10 }, Share { version: 3, weight: 90 }];
    assert_survives!(Alias { split, shadow: Some(1), ..alias }, v1::ModelAlias, Alias);
}

#[test]
fn training_sets_survive_the_wire() {
    let set = || "late_arrival".parse().expect("a selector");
    let mut wanted = NewTrainingSet::new(set(), Spine::Sql("select 1".to_owned()), "file:///out.parquet");
    assert_survives!(wanted.clone(), v1::CreateTrainingSetRequest, NewTrainingSet);
    wanted.spine = Spine::Url("file:///spine.parquet".to_owned());
    wanted.mode = Mode::Event;
    wanted.event_timestamp = "departs".to_owned();
    wanted.evidence = true;
    wanted.name = Some(name("july"));
    assert_survives!(wanted.clone(), v1::CreateTrainingSetRequest, NewTrainingSet);
    let mut sent = v1::CreateTrainingSetRequest::from(wanted);
    (sent.mode, sent.event_timestamp) = (0, None);
    let read = NewTrainingSet::try_from(sent).expect("all that must be said");
    assert_eq!((read.mode, read.event_timestamp.as_str()), (Mode::Knowledge, "event_timestamp"));
    let dataset = Dataset {
        id: "12".repeat(32),
        name: None,
        feature_set: versioned("late_arrival", 2),
        feature_set_hash: "ab".repeat(32),
        mode: Mode::Event,
        spine: "file:///spine.parquet".to_owned(),
        spine_fingerprint: "34".repeat(32),
        event_timestamp: "event_timestamp".to_owned(),
        evidence: true,
        tables: BTreeMap::from([("legs-1".to_owned(), 41), ("weather-1".to_owned(), -1)]),
        location: "file:///out.parquet".to_owned(),
        rows: 336_776,
        file_hash: "56".repeat(32),
        built_at: Timestamp(7),
        format: Dataset::FORMAT,
        views: vec![DatasetView {
            alias: name("weather"),
            view: versioned("weather", 3),
            table: "weather-1".to_owned(),
            source_delay: Span::ZERO,
            ttl: None,
        }],
        transforms: Vec::new(),
        split: Some(Split::Key { columns: vec!["tailnum".to_owned()], weights: [8, 1, 1] }),
        erasures: BTreeMap::new(),
        build: Build { engine_version: "1".to_owned(), ..Build::default() },
    };
    assert_survives!(dataset.clone(), v1::Dataset, Dataset);
    let mut older = v1::Dataset::from(dataset.clone());
    older.manifest.clear();
    let read = Dataset::try_from(older).expect("a message without the whole manifest");
    assert_eq!((&read.id, read.format, read.views.len()), (&dataset.id, 0, 0));
}

#[test]
fn the_descriptors_name_every_service() {
    let descriptors = prost_types::FileDescriptorSet::decode(crate::FILE_DESCRIPTOR_SET).expect("descriptors");
    let mut services: Vec<String> = Vec::new();
    for file in &descriptors.file {
        assert_eq!(file.package(), "hitherto.v1");
        services.extend(file.service.iter().map(|service| service.name().to_owned()));
    }
    services.sort();
    assert_eq!(services, ["Ingest", "Models", "OnlineFeatures", "Registry", "TrainingSets"]);
}
