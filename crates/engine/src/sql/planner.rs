//! From a logical plan with nodes of ours to one that can be run.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::projection::ProjectionExpr;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use hitherto_asof::{AsOfMatch, AsOfMergeExec};

use super::asof_join::AsOfJoin;
use super::carried;
use super::features::Features;
use super::tables::QueryTables;

/// DataFusion's planner, and what it does not know.
#[derive(Debug)]
pub(super) struct Planner(pub(super) Arc<QueryTables>);

#[async_trait]
impl QueryPlanner for Planner {
    async fn create_physical_plan(
        &self,
        logical_plan: &LogicalPlan,
        session: &dyn Session,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let ours: Arc<dyn ExtensionPlanner + Send + Sync> = Arc::new(Nodes(Arc::clone(&self.0)));
        DefaultPhysicalPlanner::with_extension_planners(vec![ours]).create_physical_plan(logical_plan, session).await
    }
}

struct Nodes(Arc<QueryTables>);

#[async_trait]
impl ExtensionPlanner for Nodes {
    async fn plan_extension(
        &self,
        planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        planning: &PhysicalPlanningContext,
    ) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
        if let Some(features) = node.as_any().downcast_ref::<Features>() {
            let [spine] = physical_inputs else { return Err(odd()) };
            return features.exec(&self.0, Arc::clone(spine)).await.map(Some).map_err(carried);
        }
        let Some(join) = node.as_any().downcast_ref::<AsOfJoin>() else { return Ok(None) };
        let [left, right] = physical_inputs else { return Err(odd()) };
        let expr =
            |expr: &Expr, side: &LogicalPlan| planner.create_physical_expr(expr, side.schema(), session, planning);
        let pair = |(left, right): &(Expr, Expr)| -> DataFusionResult<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)> {
            Ok((expr(left, &join.left)?, expr(right, &join.right)?))
        };
        let ties = join.ties.iter().map(|tie| expr(tie, &join.right));
        let matching = AsOfMatch {
            keys: join.keys.iter().map(pair).collect::<DataFusionResult<_>>()?,
            left_time: expr(&join.left_time, &join.left)?,
            nearest: join.nearest,
            right_time: expr(&join.right_time, &join.right)?,
            ties: ties.collect::<DataFusionResult<Vec<Arc<dyn PhysicalExpr>>>>()?,
        };
        let schema: SchemaRef = Arc::clone(node.schema().inner());
        Ok(Some(merged(Arc::clone(left), Arc::clone(right), matching, &schema)?))
    }
}

/// The join with the columns of `schema`. A time of the left side that is computed is a column there first: what is known of the
/// order of an expression is lost between rules of the optimizer.
fn merged(
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    matching: AsOfMatch,
    schema: &SchemaRef,
) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    const TIME: &str = "__time";
    if matching.left_time.downcast_ref::<Column>().is_some() {
        return Ok(Arc::new(AsOfMergeExec::try_new(left, right, matching, Arc::clone(schema))?));
    }
    let given = left.schema().fields().len();
    let mut columns = all_of(&left.schema());
    columns.push(ProjectionExpr::new(Arc::clone(&matching.left_time), TIME));
    let left: Arc<dyn ExecutionPlan> = Arc::new(ProjectionExec::try_new(columns, left)?);
    let mut fields: Vec<FieldRef> = schema.fields().iter().cloned().collect();
    fields.insert(given, Arc::clone(&left.schema().fields()[given]));
    let wider = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    let matching = AsOfMatch { left_time: Arc::new(Column::new(TIME, given)), ..matching };
    let joined = AsOfMergeExec::try_new(left, right, matching, Arc::clone(&wider))?;
    let mut columns = all_of(&wider);
    columns.remove(given);
    Ok(Arc::new(ProjectionExec::try_new(columns, Arc::new(joined))?))
}

/// Each column as it is.
fn all_of(schema: &Schema) -> Vec<ProjectionExpr> {
    let column = |(index, field): (usize, &FieldRef)| {
        ProjectionExpr::new(Arc::new(Column::new(field.name(), index)), field.name().clone())
    };
    schema.fields().iter().enumerate().map(column).collect()
}

fn odd() -> DataFusionError {
    DataFusionError::Internal("a node of a plan has other inputs than it was made with".to_owned())
}
