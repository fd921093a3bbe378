//! Our catalog as PostgreSQL would number it.

use std::collections::HashSet;

use arrow::datatypes::FieldRef;
use hitherto_core::digest;
use hitherto_engine::{Engine, Error, SqlCatalog};

use crate::answer::text_of;

/// Numbers below are PostgreSQL's own.
const OID_MIN: u32 = 16_384;
/// The schema of a name without one has the number that it has everywhere.
const PUBLIC_OID: i32 = 2_200;
pub(super) const PG_CATALOG_OID: i32 = 11;

/// Tables of PostgreSQL's own whose numbers clients ask for, because what is said of things stands under them.
pub(super) const SYSTEM: [(i32, &str); 6] = [
    (1_247, "pg_type"),
    (1_255, "pg_proc"),
    (1_259, "pg_class"),
    (1_262, "pg_database"),
    (2_606, "pg_constraint"),
    (2_615, "pg_namespace"),
];

/// What there is at one moment.
#[derive(Debug, Default)]
pub(super) struct Described {
    pub(super) schemas: Vec<Schema>,
    pub(super) relations: Vec<Relation>,
}

/// A schema.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) oid: i32,
    pub(super) name: String,
}

/// A table or a view.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) oid: i32,
    pub(super) schema: String,
    pub(super) schema_oid: i32,
    pub(super) name: String,
    pub(super) is_view: bool,
    pub(super) description: String,
    /// Its columns with what is said of each; none where nobody asked for them.
    pub(super) columns: Vec<(FieldRef, String)>,
}

impl Relation {
    /// Whether it is found without its schema.
    pub(super) fn is_visible(&self) -> bool {
        self.schema_oid == PUBLIC_OID
    }
}

impl Described {
    /// Reads it. Tables are opened for their columns alone, where these are wanted.
    pub(super) async fn read(engine: &Engine, wants_columns: bool) -> Result<Self, Error> {
        let catalog = engine.sql_catalog().await?;
        let mut tables = catalog.tables().await?;
        // in one order everywhere, so that a number is that of the same table on every server and in every query
        tables.sort_by(|one, other| (&one.schema, &one.name).cmp(&(&other.schema, &other.name)));
        let mut names = catalog.schemas();
        names.sort_unstable();
        let mut taken = HashSet::from([PUBLIC_OID, PG_CATALOG_OID]);
        let mut described = Self::default();
        described.schemas.push(Schema { oid: PG_CATALOG_OID, name: super::PG_CATALOG.to_owned() });
        for name in names.into_iter().filter(|name| name != super::PG_CATALOG) {
            let is_public = name == SqlCatalog::DEFAULT_SCHEMA;
            let oid = if is_public { PUBLIC_OID } else { number("schema", &name, &mut taken) };
            described.schemas.push(Schema { oid, name });
        }
        for table in tables {
            let Some(schema) = described.schemas.iter().find(|schema| schema.name == table.schema) else { continue };
            let oid = number("table", &format!("{}.{}", table.schema, table.name), &mut taken);
            let (description, columns) = if wants_columns {
                columns(&catalog, &table.schema, &table.name).await?
            } else {
                (String::new(), Vec::new())
            };
            let is_view = table.table_type == "VIEW";
            let (schema_oid, name) = (schema.oid, table.name);
            let relation = Relation { oid, schema: table.schema, schema_oid, name, is_view, description, columns };
            described.relations.push(relation);
        }
        Ok(described)
    }
}

async fn columns(catalog: &SqlCatalog, schema: &str, name: &str) -> Result<(String, Vec<(FieldRef, String)>), Error> {
    match catalog.columns(schema, name).await {
        Ok(columns) => {
            let fields = columns.schema.fields().iter().cloned();
            Ok((columns.description, fields.zip(columns.descriptions).collect()))
        }
        // one file that is gone must not hide all other tables; whoever queries this one is told
        Err(error) if !error.kind().is_retryable() => {
            tracing::debug!("table '{schema}.{name}' is described without columns: {}", text_of(&error));
            Ok((String::new(), Vec::new()))
        }
        Err(error) => Err(error),
    }
}

/// The number of a thing, by its name: the same on every server.
fn number(kind: &str, name: &str, taken: &mut HashSet<i32>) -> i32 {
    let hash = digest(format!("{kind} {name}"));
    let hash = u32::from_str_radix(&hash[..8], 16).unwrap_or_default();
    let range = i32::MAX.cast_unsigned() - OID_MIN;
    let mut offset = hash % range;
    loop {
        let oid = (OID_MIN + offset).cast_signed();
        if taken.insert(oid) {
            return oid;
        }
        offset = (offset + 1) % range;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_number_and_no_two_have_one() {
        let mut taken = HashSet::new();
        let first = number("table", "public.legs", &mut taken);
        assert!(first >= 16_384);
        assert_eq!(number("table", "public.legs", &mut HashSet::new()), first);
        assert_eq!(number("table", "public.legs", &mut taken), first + 1, "the next, where it is taken");
        assert_ne!(number("table", "latest.legs", &mut taken), first);
    }
}
