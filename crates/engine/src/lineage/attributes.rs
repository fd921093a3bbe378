//! What is to be told of a node besides its name.

use hitherto_core::{Alias, Dataset, ModelVersion, Selector, Timestamp};
use serde_json::{Map, Value, json};

use super::Known;
use super::graph::{NodeId, NodeKind};
use super::recorded::{alias_name, feature_name, model_name, served_as};
use crate::{Engine, Result};

impl Engine {
    pub(super) async fn attributes(&self, id: &NodeId, known: &Known) -> Result<Map<String, Value>> {
        let recorded = &known.recorded;
        let told = match id.kind {
            NodeKind::Dataset => match recorded.datasets.iter().find(|dataset| dataset.id == id.name) {
                Some(dataset) => self.of_dataset(dataset).await?,
                None => Value::Null,
            },
            NodeKind::Alias => match recorded.aliases.iter().find(|alias| alias_name(alias) == id.name) {
                Some(alias) => self.of_alias(alias).await?,
                None => Value::Null,
            },
            NodeKind::Model => {
                let model = recorded.models.iter().find(|model| model_name(model).to_string() == id.name);
                model.map_or(Value::Null, |model| of_model(model, known))
            }
            NodeKind::Batch | NodeKind::DataFile | NodeKind::Table => {
                let told = known.logged.values().find_map(|logged| logged.attributes(id));
                told.map_or_else(|| of_definition(id, known), Value::Object)
            }
            _ => of_definition(id, known),
        };
        Ok(told.as_object().cloned().unwrap_or_default())
    }

    async fn of_dataset(&self, dataset: &Dataset) -> Result<Value> {
        let verdicts = self.registry().verdicts(&dataset.id).await?;
        let verdict = verdicts.last().map(|verdict| {
            json!({"is_proven": verdict.proven, "at": text(verdict.at), "by": verdict.by, "file_hash": verdict.file_hash})
        });
        Ok(json!({
            "name": dataset.name,
            "feature_set_hash": dataset.feature_set_hash,
            "mode": dataset.mode,
            "rows": dataset.rows,
            "location": dataset.location,
            "file_hash": dataset.file_hash,
            "spine_fingerprint": dataset.spine_fingerprint,
            "built_at": text(dataset.built_at),
            "actor": dataset.build.actor,
            "tags": dataset.build.tags,
            "verdict": verdict,
        }))
    }

    /// The move that pointed it there has the gate's evidence.
    async fn of_alias(&self, alias: &Alias) -> Result<Value> {
        let moves = self.registry().alias_moves(&alias.model).await?;
        let last = moves.iter().rfind(|moved| moved.alias == alias.alias);
        let evidence = last.and_then(|moved| moved.evidence.as_ref()).map(|report| {
            json!({
                "gate": report.gate.as_ref().map(ToString::to_string),
                "at": text(report.at),
                "is_passed": report.passed,
                "conditions": report.conditions,
            })
        });
        Ok(json!({
            "version": alias.version,
            "moved_at": text(alias.moved_at),
            "split": alias.split,
            "shadow": alias.shadow,
            "evidence": evidence,
            "override_reason": last.and_then(|moved| moved.override_reason.as_ref()),
        }))
    }
}

fn of_model(model: &ModelVersion, known: &Known) -> Value {
    let served: Vec<&str> = served_as(&known.recorded.aliases, model).map(|alias| alias.alias.as_str()).collect();
    let provenance = &model.provenance;
    json!({
        "kind": provenance.kind.name(),
        "served_as": served,
        "artifact": provenance.artifact,
        "runs": provenance.runs,
        "code_version": provenance.code_version,
        "tags": model.tags,
        "registered_at": text(model.registered_at),
    })
}

fn of_definition(id: &NodeId, known: &Known) -> Value {
    let catalog = &known.recorded.catalog;
    let found = match id.kind {
        NodeKind::Entity => catalog.entities.get(id.name.as_str()).and_then(|versions| versions.last()).map(|entity| {
            let keys = entity.definition.join_keys.iter();
            let keys: Map<String, Value> = keys.map(|(name, key)| (name.to_string(), key.to_string().into())).collect();
            json!({"join_keys": keys, "description": entity.definition.notes.description})
        }),
        NodeKind::Table => catalog.tables.get(&id.name).map(|table| json!({"view": table.view})),
        NodeKind::FeatureView => id.name.parse::<Selector>().ok().and_then(|name| catalog.view(&name)).map(|view| {
            let definition = &view.definition;
            json!({
                "ttl": definition.ttl.map(|ttl| ttl.to_string()),
                "source_delay": definition.source_delay.to_string(),
                "description": definition.notes.description,
                "tags": definition.notes.tags,
            })
        }),
        NodeKind::Feature => of_feature(id, known),
        NodeKind::FeatureSet => id.name.parse::<Selector>().ok().and_then(|name| catalog.set(&name)).map(|set| {
            let transforms = set.resolved.transforms.iter();
            let transforms: Map<String, Value> =
                transforms.map(|transform| (transform.name.to_string(), transform.expr.clone().into())).collect();
            json!({
                "hash": set.hash,
                "transforms": transforms,
                "description": set.definition.notes.description,
            })
        }),
        NodeKind::Gate => {
            let gates = catalog.gates.values().flatten();
            let gate = gates.rev().find(|gate| gate.versioned_name().to_string() == id.name);
            gate.map(|gate| json!({"conditions": gate.definition.conditions()}))
        }
        _ => None,
    };
    found.unwrap_or(Value::Null)
}

fn of_feature(id: &NodeId, known: &Known) -> Option<Value> {
    let (view, _) = id.name.split_once(':')?;
    let view = known.recorded.catalog.view(&view.parse::<Selector>().ok()?)?;
    let mut features = view.definition.features.iter();
    let feature = features.find(|feature| feature_name(&view.versioned_name(), &feature.name) == id.name)?;
    Some(json!({
        "type": feature.value_type.to_string(),
        "column": feature.column,
        "description": feature.notes.description,
        "tags": feature.notes.tags,
    }))
}

fn text(time: Timestamp) -> String {
    time.to_string()
}
