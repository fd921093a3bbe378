//! The tables' names and columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use hitherto_offline::types::time_type;

/// One table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Records {
    FeatureViews,
    Features,
    FeatureSets,
    Datasets,
    Models,
    Aliases,
    Evaluations,
    Batches,
    Audit,
    Lineage,
}

/// A column's type, and whether it may be null.
#[derive(Clone, Copy, Debug)]
enum Type {
    Text,
    TextOrNull,
    Integer,
    IntegerOrNull,
    Number,
    Truth,
    TruthOrNull,
    Time,
    TimeOrNull,
}

use Type::{Integer, IntegerOrNull, Number, Text, TextOrNull, Time, TimeOrNull, Truth, TruthOrNull};

/// A column: its name, what it holds.
type Column = (&'static str, Type);

const FEATURE_VIEWS: &[Column] = &[
    ("name", Text),
    ("view", Text),
    ("version", Integer),
    ("is_latest", Truth),
    ("entities", Text),
    ("keys", Text),
    ("features", Text),
    ("table_id", Text),
    ("event_timestamp", Text),
    ("created_timestamp", TextOrNull),
    ("source_delay_us", Integer),
    ("ttl_us", IntegerOrNull),
    ("description", TextOrNull),
    ("tags", Text),
];

const FEATURES: &[Column] = &[
    ("name", Text),
    ("view", Text),
    ("version", Integer),
    ("is_latest", Truth),
    ("feature", Text),
    ("type", Text),
    ("source_column", Text),
    ("entities", Text),
    ("table_id", Text),
    ("description", TextOrNull),
    ("tags", Text),
];

const FEATURE_SETS: &[Column] = &[
    ("name", Text),
    ("feature_set", Text),
    ("version", Integer),
    ("is_latest", Truth),
    ("hash", Text),
    ("features", Text),
    ("request", Text),
    ("transforms", Text),
    ("description", TextOrNull),
    ("tags", Text),
];

const DATASETS: &[Column] = &[
    ("id", Text),
    ("name", TextOrNull),
    ("feature_set", Text),
    ("feature_set_hash", Text),
    ("mode", Text),
    ("spine", Text),
    ("spine_fingerprint", Text),
    ("tables", Text),
    ("rows", Integer),
    ("location", Text),
    ("file_hash", Text),
    ("built_at", Time),
    ("actor", Text),
    ("engine_version", Text),
    ("tags", Text),
];

const MODELS: &[Column] = &[
    ("name", Text),
    ("model", Text),
    ("version", Integer),
    ("kind", Text),
    ("feature_set", Text),
    ("feature_set_hash", Text),
    ("dataset", TextOrNull),
    ("aliases", Text),
    ("artifact", TextOrNull),
    ("artifact_sha256", TextOrNull),
    ("code_version", TextOrNull),
    ("runs", Text),
    ("parameters", Text),
    ("tags", Text),
    ("registered_at", Time),
];

const ALIASES: &[Column] = &[
    ("name", Text),
    ("model", Text),
    ("alias", Text),
    ("version", Integer),
    ("moved_at", Time),
    ("split", Text),
    ("shadow", IntegerOrNull),
    ("gate", TextOrNull),
    ("is_passed", TruthOrNull),
    ("override_reason", TextOrNull),
];

const EVALUATIONS: &[Column] = &[
    ("model", Text),
    ("version", Integer),
    ("evaluated_at", Time),
    ("dataset", TextOrNull),
    ("grader", TextOrNull),
    ("slice", TextOrNull),
    ("metric", Text),
    ("value", Number),
];

const BATCHES: &[Column] = &[
    ("name", Text),
    ("view", Text),
    ("table_id", Text),
    ("batch_id", TextOrNull),
    ("log_version", Integer),
    ("ingested_at", TimeOrNull),
    ("rows", Integer),
    ("first_sequence", Integer),
    ("last_sequence", Integer),
];

const AUDIT: &[Column] = &[
    ("number", Integer),
    ("at", Time),
    ("who", Text),
    ("verb", Text),
    ("subject", Text),
    ("before", TextOrNull),
    ("after", TextOrNull),
    ("previous", Text),
    ("hash", Text),
];

const LINEAGE: &[Column] = &[
    ("from_kind", Text),
    ("from_name", Text),
    ("to_kind", Text),
    ("to_name", Text),
    ("relation", Text),
    ("last_sequence", IntegerOrNull),
    ("weight", IntegerOrNull),
];

impl Records {
    pub(super) const ALL: [Self; 10] = [
        Self::FeatureViews,
        Self::Features,
        Self::FeatureSets,
        Self::Datasets,
        Self::Models,
        Self::Aliases,
        Self::Evaluations,
        Self::Batches,
        Self::Audit,
        Self::Lineage,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::FeatureViews => "feature_views",
            Self::Features => "features",
            Self::FeatureSets => "feature_sets",
            Self::Datasets => "datasets",
            Self::Models => "models",
            Self::Aliases => "aliases",
            Self::Evaluations => "evaluations",
            Self::Batches => "batches",
            Self::Audit => "audit",
            Self::Lineage => "lineage",
        }
    }

    pub(super) fn schema(self) -> SchemaRef {
        let fields = self.columns().iter().map(|(name, column)| column.field(name));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// No column is nested, so that every output of `sql` can write it: lists and maps are JSON texts.
    fn columns(self) -> &'static [Column] {
        match self {
            Self::FeatureViews => FEATURE_VIEWS,
            Self::Features => FEATURES,
            Self::FeatureSets => FEATURE_SETS,
            Self::Datasets => DATASETS,
            Self::Models => MODELS,
            Self::Aliases => ALIASES,
            Self::Evaluations => EVALUATIONS,
            Self::Batches => BATCHES,
            Self::Audit => AUDIT,
            Self::Lineage => LINEAGE,
        }
    }
}

impl Type {
    fn field(self, name: &str) -> Field {
        let (data_type, is_nullable) = match self {
            Text => (DataType::Utf8, false),
            TextOrNull => (DataType::Utf8, true),
            Integer => (DataType::Int64, false),
            IntegerOrNull => (DataType::Int64, true),
            Number => (DataType::Float64, false),
            Truth => (DataType::Boolean, false),
            TruthOrNull => (DataType::Boolean, true),
            Time => (time_type(), false),
            TimeOrNull => (time_type(), true),
        };
        Field::new(name, data_type, is_nullable)
    }
}
