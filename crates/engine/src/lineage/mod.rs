//! `lineage`: what a thing came from, and what was made of it, from what the registry and the logs of history record.

mod attributes;
mod find;
mod graph;
mod logged;
mod recorded;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;

pub use graph::{Direction, Edge, Node, NodeId, NodeKind, Relation};

pub(crate) use logged::Logged;
pub(crate) use recorded::{Recorded, alias_name, feature_name, model_name, served_as};

use self::graph::{Edges, Way, walk};
use crate::{Engine, Result};

/// The graph around one thing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lineage {
    /// The thing; several nodes where a name without a version stands for all of its versions.
    pub roots: Vec<NodeId>,
    /// Every node, the roots first, each once.
    pub nodes: Vec<Node>,
    /// Every edge, each once.
    pub edges: Vec<Edge>,
}

/// What is known while a graph is put together: the registry, and the logs that were read.
struct Known {
    recorded: Recorded,
    logged: BTreeMap<String, Logged>,
}

impl Engine {
    /// The graph around `what`, followed in `direction`. `kind` says what it is where its name does not.
    ///
    /// Definitions, models and datasets are found by their names, with a version or an alias where one is meant; a feature
    /// by `view:feature`, a dataset also by its id or the beginning of one, a batch by the id that it was ingested with. A
    /// name without a version stands for every version.
    ///
    /// Of a model, dataset or alias the batches and files are those that its training set saw, up to the last `_sequence` that
    /// its manifest names; of a table or what is above it, all that there are. What a log no longer tells, because an erasure was
    /// purged, is left out, and the table's attribute `gone` says so.
    pub async fn lineage(&self, what: &str, kind: Option<NodeKind>, direction: Direction) -> Result<Lineage> {
        let mut known = Known { recorded: self.recorded().await?, logged: BTreeMap::new() };
        let roots = self.find_nodes(what, kind, &mut known).await?;
        let all = known.recorded.edges();
        let mut edges = Edges::default();
        if direction != Direction::Down {
            edges.add(self.up(&all, &roots, &mut known).await?);
        }
        if direction != Direction::Up {
            edges.add(down(&all, &roots, &known));
        }
        let edges = edges.into_list();
        let mut nodes = Vec::new();
        let mut seen = HashSet::new();
        let ends = edges.iter().flat_map(|edge| [&edge.from, &edge.to]);
        for id in roots.iter().chain(ends) {
            if seen.insert(id.clone()) {
                let attributes = self.attributes(id, &known).await?;
                nodes.push(Node { id: id.clone(), attributes });
            }
        }
        Ok(Lineage { roots, nodes, edges })
    }

    async fn up(&self, all: &[Edge], roots: &[NodeId], known: &mut Known) -> Result<Vec<Edge>> {
        let mut edges = walk(all, roots, Way::Up);
        let reached: BTreeSet<&NodeId> = roots
            .iter()
            .chain(edges.iter().filter(|edge| edge.relation != Relation::Measured).map(|edge| &edge.from))
            .collect();
        let names = |kind| reached.iter().filter(move |node| node.kind == kind).map(|node| node.name.clone());
        let (tables, datasets): (Vec<String>, Vec<String>) =
            (names(NodeKind::Table).collect(), names(NodeKind::Dataset).collect());
        match roots.first().map(|root| root.kind) {
            // of what was trained, only what it was trained on
            Some(NodeKind::Dataset | NodeKind::Model | NodeKind::Alias) => {
                for dataset in datasets {
                    edges.extend(self.up_from_dataset(&dataset, known).await?);
                }
            }
            Some(NodeKind::DataFile) => {
                for root in roots {
                    edges.extend(known.logged.values().flat_map(|logged| logged.of_file(root, &[]).0));
                }
            }
            _ => {
                for table in tables {
                    edges.extend(self.log_of(&table, known).await?.map(Logged::whole).unwrap_or_default());
                }
            }
        }
        Ok(edges)
    }

    async fn up_from_dataset(&self, id: &str, known: &mut Known) -> Result<Vec<Edge>> {
        let Some(dataset) = known.recorded.datasets.iter().find(|dataset| dataset.id == id).cloned() else {
            return Ok(Vec::new());
        };
        let mut edges = Vec::new();
        for table in dataset.tables_read() {
            let logged = self.log_of(table, known).await?;
            edges.extend(logged.map(|logged| logged.pinned(&dataset)).unwrap_or_default());
        }
        Ok(edges)
    }

    /// The log of the table with this id, read if it was not; none of a table that the registry does not know.
    async fn log_of<'a>(&self, table: &str, known: &'a mut Known) -> Result<Option<&'a Logged>> {
        if !known.logged.contains_key(table)
            && let Some(found) = known.recorded.catalog.tables.get(table)
        {
            let logged = self.logged(found).await?;
            known.logged.insert(table.to_owned(), logged);
        }
        Ok(known.logged.get(table))
    }
}

/// What was made of `roots`.
fn down(all: &[Edge], roots: &[NodeId], known: &Known) -> Vec<Edge> {
    let datasets = &known.recorded.datasets;
    let mut edges = Vec::new();
    for root in roots {
        for logged in known.logged.values() {
            match root.kind {
                NodeKind::Batch => edges.extend(logged.of_batch(root, datasets)),
                NodeKind::DataFile => edges.extend(logged.of_file(root, datasets).1),
                _ => {}
            }
        }
    }
    // of a batch's table nothing is followed: what others read of it need not have this batch
    let read = edges.iter().filter(|edge| edge.to.kind == NodeKind::Dataset).map(|edge| edge.to.clone());
    let from: Vec<NodeId> = roots.iter().cloned().chain(read).collect();
    edges.extend(walk(all, &from, Way::Down));
    edges
}
