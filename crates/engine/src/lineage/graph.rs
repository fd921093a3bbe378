//! What stands in a lineage: typed nodes, and typed edges from what is used to what is made of it.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

/// What a node is. Their order is that of the data: from what comes first to what comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeKind {
    /// A kind of thing that features describe, by its name.
    Entity,
    /// Rows that were ingested together: `weather-1/12`, its table and the version of the log that its commit made.
    Batch,
    /// A Parquet file of history, by its path below the offline store's URL.
    DataFile,
    /// Where a view's rows are stored, by its id.
    Table,
    /// A version of a feature view: `weather@1`.
    FeatureView,
    /// A feature of a version of a view: `weather@1:wind_gust`.
    Feature,
    /// A version of a feature set: `late_arrival@1`.
    FeatureSet,
    /// The rows that were enriched: a location, or the text of a query.
    Spine,
    /// A training set, by its id.
    Dataset,
    /// A version of a model: `late_flights@1`.
    Model,
    /// A version of a gate: `careful@1`.
    Gate,
    /// A model's alias: `late_flights@champion`.
    Alias,
}

impl NodeKind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Entity,
        Self::Batch,
        Self::DataFile,
        Self::Table,
        Self::FeatureView,
        Self::Feature,
        Self::FeatureSet,
        Self::Spine,
        Self::Dataset,
        Self::Model,
        Self::Gate,
        Self::Alias,
    ];

    /// As people say it: `feature view`.
    pub fn title(self) -> &'static str {
        match self {
            Self::Entity => "entity",
            Self::Batch => "batch",
            Self::DataFile => "data file",
            Self::Table => "table",
            Self::FeatureView => "feature view",
            Self::Feature => "feature",
            Self::FeatureSet => "feature set",
            Self::Spine => "spine",
            Self::Dataset => "dataset",
            Self::Model => "model",
            Self::Gate => "gate",
            Self::Alias => "alias",
        }
    }

    /// As JSON and SQL have it: `feature_view`.
    pub fn name(self) -> String {
        self.title().replace(' ', "_")
    }

    /// As a flag has it: `feature-view`.
    pub fn flag(self) -> String {
        self.title().replace(' ', "-")
    }
}

/// Which node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct NodeId {
    /// What it is.
    pub kind: NodeKind,
    /// Its name, unique among its kind.
    pub name: String,
}

impl NodeId {
    pub(crate) fn new(kind: NodeKind, name: impl fmt::Display) -> Self {
        Self { kind, name: name.to_string() }
    }
}

/// A node with what is to be told of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// Which it is.
    #[serde(flatten)]
    pub id: NodeId,
    /// What there is to tell, by its name; times are texts.
    pub attributes: Map<String, Value>,
}

/// How what is made uses what it is made of. Read from the one to the other: an entity identifies the rows of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// An entity, the rows of a view.
    Identifies,
    /// A table holds the rows of a view.
    Holds,
    /// A view declares a feature.
    Declares,
    /// A feature belongs to a feature set.
    BelongsTo,
    /// A feature set defines the columns of a dataset.
    Defines,
    /// A spine was enriched and became a dataset.
    EnrichedInto,
    /// A table, batch or file was read for a dataset; of a table, up to `last_sequence`. A table, for a spine that is a query.
    ReadFor,
    /// A dataset trained a model.
    Trained,
    /// A dataset measured a model that it did not train.
    Measured,
    /// A feature set feeds a model: what it is served.
    Feeds,
    /// A model answers under an alias; with its `weight` where traffic is shared.
    Answers,
    /// A model is read and measured beside the answers of an alias.
    Shadows,
    /// A gate guards an alias.
    Guards,
    /// A batch was appended to a table.
    AppendedTo,
    /// A batch was written as a file.
    WrittenAs,
    /// A file was rewritten, with others, as another.
    RewrittenAs,
    /// A file is part of a table now.
    PartOf,
}

impl Relation {
    /// As JSON and SQL have it: `appended_to`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identifies => "identifies",
            Self::Holds => "holds",
            Self::Declares => "declares",
            Self::BelongsTo => "belongs_to",
            Self::Defines => "defines",
            Self::EnrichedInto => "enriched_into",
            Self::ReadFor => "read_for",
            Self::Trained => "trained",
            Self::Measured => "measured",
            Self::Feeds => "feeds",
            Self::Answers => "answers",
            Self::Shadows => "shadows",
            Self::Guards => "guards",
            Self::AppendedTo => "appended_to",
            Self::WrittenAs => "written_as",
            Self::RewrittenAs => "rewritten_as",
            Self::PartOf => "part_of",
        }
    }
}

/// An edge: `to` is made of `from`, or depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// What is used.
    pub from: NodeId,
    /// What uses it.
    pub to: NodeId,
    /// How.
    pub relation: Relation,
    /// Of a table that was read for a dataset: the last `_sequence` that was seen.
    pub last_sequence: Option<i64>,
    /// Of a model that shares an alias's traffic: its weight among all.
    pub weight: Option<u32>,
}

impl Edge {
    pub(crate) fn new(from: NodeId, to: NodeId, relation: Relation) -> Self {
        Self { from, to, relation, last_sequence: None, weight: None }
    }
}

impl Serialize for Edge {
    /// Flat, as the table `registry.lineage` has it.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat<'a> {
            from_kind: NodeKind,
            from_name: &'a str,
            to_kind: NodeKind,
            to_name: &'a str,
            relation: Relation,
            #[serde(skip_serializing_if = "Option::is_none")]
            last_sequence: Option<i64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            weight: Option<u32>,
        }
        let flat = Flat {
            from_kind: self.from.kind,
            from_name: &self.from.name,
            to_kind: self.to.kind,
            to_name: &self.to.name,
            relation: self.relation,
            last_sequence: self.last_sequence,
            weight: self.weight,
        };
        flat.serialize(serializer)
    }
}

/// Which way a lineage is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// To what it came from.
    Up,
    /// To what was made of it.
    Down,
    /// Both ways.
    #[default]
    Both,
}

/// Edges, each once, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Edges {
    list: Vec<Edge>,
    known: HashSet<(NodeId, NodeId, Relation)>,
}

impl Edges {
    pub(super) fn add(&mut self, edges: impl IntoIterator<Item = Edge>) {
        for edge in edges {
            if self.known.insert((edge.from.clone(), edge.to.clone(), edge.relation)) {
                self.list.push(edge);
            }
        }
    }

    pub(super) fn into_list(self) -> Vec<Edge> {
        self.list
    }
}

/// The edges of `all` that lead from `roots` to what they came from, or to what was made of them, breadth first.
///
/// What a model was only measured on is no part of what it came from, so the walk goes no further behind such an edge.
pub(super) fn walk(all: &[Edge], roots: &[NodeId], way: Way) -> Vec<Edge> {
    let ends = |edge: &'_ Edge| match way {
        Way::Up => (edge.to.clone(), edge.from.clone()),
        Way::Down => (edge.from.clone(), edge.to.clone()),
    };
    let mut leaving: HashMap<NodeId, Vec<usize>> = HashMap::new();
    for (index, edge) in all.iter().enumerate() {
        leaving.entry(ends(edge).0).or_default().push(index);
    }
    let mut seen: HashSet<NodeId> = roots.iter().cloned().collect();
    let mut next: Vec<NodeId> = roots.to_vec();
    let mut found = Vec::new();
    while !next.is_empty() {
        let nodes = std::mem::take(&mut next);
        for index in nodes.iter().flat_map(|node| leaving.get(node).into_iter().flatten()) {
            let edge = &all[*index];
            found.push(edge.clone());
            let end = ends(edge).1;
            if edge.relation != Relation::Measured && seen.insert(end.clone()) {
                next.push(end);
            }
        }
    }
    found
}

/// One way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Up,
    Down,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(kind: NodeKind, name: &str) -> NodeId {
        NodeId::new(kind, name)
    }

    fn edge(from: &NodeId, to: &NodeId, relation: Relation) -> Edge {
        Edge::new(from.clone(), to.clone(), relation)
    }

    #[test]
    fn a_walk_follows_one_way_and_stops_behind_a_measurement() {
        let [first, test] = ["d1", "d2"].map(|name| node(NodeKind::Dataset, name));
        let [spine, other] = ["s1", "s2"].map(|name| node(NodeKind::Spine, name));
        let [model, alias] = [node(NodeKind::Model, "m@1"), node(NodeKind::Alias, "m@champion")];
        let all = [
            edge(&spine, &first, Relation::EnrichedInto),
            edge(&other, &test, Relation::EnrichedInto),
            edge(&first, &model, Relation::Trained),
            edge(&test, &model, Relation::Measured),
            edge(&model, &alias, Relation::Answers),
        ];
        let up = walk(&all, std::slice::from_ref(&alias), Way::Up);
        assert_eq!(up, [all[4].clone(), all[2].clone(), all[3].clone(), all[0].clone()]);
        assert!(walk(&all, std::slice::from_ref(&alias), Way::Down).is_empty());
        let down = walk(&all, std::slice::from_ref(&spine), Way::Down);
        assert_eq!(down, [all[0].clone(), all[2].clone(), all[4].clone()]);
        // a dataset that only measured a model has no part in how it is served
        assert_eq!(walk(&all, std::slice::from_ref(&other), Way::Down), [all[1].clone(), all[3].clone()]);
    }

    #[test]
    fn kinds_are_written_in_three_ways() {
        let kind = NodeKind::FeatureView;
        assert_eq!(
            (kind.title(), kind.name().as_str(), kind.flag().as_str()),
            ("feature view", "feature_view", "feature-view")
        );
        for kind in NodeKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("JSON"), Value::from(kind.name()));
        }
    }
}
