//! Columns of values, and of entity keys.

use std::collections::BTreeSet;

use hitherto_core::{KeyType, KeyValue, Value, ValueType};

use crate::{Error, field, pack, v1};

/// A named column of values of one type, nulls allowed.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub value_type: ValueType,
    /// One per row.
    pub values: Vec<Value>,
}

impl Column {
    /// A column of `values`, each of them null or of `value_type`; held to it when it is sent.
    pub fn new(name: impl Into<String>, value_type: ValueType, values: Vec<Value>) -> Self {
        Self { name: name.into(), value_type, values }
    }

    /// A column of parts of entity keys; `None` is a null, which matches nothing.
    pub fn of_keys(name: impl Into<String>, key_type: KeyType, keys: Vec<Option<KeyValue>>) -> Result<Self, Error> {
        let name = name.into();
        let values = keys
            .into_iter()
            .enumerate()
            .map(|(row, key)| key.map_or(Ok(Value::Null), |key| key_to_value(&name, row, key_type, key)))
            .collect::<Result<_, _>>()?;
        Ok(Self { value_type: key_type.value_type(), values, name })
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Its values as parts of entity keys of `key_type`; a null is `None`. Integers count by value: either width will
    /// do, as long as they fit.
    pub fn into_keys(self, key_type: KeyType) -> Result<Vec<Option<KeyValue>>, Error> {
        let integers = matches!(key_type, KeyType::Int32 | KeyType::Int64)
            && matches!(self.value_type, ValueType::Int32 | ValueType::Int64);
        if self.value_type != key_type.value_type() && !integers {
            let remedy = match self.value_type {
                ValueType::Float32 | ValueType::Float64 => {
                    ": floats cannot be keys; in pandas, make integers with nulls astype('Int64')"
                }
                _ => "",
            };
            return Err(Error::Key { column: self.name, found: self.value_type, key_type, remedy });
        }
        let Self { name, value_type, values } = self;
        values
            .into_iter()
            .enumerate()
            .map(|(row, value)| value_to_key(&name, row, key_type, &value_type, value))
            .collect()
    }

    /// The same values as `value_type`, where every value of the present type has one: `int32` as `int64` or
    /// `float64`, `float32` as `float64`.
    pub fn widened(self, value_type: &ValueType) -> Result<Self, Error> {
        let widen: fn(Value) -> Value = match (&self.value_type, value_type) {
            (from, to) if from == to => return Ok(self),
            (ValueType::Int32, ValueType::Int64) => |value| match value {
                Value::Int32(number) => Value::Int64(number.into()),
                other => other,
            },
            (ValueType::Int32, ValueType::Float64) => |value| match value {
                Value::Int32(number) => Value::Float64(number.into()),
                other => other,
            },
            (ValueType::Float32, ValueType::Float64) => |value| match value {
                Value::Float32(number) => Value::Float64(number.into()),
                other => other,
            },
            (from, to) => {
                let problem = format!("is of type {from}, and {to} is wanted");
                return Err(Error::Column { column: self.name, problem });
            }
        };
        let values = self.values.into_iter().map(widen).collect();
        Ok(Self { name: self.name, value_type: value_type.clone(), values })
    }
}

/// The number of rows that all `columns` have; an error when they differ or two share a name. 0 for no columns.
pub fn row_count<'a>(columns: impl IntoIterator<Item = &'a Column>) -> Result<usize, Error> {
    let mut names = BTreeSet::new();
    let mut first: Option<&Column> = None;
    for column in columns {
        if !names.insert(&column.name) {
            return Err(Error::Column { column: column.name.clone(), problem: "is there twice".to_owned() });
        }
        let first = *first.get_or_insert(column);
        if first.len() != column.len() {
            let problem = format!("has {} rows, but '{}' has {}", column.len(), first.name, first.len());
            return Err(Error::Column { column: column.name.clone(), problem });
        }
    }
    Ok(first.map_or(0, Column::len))
}

fn key_to_value(column: &str, row: usize, key_type: KeyType, key: KeyValue) -> Result<Value, Error> {
    let out_of_range = |value| Error::KeyRange { column: column.to_owned(), row, value, key_type };
    match (key_type, key) {
        (KeyType::Bool, KeyValue::Bool(value)) => Ok(Value::Bool(value)),
        (KeyType::Int32, KeyValue::Int(value)) => {
            i32::try_from(value).map(Value::Int32).map_err(|_| out_of_range(value))
        }
        (KeyType::Int64, KeyValue::Int(value)) => Ok(Value::Int64(value)),
        (KeyType::String, KeyValue::String(value)) => Ok(Value::String(value)),
        (KeyType::Bytes, KeyValue::Bytes(value)) => Ok(Value::Bytes(value)),
        (KeyType::Timestamp, KeyValue::Timestamp(value)) => Ok(Value::Timestamp(value)),
        _ => Err(Error::Value { column: column.to_owned(), row, value_type: key_type.value_type() }),
    }
}

fn value_to_key(
    column: &str,
    row: usize,
    key_type: KeyType,
    value_type: &ValueType,
    value: Value,
) -> Result<Option<KeyValue>, Error> {
    let key = match value {
        Value::Null => return Ok(None),
        Value::Bool(value) => KeyValue::Bool(value),
        Value::Int32(value) => KeyValue::Int(value.into()),
        Value::Int64(value) => KeyValue::Int(value),
        Value::String(value) => KeyValue::String(value),
        Value::Bytes(value) => KeyValue::Bytes(value),
        Value::Timestamp(value) => KeyValue::Timestamp(value),
        _ => return Err(Error::Value { column: column.to_owned(), row, value_type: value_type.clone() }),
    };
    if !key.is_of(key_type) {
        // says what is wrong with it
        key_to_value(column, row, key_type, key.clone())?;
    }
    Ok(Some(key))
}

impl TryFrom<Column> for v1::Column {
    type Error = Error;

    fn try_from(column: Column) -> Result<Self, Error> {
        let Column { name, value_type, values } = column;
        match pack::pack(&value_type, values) {
            Ok((values, validity)) => Ok(Self { name, r#type: value_type.to_string(), values: Some(values), validity }),
            Err(row) => Err(Error::Value { column: name, row, value_type }),
        }
    }
}

impl TryFrom<v1::Column> for Column {
    type Error = Error;

    fn try_from(sent: v1::Column) -> Result<Self, Error> {
        let name = field::text("name", sent.name)?;
        let declared = match sent.r#type.as_str() {
            "" => None,
            text => match text.parse::<ValueType>() {
                Ok(declared) => Some(declared),
                Err(problem) => {
                    return Err(Error::Column { column: name, problem: format!("is of no known type: {problem}") });
                }
            },
        };
        match pack::unpack(sent.values, &sent.validity, declared.as_ref()) {
            Ok((value_type, values)) => Ok(Self { name, value_type, values }),
            Err(problem) => Err(Error::Column { column: name, problem }),
        }
    }
}

/// All columns, as they travel.
pub(crate) fn send(columns: Vec<Column>) -> Result<Vec<v1::Column>, Error> {
    columns.into_iter().map(TryInto::try_into).collect()
}

/// What a request may hold: a value takes far more memory than some take on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    pub(crate) rows: usize,
    /// Values of all columns together; the items of lists and vectors count, too.
    pub(crate) values: usize,
}

impl Most {
    /// Refuses more than that, told from the lengths alone.
    pub(crate) fn check<'a>(
        self,
        field: &'static str,
        columns: impl IntoIterator<Item = &'a v1::Column>,
    ) -> Result<(), Error> {
        let (mut rows, mut values) = (0_usize, 0_usize);
        for column in columns {
            let (of_column, items) = column.values.as_ref().map_or((0, 0), pack::lengths);
            let of_column = of_column.max(column.validity.len());
            rows = rows.max(of_column);
            values = values.saturating_add(of_column).saturating_add(items);
        }
        let most = [("rows", rows, self.rows), ("values", values, self.values)];
        match most.into_iter().find(|(_, found, max)| found > max) {
            Some((what, found, max)) => {
                let reason = format!("{found} {what} are too many: send them in several requests of at most {max}");
                Err(Error::Invalid { field, reason })
            }
            None => Ok(()),
        }
    }
}

/// All columns, as they came.
pub(crate) fn receive(columns: Vec<v1::Column>) -> Result<Vec<Column>, Error> {
    columns.into_iter().map(TryInto::try_into).collect()
}

#[cfg(test)]
mod tests {
    use hitherto_core::Timestamp;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::v1::values::Kind;

    fn scalar_types() -> impl Strategy<Value = ValueType> {
        let names = ["bool", "int32", "int64", "float32", "float64", "string", "bytes", "timestamp", "date"];
        proptest::sample::select(names.to_vec()).prop_map(|name| name.parse().expect("a type"))
    }

    fn types() -> impl Strategy<Value = ValueType> {
        prop_oneof![
            3 => scalar_types(),
            1 => scalar_types().prop_map(|item| ValueType::List(Box::new(item))),
            1 => (1_u32..5).prop_map(ValueType::Vector),
        ]
    }

    fn values_of(value_type: &ValueType) -> BoxedStrategy<Value> {
        // not NaN, which equals nothing
        let float32 = any::<f32>().prop_filter("not NaN", |number| !number.is_nan());
        let value = match value_type {
            ValueType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
            ValueType::Int32 => any::<i32>().prop_map(Value::Int32).boxed(),
            ValueType::Int64 => any::<i64>().prop_map(Value::Int64).boxed(),
            ValueType::Float32 => float32.prop_map(Value::Float32).boxed(),
            ValueType::Float64 => {
                any::<f64>().prop_filter("not NaN", |number| !number.is_nan()).prop_map(Value::Float64).boxed()
            }
            ValueType::String => ".{0,4}".prop_map(Value::String).boxed(),
            ValueType::Bytes => proptest::collection::vec(any::<u8>(), 0..4).prop_map(Value::Bytes).boxed(),
            ValueType::Timestamp => any::<i64>().prop_map(|us| Value::Timestamp(Timestamp(us))).boxed(),
            ValueType::Date => any::<i32>().prop_map(Value::Date).boxed(),
            ValueType::List(item) => proptest::collection::vec(values_of(item), 0..4).prop_map(Value::List).boxed(),
            ValueType::Vector(length) => {
                proptest::collection::vec(float32, *length as usize).prop_map(Value::Vector).boxed()
            }
        };
        prop_oneof![1 => Just(Value::Null), 3 => value].boxed()
    }

    fn columns() -> impl Strategy<Value = Column> {
        types().prop_flat_map(|value_type| {
            proptest::collection::vec(values_of(&value_type), 0..8)
                .prop_map(move |values| Column::new("x", value_type.clone(), values))
        })
    }

    fn sent(text: &str, kind: Option<Kind>, validity: &[bool]) -> v1::Column {
        let values = kind.map(|kind| v1::Values { kind: Some(kind) });
        v1::Column { name: "x".to_owned(), r#type: text.to_owned(), values, validity: validity.to_vec() }
    }

    fn int64s(values: &[i64]) -> Kind {
        Kind::Int64s(v1::Int64s { values: values.to_vec() })
    }

    fn refusal(column: v1::Column) -> String {
        Column::try_from(column).expect_err("must be refused").to_string()
    }

    proptest! {
        #[test]
        fn columns_survive_the_wire(column in columns()) {
            let bytes = v1::Column::try_from(column.clone()).expect("values are of their type").encode_to_vec();
            let read = v1::Column::decode(bytes.as_slice()).expect("what was encoded");
            prop_assert_eq!(Column::try_from(read).expect("what was sent"), column);
        }

        #[test]
        fn the_kind_of_the_values_says_the_type(column in columns()) {
            let mut bare = v1::Column::try_from(column.clone()).expect("values are of their type");
            bare.r#type.clear();
            prop_assert_eq!(Column::try_from(bare).expect("what was sent"), column);
        }
    }

    #[test]
    fn bits_of_floats_survive_the_wire() {
        let nan = f64::from_bits(0x7ff8_0000_dead_beef);
        let column = Column::new("x", ValueType::Float64, vec![Value::Float64(nan), Value::Float64(-0.0)]);
        let bytes = v1::Column::try_from(column).expect("floats").encode_to_vec();
        let read = v1::Column::decode(bytes.as_slice()).expect("what was encoded");
        let bits: Vec<u64> = match read.values.and_then(|values| values.kind) {
            Some(Kind::Float64s(sent)) => sent.values.into_iter().map(f64::to_bits).collect(),
            other => panic!("not floats: {other:?}"),
        };
        assert_eq!(bits, [0x7ff8_0000_dead_beef, 1 << 63]);
    }

    #[test]
    fn a_value_of_another_type_is_named() {
        let column = Column::new("x", ValueType::Int64, vec![Value::Null, Value::Int32(1)]);
        let error = v1::Column::try_from(column).expect_err("int32 is not int64");
        assert_eq!(error, Error::Value { column: "x".to_owned(), row: 1, value_type: ValueType::Int64 });
        let lists = ValueType::List(Box::new(ValueType::Int64));
        let list = |item| Value::List(vec![Value::Int64(1), item]);
        let column = Column::new("x", lists, vec![list(Value::Null), Value::List(vec![]), list(Value::Bool(true))]);
        let error = v1::Column::try_from(column).expect_err("bool is not int64");
        assert_eq!(error.to_string(), "the column 'x' is of type list<int64>, but row 2 is not");
        let column = Column::new("x", ValueType::Vector(2), vec![Value::Vector(vec![1.0])]);
        assert!(v1::Column::try_from(column).is_err(), "a vector of another length");
    }

    #[test]
    fn contradictions_are_refused() {
        assert_eq!(
            refusal(sent("int32", Some(int64s(&[1])), &[])),
            "the column 'x' says that its type is int32, but its values are int64"
        );
        assert_eq!(
            refusal(sent("", Some(int64s(&[1, 2])), &[true])),
            "the column 'x' has 2 values, but its validity is of 1 rows"
        );
        assert_eq!(refusal(sent("", None, &[])), "the column 'x' has neither values nor a type");
        assert!(refusal(sent("int", None, &[])).contains("'int' is not a type"));
        let vectors = |length, numbers| Kind::Vectors(v1::Vectors { length, items: vec![0.0; numbers] });
        assert!(refusal(sent("", Some(vectors(0, 0)), &[])).contains("length 0"));
        assert!(refusal(sent("", Some(vectors(3, 4)), &[])).contains("do not divide"));
        let lists = |lengths: &[u32], items: Kind| {
            let items = Some(Box::new(v1::Values { kind: Some(items) }));
            Kind::Lists(Box::new(v1::Lists { lengths: lengths.to_vec(), items, item_validity: vec![] }))
        };
        let long = lists(&[u32::MAX, u32::MAX], int64s(&[1]));
        assert!(refusal(sent("", Some(long), &[])).contains("8589934590 items together, but 1 items"));
        let nested = lists(&[1], lists(&[1], int64s(&[1])));
        assert!(refusal(sent("", Some(nested), &[])).contains("no scalars"));
    }

    #[test]
    fn nulls_need_no_values_where_the_type_is_said() {
        let column = Column::try_from(sent("date", None, &[false, false])).expect("two nulls");
        assert_eq!(column, Column::new("x", ValueType::Date, vec![Value::Null, Value::Null]));
        let column = Column::try_from(sent("", Some(int64s(&[7, 8])), &[false, true])).expect("a null and a number");
        assert_eq!(column.values, [Value::Null, Value::Int64(8)]);
    }

    #[test]
    fn keys_count_by_value() {
        let wide = Column::new("k", ValueType::Int64, vec![Value::Int64(7), Value::Null]);
        assert_eq!(wide.clone().into_keys(KeyType::Int32), Ok(vec![Some(KeyValue::Int(7)), None]));
        let narrow = Column::new("k", ValueType::Int32, vec![Value::Int32(7), Value::Null]);
        assert_eq!(narrow.into_keys(KeyType::Int64), wide.into_keys(KeyType::Int64));
        let large = Column::new("k", ValueType::Int64, vec![Value::Int64(1 << 31)]);
        let error = large.into_keys(KeyType::Int32).expect_err("too large");
        assert_eq!(error.to_string(), "the column 'k' has 2147483648 in row 0, which no int32 key can be");
        let floats = Column::new("k", ValueType::Float64, vec![Value::Float64(7.0)]);
        let error = floats.into_keys(KeyType::Int64).expect_err("a float");
        assert!(error.to_string().contains("astype('Int64')"), "{error}");
        let text = Column::new("k", ValueType::String, vec![Value::String("7".into())]);
        assert!(text.into_keys(KeyType::Int64).is_err());
        let keys = vec![Some(KeyValue::Timestamp(Timestamp(-1))), None];
        let column = Column::of_keys("k", KeyType::Timestamp, keys.clone()).expect("keys of their type");
        assert_eq!(column.into_keys(KeyType::Timestamp), Ok(keys));
    }

    #[test]
    fn widening_loses_nothing() {
        let column = Column::new("x", ValueType::Int32, vec![Value::Int32(-5), Value::Null]);
        let wide = column.clone().widened(&ValueType::Float64).expect("every int32 is a float64");
        assert_eq!(wide.values, [Value::Float64(-5.0), Value::Null]);
        let error = column.widened(&ValueType::Float32).expect_err("not every int32 is a float32");
        assert_eq!(error.to_string(), "the column 'x' is of type int32, and float32 is wanted");
    }

    #[test]
    fn columns_must_be_of_one_length_and_of_different_names() {
        let column = |name: &str, rows| Column::new(name, ValueType::Bool, vec![Value::Null; rows]);
        assert_eq!(row_count(&[]), Ok(0));
        assert_eq!(row_count(&[column("a", 2), column("b", 2)]), Ok(2));
        let error = row_count(&[column("a", 2), column("b", 3)]).expect_err("different lengths");
        assert_eq!(error.to_string(), "the column 'b' has 3 rows, but 'a' has 2");
        let error = row_count(&[column("a", 2), column("a", 2)]).expect_err("the same name");
        assert_eq!(error.to_string(), "the column 'a' is there twice");
    }
}
