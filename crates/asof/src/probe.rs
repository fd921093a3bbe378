//! The narrow pass over one partition: keys to codes, times to slots, rows to winners.

use std::sync::Arc;

use arrow::array::Array;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use futures::StreamExt;

use crate::index::SpineIndex;
use crate::keys::NO_CODE;
use crate::metrics::ViewMetrics;
use crate::open_slots::{Arrival, OpenSlots};
use crate::winners::{Candidate, Life, Winners};
use crate::{AsOfView, Error, NarrowBatch, NarrowPass, RowAddress, Visibility};

/// All that a task needs to stream one partition past the index.
///
/// A batch is taken through in stages, all hash look-ups, then all searches for slots, then all updates, rather than row
/// by row: each stage's cache misses do not depend on each other, so the processor overlaps them. Where rows come in the
/// order of time, [`OpenSlots`] saves most of the searches and updates.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    pub(crate) view: Arc<AsOfView>,
    pub(crate) index: Arc<SpineIndex>,
    pub(crate) winners: Arc<Winners>,
    pub(crate) pass: NarrowPass,
    pub(crate) metrics: ViewMetrics,
}

/// Arrivals whose slots fit into a core's first cache together.
const ARRIVALS_AT_ONCE: usize = 256;
/// So many rows that left their slots are handed on together.
const LEFT_AT_ONCE: usize = 8192;

/// What a batch leaves for the next to use again.
#[derive(Debug, Default)]
struct Scratch {
    codes: Vec<u32>,
    arrivals: Vec<Arrival>,
    /// `(slot, row of the batch)`.
    hits: Vec<(u32, u32)>,
    hits_by_shard: ByShard<u32>,
    /// Rows that left the slots that were open for them.
    left: Vec<(u32, Candidate)>,
    left_by_shard: ByShard<Candidate>,
}

impl Probe {
    /// `threads` is how many of these run side by side.
    pub(crate) async fn run(self, partition: usize, threads: usize, context: Arc<TaskContext>) -> Result<()> {
        let mut batches = self.view.source.narrow(partition, &self.pass, &context)?;
        let keys = self.view.spine_keys.len();
        let mut scratch = Scratch::default();
        let mut opens = OpenSlots::new(&self.index, threads);
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            if let Some(reason) = batch.fault(keys) {
                return Err(Error::Source { view: self.view.name.clone(), reason }.into());
            }
            let timer = self.metrics.probe_time.timer();
            self.probe(&batch, &mut opens, &mut scratch)?;
            timer.done();
        }
        if let Some(mut opens) = opens {
            self.close(&mut opens, &mut scratch);
        }
        Ok(())
    }

    fn probe(&self, batch: &NarrowBatch, opens: &mut Option<OpenSlots>, scratch: &mut Scratch) -> Result<()> {
        scratch.codes.clear();
        self.index.find(&batch.keys, &mut scratch.codes)?;
        if scratch.codes.len() != batch.num_rows() {
            let reason = "a batch's keys differ in length from its times".to_owned();
            return Err(Error::Source { view: self.view.name.clone(), reason }.into());
        }
        self.arrive(batch, scratch);
        let candidates = match opens {
            Some(opens) => self.compete_by_key(batch, opens, scratch),
            None => self.compete_by_slot(batch, scratch),
        };
        if let Some(mut vain) = opens.take_if(|opens| opens.is_vain()) {
            self.close(&mut vain, scratch);
        }
        self.metrics.probed_rows.add(batch.num_rows());
        self.metrics.candidate_rows.add(candidates);
        Ok(())
    }

    /// The rows of known keys.
    fn arrive(&self, batch: &NarrowBatch, scratch: &mut Scratch) {
        let events = batch.event.values();
        scratch.arrivals.clear();
        for (row, &code) in scratch.codes.iter().enumerate().filter(|(_, code)| **code != NO_CODE) {
            let visible_from = match self.view.visibility {
                Visibility::Available => self.view.available_at(events[row], created_at(batch, row)),
                Visibility::Event => events[row],
            };
            scratch.arrivals.push(Arrival { code, visible_from, row: row as u32 });
        }
    }

    /// How many rows some slot could see.
    fn compete_by_key(&self, batch: &NarrowBatch, opens: &mut OpenSlots, scratch: &mut Scratch) -> usize {
        let ttl = self.view.effective_ttl();
        let mut seen = 0;
        for arrivals in scratch.arrivals.chunks(ARRIVALS_AT_ONCE) {
            let candidate = |row: u32| candidate(batch, row as usize);
            seen += opens.compete(&self.index, ttl, arrivals, candidate, &mut scratch.left);
        }
        if scratch.left.len() >= LEFT_AT_ONCE {
            self.hand_on(scratch);
        }
        seen
    }

    /// Closes all slots that are open.
    fn close(&self, opens: &mut OpenSlots, scratch: &mut Scratch) {
        opens.close(&mut scratch.left);
        self.hand_on(scratch);
    }

    fn hand_on(&self, scratch: &mut Scratch) {
        scratch.left_by_shard.update(&self.winners, &scratch.left, |left| left);
        scratch.left.clear();
    }

    /// The same without a cache: each row's slot is searched for, unless the row is too old for it: then it is too old for
    /// all later ones, and so is every row that it would win over.
    fn compete_by_slot(&self, batch: &NarrowBatch, scratch: &mut Scratch) -> usize {
        let (keys, times) = (self.index.keys(), self.index.times());
        let events = batch.event.values();
        let ttl = self.view.effective_ttl();
        let Scratch { arrivals, hits, hits_by_shard, .. } = scratch;
        hits.clear();
        arrivals.retain(|arrival| arrival.visible_from <= keys[arrival.code as usize].last);
        for arrivals in arrivals.chunks(ARRIVALS_AT_ONCE) {
            // reads that do not wait for each other bring the slots into the cache before the searches need them
            let middle = |arrival: &Arrival| {
                let key = keys[arrival.code as usize];
                times[(key.start + key.len / 2) as usize]
            };
            std::hint::black_box(arrivals.iter().fold(0, |all, arrival| all ^ middle(arrival)));
            hits.extend(arrivals.iter().filter_map(|arrival| {
                let key = keys[arrival.code as usize];
                let slots = &times[key.start as usize..(key.start + key.len) as usize];
                let slot = slots.partition_point(|&time| time < arrival.visible_from);
                let is_expired = ttl.is_some_and(|ttl| events[arrival.row as usize] < slots[slot].saturating_sub(ttl));
                (!is_expired).then_some((key.start + slot as u32, arrival.row))
            }));
        }
        hits_by_shard.update(&self.winners, hits, |row| candidate(batch, row as usize));
        hits.len()
    }
}

/// Room to group hits by shard with a counting sort.
#[derive(Debug)]
struct ByShard<T> {
    grouped: Vec<(u32, T)>,
    ends: Vec<u32>,
}

impl<T> Default for ByShard<T> {
    fn default() -> Self {
        Self { grouped: Vec::new(), ends: Vec::new() }
    }
}

impl<T: Copy> ByShard<T> {
    /// Lets hits compete, shard by shard.
    fn update(&mut self, winners: &Winners, hits: &[(u32, T)], candidate: impl Fn(T) -> Candidate) {
        let Some(&first) = hits.first() else { return };
        let Self { grouped, ends } = self;
        let shards = winners.shards();
        ends.clear();
        ends.resize(shards + 1, 0);
        for &(slot, _) in hits {
            ends[winners.shard_of(slot) + 1] += 1;
        }
        for shard in 0..shards {
            ends[shard + 1] += ends[shard];
        }
        grouped.clear();
        grouped.resize(hits.len(), first);
        for &hit in hits {
            let place = &mut ends[winners.shard_of(hit.0)];
            grouped[*place as usize] = hit;
            *place += 1;
        }
        // each place has moved to its shard's end, which is where the next shard begins
        let mut start = 0;
        for (shard, &end) in ends[..shards].iter().enumerate().filter(|(_, end)| **end > 0) {
            let hits = &grouped[start as usize..end as usize];
            if !hits.is_empty() {
                winners.update(shard, hits, &candidate);
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
