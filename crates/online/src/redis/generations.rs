//! How generations come and go.

use std::collections::BTreeMap;

use async_trait::async_trait;
use hitherto_core::Timestamp;
use redis::Value;

use super::changes::{Change, Found, TRIES_MAX};
use super::script::{self, Entry};
use super::servers::Call;
use super::store::RedisStore;
use crate::generation::with_old;
use crate::{Generation, GenerationStore, Generations, NextGeneration, OldGeneration, Reading, Result, Run, Switch};

/// Rows that one script deletes: the server does nothing else meanwhile.
const DROPPED_AT_ONCE: usize = 256;
/// A beat is forgotten after this, in seconds; nobody looks at one so old.
const BEAT_LIFE_S: usize = 3600;

#[async_trait]
impl GenerationStore for RedisStore {
    async fn generations(&self, reading: &Reading) -> Result<Generations> {
        let found = self.look_everywhere(reading, None).await?;
        let next = match next_of(&found) {
            None => None,
            Some(generation) => Some(NextGeneration { generation, beat: self.last_beat(reading).await? }),
        };
        let current = found.first().map_or(Generation::FIRST, |found| found.numbers.current);
        Ok(Generations { current, next, old: old_of(&found) })
    }

    async fn start_generation(
        &self,
        reading: &Reading,
        replacing: Option<Generation>,
        due: Timestamp,
    ) -> Result<Option<Generation>> {
        let Some(generation) = self.start_in_first(reading, replacing, due).await? else { return Ok(None) };
        let others = self.all_buckets().split_off(1);
        self.settle(reading, None, others, |found| {
            let is_settled = found.numbers.last >= generation;
            (!is_settled).then(|| self.starting(reading, found, generation, due))
        })
        .await?;
        Ok(Some(generation))
    }

    async fn begin_beside(&self, reading: &Reading, generation: Generation) -> Result<Option<Run>> {
        let (witness, marks) = self.begin_in(reading, Some(generation)).await?;
        let is_there = witness.buckets.iter().any(|begun| !begun.is_left_out());
        Ok(is_there.then(|| Run::new(marks, witness.bytes())))
    }

    async fn switch_generation(&self, reading: &Reading, generation: Generation, due: Timestamp) -> Result<Switch> {
        let found = self.look_everywhere(reading, Some(generation)).await?;
        let is_next = |found: &&Found| found.numbers.next == Some(generation);
        if !found.iter().any(|found| is_next(&found)) {
            let is_current = found.iter().any(|found| found.numbers.current == generation);
            return Ok(if is_current { Switch::Done } else { Switch::Gone });
        }
        // none is switched while one is behind
        if !found.iter().filter(is_next).all(is_ready) {
            return Ok(Switch::Behind);
        }
        let (mut is_behind, mut is_current) = (false, false);
        let decide = |found: &Found| {
            if found.numbers.next != Some(generation) {
                is_current |= found.numbers.current == generation;
                return None;
            }
            let change = self.switching(reading, found, generation, due);
            is_behind |= change.is_none();
            change
        };
        let switched = self.settle(reading, Some(generation), self.all_buckets(), decide).await?;
        Ok(match (is_behind, switched > 0 || is_current) {
            (true, _) => Switch::Behind,
            (false, true) => Switch::Done,
            // somebody gave it up just now
            (false, false) => Switch::Gone,
        })
    }

    async fn abandon_generation(&self, reading: &Reading, generation: Generation, due: Timestamp) -> Result<bool> {
        let abandon = |found: &Found| {
            (found.numbers.next == Some(generation)).then(|| {
                let change = Change::default()
                    .set(
                        self.keys.marks(reading, found.bucket),
                        found.entry.clone(),
                        found.with_numbers(found.numbers.abandoned()),
                    )
                    .overwrite(self.keys.entry(reading, Some(generation), found.bucket), Vec::new());
                self.set_old(change, reading, found, &with_old(&found.old, generation, due))
            })
        };
        let abandoned = self.settle(reading, None, self.all_buckets(), abandon).await?;
        Ok(abandoned > 0)
    }

    async fn beat(&self, reading: &Reading) -> Result<()> {
        let mut command = redis::cmd("SET");
        command.arg(self.keys.beat(reading)).arg(&script::nonce()[..]).arg("EX").arg(BEAT_LIFE_S);
        self.run("write to", &self.writes, &[self.call(0, command)], None).await.map(drop)
    }

    async fn postpone(&self, reading: &Reading, old: OldGeneration, due: Timestamp) -> Result<bool> {
        let moved = |found: &Found| {
            let held = found.old.iter().find(|held| held.generation == old.generation)?;
            (held.due != due).then(|| {
                let list = with_old(&found.old, old.generation, due);
                (found.bucket, self.set_old(Change::default(), reading, found, &list))
            })
        };
        let found = self.look_everywhere(reading, None).await?;
        if !old_of(&found).contains(&old) {
            return Ok(false);
        }
        // the first bucket that knows it decides who is to drop it
        let Some(first) = found.iter().find_map(moved) else { return Ok(true) };
        if self.make(vec![first]).await? != [true] {
            return Ok(false);
        }
        self.settle(reading, None, self.all_buckets(), |found| moved(found).map(|(_, change)| change)).await?;
        Ok(true)
    }

    async fn drop_rows(&self, reading: &Reading, generation: Generation, keys: &[Vec<u8>]) -> Result<u64> {
        let mut buckets: Vec<Vec<&Vec<u8>>> = vec![Vec::new(); self.keys.buckets()];
        for key in keys {
            buckets[self.keys.bucket(key)].push(key);
        }
        let number = generation.0.to_be_bytes();
        let mut calls: Vec<Call> = Vec::new();
        for (bucket, keys) in buckets.iter().enumerate() {
            for piece in keys.chunks(DROPPED_AT_ONCE) {
                let rows = piece.iter().map(|key| self.keys.row(reading, generation, key));
                let keys: Vec<Vec<u8>> = std::iter::once(self.keys.marks(reading, bucket)).chain(rows).collect();
                let command = script::call(&self.scripts.drop, &keys, std::iter::once(&number[..]));
                calls.push(self.call(bucket, command));
            }
        }
        if calls.is_empty() {
            return Ok(0);
        }
        let replies = self.run("write to", &self.writes, &calls, Some(&self.scripts.drop)).await?;
        // a bucket in which it is current or next keeps its rows
        let dropped = replies.iter().map(|reply| if let Value::Int(rows) = reply.value { rows } else { 0 });
        Ok(dropped.map(|rows| u64::try_from(rows).unwrap_or(0)).sum())
    }

    async fn forget_generation(&self, reading: &Reading, generation: Generation) -> Result<()> {
        let forget = |found: &Found| {
            found.old.iter().any(|old| old.generation == generation).then(|| {
                let mut list = found.old.clone();
                list.retain(|old| old.generation != generation);
                self.set_old(Change::default(), reading, found, &list)
            })
        };
        self.settle(reading, None, self.all_buckets(), forget).await.map(drop)
    }
}

impl RedisStore {
    /// Begins a next generation in the first bucket, which decides which of several begins: the others see it by its number.
    async fn start_in_first(
        &self,
        reading: &Reading,
        replacing: Option<Generation>,
        due: Timestamp,
    ) -> Result<Option<Generation>> {
        for _ in 0..TRIES_MAX {
            let found = self.look_everywhere(reading, None).await?;
            let Some(first) = found.first().filter(|_| next_of(&found) == replacing) else { return Ok(None) };
            let last = found.iter().map(|found| found.numbers.last).max().unwrap_or_default();
            let generation = Generation(last.0 + 1);
            let change = self.starting(reading, first, generation, due);
            if self.make(vec![(first.bucket, change)]).await? == [true] {
                return Ok(Some(generation));
            }
        }
        Err(self.too_busy())
    }

    async fn last_beat(&self, reading: &Reading) -> Result<Vec<u8>> {
        let mut command = redis::cmd("GET");
        command.arg(self.keys.beat(reading));
        let replies = self.run("read from", &self.writes, &[self.call(0, command)], None).await?;
        Ok(match replies.into_iter().next().map(|reply| reply.value) {
            Some(Value::BulkString(beat)) => beat,
            _ => Vec::new(),
        })
    }

    /// Begins a next generation in one bucket, in the place of one that may be under way there.
    fn starting(&self, reading: &Reading, found: &Found, generation: Generation, due: Timestamp) -> Change {
        let key = |beside| self.keys.entry(reading, beside, found.bucket);
        let (nonce, numbers) = (script::nonce(), found.numbers);
        let change = Change::default()
            // a run that does not know of it would write to what is read alone
            .set(key(None), found.entry.clone(), found.anew_with_numbers(numbers.started(generation)))
            .overwrite(key(Some(generation)), Entry::empty(&nonce).bytes());
        match numbers.next {
            None => change,
            Some(replaced) => {
                let change = change.overwrite(key(Some(replaced)), Vec::new());
                self.set_old(change, reading, found, &with_old(&found.old, replaced, due))
            }
        }
    }

    /// Puts a next generation into the current one's place in one bucket; none if it is behind.
    fn switching(&self, reading: &Reading, found: &Found, generation: Generation, due: Timestamp) -> Option<Change> {
        if !is_ready(found) {
            return None;
        }
        let next = script::parse(&found.beside).ok()?;
        let entry = Entry { numbers: found.numbers.switched(generation), ..next };
        let key = |beside| self.keys.entry(reading, beside, found.bucket);
        let change = Change::default().set(key(None), found.entry.clone(), entry.bytes()).set(
            key(Some(generation)),
            found.beside.clone(),
            Vec::new(),
        );
        Some(self.set_old(change, reading, found, &with_old(&found.old, found.numbers.current, due)))
    }
}

/// The next generation of a reading: the latest, where a rebuild died between two buckets.
fn next_of(found: &[Found]) -> Option<Generation> {
    found.iter().filter_map(|found| found.numbers.next).max()
}

/// The old generations of all buckets, each with the latest of its times, the earliest first.
fn old_of(found: &[Found]) -> Vec<OldGeneration> {
    let mut dues: BTreeMap<Generation, Timestamp> = BTreeMap::new();
    for old in found.iter().flat_map(|found| &found.old) {
        let due = dues.entry(old.generation).or_insert(old.due);
        *due = old.due.max(*due);
    }
    let mut old: Vec<OldGeneration> =
        dues.into_iter().map(|(generation, due)| OldGeneration { generation, due }).collect();
    old.sort_by_key(|old| (old.due, old.generation));
    old
}

/// Whether the next generation of a bucket has everything that its current one has.
fn is_ready(found: &Found) -> bool {
    let marks = |entry: &[u8]| script::parse(entry).ok().and_then(|entry| entry.marks);
    let current = marks(&found.entry);
    marks(&found.beside).is_some_and(|next| current.is_none_or(|current| next.have_reached(current)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Numbers;

    #[test]
    fn buckets_that_differ_are_one_reading() {
        let old = |generation, due| OldGeneration { generation: Generation(generation), due: Timestamp(due) };
        let bucket = |bucket, numbers, old: &[OldGeneration]| Found {
            bucket,
            entry: Vec::new(),
            numbers,
            old: old.to_vec(),
            beside: Vec::new(),
        };
        let switched = Numbers::default().switched(Generation(2));
        let found = [
            bucket(0, switched, &[old(0, 5), old(1, 9)]),
            bucket(1, Numbers::default().started(Generation(2)), &[old(1, 3)]),
            bucket(2, Numbers::default(), &[]),
        ];
        assert_eq!(next_of(&found), Some(Generation(2)));
        assert_eq!(next_of(&found[..1]), None);
        assert_eq!(old_of(&found), [old(0, 5), old(1, 9)]);
        let all: Vec<u32> = found[1].generations().map(|generation| generation.0).collect();
        assert_eq!(all, [0, 2, 1]);
    }
}
