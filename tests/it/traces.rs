//! Traces, as a collector receives them from the binary: whose they are, what is in them, and what never is.

use std::collections::BTreeSet;

use hitherto_core::{Value, ValueType};
use hitherto_online::fixture::RedisServer;
use hitherto_proto::v1::ingest_client::IngestClient;
use hitherto_proto::v1::online_features_client::OnlineFeaturesClient;
use hitherto_proto::v1::{GetFeaturesRequest, PushRequest};
use hitherto_proto::{Column, Consumer, Destination, GetFeatures, Push};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Request};

use crate::support::certificates::Authority;
use crate::support::collector::{Collector, Seen};
use crate::support::process::{Served, until};
use crate::support::{Hitherto, Ran};

const DEFINITIONS: &str = "
kind: entity
name: person
join_keys: {person: string}
---
kind: feature_view
name: visits
entity: person
features: {times: int64}
---
kind: feature_set
name: latest
features: [{ref: 'visits:times', as: seen}]
transforms: [{name: is_regular, expr: 'seen > 5'}]
";

/// Nobody but those who ask may read that.
const KEY: &str = "ada.lovelace";
/// A caller's trace, and its span in it.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";
const GET_FEATURES: &str = "hitherto.v1.OnlineFeatures/GetFeatures";

/// One person online, in Redis if there is one.
fn filled(redis: Option<&RedisServer>) -> Hitherto {
    let place = Hitherto::new();
    let online = redis.map(|redis| format!("url = \"{}\"\n", redis.url())).unwrap_or_default();
    place.write("hitherto.toml", format!("[online]\n{online}follow = \"0s\"\n")).write("d.yaml", DEFINITIONS);
    place.write("visits.csv", format!("person,event_timestamp,times\n{KEY},2024-01-01T00:00:00Z,7\n"));
    place.ok("apply -f d.yaml");
    place.ok("ingest visits visits.csv --to both");
    place
}

/// A server whose traces go to `url`: this share of what no caller has decided.
fn serve(place: &Hitherto, url: &str, share: &str, more: &[(&str, &str)]) -> Served {
    let ours = [("HITHERTO_TELEMETRY__OTLP_ENDPOINT", url), ("HITHERTO_TELEMETRY__OTLP_SAMPLE_RATIO", share)];
    place.serve_with("", &[&ours[..], more].concat())
}

/// The end of a server that was told to stop.
fn stop(server: Served) -> String {
    server.terminate();
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    said
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// A request that says of its trace what is given; nothing for nothing.
fn request<T>(message: T, traceparent: &str) -> Request<T> {
    let mut request = Request::new(message);
    if !traceparent.is_empty() {
        let said: MetadataValue<Ascii> = traceparent.parse().expect("it is ASCII");
        request.metadata_mut().insert("traceparent", said);
    }
    request
}

fn person() -> Column {
    Column::new("person", ValueType::String, vec![Value::String(KEY.to_owned())])
}

/// Asks for the person's features; the status that came, and whether it was the right answer if it was one.
fn get(server: &Served, set: &str, traceparent: &str) -> Code {
    runtime().block_on(async {
        let mut client = OnlineFeaturesClient::connect(server.grpc.clone()).await.expect("it listens");
        let consumer = Consumer::FeatureSet(set.parse().expect("a selector"));
        let message: GetFeaturesRequest = GetFeatures::new(consumer, vec![person()]).try_into().expect("a message");
        match client.get_features(request(message, traceparent)).await {
            Ok(answer) => {
                let features: hitherto_proto::Features = answer.into_inner().try_into().expect("features");
                let values: Vec<&Value> = features.columns.iter().map(|column| &column.values[0]).collect();
                assert_eq!(values, [&Value::Int64(7), &Value::Bool(true)]);
                Code::Ok
            }
            Err(status) => status.code(),
        }
    })
}

fn sampled() -> String {
    format!("00-{TRACE}-{SPAN}-01")
}

fn unsampled() -> String {
    format!("00-{TRACE}-{SPAN}-00")
}

fn one<'a>(seen: &'a [Seen], name: &str) -> &'a Seen {
    let mut found = seen.iter().filter(|span| span.name == name);
    let first = found.next().unwrap_or_else(|| panic!("no {name} in {seen:#?}"));
    assert!(found.next().is_none(), "more than one {name} in {seen:#?}");
    first
}

fn names<'a>(seen: &'a [Seen], parent: &Seen) -> BTreeSet<&'a str> {
    let steps = seen.iter().filter(|span| span.parent == parent.id && span.trace == parent.trace);
    steps.map(|span| span.name.as_str()).collect()
}

#[track_caller]
fn has(span: &Seen, attributes: &[(&str, &str)]) {
    for (name, value) in attributes {
        assert_eq!(span.attributes.get(*name).map(String::as_str), Some(*value), "{name} of {span:#?}");
    }
}

#[test]
fn a_call_continues_its_callers_trace_and_says_where_its_time_went_and_no_key() {
    let (redis, collector) = (RedisServer::start(), Collector::start());
    let place = filled(Some(&redis));
    let server = serve(&place, &collector.url, "0", &[("HITHERTO_SERVER__SLOW_REQUEST", "1us")]);
    assert_eq!(get(&server, "latest", &sampled()), Code::Ok);
    // whose caller has decided against it, and of whose caller nothing is known
    assert_eq!([get(&server, "latest", &unsampled()), get(&server, "latest", "")], [Code::Ok; 2]);
    let said = stop(server);

    let seen = collector.seen();
    assert!(seen.iter().all(|span| span.trace == TRACE), "{seen:#?}");
    let call = one(&seen, GET_FEATURES);
    assert_eq!((call.parent.as_str(), call.kind, call.status), (SPAN, 2, 0));
    has(
        call,
        &[
            ("rpc.system", "grpc"),
            ("rpc.service", "hitherto.v1.OnlineFeatures"),
            ("rpc.method", "GetFeatures"),
            ("rpc.grpc.status_code", "#0"),
            ("hitherto.feature_set", "latest@1"),
            ("hitherto.rows", "#1"),
        ],
    );
    assert!(call.attributes["hitherto.answer_bytes"].len() > 2 && !call.attributes.contains_key("hitherto.model"));
    assert_eq!(names(&seen, call), BTreeSet::from(["plan", "keys", "read", "transforms", "encode"]));
    let read = one(&seen, "read");
    has(read, &[("hitherto.keys", "#1"), ("hitherto.round_trip", "own")]);
    let trip = one(&seen, "redis");
    assert_eq!((trip.parent.as_str(), trip.kind, trip.status), (read.id.as_str(), 3, 0));
    let port = format!("#{}", redis.port());
    has(trip, &[("db.system.name", "redis"), ("server.address", "127.0.0.1"), ("server.port", &port)]);
    has(one(&seen, "transforms"), &[("hitherto.transforms", "#1")]);
    assert_eq!(seen.len(), 7, "{seen:#?}");
    for step in &seen {
        assert!(step.times[0] >= call.times[0] && step.times[0] <= step.times[1], "{step:#?} in {call:#?}");
        assert!(step.times[1] <= call.times[1], "{step:#?} in {call:#?}");
        assert_eq!(step.resource["service.name"], "hitherto");
        assert_eq!(step.resource["hitherto.project"], "default");
        assert!(!step.whole.contains(KEY), "{step:#?}");
    }
    // whoever reads of a slow request finds its trace
    assert!(said.contains(&format!("trace_id=\"{TRACE}\"")), "{said}");
}

#[test]
fn a_failure_of_the_server_is_one_of_its_span_and_a_callers_mistake_is_none() {
    let (mut redis, collector) = (RedisServer::start(), Collector::start());
    let place = filled(Some(&redis));
    let server = serve(&place, &collector.url, "0", &[]);
    assert_eq!(get(&server, "no_such_set", &sampled()), Code::NotFound);
    redis.kill();
    assert_eq!(get(&server, "latest", &sampled()), Code::Unavailable);
    stop(server);

    let seen = collector.seen();
    let calls: Vec<&Seen> = seen.iter().filter(|span| span.name == GET_FEATURES).collect();
    let [unknown, failed] = calls[..] else { panic!("{seen:#?}") };
    assert_eq!(unknown.status, 0);
    has(unknown, &[("rpc.grpc.status_code", "#5")]);
    assert_eq!(failed.status, 2);
    has(failed, &[("rpc.grpc.status_code", "#14"), ("hitherto.feature_set", "latest@1")]);
    // it may have been tried twice
    let trips: Vec<&Seen> = seen.iter().filter(|span| span.name == "redis").collect();
    assert!(!trips.is_empty() && trips.iter().all(|trip| trip.status == 2), "{trips:#?}");
}

/// A row of the person to push.
fn row(view: &str) -> PushRequest {
    let time = Value::Timestamp("2024-01-02T00:00:00Z".parse().expect("a time"));
    let columns = vec![
        person(),
        Column::new("event_timestamp", ValueType::Timestamp, vec![time]),
        Column::new("times", ValueType::Int64, vec![Value::Int64(8)]),
    ];
    let view = view.parse().expect("a name");
    let rows = Push { view, columns, batch_id: None, destination: Destination::Both };
    rows.try_into().expect("a message")
}

#[test]
fn each_batch_of_a_stream_is_a_step_of_its_call() {
    let collector = Collector::start();
    let place = filled(None);
    let server = serve(&place, &collector.url, "0", &[]);
    for traceparent in [sampled(), unsampled()] {
        runtime().block_on(async {
            let mut client = IngestClient::connect(server.grpc.clone()).await.expect("it listens");
            let batches = futures::stream::iter([row("visits"), row("unknown")]);
            let mut answers =
                client.push_stream(request(batches, &traceparent)).await.expect("it is taken").into_inner();
            let mut told = Vec::new();
            while let Some(answer) = answers.message().await.expect("the stream goes on") {
                told.push(answer.error.is_none());
            }
            assert_eq!(told, [true, false]);
        });
    }
    stop(server);

    let seen = collector.seen();
    let call = one(&seen, "hitherto.v1.Ingest/PushStream");
    assert_eq!((call.trace.as_str(), call.parent.as_str()), (TRACE, SPAN));
    let mut batches: Vec<&Seen> = seen.iter().filter(|span| span.name == "batch").collect();
    batches.sort_by_key(|batch| batch.attributes["rpc.grpc.status_code"].clone());
    assert!(batches.len() == 2 && batches.iter().all(|batch| batch.parent == call.id), "of one call: {batches:#?}");
    has(batches[0], &[("hitherto.view", "visits"), ("hitherto.rows", "#1"), ("rpc.grpc.status_code", "#0")]);
    assert_eq!(names(&seen, batches[0]), BTreeSet::from(["append", "bring online"]));
    // 5 is NOT_FOUND, no fault of the server's
    has(batches[1], &[("rpc.grpc.status_code", "#5")]);
    assert!(seen.iter().all(|span| !span.whole.contains(KEY)), "{seen:#?}");
}

#[test]
fn where_nobody_has_decided_a_share_begins_traces_of_its_own() {
    let collector = Collector::start();
    let place = filled(None);
    place.write("hitherto.toml", "[online]\nfollow = \"1h\"\n");
    let server = serve(&place, &collector.url, "1", &[("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=it")]);
    assert_eq!([get(&server, "latest", ""), get(&server, "latest", "")], [Code::Ok; 2]);
    assert_eq!([get(&server, "latest", &unsampled()), get(&server, "latest", "00-nonsense")], [Code::Ok; 2]);
    runtime().block_on(async {
        let mut client = IngestClient::connect(server.grpc.clone()).await.expect("it listens");
        client.push(request(row("visits"), "")).await.expect("it is kept");
    });
    // the first run begins when the server does
    until("a run of the follower", || {
        server.page("/metrics").1.contains("hitherto_follower_runs_total{outcome=\"done\"} 1").then_some(())
    });
    stop(server);

    let seen = collector.seen();
    let calls: Vec<&Seen> = seen.iter().filter(|span| span.name == GET_FEATURES).collect();
    assert_eq!(calls.len(), 3, "all but the one whose caller has decided against it: {seen:#?}");
    let traces: BTreeSet<&str> = calls.iter().map(|call| call.trace.as_str()).collect();
    assert!(traces.len() == 3 && !traces.contains(TRACE), "{calls:#?}");
    assert!(calls.iter().all(|call| call.parent.is_empty()), "{calls:#?}");
    // an embedded store is read, and no server is asked
    assert_eq!(names(&seen, calls[0]), BTreeSet::from(["plan", "keys", "read", "transforms", "encode"]));

    let push = one(&seen, "hitherto.v1.Ingest/Push");
    has(push, &[("hitherto.view", "visits"), ("hitherto.rows", "#1"), ("rpc.grpc.status_code", "#0")]);
    assert_eq!(names(&seen, push), BTreeSet::from(["append", "bring online"]));
    let append = seen.iter().find(|span| span.name == "append" && span.parent == push.id).expect("there is one");
    has(append, &[("hitherto.first_sequence", "#1"), ("hitherto.last_sequence", "#1")]);

    let run = one(&seen, "follow");
    assert_eq!((run.parent.as_str(), run.kind), ("", 1));
    assert_eq!(names(&seen, run), BTreeSet::from(["materialize"]));
    let materialize = seen.iter().find(|span| span.parent == run.id).expect("there is one");
    has(materialize, &[("hitherto.view", "visits")]);
    for span in &seen {
        assert_eq!(span.resource["deployment.environment.name"], "it");
        assert!(!span.whole.contains(KEY), "{span:#?}");
    }
}

#[test]
fn a_collector_that_is_down_hurts_nobody_and_is_told_of_once() {
    let place = filled(None);
    let nowhere = "http://127.0.0.1:1";
    let server = serve(&place, nowhere, "1", &[("OTEL_BSP_SCHEDULE_DELAY", "10")]);
    let failed = || {
        let page = server.page("/metrics").1;
        let count = |line: &str| {
            line.strip_prefix("hitherto_trace_spans_total{outcome=\"failed\"} ")
                .and_then(|count| count.parse::<u64>().ok())
        };
        page.lines().find_map(count).unwrap_or_else(|| panic!("no count in {page}"))
    };
    let mut before = 0;
    // twice, so that it could be told twice
    for _ in 0..2 {
        assert_eq!(get(&server, "latest", ""), Code::Ok);
        before = until("spans that were sent in vain", || Some(failed()).filter(|count| *count > before));
    }
    let said = stop(server);
    assert_eq!(said.matches("traces do not reach http://127.0.0.1:1").count(), 1, "{said}");
    // nor does a command fail
    let ran = with(&place, "materialize", &[("OTEL_EXPORTER_OTLP_ENDPOINT", nowhere)]);
    assert!(ran.expect_code(0).stderr.contains("traces do not reach http://127.0.0.1:1"));
}

#[test]
fn long_commands_are_traces_of_their_own() {
    let collector = Collector::start();
    let place = filled(None);
    place.write("spine.csv", format!("person,event_timestamp\n{KEY},2024-06-01T00:00:00Z\n"));
    place.write("more.csv", format!("person,event_timestamp,times\n{KEY},2024-01-03T00:00:00Z,9\n"));
    let ours = [("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url.as_str()), ("OTEL_SERVICE_NAME", "nightly")];
    with(&place, "training-set --feature-set latest --spine spine.csv --out t.parquet", &ours).expect_code(0);
    with(&place, "ingest visits more.csv", &ours).expect_code(0);
    with(&place, "materialize", &ours).expect_code(0);
    with(&place, "ingest visits no_such_file.csv", &ours).expect_code(1);
    // what answers at once is none, nor is anything where our own variable says that nothing is to be sent
    with(&place, "list feature-views", &ours).expect_code(0);
    let off = [ours[0], ("HITHERTO_TELEMETRY__OTLP_ENDPOINT", "")];
    with(&place, "materialize", &off).expect_code(0);

    let seen = collector.seen();
    let roots: Vec<(&str, i32)> =
        seen.iter().filter(|span| span.parent.is_empty()).map(|span| (span.name.as_str(), span.status)).collect();
    let expected =
        [("hitherto training-set", 0), ("hitherto ingest", 0), ("hitherto materialize", 0), ("hitherto ingest", 2)];
    assert_eq!(roots, expected, "{seen:#?}");
    let built = one(&seen, "training set");
    assert_eq!(built.parent, one(&seen, "hitherto training-set").id);
    has(built, &[("hitherto.feature_set", "latest"), ("hitherto.rows", "#1"), ("hitherto.is_reused", "false")]);
    assert_eq!(built.attributes["hitherto.dataset"].len(), 64);
    has(
        one(&seen, "append"),
        &[("hitherto.view", "visits"), ("hitherto.rows", "#1"), ("hitherto.first_sequence", "#1")],
    );
    let materialized = one(&seen, "materialize");
    assert_eq!(materialized.parent, one(&seen, "hitherto materialize").id);
    has(materialized, &[("hitherto.view", "visits"), ("hitherto.rows", "#1"), ("hitherto.rows_written", "#1")]);
    for span in &seen {
        assert_eq!(span.resource["service.name"], "nightly");
        assert!(!span.whole.contains(KEY), "{span:#?}");
    }
}

#[test]
fn a_collector_behind_tls_is_believed_where_its_root_is() {
    let place = filled(None);
    let (root, other) = (Authority::new("root"), Authority::new("other"));
    root.write_root(&place, "root");
    other.write_root(&place, "other");
    root.write_certificate(&place, "collector");
    let read = |name: &str| std::fs::read(place.path(name)).expect("it was written");
    let collector = Collector::start_with(&read("collector.pem"), &read("collector.key"));
    let url = ("HITHERTO_TELEMETRY__OTLP_ENDPOINT", collector.url.as_str());
    let believing = |name: &str| {
        let roots = place.path(name).display().to_string();
        with(&place, "materialize", &[url, ("SSL_CERT_FILE", &roots)]).expect_code(0)
    };
    let refused = believing("other.ca.pem");
    assert!(refused.stderr.contains("traces do not reach https://localhost:"), "{}", refused.stderr);
    assert!(collector.seen().is_empty());
    believing("root.ca.pem");
    assert_eq!(one(&collector.seen(), "hitherto materialize").status, 0);
}

#[test]
fn an_endpoint_that_is_none_is_refused_where_traces_are_sent() {
    let place = filled(None);
    let wrong = [("HITHERTO_TELEMETRY__OTLP_ENDPOINT", "http://exa mple:4317")];
    let refused = with(&place, "materialize", &wrong).expect_code(1).stderr;
    let expected = "error: could not send traces to 'http://exa mple:4317' (telemetry.otlp_endpoint): ";
    assert!(refused.starts_with(expected), "{refused}");
    let secret = [("HITHERTO_TELEMETRY__OTLP_ENDPOINT", "http://me:s3cret@host:4317")];
    let refused = with(&place, "materialize", &secret).expect_code(1).stderr;
    assert!(refused.contains("OTEL_EXPORTER_OTLP_HEADERS") && !refused.contains("s3cret"), "{refused}");
}

/// Run with variables of the environment.
fn with(place: &Hitherto, line: &str, variables: &[(&str, &str)]) -> Ran {
    let mut command = place.command(line);
    command.envs(variables.iter().copied());
    Ran::of(line, command.output().expect("the binary can be started"))
}
