//! How much a batch becomes when its runs and dictionaries are written out: few bytes can stand for very many.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{ArrowNativeType, DataType, Int16Type, Int32Type, Int64Type, RunEndIndexType, Schema};
use arrow::error::ArrowError;

/// Rows of one batch: more than any message can hold whose rows have a time each.
const ROWS_MAX: usize = 1 << 24;
/// What the columns of one batch may become together.
const BYTES_MAX: u64 = 512 << 20;

/// Refuses a batch that would become too large as the columns of `stored`.
pub(super) fn check_expansion(batch: &RecordBatch, stored: &Schema) -> Result<(), ArrowError> {
    let too_large = |what: String| {
        ArrowError::InvalidArgumentError(format!("a batch {what}: send smaller ones, of some megabytes each"))
    };
    if batch.num_rows() > ROWS_MAX {
        return Err(too_large(format!("has {} rows, and {ROWS_MAX} are the most", batch.num_rows())));
    }
    let mut bytes = 0_u64;
    for (column, field) in batch.columns().iter().zip(stored.fields()) {
        if column.data_type() != field.data_type() {
            bytes = bytes.saturating_add(written_out(column));
        }
        if bytes > BYTES_MAX {
            return Err(too_large(format!("has more than {} MiB once its runs are written out", BYTES_MAX >> 20)));
        }
    }
    Ok(())
}

/// About how many bytes a column has when each row has its own value; more, where that is not easily told.
fn written_out(column: &ArrayRef) -> u64 {
    if let Some(coded) = column.as_any_dictionary_opt() {
        if coded.values().is_empty() {
            return 0;
        }
        let (values, whole) = (coded.values(), all_bytes(coded.values()));
        let add = |sum: u64, key| sum.saturating_add(value_bytes(values, key, whole));
        return coded.normalized_keys().into_iter().fold(0, add);
    }
    let runs = [of_runs::<Int16Type>(column), of_runs::<Int32Type>(column), of_runs::<Int64Type>(column)];
    runs.into_iter().flatten().next().unwrap_or_else(|| column.get_buffer_memory_size() as u64)
}

fn of_runs<R: RunEndIndexType>(column: &ArrayRef) -> Option<u64> {
    let runs = column.as_run_opt::<R>()?;
    let whole = all_bytes(runs.values());
    let (mut begin, mut bytes) = (0, 0_u64);
    // as they came: no batch of a client is a slice
    for (index, end) in runs.run_ends().values().iter().enumerate() {
        let end = end.as_usize().min(runs.len());
        let rows = end.saturating_sub(begin) as u64;
        bytes = bytes.saturating_add(value_bytes(runs.values(), index, whole).saturating_mul(rows));
        begin = end;
    }
    Some(bytes)
}

fn all_bytes(values: &ArrayRef) -> usize {
    values.to_data().get_slice_memory_size().unwrap_or_else(|_| values.get_buffer_memory_size())
}

/// What the value at `index` takes. Of nested values, the `whole` of them: none is larger.
fn value_bytes(values: &ArrayRef, index: usize, whole: usize) -> u64 {
    let bytes = match values.data_type() {
        DataType::Null => 0,
        DataType::Boolean => 1,
        DataType::Utf8 => values.as_string::<i32>().value(index).len(),
        DataType::LargeUtf8 => values.as_string::<i64>().value(index).len(),
        DataType::Binary => values.as_binary::<i32>().value(index).len(),
        DataType::LargeBinary => values.as_binary::<i64>().value(index).len(),
        // the bytes themselves are shared
        DataType::Utf8View | DataType::BinaryView => 16,
        DataType::FixedSizeBinary(bytes) => usize::try_from(*bytes).unwrap_or(0),
        plain => plain.primitive_width().unwrap_or(whole),
    };
    bytes as u64
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        DictionaryArray, FixedSizeBinaryArray, Int32Array, Int64Array, NullArray, RunArray, StringArray,
    };
    use arrow::datatypes::Field;

    use super::*;

    fn checked(column: ArrayRef, stored: DataType) -> Result<(), String> {
        let batch = RecordBatch::try_from_iter_with_nullable([("c", column, true)]).expect("a batch");
        let stored = Schema::new(vec![Field::new("c", stored, true)]);
        check_expansion(&batch, &stored).map_err(|error| error.to_string())
    }

    fn run(rows: i32, text: &str) -> ArrayRef {
        let ends = Int32Array::from(vec![1, rows]);
        Arc::new(RunArray::try_new(&ends, &StringArray::from(vec!["short", text])).expect("runs"))
    }

    #[test]
    fn few_bytes_that_stand_for_many_are_refused() {
        assert_eq!(checked(run(1_000_000, "a text"), DataType::Utf8), Ok(()));
        let refused = checked(run(1 << 20, &"x".repeat(1_000)), DataType::Utf8).expect_err("a gigabyte");
        assert!(refused.contains("more than 512 MiB once its runs are written out"), "{refused}");
        let values = FixedSizeBinaryArray::try_from_iter([vec![7_u8; 1 << 20]].iter()).expect("a large value");
        let coded = |rows| {
            let keys = Int32Array::from(vec![0; rows]);
            Arc::new(DictionaryArray::<Int32Type>::new(keys, Arc::new(values.clone()))) as ArrayRef
        };
        let plain = DataType::FixedSizeBinary(1 << 20);
        assert_eq!(checked(coded(4), plain.clone()), Ok(()));
        assert!(checked(coded(1_000), plain).is_err());
        let keys = Int32Array::from(vec![None::<i32>; 2]);
        let nothing = DictionaryArray::<Int32Type>::new(keys, Arc::new(Int64Array::from(Vec::<i64>::new())));
        assert_eq!(checked(Arc::new(nothing), DataType::Int64), Ok(()));
    }

    #[test]
    fn rows_that_have_no_bytes_are_counted() {
        let refused = checked(Arc::new(NullArray::new(ROWS_MAX + 1)), DataType::Null).expect_err("rows of nothing");
        assert!(refused.contains("16777217 rows, and 16777216 are the most"), "{refused}");
        assert_eq!(checked(Arc::new(NullArray::new(9)), DataType::Null), Ok(()));
    }
}
