//! The planning contract of the merge.

use std::fmt;
use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{
    Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, Partitioning, PhysicalExpr,
    PhysicalSortExpr,
};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions, SchedulingType, apply_expression_roots,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements, PlanProperties,
};

use super::side::{Merge, Side};
use crate::Error;

/// Which row of the right side is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Nearest {
    /// The last one with `left >= right`.
    AtOrBefore,
    /// The last one with `left > right`.
    Before,
    /// The first one with `left <= right`.
    AtOrAfter,
    /// The first one with `left < right`.
    After,
}

impl Nearest {
    /// Whether an equal time matches.
    pub(super) fn takes_equal(self) -> bool {
        matches!(self, Self::AtOrBefore | Self::AtOrAfter)
    }

    /// How times are sorted, so that the rows that match come first, the nearest one last of them.
    fn time_order(self) -> SortOptions {
        SortOptions { descending: matches!(self, Self::AtOrAfter | Self::After), nulls_first: true }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::AtOrBefore => ">=",
            Self::Before => ">",
            Self::AtOrAfter => "<=",
            Self::After => "<",
        }
    }
}

/// How rows are matched. Each expression is over the columns of its side; those that are compared are of one type.
#[derive(Clone, Debug)]
pub struct AsOfMatch {
    /// What has to be equal, left and right; a null matches nothing. Without any, all rows have one key.
    pub keys: Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)>,
    /// The left side's time.
    pub left_time: Arc<dyn PhysicalExpr>,
    /// Which row of the right side is wanted.
    pub nearest: Nearest,
    /// The right side's time.
    pub right_time: Arc<dyn PhysicalExpr>,
    /// Of right rows with one key and one time, the greatest by these wins, nulls being least. Unless they make the order
    /// total, the answer depends on the order in which equal rows come.
    pub ties: Vec<Arc<dyn PhysicalExpr>>,
}

/// Joins to each row of the left side the nearest row of the right side; its columns are null where there is none.
///
/// The rows of the left side come out sorted by key and time within a partition.
#[derive(Debug)]
pub struct AsOfMergeExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    matching: AsOfMatch,
    schema: SchemaRef,
    left_order: LexOrdering,
    right_order: LexOrdering,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl AsOfMergeExec {
    /// A join whose output has the columns of `schema`: those of the left side, then those of the right side, which are
    /// nullable.
    pub fn try_new(
        left: Arc<dyn ExecutionPlan>,
        right: Arc<dyn ExecutionPlan>,
        matching: AsOfMatch,
        schema: SchemaRef,
    ) -> Result<Self> {
        check(&left.schema(), &right.schema(), &matching, &schema)?;
        let plain = SortOptions { descending: false, nulls_first: true };
        let sorted = |expr: &Arc<dyn PhysicalExpr>, options| PhysicalSortExpr { expr: Arc::clone(expr), options };
        let time_order = matching.nearest.time_order();
        let keys = matching.keys.iter().map(|(left, _)| sorted(left, plain));
        let left_order = LexOrdering::new(keys.chain([sorted(&matching.left_time, time_order)]));
        let keys = matching.keys.iter().map(|(_, right)| sorted(right, plain));
        let ties = matching.ties.iter().map(|tie| sorted(tie, plain));
        let right_order = LexOrdering::new(keys.chain([sorted(&matching.right_time, time_order)]).chain(ties));
        let (Some(left_order), Some(right_order)) = (left_order, right_order) else {
            return internal_err!("an as-of join is sorted by its times");
        };
        let partitions = left.output_partitioning().partition_count();
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let properties = Arc::new(properties.with_scheduling_type(SchedulingType::Cooperative));
        let metrics = ExecutionPlanMetricsSet::new();
        Ok(Self { left, right, matching, schema, left_order, right_order, properties, metrics })
    }
}

/// Whether the sides, the match and the output fit each other.
fn check(left: &Schema, right: &Schema, matching: &AsOfMatch, schema: &Schema) -> Result<()> {
    let types = left.fields().iter().chain(right.fields()).map(|field| field.data_type());
    if !types.eq(schema.fields().iter().map(|field| field.data_type())) {
        return internal_err!("the output of an as-of join has the columns of both sides");
    }
    let times = (&matching.left_time, &matching.right_time);
    for (ours, theirs) in matching.keys.iter().map(|(left, right)| (left, right)).chain([times]) {
        let (ours, theirs) = (ours.data_type(left)?, theirs.data_type(right)?);
        if ours != theirs || ours.is_floating() {
            let reason = format!("{ours} cannot be matched with {theirs}: cast both to one type that is no float");
            return Err(Error::View { view: "the right side".to_owned(), reason }.into());
        }
    }
    Ok(())
}

impl DisplayAs for AsOfMergeExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AsOfMatch { keys, left_time, nearest, right_time, .. } = &self.matching;
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "AsOfMergeExec: match={left_time} {} {right_time}, keys=[", nearest.sign())?;
            }
            DisplayFormatType::TreeRender => {
                writeln!(f, "match={left_time} {} {right_time}", nearest.sign())?;
                write!(f, "keys=[")?;
            }
        }
        for (position, (left, right)) in keys.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{left} = {right}")?;
        }
        write!(f, "]")
    }
}

impl ExecutionPlan for AsOfMergeExec {
    fn name(&self) -> &'static str {
        "AsOfMergeExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        if self.matching.keys.is_empty() {
            return InputDistributionRequirements::new(vec![
                Distribution::SinglePartition,
                Distribution::SinglePartition,
            ]);
        }
        let (left, right) = self.matching.keys.iter().cloned().unzip();
        InputDistributionRequirements::co_partitioned(vec![
            Distribution::KeyPartitioned(left),
            Distribution::KeyPartitioned(right),
        ])
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        vec![
            Some(OrderingRequirements::from(self.left_order.clone())),
            Some(OrderingRequirements::from(self.right_order.clone())),
        ]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let AsOfMatch { keys, left_time, right_time, ties, .. } = &self.matching;
        let keys = keys.iter().flat_map(|(left, right)| [left, right]);
        apply_expression_roots(keys.chain([left_time, right_time]).chain(ties), f)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Ok([left, right]) = <[_; 2]>::try_from(children) else {
            return internal_err!("AsOfMergeExec has two children");
        };
        Ok(Arc::new(Self::try_new(left, right, self.matching.clone(), Arc::clone(&self.schema))?))
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let partitions = [&self.left, &self.right].map(|side| side.output_partitioning().partition_count());
        if partitions[0] != partitions[1] {
            return internal_err!("AsOfMergeExec merges like partitions: there are {partitions:?}");
        }
        let memory = MemoryConsumer::new(format!("AsOfMergeExec[{partition}]")).register(context.memory_pool());
        let AsOfMatch { keys, left_time, nearest, right_time, .. } = &self.matching;
        let (left_keys, right_keys) = keys.iter().cloned().unzip();
        let left = self.left.execute(partition, Arc::clone(&context))?;
        let right = self.right.execute(partition, context)?;
        let order = nearest.time_order();
        let left = Side::try_new(left, left_keys, Arc::clone(left_time), order)?;
        let right = Side::try_new(right, right_keys, Arc::clone(right_time), order)?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let merge = Merge::new(left, right, *nearest, Arc::clone(&self.schema), memory, metrics);
        let blocks = RecordBatchStreamAdapter::new(Arc::clone(&self.schema), merge.stream());
        Ok(make_cooperative(Box::pin(blocks)))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}
