//! `training-set`: every spine row with exactly what was known at its moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{Stream, StreamExt, TryStreamExt};
use hitherto_asof::Evidence;
use hitherto_core::{Catalog, Dataset, Mode, Name, Selector, SetVersion};
use hitherto_offline::input::Input;
use hitherto_offline::{OutputLocation, Written, recovered, spine_of_batches, write_parquet};

use hitherto_registry::Recorded;

use crate::engine::find_set;
use crate::fingerprint::{dataset_id, fingerprint};
use crate::join::{Join, JoinParts, Pins};
use crate::{Engine, Error, Result};

/// What a training set is asked for with.
#[derive(Clone, Debug)]
pub struct TrainingSetRequest {
    /// The feature set.
    pub feature_set: Selector,
    /// The rows to be enriched.
    pub spine: Spine,
    /// Where the Parquet file goes.
    pub out: OutputLocation,
    /// Which rows it may see.
    pub mode: Mode,
    /// The spine's column of prediction times.
    pub event_timestamp: String,
    /// Whether the winners' times follow the features.
    pub evidence: EvidenceColumns,
    /// A name by which the dataset can be asked for.
    pub name: Option<Name>,
}

/// The rows to be enriched.
#[derive(Clone, Debug)]
pub enum Spine {
    /// Files: Parquet, CSV or newline-delimited JSON.
    Input(Input),
    /// Rows in memory.
    Batches(RecordBatch),
    /// A query over feature history.
    Sql(String),
}

/// Whether a training set says where its values come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvidenceColumns {
    /// No.
    #[default]
    Absent,
    /// Per view `view__event_timestamp` and `view__available_at` of the winner.
    Times,
}

/// A spine in memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) schema: SchemaRef,
    pub(crate) batches: Vec<RecordBatch>,
    /// What the manifest calls it.
    pub(crate) origin: String,
}

impl Engine {
    /// Build a training set, write it, and remember it as a dataset. `seen` is told how many rows are written.
    pub async fn training_set(&self, wanted: &TrainingSetRequest, seen: impl Fn(u64) + Send + Sync) -> Result<Dataset> {
        let catalog = self.registry().catalog().await?;
        let set = find_set(&catalog, &wanted.feature_set)?;
        let spine = self.load_spine(&wanted.spine).await?;
        let pins = self.pin(&catalog, set).await?;
        let (dataset, _) = self.build(wanted, set, spine, &pins, seen).await?;
        if let Recorded::Existing(first) = self.registry().record_dataset(&dataset).await?
            && first.file_hash != dataset.file_hash
        {
            tracing::warn!(
                dataset = dataset.id,
                "the same request gave another file before: {} then, {} now; another version of the writer may encode otherwise",
                first.file_hash,
                dataset.file_hash
            );
        }
        Ok(dataset)
    }

    /// The rows of `spine` with a set's features, by the offline rule as history stands now; nothing is written.
    pub async fn features_at(&self, feature_set: Selector, spine: &Spine) -> Result<RecordBatch> {
        let catalog = self.registry().catalog().await?;
        let set = find_set(&catalog, &feature_set)?;
        let spine = self.load_spine(spine).await?;
        let pins = self.pin(&catalog, set).await?;
        let join = Join::plan(JoinParts {
            set,
            spine: spine_of_batches(spine.schema, spine.batches)?,
            event_timestamp: "event_timestamp",
            mode: Mode::Knowledge,
            evidence: &[],
            pins: &pins,
            partitions: partitions(),
        })?;
        let schema = Arc::clone(join.schema());
        let batches: Vec<RecordBatch> = run(join)?.try_collect().await?;
        arrow::compute::concat_batches(&schema, &batches)
            .map_err(|source| Error::internal("could not join batches", source))
    }

    /// Build from what is pinned; nothing is recorded.
    pub(crate) async fn build(
        &self,
        wanted: &TrainingSetRequest,
        set: &SetVersion,
        spine: Loaded,
        pins: &Pins,
        seen: impl Fn(u64) + Send + Sync,
    ) -> Result<(Dataset, Written)> {
        let spine_fingerprint = fingerprint(&spine.schema, &spine.batches)?;
        let origin = spine.origin.clone();
        let rows_in: usize = spine.batches.iter().map(RecordBatch::num_rows).sum();
        let evidence: &[_] = match wanted.evidence {
            EvidenceColumns::Absent => &[],
            EvidenceColumns::Times => {
                &[(Evidence::EventTimestamp, "event_timestamp"), (Evidence::AvailableAt, "available_at")]
            }
        };
        let join = Join::plan(JoinParts {
            set,
            spine: spine_of_batches(spine.schema, spine.batches)?,
            event_timestamp: &wanted.event_timestamp,
            mode: wanted.mode,
            evidence,
            pins,
            partitions: partitions(),
        })?;
        let mut dataset = Dataset {
            id: String::new(),
            name: wanted.name.clone(),
            feature_set: set.versioned_name(),
            feature_set_hash: set.hash.clone(),
            mode: wanted.mode,
            spine: origin,
            spine_fingerprint,
            event_timestamp: wanted.event_timestamp.clone(),
            evidence: wanted.evidence == EvidenceColumns::Times,
            tables: pins.iter().map(|(id, pinned)| (id.clone(), pinned.last_sequence())).collect(),
            location: wanted.out.place().to_owned(),
            rows: 0,
            file_hash: String::new(),
            built_at: self.clock().now(),
        };
        dataset.id = dataset_id(&dataset)?;
        let metadata = [("hitherto.dataset", dataset.id.clone()), ("hitherto.mode", mode_name(wanted.mode).to_owned())];
        let metadata: Vec<_> = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let schema = Arc::clone(join.schema());
        let written = write_parquet(&wanted.out, schema, offline(run(join)?), metadata, &seen).await?;
        if written.rows != rows_in as u64 {
            return Err(Error::internal("rows out are not rows in", format!("{} rows of {rows_in}", written.rows)));
        }
        dataset.rows = written.rows;
        dataset.file_hash.clone_from(&written.sha256);
        Ok((dataset, written))
    }

    /// The tables that `set` reads, as they stand now.
    pub(crate) async fn pin(&self, catalog: &Catalog, set: &SetVersion) -> Result<Pins> {
        let mut pins = BTreeMap::new();
        for view_use in &set.resolved.uses {
            if !pins.contains_key(&view_use.table) {
                let table = catalog.tables.get(&view_use.table);
                let table = table
                    .ok_or_else(|| Error::internal("a feature set reads an unknown table", view_use.table.clone()))?;
                pins.insert(view_use.table.clone(), self.history(table)?.pin().await?);
            }
        }
        Ok(pins)
    }

    /// Read a spine whole.
    pub(crate) async fn load_spine(&self, spine: &Spine) -> Result<Loaded> {
        match spine {
            Spine::Input(input) => {
                let batches = input.stream().await.map_err(hitherto_offline::Error::from)?;
                let schema = batches.schema();
                let batches: Vec<RecordBatch> = batches.try_collect().await.map_err(hitherto_offline::Error::from)?;
                Ok(Loaded { schema, batches, origin: input.places().collect::<Vec<_>>().join(" ") })
            }
            Spine::Batches(batch) => {
                Ok(Loaded { schema: batch.schema(), batches: vec![batch.clone()], origin: "rows in memory".to_owned() })
            }
            Spine::Sql(query) => {
                let rows = self.sql(query).await?;
                let schema = rows.schema();
                let batches = rows
                    .try_collect()
                    .await
                    .map_err(|error| crate::sql::failed("could not run the spine's query", &error))?;
                Ok(Loaded { schema, batches, origin: query.clone() })
            }
        }
    }
}

/// Execute a join and finish its batches.
pub(crate) fn run(join: Join) -> Result<impl Stream<Item = Result<RecordBatch>> + Send> {
    let config = SessionConfig::new().with_target_partitions(partitions());
    let context = SessionContext::new_with_config(config).task_ctx();
    let plan: Arc<dyn ExecutionPlan> = Arc::clone(join.exec()) as Arc<dyn ExecutionPlan>;
    let joined: SendableRecordBatchStream =
        plan.execute(0, context).map_err(|source| crate::join::planning(&source))?;
    Ok(joined.map(move |batch| {
        let batch = batch.map_err(joining)?;
        join.finish(&batch)
    }))
}

fn joining(source: datafusion::error::DataFusionError) -> Error {
    match source.find_root() {
        datafusion::error::DataFusionError::External(inner) if inner.is::<hitherto_asof::Error>() => {
            crate::join::planning(&source)
        }
        _ => recovered("build the training set", source).into(),
    }
}

/// The writer takes the offline store's errors; ours go through it and come back.
fn offline(
    stream: impl Stream<Item = Result<RecordBatch>> + Send,
) -> impl Stream<Item = hitherto_offline::Result<RecordBatch>> + Send {
    stream.map_err(|error| match error {
        Error::Offline(error) => error,
        other => hitherto_offline::Error::Invalid(other.to_string()),
    })
}

/// How many parts of a history are read at once.
pub(crate) fn partitions() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZero::get)
}

pub(crate) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Knowledge => "knowledge",
        Mode::Event => "event",
    }
}
