//! Lists and vectors, whatever layout they come in.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, Float32Builder, ListArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Float32Type};
use hitherto_core::ValueType;

use super::{CastError, CellProblem, kernel, refused, shown};
use crate::input::Role;
use crate::types::{list_item, vector_item};

/// A list of `item`, its items cast by `cast_items`.
pub(super) fn list(
    array: &ArrayRef,
    item: &ValueType,
    cast_items: impl Fn(&ArrayRef) -> Result<ArrayRef, CastError>,
) -> Result<ArrayRef, CastError> {
    let wanted = ValueType::List(Box::new(item.clone()));
    let lists = lists(array).ok_or_else(|| refused(array.data_type(), &wanted, Role::Feature))??;
    let items = cast_items(lists.values()).map_err(|error| in_row(error, &lists))?;
    let (_, offsets, _, nulls) = lists.into_parts();
    let list = ListArray::try_new(list_item(item), offsets, items, nulls).map_err(|_| unpackable(array))?;
    Ok(Arc::new(list))
}

/// A vector of `length` numbers, its items cast to `float32` by `cast_items`.
pub(super) fn vector(
    array: &ArrayRef,
    length: u32,
    cast_items: impl Fn(&ArrayRef) -> Result<ArrayRef, CastError>,
) -> Result<ArrayRef, CastError> {
    let wanted = ValueType::Vector(length);
    let lists = lists(array).ok_or_else(|| refused(array.data_type(), &wanted, Role::Feature))??;
    let size = length as usize;
    for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
        let found = lists.value_length(row) as usize;
        if found != size {
            let problem = CellProblem::VectorLength { found, wanted };
            return Err(CastError::Cell { row, value: shown(array, row), problem });
        }
    }
    let items = cast_items(lists.values()).map_err(|error| in_row(error, &lists))?;
    let numbers = items.as_primitive::<Float32Type>();
    let mut values = Float32Builder::with_capacity(lists.len() * size);
    for row in 0..lists.len() {
        if lists.is_null(row) {
            // a null vector still takes its place in the values; what stands there is never read
            values.append_value_n(0.0, size);
            continue;
        }
        let start = lists.value_offsets()[row] as usize;
        if numbers.null_count() > 0 && (start..start + size).any(|index| numbers.is_null(index)) {
            return Err(CastError::Cell { row, value: shown(array, row), problem: CellProblem::NullInVector });
        }
        values.append_slice(&numbers.values()[start..start + size]);
    }
    let values = Arc::new(values.finish());
    let vectors = FixedSizeListArray::try_new(vector_item(), length.cast_signed(), values, lists.nulls().cloned())
        .map_err(|_| unpackable(array))?;
    Ok(Arc::new(vectors))
}

/// Any layout of lists as the one with offsets, these beginning at 0; `None` if these are no lists.
fn lists(array: &ArrayRef) -> Option<Result<ListArray, CastError>> {
    let item = match array.data_type() {
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => Arc::clone(item),
        _ => return None,
    };
    Some(kernel(array, &DataType::List(item)).and_then(|list| rebased(list.as_list())))
}

/// Only the items of rows that are not null, so that no other can be refused, and offsets that begin at 0.
fn rebased(list: &ListArray) -> Result<ListArray, CastError> {
    let offsets = list.value_offsets();
    let lengths = (0..list.len()).map(|row| if list.is_null(row) { 0 } else { list.value_length(row) as usize });
    let rebased = OffsetBuffer::<i32>::from_lengths(lengths);
    let (first, last) = (offsets[0], offsets[list.len()]);
    let values = if rebased.last() == Some(&(last - first)) {
        list.values().slice(first as usize, (last - first) as usize)
    } else {
        let kept: UInt32Array = (0..list.len())
            .filter(|row| list.is_valid(*row))
            .flat_map(|row| offsets[row].cast_unsigned()..offsets[row + 1].cast_unsigned())
            .collect();
        take(list.values(), &kept, None).map_err(|_| unpackable(list))?
    };
    let item = Arc::new(Field::new("item", values.data_type().clone(), true));
    ListArray::try_new(item, rebased, values, list.nulls().cloned()).map_err(|_| unpackable(list))
}

fn unpackable(array: &dyn Array) -> CastError {
    CastError::Type { found: array.data_type().to_string(), remedy: ", which contradicts itself: write it again" }
}

/// The error of an item as an error of the row that holds it.
fn in_row(error: CastError, lists: &ListArray) -> CastError {
    match error {
        CastError::Cell { row: item, value, problem } => {
            let ends = &lists.value_offsets()[1..];
            let row = ends.partition_point(|end| *end as usize <= item);
            CastError::Cell { row, value, problem }
        }
        other @ CastError::Type { .. } => other,
    }
}
