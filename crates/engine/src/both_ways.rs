//! At apply a set's transforms are evaluated on sample rows both ways, as training sets do it and as it is served, and must give the
//! same: one expression, but blocks of thousands of rows there, and a few rows of one moment here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::TimestampMicrosecondType;
use futures::TryStreamExt;
use hitherto_core::{Catalog, ResolvedSet, Span, Timestamp, Value, ValueType};
use hitherto_offline::{ColumnReader, DataFile, EVENT, Marks, PinnedTable, array_of};

use crate::edges::edges;
use crate::sample::mixture;
use crate::{Engine, Error, Result, Transforms};

/// So many rows are made of the edges of types.
const EDGE_ROWS: usize = 256;
/// So many rows of each view come from history, at most.
const HISTORY_ROWS: usize = 300;
/// Of a file larger than this no row is read, where there is a smaller one.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Training sets evaluate blocks of rows. This many, so that the samples make several.
const BLOCK_ROWS: usize = 100;
/// For so long history is waited for.
const HISTORY_TIME_MAX: Duration = Duration::from_secs(5);
/// A refusal shows no more than this of a row, or of a value.
const SHOWN_CHARS_MAX: usize = 300;

/// Said of what is not a training set's, but of a request for several rows.
const BESIDE_OTHERS: &str = " (or whoever asks for several rows at once)";

/// One way of evaluating: inputs, moments, and how many rows; the results of all transforms.
type Way<'a> = dyn Fn(Vec<ArrayRef>, ArrayRef, usize) -> Result<Vec<ArrayRef>> + 'a;

/// Rows of a set's inputs: features, then request fields.
#[derive(Debug)]
pub(crate) struct Samples {
    types: Vec<ValueType>,
    /// By column, then by row.
    columns: Vec<Vec<Value>>,
    times: Vec<Timestamp>,
}

impl Samples {
    /// A row of nulls, and rows that put edges of the inputs' types together; always the same.
    fn of_edges(set: &ResolvedSet) -> Self {
        let types = input_types(set);
        let moments = edges(&ValueType::Timestamp);
        let columns = types.iter().enumerate().map(|(column, value_type)| {
            let edges = edges(value_type);
            let cell = |row| if row == 0 { Value::Null } else { edges[place(row, column, edges.len())].clone() };
            (0..EDGE_ROWS).map(cell).collect::<Vec<Value>>()
        });
        let columns = columns.collect();
        let time = |row| match &moments[place(row, types.len(), moments.len())] {
            Value::Timestamp(time) => *time,
            _ => Timestamp(0),
        };
        Self { columns, times: (0..EDGE_ROWS).map(time).collect(), types }
    }

    fn rows(&self) -> usize {
        self.times.len()
    }

    /// The inputs of these rows.
    fn inputs(&self, rows: &[usize]) -> Result<Vec<ArrayRef>> {
        let column = |(value_type, values): (&ValueType, &Vec<Value>)| {
            array_of(value_type, rows.iter().map(|row| &values[*row])).map_err(Error::from)
        };
        self.types.iter().zip(&self.columns).map(column).collect()
    }

    /// The row, for whoever is to look at it.
    fn shown(&self, row: usize, names: &[String]) -> String {
        let values = names.iter().zip(&self.columns).map(|(name, values)| format!("{name}: {:?}", values[row]));
        let moment = format!("request_time(): {}", self.times[row]);
        shown(&values.chain([moment]).collect::<Vec<_>>().join(", "))
    }
}

/// Two results of one transform that differ.
#[derive(Debug, PartialEq)]
struct Disagreement {
    transform: String,
    row: usize,
    trained: String,
    served: String,
}

/// Refuses a set of which a transform gives something else in training sets than it does when it is served.
pub(crate) fn refuse_disagreement(set: &ResolvedSet, of_history: Option<Samples>) -> Result<()> {
    let transforms = Transforms::compile(set)?;
    if transforms.is_empty() {
        return Ok(());
    }
    let way = |inputs, times, rows| transforms.evaluate(inputs, times, rows);
    let names = transforms.fields().map(|field| field.name().clone());
    let outputs: Vec<(String, ValueType)> = names.zip(transforms.value_types().cloned()).collect();
    for samples in [Some(Samples::of_edges(set)), of_history].into_iter().flatten() {
        let Some(found) = disagreement(&samples, &outputs, &way, &way)? else { continue };
        let names: Vec<String> = transforms.input().iter().map(|field| field.name().clone()).collect();
        let Disagreement { transform, row, trained, served } = found;
        let reason = format!(
            "a model would be trained on other values than it is served: where {}, training sets have {trained}, and serving \
             {served}; write it so that a row's value does not depend on other rows, such as 1 / nullif(x, 0)",
            samples.shown(row, &names)
        );
        return Err(Error::Transform { name: transform, reason });
    }
    Ok(())
}

/// The first row of which the two ways give something else. What cannot be evaluated alone, as a division by zero, is refused both
/// ways, and left out.
fn disagreement(
    samples: &Samples,
    outputs: &[(String, ValueType)],
    trained: &Way<'_>,
    served: &Way<'_>,
) -> Result<Option<Disagreement>> {
    let mut alone = Vec::new();
    for row in 0..samples.rows() {
        let inputs = samples.inputs(&[row])?;
        if let Ok(results) = served(inputs, Transforms::times(samples.times[row], 1), 1) {
            alone.push((row, cells(&results, outputs, 1)?.remove(0)));
        }
    }
    let blocks: Vec<(Vec<usize>, bool)> = {
        let whole = (0..alone.len()).collect::<Vec<_>>();
        let mut by_time: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for place in &whole {
            by_time.entry(samples.times[alone[*place].0].0).or_default().push(*place);
        }
        let trained = whole.chunks(BLOCK_ROWS).map(|places| (places.to_vec(), true));
        trained.chain(by_time.into_values().map(|places| (places, false))).collect()
    };
    for (places, is_trained) in blocks {
        let rows: Vec<usize> = places.iter().map(|place| alone[*place].0).collect();
        let times: TimestampMicrosecondArray = rows.iter().map(|row| Some(samples.times[*row].0)).collect();
        let times: ArrayRef = Arc::new(times.with_timezone("UTC"));
        let way = if is_trained { trained } else { served };
        let results = match way(samples.inputs(&rows)?, times, rows.len()) {
            Ok(results) => cells(&results, outputs, rows.len())?,
            Err(error) => {
                let last = first_refused(samples, way, &rows)?;
                return Ok(Some(together_refused(&error, &alone[places[last]], is_trained)));
            }
        };
        for (place, together) in places.iter().zip(results) {
            let (row, alone) = &alone[*place];
            let Some(transform) = together.iter().zip(alone).position(|(together, alone)| !is_same(together, alone))
            else {
                continue;
            };
            let (mut trained, served) = (shown_value(&together[transform]), shown_value(&alone[transform]));
            if !is_trained {
                trained.push_str(BESIDE_OTHERS);
            }
            return Ok(Some(Disagreement { transform: outputs[transform].0.clone(), row: *row, trained, served }));
        }
    }
    Ok(None)
}

/// The place of the first row that cannot be evaluated together with those before it.
fn first_refused(samples: &Samples, way: &Way<'_>, rows: &[usize]) -> Result<usize> {
    for count in 1..rows.len() {
        let times: TimestampMicrosecondArray = rows[..count].iter().map(|row| Some(samples.times[*row].0)).collect();
        if way(samples.inputs(&rows[..count])?, Arc::new(times.with_timezone("UTC")), count).is_err() {
            return Ok(count - 1);
        }
    }
    Ok(rows.len() - 1)
}

/// Rows that can be evaluated each by itself, and not together.
fn together_refused(error: &Error, (row, alone): &(usize, Vec<Value>), is_trained: bool) -> Disagreement {
    let (transform, reason) = match error {
        Error::Transform { name, reason } => (name.clone(), reason.clone()),
        other => (String::new(), other.to_string()),
    };
    let beside = if is_trained { "" } else { BESIDE_OTHERS };
    let trained = format!("the error '{}'{beside} together with other rows", shown(&reason));
    let served = alone.iter().map(shown_value).collect::<Vec<_>>().join(", ");
    Disagreement { transform, row: *row, trained, served }
}

/// The results by row.
fn cells(results: &[ArrayRef], outputs: &[(String, ValueType)], rows: usize) -> Result<Vec<Vec<Value>>> {
    let mut cells = vec![Vec::with_capacity(results.len()); rows];
    for (result, (_, value_type)) in results.iter().zip(outputs) {
        let reader = ColumnReader::try_new(result.as_ref(), value_type)?;
        for (row, cells) in cells.iter_mut().enumerate() {
            cells.push(reader.value(row));
        }
    }
    Ok(cells)
}

/// Bit for bit, but that a NaN is a NaN: of two of them a processor returns either.
fn is_same(one: &Value, other: &Value) -> bool {
    let is_same_32 = |one: f32, other: f32| one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan());
    match (one, other) {
        (Value::Float32(one), Value::Float32(other)) => is_same_32(*one, *other),
        (Value::Float64(one), Value::Float64(other)) => {
            one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan())
        }
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Vector(one), Value::Vector(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same_32(*one, *other))
        }
        _ => one == other,
    }
}

impl Engine {
    /// The latest rows of the set's views, as far as there are any and they can be read: definitions can be applied where history
    /// cannot be reached.
    pub(crate) async fn latest_samples(&self, catalog: &Catalog, set: &ResolvedSet) -> Option<Samples> {
        let mut views = Vec::new();
        for view in &set.uses {
            let rows = match catalog.tables.get(&view.table) {
                Some(table) => tokio::time::timeout(HISTORY_TIME_MAX, self.latest_rows(table)).await,
                None => Ok(Ok(Vec::new())),
            };
            let rows = rows.unwrap_or_else(|_| Err(Error::Unavailable("history does not answer".to_owned())));
            views.push(rows.unwrap_or_else(|error| {
                tracing::debug!(table = view.table, %error, "transforms are tried without rows of history");
                Vec::new()
            }));
        }
        let rows =
            views.iter().map(|batches| batches.iter().map(RecordBatch::num_rows).sum::<usize>()).max().unwrap_or(0);
        if rows == 0 { None } else { of_history(set, &views, rows).ok() }
    }

    async fn latest_rows(&self, table: &hitherto_core::Table) -> Result<Vec<RecordBatch>> {
        let pinned = self.history(table)?.pin().await?;
        let newest =
            pinned.files().filter(|file| file.size_bytes <= FILE_BYTES_MAX).max_by_key(|file| file.first_sequence);
        let Some(file) = newest.or_else(|| pinned.files().min_by_key(|file| file.size_bytes)) else {
            return Ok(Vec::new());
        };
        let files: [DataFile; 1] = [file.clone()];
        let store = Arc::clone(self.offline().store());
        let alone = PinnedTable::new(store, table.clone(), &files, pinned.last_sequence());
        let first = Marks { sequence: -1, clock: Timestamp::MIN };
        let mut changes = alone.changes(first, Timestamp::MAX, Span::ZERO);
        let (mut found, mut rows) = (Vec::new(), 0);
        while let Some(batch) = changes.try_next().await? {
            let batch = batch.slice(0, batch.num_rows().min(HISTORY_ROWS - rows));
            rows += batch.num_rows();
            found.push(batch);
            if rows == HISTORY_ROWS {
                break;
            }
        }
        Ok(found)
    }
}

/// Rows of the set's inputs from rows of its views, the shorter ones repeated.
fn of_history(set: &ResolvedSet, views: &[Vec<RecordBatch>], rows: usize) -> Result<Samples> {
    let types = input_types(set);
    let repeated = |values: Vec<Value>| -> Vec<Value> {
        let count = values.len();
        (0..rows).map(|row| if count == 0 { Value::Null } else { values[row % count].clone() }).collect()
    };
    let mut columns = Vec::with_capacity(types.len());
    for output in &set.outputs {
        let mut values = Vec::new();
        for batch in views.get(output.view_use).into_iter().flatten() {
            // a view that gains the feature with this apply has no values of it
            let Some(column) = batch.column_by_name(output.feature.as_str()) else { continue };
            let reader = ColumnReader::try_new(column.as_ref(), &output.value_type)?;
            values.extend((0..batch.num_rows()).map(|row| reader.value(row)));
        }
        columns.push(repeated(values));
    }
    for (column, value_type) in types.iter().enumerate().skip(set.outputs.len()) {
        let edges = edges(value_type);
        columns.push((0..rows).map(|row| edges[place(row, column, edges.len())].clone()).collect());
    }
    let events = views.iter().flatten().filter_map(|batch| {
        let events = batch.column_by_name(EVENT)?;
        AsArray::as_primitive_opt::<TimestampMicrosecondType>(events)
    });
    let times: Vec<Timestamp> = events.flat_map(|events| events.values().iter().copied().map(Timestamp)).collect();
    let times = times.into_iter().cycle().take(rows).collect();
    Ok(Samples { types, columns, times })
}

fn input_types(set: &ResolvedSet) -> Vec<ValueType> {
    set.outputs.iter().map(|output| &output.value_type).chain(set.request.values()).cloned().collect()
}

/// Which of so many edges a cell gets.
fn place(row: usize, column: usize, count: usize) -> usize {
    (mixture(((row as u64) << 20) | column as u64) % count.max(1) as u64) as usize
}

fn shown_value(value: &Value) -> String {
    shown(&format!("{value:?}"))
}

fn shown(text: &str) -> String {
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() { format!("{shown} …") } else { shown }
}

#[cfg(test)]
mod tests;
