//! The parameters of a query: `?`, `$1` or `$name`.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::sql::failed;
use crate::{Error, Result};

/// More parameters than a query needs; a number beyond is a slip.
const PARAMETERS_MAX: usize = 1_000;

/// A value that comes with each run of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its number, from 1, or its name; without the `$`.
    pub name: String,
    /// Its type, as far as the query says it.
    pub data_type: Option<DataType>,
}

impl Parameter {
    /// Its type; text where the query does not say.
    pub fn declared(&self) -> DataType {
        self.data_type.clone().unwrap_or(DataType::Utf8)
    }

    /// Null, of its type.
    pub(super) fn null(&self) -> ScalarValue {
        ScalarValue::try_from(&self.declared()).unwrap_or(ScalarValue::Null)
    }

    fn is_numbered(&self) -> bool {
        self.name.bytes().all(|byte| byte.is_ascii_digit())
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}", self.name)
    }
}

/// The query with a number for each `?`, in their order: `$1`, `$2`. The planner takes all `?` for one.
pub(super) fn numbered(query: &str) -> Cow<'_, str> {
    if !query.contains('?') {
        return Cow::Borrowed(query);
    }
    // a query that is no SQL is refused by the planner, which says why
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, query).tokenize_with_location() else {
        return Cow::Borrowed(query);
    };
    let marks = tokens.iter().filter(|token| matches!(&token.token, Token::Placeholder(text) if text == "?"));
    let marks: HashSet<(u64, u64)> = marks.map(|token| (token.span.start.line, token.span.start.column)).collect();
    let mut text = String::with_capacity(query.len() + 2 * marks.len());
    let (mut line, mut column, mut number) = (1, 1, 0);
    for letter in query.chars() {
        if letter == '?' && marks.contains(&(line, column)) {
            number += 1;
            text.push('$');
            text.push_str(&number.to_string());
        } else {
            text.push(letter);
        }
        (line, column) = if letter == '\n' { (line + 1, 1) } else { (line, column + 1) };
    }
    Cow::Owned(text)
}

/// The parameters of a plan: those with numbers in order and without a gap, those with names by name.
pub(super) fn of_plan(plan: &LogicalPlan) -> Result<Vec<Parameter>> {
    let found = plan.get_parameter_fields().map_err(|error| failed(super::PLANNING, &error))?;
    let (mut numbers, mut names) = (BTreeMap::new(), BTreeMap::new());
    for (id, field) in found {
        let data_type = field.map(|field| field.data_type().clone());
        let name = id.get(1..).unwrap_or_default();
        match name.parse::<usize>() {
            Ok(number) => numbers.insert(number, data_type),
            Err(_) => names.insert(name.to_owned(), data_type),
        };
    }
    let last = numbers.last_key_value().map_or(0, |(number, _)| *number);
    if last > PARAMETERS_MAX {
        return Err(Error::Invalid(format!(
            "a query has at most {PARAMETERS_MAX} parameters, and this one names ${last}"
        )));
    }
    if last > 0 && !names.is_empty() {
        let message = "the query has parameters with numbers and parameters with names: use one kind of them";
        return Err(Error::Invalid(message.to_owned()));
    }
    let numbers =
        (1..=last).map(|number| Parameter { name: number.to_string(), data_type: numbers.remove(&number).flatten() });
    let named = names.into_iter().map(|(name, data_type)| Parameter { name, data_type });
    Ok(numbers.chain(named).collect())
}

/// The values of the only row, by the parameters' names.
pub(super) fn values(parameters: &[Parameter], row: &RecordBatch) -> Result<HashMap<String, ScalarValue>> {
    if row.num_columns() != parameters.len() {
        let names: Vec<String> = parameters.iter().map(ToString::to_string).collect();
        let message = format!("the query has {} parameters ({})", parameters.len(), names.join(", "));
        return Err(Error::Invalid(format!("{message}, and {} values came", row.num_columns())));
    }
    let value = |(place, parameter): (usize, &Parameter)| -> Result<(String, ScalarValue)> {
        let column = if parameter.is_numbered() {
            row.column(place)
        } else {
            let found = row.column_by_name(&parameter.name).or_else(|| row.column_by_name(&parameter.to_string()));
            found.ok_or_else(|| Error::Invalid(format!("parameter {parameter} has no value: bind it by its name")))?
        };
        let value = ScalarValue::try_from_array(column, 0);
        Ok((parameter.name.clone(), value.map_err(|error| failed("could not read the value of a parameter", &error))?))
    };
    parameters.iter().enumerate().map(value).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn question_marks_get_numbers_where_they_are_parameters() {
        for (query, expected) in [
            ("select 1", "select 1"),
            ("select ?, ?", "select $1, $2"),
            ("select '?', \"?\", ? -- ?\n, ?", "select '?', \"?\", $1 -- ?\n, $2"),
            ("select 'ä',\n\n  ? /* ? */ + ?", "select 'ä',\n\n  $1 /* ? */ + $2"),
            ("select ?2, ?", "select ?2, $1"),
            ("select 'open ?", "select 'open ?"),
        ] {
            assert_eq!(numbered(query), expected, "{query}");
        }
    }

    #[test]
    fn values_are_found_by_place_or_by_name() {
        let parameter = |name: &str| Parameter { name: name.to_owned(), data_type: None };
        let columns: [(&str, ArrayRef); 2] =
            [("b", Arc::new(Int64Array::from(vec![7]))), ("$a", Arc::new(StringArray::from(vec!["x"])))];
        let row = RecordBatch::try_from_iter(columns).expect("a row");
        let by_place = values(&[parameter("1"), parameter("2")], &row).expect("two values");
        assert_eq!((&by_place["1"], &by_place["2"]), (&ScalarValue::from(7_i64), &ScalarValue::from("x")));
        let by_name = values(&[parameter("a"), parameter("b")], &row).expect("two values");
        assert_eq!((&by_name["a"], &by_name["b"]), (&ScalarValue::from("x"), &ScalarValue::from(7_i64)));
        let said = |parameters: &[Parameter]| values(parameters, &row).expect_err("no").to_string();
        assert_eq!(said(&[parameter("1")]), "the query has 1 parameters ($1), and 2 values came");
        assert_eq!(said(&[parameter("a"), parameter("c")]), "parameter $c has no value: bind it by its name");
    }
}
