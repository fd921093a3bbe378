//! What catalog browsers ask: catalogs, schemas, tables with their columns and comments, keys, types.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::sql::metadata::{GetCatalogsBuilder, GetTablesBuilder, SqlInfoDataBuilder, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{
    CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetSqlInfo, CommandGetTableTypes, CommandGetTables,
    CommandGetXdbcTypeInfo,
};
use arrow_flight::{FlightDescriptor, FlightInfo, Ticket};
use hitherto_engine::{SqlCatalog, SqlColumns};

use super::Sql;
use super::abilities::{abilities, types};
use crate::answer::{Refusal, text_of};
use crate::flight::rows::{Sent, announced, info, sent_whole, unsendable};

/// Under which clients look for a comment on a column.
const REMARKS: &str = "ARROW:FLIGHT:SQL:REMARKS";

/// What is asked.
pub(in crate::flight) enum Asked {
    Catalogs,
    Schemas(CommandGetDbSchemas),
    Tables(CommandGetTables),
    TableTypes,
    Abilities(CommandGetSqlInfo),
    Types(CommandGetXdbcTypeInfo),
    PrimaryKeys(CommandGetPrimaryKeys),
    /// In either direction: no table of ours refers to another.
    ForeignKeys,
}

impl Asked {
    /// Announces the answer, which is fetched by the same words.
    pub(in crate::flight) fn announce(self, asked: FlightDescriptor) -> Result<FlightInfo, Refusal> {
        let ticket = Ticket::new(asked.cmd.clone());
        info(&announced(&self.schema()), ticket, asked)
    }

    fn schema(self) -> SchemaRef {
        match self {
            Self::Catalogs => GetCatalogsBuilder::new().schema(),
            Self::Schemas(query) => query.into_builder().schema(),
            Self::Tables(query) => query.into_builder().schema(),
            Self::TableTypes => CommandGetTableTypes {}.into_builder().schema(),
            Self::Abilities(_) => Arc::new(SqlInfoDataBuilder::schema().clone()),
            Self::Types(_) => XdbcTypeInfoDataBuilder::new().schema(),
            Self::PrimaryKeys(_) => primary_key_schema(),
            Self::ForeignKeys => foreign_key_schema(),
        }
    }
}

impl Sql {
    /// The answer.
    pub(in crate::flight) async fn list(&self, asked: Asked) -> Result<Sent, Refusal> {
        let batch = match asked {
            Asked::Catalogs => {
                let mut catalogs = GetCatalogsBuilder::new();
                catalogs.append(SqlCatalog::NAME);
                catalogs.build().map_err(unsendable)?
            }
            Asked::Schemas(query) => {
                let mut schemas = query.into_builder();
                for schema in self.catalog().await?.schemas() {
                    schemas.append(SqlCatalog::NAME, schema);
                }
                schemas.build().map_err(unsendable)?
            }
            Asked::Tables(query) => self.tables(query).await?,
            Asked::TableTypes => {
                let mut table_types = CommandGetTableTypes {}.into_builder();
                for table_type in SqlCatalog::TABLE_TYPES {
                    table_types.append(table_type);
                }
                table_types.build().map_err(unsendable)?
            }
            Asked::Abilities(query) => {
                let abilities = abilities().map_err(unsendable)?;
                query.into_builder(&abilities).build().map_err(unsendable)?
            }
            Asked::Types(query) => {
                let types = types().map_err(unsendable)?;
                query.into_builder(&types).build().map_err(unsendable)?
            }
            Asked::PrimaryKeys(query) => self.primary_keys(&query).await?,
            Asked::ForeignKeys => RecordBatch::new_empty(foreign_key_schema()),
        };
        Ok(sent_whole(batch))
    }

    async fn catalog(&self) -> Result<SqlCatalog, Refusal> {
        Ok(self.shared.engine().sql_catalog().await?)
    }

    /// Only tables that are asked for are opened, and those only for their columns.
    async fn tables(&self, query: CommandGetTables) -> Result<RecordBatch, Refusal> {
        let catalog = self.catalog().await?;
        let with_columns = query.include_schema;
        let mut names = CommandGetTables { include_schema: false, ..query }.into_builder();
        let nothing = Schema::empty();
        for table in catalog.tables().await? {
            names.append(SqlCatalog::NAME, table.schema, table.name, table.table_type, &nothing).map_err(unsendable)?;
        }
        let names = names.build().map_err(unsendable)?;
        if !with_columns {
            return Ok(names);
        }
        // chosen already: no more is left out
        let any = || None::<String>;
        let mut tables = GetTablesBuilder::new(any(), any(), any(), Vec::<String>::new(), true);
        let [schemas, tables_named, types] = [1, 2, 3].map(|column| names.column(column).as_string::<i32>());
        for row in 0..names.num_rows() {
            let (schema, name) = (schemas.value(row), tables_named.value(row));
            let columns = match catalog.columns(schema, name).await {
                Ok(columns) => described(&columns),
                // one file that is gone must not hide all other tables; whoever queries this one is told
                Err(error) if !error.kind().is_retryable() => {
                    tracing::debug!("table '{schema}.{name}' is listed without columns: {}", text_of(&error));
                    Schema::empty()
                }
                Err(error) => return Err(error.into()),
            };
            tables.append(SqlCatalog::NAME, schema, name, types.value(row), &columns).map_err(unsendable)?;
        }
        tables.build().map_err(unsendable)
    }

    async fn primary_keys(&self, query: &CommandGetPrimaryKeys) -> Result<RecordBatch, Refusal> {
        let schema = query.db_schema.as_deref().unwrap_or(SqlCatalog::DEFAULT_SCHEMA);
        let columns = match query.catalog.as_deref() {
            None | Some(SqlCatalog::NAME) => self.catalog().await?.primary_key(schema, &query.table),
            Some(_) => Vec::new(),
        };
        let rows = columns.len();
        let same = |text: &str| Arc::new(StringArray::from(vec![text; rows])) as ArrayRef;
        let sequence: Int32Array = (1..=i32::try_from(rows).unwrap_or(i32::MAX)).collect();
        let arrays = vec![
            same(SqlCatalog::NAME),
            same(schema),
            same(&query.table),
            Arc::new(StringArray::from(columns)) as ArrayRef,
            Arc::new(sequence) as ArrayRef,
            Arc::new(StringArray::new_null(rows)) as ArrayRef,
        ];
        RecordBatch::try_new(primary_key_schema(), arrays).map_err(unsendable)
    }
}

/// Columns as clients want them told, comments included.
fn described(columns: &SqlColumns) -> Schema {
    let field = |(field, said): (&Arc<Field>, &String)| {
        let mut metadata = field.metadata().clone();
        if !said.is_empty() {
            metadata.insert(REMARKS.to_owned(), said.clone());
        }
        field.as_ref().clone().with_metadata(metadata)
    };
    let fields: Vec<Field> = columns.schema.fields().iter().zip(&columns.descriptions).map(field).collect();
    let mut metadata = columns.schema.metadata().clone();
    if !columns.description.is_empty() {
        metadata.insert(REMARKS.to_owned(), columns.description.clone());
    }
    Schema::new_with_metadata(fields, metadata)
}

fn primary_key_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("key_name", true),
    ]))
}

fn foreign_key_schema() -> SchemaRef {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
}
