//! What a batch holds, as one number: the same rows in the same order give the same, however they are cut.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// SHA-256 over rows. A column without any value counts as absent: it holds the same as one that the source lacks.
#[derive(Default)]
pub(super) struct ContentHash {
    columns: BTreeMap<String, Column>,
    rows: u64,
    scratch: Vec<u8>,
}

#[derive(Default)]
struct Column {
    hash: Sha256,
    rows: u64,
    has_value: bool,
}

impl ContentHash {
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
            let column = self.columns.entry(field.name().clone()).or_insert_with(|| {
                let mut new = Column::default();
                new.hash.update(field.data_type().to_string());
                new
            });
            // rows of batches that lacked the column
            column.hash_nulls(self.rows - column.rows);
            self.scratch.clear();
            encode(array, &mut self.scratch)?;
            column.hash.update(&self.scratch);
            column.rows += array.len() as u64;
            column.has_value |= array.null_count() < array.len();
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    fn digest(&self) -> [u8; 32] {
        let mut whole = Sha256::new();
        whole.update(self.rows.to_le_bytes());
        for (name, column) in self.columns.iter().filter(|(_, column)| column.has_value) {
            let mut column = Column { hash: column.hash.clone(), rows: column.rows, has_value: true };
            column.hash_nulls(self.rows - column.rows);
            whole.update((name.len() as u64).to_le_bytes());
            whole.update(name);
            whole.update(column.hash.finalize());
        }
        whole.finalize().into()
    }

    /// All of it, in hex.
    pub(super) fn text(&self) -> String {
        hex::encode(self.digest())
    }

    /// Its first 63 bits.
    pub(super) fn fingerprint(&self) -> i64 {
        let first = self.digest().iter().take(8).fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        (first >> 1).cast_signed()
    }
}

impl Column {
    fn hash_nulls(&mut self, mut rows: u64) {
        let nulls = [0_u8; 1024];
        while rows > 0 {
            let some = rows.min(1024);
            self.hash.update(&nulls[..some as usize]);
            rows -= some;
            self.rows += some;
        }
    }
}

/// Per value 0 for a null, or 1 and the value's bytes, texts and lists with their length before them.
fn encode(array: &ArrayRef, out: &mut Vec<u8>) -> Result<()> {
    match array.data_type() {
        DataType::Boolean => {
            let array = array.as_boolean();
            each(array, out, |out, i| out.push(u8::from(array.value(i))));
        }
        DataType::Int32 => numbers::<Int32Type, 4>(array, out, i32::to_le_bytes),
        DataType::Int64 => numbers::<Int64Type, 8>(array, out, i64::to_le_bytes),
        DataType::Float32 => numbers::<Float32Type, 4>(array, out, f32::to_le_bytes),
        DataType::Float64 => numbers::<Float64Type, 8>(array, out, f64::to_le_bytes),
        DataType::Date32 => numbers::<Date32Type, 4>(array, out, i32::to_le_bytes),
        DataType::Timestamp(..) => numbers::<TimestampMicrosecondType, 8>(array, out, i64::to_le_bytes),
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            each(array, out, |out, i| push_bytes(out, array.value(i).as_bytes()));
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            each(array, out, |out, i| push_bytes(out, array.value(i)));
        }
        DataType::List(_) => {
            let array = array.as_list::<i32>();
            return lists(array, out, |i| array.value(i));
        }
        DataType::FixedSizeList(..) => {
            let array = array.as_fixed_size_list();
            return lists(array, out, |i| array.value(i));
        }
        other => return Err(Error::Unsupported(format!("a column of type {other} cannot be appended"))),
    }
    Ok(())
}

fn each(array: &dyn Array, out: &mut Vec<u8>, mut push: impl FnMut(&mut Vec<u8>, usize)) {
    for i in 0..array.len() {
        if array.is_null(i) {
            out.push(0);
        } else {
            out.push(1);
            push(out, i);
        }
    }
}

fn numbers<T: ArrowPrimitiveType, const N: usize>(
    array: &ArrayRef,
    out: &mut Vec<u8>,
    bytes: fn(T::Native) -> [u8; N],
) {
    let array = array.as_primitive::<T>();
    out.reserve(array.len() * (N + 1));
    each(array, out, |out, i| out.extend(bytes(array.value(i))));
}

fn lists(array: &dyn Array, out: &mut Vec<u8>, items: impl Fn(usize) -> ArrayRef) -> Result<()> {
    for i in 0..array.len() {
        if array.is_null(i) {
            out.push(0);
            continue;
        }
        let items = items(i);
        out.push(1);
        out.extend((items.len() as u64).to_le_bytes());
        encode(&items, out)?;
    }
    Ok(())
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn batch(columns: &[(&str, ArrayRef)]) -> RecordBatch {
        RecordBatch::try_from_iter(columns.iter().map(|(name, array)| (*name, Arc::clone(array)))).expect("a batch")
    }

    fn hash(batches: &[RecordBatch]) -> String {
        let mut hash = ContentHash::default();
        for batch in batches {
            hash.add(batch).expect("hashed");
        }
        hash.text()
    }

    #[test]
    fn the_cut_does_not_matter_and_the_values_do() {
        let ints = |values: &[Option<i64>]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        let texts = |values: &[&str]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        let (a, b) = (ints(&[Some(1), None, Some(3)]), texts(&["x", "yz", ""]));
        let whole = batch(&[("a", Arc::clone(&a)), ("b", Arc::clone(&b))]);
        let expected = hash(std::slice::from_ref(&whole));
        assert_eq!(hash(&[whole.slice(0, 1), whole.slice(1, 2)]), expected);
        assert_eq!(hash(&[batch(&[("b", Arc::clone(&b)), ("a", Arc::clone(&a))])]), expected, "order of columns");
        assert_ne!(hash(&[whole.slice(0, 2)]), expected);
        assert_ne!(hash(&[batch(&[("a", ints(&[Some(1), Some(0), Some(3)])), ("b", Arc::clone(&b))])]), expected);
        assert_ne!(hash(&[batch(&[("a", Arc::clone(&a)), ("b", texts(&["xy", "z", ""]))])]), expected);
        assert_ne!(hash(&[batch(&[("c", a), ("b", b)])]), expected, "names count");
    }

    #[test]
    fn a_column_of_nulls_is_as_good_as_none() {
        let a: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let none: ArrayRef = Arc::new(Int64Array::from(vec![None, None]));
        let some: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(5)]));
        let bare = batch(&[("a", Arc::clone(&a))]);
        assert_eq!(hash(&[batch(&[("a", Arc::clone(&a)), ("n", none)])]), hash(std::slice::from_ref(&bare)));
        let late = batch(&[("a", Arc::clone(&a)), ("n", some)]);
        assert_ne!(hash(std::slice::from_ref(&late)), hash(std::slice::from_ref(&bare)));
        // rows before the column appeared hold nulls in it
        let nulls: ArrayRef = Arc::new(Int64Array::from(vec![None, None]));
        assert_eq!(hash(&[bare.clone(), late.clone()]), hash(&[batch(&[("a", a), ("n", nulls)]), late]));
    }
}
