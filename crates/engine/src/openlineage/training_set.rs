//! The run of a training set: a spine and histories in, a file out.

use std::collections::BTreeSet;

use hitherto_core::{Catalog, Selector, SetVersion};
use hitherto_offline::types::type_name;

use super::Run;
use super::columns::{TrainingColumns, first_columns, spine_columns};
use super::event::{EventDataset, Field, Told};
use super::failure::message;
use super::ingest::files;
use super::place::Place;
use crate::engine::find_set;
use crate::sql::views_of;
use crate::{Engine, Result, Spine, TrainingSet, TrainingSetRequest};

impl Engine {
    /// Tell of a training set that was built, found as it was built before, or not built.
    pub(crate) async fn tell_training_set(&self, run: Run, wanted: &TrainingSetRequest, built: &Result<TrainingSet>) {
        let mut ended = Told {
            job: format!("training_set.{}", wanted.feature_set.name()),
            query: match &wanted.spine {
                Spine::Sql(query) | Spine::SqlThen { query, .. } => Some(query.clone()),
                _ => None,
            },
            failure: built.as_ref().err().map(message),
            ..Told::default()
        };
        let spine = match &wanted.spine {
            Spine::Input(input) | Spine::Columns { file: input, .. } => files(input),
            Spine::Batches(_) | Spine::Sql(_) | Spine::SqlThen { .. } => Vec::new(),
        };
        let catalog = self.registry().catalog().await.unwrap_or_default();
        let wanted_set = match built {
            Ok(built) => Selector::Version(built.dataset.feature_set.clone()),
            Err(_) => wanted.feature_set.clone(),
        };
        let set = find_set(&catalog, &wanted_set).ok();
        ended.inputs = spine.iter().map(|place| event_spine(place, spine.len(), set, built)).collect();
        ended.inputs.extend(self.event_histories(&catalog, set, &wanted.spine, built));
        if let (Ok(built), Some(set)) = (built, set)
            && let Some(place) = Place::of(&built.dataset.location)
        {
            ended.outputs.push(self.event_file(place, built, set, &catalog, &spine));
        }
        self.tell(&run, ended).await;
    }

    /// The histories that were read: of the feature set's views, and those that the spine's query names.
    fn event_histories(
        &self,
        catalog: &Catalog,
        set: Option<&SetVersion>,
        spine: &Spine,
        built: &Result<TrainingSet>,
    ) -> Vec<EventDataset> {
        let mut ids: BTreeSet<&str> = BTreeSet::new();
        ids.extend(set.into_iter().flat_map(|set| &set.resolved.uses).map(|view_use| view_use.table.as_str()));
        if let Spine::Sql(query) | Spine::SqlThen { query, .. } = spine {
            let views = views_of(catalog, query).unwrap_or_default();
            ids.extend(views.into_iter().map(|view| view.table.as_str()));
        }
        let last = |table: &str| built.as_ref().ok().and_then(|built| built.dataset.last_sequence_read(table));
        let tables = ids.into_iter().filter_map(|id| catalog.tables.get(id));
        tables.map(|table| self.event_table(table, last(&table.id))).collect()
    }

    fn event_file(
        &self,
        place: Place,
        built: &TrainingSet,
        set: &SetVersion,
        catalog: &Catalog,
        spine: &[Place],
    ) -> EventDataset {
        let dataset = &built.dataset;
        let places = catalog.tables.values().map(|table| (table.id.as_str(), self.place_of(table))).collect();
        let columns = TrainingColumns { dataset, set, catalog, schema: &built.schema, spine, places: &places };
        let bytes = Some(dataset.build.file_bytes).filter(|bytes| *bytes > 0);
        let file = EventDataset::at(place)
            .with_schema(&fields(built, set))
            .with_version(&dataset.id)
            .with_output(dataset.rows, bytes);
        match columns.lineage() {
            Ok(lineage) => file.with_column_lineage(lineage),
            // it compiled when the set was applied
            Err(error) => {
                tracing::warn!(%error, "the columns of a training set cannot be told");
                file
            }
        }
    }
}

/// One of so many files of a spine.
fn event_spine(place: &Place, files: usize, set: Option<&SetVersion>, built: &Result<TrainingSet>) -> EventDataset {
    let spine = EventDataset::at(place.clone());
    let (Ok(built), Some(set)) = (built, set) else { return spine };
    let count = spine_columns(&built.dataset, set, &built.schema);
    spine.with_schema(first_columns(&fields(built, set)[..count], files)).with_version(&built.dataset.spine_fingerprint)
}

/// The columns of a training set's file.
fn fields(built: &TrainingSet, set: &SetVersion) -> Vec<Field> {
    let outputs = &set.resolved.outputs;
    let transforms = &set.resolved.transforms;
    let described = |name: &str| {
        let transform = transforms.iter().find(|transform| transform.name.as_str() == name);
        let output = outputs.iter().find(|output| output.name == name);
        match (transform, output) {
            (Some(transform), _) => Some(transform.expr.clone()),
            (None, Some(output)) => {
                let view_use = set.resolved.uses.get(output.view_use)?;
                Some(format!("{}:{}", view_use.view, output.feature))
            }
            (None, None) => None,
        }
    };
    let field = |field: &arrow::datatypes::FieldRef| Field {
        name: field.name().clone(),
        value_type: type_name(field.data_type()),
        description: described(field.name()),
    };
    built.schema.fields().iter().map(field).collect()
}
