//! From the store's rows to the columns of an answer: the rule, then the values, then the transforms.

use arrow::array::ArrayRef;
use hitherto_core::{Reading, Row, Status, Timestamp, Value, ValueType};
use hitherto_offline::{ColumnReader, array_of};
use hitherto_online::encoding::{EncodingError, PackedRow, ValueRef};
use hitherto_online::{Answer, OnlineRow, RowVersion, spans};

use crate::lookup::{Lookup, LookupColumn, LookupView, RowKeys};
use crate::serving::{PlannedView, ServingPlan};
use crate::{Error, Result};

/// The whole answer. `keys` are by key set of the plan, `found` by view, `fields` by request field.
pub(crate) fn assemble(
    plan: &ServingPlan,
    keys: &[RowKeys],
    found: Vec<Answer>,
    fields: &[ArrayRef],
    at: Timestamp,
    rows: usize,
) -> Result<Lookup> {
    let mut columns: Vec<LookupColumn> = Vec::with_capacity(plan.outputs.len() + plan.transforms.value_types().count());
    columns.extend(plan.outputs.iter().map(|output| LookupColumn {
        name: output.name.clone(),
        value_type: output.value_type.clone(),
        view: Some(output.view),
        values: Vec::with_capacity(rows),
        statuses: Vec::with_capacity(rows),
    }));
    let mut views = Vec::with_capacity(plan.views.len());
    for (view, answer) in plan.views.iter().zip(found) {
        views.push(fill(plan, view, &keys[view.key_set], answer, at, rows, &mut columns)?);
    }
    if !plan.transforms.is_empty() {
        let span = tracing::trace_span!(
            target: spans::STEP,
            "transforms",
            hitherto.transforms = plan.transforms.value_types().count() as i64,
        );
        let _entered = span.enter();
        let mut inputs = Vec::with_capacity(columns.len() + fields.len());
        for column in &columns {
            inputs.push(array_of(&column.value_type, &column.values)?);
        }
        inputs.extend(fields.iter().cloned());
        let computed = plan.transforms.evaluate(inputs, crate::Transforms::times(at, rows), rows)?;
        for ((field, value_type), array) in plan.transforms.fields().zip(plan.transforms.value_types()).zip(computed) {
            columns.push(transformed(field.name(), value_type, &array)?);
        }
    }
    Ok(Lookup {
        feature_set: plan.feature_set.clone(),
        feature_set_hash: plan.feature_set_hash.clone(),
        model: plan.model.clone(),
        at,
        rows,
        columns,
        views,
    })
}

/// Puts one view's rows into the columns that it has: each row is judged and opened once, whatever is read of it.
fn fill(
    plan: &ServingPlan,
    view: &PlannedView,
    keys: &RowKeys,
    answer: Answer,
    at: Timestamp,
    rows: usize,
    columns: &mut [LookupColumn],
) -> Result<LookupView> {
    let marks = answer.marks.ok_or_else(|| Error::internal("marks were checked before", view.reading.to_string()))?;
    let reading = view.view_use.reading();
    let mut event_timestamps = Vec::with_capacity(rows);
    let mut found = answer.rows.into_iter();
    for row in 0..rows {
        let has_key = keys.is_there.as_ref().is_none_or(|is_there| is_there[row]);
        let (status, row) = judge(reading, if has_key { found.next().flatten() } else { None }, at);
        event_timestamps.push(row.as_ref().map(|row| row.version.event));
        let packed = match &row {
            Some(row) if status == Status::Present => {
                Some(PackedRow::with_layout(&row.values, &view.layout).map_err(unreadable)?)
            }
            _ => None,
        };
        for output in &view.outputs {
            let column = &mut columns[*output];
            let value = match &packed {
                Some(packed) => {
                    packed.get(plan.outputs[*output].column).and_then(ValueRef::to_value).map_err(unreadable)?
                }
                None => Value::Null,
            };
            let is_null = status == Status::Present && value == Value::Null;
            column.statuses.push(if is_null { Status::NullValue } else { status });
            column.values.push(value);
        }
    }
    Ok(LookupView {
        alias: view.view_use.alias.to_string(),
        view: view.view_use.view.clone(),
        event_timestamps,
        marks,
        lag: at.since(marks.clock),
        is_stale: answer.is_stale,
    })
}

fn unreadable(source: EncodingError) -> Error {
    Error::internal("a row of the online store cannot be read", source)
}

/// The rule over the one row that the store has: tombstone, then ttl.
fn judge(reading: Reading, row: Option<OnlineRow>, at: Timestamp) -> (Status, Option<OnlineRow>) {
    let Some(row) = row else { return (Status::NotFound, None) };
    match hitherto_core::answer(&[ruled(&row)], reading, at, hitherto_core::Mode::Knowledge) {
        hitherto_core::Outcome::NoRow | hitherto_core::Outcome::Deleted => (Status::NotFound, None),
        hitherto_core::Outcome::Expired => (Status::OutsideMaxAge, Some(row)),
        hitherto_core::Outcome::Row(_) => (Status::Present, Some(row)),
    }
}

/// What the rule looks at in a row.
pub(crate) fn ruled(row: &OnlineRow) -> Row {
    let RowVersion { event, created, sequence } = row.version;
    Row { event, created, sequence, deleted: row.deleted }
}

fn transformed(name: &str, value_type: &ValueType, array: &ArrayRef) -> Result<LookupColumn> {
    let values: Vec<Value> = ColumnReader::try_new(array.as_ref(), value_type)?.values().collect();
    let status = |value: &Value| if *value == Value::Null { Status::NullValue } else { Status::Present };
    let statuses = values.iter().map(status).collect();
    Ok(LookupColumn { name: name.to_owned(), value_type: value_type.clone(), view: None, values, statuses })
}
