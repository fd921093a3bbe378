//! `materialize`: bring the online store up to date, once.

use futures::TryStreamExt;
use hitherto_core::{Name, Timestamp};
use hitherto_offline::Marks as ScanMarks;
use hitherto_online::{Advance, Generation, Marks, OnlineStore, Reading, Run, Write, spans};
use tracing::Instrument;
use tracing::field::Empty;

use crate::clock::SKEW_US_MAX;
use crate::definitions::Definitions;
use crate::online_rows::OnlineRows;
use crate::readings::ServedReading;
use crate::{Clock, Engine, Error, Result, RunEvent};

/// How often a run begins again when somebody else moved the marks meanwhile, or a rebuild began or ended.
pub(crate) const ATTEMPTS: usize = 16;
/// Where nothing has reached a reading.
pub(crate) const NOTHING: Marks = Marks { sequence: -1, clock: Timestamp::MIN };

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
    /// The generation that a rebuild was filling beside it, and which got the rows as well.
    pub beside: Option<Generation>,
}

/// What a run of several readings did, also where some of them failed.
#[derive(Debug, Default)]
pub struct Brought {
    /// The readings that are up to date now.
    pub done: Vec<Materialized>,
    /// The first failure.
    pub failure: Option<Error>,
    /// Whether that kept the rest from being tried: what fails is the store, or the registry, and not one reading.
    pub is_cut_short: bool,
}

impl Brought {
    fn cut_short(self, failure: Error) -> Self {
        Self { failure: Some(failure), is_cut_short: true, ..self }
    }
}

impl Engine {
    /// Bring every served reading of these views (all views where none is named) up to the present.
    ///
    /// An interrupted run has moved no mark, so that the next one does its work; doing it twice changes nothing. A reading that
    /// fails leaves the others as they would be without it; the first failure is told.
    pub async fn materialize(&self, views: &[Name]) -> Result<Vec<Materialized>> {
        let known = self.definitions().await?;
        let readings = wanted_readings(&known, views)?;
        // told when all is done: nobody waits for rows because somebody does not take events
        let mut events = Vec::new();
        let Brought { done, failure, .. } = self.materialize_readings(&readings, &mut events).await;
        self.deliver(&events).await;
        failure.map_or(Ok(done), Err)
    }

    /// The same for whoever goes on with what was brought, whatever else failed. Nobody is told of it.
    pub(crate) async fn bring_all(&self) -> Brought {
        match self.definitions().await {
            Ok(known) => {
                let readings: Vec<&ServedReading> = known.readings.iter().collect();
                self.untold().materialize_readings(&readings, &mut Vec::new()).await
            }
            Err(error) => Brought::default().cut_short(error),
        }
    }

    async fn materialize_readings(&self, readings: &[&ServedReading], events: &mut Vec<RunEvent>) -> Brought {
        let mut brought = Brought::default();
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
                Ok(materialized) => brought.done.push(materialized),
                // the others would hear the same, each after as long a wait
                Err(error) if is_of_the_store(&error) => return brought.cut_short(error),
                Err(error) => {
                    brought.failure.get_or_insert(error);
                }
            }
        }
        brought
    }

    pub(crate) async fn materialize_reading(&self, reading: &ServedReading) -> Result<Materialized> {
        let online = self.online()?;
        let mut total = Materialized {
            view: reading.view.clone(),
            reading: reading.id.clone(),
            rows: 0,
            written: 0,
            marks: NOTHING,
            beside: None,
        };
        for _ in 0..ATTEMPTS {
            let runs = Runs::begin(online, &reading.id).await?;
            if let Some(marks) = self.bring(reading, online, &runs, &mut total).await? {
                let beside = runs.beside.as_ref().and(runs.current.beside());
                return Ok(Materialized { marks, beside, ..total });
            }
        }
        Err(Error::Unavailable(format!(
            "could not finish a run for {}: its marks in {} were moved, or keys erased, by others {ATTEMPTS} times; try again",
            reading.view,
            online.describe()
        )))
    }

    /// Brings a reading up to the present, in every generation; the marks then, or none where it has to begin again.
    async fn bring(
        &self,
        reading: &ServedReading,
        online: &dyn OnlineStore,
        runs: &Runs,
        total: &mut Materialized,
    ) -> Result<Option<Marks>> {
        let pinned = self.history(&reading.table)?.pin().await?;
        let (from, furthest) = (runs.from(), runs.furthest());
        let now = moment_of_run(&reading.view, furthest, self.clock())?;
        let to = Marks { sequence: pinned.last_sequence().max(furthest.sequence), clock: now };
        let after = ScanMarks { sequence: from.sequence, clock: from.clock };
        let mut changes = pinned.changes(after, now, reading.source_delay);
        let rows = OnlineRows::new(&reading.table);
        while let Some(batch) = changes.try_next().await? {
            total.rows += batch.num_rows() as u64;
            let Some(written) = runs.write(online, &reading.id, &rows.writes(&batch)?).await? else { return Ok(None) };
            total.written += written;
        }
        runs.advance(online, &reading.id, to).await
    }
}

/// The served readings of these views, of all views where none is named.
pub(crate) fn wanted_readings<'a>(known: &'a Definitions, views: &[Name]) -> Result<Vec<&'a ServedReading>> {
    let catalog = &known.catalog;
    if let Some(view) = views.iter().find(|view| !catalog.views.contains_key(*view)) {
        return Err(Error::unknown("feature view", view.as_str(), catalog.views.keys().map(Name::as_str)));
    }
    let is_wanted = |reading: &&ServedReading| views.is_empty() || views.contains(&reading.view);
    Ok(known.readings.iter().filter(is_wanted).collect())
}

/// A run on what is read, and one on what is being rebuilt beside it.
#[derive(Debug)]
struct Runs {
    current: Run,
    beside: Option<Run>,
}

impl Runs {
    async fn begin(online: &dyn OnlineStore, reading: &Reading) -> Result<Self> {
        let current = online.begin(reading).await?;
        let beside = match current.beside() {
            Some(generation) => online.begin_beside(reading, generation).await?,
            None => None,
        };
        Ok(Self { current, beside })
    }

    /// The marks of all generations that have some. One without is being filled by whoever rebuilds.
    fn filled(&self) -> impl Iterator<Item = Marks> {
        // where nothing has reached what is read, everything is to
        let current = self.current.marks().unwrap_or(NOTHING);
        std::iter::once(current).chain(self.beside.as_ref().and_then(Run::marks))
    }

    /// What has reached all of them.
    fn from(&self) -> Marks {
        let least = |one: Marks, other: Marks| Marks {
            sequence: one.sequence.min(other.sequence),
            clock: one.clock.min(other.clock),
        };
        self.filled().reduce(least).unwrap_or(NOTHING)
    }

    /// How far the furthest of them is, in each half: marks do not go back.
    fn furthest(&self) -> Marks {
        let greatest = |one: Marks, other: Marks| Marks {
            sequence: one.sequence.max(other.sequence),
            clock: one.clock.max(other.clock),
        };
        self.filled().fold(NOTHING, greatest)
    }

    /// Writes to all of them, to what is read last: a row that somebody has read is in whatever takes its place. How many rows
    /// superseded others in what is read; none where what was read before an erasure is not to be written after it, or a
    /// rebuild has begun or ended.
    async fn write(&self, online: &dyn OnlineStore, reading: &Reading, writes: &[Write]) -> Result<Option<u64>> {
        let all = async {
            if let Some(run) = &self.beside {
                online.write(reading, run, writes).await?;
            }
            online.write(reading, &self.current, writes).await
        };
        match all.await {
            Ok(written) => Ok(Some(written.written)),
            Err(hitherto_online::Error::Overtaken { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Moves the marks, those of what is read last: so the others are not behind. None where that has to begin again.
    async fn advance(&self, online: &dyn OnlineStore, reading: &Reading, to: Marks) -> Result<Option<Marks>> {
        if let Some(run) = self.beside.as_ref().filter(|run| run.marks().is_some())
            && reached(online.advance(reading, run, to).await?, to).is_none()
        {
            return Ok(None);
        }
        Ok(reached(online.advance(reading, &self.current, to).await?, to))
    }
}

/// Where the marks are, if that is at `to` or beyond: somebody else may have got as far.
pub(crate) fn reached(advance: Advance, to: Marks) -> Option<Marks> {
    match advance {
        Advance::Done => Some(to),
        Advance::Moved(marks) => marks.filter(|marks| marks.have_reached(to)),
    }
}

/// Whether the online store cannot be reached, whatever is asked of it.
fn is_of_the_store(error: &Error) -> bool {
    matches!(error, Error::Online(source) if source.is_of_the_store())
}

/// The moment of a run. At an earlier one than the last's it would take rows back that have been served; so where this machine's
/// clock is a little behind another's, that is the last's moment, and where it is far behind, nothing is guessed.
pub(crate) fn moment_of_run(view: &Name, furthest: Marks, clock: Clock) -> Result<Timestamp> {
    let now = clock.now();
    let ahead = furthest.clock.0.saturating_sub(now.0);
    match clock {
        _ if ahead <= 0 => Ok(now),
        Clock::Frozen(_) => Err(Error::Invalid(format!(
            "could not materialize {view} at {now}: its online rows have been brought up to {} already, and time does not run back \
             there; use a later --clock, or another online store",
            furthest.clock
        ))),
        Clock::System if ahead <= SKEW_US_MAX => Ok(furthest.clock),
        Clock::System => Err(Error::Unavailable(format!(
            "could not materialize {view} at {now}: its online rows have been brought up to {} already, by a clock that is further \
             ahead of this machine's than the {} s that clocks may differ by; set the clocks of both, or use another online store if \
             that was a pretended one",
            furthest.clock,
            SKEW_US_MAX / 1_000_000
        ))),
    }
}
