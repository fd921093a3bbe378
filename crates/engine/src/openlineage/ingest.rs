//! The run of an ingest: files in, a table's history out.

use hitherto_core::{Name, Table};
use hitherto_offline::input::{Input, Role, TargetColumn};
use hitherto_offline::{CREATED, EVENT};
use serde_json::Value;

use super::Run;
use super::columns::{ColumnOrigins, How, Source, first_columns};
use super::event::{EventDataset, Field, Told, namespace};
use super::failure::message;
use super::place::{Place, bounded};
use crate::ingest::Feed;
use crate::{Engine, Error, Ingested, Result};

impl Engine {
    /// Tell of an ingest that has ended; `fed` is what it fed, and the columns that its files had of it.
    pub(crate) async fn tell_ingest(
        &self,
        run: Run,
        view: &Name,
        input: &Input,
        fed: Option<(&Feed, Vec<&TargetColumn>)>,
        done: &Result<Ingested>,
    ) {
        let mut ended =
            Told { job: format!("ingest.{view}"), failure: done.as_ref().err().map(message), ..Told::default() };
        let files = files(input);
        ended.inputs = files.iter().cloned().map(EventDataset::at).collect();
        if let Some((feed, columns)) = fed.filter(|(_, columns)| !columns.is_empty()) {
            let fields: Vec<Field> = columns.iter().map(|column| source_field(feed, view, column)).collect();
            let fields = first_columns(&fields, files.len());
            ended.inputs = ended.inputs.into_iter().map(|file| file.with_schema(fields)).collect();
            if let Some((last, rows)) = self.appended(&feed.table, done).await {
                let output = self.event_table(&feed.table, last).with_output(rows, None);
                ended.outputs.push(output.with_column_lineage(lineage(&files, &columns)));
            }
        }
        self.tell(&run, ended).await;
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

/// Where the files are; what is above them, where they are many.
pub(super) fn files(input: &Input) -> Vec<Place> {
    bounded(input.places().filter_map(|place| Place::of(&place)))
}

fn table_fields(table: &Table) -> Vec<Field> {
    let field = |name: &str, value_type: String| Field { name: name.to_owned(), value_type, description: None };
    let keys = table.keys.iter().map(|(name, key_type)| field(name.as_str(), key_type.to_string()));
    let created = (table.created == hitherto_core::Created::Column).then(|| field(CREATED, "timestamp".to_owned()));
    let columns = table.columns.iter().map(|(name, value_type)| field(name.as_str(), value_type.to_string()));
    keys.chain([field(EVENT, "timestamp".to_owned())]).chain(created).chain(columns).collect()
}

/// A column of a source; of a feature as the latest version that has it describes it.
fn source_field(feed: &Feed, view: &Name, column: &TargetColumn) -> Field {
    let live = feed.catalog.live_versions(view.as_str());
    let features = live.iter().rev().flat_map(|version| &version.definition.features);
    let is_feature = column.role == Role::Feature;
    let feature = features.filter(|_| is_feature).find(|feature| feature.name.as_str() == column.name);
    Field {
        name: column.source.clone(),
        value_type: column.value_type.to_string(),
        description: feature.and_then(|feature| feature.notes.description.clone()),
    }
}

fn lineage(files: &[Place], columns: &[&TargetColumn]) -> Value {
    let mut origins = ColumnOrigins::default();
    for column in columns {
        let from = files.iter().map(|file| Source { place: file.clone(), field: column.source.clone() });
        origins.add(&column.name, from, How::Same);
    }
    origins.into_facet(&[])
}
