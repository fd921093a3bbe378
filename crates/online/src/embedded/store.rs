//! The embedded store's calls.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use hitherto_core::Name;

use super::address::Address;
use super::environment::Environment;
use crate::batch::{Limit, pieces};
use crate::record::{self, VERSION_LEN};
use crate::{Advance, Answer, Error, Group, Marks, OnlineRow, OnlineStore, Reading, Result, Run, Write, Written};

/// One write transaction, and one sync of the disk.
const COMMIT: Limit = Limit { rows: 4096, bytes: 16 << 20 };
/// Reads of more keys leave the async threads alone.
const INLINE_KEYS: usize = 1000;
/// Length of the number of erasures; where there was none, there is no number.
const ERASURES_LEN: usize = 8;

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
        let asked: Vec<Asked> = groups
            .iter()
            .map(|group| Asked {
                marks: Address::marks(&self.project, group.reading),
                rows: group.keys.iter().map(|key| Address::row(&self.project, group.reading, key)).collect(),
            })
            .collect();
        if groups.iter().map(|group| group.keys.len()).sum::<usize>() > INLINE_KEYS {
            return self.blocking("read", move |environment| read(environment, &asked)).await;
        }
        read(&self.environment, &asked).map_err(|failure| failure.named("read", &self.environment))
    }

    async fn write(&self, reading: &Reading, run: &Run, writes: &[Write]) -> Result<Written> {
        let mut written = Written::default();
        for piece in pieces(writes, COMMIT) {
            let mut records: Vec<Record> = piece
                .iter()
                .map(|write| {
                    let address = Address::row(&self.project, reading, &write.key);
                    let value = address.value(|out| record::push_row(out, &write.row));
                    Record { address, value }
                })
                .collect();
            // neighbours share pages of the tree
            records.sort_unstable_by(|a, b| a.address.cmp(&b.address));
            let (erasures, begun) = (Address::erasures(&self.project, reading), run.witness().to_vec());
            let done =
                self.blocking("write to", move |environment| supersede(environment, &erasures, &begun, &records));
            written += done.await?.ok_or_else(|| Error::Overtaken { reading: reading.to_string() })?;
        }
        Ok(written)
    }

    async fn erase(&self, reading: &Reading, key: &[u8]) -> Result<bool> {
        let row = Address::row(&self.project, reading, key);
        let erasures = Address::erasures(&self.project, reading);
        self.blocking("write to", move |environment| erase(environment, &erasures, &row)).await
    }

    async fn marks(&self, readings: &[Reading]) -> Result<Vec<Option<Marks>>> {
        let groups: Vec<Group<'_>> = readings.iter().map(|reading| Group { reading, keys: &[] }).collect();
        Ok(self.read(&groups).await?.into_iter().map(|answer| answer.marks).collect())
    }

    async fn begin(&self, reading: &Reading) -> Result<Run> {
        // what is committed here stays: beside the marks, only erasures need a witness
        let (marks, erasures) = (Address::marks(&self.project, reading), Address::erasures(&self.project, reading));
        begin(&self.environment, &marks, &erasures).map_err(|failure| failure.named("read", &self.environment))
    }

    async fn advance(&self, reading: &Reading, run: &Run, to: Marks) -> Result<Advance> {
        if let Some(from) = run.marks().filter(|from| to.sequence < from.sequence || to.clock < from.clock) {
            return Err(Error::Backward { reading: reading.to_string(), from, to });
        }
        if ![0, ERASURES_LEN].contains(&run.witness().len()) {
            return Err(Error::ForeignRun { reading: reading.to_string() });
        }
        let address = Address::marks(&self.project, reading);
        let from = run.marks();
        self.blocking("write to", move |environment| advance(environment, &address, from, to)).await
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

struct Asked {
    marks: Address,
    rows: Vec<Address>,
}

struct Record {
    address: Address,
    value: Vec<u8>,
}

fn read(environment: &Environment, asked: &[Asked]) -> Result<Vec<Answer>, Failure> {
    // one transaction: marks and rows of all groups are of one moment
    let txn = environment.env.read_txn()?;
    let row = |address: &Address| -> Result<Option<OnlineRow>, Failure> {
        let Some(value) = environment.records.get(&txn, address.key())? else {
            return Ok(None);
        };
        Ok(Some(record::row(address.owned_record(value)?)?))
    };
    let answer = |asked: &Asked| {
        let marks = match environment.records.get(&txn, asked.marks.key())? {
            Some(value) => Some(record::marks(asked.marks.record(value)?)?),
            None => None,
        };
        Ok(Answer { marks, is_stale: false, rows: asked.rows.iter().map(row).collect::<Result<_, Failure>>()? })
    };
    asked.iter().map(answer).collect()
}

fn begin(environment: &Environment, marks: &Address, erasures: &Address) -> Result<Run, Failure> {
    let txn = environment.env.read_txn()?;
    let held = environment.records.get(&txn, marks.key())?;
    let held = held.map(|value| Ok::<_, Failure>(record::marks(marks.record(value)?)?)).transpose()?;
    let erased = environment.records.get(&txn, erasures.key())?.map(|value| erasures.record(value)).transpose()?;
    Ok(Run::new(held, erased.unwrap_or_default().to_vec()))
}

/// Removes a row and counts the erasure, in one transaction; whether there was a row.
fn erase(environment: &Environment, erasures: &Address, row: &Address) -> Result<bool, Failure> {
    let mut txn = environment.env.write_txn()?;
    // a hash that another key shares is not this key's
    let held = environment.records.get(&txn, row.key())?.is_some_and(|value| row.record(value).is_ok());
    if held {
        environment.records.delete(&mut txn, row.key())?;
    }
    let before = environment.records.get(&txn, erasures.key())?.map(|value| erasures.record(value)).transpose()?;
    let before = before.and_then(|count| count.first_chunk()).map_or(0, |count| u64::from_be_bytes(*count));
    let value = erasures.value(|out| out.extend((before + 1).to_be_bytes()));
    environment.records.put(&mut txn, erasures.key(), &value)?;
    txn.commit()?;
    Ok(held)
}

/// Writes the records that are greater than what is held; none of them if keys were erased since `begun`.
fn supersede(
    environment: &Environment,
    erasures: &Address,
    begun: &[u8],
    records: &[Record],
) -> Result<Option<Written>, Failure> {
    environment.env.clear_stale_readers()?;
    let mut written = Written::default();
    let mut txn = environment.env.write_txn()?;
    let erased = environment.records.get(&txn, erasures.key())?.map(|value| erasures.record(value)).transpose()?;
    if erased.unwrap_or_default() != begun {
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

fn advance(environment: &Environment, address: &Address, from: Option<Marks>, to: Marks) -> Result<Advance, Failure> {
    let mut txn = environment.env.write_txn()?;
    let held = match environment.records.get(&txn, address.key())? {
        Some(value) => Some(record::marks(address.record(value)?)?),
        None => None,
    };
    if held == Some(to) {
        return Ok(Advance::Done);
    }
    if held != from {
        return Ok(Advance::Moved(held));
    }
    let value = address.value(|out| out.extend(record::marks_bytes(to)));
    environment.records.put(&mut txn, address.key(), &value)?;
    txn.commit()?;
    Ok(Advance::Done)
}

/// A failure that does not yet know where it happened.
enum Failure {
    Heed(heed::Error),
    Record(&'static str),
}

impl Failure {
    fn named(self, doing: &'static str, environment: &Environment) -> Error {
        match self {
            Self::Heed(source) => Error::embedded(doing, environment.path())(source),
            Self::Record(problem) => Error::Corrupt {
                what: "a record".to_owned(),
                store: format!("the embedded store at {}", environment.path().display()),
                problem,
            },
        }
    }
}

impl From<heed::Error> for Failure {
    fn from(error: heed::Error) -> Self {
        Self::Heed(error)
    }
}

impl From<&'static str> for Failure {
    fn from(problem: &'static str) -> Self {
        Self::Record(problem)
    }
}
