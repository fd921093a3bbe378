//! Rows as Flight sends them, and the schema that announces them.

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::error::FlightError;
use arrow_flight::{FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use futures::{Stream, TryStreamExt, stream};
use hitherto_core::Kind;
use hitherto_proto::Failure;
use tonic::Status;

use crate::answer::Refusal;

/// Messages with rows.
pub(super) type Sent = Pin<Box<dyn Stream<Item = Result<FlightData, Status>> + Send + 'static>>;

/// The rows as messages, made as they are fetched; an error keeps its details.
pub(super) fn sent(schema: SchemaRef, rows: impl Stream<Item = Result<RecordBatch, Refusal>> + Send + 'static) -> Sent {
    let rows = rows.map_err(|refusal| FlightError::from(Status::from(refusal)));
    let messages = FlightDataEncoderBuilder::new().with_schema(schema).build(rows);
    Box::pin(messages.map_err(|error| match error {
        FlightError::Tonic(status) => *status,
        other => unsendable(other).into(),
    }))
}

/// Rows that are there already.
pub(super) fn sent_whole(batch: RecordBatch) -> Sent {
    sent(batch.schema(), stream::iter([Ok(batch)]))
}

/// The schema under which rows of `schema` arrive: dictionaries are sent as their values. Clients refuse rows of another
/// schema than was announced.
pub(super) fn announced(schema: &SchemaRef) -> SchemaRef {
    let messages = FlightDataEncoderBuilder::new().with_schema(Arc::clone(schema)).build(stream::empty());
    messages.known_schema().unwrap_or_else(|| Arc::clone(schema))
}

/// How `ticket` is announced.
pub(super) fn info(schema: &Schema, ticket: Ticket, asked: FlightDescriptor) -> Result<FlightInfo, Refusal> {
    let endpoint = FlightEndpoint::new().with_ticket(ticket);
    let info = FlightInfo::new().with_endpoint(endpoint).with_descriptor(asked);
    info.try_with_schema(schema).map_err(unsendable)
}

/// A schema as it stands in a message.
pub(super) fn schema_bytes(schema: &Schema) -> Result<Vec<u8>, Refusal> {
    let info = FlightInfo::new().try_with_schema(schema).map_err(unsendable)?;
    Ok(info.schema.to_vec())
}

/// What cannot be put into a message is a fault of ours.
pub(super) fn unsendable(error: impl std::fmt::Display) -> Refusal {
    Refusal(Failure::new(Kind::Internal, format!("could not send the rows: {error}")))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, DictionaryArray, Int32Array};
    use arrow::datatypes::{DataType, Field, Int8Type};
    use arrow_flight::decode::FlightRecordBatchStream;
    use tonic::Code;

    use super::*;

    fn batch() -> RecordBatch {
        let carriers: DictionaryArray<Int8Type> = ["UA", "AA", "UA"].into_iter().collect();
        let fields = vec![
            Field::new("carrier", carriers.data_type().clone(), true),
            Field::new("delay", DataType::Int32, false),
        ];
        let delays = Int32Array::from(vec![1, 2, 3]);
        RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(carriers), Arc::new(delays)]).expect("rows")
    }

    #[tokio::test]
    async fn rows_arrive_under_the_schema_that_was_announced() {
        let batch = batch();
        let announced = announced(&batch.schema());
        let fields: Vec<_> = announced.fields().iter().map(|field| (field.data_type(), field.is_nullable())).collect();
        assert_eq!(fields, [(&DataType::Utf8, true), (&DataType::Int32, false)]);
        let said = info(&announced, Ticket::new("t"), FlightDescriptor::new_cmd("c")).expect("an announcement");
        assert_eq!(said.try_decode_schema().expect("a schema"), *announced);
        let messages = sent(batch.schema(), stream::iter([Ok(batch)])).map_err(FlightError::from);
        let arrived: Vec<RecordBatch> =
            FlightRecordBatchStream::new_from_flight_data(messages).try_collect().await.expect("rows");
        assert_eq!(arrived.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
        assert!(arrived.iter().all(|batch| batch.schema() == announced));
    }

    #[tokio::test]
    async fn an_error_among_the_rows_keeps_its_details() {
        let batch = batch();
        let failure = Failure::new(Kind::Exhausted, "too many rows").with_hint("ask for fewer");
        let rows = stream::iter([Ok(batch.clone()), Err(Refusal(failure.clone()))]);
        let ended = sent(batch.schema(), rows).try_fold(0, |count, _| async move { Ok(count + 1) }).await;
        let status = ended.expect_err("it fails");
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(Failure::from(&status), failure);
    }
}
