//! Many values of one type, side by side.

use crate::{Timestamp, Value, ValueType};

/// Values of one type, one per row. Which of them are null is told beside them: a null's place has zero.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// `bool`.
    Bools(Vec<bool>),
    /// `int32`, or `date` in days.
    Int32s(Vec<i32>),
    /// `int64`, or `timestamp` in microseconds.
    Int64s(Vec<i64>),
    /// `float32`.
    Float32s(Vec<f32>),
    /// `float64`.
    Float64s(Vec<f64>),
    /// What is of no fixed width, each for itself; here a null is one.
    Values(Vec<Value>),
}

impl Cells {
    /// No cells, of a type.
    pub fn new(value_type: &ValueType) -> Self {
        match value_type {
            ValueType::Bool => Self::Bools(Vec::new()),
            ValueType::Int32 | ValueType::Date => Self::Int32s(Vec::new()),
            ValueType::Int64 | ValueType::Timestamp => Self::Int64s(Vec::new()),
            ValueType::Float32 => Self::Float32s(Vec::new()),
            ValueType::Float64 => Self::Float64s(Vec::new()),
            ValueType::String | ValueType::Bytes | ValueType::List(_) | ValueType::Vector(_) => {
                Self::Values(Vec::new())
            }
        }
    }

    /// Makes room for other cells of a type, in the same memory where that is of the same width.
    pub fn clear_for(&mut self, value_type: &ValueType) {
        match (&mut *self, value_type) {
            (Self::Bools(cells), ValueType::Bool) => cells.clear(),
            (Self::Int32s(cells), ValueType::Int32 | ValueType::Date) => cells.clear(),
            (Self::Int64s(cells), ValueType::Int64 | ValueType::Timestamp) => cells.clear(),
            (Self::Float32s(cells), ValueType::Float32) => cells.clear(),
            (Self::Float64s(cells), ValueType::Float64) => cells.clear(),
            _ => *self = Self::new(value_type),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Bools(cells) => cells.len(),
            Self::Int32s(cells) => cells.len(),
            Self::Int64s(cells) => cells.len(),
            Self::Float32s(cells) => cells.len(),
            Self::Float64s(cells) => cells.len(),
            Self::Values(cells) => cells.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values one by one, as those of `value_type`: null where `is_null` says so of a row.
    pub fn to_values(&self, value_type: &ValueType, is_null: impl Fn(usize) -> bool) -> Vec<Value> {
        fn each<T: Copy>(cells: &[T], is_null: impl Fn(usize) -> bool, make: impl Fn(T) -> Value) -> Vec<Value> {
            let of = |(row, cell): (usize, &T)| if is_null(row) { Value::Null } else { make(*cell) };
            cells.iter().enumerate().map(of).collect()
        }
        match self {
            Self::Bools(cells) => each(cells, is_null, Value::Bool),
            Self::Int32s(cells) if *value_type == ValueType::Date => each(cells, is_null, Value::Date),
            Self::Int32s(cells) => each(cells, is_null, Value::Int32),
            Self::Int64s(cells) if *value_type == ValueType::Timestamp => {
                each(cells, is_null, |us| Value::Timestamp(Timestamp(us)))
            }
            Self::Int64s(cells) => each(cells, is_null, Value::Int64),
            Self::Float32s(cells) => each(cells, is_null, Value::Float32),
            Self::Float64s(cells) => each(cells, is_null, Value::Float64),
            Self::Values(cells) => cells.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_values_of_their_type_with_nulls_where_they_are_said_to_be() {
        let is_null = |row: usize| row == 1;
        let times = Cells::Int64s(vec![7, 0]).to_values(&ValueType::Timestamp, is_null);
        assert_eq!(times, [Value::Timestamp(Timestamp(7)), Value::Null]);
        assert_eq!(Cells::Int64s(vec![7, 0]).to_values(&ValueType::Int64, is_null), [Value::Int64(7), Value::Null]);
        assert_eq!(Cells::Int32s(vec![7]).to_values(&ValueType::Date, is_null), [Value::Date(7)]);
        assert_eq!(Cells::Bools(vec![true]).to_values(&ValueType::Bool, is_null), [Value::Bool(true)]);
    }

    #[test]
    fn cleared_cells_are_of_the_type_that_comes_next() {
        let mut cells = Cells::Int64s(vec![1, 2]);
        cells.clear_for(&ValueType::Timestamp);
        assert_eq!(cells, Cells::Int64s(vec![]));
        cells.clear_for(&ValueType::String);
        assert_eq!(cells, Cells::Values(vec![]));
        cells.clear_for(&ValueType::Date);
        assert_eq!(cells, Cells::Int32s(vec![]));
        assert!(cells.is_empty());
    }
}
