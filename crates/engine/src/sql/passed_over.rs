//! Clauses that the parser takes and the planner does not look at: a query that has one would not mean what it says.

use datafusion::error::Result as DataFusionResult;
use datafusion::sql::sqlparser::ast::{GroupByExpr, Query, Select, TableFactor};

use super::unsupported;

/// Refuses a clause, where there is one.
pub(super) fn refuse_what_is_passed_over(clause: Option<&str>) -> DataFusionResult<()> {
    clause.map_or(Ok(()), |clause| Err(unsupported(format!("{clause} is not supported: leave it out"))))
}

/// Of what stands in a `FROM`.
pub(super) fn clause_of_factor(relation: &TableFactor) -> Option<&'static str> {
    Some(match relation {
        TableFactor::Table { sample: Some(_), .. } | TableFactor::Derived { sample: Some(_), .. } => "TABLESAMPLE",
        TableFactor::Table { with_hints, index_hints, .. } if !with_hints.is_empty() || !index_hints.is_empty() => {
            "a hint of a table"
        }
        TableFactor::Table { partitions, .. } if !partitions.is_empty() => "PARTITION of a table",
        TableFactor::Table { json_path: Some(_), .. } => "a path into a table",
        TableFactor::Table { with_ordinality: true, .. } => "WITH ORDINALITY",
        TableFactor::Table { args: Some(args), .. } if args.settings.is_some() => "SETTINGS of a table function",
        TableFactor::Table { args: Some(_), version: Some(_), .. } => "a version of a table function",
        _ => return None,
    })
}

/// Of a `SELECT`.
pub(super) fn clause_of_select(select: &Select) -> Option<&'static str> {
    let modifiers = match &select.group_by {
        GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers) => modifiers,
    };
    if select.prewhere.is_some() {
        Some("PREWHERE")
    } else if !select.connect_by.is_empty() {
        Some("CONNECT BY")
    } else if !modifiers.is_empty() {
        Some("WITH of a GROUP BY (write GROUP BY ROLLUP (…), CUBE (…) or GROUPING SETS (…))")
    } else if select.select_modifiers.is_some() {
        Some("a modifier of SELECT")
    } else if select.exclude.is_some() {
        Some("EXCLUDE after the columns of a SELECT")
    } else if select.value_table_mode.is_some() {
        Some("SELECT AS VALUE or STRUCT")
    } else {
        None
    }
}

/// Of a query as a whole.
pub(super) fn clause_of_query(query: &Query) -> Option<&'static str> {
    if !query.locks.is_empty() {
        Some("FOR UPDATE or SHARE")
    } else if query.for_clause.is_some() {
        Some("FOR XML, JSON or BROWSE")
    } else if query.settings.is_some() {
        Some("SETTINGS")
    } else if query.format_clause.is_some() {
        Some("FORMAT")
    } else {
        None
    }
}
