//! One commit: new files enter the table together, once, at the end of its order.

use std::collections::{HashMap, HashSet};

use deltalake_core::kernel::{Action, Add, Transaction};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use hitherto_core::{Kind, Timestamp};
use serde_json::{Value, json};

use super::entry::{ATTEMPTS_MAX, Entry, Failure, NewFile, backoff};
use super::{BATCH_APP, CLOCK_APP, Cached, History, SEQUENCE_APP, Snapshot, delta_schema, timestamp_text};
use crate::{COMMIT_SEQUENCE, COMMIT_TIME, Error, Result};

/// A `_sequence` is below 2^53, so that it survives JSON and doubles.
const SEQUENCE_LIMIT: i64 = 1 << 53;

/// What is to be committed.
pub(crate) struct Offer<'a> {
    /// At least one.
    pub(crate) files: &'a [NewFile],
    /// The batches whose rows are in the files, in the order of the rows; at least one.
    pub(crate) parts: &'a [Part<'a>],
    /// A version of the log at which none of the batches was part of the table; none where that is not known.
    pub(crate) unknown_at: Option<u64>,
    /// The erasures that the table had been through when the rows began to be written.
    pub(crate) erasures: &'a HashSet<String>,
    pub(crate) now: &'a (dyn Fn() -> Timestamp + Send + Sync),
}

/// One batch of what is to be committed.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    /// The batch's id and the fingerprint of its content.
    pub(crate) batch: Option<(&'a str, i64)>,
    pub(crate) rows: u64,
}

/// How a commit ended, if not in an error.
#[derive(Debug)]
pub(crate) enum Committed {
    Done {
        version: u64,
        first_sequence: i64,
        time: Timestamp,
    },
    /// Some of the batches are part of the table already; their content, by their ids.
    Known(HashMap<String, i64>),
    /// Some of the rows are of an entity that was erased since they began to be written.
    Erased(Error),
}

enum Attempt {
    Done(Committed),
    /// Somebody else has the version that we wanted.
    Lost,
    /// Something was erased since the rows began to be written.
    Erased,
}

impl History {
    /// Commits, again and again while others come first. Files are not rewritten: their place in the order travels
    /// with the commit.
    pub(crate) async fn commit(&self, offer: &Offer<'_>) -> std::result::Result<Committed, Failure> {
        let mut known = offer.erasures.clone();
        for attempt in 0..ATTEMPTS_MAX {
            match self.attempt(offer, &known).await? {
                Attempt::Done(committed) => return Ok(committed),
                Attempt::Lost => {}
                // the files are searched while nobody waits for the log: that may take long
                Attempt::Erased => match self.refuse_erased(offer.files, &mut known).await {
                    Ok(()) => continue,
                    Err(error) if error.kind() == Kind::Conflict => return Ok(Committed::Erased(error)),
                    Err(error) => return Err(error.into()),
                },
            }
            tokio::time::sleep(backoff(attempt)).await;
        }
        Err(Failure::from(Error::Conflict(format!(
            "could not append to table '{}': {ATTEMPTS_MAX} other commits came first; try again",
            self.table.id
        ))))
    }

    /// Those of these batches that are part of the table, with their content, and at which version of the log.
    pub(crate) async fn known_batches(&self, ids: &[&str]) -> Result<(Option<u64>, HashMap<String, i64>)> {
        let mut cached = self.cached.lock().await;
        let snapshot = self.refresh(&mut cached).await?;
        Ok((snapshot.version, self.recorded_batches(&mut cached, ids).await?))
    }

    /// Those of these batches that the log has, with their content.
    async fn recorded_batches(&self, cached: &mut Cached, ids: &[&str]) -> Result<HashMap<String, i64>> {
        let error = match self.look_for(cached, ids).await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        // another may have shortened the log since it was read, and then what follows is elsewhere
        tracing::debug!(table = %self.table.id, %error, "could not look for batches in the table's log");
        self.unsee(cached);
        self.refresh(cached).await?;
        self.look_for(cached, ids).await
    }

    async fn look_for(&self, cached: &mut Cached, ids: &[&str]) -> Result<HashMap<String, i64>> {
        let mut found = HashMap::new();
        let mut others = Vec::new();
        for id in ids {
            match cached.recent.get(*id) {
                Some(recent) => found.extend([((*id).to_owned(), recent.content)]),
                None => others.push(*id),
            }
        }
        if others.is_empty() || cached.delta.is_none() {
            return Ok(found);
        }
        if let Some(known) = self.batch_ids(cached).await? {
            found.extend(others.iter().filter_map(|id| Some(((*id).to_owned(), known.content(id)?))));
            return Ok(found);
        }
        let Some(delta) = &cached.delta else { return Ok(found) };
        for id in others {
            let recorded = self.recorded(delta, &format!("{BATCH_APP}{id}")).await?;
            found.extend(recorded.map(|content| (id.to_owned(), content)));
        }
        Ok(found)
    }

    async fn attempt(&self, offer: &Offer<'_>, erasures: &HashSet<String>) -> std::result::Result<Attempt, Failure> {
        // held for the whole attempt: the tasks of one process queue here instead of racing in the store
        let mut cached = self.cached.lock().await;
        let snapshot = self.refresh(&mut cached).await?;
        if offer.unknown_at.is_none() || offer.unknown_at != snapshot.version {
            let ids: Vec<&str> = offer.parts.iter().filter_map(|part| Some(part.batch?.0)).collect();
            let known = self.recorded_batches(&mut cached, &ids).await?;
            if !known.is_empty() {
                return Ok(Attempt::Done(Committed::Known(known)));
            }
        }
        if snapshot.erasures.iter().any(|erasure| !erasures.contains(&erasure.id)) {
            return Ok(Attempt::Erased);
        }
        let first_sequence = snapshot.next_sequence;
        let time = snapshot.last_commit.map_or((offer.now)(), |last| last.max((offer.now)()));
        let actions = self.actions(offer, &cached, &snapshot, time)?;
        let version = snapshot.version.map_or(0, |version| version + 1);
        let entry = Entry {
            version,
            actions,
            operation: DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None },
            witness: offer.files.first().map(|file| file.name.as_str()).unwrap_or_default(),
            batches: told(offer.parts),
            what: format!("append to table '{}'", self.table.id),
        };
        if !self.write_entry(&mut cached, entry).await? {
            return Ok(Attempt::Lost);
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
                tags: Some(file.tags()),
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
        // the log forgets by the real clock, so this is the store's time and not `now`, which may be pretended
        let written = offer.files.iter().map(|file| file.modified_ms).max();
        for (id, content) in offer.parts.iter().filter_map(|part| part.batch) {
            actions.push(Action::Txn(Transaction::new_with_last_update(format!("{BATCH_APP}{id}"), content, written)));
        }
        Ok(actions)
    }
}

/// What an entry tells of its batches: of one alone nothing, as the entry tells it by itself.
fn told(parts: &[Part<'_>]) -> Option<Value> {
    (parts.len() > 1).then(|| parts.iter().map(|part| json!([part.batch.map(|(id, _)| id), part.rows])).collect())
}

pub(crate) fn other_content(id: &str) -> Error {
    Error::Conflict(format!(
        "the batch id '{id}' was used before with other content; use a new id, or leave it out to let the content decide"
    ))
}
