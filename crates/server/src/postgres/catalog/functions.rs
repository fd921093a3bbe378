//! Functions that say what there is. They know this connection's settings and our catalog, and stand before those of the same
//! names that know neither.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionImplementation, ScalarUDF, Signature, SimpleScalarUDF, TypeSignature, Volatility,
    create_udf,
};
use datafusion::sql::sqlparser::tokenizer::Token;
use hitherto_engine::SqlCatalog;

use super::described::{Described, SYSTEM};
use crate::postgres::rows::type_of;
use crate::postgres::settings::{Settings, VERSION};
use crate::postgres::words::statements;

/// Whose everything is.
pub(super) const OWNER: &str = "hitherto";

/// All of them.
pub(super) fn all(settings: &Settings, described: &Described) -> Vec<ScalarUDF> {
    let mut functions = about_relations(described);
    functions.extend(about_sizes());
    functions.extend(about_this_connection(settings));
    functions
}

fn about_relations(described: &Described) -> Vec<ScalarUDF> {
    let visible = described.relations.iter().filter(|relation| relation.is_visible()).map(|relation| relation.oid);
    let visible: HashSet<i32> = visible.chain(SYSTEM.map(|(oid, _)| oid)).collect();
    let mut said: HashMap<(i32, i32), String> = HashMap::new();
    for relation in &described.relations {
        let columns = relation.columns.iter().map(|(_, said)| said);
        for (place, text) in (0..).zip(std::iter::once(&relation.description).chain(columns)) {
            if !text.is_empty() {
                said.insert((relation.oid, place), text.clone());
            }
        }
    }
    let (of_relation, of_column) = (Arc::new(said.clone()), Arc::new(said));
    let relations = described.relations.iter();
    let mut named: HashMap<(String, String), i32> =
        relations.map(|relation| ((relation.schema.clone(), relation.name.clone()), relation.oid)).collect();
    for (oid, name) in SYSTEM {
        // a view of ours goes before, as its schema does
        named.entry((SqlCatalog::DEFAULT_SCHEMA.to_owned(), name.to_owned())).or_insert(oid);
        named.insert((super::PG_CATALOG.to_owned(), name.to_owned()), oid);
    }
    vec![
        function("pg_table_is_visible", vec![DataType::Int32], DataType::Boolean, move |arguments| {
            let oids = arguments[0].as_primitive::<Int32Type>().iter();
            Ok(Arc::new(oids.map(|oid| oid.map(|oid| visible.contains(&oid))).collect::<BooleanArray>()))
        }),
        function("to_regclass", vec![DataType::Utf8], DataType::Int32, move |arguments| {
            let names = arguments[0].as_string::<i32>().iter();
            let number = |name: Option<&str>| named.get(&place(name?)?).copied();
            Ok(Arc::new(names.map(number).collect::<Int32Array>()))
        }),
        either(
            "obj_description",
            &[&[DataType::Int32], &[DataType::Int32, DataType::Utf8]],
            DataType::Utf8,
            move |arguments| {
                let oids = arguments[0].as_primitive::<Int32Type>().iter();
                Ok(Arc::new(oids.map(|oid| of_relation.get(&(oid?, 0)).cloned()).collect::<StringArray>()))
            },
        ),
        function("col_description", vec![DataType::Int32, DataType::Int32], DataType::Utf8, move |arguments| {
            let oids = arguments[0].as_primitive::<Int32Type>().iter();
            let places = arguments[1].as_primitive::<Int32Type>().iter();
            let said = oids.zip(places).map(|(oid, place)| of_column.get(&(oid?, place?)).cloned());
            Ok(Arc::new(said.collect::<StringArray>()))
        }),
        nothing("pg_get_serial_sequence", vec![DataType::Utf8, DataType::Utf8], DataType::Utf8),
        type_of_values(),
        nothing("shobj_description", vec![DataType::Int32, DataType::Utf8], DataType::Utf8),
        nothing("pg_get_viewdef", vec![DataType::Int32, DataType::Boolean], DataType::Utf8),
        nothing("pg_get_indexdef", vec![DataType::Int32, DataType::Int64, DataType::Boolean], DataType::Utf8),
        always("pg_type_is_visible", true),
        always("pg_function_is_visible", true),
    ]
}

/// The type of a value, as it is shown.
fn type_of_values() -> ScalarUDF {
    let body = over_arrays(|arguments| {
        let field = Arc::new(Field::new("value", arguments[0].data_type().clone(), true));
        let name = type_of(&field);
        Ok(Arc::new(StringArray::from(vec![sql_name(name.name()); arguments[0].len()])))
    });
    let signature = Signature::any(1, Volatility::Stable);
    ScalarUDF::from(SimpleScalarUDF::new_with_signature("pg_typeof", signature, DataType::Utf8, body))
}

/// A type by the name that SQL has for it.
fn sql_name(name: &str) -> String {
    if let Some(element) = name.strip_prefix('_') {
        return format!("{}[]", sql_name(element));
    }
    let known = match name {
        "bool" => "boolean",
        "int2" => "smallint",
        "int4" => "integer",
        "int8" => "bigint",
        "float4" => "real",
        "float8" => "double precision",
        "timestamp" => "timestamp without time zone",
        "timestamptz" => "timestamp with time zone",
        "time" => "time without time zone",
        other => other,
    };
    known.to_owned()
}

/// The schema and the name of a relation, as its name says them.
fn place(name: &str) -> Option<(String, String)> {
    let statements = statements(name);
    let [statement] = &statements[..] else { return None };
    match statement.len() {
        1 => Some((SqlCatalog::DEFAULT_SCHEMA.to_owned(), statement.name(0)?)),
        3 if matches!(statement.token(1), Some(Token::Period)) => Some((statement.name(0)?, statement.name(2)?)),
        _ => None,
    }
}

/// Nobody knows how large a table is without looking at its files.
fn about_sizes() -> Vec<ScalarUDF> {
    let mut functions: Vec<ScalarUDF> = ["pg_table_size", "pg_relation_size", "pg_total_relation_size"]
        .map(|name| nothing(name, vec![DataType::Int32], DataType::Int64))
        .into();
    functions.push(function("pg_size_pretty", vec![DataType::Int64], DataType::Utf8, |arguments| {
        let sizes = arguments[0].as_primitive::<Int64Type>().iter();
        Ok(Arc::new(sizes.map(|size| size.map(|size| format!("{size} bytes"))).collect::<StringArray>()))
    }));
    functions
}

fn about_this_connection(settings: &Settings) -> Vec<ScalarUDF> {
    let value = |name: &str| settings.get(name).map(|(_, value)| value).unwrap_or_default();
    let values: HashMap<String, String> =
        settings.all().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let version = format!("PostgreSQL {VERSION}, read-only");
    vec![
        constant("version", ScalarValue::from(version.as_str())),
        constant("session_user", ScalarValue::from(value("session_authorization").as_str())),
        constant("pg_my_temp_schema", ScalarValue::from(0_i32)),
        constant("pg_is_in_recovery", ScalarValue::from(false)),
        function("pg_get_userbyid", vec![DataType::Int32], DataType::Utf8, |arguments| {
            Ok(Arc::new(StringArray::from(vec![OWNER; arguments[0].len()])))
        }),
        either("current_setting", &[&[DataType::Utf8], &[DataType::Utf8, DataType::Boolean]], DataType::Utf8, {
            move |arguments| {
                let names = arguments[0].as_string::<i32>().iter();
                // whether what is not known is null
                let is_lenient = |row| arguments.get(1).is_some_and(|lenient| lenient.as_boolean().value(row));
                let value = |(row, name): (usize, Option<&str>)| {
                    let Some(name) = name else { return Ok(None) };
                    match values.get(&name.to_ascii_lowercase()) {
                        None if !is_lenient(row) => Err(DataFusionError::Plan(format!("there is no setting '{name}'"))),
                        known => Ok(known.cloned()),
                    }
                };
                Ok(Arc::new(names.enumerate().map(value).collect::<Result<StringArray>>()?))
            }
        }),
        constant("inet_server_addr", ScalarValue::Utf8(None)),
        constant("inet_server_port", ScalarValue::Int32(None)),
    ]
}

/// One that takes either of some lists of arguments.
fn either(
    name: &str,
    takes: &[&[DataType]],
    gives: DataType,
    body: impl Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync + 'static,
) -> ScalarUDF {
    let lists = takes.iter().map(|types| TypeSignature::Exact(types.to_vec()));
    let signature = Signature::one_of(lists.collect(), Volatility::Stable);
    ScalarUDF::from(SimpleScalarUDF::new_with_signature(name, signature, gives, over_arrays(body)))
}

fn over_arrays(body: impl Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync + 'static) -> ScalarFunctionImplementation {
    Arc::new(move |arguments: &[ColumnarValue]| -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        Ok(ColumnarValue::Array(body(&arrays)?))
    })
}

fn function(
    name: &str,
    takes: Vec<DataType>,
    gives: DataType,
    body: impl Fn(&[ArrayRef]) -> Result<ArrayRef> + Send + Sync + 'static,
) -> ScalarUDF {
    create_udf(name, takes, gives, Volatility::Stable, over_arrays(body))
}

/// Says nothing of anything.
fn nothing(name: &str, takes: Vec<DataType>, gives: DataType) -> ScalarUDF {
    let of = gives.clone();
    function(name, takes, gives, move |arguments| Ok(new_null_array(&of, arguments[0].len())))
}

/// Says the same of every number.
fn always(name: &str, value: bool) -> ScalarUDF {
    function(name, vec![DataType::Int32], DataType::Boolean, move |arguments| {
        Ok(Arc::new(BooleanArray::from(vec![value; arguments[0].len()])))
    })
}

/// Takes nothing.
fn constant(name: &str, value: ScalarValue) -> ScalarUDF {
    let gives = value.data_type();
    let body = move |_: &[ColumnarValue]| -> Result<ColumnarValue> { Ok(ColumnarValue::Scalar(value.clone())) };
    create_udf(name, Vec::new(), gives, Volatility::Stable, Arc::new(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relation_is_found_by_its_name() {
        let place = |name| place(name).map(|(schema, name)| format!("{schema} {name}"));
        assert_eq!(place("legs").as_deref(), Some("public legs"));
        assert_eq!(place("Latest.\"legs@1\"").as_deref(), Some("latest legs@1"));
        for odd in ["", "a.b.c", "1", "a b", "legs; select 1"] {
            assert_eq!(place(odd), None, "{odd}");
        }
    }

    #[test]
    fn types_have_the_names_that_sql_has_for_them() {
        for (name, said) in [("int4", "integer"), ("_float8", "double precision[]"), ("text", "text")] {
            assert_eq!(sql_name(name), said);
        }
    }
}
