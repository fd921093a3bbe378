//! The planning contract of the join; what happens at run time is in `run`.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{
    Boundedness, CardinalityEffect, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, SchedulingType,
};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements, PlanProperties,
};

use crate::run::Run;
use crate::view::Layout;
use crate::{AsOfView, Error};

/// Joins histories to a spine: for each spine row and view, the row that was known at the spine row's time.
///
/// Its columns are the spine's, untouched, then each view's output, then each view's evidence. Its rows are the spine's,
/// in the spine's order. It needs the spine in one partition.
#[derive(Debug)]
pub struct AsOfExec {
    spine: Arc<dyn ExecutionPlan>,
    spine_time: usize,
    views: Arc<[Arc<AsOfView>]>,
    layout: Layout,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl AsOfExec {
    /// A join of `views` to `spine`, whose column `spine_time` holds the moments to be answered for.
    ///
    /// That column may be a timestamp of any unit and zone; one without a zone means UTC, and nanoseconds are rounded
    /// down to microseconds. A null in it is an error when the join runs. Anything else that cannot be joined is an
    /// [`Error`] now.
    pub fn try_new(spine: Arc<dyn ExecutionPlan>, spine_time: usize, views: Vec<AsOfView>) -> Result<Self> {
        let layout = Layout::try_new(&spine.schema(), spine_time, &views)?;
        if spine.boundedness().is_unbounded() {
            let view = views.first().map_or_else(String::new, |view| view.name.clone());
            return Err(
                Error::View { view, reason: "the spine never ends, and it must be read whole".to_owned() }.into()
            );
        }
        Ok(Self::build(spine, spine_time, views.into_iter().map(Arc::new).collect(), layout))
    }

    /// The plan of the spine.
    pub fn spine(&self) -> &Arc<dyn ExecutionPlan> {
        &self.spine
    }

    /// The position of the spine's time column, in the spine and in the output.
    pub fn spine_time(&self) -> usize {
        self.spine_time
    }

    /// What is joined.
    pub fn views(&self) -> impl ExactSizeIterator<Item = &AsOfView> {
        self.views.iter().map(AsRef::as_ref)
    }

    /// Where the views' output begins, behind the spine's columns.
    pub fn output_start(&self) -> usize {
        self.spine.schema().fields().len()
    }

    /// The columns of one view's output.
    pub fn output_of(&self, view: usize) -> Range<usize> {
        self.layout.outputs[view].clone()
    }

    /// Where the evidence begins, behind all output.
    pub fn evidence_start(&self) -> usize {
        self.layout.outputs.last().map_or(self.output_start(), |last| last.end)
    }

    /// The columns of one view's evidence.
    pub fn evidence_of(&self, view: usize) -> Range<usize> {
        self.layout.evidence[view].clone()
    }

    fn build(spine: Arc<dyn ExecutionPlan>, spine_time: usize, views: Arc<[Arc<AsOfView>]>, layout: Layout) -> Self {
        // the spine's columns keep their positions, so what it says of their order holds for the output
        let orderings = spine.equivalence_properties().oeq_class().clone();
        let equivalences = EquivalenceProperties::new_with_orderings(Arc::clone(&layout.schema), orderings);
        let partitioning = Partitioning::UnknownPartitioning(1);
        let properties = PlanProperties::new(equivalences, partitioning, EmissionType::Final, Boundedness::Bounded)
            .with_scheduling_type(SchedulingType::Cooperative);
        let metrics = ExecutionPlanMetricsSet::new();
        Self { spine, spine_time, views, layout, properties: Arc::new(properties), metrics }
    }
}

impl DisplayAs for AsOfExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.spine.schema();
        let time = schema.field(self.spine_time).name();
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "AsOfExec: time={time}@{}, views=[", self.spine_time)?;
                for (position, view) in self.views().enumerate() {
                    let separator = if position == 0 { "" } else { "; " };
                    write!(f, "{separator}{view}")?;
                }
                write!(f, "]")
            }
            DisplayFormatType::TreeRender => {
                let names: Vec<&str> = self.views().map(|view| view.name.as_str()).collect();
                writeln!(f, "time={time}")?;
                write!(f, "views={}", names.join(", "))
            }
        }
    }
}

impl ExecutionPlan for AsOfExec {
    fn name(&self) -> &'static str {
        "AsOfExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.spine]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([spine]) = <[_; 1]>::try_from(children) else {
            return internal_err!("AsOfExec has one child: its spine");
        };
        let views: Vec<AsOfView> = self.views().cloned().collect();
        let layout = Layout::try_new(&spine.schema(), self.spine_time, &views)?;
        Ok(Arc::new(Self::build(spine, self.spine_time, Arc::clone(&self.views), layout)))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let spine_partitions = self.spine.output_partitioning().partition_count();
        if partition != 0 || spine_partitions != 1 {
            return internal_err!(
                "AsOfExec has one partition and reads one: asked for {partition}, the spine has {spine_partitions}"
            );
        }
        let run = Run::try_new(
            self.schema(),
            &self.spine.schema(),
            self.spine_time,
            Arc::clone(&self.views),
            MemoryConsumer::new("AsOfExec").register(context.memory_pool()),
            self.metrics.clone(),
            Arc::clone(&context),
        )?;
        let blocks = run.stream(self.spine.execute(0, context)?);
        Ok(make_cooperative(Box::pin(RecordBatchStreamAdapter::new(self.schema(), blocks))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, spine: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema());
        if let Some(spine) = spine.first() {
            statistics.num_rows = spine.num_rows;
            for (ours, theirs) in statistics.column_statistics.iter_mut().zip(&spine.column_statistics) {
                *ours = theirs.clone();
            }
        }
        Ok(Arc::new(statistics))
    }

    /// A spine row alone decides its output row: a limit may be taken before the join.
    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}
