//! What the columns of a training set came from.

use std::collections::{BTreeMap, HashSet};

use arrow::datatypes::Schema;
use hitherto_core::{Catalog, Created, Dataset, SetVersion, Split, ViewUse};
use hitherto_offline::{CREATED, EVENT};
use serde_json::{Map, Value, json};

use super::place::Place;
use crate::transform::Read;
use crate::{Result, SPLIT_COLUMN, Transforms};

/// A column that is read.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) place: Place,
    pub(super) field: String,
}

/// What becomes of a column that is read.
#[derive(Clone, Copy, Debug)]
pub(super) enum How<'a> {
    /// Its values are those that were read.
    Same,
    /// They are computed.
    Computed(&'a str),
    /// They decide which row is read.
    Joined,
}

/// Columns of a dataset that are told.
const COLUMNS_MAX: usize = 1000;
/// Columns of all inputs of an event that are told, and the same again for what the columns of its output came from: some
/// megabytes, which services take.
const INPUTS_MAX: usize = 10_000;

/// As many of the columns of each of so many datasets as an event tells.
pub(super) fn first_columns<T>(columns: &[T], datasets: usize) -> &[T] {
    let most = COLUMNS_MAX.min(INPUTS_MAX / datasets.max(1));
    &columns[..columns.len().min(most)]
}

/// What output columns came from. Beyond the bounds nothing more is told.
#[derive(Debug, Default)]
pub(super) struct ColumnOrigins {
    columns: Map<String, Value>,
    inputs: usize,
}

impl ColumnOrigins {
    /// That a column came from these.
    pub(super) fn add(&mut self, column: &str, from: impl IntoIterator<Item = Source>, how: How<'_>) {
        let inputs: Vec<Value> = from.into_iter().map(|from| input(&from, how)).collect();
        if self.columns.len() < COLUMNS_MAX && self.inputs + inputs.len() <= INPUTS_MAX {
            self.inputs += inputs.len();
            self.columns.insert(column.to_owned(), json!({"inputFields": inputs}));
        }
    }

    /// The body of a `columnLineage` facet; `dataset` decided which rows there are.
    pub(super) fn into_facet(self, dataset: &[Source]) -> Value {
        let dataset = dataset.iter().take(INPUTS_MAX).map(|from| input(from, How::Joined));
        match dataset.collect::<Vec<Value>>() {
            joined if joined.is_empty() => json!({"fields": self.columns}),
            joined => json!({"fields": self.columns, "dataset": joined}),
        }
    }
}

fn input(from: &Source, how: How<'_>) -> Value {
    let transformation = match how {
        How::Same => json!({"type": "DIRECT", "subtype": "IDENTITY"}),
        How::Computed(text) => json!({"type": "DIRECT", "subtype": "TRANSFORMATION", "description": text}),
        How::Joined => json!({"type": "INDIRECT", "subtype": "JOIN"}),
    };
    json!({
        "namespace": from.place.namespace,
        "name": from.place.name(),
        "field": from.field,
        "transformations": [transformation],
    })
}

/// A training set whose columns are to be told.
#[derive(Debug)]
pub(super) struct TrainingColumns<'a> {
    pub(super) dataset: &'a Dataset,
    pub(super) set: &'a SetVersion,
    pub(super) catalog: &'a Catalog,
    /// The columns of its file.
    pub(super) schema: &'a Schema,
    /// The files of its spine; none where it was a query.
    pub(super) spine: &'a [Place],
    /// Where the history of each table is, by its id.
    pub(super) places: &'a BTreeMap<&'a str, Place>,
}

/// How many columns of a training set's file are its spine's: all but those that its feature set and its split have added,
/// which are the last.
pub(super) fn spine_columns(dataset: &Dataset, set: &SetVersion, schema: &Schema) -> usize {
    let resolved = &set.resolved;
    let evidence = if dataset.evidence { 2 * resolved.uses.len() } else { 0 };
    let added = resolved.outputs.len() + resolved.transforms.len() + evidence + usize::from(dataset.split.is_some());
    schema.fields().len().saturating_sub(added)
}

impl TrainingColumns<'_> {
    /// The body of a `columnLineage` facet.
    pub(super) fn lineage(&self) -> Result<Value> {
        let mut origins = ColumnOrigins::default();
        let count = spine_columns(self.dataset, self.set, self.schema);
        for field in self.schema.fields().iter().take(count) {
            origins.add(field.name(), self.of_spine(field.name()), How::Same);
        }
        for output in &self.set.resolved.outputs {
            let from = self.set.resolved.uses.get(output.view_use);
            let from = from.and_then(|view_use| self.of_table(view_use, output.feature.as_str()));
            origins.add(&output.name, from, How::Same);
        }
        self.transforms(&mut origins)?;
        if self.dataset.evidence {
            self.evidence(&mut origins);
        }
        if let Some(split) = &self.dataset.split {
            let columns = match split {
                Split::Time { .. } => std::slice::from_ref(&self.dataset.event_timestamp),
                Split::Key { columns, .. } => columns,
            };
            let from = columns.iter().flat_map(|column| self.of_spine(column));
            origins.add(SPLIT_COLUMN, from, How::Computed("train, validation or test"));
        }
        Ok(origins.into_facet(&self.joined()))
    }

    fn transforms(&self, origins: &mut ColumnOrigins) -> Result<()> {
        let resolved = &self.set.resolved;
        let compiled = Transforms::compile(resolved)?;
        for (transform, reads) in resolved.transforms.iter().zip(compiled.reads()) {
            let mut from = Vec::new();
            for read in reads {
                match read {
                    Read::Feature(index) => {
                        let output = &resolved.outputs[index];
                        let view_use = resolved.uses.get(output.view_use);
                        from.extend(view_use.and_then(|view_use| self.of_table(view_use, output.feature.as_str())));
                    }
                    Read::Request(field) => from.extend(self.of_spine(&field)),
                    Read::Time => from.extend(self.of_spine(&self.dataset.event_timestamp)),
                }
            }
            origins.add(transform.name.as_str(), from, How::Computed(&transform.expr));
        }
        Ok(())
    }

    fn evidence(&self, origins: &mut ColumnOrigins) {
        for view_use in &self.set.resolved.uses {
            let event = self.of_table(view_use, EVENT);
            origins.add(&format!("{}__event_timestamp", view_use.alias), event.clone(), How::Same);
            let created = self.has_created(view_use).then(|| self.of_table(view_use, CREATED)).flatten();
            let from = event.into_iter().chain(created);
            origins.add(&format!("{}__available_at", view_use.alias), from, How::Computed("when it could be known"));
        }
    }

    /// Keys and times: they decide which row of a history stands in which row.
    fn joined(&self) -> Vec<Source> {
        let mut joined: Vec<Source> = self.of_spine(&self.dataset.event_timestamp).collect();
        for view_use in &self.set.resolved.uses {
            for key in &view_use.keys {
                joined.extend(self.of_spine(&key.spine_column));
                joined.extend(self.of_table(view_use, key.name.as_str()));
            }
            joined.extend(self.of_table(view_use, EVENT));
            joined.extend(self.has_created(view_use).then(|| self.of_table(view_use, CREATED)).flatten());
        }
        let mut seen = HashSet::new();
        joined.retain(|from| seen.insert((from.place.clone(), from.field.clone())));
        joined
    }

    fn has_created(&self, view_use: &ViewUse) -> bool {
        self.catalog.tables.get(&view_use.table).is_some_and(|table| table.created == Created::Column)
    }

    fn of_spine(&self, column: &str) -> impl Iterator<Item = Source> {
        self.spine.iter().map(move |place| Source { place: place.clone(), field: column.to_owned() })
    }

    fn of_table(&self, view_use: &ViewUse, column: &str) -> Option<Source> {
        let place = self.places.get(view_use.table.as_str())?.clone();
        Some(Source { place, field: column.to_owned() })
    }
}
