//! Rows that are in memory already, such as those of a push: matched and cast like those of a file.

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};

use super::cast::cast_column;
use super::{ExtraColumns, InputError, Role, Target};
use crate::types::arrow_type;

/// A batch of exactly a target's schema.
#[derive(Clone, Debug)]
pub struct CanonicalBatch {
    /// The rows.
    pub rows: RecordBatch,
    /// Rows with a null in some part of their key: they are kept, and match nothing.
    pub null_key_rows: u64,
}

/// `batch` as a batch of `target`'s schema; `name` is what errors call it. Rows count from 1.
pub fn canonical_batch(
    name: &str,
    batch: &RecordBatch,
    target: &Target,
    extra: ExtraColumns,
) -> Result<CanonicalBatch, InputError> {
    let schema = batch.schema();
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let places = target.locate(name, &names, extra)?;
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(places.len());
    for (column, place) in target.columns.iter().zip(places) {
        columns.push(match place {
            None => new_null_array(&arrow_type(&column.value_type), batch.num_rows()),
            Some(place) => cast_column(batch.column(place), &column.value_type, column.role)
                .map_err(|error| error.at(name, column, 1))?,
        });
    }
    let keys = target.columns.iter().zip(&columns).filter(|(column, _)| column.role == Role::Key);
    let keys: Vec<&ArrayRef> = keys.map(|(_, array)| array).filter(|array| array.null_count() > 0).collect();
    let null_key_rows = (0..batch.num_rows()).filter(|row| keys.iter().any(|key| key.is_null(*row))).count() as u64;
    let rows = RecordBatch::try_new(target.schema(), columns)
        .map_err(|error| InputError::Corrupt { file: name.to_owned(), reason: error.to_string() })?;
    Ok(CanonicalBatch { rows, null_key_rows })
}
