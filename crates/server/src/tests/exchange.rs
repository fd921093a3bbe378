//! Training sets over Flight, by a plain Flight client.

use std::fs;
use std::slice::from_ref;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, FixedSizeBinaryArray,
    Float64Array, Int8Array, LargeListArray, LargeStringArray, RecordBatch, StringArray, StringViewArray,
    Time32SecondArray, TimestampMicrosecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt16Array,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Float64Type, Int8Type, Int64Type, Schema};
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow_flight::decode::{DecodedPayload, FlightDataDecoder};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::sql::CommandGetTables;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::{FlightData, FlightDescriptor, IpcMessage, Ticket};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt;

use super::fixture::{HOUR_US, NOW, Running, engine, eventually, options, running, start};
use crate::{Options, SqlLimits};

/// What a client has read to the end.
#[derive(Debug)]
struct Read {
    schema: Schema,
    rows: RecordBatch,
    /// The messages of nothing but metadata.
    told: Vec<Value>,
}

impl Read {
    async fn to_the_end(messages: Streaming<FlightData>) -> Result<Self, Status> {
        let messages: Vec<FlightData> = messages.try_collect().await?;
        let told = messages.iter().filter(|message| message.data_header.is_empty());
        let told = told.map(|message| serde_json::from_slice(&message.app_metadata).expect("JSON")).collect();
        let data = messages.into_iter().filter(|message| !message.data_header.is_empty()).map(Ok);
        let mut decoded = FlightDataDecoder::new(stream::iter(data.collect::<Vec<_>>()));
        let (mut schema, mut batches) = (None, Vec::new());
        while let Some(message) = decoded.try_next().await.expect("messages of Flight") {
            match message.payload {
                DecodedPayload::Schema(found) => schema = Some(found),
                DecodedPayload::RecordBatch(batch) => batches.push(batch),
                DecodedPayload::None => {}
            }
        }
        let schema = schema.expect("a schema");
        let rows = concat_batches(&schema, &batches).expect("batches of the schema");
        Ok(Self { schema: schema.as_ref().clone(), rows, told })
    }

    fn dataset(&self) -> &Value {
        let last = self.told.last().expect("a last message");
        last.get("dataset").expect("a manifest")
    }
}

impl Running {
    async fn flight(&self) -> FlightServiceClient<Channel> {
        let endpoint = Endpoint::new(format!("http://{}", self.grpc)).expect("an address");
        FlightServiceClient::new(endpoint.connect().await.expect("it answers"))
    }

    async fn exchange(&self, command: &Value, spine: Option<&[RecordBatch]>) -> Result<Read, Status> {
        let answer = self.flight().await.do_exchange(stream::iter(messages(command, spine))).await?;
        Read::to_the_end(answer.into_inner()).await
    }

    async fn fetch(&self, id: &str) -> Result<Read, Status> {
        let ticket = Ticket::new(json!({"dataset": id}).to_string());
        Read::to_the_end(self.flight().await.do_get(ticket).await?.into_inner()).await
    }

    /// The files of training sets that the store has for clients.
    fn files(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.path().join("offline/_training_sets/default")) else {
            return Vec::new();
        };
        entries.map(|entry| entry.expect("an entry").path().display().to_string()).collect()
    }
}

/// A command, and the spine's batches after it.
fn messages(command: &Value, spine: Option<&[RecordBatch]>) -> Vec<FlightData> {
    let command = FlightData::new().with_descriptor(FlightDescriptor::new_cmd(command.to_string()));
    let mut messages = vec![command];
    let Some(spine) = spine else { return messages };
    let (generator, options) = (IpcDataGenerator::default(), IpcWriteOptions::default());
    let (mut dictionaries, mut context) = (DictionaryTracker::new(false), IpcWriteContext::default());
    let schema = spine[0].schema();
    let schema = generator.schema_to_bytes_with_dictionary_tracker(&schema, &mut dictionaries, &options);
    messages.push(schema.into());
    for batch in spine {
        let encoded = generator.encode(batch, &mut dictionaries, &options, &mut context).expect("messages");
        messages.extend(encoded.0.into_iter().map(FlightData::from));
        messages.push(encoded.1.into());
    }
    messages
}

fn outlook() -> Value {
    json!({"training_set": {"feature_set": "outlook"}})
}

/// JFK half an hour ago, EWR half an hour ago, JFK long before anything was known.
fn spine() -> RecordBatch {
    let ago = |hours: f64| NOW.0 - (hours * HOUR_US as f64) as i64;
    let times = TimestampMicrosecondArray::from(vec![ago(0.5), ago(0.5), ago(9.0)]).with_timezone("UTC");
    RecordBatch::try_from_iter([
        ("airport", Arc::new(StringArray::from(vec!["JFK", "EWR", "JFK"])) as ArrayRef),
        ("event_timestamp", Arc::new(times)),
        ("prepaid", Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0]))),
    ])
    .expect("a spine")
}

fn gusts(read: &Read) -> Vec<Option<f64>> {
    read.rows.column_by_name("gust").expect("a feature").as_primitive::<Float64Type>().iter().collect()
}

/// The spine with a column of each type that is easily lost.
fn motley() -> RecordBatch {
    let zone = TimestampNanosecondArray::from(vec![Some(1_500), None, Some(-1)]).with_timezone("Europe/Berlin");
    let sizes = Arc::new(StringArray::from(vec!["never", "small", "large"]));
    let sizes = DictionaryArray::<Int8Type>::new(Int8Array::from(vec![Some(2), None, Some(1)]), sizes);
    let grades = Arc::new(Float64Array::from(vec![0.5, 1.5]));
    let grades = DictionaryArray::<Int8Type>::new(Int8Array::from(vec![1, 0, 1]), grades);
    let views: ArrayRef = Arc::new(StringViewArray::from(vec!["a text too long for a view", "b"]));
    let views = DictionaryArray::<Int8Type>::new(Int8Array::from(vec![1, 0, 1]), views);
    let lists = LargeListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![])]);
    let bytes = FixedSizeBinaryArray::try_from_iter([[1u8, 2], [3, 4], [5, 6]].iter()).expect("bytes");
    let cents =
        Decimal128Array::from(vec![Some(105), None, Some(-5)]).with_precision_and_scale(9, 2).expect("a decimal");
    let odd: Vec<(&str, ArrayRef)> = vec![
        ("zone", Arc::new(zone)),
        ("naive_s", Arc::new(TimestampSecondArray::from(vec![Some(7), None, Some(8)]))),
        ("time", Arc::new(Time32SecondArray::from(vec![1, 2, 3]))),
        ("day", Arc::new(Date32Array::from(vec![Some(1), None, Some(3)]))),
        ("flag", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)]))),
        ("large", Arc::new(LargeStringArray::from(vec![Some("x"), None, Some("")]))),
        ("view", Arc::new(StringViewArray::from(vec![Some("a text that is too long for a view"), None, Some("c")]))),
        ("bytes", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"a".as_slice()), None, Some(b"".as_slice())]))),
        ("fixed", Arc::new(bytes)),
        ("cents", Arc::new(cents)),
        ("small", Arc::new(UInt16Array::from(vec![Some(u16::MAX), None, Some(0)]))),
        ("size", Arc::new(sizes)),
        ("grade", Arc::new(grades)),
        ("coded_view", Arc::new(views)),
        ("lists", Arc::new(lists)),
    ];
    let plain = spine();
    let named = |name: &str, array: &ArrayRef| Field::new(name, array.data_type().clone(), true);
    let mut fields: Vec<Field> = plain.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
    fields[2] =
        named("prepaid", plain.column(2)).with_nullable(false).with_metadata([("unit".into(), "EUR".into())].into());
    fields.extend(odd.iter().map(|(name, array)| named(name, array)));
    let columns = plain.columns().iter().cloned().chain(odd.into_iter().map(|(_, array)| array)).collect();
    let schema = Schema::new_with_metadata(fields, [("pandas".into(), "{}".into())].into());
    RecordBatch::try_new(Arc::new(schema), columns).expect("a spine")
}

#[tokio::test]
async fn a_spine_comes_back_as_it_went_with_features_and_manifest() {
    let server = running().await;
    let sent = motley();
    let read = server.exchange(&outlook(), Some(&[sent.slice(0, 1), sent.slice(1, 2)])).await.expect("a training set");
    let columns: Vec<usize> = (0..sent.num_columns()).collect();
    assert_eq!(read.rows.project(&columns).expect("the spine"), sent);
    assert_eq!(read.schema.metadata(), sent.schema().metadata());
    let size = read.rows.column_by_name("size").expect("a column").as_any_dictionary();
    let sizes: Vec<_> = size.values().as_string::<i32>().iter().flatten().collect();
    assert_eq!(sizes, ["never", "small", "large"], "categories keep their order, and those that no row has stay");
    let added: Vec<_> =
        read.schema.fields().iter().skip(sent.num_columns()).map(|field| field.name().as_str()).collect();
    assert_eq!(added, ["gust", "weather__visibility", "is_gusty"]);
    assert_eq!(gusts(&read), [Some(31.0), None, None]);
    let [dataset]: [_; 1] = server.client.training_sets().await.expect("all").try_into().expect("one");
    assert_eq!((dataset.id.as_str(), dataset.rows), (read.dataset()["id"].as_str().expect("an id"), 3));
    assert_eq!(server.files(), [dataset.location]);
    assert_eq!(read.told.len(), 1);
    server.end().await;
}

#[tokio::test]
async fn the_same_request_is_answered_by_the_same_file_however_its_batches_are_cut() {
    let server = running().await;
    let spine = spine();
    let first = server.exchange(&outlook(), Some(from_ref(&spine))).await.expect("a training set");
    let parts = [spine.slice(0, 1), spine.slice(1, 0), spine.slice(1, 2)];
    let again = server.exchange(&outlook(), Some(&parts)).await.expect("the same");
    assert_eq!((again.dataset(), &again.rows), (first.dataset(), &first.rows));
    assert_eq!(server.files().len(), 1);
    // another client has other types for the same rows: it has its own back
    let large = arrow::compute::cast(spine.column(0), &arrow::datatypes::DataType::LargeUtf8).expect("larger");
    let columns = [
        ("airport", large),
        ("event_timestamp", Arc::clone(spine.column(1))),
        ("prepaid", Arc::clone(spine.column(2))),
    ];
    let larger = RecordBatch::try_from_iter(columns).expect("a spine");
    let read = server.exchange(&outlook(), Some(from_ref(&larger))).await.expect("the same");
    assert_eq!((read.dataset(), read.rows.column(0)), (first.dataset(), larger.column(0)));
    assert_eq!(server.files().len(), 1);
    let fresh = json!({"training_set": {"feature_set": "outlook@1", "fresh": true}});
    let fresh = server.exchange(&fresh, Some(from_ref(&spine))).await.expect("built again");
    assert_eq!((&fresh.dataset()["id"], &fresh.rows), (&first.dataset()["id"], &first.rows));
    assert_eq!(fresh.dataset()["file_hash"], first.dataset()["file_hash"]);
    assert_ne!(fresh.dataset()["location"], first.dataset()["location"]);
    let location = fresh.dataset()["location"].as_str().expect("a place").to_owned();
    assert_eq!(server.files(), [location], "the file that was replaced is gone");
    server.end().await;
}

#[tokio::test]
async fn equal_requests_at_once_leave_one_file() {
    let server = running().await;
    let (command, spine) = (outlook(), [spine()]);
    let asked = (0..4).map(|_| server.exchange(&command, Some(&spine)));
    let read = futures::future::try_join_all(asked).await.expect("training sets");
    let [dataset]: [_; 1] = server.client.training_sets().await.expect("all").try_into().expect("one");
    for one in &read {
        assert_eq!((&one.rows, one.dataset()["id"].as_str()), (&read[0].rows, Some(dataset.id.as_str())));
    }
    assert_eq!(server.files(), [dataset.location]);
    server.end().await;
}

#[tokio::test]
async fn a_training_set_can_be_fetched_while_its_file_is_whole() {
    let server = running().await;
    let built = server.exchange(&outlook(), Some(&[spine()])).await.expect("a training set");
    let id = built.dataset()["id"].as_str().expect("an id");
    let fetched = server.fetch(&id[..8]).await.expect("it is there");
    // the file knows nothing of which columns of the spine could have no nulls
    assert_eq!((fetched.rows.columns(), fetched.dataset()), (built.rows.columns(), built.dataset()));
    let unknown = server.fetch("nobody").await.expect_err("none of that name");
    assert_eq!(unknown.code(), Code::NotFound);
    let [file]: [_; 1] = server.files().try_into().expect("one file");
    let mut bytes = fs::read(&file).expect("the file");
    bytes[10] ^= 1;
    fs::write(&file, bytes).expect("written");
    let changed = server.fetch(id).await.expect_err("another file");
    assert_eq!(changed.code(), Code::NotFound);
    assert!(changed.message().contains("is no longer the file that was written"), "{}", changed.message());
    fs::remove_file(&file).expect("removed");
    let gone = server.fetch(id).await.expect_err("no file");
    let hint = gone.get_error_details().help().expect("a hint").links[0].description.clone();
    assert_eq!(
        (gone.code(), hint),
        (Code::NotFound, format!("`hitherto dataset rebuild {}` builds it again", &id[..12]))
    );
    // an exchange does so, too
    server.exchange(&outlook(), Some(&[spine()])).await.expect("built again");
    assert_eq!(server.fetch(id).await.expect("there again").rows.columns(), built.rows.columns());
    server.end().await;
}

#[tokio::test]
async fn a_training_set_whose_file_is_gone_hides_no_other_table() {
    let server = running().await;
    server.exchange(&outlook(), Some(&[spine()])).await.expect("a training set");
    let [file]: [_; 1] = server.files().try_into().expect("one file");
    fs::remove_file(file).expect("removed");
    let endpoint = Endpoint::new(format!("http://{}", server.grpc)).expect("an address");
    let mut client = FlightSqlServiceClient::new(endpoint.connect().await.expect("it answers"));
    let all = CommandGetTables { include_schema: true, ..CommandGetTables::default() };
    let info = client.get_tables(all).await.expect("announced");
    let tables = client.do_get(info.endpoint[0].ticket.clone().expect("a ticket")).await.expect("listed");
    let tables: Vec<RecordBatch> = tables.try_collect().await.expect("to the end");
    let (mut whole, mut gone) = (0, 0);
    for batch in &tables {
        let (schemas, columns) = (batch.column(1).as_string::<i32>(), batch.column(4).as_binary::<i32>());
        for row in 0..batch.num_rows() {
            let columns = Schema::try_from(IpcMessage(columns.value(row).to_vec().into())).expect("a schema");
            *(if schemas.value(row) == "training_sets" { &mut gone } else { &mut whole }) += 1;
            assert_eq!(columns.fields().is_empty(), schemas.value(row) == "training_sets", "{columns}");
        }
    }
    assert!(whole > 2 && gone > 0, "{tables:?}");
    server.end().await;
}

#[tokio::test]
async fn what_is_wrong_is_said_with_details_and_leaves_nothing() {
    let server = running().await;
    let refused = async |command: Value, spine: Option<&[RecordBatch]>| {
        let status = server.exchange(&command, spine).await.expect_err("refused");
        let reason = status.get_details_error_info().expect("details").reason;
        (status.code(), reason, status.message().to_owned())
    };
    let spine = spine();
    let (code, reason, message) =
        refused(json!({"training_set": {"feature_set": "outlok"}}), Some(from_ref(&spine))).await;
    assert_eq!((code, reason.as_str()), (Code::NotFound, "NOT_FOUND"));
    assert_eq!(message, "no feature set 'outlok' (did you mean 'outlook'?)");
    let lacking = spine.project(&[0, 2]).expect("columns");
    let (code, reason, message) = refused(outlook(), Some(from_ref(&lacking))).await;
    assert_eq!((code, reason.as_str()), (Code::InvalidArgument, "INVALID_ARGUMENT"));
    assert!(message.starts_with("the spine has no column 'event_timestamp' for the times of prediction"), "{message}");
    let (code, _, message) = refused(json!({"training_sets": {}}), Some(from_ref(&spine))).await;
    assert_eq!(code, Code::InvalidArgument);
    assert!(message.contains("unknown field `training_sets`"), "{message}");
    let (code, _, message) = refused(outlook(), None).await;
    assert_eq!(code, Code::InvalidArgument);
    assert!(message.starts_with("no spine came: "), "{message}");
    let unallowed = json!({"training_set": {"feature_set": "outlook", "spine_url": "/etc/passwd"}});
    let (code, _, message) = refused(unallowed, None).await;
    assert_eq!(code, Code::InvalidArgument);
    assert!(message.contains("server.allowed_urls"), "{message}");
    let both = json!({"training_set": {"feature_set": "outlook", "spine_sql": "SELECT 1"}});
    let (code, _, message) = refused(both, Some(from_ref(&spine))).await;
    assert_eq!(
        (code, message.as_str()),
        (Code::InvalidArgument, "rows came, and `spine_sql` says where the spine is: leave one of them out")
    );
    assert!(!server.folder.path().join("offline/_training_sets").exists());
    server.end().await;
}

#[tokio::test]
async fn a_spine_may_be_a_query_and_a_client_may_be_told_how_far_it_is() {
    let server = running().await;
    let query = "SELECT airport, event_timestamp, 1.0 AS prepaid FROM weather ORDER BY _sequence";
    let wanted = json!({"training_set": {
        "feature_set": "outlook", "spine_sql": query, "progress": true, "evidence": true, "name": "told",
        "split": {"by": "time", "train_end": "2013-01-01T10:00:00Z"}, "tags": {"code": "ab12"}, "run_id": "r7",
    }});
    let read = server.exchange(&wanted, None).await.expect("a training set");
    assert_eq!(read.rows.num_rows(), 3);
    let split: Vec<_> =
        read.rows.column_by_name("split").expect("a split").as_string::<i32>().iter().flatten().collect();
    assert_eq!(split, ["test", "train", "test"]);
    assert!(read.schema.index_of("weather__available_at").is_ok());
    let dataset = read.dataset();
    assert_eq!((dataset["name"].as_str(), dataset["spine"].as_str()), (Some("told"), Some(query)));
    assert_eq!(dataset["build"]["tags"], json!({"code": "ab12", "run_id": "r7"}));
    assert_eq!(dataset["build"]["actor"], "flight");
    let (_, told) = read.told.split_last().expect("the manifest is last");
    assert!(!told.is_empty());
    for told in told {
        let phase = told["progress"]["phase"].as_str().expect("a phase");
        assert!(["reading", "writing"].contains(&phase) && told["progress"]["rows"].is_u64(), "{told}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_spine_that_is_a_query_has_the_limits_of_queries() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    let sql = SqlLimits { rows_max: Some(2), ..SqlLimits::default() };
    let server = start(folder, engine, Options { sql, ..options() }).await;
    server.fill().await;
    let of = |limit| {
        let query = format!("SELECT airport, event_timestamp, 1.0 AS prepaid FROM weather LIMIT {limit}");
        json!({"training_set": {"feature_set": "outlook", "spine_sql": query}})
    };
    assert_eq!(server.exchange(&of(2), None).await.expect("few rows").rows.num_rows(), 2);
    let many = server.exchange(&of(3), None).await.expect_err("too many rows");
    assert_eq!(many.code(), Code::ResourceExhausted);
    assert!(many.message().contains("more than 2 rows, which is the limit (`sql.max_rows`)"), "{}", many.message());
    server.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_stops_what_is_done_for_it() {
    let server = running().await;
    let upload = stream::iter(messages(&outlook(), Some(&[spine()]))).chain(stream::pending());
    let address = server.grpc;
    let leaves = move || {
        // its connection ends with its runtime
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(async {
            let endpoint = Endpoint::new(format!("http://{address}")).expect("an address");
            let mut client = FlightServiceClient::new(endpoint.connect().await.expect("it answers"));
            drop(client.do_exchange(upload).await.expect("it is listened to"));
        });
    };
    tokio::task::spawn_blocking(leaves).await.expect("no panic");
    let counted = async || {
        let page = server.page("/metrics").await.1;
        page.lines().any(|line| line.contains("Flight/DoExchange") && line.contains("Cancelled"))
    };
    eventually(counted).await;
    assert!(!server.folder.path().join("offline/_training_sets").exists());
    server.end().await;
}
