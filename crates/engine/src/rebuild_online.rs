//! `materialize --rebuild`: every row of a view again, in a generation beside the one that is read.

use std::convert::Infallible;
use std::time::Duration;

use futures::TryStreamExt;
use hitherto_core::{Kind, Name, Timestamp};
use hitherto_offline::Marks as ScanMarks;
use hitherto_online::{Generation, Marks, NextGeneration, OnlineStore, Run, Switch};
use tokio::time::{Instant, interval, sleep};

use crate::generations::{DROPPED_KEYS_PER_S, DroppedGeneration};
use crate::materialize::{ATTEMPTS, NOTHING, moment_of_run, reached, wanted_readings};
use crate::online_rows::OnlineRows;
use crate::readings::ServedReading;
use crate::{Clock, Engine, Error, Materialized, Result};

/// How long rows stay that nobody is to read any more: readers may be in flight.
const KEPT_US: i64 = 60_000_000;
/// How often whoever rebuilds says that it is at work.
const BEAT: Duration = Duration::from_millis(500);
/// A rebuild that has not said so for this long was killed.
const SILENCE: Duration = Duration::from_secs(3);
/// How often the history is read on before others may join; the first time is the long one.
const ROUNDS_MAX: usize = 8;
/// So few rows are read on by whoever comes first.
const FEW: u64 = 10_000;
/// How often a switch is tried. Whoever brings rows brings them to both, so one of the first succeeds.
const SWITCHES_MAX: usize = 64;
/// So many generations of one reading may wait until their rows are gone: each holds all of them once more.
const WAITING_MAX: usize = 3;

/// What was loaded into a next generation.
#[derive(Debug, Default)]
struct Loaded {
    rows: u64,
    written: u64,
}

impl Engine {
    /// Load every served reading of these views (all views where none is named) anew, one after the other, each into a next
    /// generation that takes the current one's place when it is complete. `seen` is told how many rows were loaded.
    ///
    /// What is read stays as it is until then, also where this fails or is killed. Pushes and runs of [`Engine::materialize`] go
    /// to both meanwhile. What was left is dropped by [`Engine::drop_generations`], a minute later; where that is much already, it is
    /// dropped first.
    ///
    /// Refused: a view that another rebuild is at work on, and one of which much is left that is not to be dropped yet.
    pub async fn rebuild_online(
        &self,
        views: &[Name],
        seen: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Vec<Materialized>> {
        let known = self.definitions().await?;
        let readings = wanted_readings(&known, views)?;
        let (mut done, mut events, mut failed) = (Vec::new(), Vec::new(), None);
        for reading in readings {
            let run = self.begin_run();
            let before: u64 = done.iter().map(|done: &Materialized| done.rows).sum();
            let rebuilt = self.rebuild_reading(reading, &|rows| seen(before + rows)).await;
            if let Some(run) = run {
                events.extend(self.events_of_materialize(&run, reading, &rebuilt));
            }
            match rebuilt {
                Ok(rebuilt) => done.push(rebuilt),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        self.deliver(&events).await;
        failed.map_or(Ok(done), Err)
    }

    async fn rebuild_reading(
        &self,
        reading: &ServedReading,
        seen: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Materialized> {
        let online = self.online()?;
        // a later refusal would come after all the work
        let marks = online.marks(std::slice::from_ref(&reading.id)).await?;
        moment_of_run(&reading.view, marks.into_iter().flatten().next().unwrap_or(NOTHING), self.clock())?;
        self.make_room(online, reading).await?;
        let generation = self.start_rebuild(online, reading).await?;
        let rebuilt = tokio::select! {
            rebuilt = self.load_and_switch(online, reading, generation, seen) => rebuilt,
            never = beat(online, reading) => match never {},
        };
        if rebuilt.is_err()
            && let Err(error) = online.abandon_generation(&reading.id, generation, due()).await
        {
            // who looks later finds that nobody is at work on it
            tracing::debug!("generation {generation} of {} is left behind: {error}", reading.id);
        }
        rebuilt
    }

    /// Drops what earlier rebuilds left, where that is as much as there may be: nobody else may be there to do it.
    async fn make_room(&self, online: &dyn OnlineStore, reading: &ServedReading) -> Result<()> {
        if online.generations(&reading.id).await?.old.len() < WAITING_MAX {
            return Ok(());
        }
        for dropped in self.drop_due(online, reading, Clock::System.now(), DROPPED_KEYS_PER_S).await? {
            let DroppedGeneration { reading, generation, rows, .. } = dropped;
            tracing::info!(%reading, %generation, rows, "the rows of an old generation are gone, before the next rebuild");
        }
        Ok(())
    }

    /// Begins a next generation, in the place of one that was left behind.
    async fn start_rebuild(&self, online: &dyn OnlineStore, reading: &ServedReading) -> Result<Generation> {
        for _ in 0..ATTEMPTS {
            let found = online.generations(&reading.id).await?;
            if let (true, Some(first)) = (found.old.len() >= WAITING_MAX, found.old.first()) {
                return Err(Error::Exhausted(format!(
                    "could not rebuild {}: {} earlier generations of it are in {} still, for readers in flight or until another \
                     process has dropped them, and each holds all of its rows; try again after {}, when the first of them may go",
                    reading.view,
                    found.old.len(),
                    online.describe(),
                    first.due
                )));
            }
            if let Some(next) = &found.next {
                refuse_if_alive(online, reading, next).await?;
            }
            let replacing = found.next.map(|next| next.generation);
            if let Some(generation) = online.start_generation(&reading.id, replacing, due()).await? {
                return Ok(generation);
            }
        }
        Err(busy(online, reading))
    }

    async fn load_and_switch(
        &self,
        online: &dyn OnlineStore,
        reading: &ServedReading,
        generation: Generation,
        seen: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Materialized> {
        let mut loaded = Loaded::default();
        self.fill(online, reading, generation, &mut loaded, seen).await?;
        for _ in 0..SWITCHES_MAX {
            // it has marks now, so that this brings both up to the present
            let Materialized { marks, .. } = self.materialize_reading(reading).await?;
            match online.switch_generation(&reading.id, generation, due()).await? {
                Switch::Done => {
                    let Loaded { rows, written } = loaded;
                    let (view, reading) = (reading.view.clone(), reading.id.clone());
                    return Ok(Materialized { view, reading, rows, written, marks, beside: None });
                }
                Switch::Behind => {}
                Switch::Gone => return Err(gone(online, reading)),
            }
        }
        Err(Error::Unavailable(format!(
            "could not finish the rebuild of {}: others brought what is read in {} further than the new rows {SWITCHES_MAX} times; \
             an earlier version of hitherto may be writing there, which does not know of rebuilds",
            reading.view,
            online.describe()
        )))
    }

    /// Loads all of history, until the next generation has marks. An erasure meanwhile makes it begin again.
    async fn fill(
        &self,
        online: &dyn OnlineStore,
        reading: &ServedReading,
        generation: Generation,
        loaded: &mut Loaded,
        seen: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let run = online.begin_beside(&reading.id, generation).await?;
            let run = run.ok_or_else(|| gone(online, reading))?;
            *loaded = Loaded::default();
            if self.load(online, reading, &run, loaded, seen).await? {
                return Ok(());
            }
        }
        Err(busy(online, reading))
    }

    /// Loads all of history in one run; whether that has moved its marks.
    async fn load(
        &self,
        online: &dyn OnlineStore,
        reading: &ServedReading,
        run: &Run,
        loaded: &mut Loaded,
        seen: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<bool> {
        let rows = OnlineRows::new(&reading.table);
        let mut from = NOTHING;
        for _ in 0..ROUNDS_MAX {
            let pinned = self.history(&reading.table)?.pin().await?;
            let now = self.clock().now();
            let to = Marks { sequence: pinned.last_sequence(), clock: now };
            let after = ScanMarks { sequence: from.sequence, clock: from.clock };
            let mut changes = pinned.changes(after, now, reading.source_delay);
            let before = loaded.rows;
            while let Some(batch) = changes.try_next().await? {
                match online.write(&reading.id, run, &rows.writes(&batch)?).await {
                    Ok(done) => loaded.written += done.written,
                    // what was read before an erasure is not to be written after it
                    Err(hitherto_online::Error::Overtaken { .. }) => return Ok(false),
                    Err(error) => return Err(error.into()),
                }
                loaded.rows += batch.num_rows() as u64;
                seen(loaded.rows);
            }
            from = to;
            if loaded.rows - before <= FEW {
                break;
            }
        }
        let to = run.marks().map_or(from, |marks| Marks {
            sequence: from.sequence.max(marks.sequence),
            clock: from.clock.max(marks.clock),
        });
        Ok(reached(online.advance(&reading.id, run, to).await?, to).is_some())
    }
}

/// When rows may go that nobody is to read from now on. Never by the pretended clock: readers in flight have their own.
pub(crate) fn due() -> Timestamp {
    Timestamp(Clock::System.now().0.saturating_add(KEPT_US))
}

/// Says again and again that a rebuild is at work.
async fn beat(online: &dyn OnlineStore, reading: &ServedReading) -> Infallible {
    let mut ticks = interval(BEAT);
    loop {
        ticks.tick().await;
        if let Err(error) = online.beat(&reading.id).await {
            // the load hears of it by itself
            tracing::debug!("could not say that {} is being rebuilt: {error}", reading.id);
        }
    }
}

/// Refuses where a rebuild goes on.
async fn refuse_if_alive(online: &dyn OnlineStore, reading: &ServedReading, seen: &NextGeneration) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < SILENCE {
        sleep(BEAT / 2).await;
        match online.generations(&reading.id).await?.next {
            Some(now) if now == *seen => {}
            // it is over
            None => return Ok(()),
            Some(now) => {
                return Err(Error::Query {
                    what: format!("could not rebuild {}", reading.view),
                    reason: format!(
                        "another rebuild of it is at work in {} (generation {}); let it end, or stop it and try again",
                        online.describe(),
                        now.generation
                    ),
                    kind: Kind::Conflict,
                });
            }
        }
    }
    Ok(())
}

fn gone(online: &dyn OnlineStore, reading: &ServedReading) -> Error {
    Error::Unavailable(format!(
        "could not finish the rebuild of {}: {} has lost it, or another rebuild took its place because this one was silent; what \
         was read before is still read; try again",
        reading.view,
        online.describe()
    ))
}

fn busy(online: &dyn OnlineStore, reading: &ServedReading) -> Error {
    Error::Unavailable(format!(
        "could not rebuild {}: keys were erased, or other rebuilds begun, in {} {ATTEMPTS} times meanwhile; try again",
        reading.view,
        online.describe()
    ))
}
