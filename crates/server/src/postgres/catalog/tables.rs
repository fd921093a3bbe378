//! The tables of `pg_catalog` that say what there is here. Their columns are PostgreSQL's, in its order; those that mean nothing here
//! have the values of a plain table.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int16Array, Int32Array, RecordBatch, StringArray, new_null_array,
};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::error::Result;
use datafusion_pg_catalog::pg_catalog::oid_field::{kind, oid_field};
use hitherto_engine::SqlCatalog;
use pgwire::api::Type;

use super::described::{Described, PG_CATALOG_OID, SYSTEM};
use super::functions::OWNER;
use crate::postgres::rows::{size_of, type_of};
use crate::postgres::settings::Settings;

/// The number of `pg_class` itself, under which descriptions of relations stand.
const PG_CLASS_OID: i32 = 1_259;
/// The number of whose everything is.
const OWNER_OID: i32 = 10;
/// The number of whoever is connected.
const USER_OID: i32 = 16_383;
const DATABASE_OID: i32 = 5;
const UTF8: i32 = 6;

type Column = (Field, ArrayRef);

/// All of them, by name.
pub(super) fn all(settings: &Settings, described: &Described) -> Result<Vec<(&'static str, Arc<dyn TableProvider>)>> {
    let tables = [
        ("pg_namespace", namespaces(described)),
        ("pg_class", classes(described)),
        ("pg_attribute", attributes(described)),
        ("pg_description", descriptions(described)),
        ("pg_database", databases()),
        ("pg_tables", relations(described, "pg_tables")),
        ("pg_views", relations(described, "pg_views")),
        ("pg_roles", roles(settings)),
        ("pg_settings", all_settings(settings)),
    ];
    tables.into_iter().map(|(name, columns)| Ok((name, table(columns)?))).collect()
}

fn table(columns: Vec<Column>) -> Result<Arc<dyn TableProvider>> {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

/// Numbers of things, which clients take as 32 bits without a sign.
fn oids(name: &str, values: impl IntoIterator<Item = i32>) -> Column {
    let values: Vec<i32> = values.into_iter().collect();
    (oid_field(name, kind::OID, false), Arc::new(Int32Array::from(values)))
}

fn texts<T: Into<String>>(name: &str, values: impl IntoIterator<Item = T>) -> Column {
    let values: Vec<String> = values.into_iter().map(Into::into).collect();
    (Field::new(name, DataType::Utf8, false), Arc::new(StringArray::from(values)))
}

fn wholes(name: &str, values: impl IntoIterator<Item = i32>) -> Column {
    let values: Vec<i32> = values.into_iter().collect();
    (Field::new(name, DataType::Int32, false), Arc::new(Int32Array::from(values)))
}

fn shorts(name: &str, values: impl IntoIterator<Item = i16>) -> Column {
    let values: Vec<i16> = values.into_iter().collect();
    (Field::new(name, DataType::Int16, false), Arc::new(Int16Array::from(values)))
}

fn flags(name: &str, values: impl IntoIterator<Item = bool>) -> Column {
    let values: Vec<bool> = values.into_iter().collect();
    (Field::new(name, DataType::Boolean, false), Arc::new(BooleanArray::from(values)))
}

/// The same in each of so many rows.
#[derive(Clone, Copy)]
struct Same(usize);

impl Same {
    fn oid(self, name: &str, value: i32) -> Column {
        oids(name, vec![value; self.0])
    }

    fn whole(self, name: &str, value: i32) -> Column {
        wholes(name, vec![value; self.0])
    }

    fn real(self, name: &str, value: f64) -> Column {
        (Field::new(name, DataType::Float64, false), Arc::new(Float64Array::from(vec![value; self.0])))
    }

    fn short(self, name: &str, value: i16) -> Column {
        shorts(name, vec![value; self.0])
    }

    fn flag(self, name: &str, value: bool) -> Column {
        flags(name, vec![value; self.0])
    }

    fn text(self, name: &str, value: &str) -> Column {
        texts(name, vec![value; self.0])
    }

    fn null(self, name: &str, data_type: DataType) -> Column {
        let values = new_null_array(&data_type, self.0);
        (Field::new(name, data_type, true), values)
    }

    fn no_text(self, name: &str) -> Column {
        self.null(name, DataType::Utf8)
    }
}

fn namespaces(described: &Described) -> Vec<Column> {
    let same = Same(described.schemas.len());
    vec![
        oids("oid", described.schemas.iter().map(|schema| schema.oid)),
        texts("nspname", described.schemas.iter().map(|schema| schema.name.as_str())),
        same.whole("nspowner", OWNER_OID),
        same.no_text("nspacl"),
        same.no_text("options"),
    ]
}

fn classes(described: &Described) -> Vec<Column> {
    let mut all: Vec<(i32, &str, i32, &str, i16)> = Vec::new();
    for relation in &described.relations {
        let count = i16::try_from(relation.columns.len()).unwrap_or(i16::MAX);
        let kind = if relation.is_view { "v" } else { "r" };
        all.push((relation.oid, relation.name.as_str(), relation.schema_oid, kind, count));
    }
    all.extend(SYSTEM.map(|(oid, name)| (oid, name, PG_CATALOG_OID, "r", 0)));
    let same = Same(all.len());
    vec![
        oids("oid", all.iter().map(|(oid, ..)| *oid)),
        texts("relname", all.iter().map(|(_, name, ..)| *name)),
        oids("relnamespace", all.iter().map(|(_, _, schema, ..)| *schema)),
        same.oid("reltype", 0),
        same.oid("reloftype", 0),
        same.whole("relowner", OWNER_OID),
        same.whole("relam", 0),
        same.whole("relfilenode", 0),
        same.whole("reltablespace", 0),
        same.whole("relpages", 0),
        same.real("reltuples", -1.0),
        same.whole("relallvisible", 0),
        same.oid("reltoastrelid", 0),
        same.flag("relhasindex", false),
        same.flag("relisshared", false),
        same.text("relpersistence", "p"),
        texts("relkind", all.iter().map(|(.., kind, _)| *kind)),
        shorts("relnatts", all.iter().map(|(.., count)| *count)),
        same.short("relchecks", 0),
        same.flag("relhasrules", false),
        same.flag("relhastriggers", false),
        same.flag("relhassubclass", false),
        same.flag("relrowsecurity", false),
        same.flag("relforcerowsecurity", false),
        same.flag("relispopulated", true),
        same.text("relreplident", "d"),
        same.flag("relispartition", false),
        same.oid("relrewrite", 0),
        same.whole("relfrozenxid", 0),
        same.whole("relminmxid", 0),
        same.no_text("relacl"),
        same.no_text("reloptions"),
        same.no_text("relpartbound"),
    ]
}

/// A column of a relation: whose, at which place, what.
struct Attribute<'a> {
    relation: i32,
    place: i16,
    field: &'a Field,
    data_type: Type,
}

impl Attribute<'_> {
    fn is_fixed(&self) -> bool {
        size_of(&self.data_type) > 0
    }
}

fn attributes(described: &Described) -> Vec<Column> {
    let mut all = Vec::new();
    for relation in &described.relations {
        let columns = (1..).zip(&relation.columns);
        all.extend(columns.map(|(place, (field, _))| {
            let data_type = type_of(field);
            Attribute { relation: relation.oid, place, field: field.as_ref(), data_type }
        }));
    }
    let same = Same(all.len());
    vec![
        oids("attrelid", all.iter().map(|attribute| attribute.relation)),
        texts("attname", all.iter().map(|attribute| attribute.field.name().as_str())),
        oids("atttypid", all.iter().map(|attribute| attribute.data_type.oid().cast_signed())),
        same.whole("attstattarget", -1),
        shorts("attlen", all.iter().map(|attribute| size_of(&attribute.data_type))),
        shorts("attnum", all.iter().map(|attribute| attribute.place)),
        wholes("attndims", all.iter().map(|attribute| i32::from(attribute.data_type.name().starts_with('_')))),
        same.whole("attcacheoff", -1),
        same.whole("atttypmod", -1),
        flags("attbyval", all.iter().map(Attribute::is_fixed)),
        texts("attalign", all.iter().map(|attribute| if attribute.is_fixed() { "d" } else { "i" })),
        texts("attstorage", all.iter().map(|attribute| if attribute.is_fixed() { "p" } else { "x" })),
        same.text("attcompression", ""),
        flags("attnotnull", all.iter().map(|attribute| !attribute.field.is_nullable())),
        same.flag("atthasdef", false),
        same.flag("atthasmissing", false),
        same.text("attidentity", ""),
        same.text("attgenerated", ""),
        same.flag("attisdropped", false),
        same.flag("attislocal", true),
        same.whole("attinhcount", 0),
        same.whole("attcollation", 0),
        same.no_text("attacl"),
        same.no_text("attoptions"),
        same.no_text("attfdwoptions"),
        same.no_text("attmissingval"),
    ]
}

fn descriptions(described: &Described) -> Vec<Column> {
    let mut all = Vec::new();
    for relation in &described.relations {
        let columns = relation.columns.iter().map(|(_, said)| said);
        let said = (0..).zip(std::iter::once(&relation.description).chain(columns));
        all.extend(said.filter(|(_, said)| !said.is_empty()).map(|(place, said)| (relation.oid, place, said.as_str())));
    }
    vec![
        oids("objoid", all.iter().map(|(oid, ..)| *oid)),
        Same(all.len()).oid("classoid", PG_CLASS_OID),
        wholes("objsubid", all.iter().map(|(_, place, _)| *place)),
        texts("description", all.iter().map(|(.., said)| *said)),
    ]
}

fn databases() -> Vec<Column> {
    let same = Same(1);
    vec![
        same.oid("oid", DATABASE_OID),
        same.text("datname", SqlCatalog::NAME),
        same.whole("datdba", OWNER_OID),
        same.whole("encoding", UTF8),
        same.text("datlocprovider", "c"),
        same.flag("datistemplate", false),
        same.flag("datallowconn", true),
        same.whole("datconnlimit", -1),
        same.whole("datfrozenxid", 0),
        same.whole("datminmxid", 0),
        same.whole("dattablespace", 0),
        same.text("datcollate", "C.UTF-8"),
        same.text("datctype", "C.UTF-8"),
        same.no_text("daticulocale"),
        same.no_text("daticurules"),
        same.no_text("datlocale"),
        same.no_text("datcollversion"),
        same.no_text("datacl"),
    ]
}

/// `pg_tables` or `pg_views`.
fn relations(described: &Described, name: &str) -> Vec<Column> {
    let wants_views = name == "pg_views";
    let chosen = described.relations.iter().filter(|relation| relation.is_view == wants_views);
    let chosen: Vec<(&str, &str)> = chosen.map(|relation| (relation.schema.as_str(), relation.name.as_str())).collect();
    let same = Same(chosen.len());
    let schemas = texts("schemaname", chosen.iter().map(|(schema, _)| *schema));
    let names = chosen.iter().map(|(_, name)| *name);
    if wants_views {
        return vec![schemas, texts("viewname", names), same.text("viewowner", OWNER), same.no_text("definition")];
    }
    vec![
        schemas,
        texts("tablename", names),
        same.text("tableowner", OWNER),
        same.no_text("tablespace"),
        same.flag("hasindexes", false),
        same.flag("hasrules", false),
        same.flag("hastriggers", false),
        same.flag("rowsecurity", false),
    ]
}

fn roles(settings: &Settings) -> Vec<Column> {
    let user = settings.get("session_authorization").map(|(_, user)| user).unwrap_or_default();
    let same = Same(2);
    vec![
        oids("oid", [OWNER_OID, USER_OID]),
        texts("rolname", [OWNER, user.as_str()]),
        same.flag("rolsuper", false),
        same.flag("rolinherit", true),
        same.flag("rolcreaterole", false),
        same.flag("rolcreatedb", false),
        flags("rolcanlogin", [false, true]),
        same.flag("rolreplication", false),
        same.whole("rolconnlimit", -1),
        same.no_text("rolpassword"),
        same.no_text("rolvaliduntil"),
        same.flag("rolbypassrls", false),
        same.no_text("rolconfig"),
    ]
}

fn all_settings(settings: &Settings) -> Vec<Column> {
    let all = settings.all();
    let same = Same(all.len());
    vec![
        texts("name", all.iter().map(|(name, _)| *name)),
        texts("setting", all.iter().map(|(_, value)| value.as_str())),
        same.no_text("unit"),
        same.no_text("category"),
        same.no_text("short_desc"),
        same.no_text("extra_desc"),
        same.text("context", "user"),
        same.text("vartype", "string"),
        same.text("source", "session"),
        same.no_text("min_val"),
        same.no_text("max_val"),
        same.no_text("enumvals"),
        same.no_text("boot_val"),
        same.no_text("reset_val"),
        same.no_text("sourcefile"),
        same.null("sourceline", DataType::Int32),
        same.flag("pending_restart", false),
    ]
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    use super::super::described::{Relation, Schema as Namespace};
    use super::*;

    fn described() -> Described {
        let columns = vec![
            (Arc::new(Field::new("tailnum", DataType::Utf8, false)), "join key of aircraft".to_owned()),
            (Arc::new(Field::new("delay", DataType::Float64, true)), String::new()),
        ];
        let relation = Relation {
            oid: 30_000,
            schema: "public".to_owned(),
            schema_oid: 2_200,
            name: "legs".to_owned(),
            is_view: false,
            description: "what each leg was like".to_owned(),
            columns,
        };
        Described { schemas: vec![Namespace { oid: 2_200, name: "public".to_owned() }], relations: vec![relation] }
    }

    async fn rows(query: &str) -> String {
        let context = SessionContext::new();
        for (name, table) in all(&Settings::new("ada"), &described()).expect("tables") {
            context.register_table(name, table).expect("a table");
        }
        let batches = context.sql(query).await.expect("a plan").collect().await.expect("rows");
        pretty_format_batches(&batches).expect("text").to_string()
    }

    #[tokio::test]
    async fn columns_have_types_and_descriptions() {
        let said = rows(
            "SELECT a.attname, a.atttypid, a.attlen, a.attnotnull, d.description
            FROM pg_attribute a LEFT JOIN pg_description d ON d.objoid = a.attrelid AND d.objsubid = a.attnum
            ORDER BY a.attnum",
        )
        .await;
        assert!(said.contains("| tailnum | 25       | -1     | true       | join key of aircraft |"), "{said}");
        assert!(said.contains("| delay   | 701      | 8      | false      |                      |"), "{said}");
        let said = rows(
            "SELECT c.relname, n.nspname, c.relkind, c.relnatts FROM pg_class c, pg_namespace n WHERE n.oid = c.relnamespace",
        )
        .await;
        assert!(said.contains("| legs    | public  | r       | 2        |"), "{said}");
        let said = rows("SELECT oid, relname, relkind FROM pg_class WHERE relnamespace = 11 ORDER BY oid").await;
        assert!(said.contains("| 1259 | pg_class      | r       |"), "{said}");
        assert!(rows("SELECT tablename FROM pg_tables").await.contains("legs"));
        assert!(!rows("SELECT viewname FROM pg_views").await.contains("legs"));
        assert!(rows("SELECT rolname FROM pg_roles WHERE rolcanlogin").await.contains("ada"));
    }
}
