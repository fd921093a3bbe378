//! `get --server`: the same read, asked of a running server.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use hitherto_client::{Client, Column, Features, GetFeatures};
use hitherto_core::{KeyType, KeyValue, ResolvedSet, Selector, ValueType};
use hitherto_engine::{Consumer, Lookup, LookupColumn, LookupView};
use hitherto_online::Marks;

use super::get::{Typed, refuse_unknown, value_of};

/// Ask the server at `url`.
pub(super) async fn lookup(url: &str, consumer: Consumer, rows: &Typed) -> Result<Lookup> {
    let client = Client::connect(url).await?;
    let set = match &consumer {
        Consumer::FeatureSet(selector) => client.feature_set(selector).await?,
        Consumer::Model(selector) => {
            let model = client.model(selector).await?;
            client.feature_set(&Selector::Version(model.feature_set)).await?
        }
    };
    let (keys, request) = columns(&set.resolved);
    refuse_unknown(rows, &set.versioned_name(), keys.keys().copied(), request.keys().copied())?;
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
    answer(client.get_features(wanted).await?)
}

/// Entity columns and request fields, by name.
fn columns(set: &ResolvedSet) -> (BTreeMap<&str, KeyType>, BTreeMap<&str, &ValueType>) {
    let keys = set.uses.iter().flat_map(|view_use| &view_use.keys);
    let keys = keys.map(|key| (key.spine_column.as_str(), key.key_type)).collect();
    (keys, set.request.iter().map(|(name, value_type)| (name.as_str(), value_type)).collect())
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
