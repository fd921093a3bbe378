//! The run of an ingest: files in, a table's history out.

use std::collections::HashSet;

use hitherto_core::{Name, Selector, Table, ViewVersion};
use hitherto_offline::input::Input;
use hitherto_offline::{CREATED, EVENT};
use serde_json::{Map, Value};

use super::Run;
use super::columns::{How, Source, column};
use super::event::{EventDataset, Field, Told, namespace};
use super::failure::message;
use super::place::Place;
use crate::engine::find_view;
use crate::{Engine, Error, Ingested, Result};

/// So many files are named one by one; of more, their folders are.
const FILES_MAX: usize = 64;

impl Engine {
    /// Tell of an ingest that has ended.
    pub(crate) async fn tell_ingest(&self, run: Run, view: &Name, input: &Input, done: &Result<Ingested>) {
        let mut told =
            Told { job: format!("ingest.{view}"), failure: done.as_ref().err().map(message), ..Told::default() };
        let files = files(input);
        let catalog = self.registry().catalog().await.ok();
        let found = catalog.as_ref().and_then(|catalog| {
            let latest = find_view(catalog, &Selector::Latest(view.clone())).ok()?;
            Some((latest, catalog.tables.get(&latest.table)?))
        });
        let Some((latest, table)) = found else {
            told.inputs = files.into_iter().map(EventDataset::at).collect();
            return self.tell(&run, told).await;
        };
        let columns = source_columns(latest, table);
        let fields: Vec<Field> = columns.iter().map(|(_, field)| field.clone()).collect();
        told.inputs = files.iter().map(|file| EventDataset::at(file.clone()).with_schema(&fields)).collect();
        if let Some((last, rows)) = self.appended(table, done).await {
            let output = self.event_table(table, last).with_output(rows, None);
            told.outputs.push(output.with_column_lineage(lineage(&files, &columns)));
        }
        self.tell(&run, told).await;
    }

    /// The last `_sequence` of a table after an ingest, and how many rows it appended; none where it failed before that.
    async fn appended(&self, table: &Table, done: &Result<Ingested>) -> Option<(Option<i64>, u64)> {
        match done {
            Ok(Ingested { commit: Some(commit), .. }) => Some((Some(commit.last_sequence), commit.rows)),
            // nothing changed: the table is as it was
            Ok(_) => {
                let history = self.history(table).ok()?;
                Some((history.pin().await.ok().map(|pinned| pinned.last_sequence()), 0))
            }
            // the rows are in history all the same
            Err(Error::NotOnline { sequences: Some((first, last)), .. }) => {
                Some((Some(*last), (last - first + 1).cast_unsigned()))
            }
            Err(_) => None,
        }
    }

    /// A table's history, up to a `_sequence`: what its folder holds, by the name of its view too.
    pub(super) fn event_table(&self, table: &Table, last_sequence: Option<i64>) -> EventDataset {
        let mut dataset = EventDataset::at(self.place_of(table))
            .with_schema(&table_fields(table))
            .with_name(&namespace(self.project()), table.view.as_str());
        if let Some(last) = last_sequence {
            dataset = dataset.with_version(&last.to_string());
        }
        dataset
    }

    /// Where a table's folder is.
    pub(super) fn place_of(&self, table: &Table) -> Place {
        let url = self.offline().url();
        let store = match url.to_file_path() {
            Ok(folder) => Place::of(&folder.display().to_string()),
            Err(()) => Place::of(url.as_str()),
        };
        // an URL of a store is never `-`
        let store = store.unwrap_or(Place { namespace: String::new(), name: String::new(), uri: String::new() });
        store.join(table.view.as_str()).join(&table.id)
    }
}

/// Where the files are; their folders, where they are many.
pub(super) fn files(input: &Input) -> Vec<Place> {
    let all: Vec<Place> = input.places().filter_map(|place| Place::of(&place)).collect();
    let mut seen = HashSet::new();
    if all.len() <= FILES_MAX {
        return all.into_iter().filter(|place| seen.insert(place.clone())).collect();
    }
    all.iter().map(Place::folder).filter(|place| seen.insert(place.clone())).collect()
}

fn table_fields(table: &Table) -> Vec<Field> {
    let field = |name: &str, value_type: String| Field { name: name.to_owned(), value_type, description: None };
    let keys = table.keys.iter().map(|(name, key_type)| field(name.as_str(), key_type.to_string()));
    let created = (table.created == hitherto_core::Created::Column).then(|| field(CREATED, "timestamp".to_owned()));
    let columns = table.columns.iter().map(|(name, value_type)| field(name.as_str(), value_type.to_string()));
    keys.chain([field(EVENT, "timestamp".to_owned())]).chain(created).chain(columns).collect()
}

/// The columns that a view takes from its source, each with the column of the table that it becomes.
fn source_columns(view: &ViewVersion, table: &Table) -> Vec<(String, Field)> {
    let definition = &view.definition;
    let field = |name: &str, value_type: String, description: Option<String>| Field {
        name: name.to_owned(),
        value_type,
        description,
    };
    let mut columns = Vec::new();
    for key in &view.keys {
        columns.push((key.name.to_string(), field(&key.column, key.key_type.to_string(), None)));
    }
    columns.push((EVENT.to_owned(), field(&definition.event_timestamp, "timestamp".to_owned(), None)));
    if let (hitherto_core::Created::Column, Some(created)) = (table.created, &definition.created_timestamp) {
        columns.push((CREATED.to_owned(), field(created, "timestamp".to_owned(), None)));
    }
    for feature in &definition.features {
        let described = feature.notes.description.clone();
        columns.push((feature.name.to_string(), field(&feature.column, feature.value_type.to_string(), described)));
    }
    columns
}

fn lineage(files: &[Place], columns: &[(String, Field)]) -> Value {
    let of = |(name, source): &(String, Field)| {
        let from = files.iter().map(|file| Source { place: file.clone(), field: source.name.clone() });
        (name.clone(), column(from, How::Same))
    };
    let fields: Map<String, Value> = columns.iter().map(of).collect();
    serde_json::json!({"fields": fields})
}
