//! Timestamps of any unit and zone as UTC microseconds.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use datafusion::error::Result;

/// What becomes of nanoseconds that are no whole microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// Earlier: for the moment of a question.
    Down,
    /// Later: for the moment of a fact.
    Up,
    /// They become null, as does a time beyond the range: for keys, which must be equal or not.
    Exact,
}

/// The type behind a dictionary.
pub(crate) fn value_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => value,
        other => other,
    }
}

pub(crate) fn timestamp_unit(data_type: &DataType) -> Option<TimeUnit> {
    match data_type {
        DataType::Timestamp(unit, _) => Some(*unit),
        _ => None,
    }
}

/// The microseconds of a timestamp array, dictionaries included. Zones do not matter: an array holds UTC, and one
/// without a zone means UTC. Seconds and milliseconds beyond the range saturate.
pub(crate) fn to_micros(array: &ArrayRef, rounding: Rounding) -> Result<Int64Array> {
    let value_type = value_type(array.data_type());
    let unit = timestamp_unit(value_type);
    let raw = cast(&cast(array, value_type)?, &DataType::Int64)?;
    let raw = raw.as_primitive::<Int64Type>();
    let scaled = |factor: i64| match rounding {
        Rounding::Exact => raw.unary_opt(|time| time.checked_mul(factor)),
        Rounding::Down | Rounding::Up => raw.unary(|time| time.saturating_mul(factor)),
    };
    Ok(match (unit, rounding) {
        (Some(TimeUnit::Second), _) => scaled(1_000_000),
        (Some(TimeUnit::Millisecond), _) => scaled(1_000),
        (Some(TimeUnit::Nanosecond), Rounding::Down) => raw.unary(|time| time.div_euclid(1_000)),
        (Some(TimeUnit::Nanosecond), Rounding::Up) => {
            raw.unary(|time| time.div_euclid(1_000) + i64::from(time.rem_euclid(1_000) != 0))
        }
        (Some(TimeUnit::Nanosecond), Rounding::Exact) => {
            raw.unary_opt(|time| (time.rem_euclid(1_000) == 0).then(|| time.div_euclid(1_000)))
        }
        (Some(TimeUnit::Microsecond) | None, _) => raw.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Int64Array, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, new_null_array,
    };

    use super::*;

    fn micros(array: ArrayRef, rounding: Rounding) -> Int64Array {
        to_micros(&array, rounding).expect("a timestamp array")
    }

    #[test]
    fn nanoseconds_round_against_the_reader() {
        let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_000, 1_001, -1, i64::MIN, i64::MAX]));
        let (low, high) = (i64::MIN.div_euclid(1_000), i64::MAX / 1_000);
        assert_eq!(micros(Arc::clone(&nanos), Rounding::Down).values(), &[1, 1, -1, low, high]);
        assert_eq!(micros(Arc::clone(&nanos), Rounding::Up).values(), &[1, 2, 0, low + 1, high + 1]);
        assert_eq!(micros(nanos, Rounding::Exact), Int64Array::from(vec![Some(1), None, None, None, None]));
    }

    #[test]
    fn coarse_units_saturate_and_zones_do_not_shift() {
        let seconds = TimestampSecondArray::from(vec![Some(-2), None, Some(i64::MAX)]);
        assert_eq!(
            micros(Arc::new(seconds.clone()), Rounding::Down),
            Int64Array::from(vec![Some(-2_000_000), None, Some(i64::MAX)])
        );
        assert_eq!(micros(Arc::new(seconds), Rounding::Exact), Int64Array::from(vec![Some(-2_000_000), None, None]));
        let zoned = TimestampMillisecondArray::from(vec![7]).with_timezone("+02:00");
        assert_eq!(micros(Arc::new(zoned), Rounding::Up).values(), &[7_000]);
        let none = new_null_array(&DataType::Timestamp(TimeUnit::Second, None), 2);
        assert_eq!(micros(none, Rounding::Down).null_count(), 2);
    }
}
