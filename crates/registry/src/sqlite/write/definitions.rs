//! Definitions.

use hitherto_core::{Record, Timestamp};
use sqlx::SqliteConnection;

use crate::record::{Key, decode_definition, decode_table, encode_record};
use crate::sqlite::SqliteRegistry;
use crate::sqlite::change::{Change, Deed};
use crate::{Error, Result, immutable, sql};

pub(in crate::sqlite) async fn apply(
    registry: &SqliteRegistry,
    base: i64,
    records: &[Record],
    now: Timestamp,
) -> Result<i64> {
    let bodies: Vec<String> = records.iter().map(encode_record).collect::<Result<_>>()?;
    let mut change = Change::begin(registry).await?;
    let revision = change.revision;
    if revision - 1 != base {
        return Err(Error::Conflict { base, found: revision - 1 });
    }
    if records.is_empty() {
        return Ok(base);
    }
    let mut deeds = Vec::with_capacity(records.len());
    for (record, body) in records.iter().zip(bodies) {
        deeds.push(put(registry, change.connection(), record, body, now).await?);
    }
    change.commit(now, deeds).await?;
    Ok(revision)
}

/// Inserts a record, or replaces what may be replaced.
async fn put(
    registry: &SqliteRegistry,
    connection: &mut SqliteConnection,
    record: &Record,
    body: String,
    now: Timestamp,
) -> Result<Deed> {
    let key = Key::of(record);
    let before = match stored(registry, connection, key).await? {
        Some((old, before)) if immutable::may_replace(&old, record) => Some(before),
        Some(_) => return Err(Error::Immutable { what: key.describe() }),
        None => {
            require_next(registry, connection, key).await?;
            None
        }
    };
    let project = registry.project.as_str();
    let query = match key {
        Key::Table { id } => sqlx::query(sql::PUT_TABLE).bind(project).bind(id),
        Key::Definition { kind, name, version, hash } => sqlx::query(sql::PUT_DEFINITION)
            .bind(project)
            .bind(kind)
            .bind(name.as_str())
            .bind(i64::from(version))
            .bind(hash),
    };
    let done = query.bind(&body).bind(now.0).execute(connection).await;
    done.map_err(|error| registry.failed("write definitions", error))?;
    Ok(Deed { verb: "apply", subject: key.describe(), before, after: Some(body) })
}

/// What is there under this key, also as it is stored.
async fn stored(
    registry: &SqliteRegistry,
    connection: &mut SqliteConnection,
    key: Key<'_>,
) -> Result<Option<(Record, String)>> {
    let project = registry.project.as_str();
    let query = match key {
        Key::Table { id } => sqlx::query_as(sql::TABLE).bind(project).bind(id),
        Key::Definition { kind, name, version, .. } => {
            sqlx::query_as(sql::DEFINITION).bind(project).bind(kind).bind(name.as_str()).bind(i64::from(version))
        }
    };
    let body: Result<Option<(String,)>, _> = query.fetch_optional(connection).await;
    let Some((body,)) = body.map_err(|error| registry.failed("read definitions", error))? else {
        return Ok(None);
    };
    let record = match key {
        Key::Table { id } => Record::Table(decode_table(id, &body)?),
        Key::Definition { kind, name, version, .. } => {
            decode_definition(kind, name.as_str(), i64::from(version), &body)?
        }
    };
    Ok(Some((record, body)))
}

/// A new version must follow the last one: a gap or a second beginning would be a fault of the caller's.
async fn require_next(registry: &SqliteRegistry, connection: &mut SqliteConnection, key: Key<'_>) -> Result<()> {
    let Key::Definition { kind, name, version, .. } = key else {
        return Ok(());
    };
    let latest: Result<(i64,), _> = sqlx::query_as(sql::LATEST_DEFINITION)
        .bind(registry.project.as_str())
        .bind(kind)
        .bind(name.as_str())
        .fetch_one(connection)
        .await;
    let next = latest.map_err(|error| registry.failed("read definitions", error))?.0 as u32 + 1;
    if version == next { Ok(()) } else { Err(Error::NotNext { what: key.describe(), next }) }
}
