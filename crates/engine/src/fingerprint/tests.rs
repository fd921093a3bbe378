//! Golden bytes: an encoding that changes would make every dataset look like another.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array, LargeStringArray,
    ListArray, RecordBatch, StringArray, StringViewArray, StructArray, TimestampMicrosecondArray,
};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Field, Int32Type};

use super::*;

fn batch() -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(-1)]));
    let lists: ArrayRef =
        Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(7), None]), Some(vec![]), None]));
    let halves: ArrayRef = Arc::new(Float32Array::from(vec![Some(0.5), Some(-f32::NAN), None]));
    let pairs: ArrayRef = Arc::new(StructArray::from(vec![
        (Arc::new(Field::new("n", numbers.data_type().clone(), true)), Arc::clone(&numbers)),
        (Arc::new(Field::new("h", halves.data_type().clone(), true)), Arc::clone(&halves)),
    ]));
    let columns: [(&str, ArrayRef); 8] = [
        ("number", numbers),
        ("text", Arc::new(StringArray::from(vec![Some("é"), Some(""), None]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
        ("half", halves),
        ("time", Arc::new(TimestampMicrosecondArray::from(vec![Some(258), None, Some(0)]).with_timezone("UTC"))),
        ("whole", Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN]))),
        ("list", lists),
        ("pair", pairs),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn bytes(batch: &RecordBatch, row: usize) -> String {
    let mut bytes = Vec::new();
    Columns::new(batch.columns()).expect("columns").put(row, &mut bytes);
    hex::encode(bytes)
}

fn sum(batches: &[RecordBatch]) -> String {
    let mut sum = RowsFingerprint::new(&batches[0].schema()).expect("a schema");
    for batch in batches {
        sum.add(batch).expect("rows");
    }
    sum.text()
}

#[test]
fn a_row_is_these_bytes_for_ever() {
    let batch = batch();
    let first = concat!(
        "010100000000000000",             // number 1
        "0102000000c3a9",                 // text é
        "0101",                           // flag true
        "010000003f",                     // half 0.5
        "010201000000000000",             // time 258 us
        "010000000000000000",             // whole 0
        "0102000000010700000000",         // list [7, null]
        "01010100000000000000010000003f", // pair {1, 0.5}
    );
    assert_eq!(bytes(&batch, 0), first);
    let second =
        concat!("00", "0100000000", "0100", "010000c07f", "00", "010000000000000080", "0100000000", "0100010000c07f");
    assert_eq!(bytes(&batch, 1), second);
    assert_eq!(
        bytes(&batch, 2),
        concat!(
            "01ffffffffffffffff",
            "00",
            "00",
            "00",
            "010000000000000000",
            "01000000000000f87f",
            "00",
            "0101ffffffffffffffff00"
        )
    );
    assert_eq!(sum(std::slice::from_ref(&batch)), "f2e6a8539bc4ba5125693ec8453c2330f3676913cc0a216b7eedb9dc6b29aeb6");
    let mut ordered = Fingerprint::new(&batch.schema(), Dataset::FORMAT).expect("a schema");
    ordered.add(&batch).expect("rows");
    assert_eq!(ordered.text(), "a6199582684ccc6e1e0e9b182b6e3e93f9fb0a16fbdee9b3e761313c70944400");
}

#[test]
fn the_heading_names_columns_and_types() {
    let heading = heading(&batch().schema()).expect("a heading");
    assert_eq!(heading.len() % 64, 0);
    let text = String::from_utf8_lossy(&heading);
    for part in [
        "number",
        "int64",
        "string",
        "bool",
        "float32",
        "timestamp<us, UTC>",
        "list<int32>",
        "struct<n: int64, h: float32>",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_sum_knows_rows_and_neither_order_nor_batches_nor_layout() {
    let batch = batch();
    let whole = sum(std::slice::from_ref(&batch));
    let turned = take_record_batch(&batch, &Int32Array::from(vec![2, 0, 1])).expect("rows");
    assert_eq!(sum(&[turned.slice(0, 1), turned.slice(1, 2)]), whole);
    assert_ne!(sum(&[batch.slice(0, 2)]), whole);
    let twice = concat_batches(&batch.schema(), [&batch, &batch]).expect("rows");
    assert_ne!(sum(&[twice]), whole, "a multiset counts");

    let of = |texts: ArrayRef| sum(&[RecordBatch::try_from_iter([("t", texts)]).expect("a column")]);
    let plain = of(Arc::new(StringArray::from(vec![Some("a"), None, Some("b")])));
    let dictionary: DictionaryArray<Int32Type> = [Some("a"), None, Some("b")].into_iter().collect();
    assert_eq!(of(Arc::new(dictionary)), plain);
    assert_eq!(of(Arc::new(LargeStringArray::from(vec![Some("a"), None, Some("b")]))), plain);
    assert_eq!(of(Arc::new(StringViewArray::from(vec![Some("a"), None, Some("b")]))), plain);
    assert_ne!(of(Arc::new(StringArray::from(vec![Some("ab"), None, Some("")]))), plain);
    // a dictionary that holds nothing, since all rows are null
    let nulls: DictionaryArray<Int32Type> = [None::<&str>, None].into_iter().collect();
    assert!(nulls.values().is_empty());
    assert_eq!(of(Arc::new(nulls)), of(Arc::new(StringArray::from(vec![None::<&str>, None]))));
}

#[test]
fn values_cannot_move_between_columns() {
    let of = |a: &str, b: &str| {
        let column = |text: &str| Arc::new(StringArray::from(vec![text.to_owned()])) as ArrayRef;
        sum(&[RecordBatch::try_from_iter([("a", column(a)), ("b", column(b))]).expect("columns")])
    };
    assert_ne!(of("ab", "c"), of("a", "bc"));
    let named = |name: &str| {
        sum(&[RecordBatch::try_from_iter([(name, Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).expect("a column")])
    };
    assert_ne!(named("a"), named("b"), "names count");
    let narrow =
        RecordBatch::try_from_iter([("a", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]).expect("a column");
    assert_ne!(sum(&[narrow]), named("a"), "types count");
}

#[test]
fn a_carry_goes_through_all_words() {
    let schema = batch().schema();
    let mut sum = RowsFingerprint::new(&schema).expect("a schema");
    sum.add_hash(&[0xff; 32]);
    assert_eq!(sum.text(), "f".repeat(64));
    let mut one = [0; 32];
    one[31] = 1;
    sum.add_hash(&one);
    assert_eq!(sum.text(), "0".repeat(64), "modulo 2^256");
    sum.add_hash(&[0xff; 32]);
    sum.add_hash(&[0xff; 32]);
    assert_eq!(sum.text(), format!("{}e", "f".repeat(63)));
}
