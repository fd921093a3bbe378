//! One band answered: its indexes, then each view's narrow pass, winners and payload.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray};
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;
use futures::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use crate::band::{Band, array_size, batch_size};
use crate::blocks::{Answered, Payload};
use crate::index::{IndexBuilder, NO_SLOT, SpineIndex};
use crate::keys::KeyFamily;
use crate::metrics::ViewMetrics;
use crate::open_slots::OpenSlots;
use crate::probe::Probe;
use crate::run::Run;
use crate::time::{Rounding, to_micros};
use crate::winners::{Answers, Winners};
use crate::{AsOfView, Bounds, Error, Evidence, NarrowPass};

/// Views that are worked on at a time: one that searches memory, and one that decodes.
pub(crate) const VIEWS_AT_ONCE: usize = 2;

/// The columns of the spine that an index is over, and what they are compared as. Views with the same share an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexKey {
    pub(crate) columns: Vec<usize>,
    pub(crate) families: Vec<KeyFamily>,
}

impl IndexKey {
    /// The index over `batches`, with a reservation of what it holds.
    fn index(
        &self,
        batches: &[RecordBatch],
        times: &[i64],
        memory: MemoryReservation,
    ) -> Result<(Arc<SpineIndex>, MemoryReservation)> {
        let mut builder = IndexBuilder::try_new(&self.families)?;
        for batch in batches {
            let columns: Vec<ArrayRef> = self.columns.iter().map(|&c| Arc::clone(batch.column(c))).collect();
            builder.push(&columns)?;
            memory.try_resize(builder.memory_size())?;
        }
        memory.try_grow(builder.finish_size(times.len()))?;
        let index = builder.finish(times)?;
        memory.try_resize(index.memory_size())?;
        Ok((Arc::new(index), memory))
    }
}

impl Run {
    /// Narrow passes run one after the other, so that the winners of few views are in memory at a time; while one runs,
    /// the payload of the view before it is read. What is kept is added to the band's reservation.
    pub(crate) async fn answer(&self, band: &Band) -> Result<Vec<Answered>> {
        let indexes = self.index(band).await?;
        let turn = Semaphore::new(1);
        let each = (0..self.views.len()).map(|view| self.answer_view(view, &indexes, band, &turn));
        let each: Vec<_> = each.collect();
        let answered: Vec<Answered> = stream::iter(each).buffered(VIEWS_AT_ONCE).try_collect().await?;
        let held: usize = indexes.iter().map(|index| index.memory_size()).sum();
        drop(indexes);
        band.memory.shrink(held);
        Ok(answered)
    }

    /// The band's indexes, each made by a thread of its own.
    async fn index(&self, band: &Band) -> Result<Vec<Arc<SpineIndex>>> {
        let timer = self.join_metrics.index_time.timer();
        let times = self.times(band)?;
        let held = band.memory.new_empty();
        held.try_grow(size_of_val(times.as_ref()))?;
        let made = self.index_keys.iter().map(|key| {
            let (key, batches, times) = (key.clone(), band.batches.clone(), Arc::clone(&times));
            let memory = band.memory.new_empty();
            joined(SpawnedTask::spawn_blocking(move || key.index(&batches, &times, memory)))
        });
        let mut indexes = Vec::with_capacity(self.index_keys.len());
        for made in futures::future::try_join_all(made).await? {
            let (index, memory) = made?;
            band.memory.grow(memory.free());
            indexes.push(index);
        }
        timer.done();
        Ok(indexes)
    }

    fn times(&self, band: &Band) -> Result<Arc<[i64]>> {
        let mut times: Vec<i64> = Vec::with_capacity(band.rows);
        for batch in &band.batches {
            self.push_times(batch, band.first_row, &mut times)?;
        }
        Ok(times.into())
    }

    fn push_times(&self, batch: &RecordBatch, first_row: u64, times: &mut Vec<i64>) -> Result<()> {
        let micros = to_micros(batch.column(self.spine_time), Rounding::Down)?;
        if let Some(row) = micros.nulls().and_then(|nulls| (0..nulls.len()).find(|&row| nulls.is_null(row))) {
            let column = batch.schema().field(self.spine_time).name().clone();
            return Err(Error::SpineTimeNull { column, row: first_row + (times.len() + row) as u64 }.into());
        }
        times.extend_from_slice(micros.values());
        Ok(())
    }

    async fn answer_view(
        &self,
        view: usize,
        indexes: &[Arc<SpineIndex>],
        band: &Band,
        turn: &Semaphore,
    ) -> Result<Answered> {
        let (view, index) = (&self.views[view], &indexes[self.index_of_view[view]]);
        let metrics = ViewMetrics::new(&self.metrics, &view.name);
        let slots = index.times().len();
        let narrow = band.memory.new_empty();
        // a semaphore that is never closed always gives its permit
        let permit = turn.acquire().await;
        narrow.try_grow(Winners::size(slots) + OpenSlots::size(index, self.threads(view)))?;
        let winners = self.narrow_pass(view, index, &metrics).await?;
        drop(permit);
        let timer = metrics.resolve_time.timer();
        let resolving = band.memory.new_empty();
        resolving.try_grow(Answers::size(slots, view))?;
        self.note_memory();
        let (resolved_view, resolved_index) = (Arc::clone(view), Arc::clone(index));
        let answers =
            joined(SpawnedTask::spawn_blocking(move || winners.resolve(&resolved_index, &resolved_view))).await?;
        narrow.free();
        timer.done();
        metrics.winner_rows.add(answers.addresses.len());
        let Answers { addresses, rows, row_of_slot } = answers;
        let rows_of_spine = |&slot: &u32| if slot == NO_SLOT { NO_SLOT } else { row_of_slot[slot as usize] };
        let row_of_row: Vec<u32> = index.slot_of_row().iter().map(rows_of_spine).collect();
        let evidence: Vec<_> = view.evidence.iter().map(|(kind, _)| evidence(*kind, view, &rows)).collect();
        let kept = evidence.iter().map(array_size).sum::<usize>() + row_of_row.capacity() * size_of::<u32>();
        band.memory.try_grow(kept)?;
        drop((rows, row_of_slot));
        resolving.try_resize(size_of_val(addresses.as_slice()))?;
        let timer = metrics.fetch_time.timer();
        let payload = self.fetch(view, addresses.into(), &band.memory, &metrics).await?;
        timer.done();
        self.note_memory();
        Ok(Answered { row_of_row, payload, evidence })
    }

    /// How many parts of a history are read at a time.
    fn threads(&self, view: &AsOfView) -> usize {
        self.context.session_config().target_partitions().clamp(1, view.source.partitions().max(1))
    }

    /// Streams the whole history past the index, as many partitions at once as the session allows.
    async fn narrow_pass(
        &self,
        view: &Arc<AsOfView>,
        index: &Arc<SpineIndex>,
        metrics: &ViewMetrics,
    ) -> Result<Arc<Winners>> {
        let winners = Arc::new(Winners::new(index.times().len()));
        let Some((first, last)) = index.time_range() else {
            return Ok(winners);
        };
        let timer = metrics.narrow_time.timer();
        let pass = NarrowPass {
            bounds: Bounds::new(view, first, last),
            keys: Arc::clone(index.key_set()),
            counters: metrics.scan.clone(),
        };
        let probe = Probe {
            view: Arc::clone(view),
            index: Arc::clone(index),
            winners: Arc::clone(&winners),
            pass,
            metrics: metrics.clone(),
        };
        let threads = self.threads(view);
        let tasks = stream::iter(0..view.source.partitions()).map(|partition| {
            let (probe, context) = (probe.clone(), Arc::clone(&self.context));
            async move { joined(SpawnedTask::spawn(probe.run(partition, threads, context))).await? }
        });
        tasks.buffer_unordered(threads).try_collect::<()>().await?;
        timer.done();
        Ok(winners)
    }

    async fn fetch(
        &self,
        view: &AsOfView,
        addresses: Arc<[crate::RowAddress]>,
        memory: &MemoryReservation,
        metrics: &ViewMetrics,
    ) -> Result<Payload> {
        let asked = addresses.len();
        let fault = |reason: String| Error::Source { view: view.name.clone(), reason };
        let mut payload = Payload::new(view);
        if asked > 0 && !view.output.is_empty() {
            let mut chunks = view.source.fetch(addresses, &metrics.scan, &self.context)?;
            while let Some(chunk) = chunks.next().await {
                let chunk = chunk?;
                memory.try_grow(batch_size(&chunk))?;
                payload.push(&chunk).map_err(&fault)?;
            }
            if payload.rows() != asked {
                let rows = payload.rows();
                return Err(fault(format!("it was asked for the payload of {asked} rows and gave {rows}")).into());
            }
        }
        Ok(payload)
    }
}

/// What a task comes to; a panic in it goes on here.
async fn joined<T: Send + 'static>(task: SpawnedTask<T>) -> Result<T> {
    task.join_unwind().await.map_err(|error| DataFusionError::External(Box::new(error)))
}

fn evidence(kind: Evidence, view: &AsOfView, rows: &[crate::winners::Candidate]) -> ArrayRef {
    let rows = rows.iter();
    match kind {
        Evidence::EventTimestamp => {
            Arc::new(TimestampMicrosecondArray::from_iter_values(rows.map(|row| row.event)).with_timezone("UTC"))
        }
        Evidence::AvailableAt => {
            let available = rows.map(|row| view.available_at(row.event, row.created));
            Arc::new(TimestampMicrosecondArray::from_iter_values(available).with_timezone("UTC"))
        }
        Evidence::Sequence => Arc::new(Int64Array::from_iter_values(rows.map(|row| row.sequence))),
    }
}
