//! What catalog browsers ask of PostgreSQL: `pg_catalog`, and functions that say what there is.
//!
//! Such a query is planned over tables that are made of our own catalog, and over nothing else: it never reaches a feature view, and
//! a query of feature views is never rewritten.

mod described;
mod empty;
mod functions;
mod replaced;
mod tables;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider,
    SchemaProvider,
};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::registry::FunctionRegistry;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::tokenizer::Token;
use datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_pg_catalog::pg_catalog::{PG_CATALOG_TABLES, setup_pg_catalog};
use datafusion_pg_catalog::sql::PostgresCompatibilityParser;
use hitherto_engine::{Engine, Error, PlannedQuery, SqlCatalog};

use self::described::Described;
use super::settings::Settings;
use super::words::statements;
use crate::shared::Shared;

/// The schema of what PostgreSQL says of itself.
const PG_CATALOG: &str = "pg_catalog";

/// Functions that say what there is; a query that has one and reads no table is a browser's.
const FUNCTIONS: [&str; 34] = [
    "col_description",
    "current_catalog",
    "current_database",
    "current_role",
    "current_schema",
    "current_schemas",
    "current_setting",
    "current_user",
    "format_type",
    "has_any_column_privilege",
    "has_database_privilege",
    "has_schema_privilege",
    "has_table_privilege",
    "inet_server_addr",
    "inet_server_port",
    "obj_description",
    "pg_backend_pid",
    "pg_encoding_to_char",
    "pg_get_serial_sequence",
    "pg_get_userbyid",
    "pg_is_in_recovery",
    "pg_my_temp_schema",
    "pg_relation_size",
    "pg_size_pretty",
    "pg_table_is_visible",
    "pg_table_size",
    "pg_total_relation_size",
    "pg_typeof",
    "quote_ident",
    "session_user",
    "to_regclass",
    "shobj_description",
    "user",
    "version",
];

/// Reads PostgreSQL's own SQL, and rewrites what the planner does not know of it.
static PARSER: LazyLock<PostgresCompatibilityParser> = LazyLock::new(PostgresCompatibilityParser::new);

/// Tables and functions that are the same for everybody: types, operators, and what of PostgreSQL there is not.
static COMMON: LazyLock<Result<SessionState, String>> = LazyLock::new(|| {
    let config = SessionConfig::new().with_default_catalog_and_schema(SqlCatalog::NAME, SqlCatalog::DEFAULT_SCHEMA);
    let context = SessionContext::new_with_config(config);
    setup_pg_catalog(&context, SqlCatalog::NAME, EmptyContextProvider).map_err(|error| error.to_string())?;
    Ok(context.state())
});

/// Whether a query asks what there is, in PostgreSQL's words.
pub(super) fn is_asked(text: &str) -> bool {
    let statements = statements(text);
    let Some(statement) = statements.first() else { return false };
    let mut has_function = false;
    let mut reads = false;
    for place in 0..statement.len() {
        let Some(word) = statement.word(place) else { continue };
        let is_part = place > 0 && matches!(statement.token(place - 1), Some(Token::Period));
        if word == PG_CATALOG || (!is_part && PG_CATALOG_TABLES.contains(&word.as_str())) {
            return true;
        }
        reads |= word == "from";
        let is_type = matches!(word.as_str(), "regclass" | "regtype" | "regproc" | "regnamespace")
            && place > 0
            && matches!(statement.token(place - 1), Some(Token::DoubleColon));
        has_function |= is_type || FUNCTIONS.contains(&word.as_str());
    }
    has_function && !reads && !statement.has(0, &["explain"])
}

/// Plans such a query, by what there is now.
pub(super) async fn plan(shared: &Shared, settings: &Settings, text: &str) -> Result<PlannedQuery, Error> {
    Engine::admit_sql(text)?;
    let text = match empty::emptied(text) {
        Some(empty) => Cow::Owned(empty),
        None => replaced::replaced(text),
    };
    let described = Described::read(shared.engine(), replaced::needs_columns(&text)).await?;
    let tables = session(settings, &described).await.map_err(Error::of_planning)?;
    let mut statements =
        PARSER.parse(&text).map_err(|error| Error::of_planning(DataFusionError::SQL(Box::new(error), None)))?;
    let statement = statements.pop().filter(|_| statements.is_empty());
    let statement = statement.ok_or_else(|| Error::Invalid("one statement is asked at a time".to_owned()))?;
    shared.engine().plan_over(tables, Statement::Statement(Box::new(statement))).await
}

/// What is common, with tables and functions that say what there is.
async fn session(settings: &Settings, described: &Described) -> DataFusionResult<SessionState> {
    let common = COMMON.as_ref().map_err(|error| DataFusionError::Internal(error.clone()))?;
    let theirs = common.catalog_list().catalog(SqlCatalog::NAME).and_then(|catalog| catalog.schema(PG_CATALOG));
    let theirs = theirs.ok_or_else(|| DataFusionError::Internal("there is no pg_catalog".to_owned()))?;
    let schema = MemorySchemaProvider::new();
    let ours = tables::all(settings, described)?;
    for name in PG_CATALOG_TABLES.iter().filter(|name| !ours.iter().any(|(known, _)| known == *name)) {
        if let Some(table) = theirs.table(name).await? {
            schema.register_table((*name).to_owned(), table)?;
        }
    }
    for (name, table) in ours {
        schema.register_table(name.to_owned(), table)?;
    }
    let catalog = MemoryCatalogProvider::new();
    catalog.register_schema(PG_CATALOG, Arc::new(schema))?;
    let public = MemorySchemaProvider::new();
    catalog.register_schema(SqlCatalog::DEFAULT_SCHEMA, Arc::new(public))?;
    let list = MemoryCatalogProviderList::new();
    list.register_catalog(SqlCatalog::NAME.to_owned(), Arc::new(catalog));
    let mut state = SessionStateBuilder::new_from_existing(common.clone()).with_catalog_list(Arc::new(list)).build();
    for function in functions::all(settings, described) {
        state.register_udf(Arc::new(function))?;
    }
    Ok(state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_ask_is_told_from_queries() {
        for text in [
            "SELECT n.nspname FROM pg_catalog.pg_namespace n",
            "select * from pg_class",
            "select version()",
            "SELECT current_schema(), session_user",
            "select 'legs'::regclass::oid",
        ] {
            assert!(is_asked(text), "{text}");
        }
        for text in [
            "select 1",
            "select * from legs",
            "select version() from legs",
            "select 'pg_catalog'",
            "select \"pg_class\" from legs",
            "select * from public.pg_class",
            "select table_name from information_schema.tables",
            "select array_to_string(list, ',') from legs",
            "",
        ] {
            assert!(!is_asked(text), "{text}");
        }
    }
}
