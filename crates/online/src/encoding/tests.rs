use hitherto_core::{Kind, Timestamp, Value, ValueType};
use proptest::prelude::*;

use super::*;

fn list(item: ValueType) -> ValueType {
    ValueType::List(Box::new(item))
}

#[test]
fn golden_row_of_every_type() {
    let columns = [
        ValueType::Bool,
        ValueType::String,
        ValueType::Int32,
        ValueType::Int64,
        ValueType::Float32,
        ValueType::Float64,
        ValueType::Bytes,
        ValueType::Timestamp,
        ValueType::Date,
        list(ValueType::Int32),
        list(ValueType::String),
        ValueType::Vector(2),
    ];
    let values = [
        Value::Bool(true),
        Value::String("hé".into()),
        Value::Int32(-2),
        Value::Null,
        Value::Float32(1.0),
        Value::Float64(-0.5),
        Value::Bytes(vec![0, 255]),
        Value::Timestamp(Timestamp(-1)),
        Value::Date(19_000),
        Value::List(vec![Value::Int32(7), Value::Null]),
        Value::List(vec![Value::String("a".into()), Value::Null, Value::String("bc".into())]),
        Value::Vector(vec![1.0, -2.0]),
    ];
    let golden = [
        &[1][..],                                              // format
        &[12, 0],                                              // columns
        &[5, 0],                                               // of variable length
        &[37, 0, 0, 0],                                        // bytes of the fixed-width region
        &[0b0000_1000, 0],                                     // nulls: column 3
        &[1],                                                  // bool
        b"\xfe\xff\xff\xff",                                   // int32
        &[0; 8],                                               // int64, null
        b"\x00\x00\x80\x3f",                                   // float32
        b"\x00\x00\x00\x00\x00\x00\xe0\xbf",                   // float64
        &[0xff; 8],                                            // timestamp
        b"\x38\x4a\x00\x00",                                   // date
        b"\x03\0\0\0\x05\0\0\0\x12\0\0\0\x26\0\0\0\x2e\0\0\0", // ends
        b"h\xc3\xa9",                                          // string
        &[0, 255],                                             // bytes
        b"\x02\0\0\0\x02\x07\0\0\0\0\0\0\0",                   // list of int32
        b"\x03\0\0\0\x02\x01\0\0\0\x01\0\0\0\x03\0\0\0abc",    // list of string
        b"\x00\x00\x80\x3f\x00\x00\x00\xc0",                   // vector
    ]
    .concat();
    let golden = golden.as_slice();
    let packed = encode(&columns, &values).expect("values of these types");
    assert_eq!(packed.as_ref(), golden);
    assert_eq!(decode(golden, &columns).expect("a row"), values);
    let row = PackedRow::new(golden, &columns).expect("a row");
    assert!(row.is_null(3) && !row.is_null(2) && row.is_null(12));
    assert_eq!((row.slot::<8>(3), row.slot::<8>(12)), (Ok(None), Ok(None)));
    assert_eq!((row.slot(2), row.slot(5)), (Ok(Some((-2_i32).to_le_bytes())), Ok(Some((-0.5_f64).to_le_bytes()))));
    assert!(row.slot::<4>(5).is_err() && row.slot::<4>(1).is_err(), "of another width");
    assert!(matches!(row.get(1), Ok(ValueRef::String("hé"))));
    assert!(matches!(row.get(8), Ok(ValueRef::Date(19_000))));
    assert!(matches!(row.get(11), Ok(ValueRef::Vector(vector)) if vector.iter().eq([1.0, -2.0])));
    assert!(matches!(row.get(12), Ok(ValueRef::Null)));
}

#[test]
fn golden_row_without_columns() {
    let packed = encode(&[], &[]).expect("no values");
    assert_eq!(packed.as_ref(), [1, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(decode(&packed, &[ValueType::Bool]), Ok(vec![Value::Null]));
}

#[test]
fn rows_of_older_and_newer_definitions_read_as_far_as_both_know() {
    let newer = [ValueType::Int64, ValueType::String, ValueType::Float32, ValueType::Bytes, ValueType::Bool];
    let values =
        [Value::Int64(1), Value::String("x".into()), Value::Float32(2.0), Value::Bytes(vec![9]), Value::Bool(true)];
    for known in 0..=newer.len() {
        let old = encode(&newer[..known], &values[..known]).expect("values of these types");
        let mut expected = values[..known].to_vec();
        expected.resize(newer.len(), Value::Null);
        assert_eq!(decode(&old, &newer), Ok(expected), "a row of {known} columns");
        let new = encode(&newer, &values).expect("values of these types");
        assert_eq!(decode(&new, &newer[..known]), Ok(values[..known].to_vec()), "a reader of {known} columns");
        let layout = Layout::new(newer.to_vec());
        let row = PackedRow::with_layout(&old, &layout).expect("a row");
        let last = row.get(newer.len() - 1).and_then(ValueRef::to_value);
        assert_eq!(last, Ok(if known == newer.len() { Value::Bool(true) } else { Value::Null }), "of {known} columns");
        assert!(matches!(row.get(newer.len() + 1), Ok(ValueRef::Null)), "there is none");
    }
}

#[test]
fn wrong_values_are_refused() {
    let error = encode(&[ValueType::Bool, ValueType::Int64], &[Value::Null, Value::Int32(1)]).expect_err("an int32");
    assert_eq!(error.to_string(), "could not pack column 1 of a row: its type is int64, and the value is a int32");
    assert_eq!(error.kind(), Kind::InvalidArgument);
    for (column, value) in [
        (ValueType::Vector(2), Value::Vector(vec![1.0])),
        (list(ValueType::Bool), Value::List(vec![Value::Int32(1)])),
        (list(ValueType::String), Value::List(vec![Value::Bytes(vec![])])),
        (list(ValueType::Vector(1)), Value::List(vec![Value::Vector(vec![1.0])])),
        (ValueType::String, Value::Bytes(vec![])),
    ] {
        assert!(matches!(encode(&[column], &[value]), Err(EncodingError::Type { column: 0, .. })));
    }
    assert_eq!(encode(&[], &[Value::Null]), Err(EncodingError::Count { columns: 0, values: 1 }));
}

#[test]
fn malformed_rows_are_errors() {
    let one = |column, bytes: &[u8]| decode(bytes, &[column]);
    let cases: [(ValueType, &[u8]); 8] = [
        (ValueType::Bool, &[2, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1]), // another format
        (ValueType::Bool, &[1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 2]), // a bool of 2
        (ValueType::Int32, &[1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 1]), // a bool, not an int32
        (ValueType::String, &[1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0xff]), // not UTF-8
        (ValueType::String, &[1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'a']), // ends too late
        (ValueType::Vector(1), &[1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]), // a vector of one byte
        (list(ValueType::Bool), &[1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255]), // 4 G items
        (list(ValueType::String), &[1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255]),
    ];
    for (column, bytes) in cases {
        assert!(matches!(one(column, bytes), Err(EncodingError::Malformed(_))), "{bytes:?}");
    }
    // the first string ends after the second
    let crossed = [1, 2, 0, 2, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, b'a'];
    assert!(decode(&crossed, &[ValueType::String, ValueType::String]).is_err());
}

fn scalar() -> impl Strategy<Value = ValueType> {
    prop::sample::select(vec![
        ValueType::Bool,
        ValueType::Int32,
        ValueType::Int64,
        ValueType::Float32,
        ValueType::Float64,
        ValueType::String,
        ValueType::Bytes,
        ValueType::Timestamp,
        ValueType::Date,
    ])
}

fn column() -> impl Strategy<Value = ValueType> {
    prop_oneof![4 => scalar(), 1 => scalar().prop_map(list), 1 => (1..5u32).prop_map(ValueType::Vector)]
}

fn value(column: &ValueType) -> BoxedStrategy<Value> {
    let present = match column {
        ValueType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        ValueType::Int32 => any::<i32>().prop_map(Value::Int32).boxed(),
        ValueType::Int64 => any::<i64>().prop_map(Value::Int64).boxed(),
        ValueType::Float32 => any::<u32>().prop_map(|bits| Value::Float32(f32::from_bits(bits))).boxed(),
        ValueType::Float64 => any::<u64>().prop_map(|bits| Value::Float64(f64::from_bits(bits))).boxed(),
        ValueType::String => any::<String>().prop_map(Value::String).boxed(),
        ValueType::Bytes => any::<Vec<u8>>().prop_map(Value::Bytes).boxed(),
        ValueType::Timestamp => any::<i64>().prop_map(|micros| Value::Timestamp(Timestamp(micros))).boxed(),
        ValueType::Date => any::<i32>().prop_map(Value::Date).boxed(),
        ValueType::List(item) => prop::collection::vec(value(item), 0..20).prop_map(Value::List).boxed(),
        ValueType::Vector(length) => prop::collection::vec(any::<u32>().prop_map(f32::from_bits), *length as usize)
            .prop_map(Value::Vector)
            .boxed(),
    };
    prop_oneof![1 => Just(Value::Null), 4 => present].boxed()
}

fn row() -> impl Strategy<Value = (Vec<ValueType>, Vec<Value>)> {
    prop::collection::vec(column(), 0..20).prop_flat_map(|columns| {
        let values: Vec<_> = columns.iter().map(value).collect();
        (Just(columns), values)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn values_come_back((columns, values) in row()) {
        let packed = encode(&columns, &values).expect("values of these types");
        let back = decode(&packed, &columns).expect("a row");
        // by text, since NaN is not equal to itself; the bytes say that its bits are
        prop_assert_eq!(format!("{back:?}"), format!("{values:?}"));
        prop_assert_eq!(encode(&columns, &back).expect("values of these types"), packed.clone());
        let in_place = PackedRow::new(&packed, &columns).expect("a row");
        let layout = Layout::new(columns.clone());
        let laid_out = PackedRow::with_layout(&packed, &layout).expect("a row");
        for (index, value) in values.iter().enumerate() {
            let got = laid_out.get(index).and_then(ValueRef::to_value).expect("a value");
            prop_assert_eq!(format!("{got:?}"), format!("{value:?}"));
            prop_assert_eq!(in_place.is_null(index), matches!(value, Value::Null));
            let got = in_place.get(index).and_then(ValueRef::to_value).expect("a value");
            prop_assert_eq!(format!("{got:?}"), format!("{value:?}"));
        }
    }

    #[test]
    fn a_row_cut_anywhere_or_too_long_is_an_error((columns, values) in row()) {
        let packed = encode(&columns, &values).expect("values of these types");
        for length in 0..packed.len() {
            prop_assert!(decode(&packed[..length], &columns).is_err(), "cut at {} of {}", length, packed.len());
        }
        let mut longer = packed.to_vec();
        longer.push(0);
        prop_assert!(decode(&longer, &columns).is_err());
    }

    #[test]
    fn no_bytes_panic(
        (columns, values) in row(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        noise: Vec<u8>,
    ) {
        let _ = decode(&noise, &columns);
        let mut bytes = encode(&columns, &values).expect("values of these types").to_vec();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = decode(&bytes, &columns);
    }
}
