//! Rows of a history that a query wants, file after file.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, SchedulingType, apply_expression_roots,
};
use datafusion::physical_plan::filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use hitherto_asof::{NarrowPass, ScanCounters};

use super::PinnedTable;
use super::columns::{Assembled, Column, Layout};
use super::fault::{carried, recovered};
use super::footer::{Footer, Group};
use super::morsel::{Morsel, Piece, Selected, Skipped, share};
use super::prune::Pruner;
use super::sieve::{Held, Passed, Sieve};
use super::statistics::ends;
use super::told::told;
use super::wanted::Wanted;
use crate::log::DataFile;
use crate::{Error, Result};

/// Reads what may be wanted, and says what it leaves closed.
#[derive(Debug)]
pub(super) struct HistoryExec {
    pinned: PinnedTable,
    wanted: Wanted,
    layout: Arc<Layout>,
    /// What rows are held against while they are read.
    sieve: Sieve,
    /// Row groups, in the order of files.
    morsels: Arc<[Morsel]>,
    skipped: Skipped,
    /// The ends of columns.
    ends: Arc<Statistics>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl HistoryExec {
    /// The columns of `layout` of the rows that may be `wanted`, in as many as `partitions` parts.
    pub(super) async fn try_new(
        pinned: PinnedTable,
        wanted: Wanted,
        layout: Arc<Layout>,
        partitions: usize,
    ) -> Result<Self> {
        let pass = pass(&wanted, ScanCounters::unregistered());
        let (morsels, skipped) = {
            let pruner = Pruner { table: pinned.table(), pass: &pass };
            let in_file = |file: &DataFile| wanted.may_match_commit(file) && pruner.may_match_file(file);
            let in_group = |footer: &Footer, index, group: &Group| pruner.may_match_group(footer, index, group);
            pinned.chosen_morsels(in_file, in_group).await?
        };
        let mut extents = Vec::with_capacity(morsels.len());
        for morsel in &morsels {
            extents.push(pinned.footer(morsel.file).await?.groups[morsel.group].extent);
        }
        let ends = Arc::new(ends(&layout, &extents, pinned.table().created));
        let partitions = partitions.clamp(1, morsels.len().max(1));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(layout.schema())),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let properties = Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative));
        let metrics = ExecutionPlanMetricsSet::new();
        let (sieve, morsels) = (Sieve::default(), morsels.into());
        Ok(Self { pinned, wanted, layout, sieve, morsels, skipped, ends, properties, metrics })
    }

    /// The same reading, with more that rows are held against.
    fn sieved(&self, sieve: Sieve) -> Self {
        Self {
            pinned: self.pinned.clone(),
            wanted: self.wanted.clone(),
            layout: Arc::clone(&self.layout),
            sieve,
            morsels: Arc::clone(&self.morsels),
            skipped: self.skipped,
            ends: Arc::clone(&self.ends),
            properties: Arc::clone(&self.properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// Whether exactly the rows of its row groups come.
    fn is_whole(&self) -> bool {
        let is_pinned = |morsel: &Morsel| morsel.last_sequence.is_some_and(|last| last <= self.pinned.last_sequence());
        self.wanted.is_everything() && self.sieve.is_empty() && self.morsels.iter().all(is_pinned)
    }

    fn partitions(&self) -> usize {
        self.properties.output_partitioning().partition_count()
    }

    fn counters(&self, partition: usize) -> ScanCounters {
        let count = |name: &'static str| MetricBuilder::new(&self.metrics).counter(name, partition);
        ScanCounters {
            files: count("files"),
            files_skipped: count("files_skipped"),
            groups: count("groups"),
            groups_skipped: count("groups_skipped"),
            bloom_groups_skipped: count("bloom_groups_skipped"),
            group_rows: count("group_rows"),
            page_rows_skipped: count("page_rows_skipped"),
            bytes_read: count("bytes_read"),
        }
    }
}

fn pass(wanted: &Wanted, counters: ScanCounters) -> NarrowPass {
    NarrowPass { bounds: wanted.bounds.clone(), keys: Arc::clone(&wanted.keys), counters }
}

impl DisplayAs for HistoryExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.pinned.files().len();
        let read: BTreeSet<usize> = self.morsels.iter().map(|morsel| morsel.file).collect();
        let groups = self.morsels.len() + self.skipped.groups;
        write!(f, "HistoryExec: table={}, files={}/{files}", self.pinned.table().id, read.len())?;
        write!(f, ", row_groups={}/{groups}, columns=[", self.morsels.len())?;
        for (position, field) in self.layout.schema().fields().iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{}", field.name())?;
        }
        write!(f, "]")
    }
}

impl ExecutionPlan for HistoryExec {
    fn name(&self) -> &'static str {
        "HistoryExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        apply_expression_roots(self.sieve.conditions(), f)
    }

    /// Filters are taken, and refused all the same: whoever sent one looks at the rows that come.
    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        filters: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> DataFusionResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let sieve = self.sieve.with(filters.parent_filters.iter().map(|asked| Arc::clone(&asked.filter)));
        let refused: FilterPushdownPropagation<Arc<dyn ExecutionPlan>> =
            FilterPushdownPropagation::all_unsupported(filters);
        Ok(match sieve {
            Some(sieve) => refused.with_updated_node(Arc::new(self.sieved(sieve))),
            None => refused,
        })
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("HistoryExec has no children") }
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let counters = self.counters(partition);
        if partition == 0 {
            counters.files.add(self.pinned.files().len());
            counters.files_skipped.add(self.skipped.files);
            counters.groups.add(self.morsels.len() + self.skipped.groups);
            counters.groups_skipped.add(self.skipped.groups);
        }
        let morsels = share(&self.morsels, self.partitions(), partition);
        let scan = Scan {
            pinned: self.pinned.clone(),
            wanted: self.wanted.clone(),
            counters,
            layout: Arc::clone(&self.layout),
            sieve: self.sieve.clone(),
            passed: Arc::default(),
            batch_size: context.session_config().batch_size(),
        };
        let baseline = BaselineMetrics::new(&self.metrics, partition);
        let batches =
            scan.rows(morsels).map_err(carried).inspect_ok(move |batch| baseline.record_output(batch.num_rows()));
        let batches = RecordBatchStreamAdapter::new(Arc::clone(self.layout.schema()), batches);
        Ok(make_cooperative(Box::pin(batches)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _: &[Arc<Statistics>],
        args: &StatisticsArgs,
    ) -> DataFusionResult<Arc<Statistics>> {
        let rows: u64 = match args.partition() {
            Some(partition) => {
                share(&self.morsels, self.partitions(), partition).iter().map(|morsel| morsel.rows).sum()
            }
            None => self.morsels.iter().map(|morsel| morsel.rows).sum(),
        };
        let mut statistics = self.ends.as_ref().clone();
        statistics.num_rows = if self.is_whole() {
            Precision::Exact(rows as usize)
        } else {
            // pages may be left out, and rows beyond the pin are
            Precision::Inexact(rows as usize)
        };
        Ok(Arc::new(statistics))
    }
}

/// One partition's reading.
#[derive(Clone)]
struct Scan {
    pinned: PinnedTable,
    wanted: Wanted,
    counters: ScanCounters,
    layout: Arc<Layout>,
    sieve: Sieve,
    /// How much of it passed the sieve so far.
    passed: Arc<Passed>,
    batch_size: usize,
}

impl Scan {
    fn rows(self, morsels: Vec<Morsel>) -> BoxStream<'static, Result<RecordBatch>> {
        stream::iter(morsels)
            .then(move |morsel| {
                let scan = self.clone();
                async move { scan.pieces(morsel).await }
            })
            .try_flatten()
            .map(|piece| {
                let Assembled { batch, within } = piece?.assembled;
                let Some(within) = within else { return Ok(batch) };
                filter_record_batch(&batch, &within).map_err(|error| Error::arrow("leave out later rows", error))
            })
            .try_filter(|batch| futures::future::ready(batch.num_rows() > 0))
            .boxed()
    }

    /// The rows of a row group in pages that may have wanted ones, without most of those that the sieve holds back.
    async fn pieces(&self, morsel: Morsel) -> Result<BoxStream<'static, Result<Piece>>> {
        let (counters, table) = (&self.counters, self.pinned.table());
        let footer = self.pinned.footer(morsel.file).await?;
        let conditions = self.sieve.by_now().map_err(|error| recovered("look at a condition", error))?;
        let pass = if self.sieve.is_growing() {
            let told: Vec<Expr> = conditions.iter().filter_map(told).collect();
            pass(&self.wanted.narrowed(&told, table), counters.clone())
        } else {
            pass(&self.wanted, counters.clone())
        };
        let pruner = Pruner { table, pass: &pass };
        if !pruner.may_match_group(footer, morsel.group, &footer.groups[morsel.group]) {
            counters.groups_skipped.add(1);
            return Ok(stream::empty().boxed());
        }
        if !pruner.may_match_bloom(&self.pinned, morsel).await? {
            counters.groups_skipped.add(1);
            counters.bloom_groups_skipped.add(1);
            return Ok(stream::empty().boxed());
        }
        let ranges = pruner.rows_in_pages(footer, morsel);
        counters.group_rows.add(morsel.rows as usize);
        if let Some(ranges) = &ranges {
            let kept: u64 = ranges.iter().map(|range| range.end - range.start).sum();
            counters.page_rows_skipped.add((morsel.rows - kept) as usize);
            if kept == 0 {
                return Ok(stream::empty().boxed());
            }
        }
        let unnumbered = !self.needs_numbers(footer, morsel);
        let filter = if unnumbered && !conditions.is_empty() && self.passed.is_worth_it() {
            let held = Held { pinned: &self.pinned, file: morsel.file, footer, layout: &self.layout };
            held.filter(conditions, &self.passed).map_err(|error| recovered("hold rows against a condition", error))?
        } else {
            None
        };
        let selected = Selected { ranges, filter, unnumbered };
        Ok(self.pinned.pieces_of(morsel, selected, &self.layout, self.batch_size, &counters.bytes_read))
    }

    /// Whether a row's `_sequence` is asked for, by the query or by the pin, and comes from its place in the file.
    fn needs_numbers(&self, footer: &Footer, morsel: Morsel) -> bool {
        let is_asked = self.layout.columns().contains(&Column::Sequence);
        let is_cut = morsel.last_sequence.is_none_or(|last| last > self.pinned.last_sequence());
        !footer.has_sequence && (is_asked || is_cut)
    }
}
