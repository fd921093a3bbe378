//! Tokens, read.

use hitherto_core::{ApiToken, TokenId};
use sqlx::SqliteConnection;

use super::SqliteRegistry;
use crate::record::{TokenRow, decode_token};
use crate::{Result, sql};

pub(super) async fn tokens(registry: &SqliteRegistry) -> Result<Vec<ApiToken>> {
    let rows: Result<Vec<TokenRow>, _> =
        sqlx::query_as(sql::TOKENS).bind(registry.project.as_str()).fetch_all(&registry.pool).await;
    let rows = rows.map_err(|error| registry.failed("read tokens", error))?;
    rows.into_iter().map(decode_token).collect()
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
