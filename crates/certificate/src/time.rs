//! Times of a training set, as the contract reads them.

use arrow::array::{Array, ArrayRef, AsArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};

use crate::{Error, Result};

/// A spine's times as UTC microseconds: nanoseconds that do not fit are rounded down, coarser units saturate.
pub fn micros_down(name: &str, times: &ArrayRef) -> Result<TimestampMicrosecondArray> {
    let micros = match times.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            times.as_primitive::<TimestampSecondType>().unary(|time| time.saturating_mul(1_000_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            times.as_primitive::<TimestampMillisecondType>().unary(|time| time.saturating_mul(1_000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            times.as_primitive::<TimestampMicrosecondType>().clone().with_timezone_opt(None::<&str>)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            times.as_primitive::<TimestampNanosecondType>().unary(|time| time.div_euclid(1_000))
        }
        DataType::Dictionary(_, value) => {
            let plain = cast(times, value).map_err(Error::arrow("unpack a dictionary of times"))?;
            return micros_down(name, &plain);
        }
        other => return Err(Error::Column { column: name.to_owned(), reason: format!("{other} is no time") }),
    };
    match (0..micros.len()).find(|&row| micros.is_null(row)) {
        None => Ok(micros),
        Some(row) => {
            Err(Error::Column { column: name.to_owned(), reason: format!("row {} has no time of prediction", row + 1) })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{TimestampMillisecondArray, TimestampNanosecondArray};

    use super::*;

    #[test]
    fn a_spines_time_is_rounded_down_and_never_wraps() {
        let nanos: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![1_999, -1, 2_000]));
        assert_eq!(micros_down("t", &nanos).expect("times").values(), &[1, -1, 2]);
        let millis: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![i64::MAX, 5]));
        assert_eq!(micros_down("t", &millis).expect("times").values(), &[i64::MAX, 5_000]);
    }

    #[test]
    fn a_row_without_a_time_is_named() {
        let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(vec![Some(0), None]));
        let refused = micros_down("t", &times).expect_err("a null");
        assert_eq!(refused.to_string(), "could not check column 't': row 2 has no time of prediction");
    }
}
