//! The embedded store's calls.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use heed::RwTxn;
use hitherto_core::Name;

use super::address::Address;
use super::entry::{Entry, Place};
use super::environment::Environment;
use super::failure::Failure;
use super::witness::{Target, Witness};
use crate::batch::{Limit, pieces};
use crate::record::{self, VERSION_LEN};
use crate::{Advance, Answer, Error, Group, Marks, OnlineRow, OnlineStore, Reading, Result, Run, Write, Written};

/// One write transaction, and one sync of the disk.
const COMMIT: Limit = Limit { rows: 4096, bytes: 16 << 20 };
/// Reads of more keys leave the async threads alone.
const INLINE_KEYS: usize = 1000;

/// A store in a folder on a local disk (LMDB's locks do not work on network file systems).
///
/// Several processes may have it open at once: any number of them read without waiting, one at a time writes. Nothing
/// else may write to its files while it is open. A write is on disk when the call returns. Reads take microseconds and
/// run on the caller's thread; writes run on a blocking thread.
#[derive(Clone)]
pub struct EmbeddedStore {
    environment: Arc<Environment>,
    project: Name,
}

impl EmbeddedStore {
    /// Opens the store in this folder, making it if it is not there.
    pub fn open(path: impl AsRef<Path>, project: &Name) -> Result<Self> {
        Ok(Self { environment: Environment::open(path.as_ref())?, project: project.clone() })
    }

    /// Opens the store in this folder, if there is one.
    pub fn open_existing(path: impl AsRef<Path>, project: &Name) -> Result<Option<Self>> {
        let found = Environment::open_existing(path.as_ref())?;
        Ok(found.map(|environment| Self { environment, project: project.clone() }))
    }

    #[cfg(test)]
    pub(super) fn open_small(path: &Path, map_size: usize, project: &Name) -> Result<Self> {
        Ok(Self { environment: Environment::share(path, &[map_size])?, project: project.clone() })
    }

    /// Where what is known of a reading lies.
    pub(super) fn place<'a>(&'a self, reading: &'a Reading) -> Place<'a> {
        Place { project: &self.project, reading }
    }

    /// What `task` finds without waiting for anybody.
    pub(super) fn inline<T>(&self, task: impl FnOnce(&Environment) -> Result<T, Failure>) -> Result<T> {
        task(&self.environment).map_err(|failure| failure.named("read", &self.environment))
    }

    /// What `task` does to a reading, on a thread that may wait.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        reading: &Reading,
        task: impl FnOnce(&Environment, Place<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let (project, reading) = (self.project.clone(), reading.clone());
        let task = move |environment: &Environment| task(environment, Place { project: &project, reading: &reading });
        self.blocking("write to", task).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        doing: &'static str,
        task: impl FnOnce(&Environment) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T> {
        let environment = Arc::clone(&self.environment);
        let done = tokio::task::spawn_blocking(move || task(&environment).map_err(|f| f.named(doing, &environment)));
        done.await.map_err(|source| Error::Task { path: self.environment.path().to_owned(), source })?
    }
}

impl fmt::Debug for EmbeddedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EmbeddedStore").field(&self.describe()).finish()
    }
}

#[async_trait]
impl OnlineStore for EmbeddedStore {
    async fn read(&self, groups: &[Group<'_>]) -> Result<Vec<Answer>> {
        if groups.iter().map(|group| group.keys.len()).sum::<usize>() > INLINE_KEYS {
            let project = self.project.clone();
            let own = |group: &Group<'_>| (group.reading.clone(), group.keys.to_vec());
            let owned: Vec<(Reading, Vec<Vec<u8>>)> = groups.iter().map(own).collect();
            let task = move |environment: &Environment| {
                let groups: Vec<Group<'_>> = owned.iter().map(|(reading, keys)| Group { reading, keys }).collect();
                read(environment, &project, &groups)
            };
            return self.blocking("read", task).await;
        }
        self.inline(|environment| read(environment, &self.project, groups))
    }

    async fn write(&self, reading: &Reading, run: &Run, writes: &[Write]) -> Result<Written> {
        let begun = begun(reading, run)?;
        let mut written = Written::default();
        for piece in pieces(writes, COMMIT) {
            let mut records: Vec<Record> = piece
                .iter()
                .map(|write| {
                    let address = self.place(reading).row(begun.target.generation(), &write.key);
                    let value = address.value(|out| record::push_row(out, &write.row));
                    Record { address, value }
                })
                .collect();
            // neighbours share pages of the tree
            records.sort_unstable_by(|a, b| a.address.cmp(&b.address));
            let begun = begun.clone();
            let done = self.change(reading, move |environment, place| supersede(environment, place, &begun, &records));
            written += done.await?.ok_or_else(|| Error::Overtaken { reading: reading.to_string() })?;
        }
        Ok(written)
    }

    async fn erase(&self, reading: &Reading, key: &[u8]) -> Result<bool> {
        let key = key.to_vec();
        self.change(reading, move |environment, place| erase(environment, place, &key)).await
    }

    async fn marks(&self, readings: &[Reading]) -> Result<Vec<Option<Marks>>> {
        let groups: Vec<Group<'_>> = readings.iter().map(|reading| Group { reading, keys: &[] }).collect();
        Ok(self.read(&groups).await?.into_iter().map(|answer| answer.marks).collect())
    }

    async fn begin(&self, reading: &Reading) -> Result<Run> {
        self.inline(|environment| begin(environment, self.place(reading)))
    }

    async fn advance(&self, reading: &Reading, run: &Run, to: Marks) -> Result<Advance> {
        if let Some(from) = run.marks().filter(|from| to.sequence < from.sequence || to.clock < from.clock) {
            return Err(Error::Backward { reading: reading.to_string(), from, to });
        }
        let (target, from) = (begun(reading, run)?.target, run.marks());
        self.change(reading, move |environment, place| advance(environment, place, target, from, to)).await
    }

    async fn ping(&self) -> Result<()> {
        let opened = self.environment.env.read_txn();
        opened.map(drop).map_err(Error::embedded("read", self.environment.path()))
    }

    fn describe(&self) -> String {
        format!("embedded store at {}", self.environment.path().display())
    }

    fn is_remote(&self) -> bool {
        false
    }
}

struct Record {
    address: Address,
    value: Vec<u8>,
}

fn begun(reading: &Reading, run: &Run) -> Result<Witness> {
    Witness::parse(run.witness()).ok_or_else(|| Error::ForeignRun { reading: reading.to_string() })
}

fn read(environment: &Environment, project: &Name, groups: &[Group<'_>]) -> Result<Vec<Answer>, Failure> {
    // one transaction: generations, marks and rows of all groups are of one moment
    let txn = environment.env.read_txn()?;
    let answer = |group: &Group<'_>| {
        let place = Place { project, reading: group.reading };
        let entry = place.entry(environment, &txn)?;
        let row = |key: &Vec<u8>| -> Result<Option<OnlineRow>, Failure> {
            let address = place.row(entry.numbers.current, key);
            let Some(value) = environment.records.get(&txn, address.key())? else {
                return Ok(None);
            };
            Ok(Some(record::row(address.owned_record(value)?)?))
        };
        let rows = group.keys.iter().map(row).collect::<Result<_, Failure>>()?;
        Ok(Answer { marks: entry.marks, is_stale: false, rows })
    };
    groups.iter().map(answer).collect()
}

fn begin(environment: &Environment, place: Place<'_>) -> Result<Run, Failure> {
    let txn = environment.env.read_txn()?;
    let entry = place.entry(environment, &txn)?;
    let erasures = place.erasures(environment, &txn)?.to_vec();
    let next = entry.numbers.next;
    let witness = Witness { target: Target::Current(entry.numbers.current, next), erasures };
    Ok(Run::new(entry.marks, witness.bytes()).with_beside(next))
}

/// Removes the rows of a key in all generations and counts the erasure, in one transaction; whether there was a row.
fn erase(environment: &Environment, place: Place<'_>, key: &[u8]) -> Result<bool, Failure> {
    let mut txn = environment.env.write_txn()?;
    let numbers = place.entry(environment, &txn)?.numbers;
    let old = place.old(environment, &txn)?;
    let mut was_held = false;
    for generation in std::iter::once(numbers.current).chain(numbers.next).chain(old.iter().map(|old| old.generation)) {
        was_held |= delete(environment, &mut txn, &place.row(generation, key))?;
    }
    place.count_erasure(environment, &mut txn)?;
    txn.commit()?;
    Ok(was_held)
}

/// Deletes a row; whether there was one.
pub(super) fn delete(environment: &Environment, txn: &mut RwTxn<'_>, row: &Address) -> Result<bool, Failure> {
    // a hash that another key shares is not this key's
    let is_held = environment.records.get(txn, row.key())?.is_some_and(|value| row.record(value).is_ok());
    if is_held {
        environment.records.delete(txn, row.key())?;
    }
    Ok(is_held)
}

/// Writes the records that are greater than what is held; none of them if keys were erased since the run began, its generation
/// has lost its place, or a rebuild has begun.
fn supersede(
    environment: &Environment,
    place: Place<'_>,
    begun: &Witness,
    records: &[Record],
) -> Result<Option<Written>, Failure> {
    environment.env.clear_stale_readers()?;
    let mut written = Written::default();
    let mut txn = environment.env.write_txn()?;
    let numbers = place.entry(environment, &txn)?.numbers;
    if !begun.target.stands(numbers) || place.erasures(environment, &txn)? != begun.erasures {
        return Ok(None);
    }
    for Record { address, value } in records {
        let held = environment.records.get(&txn, address.key())?;
        let held = held.map(|held| address.record(held)).transpose()?;
        let version = |record: &[u8]| record.first_chunk::<VERSION_LEN>().copied();
        if held.is_none_or(|held| version(held) < version(address.record(value).unwrap_or_default())) {
            environment.records.put(&mut txn, address.key(), value)?;
            written.written += 1;
        } else {
            written.superseded += 1;
        }
    }
    if written.written > 0 {
        txn.commit()?;
    }
    Ok(Some(written))
}

fn advance(
    environment: &Environment,
    place: Place<'_>,
    target: Target,
    from: Option<Marks>,
    to: Marks,
) -> Result<Advance, Failure> {
    let mut txn = environment.env.write_txn()?;
    let entry = place.entry(environment, &txn)?;
    let held = match target {
        Target::Current(..) => entry.marks,
        Target::Beside(generation) => place.beside(environment, &txn, generation)?,
    };
    if held == Some(to) {
        return Ok(Advance::Done);
    }
    // who began before a rebuild did has not written to the next generation
    let has_moved = match target {
        Target::Current(_, next) => entry.numbers.next != next,
        Target::Beside(_) => false,
    };
    if held != from || has_moved || !target.stands(entry.numbers) {
        return Ok(Advance::Moved(held));
    }
    match target {
        Target::Current(..) => place.set_entry(environment, &mut txn, Entry { marks: Some(to), ..entry })?,
        Target::Beside(generation) => place.set_beside(environment, &mut txn, generation, Some(to))?,
    }
    txn.commit()?;
    Ok(Advance::Done)
}
