//! A history held in memory: for tests, and for small tables that a plan has collected.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray,
};
use arrow::compute::{cast, interleave, max, min};
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use crate::time::{Rounding, timestamp_unit, to_micros, value_type};
use crate::{Bounds, Error, FeatureSource, NarrowBatch, NarrowPass, RowAddress, ScanCounters, Sequence};

/// Which columns of the batches are what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryColumns {
    /// The key columns.
    pub keys: Vec<usize>,
    /// The event time, a timestamp; nanoseconds are rounded up.
    pub event: usize,
    /// When a row was created, likewise.
    pub created: Option<usize>,
    /// An integer column; without it a row's place in the batches is its sequence.
    pub sequence: Option<usize>,
    /// A boolean column that marks tombstones.
    pub deleted: Option<usize>,
    /// The payload.
    pub payload: Vec<usize>,
}

/// Record batches as a history; each batch is a file of its own.
#[derive(Debug)]
pub struct MemorySource {
    label: String,
    key_types: Vec<DataType>,
    payload_schema: SchemaRef,
    files: Vec<NarrowBatch>,
    payload: Vec<RecordBatch>,
    partitions: usize,
}

impl MemorySource {
    /// A history of `batches`, all of `schema`, called `label` in `EXPLAIN`.
    pub fn try_new(
        label: impl Into<String>,
        schema: &Schema,
        batches: &[RecordBatch],
        columns: &MemoryColumns,
    ) -> Result<Self> {
        let label = label.into();
        let payload_schema = Arc::new(schema.project(&columns.payload)?);
        let keys = schema.project(&columns.keys)?;
        let key_types = keys.fields().iter().map(|field| field.data_type().clone()).collect();
        let fault = |reason| Error::Source { view: label.clone(), reason };
        for time in [Some(columns.event), columns.created].into_iter().flatten() {
            let field = schema.fields().get(time).ok_or_else(|| fault(format!("it has no column {time}")))?;
            if timestamp_unit(value_type(field.data_type())).is_none() {
                return Err(fault(format!("its time '{}' is {}", field.name(), field.data_type())).into());
            }
        }
        let mut files = Vec::with_capacity(batches.len());
        let mut payload = Vec::with_capacity(batches.len());
        let mut rows = 0;
        for batch in batches {
            let narrow = narrow(batch, columns, files.len() as u32, rows)?;
            if let Some(reason) = narrow.fault(columns.keys.len()) {
                return Err(fault(reason).into());
            }
            rows += batch.num_rows() as i64;
            files.push(narrow);
            payload.push(batch.project(&columns.payload)?);
        }
        Ok(Self { label, key_types, payload_schema, files, payload, partitions: 1 })
    }

    /// The same history, read in `partitions` parts, at least 1.
    pub fn with_partitions(mut self, partitions: usize) -> Self {
        self.partitions = partitions.max(1);
        self
    }
}

impl FeatureSource for MemorySource {
    fn label(&self) -> String {
        self.label.clone()
    }

    fn key_types(&self) -> Vec<DataType> {
        self.key_types.clone()
    }

    fn payload_schema(&self) -> SchemaRef {
        Arc::clone(&self.payload_schema)
    }

    fn partitions(&self) -> usize {
        self.partitions
    }

    fn narrow(
        &self,
        partition: usize,
        pass: &NarrowPass,
        _context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<NarrowBatch>>> {
        let files: Vec<_> = self.files.iter().skip(partition).step_by(self.partitions).collect();
        let wanted: Vec<_> =
            files.iter().filter(|file| may_match(file, &pass.bounds)).map(|file| Ok((*file).clone())).collect();
        pass.counters.files.add(files.len());
        pass.counters.files_skipped.add(files.len() - wanted.len());
        Ok(stream::iter(wanted).boxed())
    }

    fn fetch(
        &self,
        addresses: Arc<[RowAddress]>,
        _counters: &ScanCounters,
        _context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        // in two pieces, as other sources give many
        let (first, second) = addresses.split_at(addresses.len() / 2);
        Ok(stream::iter([self.chosen(first), self.chosen(second)]).boxed())
    }
}

impl MemorySource {
    fn chosen(&self, addresses: &[RowAddress]) -> Result<RecordBatch> {
        let places: Vec<_> =
            addresses.iter().map(|address| (address.file() as usize, address.row() as usize)).collect();
        let column = |column: usize| {
            let files: Vec<&dyn Array> = self.payload.iter().map(|batch| batch.column(column).as_ref()).collect();
            interleave(&files, &places)
        };
        let columns = (0..self.payload_schema.fields().len()).map(column).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(addresses.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.payload_schema), columns, &options)?)
    }
}

fn narrow(batch: &RecordBatch, columns: &MemoryColumns, file: u32, rows_before: i64) -> Result<NarrowBatch> {
    let time = |column: usize| -> Result<TimestampMicrosecondArray> {
        Ok(to_micros(batch.column(column), Rounding::Up)?.reinterpret_cast())
    };
    let sequence = match columns.sequence {
        Some(column) => Sequence::Column(as_integers(batch.column(column))?),
        None => Sequence::From(rows_before),
    };
    let deleted = columns.deleted.map(|column| cast(batch.column(column), &DataType::Boolean)).transpose()?;
    Ok(NarrowBatch {
        keys: columns.keys.iter().map(|&key| Arc::clone(batch.column(key))).collect(),
        event: time(columns.event)?,
        created: columns.created.map(time).transpose()?,
        sequence,
        deleted: deleted.map(|deleted: ArrayRef| -> BooleanArray { deleted.as_boolean().clone() }),
        file,
        first_row: 0,
    })
}

fn as_integers(column: &ArrayRef) -> Result<Int64Array> {
    Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

fn may_match(file: &NarrowBatch, bounds: &Bounds) -> bool {
    let events = min(&file.event).zip(max(&file.event));
    let created = file.created.as_ref().filter(|created| created.null_count() == 0);
    bounds.may_match(events, created.and_then(min))
}
