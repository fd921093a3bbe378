//! What clients send is looked at before it is decoded: a message must not become more than its bytes say.

use arrow::ipc::root_as_message;
use arrow_flight::FlightData;
use arrow_flight::error::FlightError;
use futures::{Stream, TryStreamExt, future};

/// Additions to dictionaries are kept to the end of a stream, so there are no more bytes of them than this.
const ADDED_BYTES_MAX: usize = 256 << 20;

/// The messages, up to the first that is compressed: how much one of those becomes is the sender's word alone, and memory is
/// taken by it before a byte is looked at.
pub(super) fn inspected<S>(messages: S) -> impl Stream<Item = Result<FlightData, FlightError>> + Send + 'static
where
    S: Stream<Item = Result<FlightData, FlightError>> + Send + 'static,
{
    let mut added_bytes = 0;
    messages.and_then(move |message| future::ready(inspect(message, &mut added_bytes)))
}

fn inspect(message: FlightData, added_bytes: &mut usize) -> Result<FlightData, FlightError> {
    let Header { is_compressed, adds } = Header::of(&message);
    if is_compressed {
        let reason = "its buffers are compressed, which is not taken: send it without compression of Arrow IPC";
        return Err(FlightError::DecodeError(reason.to_owned()));
    }
    if adds {
        *added_bytes = added_bytes.saturating_add(message.data_body.len());
    }
    if *added_bytes > ADDED_BYTES_MAX {
        let reason = "it adds more to its dictionaries than can be remembered: send such columns without dictionaries";
        return Err(FlightError::DecodeError(reason.to_owned()));
    }
    Ok(message)
}

/// What a message's header says of its body.
#[derive(Default)]
struct Header {
    is_compressed: bool,
    /// Whether it adds to a dictionary that came before.
    adds: bool,
}

impl Header {
    /// Nothing of what is no message: that is told by whoever decodes it.
    fn of(message: &FlightData) -> Self {
        let Ok(header) = root_as_message(&message.data_header) else { return Self::default() };
        let dictionary = header.header_as_dictionary_batch();
        let rows = header.header_as_record_batch().or_else(|| dictionary.and_then(|dictionary| dictionary.data()));
        Self {
            is_compressed: rows.is_some_and(|rows| rows.compression().is_some()),
            adds: dictionary.is_some_and(|dictionary| dictionary.isDelta()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, DictionaryArray, Int64Array, RecordBatch};
    use arrow::datatypes::Int32Type;
    use arrow::ipc::CompressionType;
    use arrow::ipc::writer::IpcWriteOptions;
    use arrow_flight::encode::{DictionaryHandling, FlightDataEncoderBuilder};
    use futures::{StreamExt, stream};

    use super::*;

    async fn passed(column: ArrayRef, compression: Option<CompressionType>) -> Result<usize, String> {
        let batch = RecordBatch::try_from_iter([("n", column)]).expect("a batch");
        let options = IpcWriteOptions::default().try_with_compression(compression).expect("options");
        let messages = FlightDataEncoderBuilder::new()
            .with_options(options)
            .with_dictionary_handling(DictionaryHandling::Resend)
            .build(stream::iter([Ok(batch)]));
        let passed = inspected(messages.boxed()).try_fold(0, |count, _| future::ready(Ok(count + 1))).await;
        passed.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn compressed_messages_are_refused_before_they_are_decoded() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![7; 10_000]));
        let coded: ArrayRef = Arc::new(["x", "y", "x"].into_iter().collect::<DictionaryArray<Int32Type>>());
        assert_eq!(passed(Arc::clone(&numbers), None).await, Ok(2));
        assert_eq!(passed(Arc::clone(&coded), None).await, Ok(3));
        for column in [numbers, coded] {
            for compression in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
                let refused = passed(Arc::clone(&column), Some(compression)).await.expect_err("compressed");
                assert!(refused.contains("send it without compression"), "{refused}");
            }
        }
    }
}
