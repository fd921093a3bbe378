//! The text of a query, as what the planner understands of it.
//!
//! Three things have no place of their own in DataFusion's planner, and are put where ours sees them: an `ASOF JOIN` goes
//! into parentheses with all that is left of it, the spine of `features_as_of` becomes a subquery, and `history('view')` the
//! view's table.

use std::ops::ControlFlow;

use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, FunctionArg, FunctionArgExpr, Ident, Join, JoinOperator, ObjectName, ObjectNamePart, Query, Select,
    Statement as SqlStatement, TableAlias, TableFactor, TableFunctionArgs, TableWithJoins, Value, Visit, VisitMut,
    Visitor, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect};

use super::bounds::{PARTS_MAX, QUERY_BYTES_MAX, refuse_too_deep, refuse_too_large};
use super::dialect::VersionedDialect;
use super::passed_over::{clause_of_factor, clause_of_query, clause_of_select, refuse_what_is_passed_over};
use super::{CATALOG, PUBLIC};

/// `history('view')`.
const HISTORY: &str = "history";
/// `features_as_of('feature_set', spine)`.
pub(super) const FEATURES_AS_OF: &str = "features_as_of";

/// The one statement of `query`.
pub(super) fn parse(query: &str) -> DataFusionResult<Statement> {
    admitted(parsed(query)?)
}

/// A statement that is not too much to be planned, and has nothing that would be passed over; as the planner understands it.
pub(crate) fn admitted(mut statement: Statement) -> DataFusionResult<Statement> {
    rewrite(&mut statement)?;
    // a spine that came as a text is a part of it now
    refuse_too_deep(&statement.to_string())?;
    Ok(statement)
}

fn parsed(query: &str) -> DataFusionResult<Statement> {
    refuse_too_large(query, QUERY_BYTES_MAX)?;
    // the clause takes words that are names elsewhere, so only a query that has it is read so
    let is_versioned = query.to_ascii_lowercase().contains("system_time");
    let dialect: &dyn Dialect = if is_versioned { &VersionedDialect } else { &GenericDialect };
    let mut statements = DFParserBuilder::new(query).with_dialect(dialect).build()?.parse_statements()?;
    if statements.len() > 1 {
        let reason = "The context currently only supports a single SQL statement";
        return Err(DataFusionError::NotImplemented(reason.to_owned()));
    }
    let none = || DataFusionError::Plan("No SQL statements were provided in the query string".to_owned());
    statements.pop_front().ok_or_else(none)
}

fn rewrite(statement: &mut Statement) -> DataFusionResult<()> {
    match statement {
        Statement::Statement(statement) => match VisitMut::visit(statement.as_mut(), &mut Rewrite::default()) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        },
        Statement::Explain(explain) => rewrite(&mut explain.statement),
        // refused by the planner, whatever they contain
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => Ok(()),
    }
}

/// A table function and its first argument, where that is a text.
pub(super) type Call = (String, Option<String>);

/// The table functions that a statement calls.
pub(super) fn calls(statement: &Statement) -> Vec<Call> {
    let mut calls = Calls::default();
    match statement {
        Statement::Statement(statement) => {
            let _ = Visit::visit(statement.as_ref(), &mut calls);
            calls.0
        }
        Statement::Explain(explain) => self::calls(&explain.statement),
        _ => Vec::new(),
    }
}

#[derive(Default)]
struct Calls(Vec<Call>);

impl Visitor for Calls {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(args), .. } = factor {
            let first = args.args.first().and_then(argument).and_then(text);
            self.0.push((name.to_string(), first.map(str::to_owned)));
        }
        ControlFlow::Continue(())
    }
}

#[derive(Default)]
struct Rewrite {
    /// Tables that stand beside others in a `FROM`, by commas: each is one join more, upon those before it.
    beside: usize,
}

impl VisitorMut for Rewrite {
    type Break = DataFusionError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<DataFusionError> {
        broken(refuse_what_is_passed_over(clause_of_query(query)))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<DataFusionError> {
        self.beside += select.from.len().saturating_sub(1);
        if self.beside > PARTS_MAX {
            let reason = format!("more than {PARTS_MAX} tables stand beside others in FROM: join fewer in one query");
            return ControlFlow::Break(DataFusionError::Plan(reason));
        }
        select.from.iter_mut().for_each(|from| nest(from, 0));
        broken(refuse_what_is_passed_over(clause_of_select(select)))
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<DataFusionError> {
        let done = match factor {
            // its last join is what the planner of relations looks at
            TableFactor::NestedJoin { table_with_joins, .. } => {
                nest(table_with_joins, 1);
                Ok(())
            }
            TableFactor::Table { name, args, alias, .. } if args.is_some() => call(name, args, alias),
            _ => Ok(()),
        };
        broken(done.and_then(|()| refuse_what_is_passed_over(clause_of_factor(factor))))
    }
}

/// An error ends the visit.
fn broken(done: DataFusionResult<()>) -> ControlFlow<DataFusionError> {
    match done {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

/// Puts everything up to the last `ASOF JOIN` into parentheses; the last `kept` joins stay as they are. What is in the
/// parentheses is visited next, and so taken apart in turn.
fn nest(from: &mut TableWithJoins, kept: usize) {
    let looked_at = from.joins.len().saturating_sub(kept);
    let Some(last) = from.joins[..looked_at].iter().rposition(is_as_of) else { return };
    let rest = from.joins.split_off(last + 1);
    let joins = std::mem::replace(&mut from.joins, rest);
    let nested = TableWithJoins { relation: from.relation.clone(), joins };
    from.relation = TableFactor::NestedJoin { table_with_joins: Box::new(nested), alias: None };
}

fn is_as_of(join: &Join) -> bool {
    matches!(join.join_operator, JoinOperator::AsOf { .. })
}

/// A table function: its name in small letters, and what the planner cannot do with its arguments done.
fn call(
    name: &mut ObjectName,
    args: &mut Option<TableFunctionArgs>,
    alias: &mut Option<TableAlias>,
) -> DataFusionResult<()> {
    let Some(function) = name.0.first().and_then(ObjectNamePart::as_ident).filter(|_| name.0.len() == 1) else {
        return Ok(());
    };
    let function = match function.quote_style {
        None => function.value.to_lowercase(),
        Some(_) => function.value.clone(),
    };
    *name = ObjectName::from(Ident::new(&function));
    match (function.as_str(), args.as_mut()) {
        (HISTORY, Some(given)) => {
            let view = match given.args.as_slice() {
                [view] => argument(view).and_then(text).map(str::to_owned),
                _ => None,
            };
            let view = view.ok_or_else(|| usage("history('feature_view')"))?;
            *name =
                ObjectName::from([CATALOG, PUBLIC, view.as_str()].map(|part| Ident::with_quote('"', part)).to_vec());
            *args = None;
            alias.get_or_insert_with(|| named(HISTORY));
        }
        (FEATURES_AS_OF, Some(given)) => {
            if let Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(spine))) = given.args.get_mut(1) {
                *spine = Expr::Subquery(subquery(spine)?);
            }
        }
        _ => {}
    }
    Ok(())
}

/// A spine as a query: it is one, or the text of one, or a table's name.
fn subquery(spine: &Expr) -> DataFusionResult<Box<Query>> {
    let query = match spine {
        Expr::Subquery(query) => return Ok(query.clone()),
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) => format!("select * from {spine}"),
        other => text(other).ok_or_else(|| usage("features_as_of('feature_set', (select …))"))?.to_owned(),
    };
    match parsed(&query)? {
        Statement::Statement(statement) => match *statement {
            SqlStatement::Query(query) => Ok(query),
            other => Err(DataFusionError::Plan(format!("the spine of {FEATURES_AS_OF} is a query, not {other}"))),
        },
        other => Err(DataFusionError::Plan(format!("the spine of {FEATURES_AS_OF} is a query, not {other}"))),
    }
}

/// An argument without a name.
pub(super) fn argument(argument: &FunctionArg) -> Option<&Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
        _ => None,
    }
}

/// A text in single quotes.
pub(super) fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text.as_str()),
            _ => None,
        },
        _ => None,
    }
}

/// What a table is called where the query does not say.
pub(super) fn named(name: &str) -> TableAlias {
    TableAlias { explicit: true, name: Ident::new(name), columns: Vec::new(), at: None }
}

/// What a table function is called with.
pub(super) fn usage(example: &str) -> DataFusionError {
    DataFusionError::Plan(format!("call it as {example}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The query as it is planned.
    fn read(query: &str) -> String {
        parse(query).unwrap_or_else(|error| panic!("{query}: {error}")).to_string()
    }

    fn refused(query: &str) -> String {
        parse(query).expect_err(query).strip_backtrace()
    }

    #[test]
    fn as_of_joins_go_into_parentheses_with_what_is_left_of_them() {
        let join = |name: &str| format!("ASOF JOIN {name} MATCH_CONDITION (a.t >= {name}.t) ON a.k = {name}.k");
        let (b, c) = (join("b"), join("c"));
        assert_eq!(read(&format!("SELECT 1 FROM a {b}")), format!("SELECT 1 FROM (a {b})"));
        assert_eq!(
            read(&format!("SELECT 1 FROM a {b} {c} JOIN d ON true")),
            format!("SELECT 1 FROM ((a {b}) {c}) JOIN d ON true")
        );
        assert_eq!(
            read(&format!("SELECT 1 FROM a JOIN d ON true {b}, e")),
            format!("SELECT 1 FROM (a JOIN d ON true {b}), e")
        );
        let inner =
            read(&format!("WITH x AS (SELECT 1 FROM a {b}) SELECT * FROM (SELECT 2 FROM a {c}) UNION SELECT * FROM x"));
        assert!(inner.contains(&format!("FROM (a {b})")) && inner.contains(&format!("FROM (a {c})")), "{inner}");
        assert_eq!(read("SELECT 1 FROM a JOIN b ON a.k = b.k"), "SELECT 1 FROM a JOIN b ON a.k = b.k");
    }

    #[test]
    fn history_is_the_views_table() {
        let table = "\"hitherto\".\"public\".\"weather@1\"";
        assert_eq!(read("SELECT * FROM history('weather@1')"), format!("SELECT * FROM {table} AS history"));
        assert_eq!(read("SELECT * FROM HISTORY('weather@1') AS w"), format!("SELECT * FROM {table} AS w"));
        for wrong in ["history()", "history(weather)", "history('a', 'b')"] {
            let said = refused(&format!("SELECT * FROM {wrong}"));
            assert!(said.ends_with("call it as history('feature_view')"), "{said}");
        }
    }

    #[test]
    fn a_spine_is_a_query_its_text_or_a_table() {
        let expected = "SELECT * FROM features_as_of('late', (SELECT * FROM legs))";
        for spine in ["(SELECT * FROM legs)", "'SELECT * FROM legs'"] {
            assert_eq!(read(&format!("SELECT * FROM features_as_of('late', {spine})")), expected);
        }
        let of_table = read("SELECT * FROM Features_As_Of('late', latest.\"legs@1\", mode => 'event')");
        let spine = "(SELECT * FROM latest.\"legs@1\")";
        assert_eq!(of_table, format!("SELECT * FROM features_as_of('late', {spine}, mode => 'event')"));
        let said = refused("SELECT * FROM features_as_of('late', 'DROP TABLE legs')");
        assert!(said.contains("is a query, not DROP TABLE legs"), "{said}");
        assert_eq!(calls(&parse(expected).expect("a query")), [("features_as_of".to_owned(), Some("late".to_owned()))]);
    }

    #[test]
    fn more_than_a_stack_bears_is_refused_wherever_it_stands() {
        let terms = format!("select 1{}", "+1".repeat(5_000));
        assert!(refused(&terms).contains("5000 operators stand one upon the other"));
        let half = format!("select 1{}", "+1".repeat(200));
        let spine = format!("select * from features_as_of('late', '{half}') where 1{} > 0", "+1".repeat(200));
        assert!(refused(&spine).contains("operators stand one upon the other"));
        let beside = format!("select 1 from t{}", ", t".repeat(5_000));
        assert!(refused(&beside).contains("tables stand beside others in FROM"));
        let selects = format!("select {}", vec!["(select 1)"; 1_000].join(", "));
        assert!(refused(&selects).contains("1001 selects"));
        let explained = format!("{}select 1", "explain ".repeat(2_000));
        assert!(refused(&explained).contains("2000 operators"));
    }

    #[test]
    fn versions_of_tables_are_read_where_the_clause_is() {
        let query = "SELECT * FROM legs FOR SYSTEM_TIME AS OF TIMESTAMP '2013-01-02T00:00:00Z' l";
        assert!(read(query).contains("FOR SYSTEM_TIME AS OF TIMESTAMP '2013-01-02T00:00:00Z'"), "{}", read(query));
        // what is a keyword in some dialects is a name here
        assert_eq!(read("SELECT at.k FROM legs at"), "SELECT at.k FROM legs at");
        for other in ["VERSION AS OF 3", "TIMESTAMP AS OF '2013-01-02'", "AT(TIMESTAMP => '2013-01-02')"] {
            assert!(parse(&format!("SELECT * FROM legs {other}")).is_err(), "{other} is not ignored");
        }
    }

    #[test]
    fn everything_that_the_generic_dialect_reads_is_read_with_versions_too() {
        let clause = "FROM legs FOR SYSTEM_TIME AS OF now()";
        for select in [
            "SELECT * EXCLUDE (a) {}",
            "SELECT count(*) FILTER (WHERE a > 1) {}",
            "SELECT a, {}",
            "SELECT [1, 2], MAP {'a': 1} {}",
            "SELECT `a`, \"B\" {}",
            "SELECT a {} GROUP BY a WITH ROLLUP",
            "{} SELECT a",
            "SELECT a {} LIMIT 1, 2",
            "SELECT last_value(a IGNORE NULLS) OVER (w ORDER BY b) {} WINDOW w AS (PARTITION BY c)",
            "SELECT 1 << 2, N'x' {}",
        ] {
            let plain = select.replace("{}", "FROM legs");
            let versioned = select.replace("{}", clause);
            assert_eq!(parsed(&plain).is_ok(), parsed(&versioned).is_ok(), "{select}");
        }
    }
}
