//! A lookup whose values are still in the rows that the store gave. Whoever passes them on copies each of them once, column
//! by column; whoever wants them one by one makes a [`Lookup`] of it.

use arrow::array::ArrayRef;
use bytes::Bytes;
use hitherto_core::{Cells, Reading, Row, Span, Status, Timestamp, Value, ValueType};
use hitherto_offline::{ColumnReader, array_of_cells};
use hitherto_online::encoding::{EncodingError, PackedRow, ValueRef};
use hitherto_online::{Answer, Marks, OnlineRow, RowVersion, spans};

use crate::lookup::{Lookup, LookupColumn, LookupView, RowKeys};
use crate::serving::{PlannedOutput, PlannedView, ServingPlan};
use crate::{Error, Result};

/// The answer to a request: rows that the rule has judged, their values packed, and what was computed from them.
#[derive(Debug)]
pub struct PackedLookup<'a> {
    plan: &'a ServingPlan,
    at: Timestamp,
    rows: usize,
    views: Vec<PackedView>,
    transformed: Vec<LookupColumn>,
}

/// One view's part in it.
#[derive(Debug)]
pub struct PackedView {
    /// Per row of the request.
    pub rows: Vec<JudgedRow>,
    /// What has reached the online store.
    pub marks: Marks,
    /// How far that lags behind the moment of the answer.
    pub lag: Span,
    /// Whether the online store was restarted or replaced since, so that it may have lost what came last.
    pub is_stale: bool,
}

/// What the rule says of one row of a request and one view.
#[derive(Clone, Debug)]
pub struct JudgedRow {
    /// The status of each of its values, but for nulls.
    pub status: Status,
    /// The true event time of the row behind the values; none where there is no row.
    pub event_timestamp: Option<Timestamp>,
    /// Packed; empty unless they are present.
    values: Bytes,
}

impl<'a> PackedLookup<'a> {
    /// Judges what the store has `found`, by view of the plan. `keys` are by key set of the plan, `fields` by request field.
    pub(crate) fn judge(
        plan: &'a ServingPlan,
        keys: &[RowKeys],
        found: Vec<Answer>,
        fields: &[ArrayRef],
        at: Timestamp,
        rows: usize,
    ) -> Result<Self> {
        let views =
            plan.views.iter().zip(found).map(|(view, answer)| judged(view, &keys[view.key_set], answer, at, rows));
        let mut lookup = Self { plan, at, rows, views: views.collect::<Result<_>>()?, transformed: Vec::new() };
        if !plan.transforms.is_empty() {
            let span = tracing::trace_span!(
                target: spans::STEP,
                "transforms",
                hitherto.transforms = plan.transforms.value_types().count() as i64,
            );
            let _entered = span.enter();
            let mut inputs = Vec::with_capacity(plan.outputs.len() + fields.len());
            lookup.each_feature(|output, statuses, cells| {
                inputs.push(array_of_cells(&output.value_type, cells, |row| statuses[row] != Status::Present)?);
                Ok::<_, Error>(())
            })?;
            inputs.extend(fields.iter().cloned());
            let computed = plan.transforms.evaluate(inputs, crate::Transforms::times(at, rows), rows)?;
            let fields = plan.transforms.fields().zip(plan.transforms.value_types());
            let columns =
                fields.zip(computed).map(|((field, value_type), array)| transformed(field.name(), value_type, &array));
            lookup.transformed = columns.collect::<Result<_>>()?;
        }
        Ok(lookup)
    }

    /// The moment at which it answers.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The views that the features come from, as the plan has them.
    pub fn views(&self) -> &[PackedView] {
        &self.views
    }

    /// The transforms' columns, after the features.
    pub fn transformed(&self) -> &[LookupColumn] {
        &self.transformed
    }

    /// Hands out each feature in the set's order: a status and a cell per row. A cell is zero, or null, where its status is
    /// not present. Memory is used again for the next one.
    pub fn each_feature<E: From<Error>>(
        &self,
        mut take: impl FnMut(&'a PlannedOutput, &[Status], &Cells) -> Result<(), E>,
    ) -> Result<(), E> {
        let opened = self.plan.views.iter().zip(&self.views).map(|(planned, view)| view.open(planned));
        let opened: Vec<Vec<Option<PackedRow<'_>>>> = opened.collect::<Result<_>>()?;
        let mut statuses = Vec::with_capacity(self.rows);
        let mut cells = Cells::Int64s(Vec::with_capacity(self.rows));
        for output in &self.plan.outputs {
            let view = &self.views[output.view];
            statuses.clear();
            statuses.extend(view.rows.iter().map(|row| row.status));
            cells.clear_for(&output.value_type);
            fill(&mut cells, &mut statuses, &opened[output.view], output.column).map_err(unreadable)?;
            take(output, &statuses, &cells)?;
        }
        Ok(())
    }

    /// The features as columns of single values.
    pub fn features(&self) -> Result<Vec<LookupColumn>> {
        let mut columns = Vec::with_capacity(self.plan.outputs.len() + self.transformed.len());
        self.each_feature(|output, statuses, cells| {
            columns.push(LookupColumn {
                name: output.name.clone(),
                value_type: output.value_type.clone(),
                view: Some(output.view),
                values: cells.to_values(&output.value_type, |row| statuses[row] != Status::Present),
                statuses: statuses.to_vec(),
            });
            Ok::<_, Error>(())
        })?;
        Ok(columns)
    }

    /// All of it, as columns of single values.
    pub fn to_lookup(&self) -> Result<Lookup> {
        let Self { plan, at, rows, .. } = *self;
        let mut columns = self.features()?;
        columns.extend(self.transformed.iter().cloned());
        let views = plan.views.iter().zip(&self.views).map(|(planned, view)| LookupView {
            alias: planned.view_use.alias.to_string(),
            view: planned.view_use.view.clone(),
            event_timestamps: view.rows.iter().map(|row| row.event_timestamp).collect(),
            marks: view.marks,
            lag: view.lag,
            is_stale: view.is_stale,
        });
        Ok(Lookup {
            feature_set: plan.feature_set.clone(),
            feature_set_hash: plan.feature_set_hash.clone(),
            model: plan.model.clone(),
            at,
            rows,
            columns,
            views: views.collect(),
        })
    }
}

impl PackedView {
    /// Each row whose values are present, looked at once, whatever is read of it.
    fn open<'a>(&'a self, planned: &'a PlannedView) -> Result<Vec<Option<PackedRow<'a>>>> {
        let open = |row: &'a JudgedRow| match row.status {
            Status::Present => PackedRow::with_layout(&row.values, &planned.layout).map(Some).map_err(unreadable),
            _ => Ok(None),
        };
        self.rows.iter().map(open).collect()
    }
}

/// One view's rows, judged.
fn judged(view: &PlannedView, keys: &RowKeys, answer: Answer, at: Timestamp, rows: usize) -> Result<PackedView> {
    let marks = answer.marks.ok_or_else(|| Error::internal("marks were checked before", view.reading.to_string()))?;
    let reading = view.view_use.reading();
    let mut found = answer.rows.into_iter();
    let judge_row = |row: usize| {
        let has_key = keys.is_there.as_ref().is_none_or(|is_there| is_there[row]);
        judge(reading, if has_key { found.next().flatten() } else { None }, at)
    };
    Ok(PackedView {
        rows: (0..rows).map(judge_row).collect(),
        marks,
        lag: at.since(marks.clock),
        is_stale: answer.is_stale,
    })
}

/// The rule over the one row that the store has: tombstone, then ttl.
fn judge(reading: Reading, row: Option<OnlineRow>, at: Timestamp) -> JudgedRow {
    let nothing = JudgedRow { status: Status::NotFound, event_timestamp: None, values: Bytes::new() };
    let Some(row) = row else { return nothing };
    let event_timestamp = Some(row.version.event);
    match hitherto_core::answer(&[ruled(&row)], reading, at, hitherto_core::Mode::Knowledge) {
        hitherto_core::Outcome::NoRow | hitherto_core::Outcome::Deleted => nothing,
        hitherto_core::Outcome::Expired => JudgedRow { status: Status::OutsideMaxAge, event_timestamp, ..nothing },
        hitherto_core::Outcome::Row(_) => JudgedRow { status: Status::Present, event_timestamp, values: row.values },
    }
}

/// What the rule looks at in a row.
pub(crate) fn ruled(row: &OnlineRow) -> Row {
    let RowVersion { event, created, sequence } = row.version;
    Row { event, created, sequence, deleted: row.deleted }
}

/// One column's cells, and the status of those that are null.
fn fill(
    cells: &mut Cells,
    statuses: &mut [Status],
    rows: &[Option<PackedRow<'_>>],
    column: usize,
) -> Result<(), EncodingError> {
    match cells {
        Cells::Bools(cells) => {
            let value = |row: &PackedRow<'_>| match row.get(column)? {
                ValueRef::Bool(value) => Ok(Some(value)),
                _ => Ok(None),
            };
            fill_each(cells, statuses, rows, value)
        }
        Cells::Int32s(cells) => fill_each(cells, statuses, rows, |row| Ok(row.slot(column)?.map(i32::from_le_bytes))),
        Cells::Int64s(cells) => fill_each(cells, statuses, rows, |row| Ok(row.slot(column)?.map(i64::from_le_bytes))),
        Cells::Float32s(cells) => fill_each(cells, statuses, rows, |row| Ok(row.slot(column)?.map(f32::from_le_bytes))),
        Cells::Float64s(cells) => fill_each(cells, statuses, rows, |row| Ok(row.slot(column)?.map(f64::from_le_bytes))),
        Cells::Values(cells) => {
            let value = |row: &PackedRow<'_>| match row.get(column)?.to_value()? {
                Value::Null => Ok(None),
                value => Ok(Some(value)),
            };
            fill_each(cells, statuses, rows, value)
        }
    }
}

fn fill_each<T: OrNull>(
    cells: &mut Vec<T>,
    statuses: &mut [Status],
    rows: &[Option<PackedRow<'_>>],
    read: impl Fn(&PackedRow<'_>) -> Result<Option<T>, EncodingError>,
) -> Result<(), EncodingError> {
    cells.reserve(rows.len());
    for (row, status) in rows.iter().zip(statuses) {
        let cell = match row {
            Some(row) => read(row)?,
            None => None,
        };
        if cell.is_none() && *status == Status::Present {
            *status = Status::NullValue;
        }
        cells.push(cell.unwrap_or(T::NULL));
    }
    Ok(())
}

/// What stands in a null's place.
trait OrNull {
    const NULL: Self;
}

macro_rules! or_null {
    ($($cell:ty: $null:expr),*) => { $(impl OrNull for $cell { const NULL: Self = $null; })* };
}

or_null!(bool: false, i32: 0, i64: 0, f32: 0.0, f64: 0.0, Value: Value::Null);

fn unreadable(source: EncodingError) -> Error {
    Error::internal("a row of the online store cannot be read", source)
}

fn transformed(name: &str, value_type: &ValueType, array: &ArrayRef) -> Result<LookupColumn> {
    let values: Vec<Value> = ColumnReader::try_new(array.as_ref(), value_type)?.values().collect();
    let status = |value: &Value| if *value == Value::Null { Status::NullValue } else { Status::Present };
    let statuses = values.iter().map(status).collect();
    Ok(LookupColumn { name: name.to_owned(), value_type: value_type.clone(), view: None, values, statuses })
}
