//! Tokens, created and revoked.

use hitherto_core::{ApiToken, NewApiToken, ScramVerifier, Timestamp, TokenId};
use serde_json::json;

use crate::sqlite::change::{Change, Deed};
use crate::sqlite::{SqliteRegistry, tokens};
use crate::{Result, remedy, sql};

pub(in crate::sqlite) async fn create_token(
    registry: &SqliteRegistry,
    new: NewApiToken,
    now: Timestamp,
) -> Result<ApiToken> {
    let token = new.created(now, &registry.actor);
    let mut change = Change::begin(registry).await?;
    let revision = change.revision;
    let done = sqlx::query(sql::ADD_TOKEN)
        .bind(registry.project.as_str())
        .bind(token.id.as_str())
        .bind(token.name.as_str())
        .bind(token.role.as_str())
        .bind(&token.secret_hash)
        .bind(token.created_at.0)
        .bind(&token.created_by)
        .bind(token.expires_at.map(|end| end.0))
        .bind(revision)
        .bind(token.scram.as_ref().map(ScramVerifier::kept))
        .execute(change.connection())
        .await;
    done.map_err(|error| registry.failed("create a token", error))?;
    change.commit(now, vec![deed("create_token", None, &token)]).await?;
    Ok(token)
}

pub(in crate::sqlite) async fn revoke_token(
    registry: &SqliteRegistry,
    id: &TokenId,
    now: Timestamp,
) -> Result<ApiToken> {
    let mut change = Change::begin(registry).await?;
    let before = tokens::token(registry, change.connection(), id).await?.ok_or_else(|| remedy::no_token(id))?;
    if before.revoked.is_some() {
        return Ok(before);
    }
    let done = sqlx::query(sql::REVOKE_TOKEN)
        .bind(registry.project.as_str())
        .bind(id.as_str())
        .bind(now.0)
        .bind(&registry.actor)
        .execute(change.connection())
        .await;
    done.map_err(|error| registry.failed("revoke a token", error))?;
    let after = ApiToken { revoked: Some((now, registry.actor.clone())), ..before.clone() };
    change.commit(now, vec![deed("revoke_token", Some(&before), &after)]).await?;
    Ok(after)
}

fn deed(verb: &'static str, before: Option<&ApiToken>, after: &ApiToken) -> Deed {
    Deed { verb, subject: format!("token {}", after.id), before: before.map(told), after: Some(told(after)) }
}

/// A token as the log has it: without what is kept of its secret.
fn told(token: &ApiToken) -> String {
    let revoked = token.revoked.as_ref();
    json!({
        "name": token.name,
        "role": token.role,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
        "revoked_at": revoked.map(|(at, _)| at),
    })
    .to_string()
}
