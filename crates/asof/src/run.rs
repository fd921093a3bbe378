//! The run time of a join: read the spine, answer each view, put the output together block by block.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use datafusion::common::runtime::SpawnedTask;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, RecordOutput};
use futures::{Stream, StreamExt, TryStreamExt, stream};

use crate::index::{NO_SLOT, SpineIndex};
use crate::metrics::{JoinMetrics, ViewMetrics};
use crate::probe::Probe;
use crate::spine::{Spine, array_size, batch_size};
use crate::winners::{Answers, Winners};
use crate::{AsOfView, Bounds, Error, Evidence};

/// One execution of a join.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) schema: SchemaRef,
    pub(crate) spine_time: usize,
    pub(crate) views: Arc<[Arc<AsOfView>]>,
    pub(crate) context: Arc<TaskContext>,
    /// Holds what lives until the end: the spine, its indexes, the answers.
    pub(crate) memory: MemoryReservation,
    pub(crate) metrics: ExecutionPlanMetricsSet,
}

/// What a view says of every slot, ready to be taken into the spine's order.
#[derive(Debug)]
struct Answered {
    index: Arc<SpineIndex>,
    row_of_slot: Vec<u32>,
    /// The output columns, a row for each winner.
    output: Vec<ArrayRef>,
    /// The evidence columns, likewise.
    evidence: Vec<ArrayRef>,
}

impl Run {
    /// The blocks of the output.
    pub(crate) fn stream(self, spine: SendableRecordBatchStream) -> impl Stream<Item = Result<RecordBatch>> + Send {
        stream::once(self.blocks(spine)).map_ok(stream::iter).try_flatten()
    }

    /// Views run one after the other, so that the narrow state of one alone is in memory.
    async fn blocks(self, spine: SendableRecordBatchStream) -> Result<Blocks> {
        let metrics = JoinMetrics::new(&self.metrics);
        let spine = Spine::read(spine, self.spine_time, &self.views, &self.memory, &metrics).await?;
        let mut answered = Vec::with_capacity(self.views.len());
        for (view, &index) in self.views.iter().zip(&spine.index_of_view) {
            answered.push(self.answer(view, &spine.indexes[index]).await?);
        }
        Ok(Blocks {
            schema: self.schema,
            answered,
            spine: spine.batches.into(),
            offset: 0,
            row: 0,
            rows_max: self.context.session_config().batch_size().max(1),
            memory: self.memory,
            metrics,
        })
    }

    async fn answer(&self, view: &Arc<AsOfView>, index: &Arc<SpineIndex>) -> Result<Answered> {
        let metrics = ViewMetrics::new(&self.metrics, &view.name);
        let slots = index.times().len();
        let narrow = self.memory.new_empty();
        narrow.try_grow(Winners::size(slots))?;
        let winners = self.narrow_pass(view, index, &metrics).await?;
        narrow.try_grow(Answers::size(slots))?;
        let timer = metrics.resolve_time.timer();
        let answers = winners.resolve(index, view);
        drop(winners);
        timer.done();
        metrics.winner_rows.add(answers.rows.len());

        let timer = metrics.fetch_time.timer();
        let output = self.fetch(view, &answers).await?;
        timer.done();
        let evidence: Vec<_> = view.evidence.iter().map(|(kind, _)| evidence(*kind, view, &answers)).collect();
        let kept: usize = output.iter().chain(&evidence).map(array_size).sum();
        self.memory.try_grow(kept + answers.row_of_slot.capacity() * size_of::<u32>())?;
        Ok(Answered { index: Arc::clone(index), row_of_slot: answers.row_of_slot, output, evidence })
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
        let probe = Probe {
            view: Arc::clone(view),
            index: Arc::clone(index),
            winners: Arc::clone(&winners),
            bounds: Bounds::new(view, first, last),
            metrics: metrics.clone(),
        };
        let tasks = stream::iter(0..view.source.partitions()).map(|partition| {
            let (probe, context) = (probe.clone(), Arc::clone(&self.context));
            async move {
                let task = SpawnedTask::spawn(probe.run(partition, context));
                task.join_unwind().await.map_err(|error| DataFusionError::External(Box::new(error)))?
            }
        });
        let threads = self.context.session_config().target_partitions().max(1);
        tasks.buffer_unordered(threads).try_collect::<()>().await?;
        timer.done();
        Ok(winners)
    }

    async fn fetch(&self, view: &AsOfView, answers: &Answers) -> Result<Vec<ArrayRef>> {
        let schema = view.source.payload_schema();
        let payload = if answers.rows.is_empty() || view.output.is_empty() {
            RecordBatch::new_empty(Arc::clone(&schema))
        } else {
            let addresses = answers.addresses();
            debug_assert!(addresses.is_sorted_by(|a, b| a < b), "addresses are sorted and distinct");
            view.source.fetch(&addresses, &self.context).await?
        };
        let fault = |reason: String| Error::Source { view: view.name.clone(), reason };
        if !view.output.is_empty() && payload.num_rows() != answers.rows.len() {
            let (rows, asked) = (payload.num_rows(), answers.rows.len());
            return Err(fault(format!("it was asked for the payload of {asked} rows and gave {rows}")).into());
        }
        let column = |&(column, ref field): &(usize, _)| {
            let column = payload.columns().get(column).filter(|column| {
                let expected: &arrow::datatypes::FieldRef = field;
                column.data_type() == expected.data_type()
            });
            column
                .map(Arc::clone)
                .ok_or_else(|| fault("its payload is not of the schema it declares".to_owned()).into())
        };
        view.output.iter().map(column).collect()
    }
}

fn evidence(kind: Evidence, view: &AsOfView, answers: &Answers) -> ArrayRef {
    let rows = answers.rows.iter();
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

/// The output, a block at a time; each spine batch is let go when its last block is made.
#[derive(Debug)]
struct Blocks {
    schema: SchemaRef,
    answered: Vec<Answered>,
    spine: VecDeque<RecordBatch>,
    /// How much of the first batch is done.
    offset: usize,
    /// The row of the spine that the next block begins with.
    row: usize,
    rows_max: usize,
    memory: MemoryReservation,
    metrics: JoinMetrics,
}

impl Iterator for Blocks {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.spine.front().is_some_and(|batch| self.offset >= batch.num_rows()) {
            let done = self.spine.pop_front()?;
            self.memory.shrink(batch_size(&done).min(self.memory.size()));
            self.offset = 0;
        }
        let batch = self.spine.front()?;
        let rows = self.rows_max.min(batch.num_rows() - self.offset);
        let block = batch.slice(self.offset, rows);
        let start = self.row;
        self.offset += rows;
        self.row += rows;
        let timer = self.metrics.baseline.elapsed_compute().timer();
        let block = self.block(&block, start);
        timer.done();
        Some(block.map(|block| block.record_output(&self.metrics.baseline)))
    }
}

impl Blocks {
    fn block(&self, spine: &RecordBatch, start: usize) -> Result<RecordBatch> {
        let rows = start..start + spine.num_rows();
        let mut outputs = Vec::new();
        let mut evidence = Vec::new();
        for view in &self.answered {
            let winners: UInt32Array =
                view.index.slot_of_row()[rows.clone()].iter().map(|&slot| view.winner(slot)).collect();
            for (columns, taken) in [(&view.output, &mut outputs), (&view.evidence, &mut evidence)] {
                for column in columns {
                    taken.push(take(column, &winners, None)?);
                }
            }
        }
        let columns = spine.columns().iter().map(Arc::clone).chain(outputs).chain(evidence).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

impl Answered {
    fn winner(&self, slot: u32) -> Option<u32> {
        let row = if slot == NO_SLOT { NO_SLOT } else { self.row_of_slot[slot as usize] };
        (row != NO_SLOT).then_some(row)
    }
}
