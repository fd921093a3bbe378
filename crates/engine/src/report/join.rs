//! The joins behind a report, in one operator.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{Field, FieldRef, Schema};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{Stream, TryStreamExt};
use hitherto_asof::{AsOfExec, AsOfView, Evidence, Visibility};
use hitherto_core::{Name, SetVersion, Span, ViewUse};
use hitherto_offline::TableSource;
use hitherto_offline::input::convert_time_down;
use hitherto_offline::types::arrow_type;

use super::unwithheld::Unwithheld;
use super::view::{Side, Tally};
use crate::join::spine_column;
use crate::rebuild::Origins;
use crate::training_set::{joining, partitions};
use crate::{Engine, Error, Result};

const EVIDENCE: [(Evidence, &str); 3] =
    [(Evidence::EventTimestamp, "event"), (Evidence::AvailableAt, "available"), (Evidence::Sequence, "sequence")];

/// Joins of every view of a set to the spine: by what was available, by event time, and, where there is a better delay, by
/// what would have been available with it.
pub(super) struct ReportJoin<'a> {
    set: &'a SetVersion,
    time: usize,
    exec: Arc<AsOfExec>,
    /// Per view of the set: which view of the operator has its answer with the better delay.
    delayed: Vec<Option<usize>>,
}

impl<'a> ReportJoin<'a> {
    /// Of what a dataset was built from; `better` is a better delay per view, where there is one.
    pub(super) fn plan(origins: &Origins<'a>, event_timestamp: &str, better: &[Option<Span>]) -> Result<Self> {
        let set = origins.set;
        let schema = &origins.spine.schema;
        let time = time_column(schema, event_timestamp)?;
        let (mut views, mut delayed) = (Vec::new(), Vec::new());
        for (index, view_use) in set.resolved.uses.iter().enumerate() {
            let columns = columns(set, index);
            for (visibility, what) in [(Visibility::Available, "known"), (Visibility::Event, "leaked")] {
                let declared = view_use.source_delay;
                views.push(view(origins, view_use, &columns, &format!("__{what}_{index}"), visibility, declared)?);
            }
        }
        for (index, view_use) in set.resolved.uses.iter().enumerate() {
            let better = better.get(index).copied().flatten();
            delayed.push(better.map(|_| views.len()));
            if let Some(delay) = better {
                let prefix = format!("__delayed_{index}");
                views.push(view(origins, view_use, &[], &prefix, Visibility::Available, delay)?);
            }
        }
        let exec =
            AsOfExec::try_new(origins.spine.plan()?, time, views).map_err(|error| crate::join::planning(&error))?;
        Ok(Self { set, time, exec: Arc::new(exec), delayed })
    }

    /// Tallies of nothing yet, per view of the set.
    pub(super) fn tallies(&self) -> Vec<Tally> {
        let side = |view: usize| Side { values: self.exec.output_of(view), evidence: self.exec.evidence_of(view) };
        let uses = self.set.resolved.uses.iter().enumerate();
        let tally = |(index, view_use): (usize, &ViewUse)| {
            let names = self.set.resolved.outputs.iter().filter(|output| output.view_use == index);
            let names = names.map(|output| output.name.clone()).collect();
            Tally::new(names, view_use.ttl, side(2 * index), side(2 * index + 1), self.delayed[index].map(side))
        };
        uses.map(tally).collect()
    }

    /// The moments of a batch's rows.
    pub(super) fn moments(&self, batch: &RecordBatch) -> Result<TimestampMicrosecondArray> {
        micros(batch.column(self.time))
    }
}

impl Engine {
    /// The batches of a report's joins.
    pub(super) fn report_batches(
        &self,
        join: &ReportJoin<'_>,
    ) -> Result<impl Stream<Item = Result<RecordBatch>> + Send + Unpin + use<>> {
        self.report_rows(&(Arc::clone(&join.exec) as Arc<dyn ExecutionPlan>))
    }

    /// The rows of a plan of one partition.
    pub(super) fn report_rows(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
    ) -> Result<impl Stream<Item = Result<RecordBatch>> + Send + Unpin + use<>> {
        let config = SessionConfig::new().with_target_partitions(partitions());
        let context = SessionContext::new_with_config_rt(config, Arc::clone(self.runtime())).task_ctx();
        Ok(plan.execute(0, context).map_err(|error| crate::join::planning(&error))?.map_err(joining))
    }
}

/// The column of prediction times.
pub(super) fn time_column(spine: &Schema, name: &str) -> Result<usize> {
    spine_column(spine, name, || "the times of prediction".to_owned())
}

/// Moments in microseconds, rounded as the join rounds them.
pub(super) fn micros(times: &ArrayRef) -> Result<TimestampMicrosecondArray> {
    debug_assert!(times.logical_null_count() == 0, "a spine has no null times");
    convert_time_down(times).map_err(|source| Error::Invalid(format!("the spine's times: {source}")))
}

/// The features of one view in the set's order, and their types.
fn columns(set: &SetVersion, index: usize) -> Vec<(&Name, arrow::datatypes::DataType)> {
    let outputs = set.resolved.outputs.iter().filter(|output| output.view_use == index);
    outputs.map(|output| (&output.feature, arrow_type(&output.value_type))).collect()
}

/// One join: without a ttl, and with tombstones that win, so that a winner is told whether or not its values are withheld.
fn view(
    origins: &Origins<'_>,
    view_use: &ViewUse,
    columns: &[(&Name, arrow::datatypes::DataType)],
    prefix: &str,
    visibility: Visibility,
    delay: Span,
) -> Result<AsOfView> {
    let pinned = origins.pins.get(&view_use.table);
    let pinned = pinned.ok_or_else(|| Error::internal("a table is not pinned", view_use.table.clone()))?;
    let mut features: Vec<&Name> = Vec::new();
    let mut output: Vec<(usize, FieldRef)> = Vec::new();
    for (place, (feature, data_type)) in columns.iter().enumerate() {
        let known = features.iter().position(|known| known == feature);
        let payload = known.unwrap_or_else(|| {
            features.push(feature);
            features.len() - 1
        });
        output.push((payload, Arc::new(Field::new(format!("{prefix}_{place}"), data_type.clone(), true))));
    }
    let key = |key: &hitherto_core::SpineKey| {
        spine_column(&origins.spine.schema, &key.spine_column, || format!("key '{}' of {}", key.name, view_use.alias))
    };
    Ok(AsOfView {
        name: view_use.alias.to_string(),
        source: Arc::new(Unwithheld(TableSource::try_new(pinned.clone(), features, partitions())?)),
        spine_keys: view_use.keys.iter().map(key).collect::<Result<_>>()?,
        source_delay_us: delay.micros(),
        ttl_us: None,
        visibility,
        output,
        evidence: EVIDENCE.map(|(kind, name)| (kind, format!("{prefix}_{name}"))).to_vec(),
    })
}
