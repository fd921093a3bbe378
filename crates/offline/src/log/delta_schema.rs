//! A table's columns as the log spells them, and the actions that declare them.

use std::collections::HashSet;

use deltalake_core::kernel::{
    Action, ArrayType, DataType, Metadata, MetadataExt, Protocol, StructField, StructType, new_metadata,
};
use hitherto_core::{Created, Table, ValueType};
use serde_json::json;

use crate::{COMMIT_SEQUENCE, COMMIT_TIME, CREATED, DELETED, EVENT, Error, INGESTED, Result, SEQUENCE};

/// How long the log remembers batch ids, and how long it keeps its own old versions.
const PROPERTIES: [(&str, &str); 3] = [
    ("delta.setTransactionRetentionDuration", "interval 30 days"),
    ("delta.logRetentionDuration", "interval 3650 days"),
    ("delta.enableExpiredLogCleanup", "false"),
];

/// The protocol and metadata of a new table.
pub(super) fn create_actions(table: &Table) -> Result<Vec<Action>> {
    let declaring = || format!("declare table '{}'", table.id);
    // any reader; writers that know appends
    let protocol: Protocol = serde_json::from_value(json!({"minReaderVersion": 1, "minWriterVersion": 2}))
        .map_err(|e| Error::delta(declaring(), e.into()))?;
    let schema = schema(table)?;
    let metadata = new_metadata(&schema, [COMMIT_SEQUENCE, COMMIT_TIME], PROPERTIES)
        .and_then(|metadata| metadata.with_name(table.view.to_string()))
        .map_err(|e| Error::delta(declaring(), e.into()))?;
    Ok(vec![Action::Protocol(protocol), Action::Metadata(metadata)])
}

/// The metadata that adds columns which the log does not have yet; `None` where it has them all.
pub(super) fn grow_action(table: &Table, present: &[String], metadata: &Metadata) -> Result<Option<Action>> {
    let present: HashSet<&str> = present.iter().map(String::as_str).collect();
    if table.columns.iter().all(|(name, _)| present.contains(name.as_str())) {
        return Ok(None);
    }
    let growing = || format!("add columns to table '{}'", table.id);
    // whatever the log has and we do not know (a newer process's columns) stays
    let old = metadata.parse_schema().map_err(|e| Error::delta(growing(), e.into()))?;
    let wanted = schema(table)?;
    let new = wanted.fields().filter(|field| !present.contains(field.name().as_str()));
    let grown = StructType::try_new(old.fields().chain(new).cloned()).map_err(|e| unusable(table, &e.to_string()))?;
    let grown = metadata.clone().with_schema(&grown).map_err(|e| Error::delta(growing(), e.into()))?;
    Ok(Some(Action::Metadata(grown)))
}

/// Keys and times come first: the log indexes statistics of the first 32 columns only.
fn schema(table: &Table) -> Result<StructType> {
    let mut fields: Vec<StructField> = Vec::new();
    for (name, key_type) in &table.keys {
        fields.push(StructField::nullable(name.as_str(), data_type(&key_type.value_type())));
    }
    fields.push(StructField::nullable(EVENT, DataType::TIMESTAMP));
    if table.created == Created::Column {
        fields.push(StructField::nullable(CREATED, DataType::TIMESTAMP));
    }
    fields.push(StructField::nullable(SEQUENCE, DataType::LONG));
    fields.push(StructField::nullable(INGESTED, DataType::TIMESTAMP));
    fields.push(StructField::nullable(DELETED, DataType::BOOLEAN));
    fields.push(StructField::nullable(COMMIT_SEQUENCE, DataType::LONG));
    fields.push(StructField::nullable(COMMIT_TIME, DataType::TIMESTAMP));
    for (name, value_type) in &table.columns {
        fields.push(StructField::nullable(name.as_str(), data_type(value_type)));
    }
    StructType::try_new(fields).map_err(|e| unusable(table, &e.to_string()))
}

fn unusable(table: &Table, reason: &str) -> Error {
    Error::Invalid(format!(
        "table '{}' cannot be stored: {reason}; names of keys and features must differ by more than case",
        table.id
    ))
}

fn data_type(value_type: &ValueType) -> DataType {
    match value_type {
        ValueType::Bool => DataType::BOOLEAN,
        ValueType::Int32 => DataType::INTEGER,
        ValueType::Int64 => DataType::LONG,
        ValueType::Float32 => DataType::FLOAT,
        ValueType::Float64 => DataType::DOUBLE,
        ValueType::String => DataType::STRING,
        ValueType::Bytes => DataType::BINARY,
        ValueType::Timestamp => DataType::TIMESTAMP,
        ValueType::Date => DataType::DATE,
        ValueType::List(item) => ArrayType::new(data_type(item), true).into(),
        ValueType::Vector(_) => ArrayType::new(DataType::FLOAT, false).into(),
    }
}
