//! `get`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::builder::NonEmptyStringValueParser;
use hitherto_core::{KeyType, KeyValue, Selector, Status, Value, VersionedName};
use hitherto_engine::{Consumer, Lookup, LookupRequest, Route, Serving, ServingPlan};
use serde_json::json;

use crate::args::Global;
use crate::config::Config;
use crate::output::{self, Format};
use crate::stores::{self, Use};

/// Flags of `get`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The feature set: NAME or NAME@VERSION
    #[arg(long, value_name = "NAME[@VERSION]", required_unless_present = "model", conflicts_with = "model")]
    feature_set: Option<Selector>,
    /// The model: NAME, NAME@VERSION or NAME@ALIAS
    #[arg(long, value_name = "NAME[@ALIAS_OR_VERSION]")]
    model: Option<Selector>,
    /// One row: k=v,k2=v2; a flag per row, request fields included
    #[arg(long = "entity", value_name = "K=V,…", required_unless_present = "entities")]
    rows: Vec<String>,
    /// Rows from a file: CSV with a heading
    #[arg(long, value_name = "FILE", conflicts_with = "rows")]
    entities: Option<std::path::PathBuf>,
    /// What decides which version answers where an alias shares its traffic; otherwise the first row's entity key does
    #[arg(long, value_name = "KEY", conflicts_with = "feature_set", value_parser = NonEmptyStringValueParser::new())]
    routing_key: Option<String>,
    /// Ask a running server instead of the store; its clock rules
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// A file with the API token to show to the server; otherwise HITHERTO_TOKEN, then client.token_file
    #[arg(long, value_name = "FILE", requires = "server")]
    token_file: Option<PathBuf>,
    /// Roots that vouch for the server, in PEM, instead of the machine's
    #[arg(long, value_name = "FILE", requires = "server")]
    ca: Option<PathBuf>,
}

/// Rows as typed: column to text.
pub(super) type Typed = Vec<BTreeMap<String, String>>;

/// Read the latest values.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let consumer = match (args.feature_set, args.model) {
        (Some(set), None) => Consumer::FeatureSet(set),
        (None, Some(model)) => Consumer::Model(model),
        _ => bail!("name a --feature-set or a --model"),
    };
    let rows = match args.entities {
        Some(file) => rows_of_csv(&file)?,
        None => args.rows.iter().map(|row| row_of_flag(row)).collect::<Result<_>>()?,
    };
    let found = if let Some(url) = args.server {
        let credentials = config.client.credentials(args.token_file, args.ca)?;
        super::get_remote::lookup(&url, &credentials, consumer, args.routing_key, &rows).await?
    } else {
        let serving = Serving::load(stores::open(config, Use::Existing, global.clock).await?).await?;
        let route = serving.route(&consumer).await?;
        let first = |name: &str, key_type| KeyValue::parse(rows.first()?.get(name)?, key_type).ok();
        let plan = route.choose(args.routing_key.as_deref(), first);
        serving.lookup(plan, &request(&route, plan, &rows)?).await?
    };
    show(&rows, &found, global)
}

pub(super) fn row_of_flag(text: &str) -> Result<BTreeMap<String, String>> {
    text.split(',')
        .map(|part| {
            let (key, value) =
                part.split_once('=').with_context(|| format!("--entity {text}: write it like tailnum=N14228"))?;
            Ok((key.trim().to_owned(), value.to_owned()))
        })
        .collect()
}

fn rows_of_csv(file: &std::path::Path) -> Result<Typed> {
    let text = std::fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
    let mut lines = text.lines();
    let heading: Vec<&str> = lines.next().unwrap_or_default().split(',').map(str::trim).collect();
    lines
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            let cells: Vec<&str> = line.split(',').collect();
            if cells.len() != heading.len() {
                bail!(
                    "{}: line {} has {} cells, the heading {}",
                    file.display(),
                    index + 2,
                    cells.len(),
                    heading.len()
                );
            }
            Ok(heading.iter().zip(cells).map(|(key, cell)| ((*key).to_owned(), cell.to_owned())).collect())
        })
        .collect()
}

/// Text to typed columns, as the plan wants them. What only another version of the route reads is left aside.
fn request(route: &Route, plan: &ServingPlan, rows: &Typed) -> Result<LookupRequest> {
    let mut entities = Vec::new();
    for (name, key_type) in &keys_of(plan) {
        let values = rows.iter().map(|row| match row.get(*name) {
            None => Ok(None),
            Some(text) => {
                Ok(Some(KeyValue::parse(text, *key_type).with_context(|| format!("--entity {name}={text}"))?))
            }
        });
        entities.push(((*name).to_owned(), values.collect::<Result<Vec<_>>>()?));
    }
    let mut request = Vec::new();
    for (name, value_type) in &plan.request {
        let values = rows.iter().map(|row| match row.get(name.as_str()) {
            None => Ok(Value::Null),
            Some(text) => value_of(text, value_type).with_context(|| format!("--entity {name}={text}")),
        });
        request.push((name.to_string(), values.collect::<Result<Vec<_>>>()?));
    }
    let keys: BTreeSet<&str> = route.plans().flat_map(|plan| keys_of(plan).into_keys()).collect();
    let fields: BTreeSet<&str> = route.plans().flat_map(|plan| &plan.request).map(|(name, _)| name.as_str()).collect();
    refuse_unknown(rows, &plan.feature_set, keys.into_iter(), fields.into_iter())?;
    Ok(LookupRequest { entities, request })
}

/// The entity columns that a plan reads.
fn keys_of(plan: &ServingPlan) -> BTreeMap<&str, KeyType> {
    plan.views.iter().flat_map(|view| &view.keys).map(|(name, key_type)| (name.as_str(), *key_type)).collect()
}

/// Refuse a column that is neither an entity key nor a request field of the set.
pub(super) fn refuse_unknown<'a>(
    rows: &Typed,
    set: &VersionedName,
    keys: impl Iterator<Item = &'a str>,
    fields: impl Iterator<Item = &'a str>,
) -> Result<()> {
    let known: Vec<&str> = keys.chain(fields).collect();
    match rows.iter().flat_map(BTreeMap::keys).find(|name| !known.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => {
            let near = hitherto_core::did_you_mean(name, known.iter().copied());
            let hint = near
                .map_or_else(|| format!("; it has {}", known.join(", ")), |near| format!(" (did you mean '{near}'?)"));
            bail!("'{name}' is no entity key or request field of {set}{hint}")
        }
    }
}

pub(super) fn value_of(text: &str, value_type: &hitherto_core::ValueType) -> Result<Value> {
    use hitherto_core::ValueType;
    Ok(match value_type {
        ValueType::Bool => Value::Bool(text.parse()?),
        ValueType::Int32 => Value::Int32(text.parse()?),
        ValueType::Int64 => Value::Int64(text.parse()?),
        ValueType::Float32 => Value::Float32(text.parse()?),
        ValueType::Float64 => Value::Float64(text.parse()?),
        ValueType::String => Value::String(text.to_owned()),
        ValueType::Timestamp => Value::Timestamp(text.parse()?),
        other => bail!("a request field of type {other} cannot be typed on the command line"),
    })
}

fn show(rows: &Typed, found: &Lookup, global: &Global) -> Result<()> {
    if global.output == Format::Json {
        return output::json(&to_json(rows, found));
    }
    let mut lines = Vec::new();
    for (row, typed) in rows.iter().enumerate() {
        let entity: Vec<String> = typed.iter().map(|(key, value)| format!("{key}={value}")).collect();
        for column in &found.columns {
            let event = column.view.and_then(|view| found.views[view].event_timestamps[row]);
            lines.push(vec![
                entity.join(","),
                column.name.clone(),
                text_of(&column.values[row]),
                status_name(column.statuses[row]).to_owned(),
                event.map(|event| event.to_string()).unwrap_or_default(),
            ]);
        }
    }
    output::table(&["ENTITY", "FEATURE", "VALUE", "STATUS", "EVENT TIME"], &lines)?;
    let model = found.model.as_ref().map(|model| format!("{model}, ")).unwrap_or_default();
    output::note(format!("{model}{} at {}", found.feature_set, found.at));
    Ok(())
}

fn to_json(rows: &Typed, found: &Lookup) -> serde_json::Value {
    let row = |(index, typed): (usize, &BTreeMap<String, String>)| {
        let features = found.columns.iter().map(|column| {
            let event = column.view.and_then(|view| found.views[view].event_timestamps[index]);
            let cell = json!({
                "value": json_of(&column.values[index]),
                "status": status_name(column.statuses[index]),
                "event_timestamp": event.map(|event| event.to_string()),
            });
            (column.name.clone(), cell)
        });
        json!({"entity": typed, "features": features.collect::<serde_json::Map<_, _>>()})
    };
    json!({
        "feature_set": found.feature_set.to_string(),
        "feature_set_hash": found.feature_set_hash,
        "model": found.model.as_ref().map(ToString::to_string),
        "at": found.at.to_string(),
        "rows": rows.iter().enumerate().map(row).collect::<Vec<_>>(),
    })
}

/// The status as the wire and the documents write it.
pub(super) fn status_name(status: Status) -> &'static str {
    match status {
        Status::Present => "PRESENT",
        Status::NullValue => "NULL_VALUE",
        Status::NotFound => "NOT_FOUND",
        Status::OutsideMaxAge => "OUTSIDE_MAX_AGE",
    }
}

pub(super) fn text_of(value: &Value) -> String {
    match json_of(value) {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}

fn json_of(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(value) => json!(value),
        Value::Int32(value) => json!(value),
        Value::Int64(value) => json!(value),
        // the shortest text that reads back as the same 32 bits
        Value::Float32(value) => value.to_string().parse::<f64>().map_or(serde_json::Value::Null, |value| json!(value)),
        Value::Float64(value) => json!(value),
        Value::String(value) => json!(value),
        Value::Bytes(value) => json!(hex::encode(value)),
        Value::Timestamp(value) => json!(value.to_string()),
        Value::Date(days) => {
            let day = hitherto_core::Timestamp(i64::from(*days) * 86_400_000_000).to_string();
            json!(day.split('T').next())
        }
        Value::List(items) => items.iter().map(json_of).collect(),
        Value::Vector(items) => items.iter().map(|item| json_of(&Value::Float32(*item))).collect(),
    }
}
