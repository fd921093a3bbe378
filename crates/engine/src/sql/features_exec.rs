//! The operator behind `features_as_of`: an as-of join whose columns are put in the set's order.

use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{
    Boundedness, ChildrenPropertiesMode, EmissionType, ReplaceChildrenOptions,
};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, InputDistributionRequirements, PlanProperties,
};
use futures::StreamExt;

use super::carried;
use crate::join::Join;

/// Finishes what the as-of join below it has found.
#[derive(Debug)]
pub(super) struct FeaturesExec {
    joined: Arc<dyn ExecutionPlan>,
    join: Arc<Join>,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl FeaturesExec {
    /// The output of `join`, whose columns are those of `schema`.
    pub(super) fn new(join: Join, schema: SchemaRef) -> Self {
        let joined = Arc::clone(join.exec()) as Arc<dyn ExecutionPlan>;
        Self::over(joined, Arc::new(join), schema)
    }

    fn over(joined: Arc<dyn ExecutionPlan>, join: Arc<Join>, schema: SchemaRef) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        Self { joined, join, schema, properties: Arc::new(properties) }
    }
}

impl DisplayAs for FeaturesExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> =
            self.schema.fields()[self.join.features_start()..].iter().map(|f| f.name().as_str()).collect();
        write!(f, "FeaturesExec: [{}]", names.join(", "))
    }
}

impl ExecutionPlan for FeaturesExec {
    fn name(&self) -> &'static str {
        "FeaturesExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.joined]
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
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
        let Ok([joined]) = <[_; 1]>::try_from(children) else {
            return internal_err!("FeaturesExec has one child");
        };
        Ok(Arc::new(Self::over(joined, Arc::clone(&self.join), Arc::clone(&self.schema))))
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let (join, schema) = (Arc::clone(&self.join), Arc::clone(&self.schema));
        let batches = self.joined.execute(partition, context)?.map(move |batch| {
            let finished = join.finish(&batch?).map_err(carried)?;
            let options = RecordBatchOptions::new().with_row_count(Some(finished.num_rows()));
            let columns = finished.columns().to_vec();
            Ok::<_, DataFusionError>(RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }
}
