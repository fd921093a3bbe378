//! What a client sends: its command with the first message, then the spine's columns and rows.

use std::time::Duration;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow_flight::FlightData;
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::error::FlightError;
use arrow_flight::flight_descriptor::DescriptorType;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt, future, stream};
use hitherto_engine::Error;
use tonic::{Code, Status};

use super::request::{Wanted, command};
use crate::answer::Refusal;
use crate::flight::incoming::inspected;

/// The messages of a client, or of a test.
pub(super) type Messages = BoxStream<'static, Result<FlightData, Status>>;

/// A client that sends nothing for so long while its upload is open has given it up.
const IDLE_MAX: Duration = Duration::from_mins(5);
/// The rows of one upload, as Arrow has them; the file that they are spooled to has far fewer bytes.
const SPOOLED_BYTES_MAX: u64 = 16 << 30;

/// How much of an upload is spooled.
#[derive(Debug, Default)]
pub(super) struct Spooled(u64);

impl Spooled {
    /// Adds rows, unless there are too many.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let bytes = |column: &ArrayRef| column.to_data().get_slice_memory_size().unwrap_or_default() as u64;
        self.0 = batch.columns().iter().map(bytes).fold(self.0, u64::saturating_add);
        if self.0 <= SPOOLED_BYTES_MAX {
            return Ok(());
        }
        Err(Error::Invalid(format!(
            "the uploaded rows have more than {} GiB, which is the most: name a file by `spine_url` or a query by \
             `spine_sql`, or build several training sets",
            SPOOLED_BYTES_MAX >> 30
        )))
    }
}

/// An upload whose command is read.
pub(super) struct Upload {
    messages: FlightDataDecoder,
}

impl Upload {
    /// Reads the first message, which says what is wanted.
    pub(super) async fn begin(messages: Messages) -> Result<(Wanted, Self), Refusal> {
        let mut messages = unless_idle(messages).then(unless_cancelled).boxed();
        let wants = "an exchange begins with a message that has a descriptor with a command";
        let first = messages.next().await.ok_or_else(|| Refusal::invalid("flight_descriptor", wants))?;
        let first = first.map_err(|status| failed(FlightError::from(status)))?;
        let descriptor = first.flight_descriptor.as_ref();
        let wanted = descriptor.filter(|descriptor| descriptor.r#type == DescriptorType::Cmd as i32);
        let wanted = command(&wanted.ok_or_else(|| Refusal::invalid("flight_descriptor", wants))?.cmd)?;
        // metadata may come by itself, and the descriptor too; a decoder would take them for broken messages
        let messages = stream::iter([Ok(first)]).chain(messages).map_err(FlightError::from);
        let messages = messages.try_filter(|message| future::ready(!message.data_header.is_empty()));
        Ok((wanted, Self { messages: FlightDataDecoder::new(inspected(messages)) }))
    }

    /// The spine's columns; none where the upload ends before there are any.
    pub(super) async fn schema(&mut self) -> Result<Option<SchemaRef>, Refusal> {
        match self.messages.next().await.transpose().map_err(failed)? {
            None => Ok(None),
            Some(decoded) => match decoded.payload {
                DecodedPayload::Schema(schema) => Ok(Some(schema)),
                DecodedPayload::RecordBatch(_) | DecodedPayload::None => Err(nothing_but_rows()),
            },
        }
    }

    /// The spine's rows, to the end of the upload.
    pub(super) fn rows(self) -> impl Stream<Item = Result<RecordBatch, Error>> + Send {
        self.messages.map(|decoded| match decoded.map_err(explained)?.payload {
            DecodedPayload::RecordBatch(batch) => Ok(batch),
            DecodedPayload::Schema(_) => Err(Error::Invalid(
                "the upload has a second schema: a spine has one, and all of its batches are of it".to_owned(),
            )),
            DecodedPayload::None => Err(Error::Invalid("the upload has a message that is no rows".to_owned())),
        })
    }

    /// Waits for the end of an upload that has no rows to give: those that come all the same are refused, since `instead`
    /// says where the spine is.
    pub(super) async fn without_rows(mut self, instead: &str) -> Result<(), Refusal> {
        while let Some(decoded) = self.messages.next().await.transpose().map_err(failed)? {
            if matches!(decoded.payload, DecodedPayload::RecordBatch(batch) if batch.num_rows() > 0) {
                let reason = format!("rows came, and `{instead}` says where the spine is: leave one of them out");
                return Err(Refusal::invalid(instead, reason));
            }
        }
        Ok(())
    }
}

/// The messages, up to where none comes for too long.
fn unless_idle(messages: Messages) -> impl Stream<Item = Result<FlightData, Status>> + Send + 'static {
    stream::unfold(Some(messages), |messages| async move {
        let mut messages = messages?;
        if let Ok(message) = tokio::time::timeout(IDLE_MAX, messages.next()).await {
            message.map(|message| (message, Some(messages)))
        } else {
            let status = Status::deadline_exceeded(format!("nothing came for {} s", IDLE_MAX.as_secs()));
            Some((Err(status), None))
        }
    })
}

/// A message, unless the client takes all of it back: then there is nothing to say, and whoever waits is dropped.
async fn unless_cancelled(message: Result<FlightData, Status>) -> Result<FlightData, Status> {
    match message {
        Err(status) if status.code() == Code::Cancelled => future::pending().await,
        other => other,
    }
}

fn nothing_but_rows() -> Refusal {
    Refusal::invalid("spine", "the upload begins with rows: send their schema first")
}

fn failed(error: FlightError) -> Refusal {
    explained(error).into()
}

/// What broke an upload, in words for whoever sent it.
fn explained(error: FlightError) -> Error {
    match error {
        // what the transport refuses is too large for it; all else means that nobody is left to be told
        FlightError::Tonic(status) if status.code() == Code::OutOfRange => Error::Invalid(format!(
            "could not read the upload: {}; send the spine in smaller batches, of some megabytes",
            status.message()
        )),
        FlightError::Tonic(status) if status.code() == Code::Unauthenticated => {
            Error::Invalid(status.message().to_owned())
        }
        FlightError::Tonic(status) => Error::Unavailable(format!("the upload broke off: {}", status.message())),
        other => Error::Invalid(format!("could not read the upload: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use arrow_flight::FlightDescriptor;
    use arrow_flight::encode::FlightDataEncoderBuilder;

    use super::*;

    const COMMAND: &str = r#"{"training_set": {"feature_set": "late"}}"#;

    fn batch(numbers: Vec<i64>) -> RecordBatch {
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(numbers)) as ArrayRef)]).expect("a batch")
    }

    fn descriptor() -> FlightData {
        FlightData::new().with_descriptor(FlightDescriptor::new_cmd(COMMAND))
    }

    async fn encoded(batches: Vec<RecordBatch>) -> Vec<FlightData> {
        let batches = stream::iter(batches.into_iter().map(Ok));
        FlightDataEncoderBuilder::new().build(batches).try_collect().await.expect("messages")
    }

    fn sent(messages: Vec<FlightData>) -> Messages {
        stream::iter(messages.into_iter().map(Ok)).boxed()
    }

    async fn begin(messages: Vec<FlightData>) -> Result<Upload, String> {
        Upload::begin(sent(messages)).await.map(|(_, upload)| upload).map_err(|Refusal(failure)| failure.message)
    }

    #[tokio::test]
    async fn messages_with_an_empty_header_are_skipped() {
        let note = || FlightData::new().with_app_metadata("a note");
        let mut messages = vec![descriptor(), note()];
        for message in encoded(vec![batch(vec![1, 2]), batch(vec![3])]).await {
            messages.extend([message, note()]);
        }
        let mut upload = begin(messages).await.expect("a command");
        let schema = upload.schema().await.expect("readable").expect("a schema");
        assert_eq!(schema.field(0).name(), "n");
        let rows: Vec<RecordBatch> = upload.rows().try_collect().await.expect("rows");
        assert_eq!(rows, [batch(vec![1, 2]), batch(vec![3])]);
    }

    #[tokio::test]
    async fn the_command_may_come_with_the_schema() {
        let mut messages = encoded(vec![batch(vec![7])]).await;
        messages[0].flight_descriptor = Some(FlightDescriptor::new_cmd(COMMAND));
        let mut upload = begin(messages).await.expect("a command");
        assert!(upload.schema().await.expect("readable").is_some());
        let rows: Vec<RecordBatch> = upload.rows().try_collect().await.expect("rows");
        assert_eq!(rows, [batch(vec![7])]);
    }

    #[tokio::test]
    async fn what_is_no_exchange_is_refused() {
        let fault = |messages| async { begin(messages).await.err().expect("refused") };
        let wanted = "an exchange begins with a message that has a descriptor with a command";
        assert_eq!(fault(Vec::new()).await, wanted);
        assert_eq!(fault(encoded(vec![batch(vec![1])]).await).await, wanted);
        let path = FlightData::new().with_descriptor(FlightDescriptor::new_path(vec!["late".to_owned()]));
        assert_eq!(fault(vec![path]).await, wanted);
        let mut upload = begin(vec![descriptor()]).await.expect("a command");
        assert!(upload.schema().await.expect("readable").is_none());
        let rows = encoded(vec![batch(vec![1])]).await.remove(1);
        let mut upload = begin(vec![descriptor(), rows]).await.expect("a command");
        let Refusal(failure) = upload.schema().await.expect_err("no schema");
        assert!(failure.message.contains("prior to Schema"), "{}", failure.message);
        let broken = FlightData::new().with_data_header("no message");
        let mut upload = begin(vec![descriptor(), broken]).await.expect("a command");
        let Refusal(failure) = upload.schema().await.expect_err("broken");
        assert!(failure.message.starts_with("could not read the upload: "), "{}", failure.message);
    }

    #[test]
    fn what_is_spooled_is_counted_by_its_rows() {
        let mut spooled = Spooled::default();
        let rows = batch((0..1_000).collect());
        // a slice holds on to all bytes, and has few of them
        for batch in [rows.clone(), rows.slice(0, 10)] {
            spooled.add(&batch).expect("there is room");
        }
        assert_eq!(spooled.0, 8_080);
        spooled.0 = SPOOLED_BYTES_MAX - 80;
        spooled.add(&rows.slice(0, 10)).expect("the last that has room");
        let refused = spooled.add(&rows).expect_err("too much").to_string();
        assert!(refused.contains("more than 16 GiB") && refused.contains("`spine_url`"), "{refused}");
    }

    #[tokio::test]
    async fn a_schema_comes_once() {
        let mut messages = vec![descriptor()];
        messages.extend(encoded(vec![batch(vec![1])]).await);
        messages.extend(encoded(vec![batch(vec![2])]).await);
        let mut upload = begin(messages).await.expect("a command");
        upload.schema().await.expect("readable").expect("a schema");
        let rows: Result<Vec<RecordBatch>, Error> = upload.rows().try_collect().await;
        assert!(rows.expect_err("two schemas").to_string().contains("a second schema"));
    }

    #[tokio::test]
    async fn where_the_spine_is_elsewhere_no_rows_come() {
        let of = async |batches| {
            let mut messages = vec![descriptor()];
            messages.extend(encoded(batches).await);
            let upload = begin(messages).await.expect("a command");
            upload.without_rows("spine_sql").await.map_err(|Refusal(failure)| failure.message)
        };
        assert_eq!(of(Vec::new()).await, Ok(()));
        assert_eq!(of(vec![batch(Vec::new())]).await, Ok(()));
        let refused = of(vec![batch(vec![1])]).await.expect_err("rows");
        assert_eq!(refused, "rows came, and `spine_sql` says where the spine is: leave one of them out");
    }
}
