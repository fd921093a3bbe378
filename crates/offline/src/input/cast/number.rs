//! Numbers: widths change where every value fits, integers and floats where every value is exact.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Float64Array, Int64Array, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, UInt64Type};
use hitherto_core::ValueType;

use super::{CastError, CellProblem, kernel, refused, shown};
use crate::input::Role;

pub(super) fn cast(array: &ArrayRef, to: &ValueType, role: Role) -> Result<ArrayRef, CastError> {
    match array.data_type() {
        DataType::UInt64 => {
            let whole = checked(array.as_primitive::<UInt64Type>(), |v| i64::try_from(v).ok(), || out_of_range(to))?;
            from_integers(&whole, to)
        }
        found if found.is_integer() => from_integers(kernel(array, &DataType::Int64)?.as_primitive(), to),
        found if found.is_floating() && role != Role::Key => {
            from_floats(kernel(array, &DataType::Float64)?.as_primitive(), to)
        }
        DataType::Decimal128(_, scale @ 0..) if matches!(to, ValueType::Int32 | ValueType::Int64) => {
            from_integers(&whole_decimals(array, scale.unsigned_abs(), to)?, to)
        }
        found => Err(refused(found, to, role)),
    }
}

/// Applies `op` to every value that is not null; the first for which it gives nothing is the error.
pub(super) fn checked<S: ArrowPrimitiveType, T: ArrowPrimitiveType>(
    array: &PrimitiveArray<S>,
    op: impl Fn(S::Native) -> Option<T::Native>,
    problem: impl Fn() -> CellProblem,
) -> Result<PrimitiveArray<T>, CastError> {
    array.try_unary(|value| op(value).ok_or(())).map_err(|()| {
        // the error does not say where: look again, once
        let refused = |row: &usize| array.is_valid(*row) && op(array.value(*row)).is_none();
        let row = (0..array.len()).find(refused).unwrap_or_default();
        CastError::Cell { row, value: shown(array, row), problem: problem() }
    })
}

fn from_integers(whole: &Int64Array, to: &ValueType) -> Result<ArrayRef, CastError> {
    Ok(match to {
        ValueType::Int32 => Arc::new(checked::<_, Int32Type>(whole, |v| i32::try_from(v).ok(), || out_of_range(to))?),
        ValueType::Float64 => Arc::new(checked::<_, Float64Type>(whole, exact_f64, || inexact(to, ValueType::Int64))?),
        ValueType::Float32 => {
            let exact = |v: i64| exact_f64(v).and_then(exact_f32);
            Arc::new(checked::<_, Float32Type>(whole, exact, || inexact(to, ValueType::Float64))?)
        }
        _ => Arc::new(whole.clone()),
    })
}

fn from_floats(floats: &Float64Array, to: &ValueType) -> Result<ArrayRef, CastError> {
    let problem = |error: CastError| match error {
        CastError::Cell { row, value, .. } => {
            CastError::Cell { problem: integer_problem(floats.value(row), to), row, value }
        }
        other @ CastError::Type { .. } => other,
    };
    let fraction = || CellProblem::Fraction { wanted: to.clone() };
    Ok(match to {
        ValueType::Float64 => Arc::new(floats.clone()),
        ValueType::Float32 => {
            Arc::new(checked::<_, Float32Type>(floats, exact_f32, || inexact(to, ValueType::Float64))?)
        }
        ValueType::Int32 => {
            let exact = |v: f64| whole_float(v).and_then(|v| i32::try_from(v).ok());
            Arc::new(checked::<_, Int32Type>(floats, exact, fraction).map_err(problem)?)
        }
        _ => Arc::new(checked::<_, Int64Type>(floats, whole_float, fraction).map_err(problem)?),
    })
}

fn integer_problem(value: f64, to: &ValueType) -> CellProblem {
    if value.is_nan() {
        CellProblem::NotANumber { wanted: to.clone() }
    } else if value.fract() == 0.0 || value.is_infinite() {
        out_of_range(to)
    } else {
        CellProblem::Fraction { wanted: to.clone() }
    }
}

fn whole_decimals(array: &ArrayRef, scale: u8, to: &ValueType) -> Result<Int64Array, CastError> {
    let unit = 10_i128.pow(u32::from(scale));
    let whole = |v: i128| if v % unit == 0 { i64::try_from(v / unit).ok() } else { None };
    checked(array.as_primitive::<Decimal128Type>(), whole, || CellProblem::NotA {
        wanted: to.clone(),
        hint: ": convert the column where it is made",
    })
}

/// The float that is this integer, if there is one.
pub(super) fn exact_f64(value: i64) -> Option<f64> {
    let float = value as f64;
    (float as i128 == i128::from(value)).then_some(float)
}

/// The 32-bit float that is this number, if there is one.
pub(super) fn exact_f32(value: f64) -> Option<f32> {
    let float = value as f32;
    // equality of bits less the sign of zero; NaN stays NaN
    (value.is_nan() || f64::from(float).total_cmp(&value).is_eq()).then_some(float)
}

/// The integer that is this float, if there is one.
fn whole_float(value: f64) -> Option<i64> {
    // -2^63 is a float, 2^63 - 1 is not: the upper bound is open
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
    (fits && value.fract() == 0.0).then_some(value as i64)
}

pub(super) fn out_of_range(wanted: &ValueType) -> CellProblem {
    CellProblem::OutOfRange { wanted: wanted.clone() }
}

pub(super) fn inexact(wanted: &ValueType, wider: ValueType) -> CellProblem {
    CellProblem::Inexact { wanted: wanted.clone(), wider }
}
