//! `model register|alias|traffic|check|evaluate|history|show|list`.

mod alias;
mod evaluate;
mod register;
mod show;

use anyhow::Result;
use clap::Subcommand;
use hitherto_core::{Name, Selector};
use hitherto_engine::Engine;

use super::list::objects;
use crate::args::Global;
use crate::config::Config;
use crate::output::{self, Format};
use crate::stores::{self, Use};

/// Flags of `model`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with models.
#[derive(Debug, Subcommand)]
enum Command {
    /// Register the next version of a model or prompt: immutable, with what it was trained on and where it came from
    Register(Box<register::Args>),
    /// Point an alias at a version that its gate lets pass: MODEL@VERSION ALIAS
    Alias(alias::MoveArgs),
    /// Share an alias's traffic among versions, or end that
    Traffic(alias::TrafficArgs),
    /// Ask an alias's gate about a version and move nothing; exit code 1 if it refuses
    Check(alias::CheckArgs),
    /// Attach an evaluation to a version: immutable, many to a version
    Evaluate(Box<evaluate::Args>),
    /// Show every move of a model's aliases, with what the gate found
    History {
        /// The model
        model: Name,
    },
    /// Show one version: NAME (the latest), NAME@VERSION or NAME@ALIAS
    Show {
        /// The version
        version: Selector,
    },
    /// List all versions
    List,
}

/// Run one of them.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let uses = match &args.command {
        Command::Register(_) | Command::Alias(_) | Command::Traffic(_) | Command::Evaluate(_) => Use::Write,
        Command::Check(_) | Command::History { .. } | Command::Show { .. } | Command::List => Use::Existing,
    };
    let engine = stores::open(config, uses, global.clock).await?;
    match args.command {
        Command::Register(args) => register::run(*args, &engine, global).await,
        Command::Alias(args) => alias::run(args, &engine, global).await,
        Command::Traffic(args) => alias::traffic(args, &engine, global).await,
        Command::Check(args) => alias::check(args, &engine, global).await,
        Command::Evaluate(args) => evaluate::run(*args, &engine, global).await,
        Command::History { model } => show::history(&engine, &model, global).await,
        Command::Show { version } => show::show(&engine, &version, global).await,
        Command::List => list(&engine, global).await,
    }
}

/// List all versions of all models.
pub(super) async fn list(engine: &Engine, global: &Global) -> Result<()> {
    let models = engine.registry().models().await?;
    let mut rows = Vec::with_capacity(models.len());
    for model in &models {
        let aliases = engine.registry().aliases(&model.name).await?;
        let mine: Vec<&str> =
            aliases.iter().filter(|alias| alias.version == model.version).map(|alias| alias.alias.as_str()).collect();
        rows.push(vec![
            format!("{}@{}", model.name, model.version),
            mine.join(", "),
            model.feature_set.to_string(),
            model.dataset.as_deref().unwrap_or("").chars().take(12).collect(),
            model.registered_at.to_string(),
        ]);
    }
    let heading = ["MODEL", "ALIASES", "FEATURE SET", "DATASET", "REGISTERED AT"];
    match global.output {
        Format::Table => output::table(&heading, &rows),
        Format::Json => output::json(&objects(&heading, &rows)),
    }
}

/// `key=value`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("'{text}' is no label: write it like run=abc")),
    }
}
