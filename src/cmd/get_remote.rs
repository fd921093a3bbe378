//! `get --server`: the same read, asked of a running server.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use hitherto_client::{Client, Column, Credentials, Features, GetFeatures, Timeouts};
use hitherto_core::{Alias, KeyType, KeyValue, Selector, SetVersion, ValueType, VersionedName};
use hitherto_engine::{Consumer, Lookup, LookupColumn, LookupView};
use hitherto_online::Marks;

use super::get::{Typed, refuse_unknown, value_of};

/// Ask the server at `url`.
pub(super) async fn lookup(
    url: &str,
    credentials: &Credentials,
    consumer: Consumer,
    routing_key: Option<String>,
    rows: &Typed,
) -> Result<Lookup> {
    let client = Client::connect_as(url, Timeouts::default(), credentials).await?;
    let sets = match &consumer {
        Consumer::FeatureSet(selector) => vec![client.feature_set(selector).await?],
        Consumer::Model(selector) => sets_of(&client, selector).await?,
    };
    let (keys, request) = columns(&sets);
    if let Some(own) = sets.first() {
        refuse_unknown(rows, &own.versioned_name(), keys.keys().copied(), request.keys().copied())?;
    }
    let mut entities = Vec::new();
    for (name, key_type) in &keys {
        let parse = |text: &String| KeyValue::parse(text, *key_type).with_context(|| format!("--entity {name}={text}"));
        let values = rows.iter().map(|row| row.get(*name).map(parse).transpose());
        entities.push(Column::of_keys(*name, *key_type, values.collect::<Result<Vec<_>>>()?)?);
    }
    let mut fields = Vec::new();
    for (name, value_type) in &request {
        let parse = |text: &String| value_of(text, value_type).with_context(|| format!("--entity {name}={text}"));
        let values = rows.iter().map(|row| row.get(*name).map_or(Ok(hitherto_core::Value::Null), parse));
        fields.push(Column::new(*name, (*value_type).clone(), values.collect::<Result<Vec<_>>>()?));
    }
    let consumer = match consumer {
        Consumer::FeatureSet(selector) => hitherto_client::Consumer::FeatureSet(selector),
        Consumer::Model(selector) => hitherto_client::Consumer::Model(selector),
    };
    let mut wanted = GetFeatures::new(consumer, entities);
    wanted.request_fields = fields;
    wanted.routing_key = routing_key;
    answer(client.get_features(wanted).await?)
}

/// The feature sets of every version that may read the request, first that of the version named. The server chooses among
/// them, so it is sent what any of them reads.
async fn sets_of(client: &Client, selector: &Selector) -> Result<Vec<SetVersion>> {
    let own = client.model(selector).await?;
    let mut wanted = vec![own.feature_set];
    if let Selector::Alias(model, name) = selector {
        let aliases = client.aliases(Some(model)).await?;
        for version in aliases.iter().filter(|alias| alias.alias == *name).flat_map(others) {
            let other = client.model(&Selector::Version(VersionedName { name: model.clone(), version })).await?;
            if !wanted.contains(&other.feature_set) {
                wanted.push(other.feature_set);
            }
        }
    }
    let mut sets = Vec::with_capacity(wanted.len());
    for set in wanted {
        sets.push(client.feature_set(&Selector::Version(set)).await?);
    }
    Ok(sets)
}

/// The versions of an alias's traffic besides its own.
fn others(alias: &Alias) -> impl Iterator<Item = u32> {
    let shared = alias.split.iter().map(|share| share.version).chain(alias.shadow);
    shared.filter(|version| *version != alias.version)
}

/// Entity columns and request fields of all sets, by name. Where two differ in a type, the first has it.
fn columns(sets: &[SetVersion]) -> (BTreeMap<&str, KeyType>, BTreeMap<&str, &ValueType>) {
    let (mut keys, mut request) = (BTreeMap::new(), BTreeMap::new());
    for set in sets {
        for key in set.resolved.uses.iter().flat_map(|view_use| &view_use.keys) {
            keys.entry(key.spine_column.as_str()).or_insert(key.key_type);
        }
        for (name, value_type) in &set.resolved.request {
            request.entry(name.as_str()).or_insert(value_type);
        }
    }
    (keys, request)
}

/// The answer as the engine would have given it.
fn answer(found: Features) -> Result<Lookup> {
    let rows = found.rows;
    let views = found.views.into_iter().map(|view| {
        let Some(watermark) = view.watermark else { bail!("the server does not say how far {} is", view.view) };
        Ok(LookupView {
            alias: view.alias.to_string(),
            view: view.view,
            event_timestamps: view.event_times.unwrap_or_else(|| vec![None; rows]),
            marks: Marks { sequence: watermark.sequence, clock: watermark.clock },
            lag: watermark.lag,
        })
    });
    let views = views.collect::<Result<Vec<_>>>()?;
    let columns = found.columns.into_iter().map(|column| LookupColumn {
        name: column.name,
        value_type: column.value_type,
        view: column.view,
        values: column.values,
        statuses: column.statuses,
    });
    Ok(Lookup {
        feature_set: found.feature_set,
        feature_set_hash: found.feature_set_hash,
        model: found.model.map(|pin| pin.version),
        at: found.clock,
        rows,
        columns: columns.collect(),
        views,
    })
}
