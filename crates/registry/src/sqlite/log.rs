//! The audit log's rows.

use hitherto_core::{AuditEntry, AuditHead, Timestamp};
use sqlx::SqliteConnection;

use super::SqliteRegistry;
use crate::{Result, sql};

/// Number, at, who, verb, subject, before, after, previous, hash.
type Row = (i64, i64, String, String, String, Option<String>, Option<String>, String, String);

/// At most `limit` entries after `after`, in order.
pub(super) async fn entries(registry: &SqliteRegistry, after: i64, limit: usize) -> Result<Vec<AuditEntry>> {
    let rows: Result<Vec<Row>, _> = sqlx::query_as(sql::AUDIT)
        .bind(registry.project.as_str())
        .bind(after)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&registry.pool)
        .await;
    let rows = rows.map_err(|error| registry.failed("read the audit log", error))?;
    let decoded = rows.into_iter().map(|(number, at, who, verb, subject, before, after, previous, hash)| AuditEntry {
        number,
        at: Timestamp(at),
        who,
        verb,
        subject,
        before,
        after,
        previous,
        hash,
    });
    Ok(decoded.collect())
}

/// The last entry.
pub(super) async fn head(registry: &SqliteRegistry, connection: &mut SqliteConnection) -> Result<Option<AuditHead>> {
    let row: Result<Option<(i64, String)>, _> =
        sqlx::query_as(sql::AUDIT_HEAD).bind(registry.project.as_str()).fetch_optional(connection).await;
    let row = row.map_err(|error| registry.failed("read the audit log", error))?;
    Ok(row.map(|(number, hash)| AuditHead { number, hash }))
}

pub(super) async fn append(
    registry: &SqliteRegistry,
    connection: &mut SqliteConnection,
    entry: &AuditEntry,
) -> Result<()> {
    let done = sqlx::query(sql::ADD_AUDIT_ENTRY)
        .bind(registry.project.as_str())
        .bind(entry.number)
        .bind(entry.at.0)
        .bind(&entry.who)
        .bind(&entry.verb)
        .bind(&entry.subject)
        .bind(&entry.before)
        .bind(&entry.after)
        .bind(&entry.previous)
        .bind(&entry.hash)
        .execute(connection)
        .await;
    done.map_err(|error| registry.failed("write the audit log", error))?;
    Ok(())
}
