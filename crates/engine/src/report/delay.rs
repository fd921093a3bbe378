//! How late a history's rows become known, measured.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::TryStreamExt;
use hitherto_core::{Created, Span, Timestamp, ViewVersion};
use hitherto_offline::{CREATED, EVENT, HistoryTable, INGESTED, PinnedTable};

use super::DelayReport;
use super::view::Times;
use crate::sql::failed;
use crate::{Engine, Result};

/// A better delay is told in whole seconds.
const SECOND: i64 = 1_000_000;

/// What was measured of a view.
#[derive(Debug)]
pub(super) struct Delay {
    pub(super) report: DelayReport,
    pub(super) backfilled: bool,
    /// Rows whose events are no later than the spine's last moment.
    past: u64,
    /// The earliest time at which any of them was known.
    first_known: Option<i64>,
}

impl Engine {
    /// The distance from event to knowledge over all rows of `pinned`, read as `view`; `last_moment` is the spine's last.
    pub(super) async fn measured_delay(
        &self,
        pinned: &PinnedTable,
        view: &ViewVersion,
        last_moment: Option<i64>,
    ) -> Result<Delay> {
        let created = pinned.table().created;
        let known = if created == Created::Absent { INGESTED } else { CREATED };
        let table = Arc::new(HistoryTable::try_new(pinned.clone(), view)?);
        // one partition, so that the sample is of the same rows every time
        let config = SessionConfig::new().with_target_partitions(1);
        let context = SessionContext::new_with_config_rt(config, Arc::clone(self.runtime()));
        let reading = |error| failed("could not measure the delay of a view", &error);
        let frame = context.read_table(table).and_then(|frame| frame.select_columns(&[EVENT, known]));
        let mut batches = frame.map_err(reading)?.execute_stream().await.map_err(reading)?;
        let mut times = Times::new();
        let (mut rows, mut past, mut first_known) = (0, 0, None::<i64>);
        while let Some(batch) = batches.try_next().await.map_err(reading)? {
            let time = |column: usize| batch.column(column).as_primitive::<TimestampMicrosecondType>();
            let (events, knowns) = (time(0), time(1));
            for row in (0..batch.num_rows()).filter(|row| events.is_valid(*row) && knowns.is_valid(*row)) {
                let (event, known) = (events.value(row), knowns.value(row));
                rows += 1;
                times.add(known.saturating_sub(event));
                if last_moment.is_some_and(|last| event <= last) {
                    past += 1;
                    first_known = Some(first_known.map_or(known, |first| first.min(known)));
                }
            }
        }
        let late = first_known.zip(last_moment).is_some_and(|(first, last)| first > last);
        // times that are all after the fact say when rows were loaded, not when they were known
        let measured = if late { None } else { times.distribution() };
        let better_us = measured.and_then(|measured| whole_seconds(measured.p99_us));
        let report = DelayReport {
            declared_us: view.definition.source_delay,
            measured_by: if created == Created::Column { CREATED } else { INGESTED }.to_owned(),
            rows,
            measured,
            better_us: better_us.filter(|better| *better != view.definition.source_delay),
            rows_changed: None,
        };
        Ok(Delay { report, backfilled: late && created != Created::Absent, past, first_known })
    }
}

impl Delay {
    /// What to say of a history that was evidently backfilled, and what to do.
    pub(super) fn warning(&self, alias: &str, last_moment: i64) -> Option<String> {
        let first = Timestamp(self.first_known.filter(|_| self.backfilled)?);
        let past = self.past;
        Some(format!(
            "{alias} was evidently backfilled: of its {past} rows with events up to {}, the spine's last moment, none was \
             created before {first}, so no row of the spine could know any of them. If they were known sooner, ingest them \
             with the time at which they were known as created_timestamp; if nobody remembers it, define the view without \
             created_timestamp and with a source_delay that is long enough (a new table: `apply --allow-new-table`, then \
             ingest again)",
            Timestamp(last_moment)
        ))
    }
}

fn whole_seconds(micros: i64) -> Option<Span> {
    let seconds = micros.max(0).div_euclid(SECOND) + i64::from(micros.max(0).rem_euclid(SECOND) > 0);
    Span::from_micros(seconds.saturating_mul(SECOND)).ok()
}
