//! Parquet, its columns encoded side by side on the machine's threads: the same bytes as one thread gives.

mod suited;

use std::io::Write;
use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use self::suited::suited;

/// Writes record batches into a sink. Threads live as long as a call; a call with many rows makes good use of them.
pub(crate) struct Encoder<W: Write + Send> {
    file: SerializedFileWriter<W>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    /// Of the row group that is open; none between row groups.
    columns: Vec<Column>,
    group_rows: usize,
    group_rows_max: usize,
}

/// One column of the schema in the row group that is open. Nested ones have several leaves.
#[derive(Default)]
struct Column {
    leaves: Vec<ArrowColumnWriter>,
}

impl<W: Write + Send> Encoder<W> {
    /// `first` is what the first rows are: how each column is written is told by its values there.
    pub(crate) fn try_new(
        sink: W,
        schema: SchemaRef,
        properties: WriterProperties,
        first: Option<&RecordBatch>,
    ) -> Result<Self> {
        let properties = match first {
            Some(first) => suited(properties, first)?,
            None => properties,
        };
        let group_rows_max = properties.max_row_group_row_count().unwrap_or(usize::MAX);
        let writer = ArrowWriter::try_new(sink, SchemaRef::clone(&schema), Some(properties))?;
        let (file, factory) = writer.into_serialized_writer()?;
        Ok(Self { file, factory, schema, columns: Vec::new(), group_rows: 0, group_rows_max })
    }

    /// Encodes all rows of the batches. A row group that becomes full is written to the sink.
    pub(crate) fn write(&mut self, batches: &[RecordBatch]) -> Result<()> {
        let mut parts = Vec::with_capacity(batches.len() + 1);
        for batch in batches {
            let mut rest = batch.clone();
            while rest.num_rows() > 0 {
                let taken = rest.num_rows().min(self.group_rows_max - self.group_rows);
                parts.push(rest.slice(0, taken));
                rest = rest.slice(taken, rest.num_rows() - taken);
                self.group_rows += taken;
                if self.group_rows == self.group_rows_max {
                    self.encode(&parts)?;
                    parts.clear();
                    self.flush()?;
                }
            }
        }
        self.encode(&parts)
    }

    /// Ends the row group that is open, and writes it to the sink.
    pub(crate) fn flush(&mut self) -> Result<()> {
        if self.columns.is_empty() {
            return Ok(());
        }
        let columns = std::mem::take(&mut self.columns);
        self.group_rows = 0;
        let closed = side_by_side(columns, |column| {
            column.leaves.into_iter().map(ArrowColumnWriter::close).collect::<Result<Vec<ArrowColumnChunk>>>()
        });
        let mut group = self.file.next_row_group()?;
        for chunks in closed {
            for chunk in chunks? {
                chunk.append_to_row_group(&mut group)?;
            }
        }
        group.close()?;
        Ok(())
    }

    /// Ends the file with `metadata` in its footer, and gives the sink back.
    pub(crate) fn finish(mut self, metadata: Vec<KeyValue>) -> Result<W> {
        self.flush()?;
        for pair in metadata {
            self.file.append_key_value_metadata(pair);
        }
        self.file.into_inner()
    }

    /// The memory that the row group takes.
    pub(crate) fn memory_size(&self) -> usize {
        self.leaves().map(ArrowColumnWriter::memory_size).sum()
    }

    /// The bytes that the file has, and roughly those that the row group will add.
    pub(crate) fn file_size(&self) -> usize {
        self.file.bytes_written() + self.leaves().map(ArrowColumnWriter::get_estimated_total_bytes).sum::<usize>()
    }

    pub(crate) fn sink(&mut self) -> &mut W {
        self.file.inner_mut()
    }

    fn leaves(&self) -> impl Iterator<Item = &ArrowColumnWriter> {
        self.columns.iter().flat_map(|column| &column.leaves)
    }

    fn encode(&mut self, parts: &[RecordBatch]) -> Result<()> {
        if parts.is_empty() {
            return Ok(());
        }
        if self.columns.is_empty() {
            self.columns = self.open_group()?;
        }
        let schema = &self.schema;
        let done = side_by_side(self.columns.iter_mut().enumerate().collect(), |(index, column)| {
            for part in parts {
                let leaves = compute_leaves(schema.field(index), part.column(index))?;
                for (writer, leaf) in column.leaves.iter_mut().zip(leaves) {
                    writer.write(&leaf)?;
                }
            }
            Ok(())
        });
        done.into_iter().collect()
    }

    fn open_group(&self) -> Result<Vec<Column>> {
        let mut columns: Vec<Column> = self.schema.fields().iter().map(|_| Column::default()).collect();
        let writers = self.factory.create_column_writers(self.file.flushed_row_groups().len())?;
        for (leaf, writer) in writers.into_iter().enumerate() {
            let column = columns.get_mut(self.file.schema_descr().get_column_root_idx(leaf));
            let column = column.ok_or_else(|| ParquetError::General("a leaf without a column".to_owned()))?;
            column.leaves.push(writer);
        }
        Ok(columns)
    }
}

/// The results of `work` on each item, in the items' order. A thread that is free takes the next item; where the machine
/// gives no further thread, those that there are do the work.
fn side_by_side<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(items.len());
    let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let queue = Mutex::new(items.into_iter().zip(results.iter_mut()));
    let take = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let run = || {
        while let Some((item, result)) = take() {
            *result = Some(work(item));
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            if thread::Builder::new().spawn_scoped(scope, run).is_err() {
                break;
            }
        }
        run();
    });
    drop(queue);
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, Int64Array, ListArray, StringArray, StructArray};
    use arrow::datatypes::{Field, Int64Type};

    use super::*;

    fn rows(from: i64, to: i64) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(from..to));
        let texts: ArrayRef =
            Arc::new((from..to).map(|n| (n % 7 != 0).then(|| format!("text {}", n % 91))).collect::<StringArray>());
        let halves: ArrayRef = Arc::new(Float64Array::from_iter_values((from..to).map(|n| n as f64 / 2.0)));
        let lists = (from..to).map(|n| Some((0..n % 4).map(Some)));
        let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists));
        let pairs: ArrayRef = Arc::new(StructArray::from(vec![
            (Arc::new(Field::new("number", numbers.data_type().clone(), true)), Arc::clone(&numbers)),
            (Arc::new(Field::new("text", texts.data_type().clone(), true)), Arc::clone(&texts)),
        ]));
        RecordBatch::try_from_iter([("n", numbers), ("t", texts), ("h", halves), ("l", lists), ("p", pairs)])
            .expect("a batch")
    }

    #[test]
    fn the_bytes_are_those_of_the_plain_writer() {
        let properties = || WriterProperties::builder().set_max_row_group_row_count(Some(10_000)).build();
        let batches: Vec<RecordBatch> = (0..5).map(|n| rows(n * 7_000, (n + 1) * 7_000)).collect();
        let mut plain = ArrowWriter::try_new(Vec::new(), batches[0].schema(), Some(properties())).expect("a writer");
        for batch in &batches {
            plain.write(batch).expect("written");
        }
        let expected = plain.into_inner().expect("a file");
        for at_once in 1..=5 {
            let mut encoder =
                Encoder::try_new(Vec::new(), batches[0].schema(), properties(), None).expect("an encoder");
            for block in batches.chunks(at_once) {
                encoder.write(block).expect("written");
            }
            assert!(encoder.file_size() > 0 && encoder.memory_size() > 0);
            assert_eq!(encoder.finish(Vec::new()).expect("a file"), expected, "{at_once} batches at once");
        }
    }

    #[test]
    fn a_file_without_rows_is_a_file() {
        let encoder =
            Encoder::try_new(Vec::new(), rows(0, 1).schema(), WriterProperties::default(), None).expect("an encoder");
        let plain = ArrowWriter::try_new(Vec::new(), rows(0, 1).schema(), None).expect("a writer");
        assert_eq!(encoder.finish(Vec::new()).expect("a file"), plain.into_inner().expect("a file"));
    }
}
