use std::sync::Arc;

use arrow::array::types::{Int8Type, Int32Type as Int32};
use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Date64Array, Decimal128Array, DictionaryArray,
    FixedSizeBinaryArray, FixedSizeListArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
    LargeBinaryArray, LargeListArray, LargeStringArray, ListArray, ListViewArray, NullArray, StringArray,
    StringViewArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt8Array,
    UInt64Array,
};
use arrow::datatypes::{Float32Type, Float64Type, Int64Type};
use hitherto_core::ValueType;

use super::*;

fn a(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

fn value_type(text: &str) -> ValueType {
    text.parse().expect("a type")
}

/// The values of a column after its cast, as they print, or the refusal as it reads.
fn outcome(cast: Result<ArrayRef, CastError>, to: &ValueType) -> Result<Vec<String>, String> {
    let array = cast.map_err(|error| match &error {
        CastError::Cell { row, .. } => format!("{row}: {error}"),
        CastError::Type { .. } => error.to_string(),
    })?;
    assert_eq!(array.data_type(), &arrow_type(to));
    Ok((0..array.len()).map(|row| if array.is_null(row) { "null".to_owned() } else { shown(&array, row) }).collect())
}

/// A column, the type it is cast to, what it is for, and what comes of it.
type Case<'a> = (ArrayRef, &'a str, Role, Result<&'a [&'a str], &'a str>);

fn check(cases: Vec<Case<'_>>) {
    for (array, to, role, expected) in cases {
        let to = value_type(to);
        let expected = expected.map(|values| values.iter().map(ToString::to_string).collect()).map_err(str::to_owned);
        assert_eq!(outcome(cast_column(&array, &to, role), &to), expected, "{} to {to}", array.data_type());
    }
}

#[test]
fn numbers_change_only_where_nothing_is_lost() {
    use Role::Feature;
    let wide = || a(Int64Array::from(vec![Some(1), None, Some(1 << 40)]));
    check(vec![
        (a(Int16Array::from(vec![Some(-5), None])), "int64", Feature, Ok(&["-5", "null"])),
        (a(UInt8Array::from(vec![255])), "int32", Feature, Ok(&["255"])),
        (a(Int64Array::from(vec![7, -8])), "int32", Feature, Ok(&["7", "-8"])),
        (
            wide(),
            "int32",
            Feature,
            Err("2: 1099511627776 does not fit int32: declare a wider type, or correct the value"),
        ),
        (
            a(UInt64Array::from(vec![1, u64::MAX])),
            "int64",
            Feature,
            Err("1: 18446744073709551615 does not fit int64: declare a wider type, or correct the value"),
        ),
        (a(Int32Array::from(vec![3])), "float64", Feature, Ok(&["3.0"])),
        (
            a(Int64Array::from(vec![(1 << 53) + 1])),
            "float64",
            Feature,
            Err("0: 9007199254740993 has no exact float64: declare the feature int64, \
                 or round the column where it is made"),
        ),
        (
            a(Int32Array::from(vec![1 << 24, (1 << 24) + 1])),
            "float32",
            Feature,
            Err("1: 16777217 has no exact float32: declare the feature float64, \
                 or round the column where it is made"),
        ),
        (a(Float32Array::from(vec![0.1])), "float64", Feature, Ok(&["0.10000000149011612"])),
        (
            a(Float64Array::from(vec![Some(0.5), Some(f64::NAN), Some(f64::INFINITY), Some(-0.0), None])),
            "float32",
            Feature,
            Ok(&["0.5", "NaN", "inf", "-0.0", "null"]),
        ),
        (
            a(Float64Array::from(vec![0.5, 0.1])),
            "float32",
            Feature,
            Err("1: 0.1 has no exact float32: declare the feature float64, or round the column where it is made"),
        ),
        (
            a(Float64Array::from(vec![1e300])),
            "float32",
            Feature,
            Err("0: 1e300 has no exact float32: declare the feature float64, or round the column where it is made"),
        ),
        (a(Float64Array::from(vec![Some(3.0), None])), "int32", Feature, Ok(&["3", "null"])),
        (
            a(Float64Array::from(vec![2.5])),
            "int64",
            Feature,
            Err("0: 2.5 is not a whole number, and int64 is wanted: declare the feature float64, \
                 or round the column where it is made"),
        ),
        (
            a(Float64Array::from(vec![9_223_372_036_854_775_808.0])),
            "int64",
            Feature,
            Err("0: 9.223372036854776e18 does not fit int64: declare a wider type, or correct the value"),
        ),
        (
            a(Float64Array::from(vec![f64::NAN])),
            "int64",
            Feature,
            Err("0: NaN is not a number, and int64 is wanted: write null for what is missing, \
                 in pandas df[column].astype(\"Int64\")"),
        ),
        (
            a(Decimal128Array::from(vec![1200]).with_precision_and_scale(10, 2).expect("a decimal")),
            "int64",
            Feature,
            Ok(&["12"]),
        ),
        (
            a(Decimal128Array::from(vec![1250]).with_precision_and_scale(10, 2).expect("a decimal")),
            "int64",
            Feature,
            Err("0: 12.50 is no int64: convert the column where it is made"),
        ),
    ]);
}

#[test]
fn keys_are_never_floats() {
    let refusal = "Float64 is not taken: a key is exact, and floats are not; with pandas, \
                   df[column].astype(\"Int64\") keeps integers whole beside nulls";
    check(vec![
        (a(Float64Array::from(vec![1.0])), "int64", Role::Key, Err(refusal)),
        (a(Float64Array::from(vec![1.0])), "string", Role::Key, Err(refusal)),
        (a(Int32Array::from(vec![Some(1), None])), "int64", Role::Key, Ok(&["1", "null"])),
        (
            a(Int64Array::from(vec![1])),
            "string",
            Role::Key,
            Err("Int64 is not taken: convert the column where it is made, or declare another type"),
        ),
        (
            a(StringArray::from(vec!["1"])),
            "int64",
            Role::Key,
            Err("Utf8 is not taken: text is turned into other types only in CSV; convert the column where it is made"),
        ),
        (
            a(TimestampNanosecondArray::from(vec![1])),
            "timestamp",
            Role::Key,
            Err("0: 1970-01-01T00:00:00.000000001 is finer than a microsecond: round the column where it is made"),
        ),
    ]);
}

#[test]
fn layouts_are_unpacked() {
    use Role::Feature;
    let fixed = FixedSizeBinaryArray::try_from_iter([vec![1_u8, 2]].into_iter()).expect("two bytes");
    let keys = arrow::array::Int32Array::from(vec![Some(1), None, Some(0)]);
    let times = a(TimestampMillisecondArray::from(vec![5, 6]));
    let times = a(DictionaryArray::<Int32>::try_new(keys, times).expect("a dictionary"));
    check(vec![
        (
            a(vec![Some("x"), None, Some("x")].into_iter().collect::<DictionaryArray<Int8Type>>()),
            "string",
            Role::Key,
            Ok(&["x", "null", "x"]),
        ),
        (times, "timestamp", Feature, Ok(&["1970-01-01T00:00:00.006Z", "null", "1970-01-01T00:00:00.005Z"])),
        (a(StringViewArray::from(vec!["x"])), "string", Feature, Ok(&["x"])),
        (a(LargeStringArray::from(vec!["x"])), "string", Feature, Ok(&["x"])),
        (a(BinaryViewArray::from(vec![&b"\x01"[..]])), "bytes", Feature, Ok(&["01"])),
        (a(LargeBinaryArray::from(vec![&b"\x01"[..]])), "bytes", Feature, Ok(&["01"])),
        (a(fixed), "bytes", Feature, Ok(&["0102"])),
        (a(NullArray::new(1)), "list<int64>", Feature, Ok(&["null"])),
        (a(BooleanArray::from(vec![true])), "bool", Role::Deleted, Ok(&["true"])),
        (a(Int32Array::from(vec![1])), "bool", Role::Deleted, Err("Int32 is not taken")),
    ]);
}

#[test]
fn times_become_utc_microseconds_rounded_against_the_reader() {
    use Role::{CreatedTime, EventTime, Feature};
    let nanos = || a(TimestampNanosecondArray::from(vec![1_000, 1_001, -1_001]));
    let leak = ": a day's aggregate dated midnight leaks the day; write the time at which the fact was true \
                or the day was over";
    check(vec![
        (
            nanos(),
            "timestamp",
            EventTime,
            Ok(&["1970-01-01T00:00:00.000001Z", "1970-01-01T00:00:00.000002Z", "1969-12-31T23:59:59.999999Z"]),
        ),
        (
            nanos(),
            "timestamp",
            Feature,
            Err("1: 1970-01-01T00:00:00.000001001 is finer than a microsecond: round the column where it is made"),
        ),
        (
            a(TimestampSecondArray::from(vec![60]).with_timezone("+02:00")),
            "timestamp",
            CreatedTime,
            Ok(&["1970-01-01T00:01:00Z"]),
        ),
        (
            a(TimestampSecondArray::from(vec![0, 10_000_000_000_000])),
            "timestamp",
            EventTime,
            Err("1: 10000000000000 is outside the times that UTC microseconds can hold"),
        ),
        (
            a(TimestampSecondArray::from(vec![Some(0), None])),
            "timestamp",
            EventTime,
            Err("1: null is refused as event time: every row needs one"),
        ),
        (
            a(NullArray::new(2)),
            "timestamp",
            CreatedTime,
            Err("0: null is refused as created time: every row needs one"),
        ),
        (a(TimestampSecondArray::from(vec![None])), "timestamp", Feature, Ok(&["null"])),
        (a(Date32Array::from(vec![1])), "timestamp", EventTime, Err(&format!("Date32 is not taken{leak}"))),
        (a(Date64Array::from(vec![1])), "timestamp", CreatedTime, Err(&format!("Date64 is not taken{leak}"))),
        (
            a(Date32Array::from(vec![1])),
            "timestamp",
            Feature,
            Err("Date32 is not taken: declare it date, or write times"),
        ),
        (
            a(Int64Array::from(vec![1])),
            "timestamp",
            EventTime,
            Err("Int64 is not taken: say which unit it is by writing timestamps, in pandas \
                 pd.to_datetime(column, unit=\"s\", utc=True)"),
        ),
        (
            a(StringArray::from(vec!["2013-07-01"])),
            "timestamp",
            EventTime,
            Err("Utf8 is not taken: write timestamps, in pandas pd.to_datetime(column, utc=True)"),
        ),
        (a(Date64Array::from(vec![86_400_000])), "date", Feature, Ok(&["1970-01-02"])),
        (
            a(Date64Array::from(vec![86_400_001])),
            "date",
            Feature,
            Err("0: 1970-01-02T00:00:00.001 is no date: it has a time of day"),
        ),
    ]);
    assert_eq!(convert_time_up(&nanos()).map(|times| times.values().to_vec()), Ok(vec![1, 2, -1]));
    assert_eq!(convert_time_down(&nanos()).map(|times| times.values().to_vec()), Ok(vec![1, 1, -2]));
}

#[test]
fn lists_and_vectors_of_any_layout_are_taken() {
    use Role::Feature;
    let rows = || vec![Some(vec![Some(1.0), Some(2.0)]), None, Some(vec![Some(3.0), Some(4.0)])];
    let sliced = ListArray::from_iter_primitive::<Float64Type, _, _>(
        [Some(vec![Some(0.1)])].into_iter().chain(rows()).collect::<Vec<_>>(),
    )
    .slice(1, 3);
    let view = ListViewArray::from(ListArray::from_iter_primitive::<Float32Type, _, _>(
        rows()
            .into_iter()
            .map(|row| row.map(|row| row.into_iter().map(|v| v.map(|v: f64| v as f32)).collect::<Vec<_>>())),
    ));
    let fixed = FixedSizeListArray::from_iter_primitive::<Float64Type, _, _>(rows(), 2);
    let both: &[&str] = &["[1.0, 2.0]", "null", "[3.0, 4.0]"];
    check(vec![
        (a(LargeListArray::from_iter_primitive::<Float64Type, _, _>(rows())), "vector<float32, 2>", Feature, Ok(both)),
        (a(sliced), "vector<float32, 2>", Feature, Ok(both)),
        (a(view), "vector<float32, 2>", Feature, Ok(both)),
        (a(fixed.clone()), "vector<float32, 2>", Feature, Ok(both)),
        (a(fixed), "list<float64>", Feature, Ok(both)),
        (
            a(ListArray::from_iter_primitive::<Float64Type, _, _>([Some(vec![Some(1.0)]), Some(vec![])])),
            "vector<float32, 1>",
            Feature,
            Err("1: [] has 0 numbers, and vector<float32, 1> is wanted"),
        ),
        (
            a(ListArray::from_iter_primitive::<Float64Type, _, _>([Some(vec![Some(1.0)]), Some(vec![None])])),
            "vector<float32, 1>",
            Feature,
            Err("1: [] has a null among its numbers, which a vector cannot hold"),
        ),
        (
            a(ListArray::from_iter_primitive::<Int64Type, _, _>([
                Some(vec![Some(1), None]),
                Some(vec![]),
                Some(vec![Some(2), Some(1 << 33)]),
            ])),
            "list<int32>",
            Feature,
            Err("2: 8589934592 does not fit int32: declare a wider type, or correct the value"),
        ),
        (a(Int64Array::from(vec![1])), "list<int64>", Feature, Err("Int64 is not taken")),
    ]);
}

#[test]
fn what_a_null_list_hides_is_not_refused() {
    let items = a(Int64Array::from(vec![1 << 40, 7]));
    let offsets = arrow::buffer::OffsetBuffer::new(vec![0, 1, 2].into());
    let field = Arc::new(arrow::datatypes::Field::new("item", DataType::Int64, true));
    let nulls = arrow::buffer::NullBuffer::from(vec![false, true]);
    let lists = a(ListArray::new(field, offsets, items, Some(nulls)));
    check(vec![(lists, "list<int32>", Role::Feature, Ok(&["null", "[7]"]))]);
}

fn check_text(form: Form, cases: &[(&str, &str, Role, Result<&str, &str>)]) {
    for (text, to, role, expected) in cases {
        let to = value_type(to);
        let cells = StringArray::from(vec![Some(*text)]);
        let expected = expected.map(|value| vec![value.to_owned()]).map_err(|text| format!("0: {text}"));
        let found = outcome(cast_text(&cells, form, &to, (*role).into()), &to);
        assert_eq!(found, expected, "{text} to {to}");
    }
}

#[test]
fn fields_of_csv_become_what_is_declared() {
    use Role::{EventTime, Feature, Key};
    check_text(
        Form::Csv,
        &[
            (" 5 ", "int32", Feature, Ok("5")),
            ("5.0", "int64", Feature, Ok("5")),
            ("9007199254740993.0", "int64", Feature, Ok("9007199254740993")),
            ("", "int64", Feature, Ok("null")),
            ("", "string", Feature, Ok("")),
            (" a ", "string", Feature, Ok(" a ")),
            ("007", "string", Key, Ok("007")),
            (
                "5.0",
                "int64",
                Key,
                Err("'5.0' is refused in a key: a key is exact, and floats are not; with pandas, \
                     df[column].astype(\"Int64\") keeps integers whole beside nulls"),
            ),
            ("NA", "int64", Feature, Err("'NA' is no int64: only an empty field or null is a missing value")),
            (
                "2.5",
                "int64",
                Feature,
                Err("'2.5' is not a whole number, and int64 is wanted: declare the feature float64, \
                     or round the column where it is made"),
            ),
            (
                "3000000000",
                "int32",
                Feature,
                Err("'3000000000' does not fit int32: declare a wider type, or correct the value"),
            ),
            ("0.1", "float32", Feature, Ok("0.1")),
            ("nan", "float64", Feature, Ok("NaN")),
            (
                "1e39",
                "float32",
                Feature,
                Err("'1e39' does not fit float32: declare a wider type, or correct the value"),
            ),
            (
                "16777217",
                "float32",
                Feature,
                Err("'16777217' has no exact float32: declare the feature float64, \
                     or round the column where it is made"),
            ),
            ("True", "bool", Feature, Ok("true")),
            ("1", "bool", Feature, Err("'1' is no bool: write true or false")),
            ("2013-07-01", "date", Feature, Ok("2013-07-01")),
            ("01ff", "bytes", Feature, Ok("01ff")),
            ("[1, null]", "list<int64>", Feature, Ok("[1, ]")),
            ("[1, 2]", "vector<float32, 2>", Feature, Ok("[1.0, 2.0]")),
            (
                "1 2",
                "vector<float32, 2>",
                Feature,
                Err("'1 2' is no vector<float32, 2>: write it as a JSON array like [1, 2]"),
            ),
            ("2013-07-01 14:00:00+02", "timestamp", EventTime, Ok("2013-07-01T12:00:00Z")),
            ("2013-07-01T12:00:00.0000010", "timestamp", EventTime, Ok("2013-07-01T12:00:00.000001Z")),
            ("2013-07-01T12:00:00.0000000001Z", "timestamp", EventTime, Ok("2013-07-01T12:00:00.000001Z")),
            ("2013-07-01 12:00:00 UTC", "timestamp", Feature, Ok("2013-07-01T12:00:00Z")),
            (
                "2013-07-01",
                "timestamp",
                EventTime,
                Err("'2013-07-01' is a date, and a time is wanted: a day's aggregate dated midnight leaks the day; \
                     write the time at which the fact was true or the day was over"),
            ),
            ("12:00", "timestamp", EventTime, Err("'12:00' is no timestamp: write it like 2013-07-01T12:00:00Z")),
        ],
    );
}

#[test]
fn json_tells_numbers_from_strings() {
    use Role::{EventTime, Feature, Key};
    check_text(
        Form::Json,
        &[
            ("5", "int64", Key, Ok("5")),
            ("5.0", "int64", Feature, Ok("5")),
            ("\"5\"", "int64", Feature, Err("\"5\" is no int64: write it without quotes")),
            ("5", "string", Key, Err("5 is no string: write it as a JSON string")),
            ("\"a\\u00e4\\\"\"", "string", Feature, Ok("aä\"")),
            ("true", "bool", Feature, Ok("true")),
            ("true", "int32", Feature, Err("true is no int32: only an empty field or null is a missing value")),
            ("0.1", "float64", Feature, Ok("0.1")),
            ("[\"a\",null,\"b,c\"]", "list<string>", Feature, Ok("[a, , b,c]")),
            ("[]", "list<int64>", Feature, Ok("[]")),
            ("[1,\"2\"]", "list<int64>", Feature, Err("\"2\" is no int64: write it without quotes")),
            ("\"2013-07-01T12:00:00Z\"", "timestamp", EventTime, Ok("2013-07-01T12:00:00Z")),
            (
                "1372680000",
                "timestamp",
                EventTime,
                Err("1372680000 is no timestamp: write it as a string like \"2013-07-01T12:00:00Z\""),
            ),
        ],
    );
}
