//! Rows of a history that a query wants, file after file.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use hitherto_asof::{NarrowPass, ScanCounters};

use super::PinnedTable;
use super::columns::{Assembled, Layout};
use super::fault::carried;
use super::footer::{Footer, Group};
use super::morsel::{Morsel, Piece, Skipped, share};
use super::prune::Pruner;
use super::wanted::Wanted;
use crate::log::DataFile;
use crate::{Error, Result};

/// Reads what may be wanted, and says what it leaves closed.
#[derive(Debug)]
pub(super) struct HistoryExec {
    pinned: PinnedTable,
    wanted: Wanted,
    layout: Arc<Layout>,
    /// Row groups, in the order of files.
    morsels: Vec<Morsel>,
    skipped: Skipped,
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
        let partitions = partitions.clamp(1, morsels.len().max(1));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(layout.schema())),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let properties = Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative));
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { pinned, wanted, layout, morsels, skipped, properties, metrics })
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
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
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
            pass: pass(&self.wanted, counters),
            layout: Arc::clone(&self.layout),
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
        let mut statistics = Statistics::new_unknown(self.layout.schema());
        // pages may be left out, and rows beyond the pin are
        statistics.num_rows = Precision::Inexact(rows as usize);
        Ok(Arc::new(statistics))
    }
}

/// One partition's reading.
#[derive(Clone)]
struct Scan {
    pinned: PinnedTable,
    pass: NarrowPass,
    layout: Arc<Layout>,
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

    /// The rows of a row group in pages that may have wanted ones.
    async fn pieces(&self, morsel: Morsel) -> Result<BoxStream<'static, Result<Piece>>> {
        let counters = &self.pass.counters;
        let footer = self.pinned.footer(morsel.file).await?;
        let pruner = Pruner { table: self.pinned.table(), pass: &self.pass };
        if !pruner.may_match_bloom(&self.pinned, morsel).await? {
            counters.groups_skipped.add(1);
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
        Ok(self.pinned.pieces_of(morsel, ranges, &self.layout, self.batch_size, &counters.bytes_read))
    }
}
