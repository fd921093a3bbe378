//! What there is to be queried, as catalog browsers show it: schemas, tables, columns, and what is said of them.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::catalog::CatalogProvider;
use datafusion::logical_expr::TableType;
use hitherto_core::{Catalog, Name, Selector, ViewVersion};

use crate::sql::{CATALOG, PUBLIC, recovered};
use crate::{Engine, Error, Result};

/// The schema of current values: a row an entity key.
const LATEST: &str = "latest";
const READING: &str = "could not read what tables there are";

/// What the columns say that every view has.
const OF_EVERY_VIEW: [(&str, &str); 7] = [
    ("event_timestamp", "when it was true in the world"),
    ("created_timestamp", "when its producer knew it"),
    ("available_at", "from when on the row could be used"),
    ("_available_at", "from when on the row could be used"),
    ("_deleted", "whether the row is a tombstone: it withholds every feature while it is the winner"),
    ("_sequence", "the row's place in its table's history"),
    ("_ingested_at", "when the row was committed"),
];

/// The tables of SQL at one moment.
pub struct SqlCatalog {
    schemas: Arc<dyn CatalogProvider>,
    catalog: Arc<Catalog>,
}

/// A table's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlTable {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `TABLE`, or `VIEW` of what is made when it is asked for.
    pub table_type: &'static str,
}

/// What a table consists of.
#[derive(Clone, Debug)]
pub struct SqlColumns {
    /// Names and types.
    pub schema: SchemaRef,
    /// What is said of each column, in order; empty where nothing is.
    pub descriptions: Vec<String>,
    /// What is said of the table; empty where nothing is.
    pub description: String,
}

impl Engine {
    /// The tables that queries can name now.
    pub async fn sql_catalog(&self) -> Result<SqlCatalog> {
        let catalog = Arc::new(self.registry().catalog().await?);
        let context = self.sql_context(&catalog, &Arc::default())?;
        let schemas = context.catalog(CATALOG).ok_or_else(|| Error::internal("SQL has no catalog", CATALOG))?;
        Ok(SqlCatalog { schemas, catalog })
    }
}

impl SqlCatalog {
    /// The catalog's name.
    pub const NAME: &'static str = CATALOG;
    /// The schema of a table that is named without one.
    pub const DEFAULT_SCHEMA: &'static str = PUBLIC;
    /// What a table can be.
    pub const TABLE_TYPES: [&'static str; 2] = ["TABLE", "VIEW"];

    /// The names of the schemas.
    pub fn schemas(&self) -> Vec<String> {
        self.schemas.schema_names()
    }

    /// All tables; none is opened.
    pub async fn tables(&self) -> Result<Vec<SqlTable>> {
        let mut tables = Vec::new();
        for schema in self.schemas() {
            let Some(provider) = self.schemas.schema(&schema) else { continue };
            for name in provider.table_names() {
                let found = provider.table_type(&name).await.map_err(|error| recovered(READING, error))?;
                let [table, view] = Self::TABLE_TYPES;
                let table_type = if found == Some(TableType::View) { view } else { table };
                tables.push(SqlTable { schema: schema.clone(), name, table_type });
            }
        }
        Ok(tables)
    }

    /// The columns of a table, which is opened for that.
    pub async fn columns(&self, schema: &str, name: &str) -> Result<SqlColumns> {
        let provider = self.schemas.schema(schema);
        let table = match &provider {
            Some(provider) => provider.table(name).await.map_err(|error| recovered(READING, error))?,
            None => None,
        };
        let Some(table) = table else { return Err(Error::NotFound(format!("there is no table '{schema}.{name}'"))) };
        let columns = table.schema();
        let view = self.view(schema, name);
        let said = |column: &str| view.map_or_else(String::new, |view| of_column(view, column));
        let descriptions = columns.fields().iter().map(|field| said(field.name())).collect();
        let description = view.and_then(|view| view.definition.notes.description.clone()).unwrap_or_default();
        Ok(SqlColumns { schema: columns, descriptions, description })
    }

    /// The columns whose values tell a table's rows apart; none for a table that promises nothing.
    pub fn primary_key(&self, schema: &str, name: &str) -> Vec<String> {
        match self.view(schema, name) {
            Some(view) if schema == LATEST => view.keys.iter().map(|key| key.name.to_string()).collect(),
            Some(_) => vec!["_sequence".to_owned()],
            None => Vec::new(),
        }
    }

    fn view(&self, schema: &str, name: &str) -> Option<&ViewVersion> {
        let selector = name.parse::<Selector>().ok().filter(|_| matches!(schema, PUBLIC | LATEST))?;
        self.catalog.view(&selector).filter(|_| selector.to_string() == name)
    }
}

impl fmt::Debug for SqlCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlCatalog").field("schemas", &self.schemas()).finish_non_exhaustive()
    }
}

fn of_column(view: &ViewVersion, column: &str) -> String {
    if view.keys.iter().any(|key| key.name.as_str() == column) {
        let entities: Vec<&str> = view.definition.entities.iter().map(Name::as_str).collect();
        return format!("join key of {}", entities.join(", "));
    }
    if let Some(feature) = view.definition.features.iter().find(|feature| feature.name.as_str() == column) {
        return feature.notes.description.clone().unwrap_or_default();
    }
    let of_every_view = OF_EVERY_VIEW.iter().find(|(name, _)| *name == column);
    of_every_view.map(|(_, said)| (*said).to_owned()).unwrap_or_default()
}
