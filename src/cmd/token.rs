//! `token create|list|revoke`.

use std::str::FromStr;

use anyhow::Result;
use clap::Subcommand;
use hitherto_core::{ApiToken, Name, Role, Span, Timestamp, TokenId};
use hitherto_engine::Engine;
use serde_json::json;

use crate::args::Global;
use crate::config::Config;
use crate::output::{self, Format};
use crate::stores::{self, Use};

/// Flags of `token`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with API tokens.
#[derive(Debug, Subcommand)]
enum Command {
    /// Create a token for callers of `serve`, and print it, this once
    Create {
        /// Whose it is: what its bearer does is told under this name
        name: Name,
        /// What its bearer may do: reader, writer, admin
        #[arg(long)]
        role: Role,
        /// How long it counts: 12h, 90d, or never for one that does not expire
        #[arg(long, value_name = "TIME", default_value = "90d")]
        expires: Lifetime,
    },
    /// List all tokens; their secrets are nowhere
    List,
    /// Revoke a token for ever; servers refuse it within a second or two
    Revoke {
        /// The token's id
        id: String,
    },
}

/// How long a token counts; for ever without a span.
#[derive(Clone, Copy, Debug)]
struct Lifetime(Option<Span>);

impl FromStr for Lifetime {
    type Err = hitherto_core::TimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "never" { Ok(Self(None)) } else { Ok(Self(Some(text.parse()?))) }
    }
}

/// Run one of them.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let uses = if matches!(args.command, Command::Create { .. }) { Use::Write } else { Use::Existing };
    // first, so that a token that was mistyped goes no further than here
    let revoked: Option<TokenId> = match &args.command {
        Command::Revoke { id } => Some(id.parse()?),
        _ => None,
    };
    let engine = stores::open(config, uses, global.clock).await?;
    match (args.command, revoked) {
        (Command::Create { name, role, expires }, _) => create(&engine, name, role, expires.0, global).await,
        (Command::Revoke { .. }, Some(id)) => revoke(&engine, &id, global).await,
        (Command::List | Command::Revoke { .. }, _) => list(&engine, global).await,
    }
}

async fn create(engine: &Engine, name: Name, role: Role, lifetime: Option<Span>, global: &Global) -> Result<()> {
    let issued = engine.create_token(name, role, lifetime).await?;
    let token = &issued.token;
    if global.output == Format::Json {
        let mut object = object(token, token.created_at);
        object["token"] = json!(issued.text);
        return output::json(&object);
    }
    output::line(&issued.text)?;
    let end = token.expires_at.map_or_else(|| "never expires".to_owned(), |end| format!("expires at {end}"));
    output::note(format!("token {} of {}, {role}, {end}; it cannot be shown again", token.id, token.name));
    Ok(())
}

async fn revoke(engine: &Engine, id: &TokenId, global: &Global) -> Result<()> {
    let token = engine.revoke_token(id).await?;
    if global.output == Format::Json {
        return output::json(&object(&token, engine.clock().now()));
    }
    let (at, by) = token.revoked.clone().unwrap_or_default();
    output::line(format!("token {id} of {} was revoked at {at} by {by}", token.name))
}

async fn list(engine: &Engine, global: &Global) -> Result<()> {
    let (tokens, now) = (engine.registry().tokens().await?, engine.clock().now());
    if global.output == Format::Json {
        return output::json(&tokens.iter().map(|token| object(token, now)).collect::<Vec<_>>());
    }
    let row = |token: &ApiToken| {
        vec![
            token.id.to_string(),
            token.name.to_string(),
            token.role.to_string(),
            state(token, now).to_owned(),
            token.expires_at.map_or_else(|| "never".to_owned(), |end| end.to_string()),
            token.created_at.to_string(),
            token.created_by.clone(),
        ]
    };
    let heading = ["ID", "NAME", "ROLE", "STATE", "EXPIRES AT", "CREATED AT", "BY"];
    output::table(&heading, &tokens.iter().map(row).collect::<Vec<_>>())
}

fn state(token: &ApiToken, now: Timestamp) -> &'static str {
    match (&token.revoked, token.is_expired(now)) {
        (Some(_), _) => "revoked",
        (None, true) => "expired",
        (None, false) => "valid",
    }
}

/// A token for programs, without anything of its secret.
fn object(token: &ApiToken, now: Timestamp) -> serde_json::Value {
    let text = |at: Option<Timestamp>| at.map(|at| at.to_string());
    json!({
        "id": token.id.as_str(),
        "name": token.name,
        "role": token.role,
        "state": state(token, now),
        "created_at": token.created_at.to_string(),
        "created_by": token.created_by,
        "expires_at": text(token.expires_at),
        "revoked_at": text(token.revoked.as_ref().map(|(at, _)| *at)),
        "revoked_by": token.revoked.as_ref().map(|(_, by)| by),
    })
}
