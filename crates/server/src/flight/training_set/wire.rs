//! Record batches as messages of Flight.
//!
//! The encoder of `arrow-flight` announces large lists as lists; here every type is announced as it is sent.

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_flight::FlightData;

use super::columns::compacted;

/// A message has about so many bytes, where a row does not have more: clients take 4 MiB unless told otherwise.
const MESSAGE_BYTES: usize = 2 << 20;

/// The encoder of one stream, which knows what dictionaries its client has.
pub(super) struct Wire {
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    options: IpcWriteOptions,
    context: IpcWriteContext,
}

impl Wire {
    /// An encoder, and its first message: the schema of all batches.
    pub(super) fn open(schema: &Schema) -> (Self, FlightData) {
        let mut wire = Self {
            generator: IpcDataGenerator::default(),
            // dictionaries may be replaced as the stream goes on
            dictionaries: DictionaryTracker::new(false),
            options: IpcWriteOptions::default(),
            context: IpcWriteContext::default(),
        };
        let encoded =
            wire.generator.schema_to_bytes_with_dictionary_tracker(schema, &mut wire.dictionaries, &wire.options);
        (wire, encoded.into())
    }

    /// The messages that hold a batch; none for one without rows.
    pub(super) fn messages(&mut self, batch: &RecordBatch) -> Result<Vec<FlightData>, ArrowError> {
        let bytes: usize = batch.columns().iter().map(Array::get_buffer_memory_size).sum();
        let parts = bytes.div_ceil(MESSAGE_BYTES).max(1);
        let rows = batch.num_rows().div_ceil(parts).max(1);
        let mut messages = Vec::with_capacity(parts);
        for from in (0..batch.num_rows()).step_by(rows) {
            let part = compacted(&batch.slice(from, rows.min(batch.num_rows() - from)))?;
            let (dictionaries, part) =
                self.generator.encode(&part, &mut self.dictionaries, &self.options, &mut self.context)?;
            messages.extend(dictionaries.into_iter().map(FlightData::from));
            messages.push(part.into());
        }
        Ok(messages)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, DictionaryArray, Int64Array, LargeListArray, StringViewArray};
    use arrow::compute::concat_batches;
    use arrow::datatypes::{Int32Type, Int64Type};
    use arrow_flight::decode::FlightRecordBatchStream;
    use futures::{TryStreamExt, stream};

    use super::*;

    async fn there_and_back(batches: &[RecordBatch]) -> (usize, Vec<RecordBatch>) {
        let (mut wire, schema) = Wire::open(&batches[0].schema());
        let mut messages = vec![schema];
        for batch in batches {
            messages.extend(wire.messages(batch).expect("messages"));
        }
        let count = messages.len();
        let decoded = FlightRecordBatchStream::new_from_flight_data(stream::iter(messages.into_iter().map(Ok)));
        (count, decoded.try_collect().await.expect("batches"))
    }

    #[tokio::test]
    async fn types_are_announced_as_they_are_sent() {
        let lists = LargeListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None]);
        let batch = RecordBatch::try_from_iter([
            ("lists", Arc::new(lists) as ArrayRef),
            ("views", Arc::new(StringViewArray::from(vec!["a text that is too long for a view", "b"]))),
            ("coded", Arc::new(["x", "y"].into_iter().collect::<DictionaryArray<Int32Type>>())),
        ])
        .expect("a batch");
        // the dictionary is sent once
        assert_eq!(there_and_back(&[batch.clone(), batch.clone()]).await, (4, vec![batch.clone(), batch]));
    }

    #[tokio::test]
    async fn large_batches_are_sent_in_parts_and_empty_ones_not_at_all() {
        let rows = |count: i64| {
            let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..count));
            RecordBatch::try_from_iter([("n", numbers)]).expect("a batch")
        };
        let batch = rows(1 << 20);
        let (messages, batches) = there_and_back(&[rows(0), batch.clone()]).await;
        // 8 MiB in parts of 2 MiB or less, and the schema
        assert_eq!(messages, batches.len() + 1);
        assert!(batches.iter().all(|batch| (1..=1 << 18).contains(&batch.num_rows())), "{} batches", batches.len());
        assert_eq!(concat_batches(&batch.schema(), &batches).expect("one batch"), batch);
    }
}
