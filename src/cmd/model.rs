//! `model register|alias|show|list`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use clap::Subcommand;
use hitherto_core::{Name, Selector, VersionedName};
use hitherto_engine::{Engine, Registration};
use hitherto_registry::Expected;

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
    /// Register the next version of a model: immutable, with what it was trained on
    Register {
        /// The model
        name: Name,
        /// The training set: its id, a unique beginning of it, or its name
        #[arg(long, value_name = "ID")]
        dataset: Option<String>,
        /// The feature set, NAME or NAME@VERSION; the dataset's own where absent
        #[arg(long, value_name = "NAME[@VERSION]")]
        feature_set: Option<Selector>,
        /// A label, such as run=abc or code=1f2e3d; may be repeated
        #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
        tags: Vec<(String, String)>,
    },
    /// Point an alias at a version whose views are online: MODEL@VERSION ALIAS
    Alias {
        /// The version, NAME@VERSION
        version: Selector,
        /// The alias, such as champion
        alias: Name,
        /// Only if the alias is at this version now: a compare-and-set
        #[arg(long, value_name = "VERSION")]
        expected: Option<u32>,
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
        Command::Register { .. } | Command::Alias { .. } => Use::Write,
        Command::Show { .. } | Command::List => Use::Read,
    };
    let engine = stores::open(config, uses, global.clock).await?;
    match args.command {
        Command::Register { name, dataset, feature_set, tags } => {
            let tags: BTreeMap<_, _> = tags.into_iter().collect();
            let model = engine.register_model(Registration { name, feature_set, dataset, provenance: hitherto_core::Provenance::default(), tags }).await?;
            match global.output {
                Format::Json => output::json(&model),
                Format::Table => output::line(format!("{}@{}", model.name, model.version)),
            }
        }
        Command::Alias { version, alias, expected } => {
            let Selector::Version(VersionedName { name, version }) = version else {
                bail!("'{version}' names no version: write it like {}@1", version.name());
            };
            let expected = expected.map_or(Expected::Anything, |version| Expected::Version(Some(version)));
            let moved = engine.move_alias(&name, &alias, version, expected).await?;
            match global.output {
                Format::Json => output::json(&moved),
                Format::Table => {
                    output::line(format!("{}@{} -> {}@{}", moved.model, moved.alias, moved.model, moved.version))
                }
            }
        }
        Command::Show { version } => show(&engine, &version, global).await,
        Command::List => list(&engine, global).await,
    }
}

async fn show(engine: &Engine, selector: &Selector, global: &Global) -> Result<()> {
    let model = engine.registry().model(selector).await?;
    if global.output == Format::Json {
        return output::json(&model);
    }
    let aliases = engine.registry().aliases(&model.name).await?;
    let mine: Vec<&str> =
        aliases.iter().filter(|alias| alias.version == model.version).map(|alias| alias.alias.as_str()).collect();
    output::line(format!("model            {}@{}", model.name, model.version))?;
    output::line(format!("aliases          {}", mine.join(", ")))?;
    output::line(format!("feature set      {}", model.feature_set))?;
    output::line(format!("feature set hash {}", model.feature_set_hash))?;
    output::line(format!("dataset          {}", model.dataset.as_deref().unwrap_or("none")))?;
    output::line(format!("registered at    {}", model.registered_at))?;
    model.tags.iter().try_for_each(|(key, value)| output::line(format!("tag              {key}={value}")))
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

fn tag(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("'{text}' is no label: write it like run=abc"))?;
    Ok((key.to_owned(), value.to_owned()))
}
