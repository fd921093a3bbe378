//! `list KIND`.

use anyhow::Result;
use hitherto_core::Catalog;

use crate::args::Global;
use crate::config::Config;
use crate::output::{self, Format};
use crate::stores::{self, Use};

/// Flags of `list`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to list
    #[arg(value_enum)]
    kind: Kind,
}

/// What the registry holds.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Kind {
    /// Things that features describe
    Entities,
    /// Named features of one entity from one source
    FeatureViews,
    /// What models consume
    FeatureSets,
    /// What model versions must show before an alias moves
    Gates,
    /// Model versions and their aliases
    Models,
    /// Training sets
    Datasets,
}

/// List one kind.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let engine = stores::open(config, Use::Existing, global.clock).await?;
    let catalog = engine.registry().catalog().await?;
    let (heading, rows) = match args.kind {
        Kind::Entities => (vec!["NAME", "VERSION", "JOIN KEYS", "DESCRIPTION"], entities(&catalog)),
        Kind::FeatureViews => {
            (vec!["NAME", "VERSION", "KEYS", "TTL", "DELAY", "FEATURES", "DESCRIPTION"], views(&catalog))
        }
        Kind::FeatureSets => (vec!["NAME", "VERSION", "FEATURES", "TRANSFORMS", "HASH", "DESCRIPTION"], sets(&catalog)),
        Kind::Gates => (vec!["NAME", "VERSION", "GUARDS", "CONDITIONS", "DESCRIPTION"], gates(&catalog)),
        Kind::Models => return super::model::list(&engine, global).await,
        Kind::Datasets => return super::dataset::list(&engine, global).await,
    };
    match global.output {
        Format::Table => output::table(&heading, &rows),
        Format::Json => output::json(&objects(&heading, &rows)),
    }
}

/// Rows as JSON objects, keys in lower case.
pub(super) fn objects(heading: &[&str], rows: &[Vec<String>]) -> Vec<serde_json::Map<String, serde_json::Value>> {
    let key = |cell: &str| cell.to_lowercase().replace(' ', "_");
    rows.iter()
        .map(|row| heading.iter().zip(row).map(|(cell, value)| (key(cell), value.clone().into())).collect())
        .collect()
}

fn entities(catalog: &Catalog) -> Vec<Vec<String>> {
    let latest = catalog.entities.values().filter_map(|versions| versions.last());
    let row = |entity: &hitherto_core::EntityVersion| {
        let keys: Vec<String> =
            entity.definition.join_keys.iter().map(|(name, key_type)| format!("{name}: {key_type}")).collect();
        let description = entity.definition.notes.description.clone().unwrap_or_default();
        vec![entity.definition.name.to_string(), format!("@{}", entity.version), keys.join(", "), description]
    };
    latest.map(row).collect()
}

fn views(catalog: &Catalog) -> Vec<Vec<String>> {
    let latest = catalog.views.values().filter_map(|versions| versions.last());
    let row = |view: &hitherto_core::ViewVersion| {
        let definition = &view.definition;
        let keys: Vec<String> = view.keys.iter().map(|key| key.name.to_string()).collect();
        vec![
            definition.name.to_string(),
            format!("@{}", view.version),
            keys.join(", "),
            definition.ttl.map_or_else(|| "none".to_owned(), |ttl| ttl.to_string()),
            definition.source_delay.to_string(),
            definition.features.len().to_string(),
            definition.notes.description.clone().unwrap_or_default(),
        ]
    };
    latest.map(row).collect()
}

fn sets(catalog: &Catalog) -> Vec<Vec<String>> {
    let latest = catalog.sets.values().filter_map(|versions| versions.last());
    let row = |set: &hitherto_core::SetVersion| {
        vec![
            set.definition.name.to_string(),
            format!("@{}", set.version),
            set.resolved.outputs.len().to_string(),
            set.resolved.transforms.len().to_string(),
            set.hash.chars().take(12).collect(),
            set.definition.notes.description.clone().unwrap_or_default(),
        ]
    };
    latest.map(row).collect()
}

fn gates(catalog: &Catalog) -> Vec<Vec<String>> {
    let latest = catalog.gates.values().filter_map(|versions| versions.last());
    let row = |gate: &hitherto_core::GateVersion| {
        let definition = &gate.definition;
        vec![
            definition.name.to_string(),
            format!("@{}", gate.version),
            format!("{}@{}", definition.model, definition.alias),
            definition.conditions().len().to_string(),
            definition.notes.description.clone().unwrap_or_default(),
        ]
    };
    latest.map(row).collect()
}
