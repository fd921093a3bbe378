//! Arrow Flight SQL through the wire, by the client of Arrow.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Int64Type, Schema, TimeUnit};
use arrow_flight::error::FlightError;
use arrow_flight::sql::client::FlightSqlServiceClient;
use arrow_flight::sql::{CommandGetPrimaryKeys, CommandGetTables, CommandStatementQuery, ProstMessageExt};
use arrow_flight::{FlightInfo, IpcMessage, Ticket};
use futures::TryStreamExt;
use hitherto_core::Kind;
use hitherto_proto::{Failure, packed};
use tonic::transport::{Channel, Endpoint};

use super::fixture::{DEFINITIONS, HOUR_US, NOW, Running, engine, eventually, options, running, start};
use crate::{Options, SqlLimits};

/// More rows than anybody waits for.
const ENDLESS: &str = "select value from range(0, 1000000000000)";

type Client = FlightSqlServiceClient<Channel>;

impl Running {
    async fn flight_sql(&self) -> Client {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).expect("an address");
        Client::new(endpoint.connect().await.expect("it listens"))
    }
}

async fn limited(sql: SqlLimits) -> Running {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(folder.path()).await;
    let server = start(folder, engine, Options { sql, ..options() }).await;
    server.fill().await;
    server
}

fn ticket(info: &FlightInfo) -> Ticket {
    info.endpoint[0].ticket.clone().expect("a ticket")
}

async fn fetched(client: &mut Client, info: &FlightInfo) -> Result<Vec<RecordBatch>, Failure> {
    let rows = client.do_get(ticket(info)).await.map_err(failure)?;
    let batches: Vec<RecordBatch> = rows.try_collect().await.map_err(failure)?;
    let announced = info.clone().try_decode_schema().expect("a schema");
    assert!(batches.iter().all(|batch| *batch.schema() == announced), "{announced}");
    Ok(batches)
}

async fn asked(client: &mut Client, query: &str) -> Result<Vec<RecordBatch>, Failure> {
    let info = client.execute(query.to_owned(), None).await.map_err(failure)?;
    fetched(client, &info).await
}

fn failure(error: FlightError) -> Failure {
    Failure::from(&tonic::Status::from(error))
}

fn count(batches: &[RecordBatch]) -> i64 {
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

fn texts(batches: &[RecordBatch], column: usize) -> Vec<String> {
    let texts = batches.iter().flat_map(|batch| batch.column(column).as_string::<i32>().iter());
    texts.map(|text| text.unwrap_or("-").to_owned()).collect()
}

#[tokio::test]
async fn a_query_reads_what_was_there_when_it_was_planned() {
    let server = running().await;
    let mut client = server.flight_sql().await;
    let query = "select count(*) as n from weather";
    let before = client.execute(query.to_owned(), None).await.expect("it is planned");
    server.push_weather(Some("second")).await.expect("it is pushed");
    assert_eq!(count(&fetched(&mut client, &before).await.expect("rows")), 3);
    assert_eq!(count(&asked(&mut client, query).await.expect("rows")), 6);
    // its rows are there once
    let gone = fetched(&mut client, &before).await.expect_err("it was fetched");
    assert_eq!(gone.kind, Kind::NotFound);
    assert_eq!(
        gone.message,
        "there is no result of this handle: its rows were fetched, or nobody has used it for 600s; ask for the query again"
    );
    server.end().await;
}

#[tokio::test]
async fn batches_have_the_announced_schema_whatever_is_asked() {
    let server = running().await;
    let mut client = server.flight_sql().await;
    for (query, rows) in [
        ("select * from weather", 3),
        ("select * from weather where false", 0),
        ("select airport, max(wind_gust) as gust, 1 as one from weather group by airport", 3),
        (
            "select arrow_cast(airport, 'Dictionary(Int32, Utf8)') as code, cast(airport as varchar) as v from weather",
            3,
        ),
        ("select null as nothing, array_agg(airport) as airports from weather", 1),
        ("select a.airport, b.visibility from weather a left join weather b on a.airport = b.airport", 3),
        ("select name from registry.features order by name", 2),
        ("explain select 1", 2),
    ] {
        let batches = asked(&mut client, query).await.expect(query);
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), rows, "{query}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_prepared_statement_takes_values_and_reads_anew_each_time() {
    let server = running().await;
    let mut client = server.flight_sql().await;
    let query = "select airport, wind_gust from weather where airport = ? and wind_gust > ? and event_timestamp < ?";
    let mut prepared = client.prepare(query.to_owned(), None).await.expect("it is prepared");
    let told = |schema: &Schema| -> Vec<(String, DataType)> {
        schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
    };
    let parameters = told(prepared.parameter_schema().expect("parameters"));
    assert_eq!(parameters[..2], [("$1".to_owned(), DataType::Utf8), ("$2".to_owned(), DataType::Float64)]);
    assert!(matches!(&parameters[2].1, DataType::Timestamp(TimeUnit::Microsecond, Some(_))), "{parameters:?}");
    let columns = [("airport".to_owned(), DataType::Utf8), ("wind_gust".to_owned(), DataType::Float64)];
    assert_eq!(told(prepared.dataset_schema().expect("columns")), columns);

    let unbound = prepared.execute().await.map_err(failure).expect_err("it has no values");
    assert_eq!(unbound.kind, Kind::InvalidArgument);
    assert!(unbound.message.contains("without a value ($1, $2, $3)"), "{}", unbound.message);
    let values = |airport: &str, gust: f64| {
        let time = TimestampMicrosecondArray::from(vec![NOW.0 - HOUR_US / 2]).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 3] = [
            ("0", Arc::new(StringArray::from(vec![airport]))),
            ("1", Arc::new(Float64Array::from(vec![gust]))),
            ("2", Arc::new(time)),
        ];
        RecordBatch::try_from_iter(columns).expect("a row")
    };
    for (airport, gust, rows) in [("JFK", 30.0, 1), ("JFK", 32.0, 0), ("LGA", 0.0, 1), ("x' or 'a' = 'a", 0.0, 0)] {
        prepared.set_parameters(values(airport, gust)).expect("they are kept");
        let info = prepared.execute().await.expect("it is planned");
        let batches = fetched(&mut client, &info).await.expect("rows");
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), rows, "{airport} {gust}");
    }
    // the same statement sees what has come meanwhile
    server.push_weather(Some("second")).await.expect("it is pushed");
    prepared.set_parameters(values("JFK", 30.0)).expect("they are kept");
    let info = prepared.execute().await.expect("it is planned");
    assert_eq!(texts(&fetched(&mut client, &info).await.expect("rows"), 0), ["JFK", "JFK"]);
    let two = arrow::compute::concat_batches(&values("JFK", 1.0).schema(), &[values("JFK", 1.0), values("LGA", 1.0)]);
    prepared.set_parameters(two.expect("two rows")).expect("they are kept");
    let refused = prepared.execute().await.map_err(failure).expect_err("two rows of values");
    assert!(refused.message.starts_with("a query takes one row of values"), "{}", refused.message);
    prepared.close().await.expect("it is closed");
    server.end().await;
}

#[tokio::test]
async fn what_is_no_query_is_refused_by_the_planner() {
    let server = running().await;
    let mut client = server.flight_sql().await;
    for (statement, reason) in [
        ("insert into weather select * from weather", "DML not supported: Insert Into"),
        ("drop table weather", "DDL not supported: DropTable"),
        ("create table t as select 1", "DDL not supported: CreateMemoryTable"),
        ("set datafusion.execution.batch_size = 1", "Statement not supported: SetVariable"),
        ("copy weather to 'stolen.csv'", "DML not supported: COPY"),
    ] {
        let expected = format!("could not plan the query: {reason}");
        let asked = client.execute(statement.to_owned(), None).await.map_err(failure).expect_err(statement);
        assert_eq!((asked.kind, asked.message.as_str()), (Kind::InvalidArgument, expected.as_str()));
        let prepared = client.prepare(statement.to_owned(), None).await.err().map(failure).expect(statement);
        assert_eq!(prepared.message, expected);
        let updated = client.execute_update(statement.to_owned(), None).await.map_err(failure).expect_err(statement);
        assert_eq!(updated.message, expected);
    }
    let updated = client.execute_update("select 1".to_owned(), None).await.map_err(failure).expect_err("a query");
    assert_eq!(updated.message, "the statement is a query and updates nothing: ask for its rows");
    let unknown = client.execute("select * from wether".to_owned(), None).await.map_err(failure).expect_err("a slip");
    assert_eq!(unknown, Failure::new(Kind::NotFound, "no feature view 'wether' (did you mean 'weather'?)"));
    let long = format!("select 1 -- {}", "x".repeat(1 << 20));
    let long = client.execute(long, None).await.map_err(failure).expect_err("nobody writes that");
    assert!(long.message.starts_with("the query has 1048588 bytes, and 1048576 are the most"), "{}", long.message);
    let transaction = client.begin_transaction().await.map_err(failure).expect_err("there is none");
    assert_eq!(transaction.kind, Kind::Unsupported);
    // a ticket of another kind is told from a handle that is unknown
    let strange = Ticket::new(packed(&CommandStatementQuery::default().as_any()));
    let refused = client.do_get(strange).await.err().map(failure).expect("it is no ticket");
    assert_eq!(refused.kind, Kind::Unsupported);
    server.end().await;
}

#[tokio::test]
async fn a_result_with_too_many_rows_ends_with_the_limit_and_the_remedy() {
    let server = limited(SqlLimits { rows_max: Some(3), ..SqlLimits::default() }).await;
    let mut client = server.flight_sql().await;
    assert_eq!(count(&asked(&mut client, "select count(*) from weather").await.expect("a row")), 3);
    assert_eq!(texts(&asked(&mut client, "select airport from weather").await.expect("rows"), 0).len(), 3);
    server.push_weather(Some("second")).await.expect("it is pushed");
    let many = asked(&mut client, "select airport from weather").await.expect_err("too many");
    assert_eq!(many.kind, Kind::Exhausted);
    assert_eq!(
        many.message,
        "the query has more than 3 rows, which is the limit (`sql.max_rows`): ask for fewer, with a condition or LIMIT, or \
         raise it"
    );
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_takes_too_long_ends_with_the_limit_and_the_remedy() {
    let server = limited(SqlLimits { timeout: Some(Duration::from_millis(300)), ..SqlLimits::default() }).await;
    let mut client = server.flight_sql().await;
    let query = format!("select max(value % 7) from ({ENDLESS}) as t");
    let slow = asked(&mut client, &query).await.expect_err("it takes for ever");
    assert_eq!(slow.kind, Kind::Exhausted);
    assert_eq!(
        slow.message,
        "the query took longer than 300ms, which is the limit (`sql.timeout`): ask for less, such as a shorter window of \
         event_timestamp, or raise it"
    );
    let (_, page) = server.page("/metrics").await;
    assert!(page.contains("hitherto_sql_queries_running 0"), "{page}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_ends_when_its_client_leaves() {
    let server = running().await;
    let mut client = server.flight_sql().await;
    let info = client.execute(ENDLESS.to_owned(), None).await.expect("it is planned");
    let mut rows = client.do_get(ticket(&info)).await.expect("it runs");
    assert!(rows.try_next().await.expect("rows").is_some());
    let (_, page) = server.page("/metrics").await;
    assert!(page.contains("hitherto_sql_queries_running 1"), "{page}");
    drop(rows);
    eventually(async || {
        let (_, page) = server.page("/metrics").await;
        let ended = "hitherto_sql_queries_total{outcome=\"cancelled\"} 1";
        page.contains("hitherto_sql_queries_running 0") && page.contains(ended)
    })
    .await;
    server.end().await;
}

#[tokio::test]
async fn browsers_find_tables_columns_keys_and_what_is_said_of_them() {
    let server = running().await;
    let mut client = server.flight_sql().await;
    let described = DEFINITIONS.replace("wind_gust: float64", "wind_gust: {type: float64, description: in knots}");
    server.apply(&described.replace("ttl: 2h", "ttl: 2h\ndescription: hourly")).await.expect("it applies");
    let all = CommandGetTables {
        db_schema_filter_pattern: Some("public".to_owned()),
        include_schema: true,
        ..CommandGetTables::default()
    };
    let info = client.get_tables(all).await.expect("tables");
    let tables = fetched(&mut client, &info).await.expect("rows");
    assert_eq!(texts(&tables, 0), ["hitherto"; 2]);
    assert_eq!(texts(&tables, 2), ["weather", "weather@1"]);
    assert_eq!(texts(&tables, 3), ["TABLE"; 2]);
    let encoded = tables[0].column(4).as_binary::<i32>().value(0).to_vec();
    let schema = Schema::try_from(IpcMessage(encoded.into())).expect("a schema");
    let said = |column: &str| {
        let field = schema.field_with_name(column).expect(column);
        field.metadata().get("ARROW:FLIGHT:SQL:REMARKS").cloned().unwrap_or_default()
    };
    assert_eq!(said("airport"), "join key of airport");
    assert_eq!(said("wind_gust"), "in knots");
    assert_eq!(said("visibility"), "");
    assert_eq!(said("_sequence"), "the row's place in its table's history");
    assert_eq!(schema.metadata().get("ARROW:FLIGHT:SQL:REMARKS").map(String::as_str), Some("hourly"));
    let recorded = CommandGetTables {
        db_schema_filter_pattern: Some("registry".to_owned()),
        table_name_filter_pattern: Some("m%".to_owned()),
        ..CommandGetTables::default()
    };
    let info = client.get_tables(recorded).await.expect("tables");
    let tables = fetched(&mut client, &info).await.expect("rows");
    assert_eq!((texts(&tables, 2), texts(&tables, 3)), (vec!["models".to_owned()], vec!["VIEW".to_owned()]));
    let info = client.get_catalogs().await.expect("catalogs");
    assert_eq!(texts(&fetched(&mut client, &info).await.expect("rows"), 0), ["hitherto"]);
    let of_weather = CommandGetPrimaryKeys { table: "weather".to_owned(), ..CommandGetPrimaryKeys::default() };
    let info = client.get_primary_keys(of_weather).await.expect("keys");
    assert_eq!(texts(&fetched(&mut client, &info).await.expect("rows"), 3), ["_sequence"]);
    for info in [
        client.get_sql_info(Vec::new()).await.expect("abilities"),
        client.get_table_types().await.expect("types of tables"),
        client.get_xdbc_type_info(arrow_flight::sql::CommandGetXdbcTypeInfo::default()).await.expect("types"),
    ] {
        let rows = fetched(&mut client, &info).await.expect("rows");
        assert!(rows.iter().any(|batch| batch.num_rows() > 1), "{rows:?}");
    }
    server.end().await;
}
