//! What is in the tables, a page at a time: JSON objects with the columns' names.

use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use hitherto_core::{Alias, Catalog, Dataset, Evaluation, Metrics, ModelVersion, Span, Table};
use serde::Serialize;
use serde_json::{Value, json};

use super::columns::Records;
use super::logs::Logs;
use crate::lineage::{Edge, Logged, alias_name, feature_name, model_name, served_as};
use crate::training_set::mode_name;
use crate::{Engine, Error, Result};

/// Entries of the audit log that are read at once.
const ENTRIES: usize = 10_000;
/// Rows that are made at once of what the logs of history record.
const ROWS: usize = 8192;

/// Every row of one table. What is large comes in pages: the audit log by entries, what the logs of history record by rows.
pub(super) fn pages(logs: Logs, records: Records) -> BoxStream<'static, Result<Vec<Value>>> {
    match records {
        Records::Audit => audit(logs.engine().clone()),
        Records::Batches => batches(logs),
        Records::Lineage => lineage(logs),
        _ => stream::once(async move { whole(logs.engine(), records).await }).boxed(),
    }
}

async fn whole(engine: &Engine, records: Records) -> Result<Vec<Value>> {
    let registry = engine.registry();
    match records {
        Records::FeatureViews => feature_views(&registry.catalog().await?),
        Records::Features => features(&registry.catalog().await?),
        Records::FeatureSets => feature_sets(&registry.catalog().await?),
        Records::Datasets => registry.datasets().await?.iter().map(dataset).collect(),
        Records::Models => {
            let aliases = engine.all_aliases().await?;
            engine.all_model_versions().await?.iter().map(|version| model(version, &aliases)).collect()
        }
        Records::Aliases => aliases(engine).await,
        Records::Evaluations => {
            let models = engine.all_model_versions().await?;
            Ok(engine.all_evaluations(&models).await?.iter().flat_map(evaluation).collect())
        }
        Records::Batches | Records::Audit | Records::Lineage => Ok(Vec::new()),
    }
}

fn feature_views(catalog: &Catalog) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for versions in catalog.views.values() {
        for view in versions {
            let definition = &view.definition;
            let keys = view.keys.iter().map(|key| (key.name.to_string(), key.key_type.to_string()));
            let features: Vec<&str> = definition.features.iter().map(|feature| feature.name.as_str()).collect();
            rows.push(json!({
                "name": view.versioned_name().to_string(),
                "view": definition.name,
                "version": view.version,
                "is_latest": versions.last().is_some_and(|latest| latest.version == view.version),
                "entities": text(&definition.entities)?,
                "keys": text(&keys.collect::<std::collections::BTreeMap<_, _>>())?,
                "features": text(&features)?,
                "table_id": view.table,
                "event_timestamp": definition.event_timestamp,
                "created_timestamp": definition.created_timestamp,
                "source_delay_us": definition.source_delay.micros(),
                "ttl_us": definition.ttl.map(Span::micros),
                "description": definition.notes.description,
                "tags": text(&definition.notes.tags)?,
            }));
        }
    }
    Ok(rows)
}

fn features(catalog: &Catalog) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for versions in catalog.views.values() {
        for view in versions {
            let is_latest = versions.last().is_some_and(|latest| latest.version == view.version);
            for feature in &view.definition.features {
                rows.push(json!({
                    "name": feature_name(&view.versioned_name(), &feature.name),
                    "view": view.definition.name,
                    "version": view.version,
                    "is_latest": is_latest,
                    "feature": feature.name,
                    "type": feature.value_type.to_string(),
                    "source_column": feature.column,
                    "entities": text(&view.definition.entities)?,
                    "table_id": view.table,
                    "description": feature.notes.description,
                    "tags": text(&feature.notes.tags)?,
                }));
            }
        }
    }
    Ok(rows)
}

fn feature_sets(catalog: &Catalog) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for versions in catalog.sets.values() {
        for set in versions {
            let resolved = &set.resolved;
            let features: Vec<String> = resolved
                .outputs
                .iter()
                .filter_map(|output| Some(feature_name(&resolved.uses.get(output.view_use)?.view, &output.feature)))
                .collect();
            let request = resolved.request.iter().map(|(name, value_type)| (name.to_string(), value_type.to_string()));
            let transforms = resolved.transforms.iter();
            let transforms = transforms.map(|transform| (transform.name.to_string(), transform.expr.clone()));
            rows.push(json!({
                "name": set.versioned_name().to_string(),
                "feature_set": set.definition.name,
                "version": set.version,
                "is_latest": versions.last().is_some_and(|latest| latest.version == set.version),
                "hash": set.hash,
                "features": text(&features)?,
                "request": text(&request.collect::<std::collections::BTreeMap<_, _>>())?,
                "transforms": text(&transforms.collect::<std::collections::BTreeMap<_, _>>())?,
                "description": set.definition.notes.description,
                "tags": text(&set.definition.notes.tags)?,
            }));
        }
    }
    Ok(rows)
}

fn dataset(dataset: &Dataset) -> Result<Value> {
    Ok(json!({
        "id": dataset.id,
        "name": dataset.name,
        "feature_set": dataset.feature_set.to_string(),
        "feature_set_hash": dataset.feature_set_hash,
        "mode": mode_name(dataset.mode),
        "spine": dataset.spine,
        "spine_fingerprint": dataset.spine_fingerprint,
        "tables": text(&dataset.tables)?,
        "rows": dataset.rows,
        "location": dataset.location,
        "file_hash": dataset.file_hash,
        "built_at": dataset.built_at,
        "actor": dataset.build.actor,
        "engine_version": dataset.build.engine_version,
        "tags": text(&dataset.build.tags)?,
    }))
}

fn model(model: &ModelVersion, aliases: &[Alias]) -> Result<Value> {
    let provenance = &model.provenance;
    let aliases: Vec<&str> = served_as(aliases, model).map(|alias| alias.alias.as_str()).collect();
    Ok(json!({
        "name": model_name(model).to_string(),
        "model": model.name,
        "version": model.version,
        "kind": provenance.kind.name(),
        "feature_set": model.feature_set.to_string(),
        "feature_set_hash": model.feature_set_hash,
        "dataset": model.dataset,
        "aliases": text(&aliases)?,
        "artifact": provenance.artifact.as_ref().map(|artifact| &artifact.uri),
        "artifact_sha256": provenance.artifact.as_ref().and_then(|artifact| artifact.sha256.as_ref()),
        "code_version": provenance.code_version,
        "runs": text(&provenance.runs)?,
        "parameters": text(&provenance.parameters)?,
        "tags": text(&model.tags)?,
        "registered_at": model.registered_at,
    }))
}

async fn aliases(engine: &Engine) -> Result<Vec<Value>> {
    let registry = engine.registry();
    let mut rows = Vec::new();
    for latest in registry.models().await? {
        let moves = registry.alias_moves(&latest.name).await?;
        for alias in registry.aliases(&latest.name).await? {
            let last = moves.iter().rfind(|moved| moved.alias == alias.alias);
            let evidence = last.and_then(|moved| moved.evidence.as_ref());
            let gate = evidence.and_then(|report| report.gate.as_ref()).map(ToString::to_string);
            let is_passed = evidence.map(|report| report.passed);
            let reason = last.and_then(|moved| moved.override_reason.as_ref());
            rows.push(json!({
                "name": alias_name(&alias),
                "model": alias.model,
                "alias": alias.alias,
                "version": alias.version,
                "moved_at": alias.moved_at,
                "split": split(&alias)?,
                "shadow": alias.shadow,
                "gate": gate,
                "is_passed": is_passed,
                "override_reason": reason,
            }));
        }
    }
    Ok(rows)
}

/// Weights by version.
fn split(alias: &Alias) -> Result<String> {
    let shares = alias.split.iter().map(|share| (share.version.to_string(), share.weight));
    text(&shares.collect::<std::collections::BTreeMap<_, _>>())
}

/// A row for each number, of the whole and of each slice.
fn evaluation(evaluation: &Evaluation) -> Vec<Value> {
    let row = |slice: Option<&String>, metrics: &Metrics| -> Vec<Value> {
        let rows = metrics.iter().map(|(metric, value)| {
            json!({
                "model": evaluation.model,
                "version": evaluation.version,
                "evaluated_at": evaluation.evaluated_at,
                "dataset": evaluation.dataset,
                "grader": evaluation.grader.as_ref().map(ToString::to_string),
                "slice": slice,
                "metric": metric,
                "value": value.get(),
            })
        });
        rows.collect()
    };
    let mut rows = row(None, &evaluation.metrics);
    rows.extend(row(None, &evaluation.figures));
    rows.extend(evaluation.slices.iter().flat_map(|(slice, metrics)| row(Some(slice), metrics)));
    rows
}

fn batches(logs: Logs) -> BoxStream<'static, Result<Vec<Value>>> {
    let begun = async move {
        let mut tables = tables(&logs.engine().registry().catalog().await?);
        tables.retain(|table| logs.wanted().may_be("table_id", &table.id));
        tables.retain(|table| logs.wanted().may_be("view", table.view.as_str()));
        let rows = |logged: Arc<Logged>| {
            let count = logged.chronicle.batches.len();
            paged((0..count).map(move |index| Ok(batch(&logged, index))))
        };
        Ok::<_, Error>(logs.of_all(tables).map_ok(rows).try_flatten())
    };
    stream::once(begun).try_flatten().boxed()
}

fn batch(logged: &Logged, index: usize) -> Value {
    let batch = &logged.chronicle.batches[index];
    json!({
        "name": logged.batch(batch).name,
        "view": logged.table().view,
        "table_id": logged.table().id,
        "batch_id": batch.id,
        "log_version": batch.version,
        "ingested_at": batch.time,
        "rows": batch.rows,
        "first_sequence": batch.first_sequence,
        "last_sequence": batch.last_sequence,
    })
}

/// What the registry records, then what each log does.
fn lineage(logs: Logs) -> BoxStream<'static, Result<Vec<Value>>> {
    let begun = async move {
        let recorded = logs.engine().recorded().await?;
        let edges = recorded.edges();
        let mut tables = tables(&recorded.catalog);
        tables.retain(|_| logs.wanted().may_be_edge_of_log());
        let datasets: Arc<[Dataset]> = recorded.datasets.into();
        let rows = move |logged: Arc<Logged>| paged(logged.edges(&datasets).map(edge));
        Ok::<_, Error>(paged(edges.into_iter().map(edge)).chain(logs.of_all(tables).map_ok(rows).try_flatten()))
    };
    stream::once(begun).try_flatten().boxed()
}

fn edge(edge: Edge) -> Result<Value> {
    serde_json::to_value(edge).map_err(written)
}

/// The tables of history, in the order of their ids.
fn tables(catalog: &Catalog) -> Vec<Table> {
    catalog.tables.values().cloned().collect()
}

/// Rows, so many at a time as they are taken.
fn paged(mut rows: impl Iterator<Item = Result<Value>> + Send) -> impl Stream<Item = Result<Vec<Value>>> + Send {
    stream::iter(std::iter::from_fn(move || match rows.by_ref().take(ROWS).collect::<Result<Vec<Value>>>() {
        Ok(page) if page.is_empty() => None,
        page => Some(page),
    }))
}

fn audit(engine: Engine) -> BoxStream<'static, Result<Vec<Value>>> {
    let pages = stream::try_unfold((engine, Some(0)), |(engine, after): (Engine, Option<i64>)| async move {
        let Some(after) = after else { return Ok(None) };
        let entries = engine.registry().audit_log(after, ENTRIES).await?;
        let next = entries.last().filter(|_| entries.len() == ENTRIES).map(|last| last.number);
        let rows = entries.iter().map(|entry| serde_json::to_value(entry).map_err(written));
        let rows = rows.collect::<Result<Vec<Value>>>()?;
        Ok::<_, Error>(Some((rows, (engine, next))))
    });
    pages.boxed()
}

fn text(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(written)
}

fn written(error: serde_json::Error) -> Error {
    Error::internal("could not write JSON", error)
}
