//! The columns of a table: their canonical names, their order and their types.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use hitherto_core::{Created, Table};

use crate::types::{arrow_type, key_arrow_type, time_type};

/// When the fact was true in the world.
pub const EVENT: &str = "event_timestamp";
/// When its producer knew it; only in tables whose rows carry it.
pub const CREATED: &str = "created_timestamp";
/// Whether the row is a tombstone; null is false.
pub const DELETED: &str = "_deleted";
/// The row's place in its table's history. Fresh files do not have the column: see [`crate::DataFile`].
pub const SEQUENCE: &str = "_sequence";
/// The time of the commit that made the row visible. Fresh files do not have the column.
pub const INGESTED: &str = "_ingested_at";
/// Under this a field's metadata says what its column is.
pub const DESCRIPTION: &str = "description";
/// Partition column of the log: the `_sequence` of the file's first row; null where the file has the column.
pub const COMMIT_SEQUENCE: &str = "_commit_sequence";
/// Partition column of the log: the `_ingested_at` of the file's rows; null where the file has the column.
pub const COMMIT_TIME: &str = "_commit_time";

/// Columns of a canonical batch, as input readers make it, [`crate::History::append`] takes it and fresh files hold
/// it: keys, `event_timestamp`, `created_timestamp` where the table has it, features, `_deleted`.
pub fn data_schema(table: &Table) -> SchemaRef {
    let mut fields: Vec<Field> =
        table.keys.iter().map(|(name, key_type)| Field::new(name.as_str(), key_arrow_type(*key_type), true)).collect();
    fields.push(Field::new(EVENT, time_type(), false));
    if table.created == Created::Column {
        fields.push(Field::new(CREATED, time_type(), false));
    }
    fields.extend(table.columns.iter().map(|(name, value)| Field::new(name.as_str(), arrow_type(value), true)));
    fields.push(Field::new(DELETED, DataType::Boolean, true));
    Arc::new(Schema::new(fields))
}

/// [`data_schema`] and what history adds: `_sequence` and `_ingested_at`.
pub fn history_schema(table: &Table) -> SchemaRef {
    let mut fields: Vec<_> = data_schema(table).fields().iter().map(Arc::clone).collect();
    fields.push(Arc::new(Field::new(SEQUENCE, DataType::Int64, false)));
    fields.push(Arc::new(Field::new(INGESTED, time_type(), false)));
    Arc::new(Schema::new(fields))
}
