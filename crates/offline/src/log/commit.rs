//! One commit: new files enter the table together, once, at the end of its order.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use deltalake_core::DeltaTableError;
use deltalake_core::checkpoints::create_checkpoint;
use deltalake_core::kernel::transaction::{CommitBuilder, TableReference, TransactionError};
use deltalake_core::kernel::{Action, Add, Transaction};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use hitherto_core::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::{BATCH_APP, CLOCK_APP, Cached, History, SEQUENCE_APP, Snapshot, delta_schema, timestamp_text};
use crate::{COMMIT_SEQUENCE, COMMIT_TIME, Error, Result};

/// A `_sequence` is below 2^53, so that it survives JSON and doubles.
const SEQUENCE_LIMIT: i64 = 1 << 53;
/// Tries before an append gives up for contention: with waits of up to half a second, more than a minute.
const ATTEMPTS_MAX: u32 = 250;
/// Tries of one write whose outcome is unknown.
const UNKNOWN_MAX: u32 = 5;
/// Commits between checkpoints: what a process that opens the table reads one by one.
const CHECKPOINT_INTERVAL: u64 = 20;

/// A file that is written and not yet part of the table.
#[derive(Clone, Debug)]
pub(crate) struct NewFile {
    /// Its path below the table's folder.
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
    pub(crate) rows: u64,
    /// When the store says that it was written, in milliseconds: the store's clock, not ours.
    pub(crate) modified_ms: i64,
    /// `numRecords`, `minValues`, …
    pub(crate) stats: Value,
}

/// What is to be committed.
pub(crate) struct Offer<'a> {
    /// At least one.
    pub(crate) files: &'a [NewFile],
    /// The batch's id and the fingerprint of its content.
    pub(crate) batch: Option<(&'a str, i64)>,
    pub(crate) now: &'a (dyn Fn() -> Timestamp + Send + Sync),
}

/// How a commit ended, if not in an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Committed {
    Done {
        version: u64,
        first_sequence: i64,
        time: Timestamp,
    },
    /// The batch is part of the table already.
    Already,
}

/// Whether the files of a commit that failed may be deleted.
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) may_delete: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, may_delete: true }
    }
}

enum Attempt {
    Done(Committed),
    /// Somebody else has the version that we wanted.
    Lost,
}

impl History {
    /// Commits, again and again while others come first. Files are not rewritten: their place in the order travels
    /// with the commit.
    pub(crate) async fn commit(&self, offer: &Offer<'_>) -> std::result::Result<Committed, Failure> {
        for attempt in 0..ATTEMPTS_MAX {
            if let Attempt::Done(committed) = self.attempt(offer).await? {
                return Ok(committed);
            }
            tokio::time::sleep(backoff(attempt)).await;
        }
        Err(Failure::from(Error::Conflict(format!(
            "could not append to table '{}': {ATTEMPTS_MAX} other commits came first; try again",
            self.table.id
        ))))
    }

    /// What the log remembers of this batch.
    pub(crate) async fn known_batch(&self, id: &str) -> Result<Option<i64>> {
        let mut cached = self.cached.lock().await;
        self.refresh(&mut cached).await?;
        match &cached.delta {
            Some(delta) => self.recorded(delta, &format!("{BATCH_APP}{id}")).await,
            None => Ok(None),
        }
    }

    async fn attempt(&self, offer: &Offer<'_>) -> std::result::Result<Attempt, Failure> {
        // held for the whole attempt: the tasks of one process queue here instead of racing in the store
        let mut cached = self.cached.lock().await;
        let snapshot = self.refresh(&mut cached).await?;
        if let (Some((id, content)), Some(delta)) = (offer.batch, &cached.delta)
            && let Some(known) = self.recorded(delta, &format!("{BATCH_APP}{id}")).await?
        {
            return if known == content {
                Ok(Attempt::Done(Committed::Already))
            } else {
                Err(other_content(id).into())
            };
        }
        let first_sequence = snapshot.next_sequence;
        let time = snapshot.last_commit.map_or((offer.now)(), |last| last.max((offer.now)()));
        let actions = self.actions(offer, &cached, &snapshot, time)?;
        let version = snapshot.version.map_or(0, |version| version + 1);
        if !self.write_entry(&cached, version, actions, offer).await? {
            return Ok(Attempt::Lost);
        }
        if version > 0 && version.is_multiple_of(CHECKPOINT_INTERVAL) {
            self.checkpoint(&mut cached).await;
        }
        Ok(Attempt::Done(Committed::Done { version, first_sequence, time }))
    }

    fn actions(&self, offer: &Offer<'_>, cached: &Cached, snapshot: &Snapshot, time: Timestamp) -> Result<Vec<Action>> {
        let time_text = timestamp_text(time)
            .ok_or_else(|| Error::Invalid(format!("could not commit at {time}: its year has not four digits")))?;
        let mut actions = match cached.delta.as_ref().and_then(|delta| delta.snapshot().ok()) {
            None => delta_schema::create_actions(&self.table)?,
            Some(state) => {
                delta_schema::grow_action(&self.table, &snapshot.columns, state.metadata())?.into_iter().collect()
            }
        };
        let mut next = snapshot.next_sequence;
        for file in offer.files {
            actions.push(Action::Add(Add {
                path: file.name.clone(),
                partition_values: HashMap::from([
                    (COMMIT_SEQUENCE.to_owned(), Some(next.to_string())),
                    (COMMIT_TIME.to_owned(), Some(time_text.clone())),
                ]),
                size: file.size_bytes.cast_signed(),
                modification_time: file.modified_ms,
                data_change: true,
                stats: Some(file.stats.to_string()),
                ..Add::default()
            }));
            next += file.rows.cast_signed();
        }
        if next > SEQUENCE_LIMIT {
            return Err(Error::Exhausted {
                what: format!("append to table '{}'", self.table.id),
                limit: "its rows have used up every sequence below 2^53".to_owned(),
            });
        }
        actions.push(Action::Txn(Transaction::new(SEQUENCE_APP, next)));
        actions.push(Action::Txn(Transaction::new(CLOCK_APP, time.0)));
        if let Some((id, content)) = offer.batch {
            // the log forgets by the real clock, so this is the store's time and not `now`, which may be pretended
            let written = offer.files.iter().map(|file| file.modified_ms).max();
            actions.push(Action::Txn(Transaction::new_with_last_update(format!("{BATCH_APP}{id}"), content, written)));
        }
        Ok(actions)
    }

    /// Writes the log's entry `version`; false where another's is there. Only the entry itself can tell whether a
    /// write whose answer was lost took effect, so it is read until it does.
    async fn write_entry(
        &self,
        cached: &Cached,
        version: u64,
        actions: Vec<Action>,
        offer: &Offer<'_>,
    ) -> std::result::Result<bool, Failure> {
        let appending = || format!("append to table '{}'", self.table.id);
        let state = cached.delta.as_ref().and_then(|delta| delta.snapshot().ok());
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        let prepared = CommitBuilder::default()
            .with_actions(actions)
            .build(state.map(|state| state as &dyn TableReference), Arc::clone(&self.log_store), operation)
            .into_prepared_commit_future()
            .await
            .map_err(|e| Error::delta(appending(), e))?;
        let entry = prepared.commit_or_bytes().clone();
        let mut tries = 1;
        loop {
            match self.log_store.write_commit_entry(version, entry.clone(), Uuid::new_v4()).await {
                Ok(()) => return Ok(true),
                Err(TransactionError::VersionAlreadyExists(_)) => {
                    return match self.entry_is_ours(version, offer).await {
                        Ok(Some(ours)) => Ok(ours),
                        Ok(None) => Ok(false),
                        Err(error) => Err(Failure { error, may_delete: false }),
                    };
                }
                Err(error) => {
                    let error = Error::delta(appending(), DeltaTableError::from(error));
                    if tries == UNKNOWN_MAX || (self.store.is_local() && error.kind() == hitherto_core::Kind::Exhausted)
                    {
                        let may_delete = match self.entry_is_ours(version, offer).await {
                            Ok(Some(ours)) => !ours,
                            // a request on its way to a server may still arrive
                            Ok(None) => self.store.is_local(),
                            Err(_) => false,
                        };
                        return Err(Failure { error, may_delete });
                    }
                    tokio::time::sleep(backoff(tries)).await;
                    tries += 1;
                }
            }
        }
    }

    /// Whether the log's entry `version` adds the files of `offer`; `None` where there is no such entry.
    async fn entry_is_ours(&self, version: u64, offer: &Offer<'_>) -> Result<Option<bool>> {
        let entry = self.log_store.read_commit_entry(version).await;
        let entry = entry.map_err(|e| Error::delta(format!("read the log of table '{}'", self.table.id), e))?;
        let name = offer.files.first().map(|file| file.name.as_bytes()).unwrap_or_default();
        Ok(entry.map(|bytes| bytes.windows(name.len().max(1)).any(|window| window == name)))
    }

    /// A checkpoint only makes opening faster, so its failure is no failure of the commit.
    async fn checkpoint(&self, cached: &mut Cached) {
        let Some(delta) = &mut cached.delta else { return };
        let done = match delta.update_incremental(None).await {
            Ok(()) => create_checkpoint(delta, None).await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            tracing::warn!(table = %self.table.id, %error, "could not write a checkpoint of the table's log");
        }
    }
}

pub(crate) fn other_content(id: &str) -> Error {
    Error::Conflict(format!(
        "the batch id '{id}' was used before with other content; use a new id, or leave it out to let the content decide"
    ))
}

/// Half to once 4 ms, doubled with each attempt up to 512 ms: those who collide must not meet again.
fn backoff(attempt: u32) -> Duration {
    let most_us = 4_000_u64 << attempt.min(7);
    let random = u64::from(Uuid::new_v4().as_fields().0);
    Duration::from_micros(most_us / 2 + random % (most_us / 2))
}
