//! What rebuilds leave behind: generations that nobody reads, and those of rebuilds that were killed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::num::NonZeroU32;
use std::time::Duration;

use futures::TryStreamExt;
use hitherto_core::{Name, Timestamp};
use hitherto_offline::KeyReader;
use hitherto_online::{Generation, NextGeneration, OldGeneration, OnlineStore, Reading};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use crate::materialize::wanted_readings;
use crate::readings::{ServedReading, every_reading};
use crate::rebuild_online::due;
use crate::{Clock, Engine, Result};

/// How many keys of an old generation are dropped a second unless it is said otherwise: a few per cent of what Redis does.
pub const DROPPED_KEYS_PER_S: NonZeroU32 = NonZeroU32::new(20_000).expect("it is not zero");
/// Keys that are dropped in one go, after which those are let through who wait.
const KEYS_AT_ONCE: usize = 1000;
/// Whoever drops has so long until another does; it says again and again that it is at work.
const HELD_US: i64 = 300_000_000;
/// How often it says so.
const SAID_AGAIN: Duration = Duration::from_mins(1);
/// How often the follower looks for what rebuilds left behind.
pub(crate) const TENDED: Duration = Duration::from_secs(10);
/// A rebuild that has said nothing for so many looks was killed.
const LOOKS_MAX: u32 = 6;

/// An old generation whose rows are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedGeneration {
    /// The view whose rows it held.
    pub view: Name,
    /// The reading.
    pub reading: Reading,
    /// Its number.
    pub generation: Generation,
    /// Rows that were deleted.
    pub rows: u64,
}

impl Engine {
    /// Delete the rows of generations of these views (all views where none is named) that nobody has been to read for a minute
    /// at `now`, the system's time: key by key, as history has them, no more than `keys_per_s` a second.
    ///
    /// What another process is dropping is left to it. One that was interrupted is dropped from the beginning after five minutes.
    pub async fn drop_generations(
        &self,
        views: &[Name],
        now: Timestamp,
        keys_per_s: NonZeroU32,
    ) -> Result<Vec<DroppedGeneration>> {
        let known = self.definitions().await?;
        // names what is unknown
        wanted_readings(&known, views)?;
        let online = self.online()?;
        let mut dropped = Vec::new();
        // also what no set and no model asks for any more
        for reading in every_reading(&known.catalog) {
            if views.is_empty() || views.contains(&reading.view) {
                dropped.extend(self.drop_due(online, &reading, now, keys_per_s).await?);
            }
        }
        Ok(dropped)
    }

    /// The same of one reading.
    pub(crate) async fn drop_due(
        &self,
        online: &dyn OnlineStore,
        reading: &ServedReading,
        now: Timestamp,
        keys_per_s: NonZeroU32,
    ) -> Result<Vec<DroppedGeneration>> {
        let mut dropped = Vec::new();
        for old in online.generations(&reading.id).await?.old {
            if old.due <= now
                && let Some(rows) = self.drop_generation(online, reading, old, now, keys_per_s).await?
            {
                let (view, generation) = (reading.view.clone(), old.generation);
                dropped.push(DroppedGeneration { view, reading: reading.id.clone(), generation, rows });
            }
        }
        Ok(dropped)
    }

    /// Drops one generation; none where another process does.
    async fn drop_generation(
        &self,
        online: &dyn OnlineStore,
        reading: &ServedReading,
        mut old: OldGeneration,
        now: Timestamp,
        keys_per_s: NonZeroU32,
    ) -> Result<Option<u64>> {
        let (begun, mut said) = (Instant::now(), None::<Instant>);
        let pinned = self.history(&reading.table)?.pin().await?;
        let types: Vec<_> = reading.table.keys.iter().map(|(_, key_type)| *key_type).collect();
        let mut batches = pinned.keys();
        let (mut walked, mut rows) = (0_u64, 0);
        loop {
            if said.is_none_or(|said| said.elapsed() > SAID_AGAIN) {
                let elapsed = i64::try_from(begun.elapsed().as_micros()).unwrap_or(i64::MAX);
                let until = Timestamp(now.0.saturating_add(elapsed).saturating_add(HELD_US));
                if !online.postpone(&reading.id, old, until).await? {
                    return Ok(None);
                }
                (old.due, said) = (until, Some(Instant::now()));
            }
            let Some(batch) = batches.try_next().await? else { break };
            let reader = KeyReader::try_new(batch.columns(), &types)?;
            let keys = (0..batch.num_rows()).filter_map(|row| Some(reader.key(row)?.to_bytes()));
            let mut keys: Vec<Vec<u8>> = keys.collect();
            // runs of history are sorted by key
            keys.sort_unstable();
            keys.dedup();
            for piece in keys.chunks(KEYS_AT_ONCE) {
                rows += online.drop_rows(&reading.id, old.generation, piece).await?;
                walked += piece.len() as u64;
                let earliest = Duration::from_secs_f64(walked as f64 / f64::from(keys_per_s.get()));
                sleep_until(begun + earliest).await;
            }
        }
        online.forget_generation(&reading.id, old.generation).await?;
        Ok(Some(rows))
    }

    /// Gives up what killed rebuilds left, and drops old generations when their time has come, again and again.
    pub(crate) async fn tend_generations(&self, every: Duration, keys_per_s: NonZeroU32) -> Infallible {
        // a drop may take an hour, and meanwhile every row is written to what a killed rebuild left
        tokio::select! {
            never = self.give_up_silent(every) => never,
            never = self.drop_due_ones(every, keys_per_s) => never,
        }
    }

    async fn give_up_silent(&self, every: Duration) -> Infallible {
        let (mut ticks, mut silent) = (tending(every), HashMap::new());
        loop {
            ticks.tick().await;
            // the store may be away: the follower says so, and the next look does what was left undone
            if let Err(error) = self.abandon_silent(&mut silent).await {
                tracing::debug!("could not look for rebuilds that were killed: {error}");
            }
        }
    }

    async fn drop_due_ones(&self, every: Duration, keys_per_s: NonZeroU32) -> Infallible {
        let mut ticks = tending(every);
        loop {
            ticks.tick().await;
            match self.drop_generations(&[], Clock::System.now(), keys_per_s).await {
                Ok(dropped) => {
                    for DroppedGeneration { reading, generation, rows, .. } in dropped {
                        tracing::info!(%reading, %generation, rows, "the rows of an old generation are gone");
                    }
                }
                Err(error) => tracing::debug!("old generations stay for now: {error}"),
            }
        }
    }

    /// Gives up next generations whose rebuilds have said nothing for so long that they must have been killed. Of each it is
    /// remembered how often it was found as it is.
    async fn abandon_silent(&self, silent: &mut HashMap<Reading, (NextGeneration, u32)>) -> Result<()> {
        let known = self.definitions().await?;
        let online = self.online()?;
        for reading in every_reading(&known.catalog) {
            let Some(next) = online.generations(&reading.id).await?.next else {
                silent.remove(&reading.id);
                continue;
            };
            let looks = match silent.get(&reading.id) {
                Some((before, looks)) if *before == next => looks + 1,
                _ => 0,
            };
            if looks >= LOOKS_MAX && online.abandon_generation(&reading.id, next.generation, due()).await? {
                tracing::warn!(reading = %reading.id, generation = %next.generation, "a rebuild was killed; it is given up");
            }
            silent.insert(reading.id, (next, looks));
        }
        Ok(())
    }
}

fn tending(every: Duration) -> Interval {
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

#[cfg(test)]
mod tests;
