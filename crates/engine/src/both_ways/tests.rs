use arrow::array::{Float64Array, Int64Array};
use arrow::datatypes::{Float64Type, Int64Type};
use hitherto_core::Transform;

use super::*;

fn samples(value_type: ValueType, values: Vec<Value>) -> Samples {
    let times = values.iter().map(|_| Timestamp(7)).collect();
    Samples { types: vec![value_type], columns: vec![values], times }
}

fn integers() -> (Samples, Vec<(String, ValueType)>) {
    let values = [1, 2, 3].map(Value::Int64).to_vec();
    (samples(ValueType::Int64, values), vec![("t".to_owned(), ValueType::Int64)])
}

#[test]
fn the_first_row_that_differs_is_told_with_both_values() {
    let (samples, outputs) = integers();
    let as_it_is = |inputs: Vec<ArrayRef>, _: ArrayRef, _: usize| -> Result<Vec<ArrayRef>> { Ok(inputs) };
    // what a transform can never be: each row's value depends on those before it
    let running_sum = |inputs: Vec<ArrayRef>, _: ArrayRef, _: usize| -> Result<Vec<ArrayRef>> {
        let mut sum = 0;
        let sums = inputs[0].as_primitive::<Int64Type>().values().iter().map(|value| {
            sum += value;
            sum
        });
        Ok(vec![Arc::new(Int64Array::from_iter_values(sums))])
    };
    let found = |trained: &Way<'_>, served: &Way<'_>| {
        disagreement(&samples, &outputs, trained, served).expect("samples that can be evaluated")
    };
    assert_eq!(found(&as_it_is, &as_it_is), None);
    let told = |trained: &str| {
        let (transform, trained, served) = ("t".to_owned(), trained.to_owned(), "Int64(2)".to_owned());
        Some(Disagreement { transform, row: 1, trained, served })
    };
    assert_eq!(found(&running_sum, &as_it_is), told("Int64(3)"));
    let beside = told("Int64(3) (or whoever asks for several rows at once)");
    assert_eq!(found(&as_it_is, &running_sum), beside, "served one by one it is the same");
}

#[test]
fn what_no_row_bears_alone_is_left_out_and_what_rows_bear_only_alone_is_told() {
    let (samples, outputs) = integers();
    let as_it_is = |inputs: Vec<ArrayRef>, _: ArrayRef, _: usize| -> Result<Vec<ArrayRef>> { Ok(inputs) };
    let refuses_two_and_many = |inputs: Vec<ArrayRef>, _: ArrayRef, rows: usize| -> Result<Vec<ArrayRef>> {
        if rows > 1 || inputs[0].as_primitive::<Int64Type>().value(0) == 2 {
            return Err(Error::Transform { name: "t".to_owned(), reason: "no".to_owned() });
        }
        Ok(inputs)
    };
    let found = disagreement(&samples, &outputs, &as_it_is, &refuses_two_and_many).expect("they can be evaluated");
    let found = found.expect("one and three cannot be served together");
    assert_eq!((found.row, found.served.as_str()), (2, "Int64(3)"));
    assert!(found.trained.starts_with("the error 'no' (or whoever"), "{}", found.trained);
}

#[test]
fn zeros_of_two_signs_differ_and_a_nan_is_a_nan() {
    let negated = |inputs: Vec<ArrayRef>, _: ArrayRef, _: usize| -> Result<Vec<ArrayRef>> {
        let values = inputs[0].as_primitive::<Float64Type>().values().iter().map(|value| -value);
        Ok(vec![Arc::new(Float64Array::from_iter_values(values))])
    };
    let as_it_is = |inputs: Vec<ArrayRef>, _: ArrayRef, _: usize| -> Result<Vec<ArrayRef>> { Ok(inputs) };
    let outputs = vec![("t".to_owned(), ValueType::Float64)];
    let differs = |value: f64| {
        let samples = samples(ValueType::Float64, vec![Value::Float64(value)]);
        disagreement(&samples, &outputs, &negated, &as_it_is).expect("it can be evaluated").is_some()
    };
    assert_eq!([0.0, 1.0, f64::NAN].map(differs), [true, true, false]);
}

fn set(expr: &str) -> ResolvedSet {
    let name = |text: &str| text.parse().expect("a name");
    ResolvedSet {
        uses: Vec::new(),
        outputs: Vec::new(),
        request: BTreeMap::from([(name("x"), ValueType::Int64), (name("y"), ValueType::Float64)]),
        transforms: vec![Transform { name: name("t"), expr: expr.to_owned() }],
    }
}

#[test]
fn transforms_are_held_to_it_on_the_edges_of_their_types() {
    for fine in ["x + 1", "10 / x", "y * 2 - sqrt(y)", "case when x <> 0 then 10 / x else 0 end", "request_time()"] {
        refuse_disagreement(&set(fine), None).expect(fine);
    }
    // by itself a zero is never divided by, and among others it is
    let refused = refuse_disagreement(&set("x <> 0 and 10 / x > 1"), None).expect_err("it depends on other rows");
    let text = refused.to_string();
    assert!(text.starts_with("transform 't': a model would be trained on other values than it is served"), "{text}");
    assert!(text.contains("write it so that a row's value does not depend on other rows"), "{text}");
}
