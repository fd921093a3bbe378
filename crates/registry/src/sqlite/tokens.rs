//! Tokens, read.

use hitherto_core::{ApiToken, TokenId};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, SqliteConnection};

use super::SqliteRegistry;
use crate::record::{TokenRow, decode_token};
use crate::{Result, sql};

pub(super) async fn tokens(registry: &SqliteRegistry) -> Result<Vec<ApiToken>> {
    let rows = sqlx::query(sql::TOKENS).bind(registry.project.as_str()).fetch_all(&registry.pool).await;
    let rows = rows.map_err(|error| registry.failed("read tokens", error))?;
    Ok(rows.iter().filter_map(|row| readable(registry, row)).collect())
}

/// A token, if its row can be read. One that cannot lets nobody in, and must not keep the others from being read: it would
/// hold up every revocation.
fn readable(registry: &SqliteRegistry, row: &SqliteRow) -> Option<ApiToken> {
    let read = TokenRow::from_row(row).map_err(|error| registry.failed("read a token", error)).and_then(decode_token);
    read.inspect_err(|error| tracing::warn!("a token counts for nothing until its row is mended: {error}")).ok()
}

pub(super) async fn token(
    registry: &SqliteRegistry,
    connection: &mut SqliteConnection,
    id: &TokenId,
) -> Result<Option<ApiToken>> {
    let row: Result<Option<TokenRow>, _> =
        sqlx::query_as(sql::TOKEN).bind(registry.project.as_str()).bind(id.as_str()).fetch_optional(connection).await;
    row.map_err(|error| registry.failed("read tokens", error))?.map(decode_token).transpose()
}
