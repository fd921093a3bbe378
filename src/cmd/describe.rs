//! `describe KIND NAME`.

use anyhow::{Result, bail};
use hitherto_core::Selector;
use hitherto_engine::{find_set, find_view};
use serde::Serialize;
use serde_json::{Value, json};

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
    /// Versions and aliases of a model
    #[value(alias = "models")]
    Model,
    /// A training set
    #[value(alias = "datasets")]
    Dataset,
}

/// Describe one thing.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let engine = stores::open(config, Use::Read, global.clock).await?;
    let registry = engine.registry();
    let catalog = registry.catalog().await?;
    let described = match args.kind {
        Kind::Entity => match catalog.entities.get(args.name.as_str()).and_then(|versions| versions.last()) {
            Some(entity) => to_value(entity)?,
            None => bail!(
                "no entity '{}'{}",
                args.name,
                hitherto_core::did_you_mean(&args.name, catalog.entities.keys().map(hitherto_core::Name::as_str))
                    .map(|near| format!(" (did you mean '{near}'?)"))
                    .unwrap_or_default()
            ),
        },
        Kind::FeatureView => {
            let view = find_view(&catalog, &args.name.parse()?)?;
            json!({"view": to_value(view)?, "table": to_value(&catalog.tables.get(&view.table))?})
        }
        Kind::FeatureSet => to_value(find_set(&catalog, &args.name.parse()?)?)?,
        Kind::Model => {
            let selector: Selector = args.name.parse()?;
            let versions = registry.model_versions(selector.name()).await?;
            json!({"versions": to_value(&versions)?, "aliases": to_value(&registry.aliases(selector.name()).await?)?})
        }
        Kind::Dataset => to_value(&registry.dataset(&args.name).await?)?,
    };
    match global.output {
        Format::Json => output::json(&described),
        Format::Table => print(&described, 0),
    }
}

fn to_value(value: &impl Serialize) -> Result<Value> {
    Ok(serde_json::to_value(value)?)
}

/// An outline for people: `key: value`, deeper things indented, empty ones left out.
fn print(value: &Value, depth: usize) -> Result<()> {
    let indent = "  ".repeat(depth);
    let Value::Object(fields) = value else { return output::line(format!("{indent}{}", scalar(value))) };
    for (key, value) in fields {
        match value {
            Value::Null => {}
            Value::Object(inner) if inner.is_empty() => {}
            Value::Array(items) if items.is_empty() => {}
            Value::Object(_) => {
                output::line(format!("{indent}{key}:"))?;
                print(value, depth + 1)?;
            }
            Value::Array(items) => {
                output::line(format!("{indent}{key}:"))?;
                items.iter().try_for_each(|item| output::line(format!("{indent}  - {}", scalar(item))))?;
            }
            _ => output::line(format!("{indent}{key}: {}", scalar(value)))?,
        }
    }
    Ok(())
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) => {
            let shown = fields.iter().filter(|(_, value)| !value.is_null() && !is_empty(value));
            shown.map(|(key, value)| format!("{key}: {}", scalar(value))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.values().all(|value| value.is_null() || is_empty(value)),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}
