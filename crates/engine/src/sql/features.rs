//! `features_as_of`: the rows of a query with the features that were known at their times, as a training set has them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef};
use datafusion::common::{DFSchema, DFSchemaRef, TableReference};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore};
use datafusion::physical_plan::ExecutionPlan;
use hitherto_core::{Catalog, Mode, Selector, SetVersion};
use hitherto_offline::types::arrow_type;

use super::features_exec::FeaturesExec;
use super::tables::QueryTables;
use crate::engine::find_set;
use crate::join::{Join, JoinRequest, Pins};
use crate::training_set::{mode_name, partitions};
use crate::{Error, Result, Transforms};

/// A spine and what is joined to it.
#[derive(Clone, Debug)]
pub(super) struct Features {
    spine: LogicalPlan,
    set: Arc<SetVersion>,
    mode: Mode,
    event_timestamp: String,
    schema: DFSchemaRef,
}

impl Features {
    /// The plan of a feature set's features for the rows of `spine`.
    pub(super) fn plan(
        catalog: &Catalog,
        set: &str,
        spine: LogicalPlan,
        mode: Mode,
        event_timestamp: String,
    ) -> Result<LogicalPlan> {
        let failed = |error| super::recovered("could not plan the spine", error);
        let selector = set.parse::<Selector>().map_err(|error| Error::Invalid(error.to_string()))?;
        let set = Arc::new(find_set(catalog, &selector)?.clone());
        refuse_twins(&spine)?;
        // one name for all of it, whatever it was made of
        let spine =
            LogicalPlanBuilder::from(spine).alias("spine").and_then(LogicalPlanBuilder::build).map_err(failed)?;
        let added = added(&set)?;
        let known: HashSet<&str> = spine.schema().fields().iter().map(|field| field.name().as_str()).collect();
        if let Some(clash) = added.iter().find(|field| known.contains(field.name().as_str())) {
            let name = clash.name();
            return Err(Error::Invalid(format!(
                "the spine has a column '{name}', and so has {}: rename the spine's, or the feature with `as:`",
                set.versioned_name()
            )));
        }
        let schema = schema(&spine, added).map_err(failed)?;
        let node = Arc::new(Self { spine, set, mode, event_timestamp, schema });
        Ok(LogicalPlan::Extension(Extension { node }))
    }

    /// The operator over a plan of the spine; the tables that it reads are pinned.
    pub(super) async fn exec(
        &self,
        tables: &QueryTables,
        spine: Arc<dyn ExecutionPlan>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut pins: Pins = BTreeMap::new();
        for view_use in &self.set.resolved.uses {
            pins.insert(view_use.table.clone(), tables.pin(&view_use.table).await?);
        }
        let request = JoinRequest {
            set: &self.set,
            event_timestamp: &self.event_timestamp,
            mode: self.mode,
            evidence: &[],
            pins: &pins,
        };
        let join = Join::plan(&request, spine, partitions())?;
        Ok(Arc::new(FeaturesExec::new(join, Arc::clone(self.schema.inner()))))
    }

    fn spine_columns(&self) -> usize {
        self.spine.schema().fields().len()
    }
}

/// Features and transforms, in the set's order.
fn added(set: &SetVersion) -> Result<Vec<FieldRef>> {
    let outputs = set.resolved.outputs.iter();
    let features = outputs.map(|output| Arc::new(Field::new(&output.name, arrow_type(&output.value_type), true)));
    let transforms = Transforms::compile(&set.resolved)?;
    Ok(features.chain(transforms.fields().cloned()).collect())
}

fn schema(spine: &LogicalPlan, added: Vec<FieldRef>) -> DataFusionResult<DFSchemaRef> {
    let ours = spine.schema().iter().map(|(table, field)| (table.cloned(), Arc::clone(field)));
    let added = added.into_iter().map(|field| (None::<TableReference>, field));
    let metadata = spine.schema().metadata().clone();
    Ok(Arc::new(DFSchema::new_with_metadata(ours.chain(added).collect(), metadata)?))
}

/// A spine's columns are known by their names alone.
fn refuse_twins(spine: &LogicalPlan) -> Result<()> {
    let mut seen = HashSet::new();
    match spine.schema().fields().iter().find(|field| !seen.insert(field.name())) {
        None => Ok(()),
        Some(twin) => {
            Err(Error::Invalid(format!("the spine has two columns '{}': give one of them another name", twin.name())))
        }
    }
}

impl PartialEq for Features {
    fn eq(&self, other: &Self) -> bool {
        let of = |node: &Self| (node.set.versioned_name(), node.mode, node.event_timestamp.clone());
        of(self) == of(other) && self.spine == other.spine
    }
}

impl Eq for Features {}

impl Hash for Features {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.set.versioned_name().hash(state);
        self.mode.hash(state);
        self.event_timestamp.hash(state);
        self.spine.hash(state);
    }
}

impl PartialOrd for Features {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let of = |node: &Self| (node.set.versioned_name(), mode_name(node.mode), node.event_timestamp.clone());
        Some(of(self).cmp(&of(other)).then(self.spine.partial_cmp(&other.spine)?))
    }
}

impl UserDefinedLogicalNodeCore for Features {
    fn name(&self) -> &'static str {
        "FeaturesAsOf"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.spine]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    /// What is asked of the spine is asked before anything is joined to it.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        self.schema.fields()[self.spine_columns()..].iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (set, mode, at) = (self.set.versioned_name(), mode_name(self.mode), &self.event_timestamp);
        write!(f, "FeaturesAsOf: {set}, mode={mode}, at={at}")
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> DataFusionResult<Self> {
        let odd = || DataFusionError::Internal("the features of a spine have one input and no expressions".to_owned());
        let [spine] = <[LogicalPlan; 1]>::try_from(inputs).map_err(|_| odd())?;
        if !exprs.is_empty() {
            return Err(odd());
        }
        let added = self.schema.fields()[self.spine_columns()..].to_vec();
        let schema = schema(&spine, added)?;
        Ok(Self { spine, schema, ..self.clone() })
    }

    /// All of the spine: keys, time and request fields are found by name when the tables are pinned.
    fn necessary_children_exprs(&self, _output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![(0..self.spine_columns()).collect()])
    }
}
