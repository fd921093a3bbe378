//! One entry of the log: written at one exact version, put if absent, and found again if the answer is lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use deltalake_core::DeltaTableError;
use deltalake_core::kernel::Action;
use deltalake_core::kernel::transaction::{CommitBuilder, TableReference, TransactionError};
use deltalake_core::protocol::DeltaOperation;
use object_store::ObjectStoreExt;
use serde_json::Value;
use uuid::Uuid;

use super::check::HASH_TAG;
use super::line::BATCHES_INFO;
use super::{Cached, History};
use crate::{Error, Result};

/// Where the log lies below the table's folder.
pub(super) const LOG_FOLDER: &str = "_delta_log";
/// Tries before a commit gives up for contention: with waits of up to half a second, more than a minute.
pub(super) const ATTEMPTS_MAX: u32 = 250;
/// Tries of one write whose outcome is unknown.
const UNKNOWN_MAX: u32 = 5;

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
    /// Of its bytes, in hex.
    pub(crate) sha256: String,
}

impl NewFile {
    /// What the log remembers of it beside its statistics.
    pub(super) fn tags(&self) -> HashMap<String, Option<String>> {
        HashMap::from([(HASH_TAG.to_owned(), Some(self.sha256.clone()))])
    }
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

/// An entry to be written.
pub(super) struct Entry<'a> {
    pub(super) version: u64,
    pub(super) actions: Vec<Action>,
    pub(super) operation: DeltaOperation,
    /// A file that this entry adds, and no other can.
    pub(super) witness: &'a str,
    /// What it tells of the batches that it appends, where they are more than one.
    pub(super) batches: Option<Value>,
    /// What messages call it: `append to table 'legs-1'`.
    pub(super) what: String,
}

impl History {
    /// Writes the entry; false where another's is there. Only the entry itself can tell whether a write whose answer
    /// was lost took effect, so it is read until it does.
    pub(super) async fn write_entry(
        &self,
        cached: &mut Cached,
        entry: Entry<'_>,
    ) -> std::result::Result<bool, Failure> {
        let version = entry.version;
        if !self.put_entry(cached, entry).await? {
            return Ok(false);
        }
        if version > 0 && !self.follows_another(version).await? {
            self.unsee(cached);
            return Ok(false);
        }
        Ok(true)
    }

    async fn put_entry(&self, cached: &Cached, entry: Entry<'_>) -> std::result::Result<bool, Failure> {
        let Entry { version, actions, operation, witness, batches, what } = entry;
        let state = cached.delta.as_ref().and_then(|delta| delta.snapshot().ok());
        let info = batches.map(|batches| (BATCHES_INFO.to_owned(), batches));
        let prepared = CommitBuilder::default()
            .with_actions(actions)
            .with_app_metadata(info.into_iter().collect())
            .build(state.map(|state| state as &dyn TableReference), Arc::clone(&self.log_store), operation)
            .into_prepared_commit_future()
            .await
            .map_err(|e| Error::delta(what.as_str(), e))?;
        let entry = prepared.commit_or_bytes().clone();
        let mut tries = 1;
        loop {
            match self.log_store.write_commit_entry(version, entry.clone(), Uuid::new_v4()).await {
                Ok(()) => return Ok(true),
                Err(TransactionError::VersionAlreadyExists(_)) => {
                    return match self.entry_names(version, witness).await {
                        Ok(Some(ours)) => Ok(ours),
                        Ok(None) => Ok(false),
                        Err(error) => Err(Failure { error, may_delete: false }),
                    };
                }
                Err(error) => {
                    let error = Error::delta(what.as_str(), DeltaTableError::from(error));
                    if tries == UNKNOWN_MAX || (self.store.is_local() && error.kind() == hitherto_core::Kind::Exhausted)
                    {
                        let may_delete = match self.entry_names(version, witness).await {
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

    /// Whether the entry before `version` is there. Where it is not, the log was shortened since we read it, which deletes
    /// entries from the first on: what was put in the place of a deleted one is part of no table, and is taken back.
    async fn follows_another(&self, version: u64) -> std::result::Result<bool, Failure> {
        let unknown = |error| Failure { error, may_delete: false };
        if self.has_entry(version - 1).await.map_err(unknown)? {
            return Ok(true);
        }
        let entry = self.root.clone().join(LOG_FOLDER).join(entry_name(version));
        match self.store.store().delete(&entry).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => {
                Err(unknown(Error::object_store(format!("look for the log of table '{}'", self.table.id), error)))
            }
        }
    }

    /// Whether the log's entry `version` names the file; `None` where there is no such entry.
    async fn entry_names(&self, version: u64, file: &str) -> Result<Option<bool>> {
        let entry = self.log_store.read_commit_entry(version).await;
        let entry = entry.map_err(|e| Error::delta(format!("read the log of table '{}'", self.table.id), e))?;
        let name = file.as_bytes();
        Ok(entry.map(|bytes| bytes.windows(name.len().max(1)).any(|window| window == name)))
    }
}

pub(super) fn entry_name(version: u64) -> String {
    format!("{version:020}.json")
}

/// Half to once 4 ms, doubled with each attempt up to 512 ms: those who collide must not meet again.
pub(crate) fn backoff(attempt: u32) -> Duration {
    let most_us = 4_000_u64 << attempt.min(7);
    let random = u64::from(Uuid::new_v4().as_fields().0);
    Duration::from_micros(most_us / 2 + random % (most_us / 2))
}
