//! Values at the edges of each type: where what computes with them goes wrong, if anywhere.

use hitherto_core::{Timestamp, Value, ValueType};

/// Characters of the longest text.
const LONG: usize = 1_000;

/// Null among them, and at least one other.
pub(crate) fn edges(value_type: &ValueType) -> Vec<Value> {
    let mut edges: Vec<Value> = match value_type {
        ValueType::Bool => [false, true].map(Value::Bool).to_vec(),
        ValueType::Int32 => [0, 1, -1, 2, 7, i32::MIN, i32::MAX].map(Value::Int32).to_vec(),
        ValueType::Int64 => [0, 1, -1, 2, 7, i64::MIN, i64::MAX].map(Value::Int64).to_vec(),
        ValueType::Float32 => floats().into_iter().map(Value::Float32).collect(),
        ValueType::Float64 => {
            let more = [f64::MIN_POSITIVE, f64::MAX, f64::MIN, 5e-324, 0.1];
            floats().into_iter().map(f64::from).chain(more).map(Value::Float64).collect()
        }
        ValueType::String => texts().into_iter().map(Value::String).collect(),
        ValueType::Bytes => [vec![], vec![0], vec![255; 3], vec![7; LONG]].map(Value::Bytes).to_vec(),
        ValueType::Timestamp => times().map(Timestamp).map(Value::Timestamp).to_vec(),
        // the epoch and the day before, a leap day, the first and the last of four digits
        ValueType::Date => [0, -1, 19_782, -719_162, 2_932_896].map(Value::Date).to_vec(),
        ValueType::List(item) => {
            let items = edges(item);
            let few = items.iter().take(3).cloned().collect();
            [vec![], vec![Value::Null], few, items].map(Value::List).to_vec()
        }
        ValueType::Vector(length) => {
            let length = *length as usize;
            let mixed = floats().into_iter().cycle().take(length).collect();
            let alike = floats().into_iter().map(|number| vec![number; length]);
            alike.chain([mixed]).map(Value::Vector).collect()
        }
    };
    edges.push(Value::Null);
    edges
}

fn floats() -> Vec<f32> {
    let (infinite, tiny) = (f32::INFINITY, f32::from_bits(1));
    vec![0.0, -0.0, 1.5, -1.0, 7.0, f32::NAN, infinite, -infinite, f32::MIN_POSITIVE, f32::MAX, f32::MIN, tiny]
}

fn texts() -> Vec<String> {
    let mut texts = ["", "a", " B ", "12", "-1.5", "2024-02-29", "a,b;c", "Äß 🙂", "%_\\"].map(str::to_owned).to_vec();
    texts.push("x".repeat(LONG));
    texts
}

/// In microseconds: the epoch and the moment before, the ends of a leap day, of a second, and of years of four digits.
fn times() -> [i64; 7] {
    const DAY: i64 = 86_400_000_000;
    [0, -1, 19_782 * DAY, 19_783 * DAY - 1, 1_700_000_000_999_999, -719_162 * DAY, 2_932_897 * DAY - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_edges_and_null() {
        let scalars = [
            ValueType::Bool,
            ValueType::Int32,
            ValueType::Int64,
            ValueType::Float32,
            ValueType::Float64,
            ValueType::String,
            ValueType::Bytes,
            ValueType::Timestamp,
            ValueType::Date,
        ];
        let lists = scalars.clone().map(|item| ValueType::List(Box::new(item)));
        for value_type in scalars.iter().chain(&lists).chain(&[ValueType::Vector(3)]) {
            let edges = edges(value_type);
            assert!(edges.len() > 2 && edges.contains(&Value::Null), "{value_type}");
            let array = hitherto_offline::array_of(value_type, &edges).expect("values of the type");
            assert_eq!(array.len(), edges.len());
        }
    }
}
