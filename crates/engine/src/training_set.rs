//! `training-set`: every spine row with exactly what was known at its moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{Stream, StreamExt, TryStreamExt};
use hitherto_asof::{AsOfExec, Evidence};
use hitherto_core::{Catalog, Dataset, Mode, Name, Selector, SetVersion};
use hitherto_offline::{OutputLocation, PinnedTable, recovered, write_parquet};
use hitherto_registry::Recorded;

use crate::engine::find_set;
use crate::fingerprint::dataset_id;
use crate::join::{Join, JoinRequest, Pins};
use crate::spine::{OpenSpine, SurveyedSpine};
use crate::{Engine, Error, Explanation, Result, Spine};

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

/// Whether a training set says where its values come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EvidenceColumns {
    /// No.
    #[default]
    Absent,
    /// Per view `view__event_timestamp` and `view__available_at` of the winner.
    Times,
}

/// How far a training set is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// History is being read: rows so far, and rows that there are (fewer are read where some can be skipped).
    Reading(u64, u64),
    /// Rows are being written: rows so far, and rows of the spine.
    Writing(u64, u64),
}

impl Engine {
    /// Build a training set, write it, and remember it as a dataset. `seen` is told how far it is.
    pub async fn training_set(
        &self,
        wanted: &TrainingSetRequest,
        seen: impl Fn(Progress) + Send + Sync,
    ) -> Result<Dataset> {
        Ok(self.explained_training_set(wanted, seen).await?.0)
    }

    /// The same, and what it took.
    pub async fn explained_training_set(
        &self,
        wanted: &TrainingSetRequest,
        seen: impl Fn(Progress) + Send + Sync,
    ) -> Result<(Dataset, Explanation)> {
        let catalog = self.registry().catalog().await?;
        let set = find_set(&catalog, &wanted.feature_set)?;
        let spine = self.open_spine(&wanted.spine).await?;
        let pins = self.pin(&catalog, set).await?;
        let (mut dataset, explanation) = self.build(wanted, set, spine, &pins, None, seen).await?;
        dataset.audit_head = self.registry().audit_head().await?;
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
        self.anchor().await;
        Ok((dataset, explanation))
    }

    /// The rows of `spine` with a set's features, by the offline rule as history stands now; nothing is written.
    pub async fn features_at(&self, feature_set: Selector, spine: &Spine) -> Result<RecordBatch> {
        let catalog = self.registry().catalog().await?;
        let set = find_set(&catalog, &feature_set)?;
        let spine = self.open_spine(spine).await?;
        let pins = self.pin(&catalog, set).await?;
        let request =
            JoinRequest { set, event_timestamp: "event_timestamp", mode: Mode::Knowledge, evidence: &[], pins: &pins };
        let join = self.join(&request, spine).await?.1;
        let schema = Arc::clone(join.schema());
        let batches: Vec<RecordBatch> = self.run(join)?.try_collect().await?;
        arrow::compute::concat_batches(&schema, &batches)
            .map_err(|source| Error::internal("could not join batches", source))
    }

    /// Plan a join over `spine`, and survey it once it is known that it can be joined.
    pub(crate) async fn join(&self, wanted: &JoinRequest<'_>, spine: OpenSpine) -> Result<(SurveyedSpine, Join)> {
        let time = Join::plan(wanted, spine.no_rows()?, partitions())?.spine_time();
        let spine = spine.survey(time).await?;
        let join = Join::plan(wanted, spine.plan()?, partitions())?;
        Ok((spine, join))
    }

    /// Build from what is pinned, `again` if it was built before; nothing is recorded.
    pub(crate) async fn build(
        &self,
        wanted: &TrainingSetRequest,
        set: &SetVersion,
        spine: OpenSpine,
        pins: &Pins,
        again: Option<&Dataset>,
        seen: impl Fn(Progress) + Send + Sync,
    ) -> Result<(Dataset, Explanation)> {
        let evidence: &[_] = match wanted.evidence {
            EvidenceColumns::Absent => &[],
            EvidenceColumns::Times => {
                &[(Evidence::EventTimestamp, "event_timestamp"), (Evidence::AvailableAt, "available_at")]
            }
        };
        let request = JoinRequest { set, event_timestamp: &wanted.event_timestamp, mode: wanted.mode, evidence, pins };
        let (mut spine, join) = self.join(&request, spine).await?;
        if let Some(first) = again {
            refuse_another_spine(first, &spine.fingerprint().await?)?;
        }
        let mut dataset = Dataset {
            id: String::new(),
            name: wanted.name.clone(),
            feature_set: set.versioned_name(),
            feature_set_hash: set.hash.clone(),
            mode: wanted.mode,
            spine: spine.origin.clone(),
            spine_fingerprint: String::new(),
            event_timestamp: wanted.event_timestamp.clone(),
            evidence: wanted.evidence == EvidenceColumns::Times,
            tables: pins.iter().map(|(id, pinned)| (id.clone(), pinned.last_sequence())).collect(),
            location: wanted.out.place().to_owned(),
            rows: 0,
            file_hash: String::new(),
            built_at: self.clock().now(),
            audit_head: None,
        };
        let spine_rows = spine.rows;
        let metadata = async {
            dataset.spine_fingerprint = spine.fingerprint().await.map_err(carried)?;
            dataset.id = dataset_id(&dataset).map_err(carried)?;
            let mode = mode_name(wanted.mode).to_owned();
            Ok(vec![("hitherto.dataset".to_owned(), dataset.id.clone()), ("hitherto.mode".to_owned(), mode)])
        };
        let (schema, exec) = (Arc::clone(join.schema()), Arc::clone(join.exec()));
        let rows = offline(self.run(join)?);
        let writing = |rows| seen(Progress::Writing(rows, spine_rows));
        let written = {
            let writing = write_parquet(&wanted.out, schema, rows, metadata, writing);
            telling(&exec, history_rows(set, pins), &seen, writing).await?
        };
        if written.rows != spine.rows {
            return Err(Error::internal(
                "rows out are not rows in",
                format!("{} rows of {}", written.rows, spine.rows),
            ));
        }
        dataset.rows = written.rows;
        dataset.file_hash.clone_from(&written.sha256);
        Ok((dataset, Explanation::of(&exec)))
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

    /// Execute a join and finish its batches.
    pub(crate) fn run(&self, join: Join) -> Result<impl Stream<Item = Result<RecordBatch>> + Send + use<>> {
        let config = SessionConfig::new().with_target_partitions(partitions());
        let context = SessionContext::new_with_config_rt(config, Arc::clone(self.runtime())).task_ctx();
        let plan: Arc<dyn ExecutionPlan> = Arc::clone(join.exec()) as Arc<dyn ExecutionPlan>;
        let joined: SendableRecordBatchStream =
            plan.execute(0, context).map_err(|source| crate::join::planning(&source))?;
        Ok(joined.map(move |batch| {
            let batch = batch.map_err(joining)?;
            join.finish(&batch)
        }))
    }
}

/// How often progress is told while history is read.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// Drives `work`, and tells how much of the history is read until the first rows are written.
async fn telling<T>(
    exec: &AsOfExec,
    history_rows: u64,
    seen: &(impl Fn(Progress) + Send + Sync),
    work: impl Future<Output = T> + Send,
) -> T {
    let mut work = std::pin::pin!(work);
    let mut ticks = tokio::time::interval(TELL_EVERY);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = ticks.tick() => {
                if exec.metrics().and_then(|metrics| metrics.output_rows()).unwrap_or(0) == 0 {
                    let read = exec.metrics().and_then(|metrics| metrics.sum_by_name("probed_rows"));
                    seen(Progress::Reading(read.map_or(0, |read| read.as_usize()) as u64, history_rows));
                }
            }
        }
    }
}

/// The rows of all histories that a set reads, each as often as it is read.
fn history_rows(set: &SetVersion, pins: &Pins) -> u64 {
    let tables = set.resolved.uses.iter().filter_map(|view_use| pins.get(&view_use.table));
    tables.flat_map(PinnedTable::files).map(|file| file.rows).sum()
}

fn joining(source: DataFusionError) -> Error {
    match source.find_root() {
        DataFusionError::ResourcesExhausted(reason) => Error::Exhausted(format!(
            "could not build the training set within the memory limit: {reason}; raise --memory-limit"
        )),
        DataFusionError::External(inner) if inner.is::<hitherto_asof::Error>() => crate::join::planning(&source),
        _ => recovered("build the training set", source).into(),
    }
}

/// The writer takes the offline store's errors; ours go through it and come back.
pub(crate) fn offline(
    stream: impl Stream<Item = Result<RecordBatch>> + Send,
) -> impl Stream<Item = hitherto_offline::Result<RecordBatch>> + Send {
    stream.map_err(carried)
}

fn carried(error: Error) -> hitherto_offline::Error {
    match error {
        Error::Offline(error) => error,
        other => hitherto_offline::Error::Invalid(other.to_string()),
    }
}

fn refuse_another_spine(first: &Dataset, found: &str) -> Result<()> {
    if found == first.spine_fingerprint {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "the spine is not the one that dataset {} was built from: its rows hash to {found}, not {}; give the original with \
         --spine",
        first.id, first.spine_fingerprint
    )))
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
