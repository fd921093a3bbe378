//! An answer's values as Arrow.

use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use arrow::ipc::writer::StreamWriter;
use hitherto_core::{Kind, Status};
use hitherto_engine::PackedLookup;
use hitherto_offline::{array_of, array_of_cells};
use hitherto_proto::Failure;

use crate::answer::Refusal;

/// The columns as an Arrow IPC stream of one record batch: the features in the set's order, then the transforms, all of them
/// nullable, in the types that training sets have.
pub(crate) fn ipc_stream(found: &PackedLookup<'_>) -> Result<Vec<u8>, Refusal> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::<ArrayRef>::new());
    let mut push = |name: &str, array: ArrayRef| {
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    };
    found.each_feature(|output, statuses, cells| {
        let is_null = |row: usize| statuses[row] != Status::Present;
        push(&output.name, array_of_cells(&output.value_type, cells, is_null)?);
        Ok::<_, Refusal>(())
    })?;
    for column in found.transformed() {
        push(&column.name, array_of(&column.value_type, &column.values)?);
    }
    let schema = Arc::new(Schema::new(fields));
    let options = RecordBatchOptions::new().with_row_count(Some(found.rows()));
    let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options).map_err(failed)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(failed)?;
    writer.write(&batch).map_err(failed)?;
    writer.into_inner().map_err(failed)
}

fn failed(error: impl Display) -> Refusal {
    Refusal(Failure::new(Kind::Internal, format!("could not write the answer as Arrow: {error}")))
}
