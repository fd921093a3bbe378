//! What the registry records, as edges: definitions, datasets, models, aliases and gates.

use hitherto_core::{Alias, Catalog, Dataset, Evaluation, ModelVersion, Name, SetVersion, VersionedName, ViewVersion};

use super::graph::{Edge, Edges, NodeId, NodeKind, Relation};
use crate::{Engine, Result};

/// What the registry records, read once.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) catalog: Catalog,
    pub(crate) datasets: Vec<Dataset>,
    pub(crate) models: Vec<ModelVersion>,
    pub(crate) aliases: Vec<Alias>,
    pub(crate) evaluations: Vec<Evaluation>,
}

impl Engine {
    pub(crate) async fn recorded(&self) -> Result<Recorded> {
        let registry = self.registry();
        let catalog = registry.catalog().await?;
        let datasets = registry.datasets().await?;
        let models = self.all_model_versions().await?;
        let evaluations = self.all_evaluations(&models).await?;
        let aliases = self.all_aliases().await?;
        Ok(Recorded { catalog, datasets, models, aliases, evaluations })
    }

    /// The evaluations of these model versions, in their order.
    pub(crate) async fn all_evaluations(&self, models: &[ModelVersion]) -> Result<Vec<Evaluation>> {
        let mut evaluations = Vec::new();
        for model in models {
            evaluations.extend(self.registry().evaluations(&model.name, model.version).await?);
        }
        Ok(evaluations)
    }

    /// The aliases of every model.
    pub(crate) async fn all_aliases(&self) -> Result<Vec<Alias>> {
        let mut aliases = Vec::new();
        for latest in self.registry().models().await? {
            aliases.extend(self.registry().aliases(&latest.name).await?);
        }
        Ok(aliases)
    }
}

impl Recorded {
    /// All edges, from what comes first to what comes last.
    pub(crate) fn edges(&self) -> Vec<Edge> {
        let views = self.catalog.views.values().flatten().flat_map(of_view);
        let sets = self.catalog.sets.values().flatten().flat_map(of_set);
        let datasets = self.datasets.iter().flat_map(of_dataset);
        let models = self.models.iter().flat_map(|model| self.of_model(model));
        let aliases = self.aliases.iter().flat_map(|alias| self.of_alias(alias));
        let mut edges = Edges::default();
        // two datasets of one query have its edges in common
        edges.add(views.chain(sets).chain(datasets).chain(models).chain(aliases));
        edges.into_list()
    }

    fn of_model(&self, model: &ModelVersion) -> Vec<Edge> {
        let id = NodeId::new(NodeKind::Model, model_name(model));
        let mut edges = Vec::new();
        if let Some(dataset) = &model.dataset {
            edges.push(Edge::new(NodeId::new(NodeKind::Dataset, dataset), id.clone(), Relation::Trained));
        }
        let mine = |evaluation: &&Evaluation| evaluation.model == model.name && evaluation.version == model.version;
        let measured = self.evaluations.iter().filter(mine).filter_map(|evaluation| evaluation.dataset.as_ref());
        let mut measured: Vec<&String> = measured.filter(|dataset| Some(*dataset) != model.dataset.as_ref()).collect();
        measured.sort_unstable();
        measured.dedup();
        for dataset in measured {
            edges.push(Edge::new(NodeId::new(NodeKind::Dataset, dataset), id.clone(), Relation::Measured));
        }
        let set = NodeId::new(NodeKind::FeatureSet, &model.feature_set);
        edges.push(Edge::new(set, id, Relation::Feeds));
        edges
    }

    fn of_alias(&self, alias: &Alias) -> Vec<Edge> {
        let id = NodeId::new(NodeKind::Alias, alias_name(alias));
        let model = |version| NodeId::new(NodeKind::Model, VersionedName { name: alias.model.clone(), version });
        // its own version may have no share
        let own = alias.split.iter().find(|share| share.version == alias.version).map_or(0, |share| share.weight);
        let weight = (!alias.split.is_empty()).then_some(own);
        let mut edges = vec![Edge { weight, ..Edge::new(model(alias.version), id.clone(), Relation::Answers) }];
        for share in alias.split.iter().filter(|share| share.version != alias.version) {
            let edge = Edge::new(model(share.version), id.clone(), Relation::Answers);
            edges.push(Edge { weight: Some(share.weight), ..edge });
        }
        edges.extend(alias.shadow.map(|shadow| Edge::new(model(shadow), id.clone(), Relation::Shadows)));
        if let Some(gate) = self.catalog.gate(&alias.model, &alias.alias) {
            edges.push(Edge::new(NodeId::new(NodeKind::Gate, gate.versioned_name()), id, Relation::Guards));
        }
        edges
    }
}

/// Those of `aliases` under which a model version answers now.
pub(crate) fn served_as<'a>(aliases: &'a [Alias], model: &ModelVersion) -> impl Iterator<Item = &'a Alias> {
    aliases.iter().filter(move |alias| {
        let answers = if alias.split.is_empty() {
            alias.version == model.version
        } else {
            alias.split.iter().any(|share| share.version == model.version)
        };
        alias.model == model.name && answers
    })
}

fn of_view(view: &ViewVersion) -> Vec<Edge> {
    let id = NodeId::new(NodeKind::FeatureView, view.versioned_name());
    let entities = view.definition.entities.iter();
    let entities =
        entities.map(|entity| Edge::new(NodeId::new(NodeKind::Entity, entity), id.clone(), Relation::Identifies));
    let table = Edge::new(NodeId::new(NodeKind::Table, &view.table), id.clone(), Relation::Holds);
    let features = view.definition.features.iter().map(|feature| {
        let name = feature_name(&view.versioned_name(), &feature.name);
        Edge::new(id.clone(), NodeId::new(NodeKind::Feature, name), Relation::Declares)
    });
    entities.chain([table]).chain(features).collect()
}

fn of_set(set: &SetVersion) -> Vec<Edge> {
    let id = NodeId::new(NodeKind::FeatureSet, set.versioned_name());
    let mut names: Vec<String> = Vec::new();
    for output in &set.resolved.outputs {
        if let Some(view_use) = set.resolved.uses.get(output.view_use) {
            let name = feature_name(&view_use.view, &output.feature);
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let edge = |name| Edge::new(NodeId::new(NodeKind::Feature, name), id.clone(), Relation::BelongsTo);
    names.into_iter().map(edge).collect()
}

fn of_dataset(dataset: &Dataset) -> Vec<Edge> {
    let id = NodeId::new(NodeKind::Dataset, &dataset.id);
    let spine = NodeId::new(NodeKind::Spine, &dataset.spine);
    let set = NodeId::new(NodeKind::FeatureSet, &dataset.feature_set);
    let read_for =
        |table: &str, by: &NodeId| Edge::new(NodeId::new(NodeKind::Table, table), by.clone(), Relation::ReadFor);
    let queried = dataset.build.spine_tables.keys().map(|table| read_for(table, &spine));
    let tables = dataset.tables_read().into_iter().map(|table| {
        let last_sequence = dataset.last_sequence_read(table);
        Edge { last_sequence, ..read_for(table, &id) }
    });
    let mut edges = vec![
        Edge::new(spine.clone(), id.clone(), Relation::EnrichedInto),
        Edge::new(set, id.clone(), Relation::Defines),
    ];
    edges.extend(tables.chain(queried));
    edges
}

/// `view@1:feature`.
pub(crate) fn feature_name(view: &VersionedName, feature: &Name) -> String {
    format!("{view}:{feature}")
}

/// `model@1`.
pub(crate) fn model_name(model: &ModelVersion) -> VersionedName {
    VersionedName { name: model.name.clone(), version: model.version }
}

/// `model@champion`.
pub(crate) fn alias_name(alias: &Alias) -> String {
    format!("{}@{}", alias.model, alias.alias)
}
