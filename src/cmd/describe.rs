//! `describe KIND NAME`.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use hitherto_core::{Catalog, EntityVersion, GateVersion, Name, Notes, Selector, SetVersion, ViewUse, ViewVersion};
use hitherto_engine::{Engine, find_set, find_view};
use serde_json::json;

use crate::args::Global;
use crate::config::Config;
use crate::output::{self, Format};
use crate::stores::{self, Use};

/// Flags of `describe`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Of which kind it is
    #[arg(value_enum)]
    kind: Kind,
    /// Its name, or NAME@VERSION
    name: String,
}

/// What can be described, in the singular or the plural.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Kind {
    /// A thing that features describe
    #[value(alias = "entities")]
    Entity,
    /// Named features of one entity from one source
    #[value(alias = "feature-views")]
    FeatureView,
    /// What a model consumes
    #[value(alias = "feature-sets")]
    FeatureSet,
    /// What a model version must show before an alias moves
    #[value(alias = "gates")]
    Gate,
    /// Versions and aliases of a model
    #[value(alias = "models")]
    Model,
    /// A training set
    #[value(alias = "datasets")]
    Dataset,
}

/// Describe one thing.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let engine = stores::open(config, Use::Existing, global.clock).await?;
    let catalog = engine.registry().catalog().await?;
    match args.kind {
        Kind::Entity => entity(find_entity(&catalog, &args.name)?, global),
        Kind::FeatureView => view(&catalog, find_view(&catalog, &args.name.parse()?)?, global),
        Kind::FeatureSet => set(find_set(&catalog, &args.name.parse()?)?, global),
        Kind::Gate => gate(find_gate(&catalog, &args.name)?, global),
        Kind::Model => model(&engine, &args.name.parse()?, global).await,
        Kind::Dataset => super::manifest::show(&engine.registry().dataset(&args.name).await?, global),
    }
}

fn find_entity<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a EntityVersion> {
    let Some(entity) = catalog.entities.get(name).and_then(|versions| versions.last()) else {
        let near = hitherto_core::did_you_mean(name, catalog.entities.keys().map(Name::as_str));
        let hint = near.map_or_else(String::new, |near| format!(" (did you mean '{near}'?)"));
        bail!("no entity '{name}'{hint}");
    };
    Ok(entity)
}

fn entity(entity: &EntityVersion, global: &Global) -> Result<()> {
    if global.output == Format::Json {
        return output::json(entity);
    }
    let definition = &entity.definition;
    field("entity", format!("{}@{}", definition.name, entity.version))?;
    notes(&definition.notes)?;
    field("join keys", list(definition.join_keys.iter().map(|(name, key_type)| format!("{name}: {key_type}"))))
}

fn view(catalog: &Catalog, view: &ViewVersion, global: &Global) -> Result<()> {
    if global.output == Format::Json {
        return output::json(&json!({"view": view, "table": catalog.tables.get(&view.table)}));
    }
    let definition = &view.definition;
    let renamed = |name: &str, column: &str| {
        if name == column { String::new() } else { format!(" (column {column})") }
    };
    let keys = view.keys.iter();
    let keys = keys.map(|key| format!("{}: {}{}", key.name, key.key_type, renamed(key.name.as_str(), &key.column)));
    field("feature view", view.versioned_name())?;
    notes(&definition.notes)?;
    field("entities", list(definition.entities.iter().map(ToString::to_string)))?;
    field("keys", list(keys))?;
    field("event timestamp", &definition.event_timestamp)?;
    field("created timestamp", definition.created_timestamp.as_deref().unwrap_or("none"))?;
    field("source delay", definition.source_delay)?;
    field("ttl", definition.ttl.map_or_else(|| "none".to_owned(), |ttl| ttl.to_string()))?;
    field("table", &view.table)?;
    output::line("")?;
    let rows: Vec<Vec<String>> = definition
        .features
        .iter()
        .map(|feature| {
            let description = feature.notes.description.clone().unwrap_or_default();
            vec![feature.name.to_string(), feature.value_type.to_string(), feature.column.clone(), description]
        })
        .collect();
    output::table(&["FEATURE", "TYPE", "COLUMN", "DESCRIPTION"], &rows)
}

fn set(set: &SetVersion, global: &Global) -> Result<()> {
    if global.output == Format::Json {
        return output::json(set);
    }
    let resolved = &set.resolved;
    field("feature set", set.versioned_name())?;
    notes(&set.definition.notes)?;
    field("hash", &set.hash)?;
    if !resolved.request.is_empty() {
        field("request", list(resolved.request.iter().map(|(name, value_type)| format!("{name}: {value_type}"))))?;
    }
    resolved.uses.iter().try_for_each(|view_use| field("reads", reads(view_use)))?;
    output::line("")?;
    let features = resolved.outputs.iter().map(|output| {
        let view = &resolved.uses[output.view_use].view;
        vec![output.name.clone(), output.value_type.to_string(), format!("{view}:{}", output.feature)]
    });
    let transforms = resolved.transforms.iter();
    let transforms =
        transforms.map(|transform| vec![transform.name.to_string(), String::new(), transform.expr.clone()]);
    output::table(&["OUTPUT", "TYPE", "FROM"], &features.chain(transforms).collect::<Vec<_>>())
}

fn find_gate<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a GateVersion> {
    let Some(gate) = catalog.gates.get(name).and_then(|versions| versions.last()) else {
        let near = hitherto_core::did_you_mean(name, catalog.gates.keys().map(Name::as_str));
        let hint = near.map_or_else(String::new, |near| format!(" (did you mean '{near}'?)"));
        bail!("no gate '{name}'{hint}");
    };
    Ok(gate)
}

fn gate(gate: &GateVersion, global: &Global) -> Result<()> {
    if global.output == Format::Json {
        return output::json(gate);
    }
    let definition = &gate.definition;
    field("gate", gate.versioned_name())?;
    notes(&definition.notes)?;
    field("guards", format!("{}@{}", definition.model, definition.alias))?;
    definition.conditions().iter().try_for_each(|condition| field("asks", condition))
}

/// `weather@1 as dest_weather by dest (origin), source delay 10m, ttl 6h`.
fn reads(view_use: &ViewUse) -> String {
    let is_own = view_use.alias == view_use.view.name;
    let alias = if is_own { String::new() } else { format!(" as {}", view_use.alias) };
    let keys = list(view_use.keys.iter().map(|key| {
        let is_own = key.name.as_str() == key.spine_column;
        if is_own { key.spine_column.clone() } else { format!("{} ({})", key.spine_column, key.name) }
    }));
    let ttl = view_use.ttl.map(|ttl| format!(", ttl {ttl}")).unwrap_or_default();
    let delay = if view_use.source_delay.is_zero() {
        String::new()
    } else {
        format!(", source delay {}", view_use.source_delay)
    };
    format!("{}{alias} by {keys}{delay}{ttl}", view_use.view)
}

async fn model(engine: &Engine, selector: &Selector, global: &Global) -> Result<()> {
    let versions = engine.registry().model_versions(selector.name()).await?;
    let aliases = engine.registry().aliases(selector.name()).await?;
    if global.output == Format::Json {
        return output::json(&json!({"versions": versions, "aliases": aliases}));
    }
    field("model", selector.name())?;
    for alias in &aliases {
        field("alias", format!("{} -> @{}, since {}", alias.alias, alias.version, alias.moved_at))?;
    }
    output::line("")?;
    let rows: Vec<Vec<String>> = versions
        .iter()
        .map(|model| {
            vec![
                format!("@{}", model.version),
                model.feature_set.to_string(),
                model.dataset.as_deref().unwrap_or("none").chars().take(12).collect(),
                labels(&model.tags),
                model.registered_at.to_string(),
            ]
        })
        .collect();
    output::table(&["VERSION", "FEATURE SET", "DATASET", "TAGS", "REGISTERED AT"], &rows)
}

fn notes(notes: &Notes) -> Result<()> {
    if let Some(description) = &notes.description {
        field("description", description)?;
    }
    if notes.tags.is_empty() { Ok(()) } else { field("tags", labels(&notes.tags)) }
}

fn labels(tags: &BTreeMap<String, String>) -> String {
    list(tags.iter().map(|(key, value)| format!("{key}={value}")))
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn field(name: &str, value: impl std::fmt::Display) -> Result<()> {
    output::line(format!("{name:<17}  {value}"))
}
