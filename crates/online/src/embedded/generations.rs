//! How generations come and go: each change is one transaction.

use async_trait::async_trait;
use hitherto_core::Timestamp;

use super::entry::{Entry, Place};
use super::environment::Environment;
use super::failure::Failure;
use super::store::{EmbeddedStore, delete};
use super::witness::{Target, Witness};
use crate::generation::with_old;
use crate::{Generation, GenerationStore, Generations, NextGeneration, OldGeneration, Reading, Result, Run, Switch};

/// Rows that one transaction deletes.
const COMMIT_ROWS: usize = 4096;

#[async_trait]
impl GenerationStore for EmbeddedStore {
    async fn generations(&self, reading: &Reading) -> Result<Generations> {
        self.inline(|environment| {
            let (txn, place) = (environment.env.read_txn()?, self.place(reading));
            let numbers = place.entry(environment, &txn)?.numbers;
            let beat = place.beat(environment, &txn)?;
            let next = numbers.next.map(|generation| NextGeneration { generation, beat });
            let mut old = place.old(environment, &txn)?;
            old.sort_by_key(|old| (old.due, old.generation));
            Ok(Generations { current: numbers.current, next, old })
        })
    }

    async fn start_generation(
        &self,
        reading: &Reading,
        replacing: Option<Generation>,
        due: Timestamp,
    ) -> Result<Option<Generation>> {
        self.change(reading, move |environment, place| start(environment, place, replacing, due)).await
    }

    async fn begin_beside(&self, reading: &Reading, generation: Generation) -> Result<Option<Run>> {
        self.inline(|environment| {
            let (txn, place) = (environment.env.read_txn()?, self.place(reading));
            if place.entry(environment, &txn)?.numbers.next != Some(generation) {
                return Ok(None);
            }
            let marks = place.beside(environment, &txn, generation)?;
            let erasures = place.erasures(environment, &txn)?.to_vec();
            let witness = Witness { target: Target::Beside(generation), erasures };
            Ok(Some(Run::new(marks, witness.bytes())))
        })
    }

    async fn switch_generation(&self, reading: &Reading, generation: Generation, due: Timestamp) -> Result<Switch> {
        self.change(reading, move |environment, place| switch(environment, place, generation, due)).await
    }

    async fn abandon_generation(&self, reading: &Reading, generation: Generation, due: Timestamp) -> Result<bool> {
        self.change(reading, move |environment, place| abandon(environment, place, generation, due)).await
    }

    async fn beat(&self, reading: &Reading) -> Result<()> {
        self.change(reading, |environment, place| {
            let mut txn = environment.env.write_txn()?;
            place.count_beat(environment, &mut txn)?;
            Ok(txn.commit()?)
        })
        .await
    }

    async fn postpone(&self, reading: &Reading, old: OldGeneration, due: Timestamp) -> Result<bool> {
        self.change(reading, move |environment, place| {
            let mut txn = environment.env.write_txn()?;
            let list = place.old(environment, &txn)?;
            if !list.contains(&old) {
                return Ok(false);
            }
            place.set_old(environment, &mut txn, &with_old(&list, old.generation, due))?;
            txn.commit()?;
            Ok(true)
        })
        .await
    }

    async fn drop_rows(&self, reading: &Reading, generation: Generation, keys: &[Vec<u8>]) -> Result<u64> {
        let mut dropped = 0;
        for piece in keys.chunks(COMMIT_ROWS) {
            let mut keys = piece.to_vec();
            // neighbours share pages of the tree
            keys.sort_unstable();
            dropped += self
                .change(reading, move |environment, place| drop_piece(environment, place, generation, &keys))
                .await?;
        }
        Ok(dropped)
    }

    async fn forget_generation(&self, reading: &Reading, generation: Generation) -> Result<()> {
        self.change(reading, move |environment, place| {
            let mut txn = environment.env.write_txn()?;
            let mut list = place.old(environment, &txn)?;
            list.retain(|old| old.generation != generation);
            place.set_old(environment, &mut txn, &list)?;
            Ok(txn.commit()?)
        })
        .await
    }
}

fn start(
    environment: &Environment,
    place: Place<'_>,
    replacing: Option<Generation>,
    due: Timestamp,
) -> Result<Option<Generation>, Failure> {
    let mut txn = environment.env.write_txn()?;
    let entry = place.entry(environment, &txn)?;
    if entry.numbers.next != replacing {
        return Ok(None);
    }
    let generation = Generation(entry.numbers.last.0 + 1);
    if let Some(replaced) = replacing {
        let list = place.old(environment, &txn)?;
        place.set_old(environment, &mut txn, &with_old(&list, replaced, due))?;
        place.set_beside(environment, &mut txn, replaced, None)?;
    }
    place.set_entry(environment, &mut txn, Entry { numbers: entry.numbers.started(generation), ..entry })?;
    txn.commit()?;
    Ok(Some(generation))
}

fn switch(
    environment: &Environment,
    place: Place<'_>,
    generation: Generation,
    due: Timestamp,
) -> Result<Switch, Failure> {
    let mut txn = environment.env.write_txn()?;
    let entry = place.entry(environment, &txn)?;
    if entry.numbers.next != Some(generation) {
        let is_current = entry.numbers.current == generation;
        return Ok(if is_current { Switch::Done } else { Switch::Gone });
    }
    let Some(marks) = place.beside(environment, &txn, generation)? else { return Ok(Switch::Behind) };
    if entry.marks.is_some_and(|current| !marks.have_reached(current)) {
        return Ok(Switch::Behind);
    }
    let list = place.old(environment, &txn)?;
    place.set_old(environment, &mut txn, &with_old(&list, entry.numbers.current, due))?;
    place.set_beside(environment, &mut txn, generation, None)?;
    let switched = Entry { numbers: entry.numbers.switched(generation), marks: Some(marks) };
    place.set_entry(environment, &mut txn, switched)?;
    txn.commit()?;
    Ok(Switch::Done)
}

fn abandon(
    environment: &Environment,
    place: Place<'_>,
    generation: Generation,
    due: Timestamp,
) -> Result<bool, Failure> {
    let mut txn = environment.env.write_txn()?;
    let entry = place.entry(environment, &txn)?;
    if entry.numbers.next != Some(generation) {
        return Ok(false);
    }
    let list = place.old(environment, &txn)?;
    place.set_old(environment, &mut txn, &with_old(&list, generation, due))?;
    place.set_beside(environment, &mut txn, generation, None)?;
    place.set_entry(environment, &mut txn, Entry { numbers: entry.numbers.abandoned(), ..entry })?;
    txn.commit()?;
    Ok(true)
}

/// Deletes rows of a generation, unless it is in use again.
fn drop_piece(
    environment: &Environment,
    place: Place<'_>,
    generation: Generation,
    keys: &[Vec<u8>],
) -> Result<u64, Failure> {
    environment.env.clear_stale_readers()?;
    let mut txn = environment.env.write_txn()?;
    if !place.entry(environment, &txn)?.numbers.have_left(generation) {
        return Ok(0);
    }
    let mut dropped = 0;
    for key in keys {
        dropped += u64::from(delete(environment, &mut txn, &place.row(generation, key))?);
    }
    txn.commit()?;
    Ok(dropped)
}
