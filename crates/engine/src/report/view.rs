//! One view's share of a report, tallied batch by batch.

use std::cmp::Ordering;
use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray, make_comparator,
};
use arrow::compute::{SortOptions, nullif};
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use hitherto_core::{Span, ViewUse};

use super::delay::Delay;
use super::unwithheld::is_deleted;
use super::{Absent, Distribution, FeatureReport, ViewReport};
use crate::sample::{NumberSample, quantile};
use crate::{Error, Result};

/// Lengths of time that a distribution is made of, at most; of more, a sample.
pub(super) const SAMPLE: usize = 65_536;

/// Where one join of a view is in a batch: its values, and the winner's event time, availability and marked sequence.
#[derive(Clone, Debug)]
pub(super) struct Side {
    pub(super) values: Range<usize>,
    pub(super) evidence: Range<usize>,
}

/// What was seen of a view so far.
#[derive(Debug)]
pub(super) struct Tally {
    features: Vec<FeatureReport>,
    ttl: Option<Span>,
    known: Side,
    leaked: Side,
    delayed: Option<Side>,
    winners: u64,
    early: Times,
    absent: Absent,
    rows_changed: u64,
}

/// A sample of lengths of time, and the longest.
#[derive(Debug)]
pub(super) struct Times {
    sample: NumberSample,
    max: Option<i64>,
}

/// The winners of one join in a batch.
struct Winners<'a> {
    event: &'a TimestampMicrosecondArray,
    available: &'a TimestampMicrosecondArray,
    sequence: &'a Int64Array,
    /// Rows whose winner's values are withheld.
    withheld: BooleanArray,
}

impl Tally {
    pub(super) fn new(names: Vec<String>, ttl: Option<Span>, known: Side, leaked: Side, delayed: Option<Side>) -> Self {
        let features = names.into_iter().map(|column| FeatureReport { column, cells: 0, nulls: 0 }).collect();
        let ttl = ttl.filter(|ttl| !ttl.is_zero());
        let (early, absent) = (Times::new(), Absent::default());
        Self { features, ttl, known, leaked, delayed, winners: 0, early, absent, rows_changed: 0 }
    }

    /// Add the rows of a batch, whose moments are `moments`.
    pub(super) fn add(&mut self, batch: &RecordBatch, moments: &TimestampMicrosecondArray) -> Result<()> {
        let known = Winners::of(batch, &self.known, moments, self.ttl);
        let leaked = Winners::of(batch, &self.leaked, moments, self.ttl);
        let mut differ = Vec::new();
        for row in 0..batch.num_rows() {
            if known.answer(row) != leaked.answer(row) {
                differ.push(row);
                let early = leaked.available.is_valid(row).then(|| leaked.available.value(row));
                self.early.add(early.map_or(0, |available| available.saturating_sub(moments.value(row))));
            }
            if known.answer(row).is_none() {
                *self.absent.cause(&known, &leaked, row) += 1;
                self.absent.rows += 1;
            }
        }
        self.winners += differ.len() as u64;
        for (place, feature) in self.features.iter_mut().enumerate() {
            let column = |side: &Side, winners: &Winners<'_>| {
                nullif(batch.column(side.values.start + place), &winners.withheld).map_err(failed)
            };
            let (known, leaked) = (column(&self.known, &known)?, column(&self.leaked, &leaked)?);
            feature.nulls += known.logical_null_count() as u64;
            feature.cells += differing(&known, &leaked, &differ)?;
        }
        if let Some(delayed) = &self.delayed {
            let delayed = Winners::of(batch, delayed, moments, self.ttl);
            let changed = (0..batch.num_rows()).filter(|row| known.answer(*row) != delayed.answer(*row));
            self.rows_changed += changed.count() as u64;
        }
        Ok(())
    }

    pub(super) fn report(self, view_use: &ViewUse, delay: Delay) -> ViewReport {
        let mut report = delay.report;
        report.rows_changed = self.delayed.is_some().then_some(self.rows_changed);
        ViewReport {
            alias: view_use.alias.to_string(),
            view: view_use.view.clone(),
            winners: self.winners,
            cells: self.features.iter().map(|feature| feature.cells).sum(),
            early: self.early.distribution(),
            features: self.features,
            absent: self.absent,
            delay: report,
            backfilled: delay.backfilled,
        }
    }
}

impl<'a> Winners<'a> {
    fn of(batch: &'a RecordBatch, side: &Side, moments: &TimestampMicrosecondArray, ttl: Option<Span>) -> Self {
        let column = |place: usize| batch.column(side.evidence.start + place);
        let event = column(0).as_primitive::<TimestampMicrosecondType>();
        let available = column(1).as_primitive::<TimestampMicrosecondType>();
        let sequence = column(2).as_primitive::<Int64Type>();
        let withheld = (0..batch.num_rows()).map(|row| {
            let expired = ttl.is_some_and(|ttl| event.value(row) < moments.value(row).saturating_sub(ttl.micros()));
            Some(sequence.is_valid(row) && (is_deleted(sequence.value(row)) || expired))
        });
        Self { event, available, sequence, withheld: withheld.collect() }
    }

    /// The row whose values are the answer; none where there is none, or they are withheld.
    fn answer(&self, row: usize) -> Option<i64> {
        (self.sequence.is_valid(row) && !self.withheld.value(row)).then(|| self.sequence.value(row))
    }
}

impl Absent {
    /// The count of the cause for which `known` has no answer in `row`.
    fn cause(&mut self, known: &Winners<'_>, leaked: &Winners<'_>, row: usize) -> &mut u64 {
        if known.sequence.is_null(row) {
            // a row whose event is past, and which nobody could know yet, is what the join by event time finds
            return if leaked.event.is_null(row) { &mut self.no_row } else { &mut self.not_yet_available };
        }
        if is_deleted(known.sequence.value(row)) { &mut self.deleted } else { &mut self.expired }
    }
}

impl Times {
    pub(super) fn new() -> Self {
        Self { sample: NumberSample::new(SAMPLE), max: None }
    }

    pub(super) fn add(&mut self, micros: i64) {
        self.sample.add(micros);
        self.max = self.max.max(Some(micros));
    }

    /// None of nothing.
    pub(super) fn distribution(self) -> Option<Distribution> {
        let sorted = self.sample.sorted();
        Some(Distribution {
            p50_us: quantile(&sorted, 0.5)?,
            p95_us: quantile(&sorted, 0.95)?,
            p99_us: quantile(&sorted, 0.99)?,
            max_us: self.max?,
        })
    }
}

/// In how many of `rows` two columns differ; two nulls do not.
fn differing(a: &ArrayRef, b: &ArrayRef, rows: &[usize]) -> Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    let differ = make_comparator(a, b, SortOptions::default()).map_err(failed)?;
    Ok(rows.iter().filter(|row| differ(**row, **row) != Ordering::Equal).count() as u64)
}

fn failed(source: arrow::error::ArrowError) -> Error {
    Error::internal("could not compare two columns", source)
}
