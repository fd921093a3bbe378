//! `information_schema.columns` for clients of PostgreSQL: types have the names that SQL has for them.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::sql::sqlparser::ast::{Ident, Query, Statement, TableAlias, TableFactor, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use hitherto_engine::Engine;

/// The same columns, in which the engine's names of types have become those under which their values are sent.
const COLUMNS: &str = "SELECT table_catalog, table_schema, table_name, column_name, ordinal_position, column_default, is_nullable, \
    CASE \
    WHEN data_type = 'Boolean' THEN 'boolean' \
    WHEN data_type IN ('Int8', 'Int16', 'UInt8') THEN 'smallint' \
    WHEN data_type IN ('Int32', 'UInt16') THEN 'integer' \
    WHEN data_type IN ('Int64', 'UInt32') THEN 'bigint' \
    WHEN data_type = 'UInt64' OR data_type LIKE 'Decimal%' THEN 'numeric' \
    WHEN data_type IN ('Float16', 'Float32') THEN 'real' \
    WHEN data_type = 'Float64' THEN 'double precision' \
    WHEN data_type = 'Date32' THEN 'date' \
    WHEN data_type LIKE 'Timestamp(%\"%' THEN 'timestamp with time zone' \
    WHEN data_type LIKE 'Timestamp(%' OR data_type = 'Date64' THEN 'timestamp without time zone' \
    WHEN data_type LIKE 'Time32(%' OR data_type LIKE 'Time64(%' THEN 'time without time zone' \
    WHEN data_type LIKE 'Interval(%' OR data_type LIKE 'Duration(%' THEN 'interval' \
    WHEN data_type LIKE '%Binary%' THEN 'bytea' \
    WHEN data_type LIKE 'List(%' OR data_type LIKE 'LargeList(%' OR data_type LIKE 'FixedSizeList(%' THEN 'ARRAY' \
    ELSE 'text' END AS data_type, \
    character_maximum_length, character_octet_length, numeric_precision, numeric_precision_radix, numeric_scale, \
    datetime_precision, interval_type FROM information_schema.columns";

/// The same, taken apart once.
static NAMED: LazyLock<Option<Box<Query>>> = LazyLock::new(|| {
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, COLUMNS).ok()?;
    parsed.into_iter().find_map(|statement| match statement {
        Statement::Query(query) => Some(query),
        _ => None,
    })
});

/// The query over these columns; none if it does not read them, or names them with both of their parts, as only a table can be.
pub(super) fn renamed(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    if !lower.contains("information_schema.columns") || lower.contains("information_schema.columns.") {
        return None;
    }
    // what must not be taken apart, and what is no query, is refused by the planner
    Engine::admit_sql(text).ok()?;
    let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, text).ok()?;
    let [statement] = &mut parsed[..] else { return None };
    let mut naming = Naming { query: NAMED.as_ref()?, has_any: false };
    let is_whole = statement.visit(&mut naming).is_continue();
    (is_whole && naming.has_any).then(|| statement.to_string())
}

/// Puts the query in the place of the table.
struct Naming<'a> {
    query: &'a Query,
    has_any: bool,
}

impl VisitorMut for Naming<'_> {
    type Break = ();

    // after what is in it, so that the table in the query itself stays
    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, args: None, .. } = factor
            && name.to_string().eq_ignore_ascii_case("information_schema.columns")
        {
            let own = || TableAlias { explicit: true, name: Ident::new("columns"), columns: Vec::new(), at: None };
            let alias = alias.take().unwrap_or_else(own);
            let subquery = Box::new(self.query.clone());
            *factor = TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
            self.has_any = true;
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_query_in_its_place() {
        let text = "select c.data_type from Information_Schema.Columns c where c.table_name = $1";
        let renamed = renamed(text).expect("it reads the columns");
        assert!(renamed.starts_with("SELECT c.data_type FROM (SELECT table_catalog,"), "{renamed}");
        assert!(
            renamed.contains("THEN 'double precision'") && renamed.ends_with("c WHERE c.table_name = $1"),
            "{renamed}"
        );
        assert_eq!(renamed.matches("information_schema.columns").count(), 1, "{renamed}");
        let own = super::renamed("select columns.data_type from information_schema.columns").expect("it reads them");
        assert!(own.ends_with("AS columns"), "{own}");
        for text in [
            "select * from legs",
            "select 'information_schema.columns'",
            "select information_schema.columns.data_type from information_schema.columns",
            "select from where information_schema.columns",
        ] {
            assert_eq!(super::renamed(text), None, "{text}");
        }
    }
}
