//! Values of one type, packed and unpacked.

use hitherto_core::{Timestamp, Value, ValueType};

use crate::v1::values::Kind;
use crate::v1::{Bools, ByteStrings, Float32s, Float64s, Int32s, Int64s, Lists, Strings, Values, Vectors};

/// Packed values and, unless none is null, which of them are not.
pub(crate) type Packed = (Values, Vec<bool>);

/// A function that takes the inside of one variant of [`Value`].
macro_rules! only {
    ($variant:ident) => {
        |value| if let Value::$variant(inside) = value { Some(inside) } else { None }
    };
}

/// Packs `values`, all of which must be null or of `value_type`; otherwise the first row that is not.
pub(crate) fn pack(value_type: &ValueType, values: Vec<Value>) -> Result<Packed, usize> {
    let validity = validity(&values);
    let kind = match value_type {
        ValueType::Bool => Kind::Bools(Bools { values: scalars(values, only!(Bool))? }),
        ValueType::Int32 => Kind::Int32s(Int32s { values: scalars(values, only!(Int32))? }),
        ValueType::Int64 => Kind::Int64s(Int64s { values: scalars(values, only!(Int64))? }),
        ValueType::Float32 => Kind::Float32s(Float32s { values: scalars(values, only!(Float32))? }),
        ValueType::Float64 => Kind::Float64s(Float64s { values: scalars(values, only!(Float64))? }),
        ValueType::String => Kind::Strings(Strings { values: scalars(values, only!(String))? }),
        ValueType::Bytes => Kind::ByteStrings(ByteStrings { values: scalars(values, only!(Bytes))? }),
        ValueType::Date => Kind::Dates(Int32s { values: scalars(values, only!(Date))? }),
        ValueType::Timestamp => {
            let micros = |value| if let Value::Timestamp(t) = value { Some(t.0) } else { None };
            Kind::TimestampsUs(Int64s { values: scalars(values, micros)? })
        }
        ValueType::Vector(length) => Kind::Vectors(pack_vectors(*length, values)?),
        ValueType::List(item) => Kind::Lists(Box::new(pack_lists(item, values)?)),
    };
    Ok((Values { kind: Some(kind) }, validity))
}

/// Which values are not null; empty when all are not.
fn validity(values: &[Value]) -> Vec<bool> {
    let valid = |value: &Value| !matches!(value, Value::Null);
    if values.iter().all(valid) { Vec::new() } else { values.iter().map(valid).collect() }
}

fn scalars<T: Default>(values: Vec<Value>, take: impl Fn(Value) -> Option<T>) -> Result<Vec<T>, usize> {
    let place = |(row, value)| match value {
        Value::Null => Ok(T::default()),
        value => take(value).ok_or(row),
    };
    values.into_iter().enumerate().map(place).collect()
}

fn pack_vectors(length: u32, values: Vec<Value>) -> Result<Vectors, usize> {
    let width = length as usize;
    let mut items = Vec::with_capacity(width * values.len());
    for (row, value) in values.into_iter().enumerate() {
        match value {
            Value::Null => items.resize(items.len() + width, 0.0),
            Value::Vector(vector) if vector.len() == width => items.extend(vector),
            _ => return Err(row),
        }
    }
    Ok(Vectors { length, items })
}

fn pack_lists(item: &ValueType, values: Vec<Value>) -> Result<Lists, usize> {
    let nested = matches!(item, ValueType::List(_) | ValueType::Vector(_));
    let mut lengths = Vec::with_capacity(values.len());
    let mut items = Vec::new();
    for (row, value) in values.into_iter().enumerate() {
        match value {
            Value::Null => lengths.push(0),
            Value::List(list) if !nested => {
                lengths.push(u32::try_from(list.len()).map_err(|_| row)?);
                items.extend(list);
            }
            _ => return Err(row),
        }
    }
    let (items, item_validity) = pack(item, items).map_err(|item| row_of(&lengths, item))?;
    Ok(Lists { lengths, items: Some(Box::new(items)), item_validity })
}

/// The row whose list holds the item with this index.
fn row_of(lengths: &[u32], item: usize) -> usize {
    let mut end = 0;
    lengths
        .iter()
        .position(|length| {
            end += *length as usize;
            item < end
        })
        .unwrap_or(lengths.len())
}

/// How many rows packed values have, and how many items their lists or vectors.
pub(crate) fn lengths(sent: &Values) -> (usize, usize) {
    let rows = match &sent.kind {
        None => 0,
        Some(Kind::Bools(sent)) => sent.values.len(),
        Some(Kind::Int32s(sent) | Kind::Dates(sent)) => sent.values.len(),
        Some(Kind::Int64s(sent) | Kind::TimestampsUs(sent)) => sent.values.len(),
        Some(Kind::Float32s(sent)) => sent.values.len(),
        Some(Kind::Float64s(sent)) => sent.values.len(),
        Some(Kind::Strings(sent)) => sent.values.len(),
        Some(Kind::ByteStrings(sent)) => sent.values.len(),
        Some(Kind::Vectors(sent)) => {
            let length = usize::try_from(sent.length).unwrap_or(usize::MAX).max(1);
            return (sent.items.len() / length, sent.items.len());
        }
        Some(Kind::Lists(sent)) => {
            // items that are no scalars are refused before they are unpacked
            let items = sent.items.as_ref().map_or(0, |items| lengths(items).0);
            return (sent.lengths.len(), items.max(sent.item_validity.len()));
        }
    };
    (rows, 0)
}

/// Unpacks values, and says of which type they are: what was `declared`, where anything was; otherwise a problem, in
/// words that follow a column's name.
pub(crate) fn unpack(
    sent: Option<Values>,
    validity: &[bool],
    declared: Option<&ValueType>,
) -> Result<(ValueType, Vec<Value>), String> {
    let Some(kind) = sent.and_then(|values| values.kind) else {
        let declared = declared.ok_or("has neither values nor a type")?;
        if validity.contains(&true) {
            return Err("has no values, but says that some are not null".to_owned());
        }
        return Ok((declared.clone(), vec![Value::Null; validity.len()]));
    };
    let (found, mut values) = match kind {
        Kind::Bools(sent) => (ValueType::Bool, each(sent.values, Value::Bool)),
        Kind::Int32s(sent) => (ValueType::Int32, each(sent.values, Value::Int32)),
        Kind::Int64s(sent) => (ValueType::Int64, each(sent.values, Value::Int64)),
        Kind::Float32s(sent) => (ValueType::Float32, each(sent.values, Value::Float32)),
        Kind::Float64s(sent) => (ValueType::Float64, each(sent.values, Value::Float64)),
        Kind::Strings(sent) => (ValueType::String, each(sent.values, Value::String)),
        Kind::ByteStrings(sent) => (ValueType::Bytes, each(sent.values, Value::Bytes)),
        Kind::TimestampsUs(sent) => (ValueType::Timestamp, each(sent.values, |us| Value::Timestamp(Timestamp(us)))),
        Kind::Dates(sent) => (ValueType::Date, each(sent.values, Value::Date)),
        Kind::Vectors(sent) => unpack_vectors(&sent)?,
        Kind::Lists(sent) => unpack_lists(*sent, declared)?,
    };
    if let Some(declared) = declared.filter(|declared| **declared != found) {
        return Err(format!("says that its type is {declared}, but its values are {found}"));
    }
    if !validity.is_empty() && validity.len() != values.len() {
        return Err(format!("has {} values, but its validity is of {} rows", values.len(), validity.len()));
    }
    for (value, _) in values.iter_mut().zip(validity).filter(|(_, valid)| !**valid) {
        *value = Value::Null;
    }
    Ok((found, values))
}

fn each<T>(sent: Vec<T>, make: impl Fn(T) -> Value) -> Vec<Value> {
    sent.into_iter().map(make).collect()
}

fn unpack_vectors(sent: &Vectors) -> Result<(ValueType, Vec<Value>), String> {
    let width = sent.length as usize;
    if !(1..=65_536).contains(&width) {
        return Err(format!("has vectors of length {width}: it must be from 1 to 65536"));
    }
    if !sent.items.len().is_multiple_of(width) {
        return Err(format!("has {} numbers, which do not divide into vectors of length {width}", sent.items.len()));
    }
    let values = sent.items.chunks_exact(width).map(|vector| Value::Vector(vector.to_vec())).collect();
    Ok((ValueType::Vector(sent.length), values))
}

fn unpack_lists(sent: Lists, declared: Option<&ValueType>) -> Result<(ValueType, Vec<Value>), String> {
    if let Some(Kind::Lists(_) | Kind::Vectors(_)) = sent.items.as_ref().and_then(|items| items.kind.as_ref()) {
        return Err("has lists whose items are no scalars".to_owned());
    }
    let declared = match declared {
        Some(ValueType::List(item)) => Some(&**item),
        _ => None,
    };
    let (item, items) = unpack(sent.items.map(|items| *items), &sent.item_validity, declared)?;
    let total: u64 = sent.lengths.iter().map(|length| u64::from(*length)).sum();
    if total != items.len() as u64 {
        return Err(format!("has lists of {total} items together, but {} items", items.len()));
    }
    let mut items = items.into_iter();
    let lists =
        sent.lengths.iter().map(|length| Value::List(items.by_ref().take(*length as usize).collect())).collect();
    Ok((ValueType::List(Box::new(item)), lists))
}
