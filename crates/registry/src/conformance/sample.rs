//! Definitions, models and datasets to write.

use std::collections::BTreeMap;

use hitherto_core::{
    Build, Created, Dataset, Entity, EntityVersion, Feature, FeatureSet, FeatureView, KeyType, Member, Mode, Name,
    NewApiToken, NewModelVersion, Notes, Output, Provenance, Record, ResolvedSet, Role, ScramVerifier, SetVersion,
    Span, SpineKey, Table, Timestamp, TokenId, ValueType, VersionedName, ViewKey, ViewUse, ViewVersion,
};

pub(super) const NOW: Timestamp = Timestamp(1_372_680_000_000_000);

pub(super) fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

pub(super) fn entity(entity: &str, version: u32) -> Record {
    let definition = Entity {
        name: name(entity),
        join_keys: BTreeMap::from([(name("tailnum"), KeyType::String), (name(&format!("v{version}")), KeyType::Int64)]),
        notes: Notes::default(),
    };
    Record::Entity(EntityVersion { version, definition })
}

pub(super) fn table(id: &str, columns: &[&str]) -> Record {
    Record::Table(Table {
        id: id.to_owned(),
        view: name("weather"),
        keys: vec![(name("origin"), KeyType::String)],
        created: Created::Column,
        columns: columns.iter().map(|column| (name(column), ValueType::Vector(3))).collect(),
    })
}

pub(super) fn view(version: u32, notes: Notes) -> ViewVersion {
    let gust = Feature {
        name: name("gust"),
        value_type: ValueType::List(Box::new(ValueType::Float32)),
        column: "wind_gust".to_owned(),
        notes: notes.clone(),
    };
    let definition = FeatureView {
        name: name("weather"),
        entities: vec![name("airport")],
        join_keys: BTreeMap::from([(name("origin"), "Origin ✈".to_owned())]),
        event_timestamp: "event_timestamp".to_owned(),
        created_timestamp: None,
        source_delay: Span::from_micros(600_000_000).expect("a span"),
        ttl: Some(Span::from_micros(i64::MAX).expect("a span")),
        features: vec![gust],
        notes,
    };
    let keys = vec![ViewKey { name: name("origin"), key_type: KeyType::String, column: "Origin ✈".to_owned() }];
    ViewVersion { version, table: "weather-1".to_owned(), keys, definition }
}

pub(super) fn set(set: &str, version: u32, hash: &str) -> Record {
    let weather = ViewUse {
        alias: name("weather"),
        view: VersionedName { name: name("weather"), version: 1 },
        table: "weather-1".to_owned(),
        source_delay: Span::ZERO,
        ttl: None,
        keys: vec![SpineKey { name: name("origin"), key_type: KeyType::String, spine_column: "origin".to_owned() }],
    };
    let gust =
        Output { name: "weather__gust".to_owned(), view_use: 0, feature: name("gust"), value_type: ValueType::Float32 };
    let resolved =
        ResolvedSet { uses: vec![weather], outputs: vec![gust], request: BTreeMap::new(), transforms: Vec::new() };
    let definition = FeatureSet {
        name: name(set),
        features: vec![Member::All { view: name("weather"), version: None }],
        request: BTreeMap::from([(name("prepaid"), ValueType::Float64)]),
        transforms: Vec::new(),
        notes: Notes::default(),
    };
    Record::Set(SetVersion { version, definition, resolved, hash: hash.to_owned() })
}

/// `feature_set` is `late@1`, whose hash is `aa`.
pub(super) fn model(model: &str) -> NewModelVersion {
    NewModelVersion {
        name: name(model),
        feature_set: VersionedName { name: name("late"), version: 1 },
        feature_set_hash: "aa".to_owned(),
        dataset: None,
        provenance: Provenance::default(),
        tags: BTreeMap::from([("run".to_owned(), "42".to_owned())]),
    }
}

/// Its id is six times `byte`.
pub(super) fn token(byte: u8) -> NewApiToken {
    NewApiToken {
        id: TokenId::from_bytes([byte; 6]),
        name: name("etl"),
        role: Role::Writer,
        secret_hash: format!("hash of secret {byte}"),
        scram: ScramVerifier::of_nobody(&format!("{byte}")),
        expires_at: Some(Timestamp(NOW.0 + 1)),
    }
}

/// Built from the feature set whose hash is `aa`.
pub(super) fn dataset(id: &str, called: Option<&str>) -> Dataset {
    Dataset {
        id: id.to_owned(),
        format: Dataset::FORMAT,
        name: called.map(name),
        feature_set: VersionedName { name: name("late"), version: 1 },
        feature_set_hash: "aa".to_owned(),
        views: Vec::new(),
        transforms: Vec::new(),
        mode: Mode::Event,
        spine: "SELECT 'it''s a spine'".to_owned(),
        spine_fingerprint: "f0".to_owned(),
        event_timestamp: "event_timestamp".to_owned(),
        evidence: true,
        split: None,
        tables: BTreeMap::from([("weather-1".to_owned(), 9_007_199_254_740_991)]),
        erasures: BTreeMap::new(),
        location: format!("/sets/{id}.parquet"),
        rows: 336_776,
        file_hash: format!("file {id}"),
        built_at: NOW,
        build: Build::default(),
    }
}
