//! What an ordinary join would have leaked: the same spine in both modes, row by row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::compute::kernels::cmp::distinct;
use arrow::datatypes::TimestampMicrosecondType;
use futures::TryStreamExt;
use hitherto_asof::Evidence;
use hitherto_core::{Mode, Selector, SetVersion, Timestamp};

use crate::engine::find_set;
use crate::join::{Join, JoinRequest};
use crate::training_set::partitions;
use crate::{Engine, Error, Result, Spine};

/// How many examples are kept per view.
const EXAMPLES: usize = 3;

const EVIDENCE: [(Evidence, &str); 3] = [
    (Evidence::EventTimestamp, "event_timestamp"),
    (Evidence::AvailableAt, "available_at"),
    (Evidence::Sequence, "sequence"),
];

/// What mode `event` would have read and mode `knowledge` does not.
#[derive(Clone, Debug)]
pub struct Leakage {
    /// Rows of the spine.
    pub rows: u64,
    /// Per view, in the set's order.
    pub views: Vec<ViewLeakage>,
}

/// One view's share of it.
#[derive(Clone, Debug)]
pub struct ViewLeakage {
    /// The view's alias in the set.
    pub alias: String,
    /// Rows whose winner is another.
    pub winners: u64,
    /// Per feature: its name in the output, and the cells that differ.
    pub cells: Vec<(String, u64)>,
    /// The first rows of the spine whose winner and first feature differ.
    pub examples: Vec<Example>,
}

/// One row of the spine in both modes.
#[derive(Clone, Debug)]
pub struct Example {
    /// The spine row, as one batch of one row.
    pub spine: RecordBatch,
    /// The first feature that differs.
    pub feature: String,
    /// Its value in mode `event`, as one array of one value.
    pub leaked: ArrayRef,
    /// Its value in mode `knowledge`.
    pub known: ArrayRef,
    /// The event time of the row that mode `event` reads, if its features are not withheld.
    pub leaked_event: Option<Timestamp>,
    /// When that row could first have been used.
    pub leaked_available: Option<Timestamp>,
}

impl Engine {
    /// Join `spine` to a feature set in both modes and count what differs.
    pub async fn leakage(&self, feature_set: &Selector, spine: &Spine, event_timestamp: &str) -> Result<Leakage> {
        let catalog = self.registry().catalog().await?;
        let set = find_set(&catalog, feature_set)?;
        let pins = self.pin(&catalog, set).await?;
        let in_mode = |mode| JoinRequest { set, event_timestamp, mode, evidence: &EVIDENCE, pins: &pins };
        let (surveyed, join) = self.join(&in_mode(Mode::Knowledge), self.open_spine(spine).await?).await?;
        let (_, known) = self.joined(join, set).await?;
        let join = Join::plan(&in_mode(Mode::Event), surveyed.plan()?, partitions())?;
        let (layout, leaked) = self.joined(join, set).await?;
        let uses = set.resolved.uses.iter().enumerate();
        let views = uses.map(|(index, view_use)| {
            let features = set.resolved.outputs.iter().enumerate();
            let features = features.filter(|(_, output)| output.view_use == index);
            let features = features.map(|(place, output)| (layout.features + place, output.name.clone())).collect();
            let columns = ViewColumns { features, evidence: layout.evidence[index], spine: layout.features };
            columns.compare(view_use.alias.as_str(), &known, &leaked)
        });
        Ok(Leakage { rows: known.num_rows() as u64, views: views.collect::<Result<_>>()? })
    }

    async fn joined(&self, join: Join, set: &SetVersion) -> Result<(Layout, RecordBatch)> {
        let evidence = (0..set.resolved.uses.len()).map(|index| join.evidence_start(index)).collect();
        let layout = Layout { features: join.features_start(), evidence };
        let schema = Arc::clone(join.schema());
        let batches: Vec<RecordBatch> = self.run(join)?.try_collect().await?;
        let whole =
            concat_batches(&schema, &batches).map_err(|source| Error::internal("could not join batches", source))?;
        Ok((layout, whole))
    }
}

/// Where columns are in a finished batch.
struct Layout {
    features: usize,
    evidence: Vec<usize>,
}

struct ViewColumns {
    features: Vec<(usize, String)>,
    evidence: usize,
    spine: usize,
}

impl ViewColumns {
    fn compare(&self, alias: &str, known: &RecordBatch, leaked: &RecordBatch) -> Result<ViewLeakage> {
        let winners = differing(known.column(self.evidence + 2), leaked.column(self.evidence + 2))?;
        let mut cells = Vec::with_capacity(self.features.len());
        let mut differs = Vec::with_capacity(self.features.len());
        for (column, name) in &self.features {
            let cell = differing(known.column(*column), leaked.column(*column))?;
            cells.push((name.clone(), cell.true_count() as u64));
            differs.push(cell);
        }
        let rows = (0..known.num_rows()).filter(|row| winners.value(*row));
        let with_cell = rows.filter_map(|row| {
            let cell = differs.iter().position(|differs| differs.value(row))?;
            Some((row, cell))
        });
        let examples = with_cell.take(EXAMPLES).map(|(row, cell)| self.example(row, cell, known, leaked)).collect();
        Ok(ViewLeakage { alias: alias.to_owned(), winners: winners.true_count() as u64, cells, examples })
    }

    fn example(&self, row: usize, cell: usize, known: &RecordBatch, leaked: &RecordBatch) -> Example {
        let (column, feature) = &self.features[cell];
        let spine: Vec<usize> = (0..self.spine).collect();
        let time = |column: usize| {
            let times = leaked.column(column).as_primitive::<TimestampMicrosecondType>();
            times.is_valid(row).then(|| Timestamp(times.value(row)))
        };
        Example {
            // the columns exist: they are those of the spine
            spine: known.slice(row, 1).project(&spine).unwrap_or_else(|_| known.slice(row, 1)),
            feature: feature.clone(),
            leaked: leaked.column(*column).slice(row, 1),
            known: known.column(*column).slice(row, 1),
            leaked_event: time(self.evidence),
            leaked_available: time(self.evidence + 1),
        }
    }
}

/// Where two columns differ; two nulls do not.
fn differing(a: &ArrayRef, b: &ArrayRef) -> Result<BooleanArray> {
    distinct(a, b).map_err(|source| Error::internal("could not compare two columns", source))
}
