//! Many batches in one commit. A commit costs the same for a row as for thousands: files that are synced, an entry of the log,
//! another file that readers open. So who append at once share one, and each batch keeps its id and its rows' place.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use futures::stream;
use hitherto_core::Timestamp;

use super::content::ContentHash;
use super::{Appended, BatchId, Commit, same_content};
use crate::log::{Committed, NewFile, Offer, Part};
use crate::{Error, History, Result, Snapshot};

/// A batch that fits its table, ready to be appended with others. It is in memory as a whole.
#[derive(Clone, Debug)]
pub struct ReadyBatch {
    rows: RecordBatch,
    /// Its id and the fingerprint of its content, where it is to be remembered.
    batch: Option<(String, i64)>,
    /// The table as it was known when the append began: what is erased from here on must not come back with the rows.
    seen: Arc<Snapshot>,
}

impl ReadyBatch {
    /// How many rows.
    pub fn rows(&self) -> u64 {
        self.rows.num_rows() as u64
    }

    /// What it takes of memory, roughly.
    pub fn size_bytes(&self) -> usize {
        self.rows.get_array_memory_size()
    }

    fn id(&self) -> Option<&str> {
        self.batch.as_ref().map(|(id, _)| id.as_str())
    }

    fn part(&self) -> Part<'_> {
        Part { batch: self.batch.as_ref().map(|(id, content)| (id.as_str(), *content)), rows: self.rows() }
    }
}

/// How an attempt ended, if not in an error.
enum Ended {
    /// The batches that were left are part of the table, in their order.
    Done(Vec<Appended>),
    /// Some of them were appended by others meanwhile.
    Known(HashMap<String, i64>),
    /// Some rows are of an entity that was erased meanwhile.
    Erased(Error),
}

impl History {
    /// Makes rows ready for [`History::append_all`]. They are held to what [`History::append`] holds them to; nothing is
    /// written, and no commit under way is waited for.
    pub async fn ready(&self, id: BatchId, rows: &RecordBatch) -> Result<ReadyBatch> {
        let seen = self.last_snapshot().await?;
        let rows = self.canonical(rows)?;
        let batch = match id {
            BatchId::Unremembered => None,
            BatchId::Given(id) => Some((id, hash_of(&rows)?.fingerprint())),
            BatchId::Content => {
                let content = hash_of(&rows)?;
                Some((content.text(), content.fingerprint()))
            }
        };
        Ok(ReadyBatch { rows, batch, seen })
    }

    /// Appends batches as [`History::append`] would one after the other, but in one commit: what became of each, in their
    /// order. Their rows are one range of `_sequence` in that order, each batch's a part of it.
    ///
    /// A batch that is there already, or whose id has other content, is left out, and the others are appended all the same.
    /// On an error all that are not there yet are in the table, or none of them is; which, the log tells whoever asks again
    /// with the same ids. A checkpoint is left to [`History::tidy`].
    pub async fn append_all(
        &self,
        batches: &[ReadyBatch],
        now: &(dyn Fn() -> Timestamp + Send + Sync),
    ) -> Result<Vec<Result<Appended>>> {
        let mut settled: Vec<Option<Result<Appended>>> = batches.iter().map(|_| None).collect();
        let twins = twins(batches);
        let is_left = |index: &usize| !twins.contains_key(index);
        let ids: Vec<&str> = (0..batches.len()).filter(is_left).filter_map(|index| batches[index].id()).collect();
        let (mut unknown_at, mut known) = (None, HashMap::new());
        if !ids.is_empty() {
            (unknown_at, known) = self.known_batches(&ids).await?;
        }
        loop {
            settle(batches, &known, &twins, &mut settled);
            let left: Vec<usize> =
                (0..batches.len()).filter(is_left).filter(|index| settled[*index].is_none()).collect();
            if left.is_empty() {
                break;
            }
            let new: Vec<&ReadyBatch> = left.iter().map(|index| &batches[*index]).collect();
            match self.append_new(&new, unknown_at, now).await? {
                Ended::Done(appended) => {
                    for (index, appended) in left.into_iter().zip(appended) {
                        settled[index] = Some(Ok(appended));
                    }
                }
                Ended::Known(found) => {
                    known.extend(found);
                    // whoever was faster may be so again
                    unknown_at = None;
                }
                Ended::Erased(error) if left.len() == 1 => settled[left[0]] = Some(Err(error)),
                // nobody else is refused for the rows of one
                Ended::Erased(_) => {
                    for index in left {
                        settled[index] = Some(self.append_alone(&batches[index], now).await);
                    }
                }
            }
        }
        for (twin, first) in twins {
            if settled[twin].is_some() {
                continue;
            }
            let is_there = matches!(settled[first], Some(Ok(Appended::Done(_))));
            settled[twin] = Some(match (&batches[first].batch, &batches[twin].batch) {
                (Some((id, first)), Some((_, content))) if is_there => same_content(id, *first, *content),
                _ => self.append_alone(&batches[twin], now).await,
            });
        }
        Ok(settled.into_iter().map(|settled| settled.unwrap_or(Ok(Appended::Nothing))).collect())
    }

    async fn append_alone(&self, batch: &ReadyBatch, now: &(dyn Fn() -> Timestamp + Send + Sync)) -> Result<Appended> {
        if batch.rows() == 0 {
            return Ok(Appended::Nothing);
        }
        match self.append_new(&[batch], None, now).await? {
            Ended::Done(appended) => Ok(appended.into_iter().next().unwrap_or(Appended::Nothing)),
            Ended::Erased(error) => Err(error),
            Ended::Known(known) => match &batch.batch {
                Some((id, content)) => same_content(id, known.get(id).copied().unwrap_or(*content), *content),
                None => Ok(Appended::Nothing),
            },
        }
    }

    /// What is better done after a commit, and beside the next one: a checkpoint, where one is due.
    pub async fn tidy(&self, commit: &Commit) {
        self.checkpoint_after_group(commit.version).await;
    }

    /// Appends batches that are not known.
    async fn append_new(
        &self,
        batches: &[&ReadyBatch],
        unknown_at: Option<u64>,
        now: &(dyn Fn() -> Timestamp + Send + Sync),
    ) -> Result<Ended> {
        let mut written = Vec::new();
        match self.append_files_of(batches, unknown_at, now, &mut written).await {
            Ok(done @ Ended::Done(_)) => Ok(done),
            Ok(other) => {
                self.discard(&written).await;
                Ok(other)
            }
            Err((error, keep)) => {
                if !keep {
                    self.discard(&written).await;
                }
                Err(error)
            }
        }
    }

    /// On an error says whether the files must stay, because the log may name them.
    async fn append_files_of(
        &self,
        batches: &[&ReadyBatch],
        unknown_at: Option<u64>,
        now: &(dyn Fn() -> Timestamp + Send + Sync),
        written: &mut Vec<NewFile>,
    ) -> Result<Ended, (Error, bool)> {
        let failed = |error: Error| (error, false);
        // erasures are added in one order, and only such go that a later one stands for: so the oldest of what was known
        // knows those that all knew
        let oldest = batches.iter().map(|batch| &batch.seen).min_by_key(|seen| seen.version);
        let erasures: HashSet<String> =
            oldest.into_iter().flat_map(|seen| &seen.erasures).map(|erasure| erasure.id.clone()).collect();
        let joined = self.joined(batches).map_err(failed)?;
        self.write_files(stream::iter(joined.into_iter().map(Ok)), true, written).await.map_err(failed)?;
        self.refuse_missing(written).await.map_err(failed)?;
        let parts: Vec<Part<'_>> = batches.iter().map(|batch| batch.part()).collect();
        let offer = Offer { files: written, parts: &parts, unknown_at, erasures: &erasures, now };
        match self.commit(&offer).await.map_err(|failure| (failure.error, !failure.may_delete))? {
            Committed::Known(known) => Ok(Ended::Known(known)),
            Committed::Erased(error) => Ok(Ended::Erased(error)),
            Committed::Done { version, first_sequence, time } => {
                let mut next = first_sequence;
                let commit = |batch: &&ReadyBatch| {
                    let first_sequence = next;
                    next += batch.rows().cast_signed();
                    Appended::Done(Commit {
                        rows: batch.rows(),
                        first_sequence,
                        last_sequence: next - 1,
                        version,
                        time,
                        batch_id: batch.id().map(str::to_owned),
                    })
                };
                Ok(Ended::Done(batches.iter().map(commit).collect()))
            }
        }
    }

    /// Their rows, in one piece wherever their columns are the same.
    fn joined(&self, batches: &[&ReadyBatch]) -> Result<Vec<RecordBatch>> {
        let alike = batches.chunk_by(|a, b| a.rows.schema() == b.rows.schema());
        let joined = alike.map(|alike| concat_batches(&alike[0].rows.schema(), alike.iter().map(|batch| &batch.rows)));
        let joined: std::result::Result<Vec<_>, _> = joined.collect();
        joined.map_err(|error| Error::arrow(format!("append to table '{}'", self.table().id), error))
    }
}

/// Batches that have the id of one before them, with the place of that one: they are told when it is there.
fn twins(batches: &[ReadyBatch]) -> BTreeMap<usize, usize> {
    let (mut first, mut twins) = (HashMap::new(), BTreeMap::new());
    for (index, batch) in batches.iter().enumerate() {
        let Some(id) = batch.id() else { continue };
        if let Some(before) = first.get(id) {
            twins.insert(index, *before);
        } else if batch.rows() > 0 {
            first.insert(id, index);
        }
    }
    twins
}

/// Says of batches whether they are there already, or have no rows.
fn settle(
    batches: &[ReadyBatch],
    known: &HashMap<String, i64>,
    twins: &BTreeMap<usize, usize>,
    settled: &mut [Option<Result<Appended>>],
) {
    for (index, (batch, settled)) in batches.iter().zip(settled).enumerate() {
        if settled.is_some() {
            continue;
        }
        let known = batch.batch.as_ref().and_then(|(id, content)| Some((id, *known.get(id)?, *content)));
        *settled = match known {
            Some((id, known, content)) => Some(same_content(id, known, content)),
            // without rows it is a conflict all the same, if the one before it has its id
            None => (batch.rows() == 0 && !twins.contains_key(&index)).then_some(Ok(Appended::Nothing)),
        };
    }
}

fn hash_of(rows: &RecordBatch) -> Result<ContentHash> {
    let mut content = ContentHash::default();
    if rows.num_rows() > 0 {
        content.add(rows)?;
    }
    Ok(content)
}
