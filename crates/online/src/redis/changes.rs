//! Changes of what an entry says of generations: looked at, decided here, and made if nothing has changed since.
//!
//! Each bucket of a cluster has an entry of its own and is changed by itself, all of them in the same round trips.

use redis::Value;

use super::script::{self, Entry};
use super::servers::Call;
use super::store::RedisStore;
use crate::generation::{Numbers, old_bytes, parse_old};
use crate::{Error, Generation, OldGeneration, Reading, Result};

/// How often a change is decided anew because an entry was changed meanwhile. Runs move marks some hundred times a second.
pub(super) const TRIES_MAX: usize = 100;

/// What one bucket has of a reading.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) bucket: usize,
    /// The entry as it lies there; nothing where there is none.
    pub(super) entry: Vec<u8>,
    pub(super) numbers: Numbers,
    pub(super) old: Vec<OldGeneration>,
    /// The entry of the next generation that was asked for.
    pub(super) beside: Vec<u8>,
}

/// Keys that are set together, if they still are as they were.
#[derive(Debug, Default)]
pub(super) struct Change {
    keys: Vec<Vec<u8>>,
    args: Vec<Vec<u8>>,
}

impl Change {
    /// Sets a key to `to`, or deletes it where that is nothing, if it still is `from`.
    pub(super) fn set(mut self, key: Vec<u8>, from: Vec<u8>, to: Vec<u8>) -> Self {
        self.keys.push(key);
        self.args.extend([from, to]);
        self
    }

    /// Sets a key, whatever it was.
    pub(super) fn overwrite(self, key: Vec<u8>, to: Vec<u8>) -> Self {
        self.set(key, b"*".to_vec(), to)
    }
}

impl Found {
    /// The bytes of the entry with other numbers. One is made where there is none.
    pub(super) fn with_numbers(&self, numbers: Numbers) -> Vec<u8> {
        match script::parse(&self.entry) {
            Ok(entry) => Entry { numbers, ..entry }.bytes(),
            Err(_) => Entry { numbers, ..Entry::empty(&script::nonce()) }.bytes(),
        }
    }

    /// The same with another nonce: no run that has begun writes on.
    pub(super) fn anew_with_numbers(&self, numbers: Numbers) -> Vec<u8> {
        let nonce = script::nonce();
        let entry = script::parse(&self.entry).unwrap_or_else(|_| Entry::empty(&nonce));
        Entry { nonce: &nonce, numbers, ..entry }.bytes()
    }

    /// Every generation of which there may be rows.
    pub(super) fn generations(&self) -> impl Iterator<Item = Generation> {
        let old = self.old.iter().map(|old| old.generation);
        std::iter::once(self.numbers.current).chain(self.numbers.next).chain(old)
    }
}

impl RedisStore {
    /// What these buckets have of a reading, and of one of its next generations.
    pub(super) async fn look(
        &self,
        reading: &Reading,
        beside: Option<Generation>,
        buckets: &[usize],
    ) -> Result<Vec<Found>> {
        let calls = buckets.iter().map(|bucket| {
            let mut command = redis::cmd("MGET");
            command.arg(self.keys.marks(reading, *bucket)).arg(self.keys.old(reading, *bucket));
            command.arg(self.keys.entry(reading, beside, *bucket));
            self.call(*bucket, command)
        });
        let calls: Vec<Call> = calls.collect();
        // as a script would, it waits for keys that are on the move
        let replies = self.run("read from", &self.writes, &calls, Some(&self.scripts.exchange)).await?;
        let found = buckets.iter().zip(replies).map(|(bucket, reply)| self.found(reading, *bucket, reply.value));
        found.collect()
    }

    fn found(&self, reading: &Reading, bucket: usize, value: Value) -> Result<Found> {
        let foreign = || self.corrupt("the marks", reading, "redis answered with something else");
        let Value::Array(values) = value else { return Err(foreign()) };
        let bytes = values.into_iter().map(|value| match value {
            Value::Nil => Some(Vec::new()),
            Value::BulkString(bytes) => Some(bytes),
            _ => None,
        });
        let bytes: Vec<Vec<u8>> = bytes.collect::<Option<_>>().ok_or_else(foreign)?;
        let [entry, old, beside] = <[Vec<u8>; 3]>::try_from(bytes).map_err(|_| foreign())?;
        let numbers = match script::parse(&entry) {
            _ if entry.is_empty() => Numbers::default(),
            Ok(entry) => entry.numbers,
            Err(problem) => return Err(self.corrupt("the marks", reading, problem)),
        };
        let old = parse_old(&old).map_err(|problem| self.corrupt("the old generations", reading, problem))?;
        Ok(Found { bucket, entry, numbers, old, beside })
    }

    /// What all buckets have of a reading.
    pub(super) async fn look_everywhere(&self, reading: &Reading, beside: Option<Generation>) -> Result<Vec<Found>> {
        self.look(reading, beside, &self.all_buckets()).await
    }

    pub(super) fn all_buckets(&self) -> Vec<usize> {
        (0..self.keys.buckets()).collect()
    }

    /// The change of a bucket's list of old generations.
    pub(super) fn set_old(&self, change: Change, reading: &Reading, found: &Found, old: &[OldGeneration]) -> Change {
        change.set(self.keys.old(reading, found.bucket), old_bytes(&found.old), old_bytes(old))
    }

    /// Makes these changes, each of one bucket; whether each was made.
    pub(super) async fn make(&self, changes: Vec<(usize, Change)>) -> Result<Vec<bool>> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let script = &self.scripts.exchange;
        let calls = changes.iter().map(|(bucket, change)| {
            self.call(*bucket, script::call(script, &change.keys, change.args.iter().map(Vec::as_slice)))
        });
        let calls: Vec<Call> = calls.collect();
        let replies = self.run("write to", &self.writes, &calls, Some(script)).await?;
        Ok(replies.into_iter().map(|reply| reply.value == Value::Int(1)).collect())
    }

    /// Changes these buckets as `decide` says of what each has, again and again until all are as they are to be. Says how many
    /// changes were made.
    pub(super) async fn settle(
        &self,
        reading: &Reading,
        beside: Option<Generation>,
        mut buckets: Vec<usize>,
        mut decide: impl FnMut(&Found) -> Option<Change> + Send,
    ) -> Result<usize> {
        let mut made = 0;
        for _ in 0..TRIES_MAX {
            if buckets.is_empty() {
                return Ok(made);
            }
            let found = self.look(reading, beside, &buckets).await?;
            let changes: Vec<(usize, Change)> =
                found.iter().filter_map(|found| Some((found.bucket, decide(found)?))).collect();
            buckets = changes.iter().map(|(bucket, _)| *bucket).collect();
            let done = self.make(changes).await?;
            made += done.iter().filter(|done| **done).count();
            let mut open = done.into_iter();
            buckets.retain(|_| !open.next().unwrap_or(false));
        }
        Err(self.too_busy())
    }

    /// Removes a row of every generation, and renews the nonces of all entries; whether there was a row.
    pub(super) async fn erase_everywhere(&self, reading: &Reading, key: &[u8]) -> Result<bool> {
        let own = self.keys.bucket(key);
        let mut was_held = false;
        // every bucket is told: runs that have begun are to write no more, whatever they write
        let mut buckets = self.all_buckets();
        for _ in 0..TRIES_MAX {
            if buckets.is_empty() {
                return Ok(was_held);
            }
            let found = self.look(reading, None, &buckets).await?;
            let calls: Vec<Call> = found.iter().map(|found| self.erasing(reading, found, key, own)).collect();
            let replies = self.run("erase from", &self.writes, &calls, Some(&self.scripts.erase)).await?;
            let mut open = Vec::new();
            for (bucket, reply) in buckets.into_iter().zip(replies) {
                match reply.value {
                    Value::Int(rows @ 0..) => was_held |= rows > 0,
                    // its generations have changed: those that there are now have to be asked for
                    Value::Int(_) => open.push(bucket),
                    _ => return Err(self.corrupt("a row", reading, "redis answered with something else")),
                }
            }
            buckets = open;
        }
        Err(self.too_busy())
    }

    fn erasing(&self, reading: &Reading, found: &Found, key: &[u8], own: usize) -> Call {
        let Found { bucket, numbers, .. } = found;
        let mut keys = vec![self.keys.marks(reading, *bucket)];
        keys.extend(numbers.next.map(|next| self.keys.entry(reading, Some(next), *bucket)));
        let mut args = vec![if numbers.are_first() { Vec::new() } else { numbers.bytes().to_vec() }];
        args.extend(keys.iter().map(|_| script::nonce().to_vec()));
        if *bucket == own {
            keys.extend(found.generations().map(|generation| self.keys.row(reading, generation, key)));
        }
        self.call(*bucket, script::call(&self.scripts.erase, &keys, args.iter().map(Vec::as_slice)))
    }

    pub(super) fn too_busy(&self) -> Error {
        let problem = format!("others changed a reading's entry each of the {TRIES_MAX} times that it was looked at");
        Error::Busy { doing: "write to", store: self.name.clone(), problem }
    }
}
