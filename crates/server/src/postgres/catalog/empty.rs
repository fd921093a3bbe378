//! What clients ask of keys, indexes and constraints in words that the planner does not know. No relation has any, so that the
//! answer is known without them: its columns, and no row.

use datafusion::sql::sqlparser::ast::{Expr, Ident, SelectItem, SetExpr, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::postgres::words::statements;

/// A query with one of these takes its rows from what an index or a constraint consists of.
const PARTS: [&str; 6] = [
    // JDBC: primary keys, indexes, foreign keys
    "_pg_expandarray(",
    " pos(n)",
    // SQLAlchemy: the same
    "unnest(pg_catalog.pg_constraint.conkey)",
    "unnest(pg_constraint.conkey)",
    "unnest(pg_catalog.pg_index.indkey)",
    "unnest(pg_index.indkey)",
];

/// The query that answers nothing in the same columns, and takes the same values; none if it may have rows.
pub(super) fn emptied(text: &str) -> Option<String> {
    if !PARTS.iter().any(|part| text.contains(part)) {
        return None;
    }
    let mut parsed = Parser::parse_sql(&PostgreSqlDialect {}, text).ok()?;
    let Some(Statement::Query(query)) = parsed.pop().filter(|_| parsed.is_empty()) else { return None };
    let SetExpr::Select(select) = *query.body else { return None };
    let columns: Option<Vec<String>> = select.projection.iter().map(name).collect();
    let columns: Vec<String> =
        columns?.iter().map(|name| format!("CAST(NULL AS text) AS \"{}\"", name.replace('"', "\"\""))).collect();
    let values: Vec<String> = (1..=values(text)).map(|number| format!(" AND ${number} IS NULL")).collect();
    Some(format!("SELECT {} WHERE false{}", columns.join(", "), values.concat()))
}

/// The name of a column of an answer; none of what stands for several.
fn name(item: &SelectItem) -> Option<String> {
    let written = |name: &Ident| match name.quote_style {
        Some(_) => name.value.clone(),
        None => name.value.to_lowercase(),
    };
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(written(alias)),
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => Some(written(name)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(names)) => names.last().map(written),
        _ => None,
    }
}

/// How many values the query takes.
fn values(text: &str) -> usize {
    let statements = statements(text);
    let tokens =
        statements.iter().flat_map(|statement| (0..statement.len()).filter_map(|place| statement.token(place)));
    let number = |token: &Token| match token {
        Token::Placeholder(name) => name.strip_prefix('$')?.parse().ok(),
        _ => None,
    };
    tokens.filter_map(number).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_relation_has_is_an_answer_without_rows() {
        let keys = "SELECT result.TABLE_CAT, result.\"Name\", now() AS at FROM (SELECT \
                    (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ FROM pg_catalog.pg_index i WHERE i.x = $2) result \
                    WHERE $1 = 1 ORDER BY 1";
        assert_eq!(
            emptied(keys).as_deref(),
            Some(
                "SELECT CAST(NULL AS text) AS \"table_cat\", CAST(NULL AS text) AS \"Name\", CAST(NULL AS text) AS \"at\" \
                 WHERE false AND $1 IS NULL AND $2 IS NULL"
            )
        );
        assert_eq!(emptied("select * from pg_index"), None);
        assert_eq!(
            emptied("select * from (select unnest(pg_index.indkey) from pg_index) a"),
            None,
            "its columns are unknown"
        );
    }
}
