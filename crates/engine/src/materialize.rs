//! `materialize`: bring the online store up to date, once.

use futures::TryStreamExt;
use hitherto_core::{Kind, Name, Timestamp};
use hitherto_offline::Marks as ScanMarks;
use hitherto_online::{Advance, Marks, Reading, Written, spans};
use tracing::Instrument;
use tracing::field::Empty;

use crate::online_rows::OnlineRows;
use crate::readings::ServedReading;
use crate::{Engine, Error, Result, RunEvent};

/// How often a run begins again when somebody else moved the marks meanwhile.
const ATTEMPTS: usize = 4;

/// What one reading's run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Materialized {
    /// The view whose rows it holds.
    pub view: Name,
    /// The reading.
    pub reading: Reading,
    /// Rows that reached the store since the run before.
    pub rows: u64,
    /// Those of them that superseded what the store had.
    pub written: u64,
    /// What has reached the store now.
    pub marks: Marks,
}

impl Engine {
    /// Bring every served reading of these views (all views where none is named) up to the present.
    ///
    /// An interrupted run has moved no mark, so that the next one does its work; doing it twice changes nothing. A reading that
    /// fails leaves the others as they would be without it; the first failure is told.
    pub async fn materialize(&self, views: &[Name]) -> Result<Vec<Materialized>> {
        let known = self.definitions().await?;
        let catalog = &known.catalog;
        if let Some(view) = views.iter().find(|view| !catalog.views.contains_key(*view)) {
            return Err(Error::unknown("feature view", view.as_str(), catalog.views.keys().map(Name::as_str)));
        }
        let is_wanted = |reading: &&ServedReading| views.is_empty() || views.contains(&reading.view);
        let readings: Vec<&ServedReading> = known.readings.iter().filter(is_wanted).collect();
        // told when all is done: nobody waits for rows because somebody does not take events
        let mut events = Vec::new();
        let done = self.materialize_readings(&readings, &mut events).await;
        self.deliver(&events).await;
        done
    }

    async fn materialize_readings(
        &self,
        readings: &[&ServedReading],
        events: &mut Vec<RunEvent>,
    ) -> Result<Vec<Materialized>> {
        let mut done = Vec::new();
        let mut failure = None;
        for reading in readings {
            let run = self.begin_run();
            let span = tracing::trace_span!(
                target: spans::STEP,
                "materialize",
                hitherto.view = %reading.view,
                hitherto.reading = %reading.id,
                hitherto.rows = Empty,
                hitherto.rows_written = Empty,
                otel.status_code = Empty,
            );
            let materialized = self.materialize_reading(reading).instrument(span.clone()).await;
            match &materialized {
                Ok(done) => {
                    span.record("hitherto.rows", done.rows as i64).record("hitherto.rows_written", done.written as i64);
                }
                Err(_) => {
                    span.record("otel.status_code", "ERROR");
                }
            }
            drop(span);
            if let Some(run) = run {
                events.extend(self.events_of_materialize(&run, reading, &materialized));
            }
            match materialized {
                Ok(materialized) => done.push(materialized),
                // the others would hear the same, each after as long a wait
                Err(error) if is_of_the_store(&error) => return Err(error),
                Err(error) => {
                    failure.get_or_insert(error);
                }
            }
        }
        failure.map_or(Ok(done), Err)
    }

    async fn materialize_reading(&self, reading: &ServedReading) -> Result<Materialized> {
        let online = self.online()?;
        let mut total = Materialized {
            view: reading.view.clone(),
            reading: reading.id.clone(),
            rows: 0,
            written: 0,
            marks: Marks { sequence: -1, clock: Timestamp::MIN },
        };
        'run: for _ in 0..ATTEMPTS {
            let run = online.begin(&reading.id).await?;
            let pinned = self.history(&reading.table)?.pin().await?;
            let now = self.clock().now();
            let from = run.marks().unwrap_or(total.marks);
            let to = Marks { sequence: pinned.last_sequence().max(from.sequence), clock: now };
            refuse_earlier_clock(reading, from, now)?;
            let after = ScanMarks { sequence: from.sequence, clock: from.clock };
            let mut changes = pinned.changes(after, now, reading.source_delay);
            let rows = OnlineRows::new(&reading.table);
            while let Some(batch) = changes.try_next().await? {
                total.rows += batch.num_rows() as u64;
                match online.write(&reading.id, &run, &rows.writes(&batch)?).await {
                    Ok(Written { written, .. }) => total.written += written,
                    // what was read before an erasure is not to be written after it
                    Err(hitherto_online::Error::Overtaken { .. }) => continue 'run,
                    Err(error) => return Err(error.into()),
                }
            }
            match online.advance(&reading.id, &run, to).await? {
                Advance::Done => return Ok(Materialized { marks: to, ..total }),
                // somebody else got as far, or further
                Advance::Moved(Some(marks)) if marks.sequence >= to.sequence && marks.clock >= to.clock => {
                    return Ok(Materialized { marks, ..total });
                }
                Advance::Moved(_) => {}
            }
        }
        Err(Error::Unavailable(format!(
            "could not finish a run for {}: its marks in {} were moved, or keys erased, by others {ATTEMPTS} times; try again",
            reading.view,
            online.describe()
        )))
    }
}

/// Whether the online store cannot be reached, whatever is asked of it.
fn is_of_the_store(error: &Error) -> bool {
    matches!(error, Error::Online(source) if source.kind() == Kind::Unavailable)
}

/// A run at an earlier clock than the last would take rows back that have been served: refused, never guessed.
fn refuse_earlier_clock(reading: &ServedReading, from: Marks, now: Timestamp) -> Result<()> {
    if now >= from.clock {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "could not materialize {} at {now}: its online rows have been brought up to {} already, and time does not run back \
         there; use a later --clock, or another online store",
        reading.view, from.clock
    )))
}
