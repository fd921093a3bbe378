//! `training-set`: every spine row with exactly what was known at its moment.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{Stream, StreamExt, TryStreamExt};
use hitherto_asof::Evidence;
use hitherto_core::{Build, Catalog, Dataset, Mode, Name, Selector, SetVersion, Split};
use hitherto_offline::{OutputLocation, recovered};
use hitherto_online::spans;
use tracing::Instrument;
use tracing::field::Empty;

use crate::build::Job;
use crate::engine::find_set;
use crate::join::{Join, JoinRequest, Pins};
use crate::manifest::alike_but_for_the_spine;
use crate::naming::check_name;
use crate::overtaken::{Fate, HasRead};
use crate::recording::Fence;
use crate::spine::{OpenSpine, SurveyedSpine};
use crate::split::{Splitter, shared_key};
use crate::sql::Reads;
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
    /// How its rows are told apart, if they are. A split by key without columns goes by the key that all views share.
    pub split: Option<Split>,
    /// A name by which the dataset can be asked for.
    pub name: Option<Name>,
    /// What is remembered of its making.
    pub provenance: Provenance,
    /// What becomes of a file that an earlier such request has left at the same place.
    pub existing: Existing,
}

impl TrainingSetRequest {
    /// A training set in mode `knowledge` of a spine whose prediction times are in `event_timestamp`, and nothing besides.
    pub fn new(feature_set: Selector, spine: Spine, out: OutputLocation) -> Self {
        Self {
            feature_set,
            spine,
            out,
            mode: Mode::Knowledge,
            event_timestamp: "event_timestamp".to_owned(),
            evidence: EvidenceColumns::Absent,
            split: None,
            name: None,
            provenance: Provenance::default(),
            existing: Existing::Reuse,
        }
    }
}

/// Who builds a training set and for what; decides nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Who, as far as it is known.
    pub actor: String,
    /// Free labels: a run id, a code version.
    pub tags: BTreeMap<String, String>,
}

/// What becomes of a file that an earlier, equal request has left at the same place.
#[derive(Clone, Debug, Default)]
pub enum Existing {
    /// It is the answer, if its bytes are still those that were written.
    #[default]
    Reuse,
    /// The same of a file that it has left at one of these places, and nothing is written.
    ReuseAt(Vec<OutputLocation>),
    /// It is built again, and replaced.
    Replace,
    /// It is the answer, if its bytes are still those that were written; whatever else lies there stays, and the request is
    /// refused.
    Keep,
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

/// A training set that is there.
#[derive(Clone, Debug)]
pub struct TrainingSet {
    /// Its manifest, as it is registered.
    pub dataset: Dataset,
    /// The columns of its file.
    pub schema: SchemaRef,
    /// What building it took; none where the file was there already, whole, and nothing was built.
    pub explanation: Option<Explanation>,
}

impl Engine {
    /// Build a training set, write it, and remember it as a dataset. `seen` is told how far it is.
    pub async fn training_set(
        &self,
        wanted: &TrainingSetRequest,
        seen: impl Fn(Progress) + Send + Sync,
    ) -> Result<Dataset> {
        Ok(self.explained_training_set(wanted, seen).await?.dataset)
    }

    /// The same, and what it took.
    pub async fn explained_training_set(
        &self,
        wanted: &TrainingSetRequest,
        seen: impl Fn(Progress) + Send + Sync,
    ) -> Result<TrainingSet> {
        let run = self.begin_run();
        let span = tracing::trace_span!(
            target: spans::STEP,
            "training set",
            hitherto.feature_set = %wanted.feature_set,
            hitherto.rows = Empty,
            hitherto.dataset = Empty,
            hitherto.is_reused = Empty,
            otel.status_code = Empty,
        );
        let built = self.built_training_set(wanted, seen).instrument(span.clone()).await;
        match &built {
            Ok(TrainingSet { dataset, explanation, .. }) => {
                span.record("hitherto.rows", dataset.rows as i64)
                    .record("hitherto.dataset", dataset.id.as_str())
                    .record("hitherto.is_reused", explanation.is_none());
            }
            Err(_) => {
                span.record("otel.status_code", "ERROR");
            }
        }
        drop(span);
        if let Some(run) = run {
            Box::pin(self.tell_training_set(run, wanted, &built)).await;
        }
        built
    }

    async fn built_training_set(
        &self,
        wanted: &TrainingSetRequest,
        seen: impl Fn(Progress) + Send + Sync,
    ) -> Result<TrainingSet> {
        check_name(wanted)?;
        let catalog = self.registry().catalog().await?;
        let set = find_set(&catalog, &wanted.feature_set)?;
        let split = resolved_split(wanted.split.as_ref(), set)?;
        let open = self.open_spine(&wanted.spine).await?;
        let pins = self.pin(&catalog, set).await?;
        let mut manifest = self.manifest(wanted, set, split, &pins);
        open.origin.clone_into(&mut manifest.spine);
        note_reads(&mut manifest.build, &open.reads);
        let has_read = HasRead::of(&pins, &open.reads);
        let evidence = evidence_columns(wanted.evidence);
        let request =
            JoinRequest { set, event_timestamp: &wanted.event_timestamp, mode: wanted.mode, evidence, pins: &pins };
        let planned = Join::plan(&request, open.no_rows()?, partitions())?;
        let splitter = splitter(&manifest, &open.schema, planned.schema())?;
        let schema = Arc::clone(splitter.as_ref().map_or(planned.schema(), Splitter::schema));
        let (mut spine, join) = self.join(&request, open).await?;
        if let Some(dataset) = self.reused(wanted, &manifest, &mut spine).await? {
            return Ok(TrainingSet { dataset, schema, explanation: None });
        }
        if matches!(wanted.existing, Existing::Keep) && wanted.out.exists().await? {
            let out = &wanted.out;
            return Err(Error::Invalid(format!(
                "could not write '{out}': another file is there, and it stays; name a place where none is"
            )));
        }
        let job = Job { manifest, set, pins: &pins, spine, join, splitter, out: &wanted.out };
        let known = self.registry().datasets().await?;
        let (built, explanation) = Box::pin(self.build(job, seen)).await?;
        let fence = Fence { catalog: &catalog, has_read: &has_read, fate: Fate::of(&built, &known) };
        let before = known.into_iter().find(|known| known.id == built.id);
        let dataset = self.recorded_set(wanted, built, before, &fence).await?;
        Ok(TrainingSet { dataset, schema, explanation: Some(explanation) })
    }

    /// Refuse of `wanted` what is refused before any row of its spine is read: names that there are not, columns that are
    /// missing, of a wrong type, or there twice. So rows that are still to come need not come in vain.
    pub async fn check_training_set(&self, wanted: &TrainingSetRequest) -> Result<()> {
        check_name(wanted)?;
        let catalog = self.registry().catalog().await?;
        let set = find_set(&catalog, &wanted.feature_set)?;
        let split = resolved_split(wanted.split.as_ref(), set)?;
        let open = self.open_spine(&wanted.spine).await?;
        let pins = self.pin(&catalog, set).await?;
        let manifest = self.manifest(wanted, set, split, &pins);
        let evidence = evidence_columns(wanted.evidence);
        let request =
            JoinRequest { set, event_timestamp: &wanted.event_timestamp, mode: wanted.mode, evidence, pins: &pins };
        let planned = Join::plan(&request, open.no_rows()?, partitions())?;
        splitter(&manifest, &open.schema, planned.schema())?;
        Ok(())
    }

    /// The dataset that an equal request has left where `wanted` looks for it, if its file is whole.
    async fn reused(
        &self,
        wanted: &TrainingSetRequest,
        manifest: &Dataset,
        spine: &mut SurveyedSpine,
    ) -> Result<Option<Dataset>> {
        let places = match &wanted.existing {
            Existing::Replace => return Ok(None),
            Existing::Reuse | Existing::Keep => std::slice::from_ref(&wanted.out),
            Existing::ReuseAt(places) => places.as_slice(),
        };
        let mut found = None;
        for dataset in self.registry().datasets().await? {
            let place = places.iter().find(|place| place.place() == dataset.location);
            // only then is the spine's fingerprint waited for: it is taken while the join is under way
            if let Some(place) = place
                && alike_but_for_the_spine(&dataset, manifest)?
                && dataset.spine_fingerprint == spine.fingerprint().await?
            {
                found = Some((dataset, place));
            }
        }
        let Some((dataset, place)) = found else { return Ok(None) };
        if place.sha256().await.ok().as_ref() != Some(&dataset.file_hash) {
            return Ok(None);
        }
        self.named(wanted, dataset, manifest).await.map(Some)
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
        let spine = spine.survey(time, Dataset::FORMAT).await?;
        let join = Join::plan(wanted, spine.plan()?, partitions())?;
        Ok((spine, join))
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

pub(crate) fn joining(source: DataFusionError) -> Error {
    match source.find_root() {
        DataFusionError::ResourcesExhausted(reason) => Error::Exhausted(format!(
            "could not build the training set within the memory limit: {reason}; raise --memory-limit"
        )),
        DataFusionError::External(inner) if inner.is::<hitherto_asof::Error>() => crate::join::planning(&source),
        _ => recovered("build the training set", source).into(),
    }
}

/// The evidence that a training set shows.
pub(crate) fn evidence_columns(evidence: EvidenceColumns) -> &'static [(Evidence, &'static str)] {
    match evidence {
        EvidenceColumns::Absent => &[],
        EvidenceColumns::Times => {
            &[(Evidence::EventTimestamp, "event_timestamp"), (Evidence::AvailableAt, "available_at")]
        }
    }
}

/// What the spine's query read, for whoever asks later where its rows came from.
fn note_reads(build: &mut Build, reads: &Reads) {
    for (table, read) in &reads.tables {
        build.spine_tables.insert(table.clone(), read.last_sequence);
        build.delta_versions.insert(table.clone(), read.log_version);
        if !read.erasures.is_empty() {
            build.spine_erasures.insert(table.clone(), read.erasures.clone());
        }
    }
    build.spine_asked_at = reads.asked_at;
    build.spine_views.clone_from(&reads.views);
    build.spine_datasets.clone_from(&reads.training_sets);
}

/// The splitter of a manifest's split, if it has one.
pub(crate) fn splitter(manifest: &Dataset, spine: &Schema, joined: &Schema) -> Result<Option<Splitter>> {
    let split = manifest.split.as_ref();
    split.map(|split| Splitter::try_new(split, spine, &manifest.event_timestamp, joined)).transpose()
}

/// A split by key without columns goes by the key that all views share.
fn resolved_split(wanted: Option<&Split>, set: &SetVersion) -> Result<Option<Split>> {
    Ok(match wanted {
        Some(Split::Key { columns, weights }) if columns.is_empty() => {
            Some(Split::Key { columns: shared_key(&set.resolved)?, weights: *weights })
        }
        other => other.cloned(),
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
