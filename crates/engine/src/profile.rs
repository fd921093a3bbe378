//! What columns hold, taken from rows as they stream by: counts, extremes and means of all rows, the rest of a sample.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{cast, concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use hitherto_core::{Category, Number, Profile, Quantile};

use crate::sample::{Sampler, quantile};
use crate::{Error, Result};

/// Bytes that the sample may take, going by the columns' types.
const SAMPLE_BYTES: usize = 8 << 20;
const SAMPLE_ROWS: (usize, usize) = (1024, 32_768);
const FRACTIONS: [f64; 13] = [0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];
const TOP: usize = 10;
/// Characters of a text that are told.
const TOLD_CHARACTERS: usize = 64;

/// One column that is profiled.
#[derive(Clone, Debug)]
pub(crate) struct Profiled {
    /// Its place in the batches.
    pub(crate) place: usize,
    pub(crate) name: String,
    /// Its type, as definitions write it.
    pub(crate) value_type: String,
}

/// Takes the profiles of some columns of batches.
#[derive(Debug)]
pub(crate) struct Profiler {
    columns: Vec<(Profiled, Tally)>,
    sampler: Sampler,
    /// Rows of the sample, all columns, and their mixtures.
    sample: Vec<(RecordBatch, Vec<u64>)>,
    kept: usize,
}

#[derive(Clone, Copy, Debug)]
struct Tally {
    rows: u64,
    nulls: u64,
    numbers: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Tally {
    const EMPTY: Self = Self { rows: 0, nulls: 0, numbers: 0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY };

    fn add(&mut self, number: f64) {
        if !number.is_nan() {
            self.numbers += 1;
            self.sum += number;
            self.min = self.min.min(number);
            self.max = self.max.max(number);
        }
    }
}

impl Profiler {
    pub(crate) fn new(columns: Vec<Profiled>, batch_schema: &arrow::datatypes::Schema) -> Self {
        let width = |column: &Profiled| batch_schema.field(column.place).data_type().primitive_width().unwrap_or(32);
        let row_bytes: usize = columns.iter().map(width).sum();
        let rows_max = (SAMPLE_BYTES / row_bytes.max(1)).clamp(SAMPLE_ROWS.0, SAMPLE_ROWS.1);
        let columns = columns.into_iter().map(|column| (column, Tally::EMPTY)).collect();
        Self { columns, sampler: Sampler::new(rows_max), sample: Vec::new(), kept: 0 }
    }

    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        for (column, tally) in &mut self.columns {
            let array = batch.column(column.place);
            tally.rows += array.len() as u64;
            tally.nulls += array.logical_null_count() as u64;
            if let Some(numbers) = numbers(array)? {
                if numbers.null_count() == 0 {
                    numbers.values().iter().for_each(|number| tally.add(*number));
                } else {
                    numbers.iter().flatten().for_each(|number| tally.add(number));
                }
            }
        }
        let chosen = self.sampler.choose(batch.num_rows());
        if chosen.is_empty() || self.columns.is_empty() {
            return Ok(());
        }
        let places: Vec<usize> = self.columns.iter().map(|(column, _)| column.place).collect();
        let rows: UInt32Array = chosen.iter().map(|(row, _)| *row).collect::<Vec<_>>().into();
        // taken, not sliced: a slice would hold the whole batch
        let taken = batch.project(&places).and_then(|columns| take_record_batch(&columns, &rows)).map_err(failed)?;
        self.kept += taken.num_rows();
        self.sample.push((taken, chosen.into_iter().map(|(_, mark)| mark).collect()));
        self.thin()
    }

    fn thin(&mut self) -> Result<()> {
        while self.sampler.thin(self.kept) {
            let Some((first, _)) = self.sample.first() else { return Ok(()) };
            let whole = concat_batches(&first.schema(), self.sample.iter().map(|(batch, _)| batch)).map_err(failed)?;
            let marks: UInt64Array = self.sample.iter().flat_map(|(_, marks)| marks.iter().copied()).collect();
            let keep = marks.values().iter().map(|mark| Some(self.sampler.keeps(*mark))).collect();
            let left = filter_record_batch(&whole, &keep).map_err(failed)?;
            let marks: Vec<u64> = marks.values().iter().copied().filter(|mark| self.sampler.keeps(*mark)).collect();
            self.kept = left.num_rows();
            self.sample = vec![(left, marks)];
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Vec<Profile>> {
        let Some((first, _)) = self.sample.first() else {
            return Ok(self.columns.iter().map(|(column, tally)| profile(column, tally)).collect());
        };
        let whole = concat_batches(&first.schema(), self.sample.iter().map(|(batch, _)| batch)).map_err(failed)?;
        let each = self.columns.iter().enumerate().map(|(place, (column, tally))| {
            let sample = whole.column(place);
            Ok(Profile {
                quantiles: quantiles(sample)?,
                top: top(sample)?,
                sampled: self.sampler.is_partial(),
                sample_rows: whole.num_rows() as u64,
                ..profile(column, tally)
            })
        });
        each.collect()
    }
}

fn profile(column: &Profiled, tally: &Tally) -> Profile {
    let known = |number: f64| (tally.numbers > 0).then_some(Number(number));
    Profile {
        column: column.name.clone(),
        value_type: column.value_type.clone(),
        count: tally.rows - tally.nulls,
        nulls: tally.nulls,
        min: known(tally.min),
        max: known(tally.max),
        mean: known(tally.sum / tally.numbers as f64),
        ..Profile::default()
    }
}

/// A column of numbers, times or dates as floats; none for others.
fn numbers(array: &ArrayRef) -> Result<Option<Float64Array>> {
    let plain = match array.data_type() {
        DataType::Timestamp(..) => cast(array, &DataType::Int64).map_err(failed)?,
        DataType::Date32 => cast(array, &DataType::Int32).map_err(failed)?,
        numeric if numeric.is_numeric() => ArrayRef::clone(array),
        _ => return Ok(None),
    };
    let floats = cast(&plain, &DataType::Float64).map_err(failed)?;
    Ok(Some(floats.as_primitive::<Float64Type>().clone()))
}

fn quantiles(sample: &ArrayRef) -> Result<Vec<Quantile>> {
    let Some(numbers) = numbers(sample)? else { return Ok(Vec::new()) };
    let mut sorted: Vec<f64> = numbers.iter().flatten().filter(|number| !number.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = |fraction: f64| Some(Quantile { fraction: Number(fraction), value: Number(quantile(&sorted, fraction)?) });
    Ok(FRACTIONS.into_iter().filter_map(at).collect())
}

fn top(sample: &ArrayRef) -> Result<Vec<Category>> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    match sample.data_type() {
        DataType::Int32 | DataType::Int64 => {
            let wide = cast(sample, &DataType::Int64).map_err(failed)?;
            let mut numbers: HashMap<i64, u64> = HashMap::new();
            wide.as_primitive::<Int64Type>()
                .iter()
                .flatten()
                .for_each(|number| *numbers.entry(number).or_default() += 1);
            counts.extend(numbers.into_iter().map(|(number, rows)| (number.to_string(), rows)));
        }
        DataType::Utf8 | DataType::Boolean => {
            let options = FormatOptions::default();
            let texts = ArrayFormatter::try_new(sample, &options).map_err(failed)?;
            for row in (0..sample.len()).filter(|row| sample.is_valid(*row)) {
                *counts.entry(texts.value(row).to_string()).or_default() += 1;
            }
        }
        _ => return Ok(Vec::new()),
    }
    let mut top: Vec<(String, u64)> = counts.into_iter().filter(|(_, rows)| *rows > 1).collect();
    top.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Ok(top.into_iter().take(TOP).map(|(value, rows)| Category { value: shortened(&value), rows }).collect())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TOLD_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn failed(source: arrow::error::ArrowError) -> Error {
    Error::internal("could not take a column's profile", source)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Int64Array, StringArray};

    use super::*;

    fn taken(batches: &[RecordBatch]) -> Vec<Profile> {
        let schema = batches[0].schema();
        let columns = schema.fields().iter().enumerate().map(|(place, field)| Profiled {
            place,
            name: field.name().clone(),
            value_type: field.data_type().to_string(),
        });
        let mut profiler = Profiler::new(columns.collect(), &schema);
        for batch in batches {
            profiler.add(batch).expect("rows");
        }
        profiler.finish().expect("profiles")
    }

    fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
            .expect("a batch")
    }

    #[test]
    fn a_small_column_is_told_exactly() {
        let whole = batch(vec![
            ("n", Arc::new(Int64Array::from(vec![Some(3), None, Some(3), Some(-1), Some(5)]))),
            ("f", Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN), None, Some(1.5), None]))),
            ("t", Arc::new(StringArray::from(vec![Some("a"), Some("b"), Some("a"), None, Some("b")]))),
            ("b", Arc::new(BooleanArray::from(vec![Some(true), Some(true), Some(false), None, Some(true)]))),
        ]);
        let profiles = taken(&[whole.slice(0, 2), whole.slice(2, 3)]);
        let number = |number: f64| Some(Number(number));
        let n = &profiles[0];
        assert_eq!((n.count, n.nulls, n.min, n.max, n.mean), (4, 1, number(-1.0), number(5.0), number(2.5)));
        assert_eq!(n.quantiles[6], Quantile { fraction: Number(0.5), value: Number(3.0) });
        assert_eq!(n.top, [Category { value: "3".to_owned(), rows: 2 }], "what is seen once is not told");
        assert_eq!((n.sampled, n.sample_rows), (false, 5));
        let f = &profiles[1];
        assert_eq!(
            (f.count, f.nulls, f.min, f.max, f.mean),
            (3, 2, number(0.5), number(1.5), number(1.0)),
            "NaN is left out"
        );
        let told = |profile: &Profile| profile.top.iter().map(|c| (c.value.clone(), c.rows)).collect::<Vec<_>>();
        assert_eq!(told(&profiles[2]), [("a".to_owned(), 2), ("b".to_owned(), 2)]);
        assert_eq!(told(&profiles[3]), [("true".to_owned(), 3)]);
        assert_eq!((profiles[3].min, profiles[3].quantiles.len()), (None, 0));
    }

    #[test]
    fn a_long_column_is_sampled_in_bounded_memory() {
        let part = |from: i64| batch(vec![("n", Arc::new(Int64Array::from_iter_values(from..from + 8192)))]);
        let parts: Vec<RecordBatch> = (0..20).map(|index| part(index * 8192)).collect();
        let profile = &taken(&parts)[0];
        assert_eq!((profile.count, profile.min, profile.max), (163_840, Some(Number(0.0)), Some(Number(163_839.0))));
        assert!(profile.sampled && (14_000..=32_768).contains(&profile.sample_rows), "{profile:?}");
        let median = profile.quantiles[6].value.0;
        assert!((78_000.0..86_000.0).contains(&median), "{median}");
    }

    #[test]
    fn no_rows_have_a_profile_too() {
        let profile = &taken(&[batch(vec![("n", Arc::new(Int64Array::from(Vec::<i64>::new())))])])[0];
        assert_eq!((profile.count, profile.nulls, profile.min, profile.mean), (0, 0, None, None));
        assert!(profile.quantiles.is_empty());
    }
}
