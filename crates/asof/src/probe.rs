//! The narrow pass over one partition: keys to codes, times to slots, rows to winners.

use std::sync::Arc;

use arrow::array::Array;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use futures::StreamExt;

use crate::index::SpineIndex;
use crate::keys::NO_CODE;
use crate::metrics::ViewMetrics;
use crate::winners::{Candidate, Life, Winners};
use crate::{AsOfView, Error, NarrowBatch, NarrowPass, RowAddress, Visibility};

/// All that a task needs to stream one partition past the index.
///
/// A batch is taken through in stages, all hash look-ups, then all searches for slots, then all updates, rather than row
/// by row: each stage's cache misses do not depend on each other, so the processor overlaps them.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) view: Arc<AsOfView>,
    pub(crate) index: Arc<SpineIndex>,
    pub(crate) winners: Arc<Winners>,
    pub(crate) pass: NarrowPass,
    pub(crate) metrics: ViewMetrics,
}

/// Searches whose slots fit into a core's cache together.
const SEARCHES_AT_ONCE: usize = 1024;

/// What a batch leaves for the next to use again.
#[derive(Debug, Default)]
struct Scratch {
    codes: Vec<u32>,
    searches: Vec<Search>,
    /// `(slot, row of the batch)`.
    hits: Vec<(u32, u32)>,
    grouped: Vec<(u32, u32)>,
    ends: Vec<u32>,
}

/// A row that has a slot, which is yet to be found among `len` from `start`.
#[derive(Clone, Copy, Debug)]
struct Search {
    visible_from: i64,
    start: u32,
    len: u32,
    row: u32,
}

impl Probe {
    pub(crate) async fn run(self, partition: usize, context: Arc<TaskContext>) -> Result<()> {
        let mut batches = self.view.source.narrow(partition, &self.pass, &context)?;
        let keys = self.view.spine_keys.len();
        let mut scratch = Scratch::default();
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            if let Some(reason) = batch.fault(keys) {
                return Err(Error::Source { view: self.view.name.clone(), reason }.into());
            }
            let timer = self.metrics.probe_time.timer();
            self.probe(&batch, &mut scratch)?;
            timer.done();
        }
        Ok(())
    }

    fn probe(&self, batch: &NarrowBatch, scratch: &mut Scratch) -> Result<()> {
        scratch.codes.clear();
        self.index.find(&batch.keys, &mut scratch.codes)?;
        if scratch.codes.len() != batch.num_rows() {
            let reason = "a batch's keys differ in length from its times".to_owned();
            return Err(Error::Source { view: self.view.name.clone(), reason }.into());
        }
        self.find_keys(batch, scratch);
        self.find_slots(batch, scratch);
        self.update(batch, scratch);
        self.metrics.probed_rows.add(batch.num_rows());
        self.metrics.candidate_rows.add(scratch.hits.len());
        Ok(())
    }

    /// Rows of known keys that some slot can see.
    fn find_keys(&self, batch: &NarrowBatch, scratch: &mut Scratch) {
        let keys = self.index.keys();
        let events = batch.event.values();
        scratch.searches.clear();
        for (row, &code) in scratch.codes.iter().enumerate().filter(|(_, code)| **code != NO_CODE) {
            let visible_from = match self.view.visibility {
                Visibility::Available => self.view.available_at(events[row], created_at(batch, row)),
                Visibility::Event => events[row],
            };
            let slots = keys[code as usize];
            if visible_from <= slots.last {
                let row = row as u32;
                scratch.searches.push(Search { visible_from, start: slots.start, len: slots.len, row });
            }
        }
    }

    /// The first slot of the key that sees the row, unless the row is too old for it: then it is too old for all later
    /// ones, and so is every row that it would win over.
    fn find_slots(&self, batch: &NarrowBatch, scratch: &mut Scratch) {
        let times = self.index.times();
        let events = batch.event.values();
        let ttl = self.view.effective_ttl();
        scratch.hits.clear();
        for searches in scratch.searches.chunks(SEARCHES_AT_ONCE) {
            // reads that do not wait for each other bring the slots into the cache before the searches need them
            let middle = |search: &Search| times[(search.start + search.len / 2) as usize];
            std::hint::black_box(searches.iter().fold(0, |all, search| all ^ middle(search)));
            scratch.hits.extend(searches.iter().filter_map(|&Search { visible_from, start, len, row }| {
                let slots = &times[start as usize..(start + len) as usize];
                let slot = slots.partition_point(|&time| time < visible_from);
                let is_expired = ttl.is_some_and(|ttl| events[row as usize] < slots[slot].saturating_sub(ttl));
                (!is_expired).then_some((start + slot as u32, row))
            }));
        }
    }

    /// Groups the hits by shard, with a counting sort, and lets them compete.
    fn update(&self, batch: &NarrowBatch, scratch: &mut Scratch) {
        let Scratch { hits, grouped, ends, .. } = scratch;
        let shards = self.winners.shards();
        ends.clear();
        ends.resize(shards + 1, 0);
        for &(slot, _) in hits.iter() {
            ends[self.winners.shard_of(slot) + 1] += 1;
        }
        for shard in 0..shards {
            ends[shard + 1] += ends[shard];
        }
        grouped.clear();
        grouped.resize(hits.len(), (0, 0));
        for &hit in hits.iter() {
            let place = &mut ends[self.winners.shard_of(hit.0)];
            grouped[*place as usize] = hit;
            *place += 1;
        }
        // each place has moved to its shard's end, which is where the next shard begins
        let mut start = 0;
        for (shard, &end) in ends[..shards].iter().enumerate().filter(|(_, end)| **end > 0) {
            let hits = &grouped[start as usize..end as usize];
            if !hits.is_empty() {
                self.winners.update(shard, hits, |row| candidate(batch, row as usize));
            }
            start = end;
        }
    }
}

fn created_at(batch: &NarrowBatch, row: usize) -> i64 {
    batch.created.as_ref().filter(|created| created.is_valid(row)).map_or(i64::MIN, |created| created.value(row))
}

fn candidate(batch: &NarrowBatch, row: usize) -> Candidate {
    let is_deleted = batch.deleted.as_ref().is_some_and(|deleted| deleted.is_valid(row) && deleted.value(row));
    let address = RowAddress::new(batch.file, batch.first_row + row as u64);
    let life = if is_deleted { Life::Deleted } else { Life::Alive };
    Candidate::new(batch.event.value(row), created_at(batch, row), batch.sequence.at(row), address, life)
}
