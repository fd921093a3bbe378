//! OpenLineage events of runs: what they say, and that who does not take them is in nobody's way.

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};

use super::{DEFINITIONS, NOON, SPINE, id_of, json_of, legs, weather};
use crate::support::process::signal;
use crate::support::{EventEndpoint, Hitherto, Ran};

const FILE: &str = "told/events.ndjson";

/// A place with definitions and rows to ingest; who is told of runs is in the configuration.
fn place(url: &str) -> Hitherto {
    let place = Hitherto::new();
    place.write("hitherto.toml", format!("[lineage]\nurl = \"{url}\"\n"));
    place.write("d.yaml", DEFINITIONS);
    place.write("spine.csv", SPINE);
    place.write("legs.csv", legs(&["N1,2013-01-01T10:00:00Z,5,60", "N2,2013-01-01T11:00:00Z,7,62"]));
    place.write("weather.csv", weather("EWR,2013-01-02T09:00:00Z,30,10"));
    place.ok("apply -f d.yaml");
    place
}

fn noon(place: &Hitherto, line: &str) -> Ran {
    place.run(&format!("--clock {NOON} {line}"))
}

/// A command that succeeds, with events sent to `url`.
fn told_at(place: &Hitherto, url: &str, line: &str) -> Ran {
    let line = format!("--clock {NOON} {line}");
    let mut command = place.command(&line);
    let output = command.env("HITHERTO_LINEAGE__URL", url).output().expect("the binary can be started");
    Ran::of(&line, output).expect_code(0)
}

/// The events in the file, in their order.
fn told(place: &Hitherto) -> Vec<Value> {
    fs::read_to_string(place.path(FILE)).unwrap_or_default().lines().map(json_of).collect()
}

/// The last event, which tells how a run ended.
fn last(place: &Hitherto) -> Value {
    told(place).pop().expect("an event")
}

/// The facets that are read here of a dataset of an event.
fn facets(dataset: &Value) -> (String, String) {
    let version = dataset["facets"]["version"]["datasetVersion"].as_str().unwrap_or("none").to_owned();
    let fields = dataset["facets"]["schema"]["fields"].as_array().expect("fields").iter();
    let fields = fields.map(|field| {
        format!("{}:{}", field["name"].as_str().expect("a name"), field["type"].as_str().expect("a type"))
    });
    (version, fields.collect::<Vec<_>>().join(" "))
}

#[test]
fn an_ingest_is_told_with_its_files_and_its_table() {
    let place = place(FILE);
    assert!(!place.path(FILE).exists(), "what only changes definitions is no run");
    noon(&place, "ingest legs legs.csv").expect_code(0);
    let events = told(&place);
    assert_eq!(events.len(), 2);
    let [start, complete] = [&events[0], &events[1]];
    assert_eq!((&start["eventType"], &complete["eventType"]), (&json!("START"), &json!("COMPLETE")));
    for event in [start, complete] {
        assert_eq!(event["eventTime"], NOON);
        assert_eq!(event["schemaURL"], "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent");
        assert_eq!(event["producer"], format!("pkg:cargo/hitherto@{}", env!("CARGO_PKG_VERSION")));
        assert_eq!(event["job"]["namespace"], "hitherto.default");
        assert_eq!(event["job"]["name"], "ingest.legs");
        assert_eq!(event["run"]["runId"], start["run"]["runId"]);
    }
    let id = start["run"]["runId"].as_str().expect("an id");
    let hyphens: Vec<usize> = id.match_indices('-').map(|(index, _)| index).collect();
    assert_eq!((id.len(), hyphens), (36, vec![8, 13, 18, 23]), "{id} is a UUID");
    assert_eq!(complete["job"]["facets"]["jobType"]["processingType"], "BATCH");

    let [input, output] = [&complete["inputs"][0], &complete["outputs"][0]];
    let file = place.path("legs.csv").display().to_string();
    assert_eq!((&input["namespace"], &input["name"]), (&json!("file"), &json!(file)));
    assert_eq!(input["facets"]["dataSource"]["uri"], format!("file://{file}"));
    let fields = "tailnum:string event_timestamp:timestamp arr_delay:float32 air_time:float32";
    assert_eq!(facets(input), ("none".to_owned(), fields.to_owned()));
    let table = place.path(".hitherto/offline/legs/legs-1").display().to_string();
    assert_eq!((&output["namespace"], &output["name"]), (&json!("file"), &json!(table)));
    assert_eq!(facets(output), ("1".to_owned(), fields.to_owned()));
    assert_eq!(output["outputFacets"]["outputStatistics"]["rowCount"], 2);
    assert_eq!(output["facets"]["symlinks"]["identifiers"][0]["name"], "legs");

    // the same again is a run too, which changes nothing
    noon(&place, "ingest legs legs.csv").expect_code(0);
    let again = last(&place);
    assert_ne!(again["run"]["runId"], complete["run"]["runId"]);
    assert_eq!(again["outputs"][0]["outputFacets"]["outputStatistics"]["rowCount"], 0);
    assert_eq!(again["outputs"][0]["facets"]["version"]["datasetVersion"], "1", "the table is as it was");
    place.ok("list models");
    place.ok("sql 'select * from legs'");
    assert_eq!(told(&place).len(), 4, "what only reads is not told");
}

/// What a column of an event's output came from, as `field of the file or folder`.
fn came_from(event: &Value, column: &str) -> Vec<String> {
    let inputs = event["outputs"][0]["facets"]["columnLineage"]["fields"][column]["inputFields"].as_array().cloned();
    let told = |input: Value| {
        let place = input["name"].as_str().expect("a name").rsplit('/').next().expect("a part").to_owned();
        format!("{} of {place}", input["field"].as_str().expect("a field"))
    };
    inputs.into_iter().flatten().map(told).collect()
}

#[test]
fn an_ingest_is_told_with_the_columns_of_every_live_version_that_its_files_have() {
    let place = place(FILE);
    place.write(
        "d2.yaml",
        super::DEFINITIONS.split("---\nkind: feature_set").next().expect("views").replace("  visib: float32\n", ""),
    );
    place.ok("apply -f d2.yaml");
    noon(&place, "ingest weather weather.csv").expect_code(0);
    let event = last(&place);
    let fields = "origin:string event_timestamp:timestamp wind_gust:float32 visib:float32";
    assert_eq!(facets(&event["inputs"][0]).1, fields);
    assert_eq!(event["inputs"][0]["facets"]["schema"]["fields"][2]["description"], "miles an hour");
    assert_eq!(came_from(&event, "visib"), ["visib of weather.csv"], "weather@1 has it still");
    place.write("less.csv", "origin,event_timestamp,wind_gust\nEWR,2013-01-02T10:00:00Z,31\n");
    noon(&place, "ingest weather less.csv").expect_code(0);
    let event = last(&place);
    assert_eq!(came_from(&event, "wind_gust"), ["wind_gust of less.csv"]);
    assert_eq!(came_from(&event, "visib"), Vec::<String>::new());
}

#[test]
fn a_training_set_is_told_with_its_columns() {
    let place = place(FILE);
    noon(&place, "ingest legs legs.csv").expect_code(0);
    noon(&place, "ingest weather weather.csv").expect_code(0);
    let line = "training-set --feature-set late --spine spine.csv --out t.parquet --name first --evidence \
                --split-keys train=8,validation=1,test=1 --split-by tailnum";
    noon(&place, line).expect_code(0);
    let event = last(&place);
    assert_eq!((&event["eventType"], &event["job"]["name"]), (&json!("COMPLETE"), &json!("training_set.late")));
    let name = |file: &str| place.path(file).display().to_string();
    let [spine, legs, weather] =
        [name("spine.csv"), name(".hitherto/offline/legs/legs-1"), name(".hitherto/offline/weather/weather-1")];
    let inputs: Vec<&Value> = event["inputs"].as_array().expect("inputs").iter().collect();
    let names: Vec<&Value> = inputs.iter().map(|input| &input["name"]).collect();
    assert_eq!(names, [&json!(spine), &json!(legs), &json!(weather)]);
    let manifest = json_of(&place.ok("dataset show first --output json"));
    let fingerprint = manifest["spine_fingerprint"].as_str().expect("a fingerprint").to_owned();
    let fields = "tailnum:string origin:string event_timestamp:timestamp label:int64";
    assert_eq!(facets(inputs[0]), (fingerprint, fields.to_owned()));
    assert_eq!((facets(inputs[1]).0.as_str(), facets(inputs[2]).0.as_str()), ("1", "0"));
    let output = &event["outputs"][0];
    assert_eq!(output["name"], name("t.parquet"));
    let added = "legs__arr_delay:float32 gust:float32 is_gusty:bool legs__event_timestamp:timestamp \
                 legs__available_at:timestamp weather__event_timestamp:timestamp weather__available_at:timestamp split:string";
    assert_eq!(facets(output), (id_of(&place, "first"), format!("{fields} {added}")));
    let statistics = &output["outputFacets"]["outputStatistics"];
    assert_eq!((&statistics["rowCount"], &statistics["size"]), (&json!(2), &manifest["build"]["file_bytes"]));

    let lineage = &output["facets"]["columnLineage"];
    let from = |column: &str| -> Vec<(String, String, String)> {
        let inputs = lineage["fields"][column]["inputFields"].as_array().expect("input fields").iter();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        inputs
            .map(|input| {
                assert_eq!(input["namespace"], "file");
                (text(&input["name"]), text(&input["field"]), text(&input["transformations"][0]["subtype"]))
            })
            .collect()
    };
    let one = |name: &str, field: &str, how: &str| vec![(name.to_owned(), field.to_owned(), how.to_owned())];
    assert_eq!(from("label"), one(&spine, "label", "IDENTITY"));
    assert_eq!(from("legs__arr_delay"), one(&legs, "arr_delay", "IDENTITY"));
    assert_eq!(from("gust"), one(&weather, "wind_gust", "IDENTITY"));
    assert_eq!(from("is_gusty"), one(&weather, "wind_gust", "TRANSFORMATION"));
    assert_eq!(from("weather__event_timestamp"), one(&weather, "event_timestamp", "IDENTITY"));
    assert_eq!(from("weather__available_at"), one(&weather, "event_timestamp", "TRANSFORMATION"));
    assert_eq!(from("split"), one(&spine, "tailnum", "TRANSFORMATION"));
    let joined: Vec<String> = lineage["dataset"]
        .as_array()
        .expect("input fields")
        .iter()
        .map(|input| {
            assert_eq!(input["transformations"][0], json!({"type": "INDIRECT", "subtype": "JOIN"}));
            format!("{} of {}", input["field"].as_str().expect("a field"), input["name"].as_str().expect("a name"))
        })
        .collect();
    let expected = [
        format!("event_timestamp of {spine}"),
        format!("tailnum of {spine}"),
        format!("tailnum of {legs}"),
        format!("event_timestamp of {legs}"),
        format!("origin of {spine}"),
        format!("origin of {weather}"),
        format!("event_timestamp of {weather}"),
    ];
    assert_eq!(joined, expected);
}

#[test]
fn a_spine_of_sql_is_told_by_its_query_and_the_histories_that_it_reads() {
    let place = place(FILE);
    noon(&place, "ingest legs legs.csv").expect_code(0);
    noon(&place, "ingest weather weather.csv").expect_code(0);
    let query = "select origin, event_timestamp from weather";
    noon(&place, &format!("training-set --feature-set clear --spine-sql '{query}' --out t.parquet")).expect_code(0);
    let event = last(&place);
    assert_eq!(event["job"]["facets"]["sql"]["query"], query);
    assert_eq!(event["inputs"].as_array().map(Vec::len), Some(1), "the history is both the spine's and the set's");
    let query = "select tailnum as origin, event_timestamp from legs";
    noon(&place, &format!("training-set --feature-set clear --spine-sql '{query}' --out t.parquet")).expect_code(0);
    let names: Vec<String> = last(&place)["inputs"]
        .as_array()
        .expect("inputs")
        .iter()
        .map(|input| input["name"].as_str().expect("a name").rsplit('/').next().expect("a folder").to_owned())
        .collect();
    assert_eq!(names, ["legs-1", "weather-1"]);
    let versions =
        last(&place)["inputs"].as_array().expect("inputs").iter().map(|input| facets(input).0).collect::<Vec<_>>();
    assert_eq!(versions, ["1", "0"]);
}

#[test]
fn a_materialization_is_told_for_each_view() {
    let place = place(FILE);
    noon(&place, "ingest legs legs.csv --to both").expect_code(0);
    let jobs = |from: usize| -> Vec<String> {
        let events = told(&place);
        let ended = events[from..].iter().filter(|event| event["eventType"] != "START");
        ended.map(|event| event["job"]["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(jobs(0), ["materialize.legs", "ingest.legs"]);
    let before = told(&place).len();
    noon(&place, "materialize").expect_code(0);
    assert_eq!(jobs(before), ["materialize.legs", "materialize.weather"]);
    let legs = told(&place).into_iter().find(|event| event["eventType"] == "COMPLETE").expect("an event");
    assert_eq!(legs["inputs"][0]["facets"]["version"]["datasetVersion"], "1");
    let online = &legs["outputs"][0];
    assert_eq!((&online["namespace"], &online["name"]), (&json!("hitherto.default.online"), &json!("legs-1:0")));
    assert_eq!(online["facets"]["version"]["datasetVersion"], format!("1 {NOON}"));
    assert_eq!(online["outputFacets"]["outputStatistics"]["rowCount"], 2);
    let store = format!("embedded store at {}", place.path(".hitherto/online").display());
    assert_eq!(online["facets"]["dataSource"]["name"], store);
}

#[test]
fn a_failure_is_told_as_one() {
    let place = place(FILE);
    place.write("bad.csv", "tailnum,event_timestamp\nN1,2013-01-01T10:00:00Z\n");
    let refused = noon(&place, "ingest legs bad.csv").expect_code(1);
    let event = last(&place);
    assert_eq!(event["eventType"], "FAIL");
    let message = event["run"]["facets"]["errorMessage"]["message"].as_str().expect("a message");
    let said = message.strip_prefix("INVALID_ARGUMENT: ").expect("the kind");
    assert_eq!(refused.stderr, format!("error: {said}\n"));
    assert_eq!(event["outputs"], json!([]));
    assert_eq!(event["inputs"][0]["name"], place.path("bad.csv").display().to_string());
    noon(&place, "training-set --feature-set lte --spine spine.csv --out t.parquet").expect_code(1);
    let event = last(&place);
    assert_eq!((&event["eventType"], &event["job"]["name"]), (&json!("FAIL"), &json!("training_set.lte")));
    let said = "NOT_FOUND: no feature set 'lte' (did you mean 'late'?)";
    assert_eq!(event["run"]["facets"]["errorMessage"]["message"], said);
    // what is wrong with a value is told, and the value is not
    place.write("secret.csv", legs(&["N1,2013-01-01T10:00:00Z,hunter2,60"]));
    let refused = noon(&place, "ingest legs secret.csv").expect_code(1);
    assert!(refused.stderr.contains("hunter2"), "{}", refused.stderr);
    let message = last(&place)["run"]["facets"]["errorMessage"]["message"].clone();
    let said = "secret.csv': column 'arr_delay', row 1: a value is no float32";
    assert!(message.as_str().is_some_and(|message| message.contains(said)), "{message}");
    assert!(!fs::read_to_string(place.path(FILE)).expect("events").contains("hunter2"));
    let query = "select tailnum as origin, event_timestamp, cast(tailnum as bigint) as x from legs";
    noon(&place, "ingest legs legs.csv").expect_code(0);
    noon(&place, &format!("training-set --feature-set clear --spine-sql '{query}' --out t.parquet")).expect_code(1);
    let message = last(&place)["run"]["facets"]["errorMessage"]["message"].clone();
    assert_eq!(message, "INVALID_ARGUMENT: could not run the spine's query");
}

#[test]
fn rows_that_history_has_and_the_online_store_has_not_are_told() {
    let place = place(FILE);
    let closed = closed_port();
    place.write(
        "hitherto.toml",
        format!("[lineage]\nurl = \"{FILE}\"\n[online]\nurl = \"redis://127.0.0.1:{closed}\"\n"),
    );
    noon(&place, "ingest legs legs.csv --to both").expect_code(1);
    let event = last(&place);
    assert_eq!((&event["eventType"], &event["job"]["name"]), (&json!("FAIL"), &json!("ingest.legs")));
    let output = &event["outputs"][0];
    assert_eq!(output["facets"]["version"]["datasetVersion"], "1");
    assert_eq!(output["outputFacets"]["outputStatistics"]["rowCount"], 2);
    // of a batch that was there before nothing is told but that it failed
    noon(&place, "ingest legs legs.csv --to both").expect_code(1);
    assert_eq!(last(&place)["outputs"], json!([]));
}

/// A port at which nobody listens.
fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn an_endpoint_is_sent_each_event() {
    let place = place(FILE);
    let endpoint = EventEndpoint::start(place.path("taken.ndjson"), 201);
    let url = endpoint.url.replacen("http://", "http://ada:secret@", 1);
    let run = |line: &str, url: &str| told_at(&place, url, line);
    let ran = run("ingest legs legs.csv", &url);
    assert_eq!(ran.stderr, "");
    run("ingest weather weather.csv", &format!("{}/take?me=1", endpoint.url));
    let taken = endpoint.taken();
    let paths: Vec<&Value> = taken.iter().map(|taken| &taken["path"]).collect();
    assert_eq!(paths, ["/api/v1/lineage", "/api/v1/lineage", "/take?me=1", "/take?me=1"]);
    let types: Vec<&Value> = taken.iter().map(|taken| &taken["body"]["eventType"]).collect();
    assert_eq!(types, ["START", "COMPLETE", "START", "COMPLETE"]);
    assert_eq!(taken[1]["body"]["job"]["name"], "ingest.legs");
    assert_eq!(taken[0]["content_type"], "application/json");
    // ada:secret
    assert_eq!(
        (&taken[0]["authorization"], &taken[2]["authorization"]),
        (&json!("Basic YWRhOnNlY3JldA=="), &Value::Null)
    );
    assert!(!place.path(FILE).exists(), "the variable wins over the file");
}

#[test]
fn who_does_not_take_events_is_in_nobodys_way() {
    let place = place(FILE);
    let with = |url: &str, line: &str| told_at(&place, url, line);
    let refusing = EventEndpoint::start(place.path("taken.ndjson"), 503);
    let ran = with(&refusing.url, "ingest legs legs.csv");
    assert_eq!(ran.stdout, "legs: 2 rows, _sequence 0 to 1\n");
    let said = format!(
        "the lineage events of ingest.legs could not be delivered to {}/api/v1/lineage: it answered 503 Service Unavailable \
         no room for events; the run itself is as it is reported",
        refusing.url
    );
    assert!(ran.stderr.contains(&said), "{}", ran.stderr);
    assert_eq!(refusing.taken().len(), 1, "after one refusal the other event is not tried");

    let closed = closed_port();
    let ran = with(&format!("http://ada:secret@127.0.0.1:{closed}"), "ingest weather weather.csv");
    assert!(ran.stderr.contains(&format!("http://127.0.0.1:{closed}/api/v1/lineage: ")), "{}", ran.stderr);
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);

    // it takes the connection and says nothing
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let ran = with(&url, "training-set --feature-set clear --spine spine.csv --out t.parquet");
    assert!(ran.stderr.contains("timed out"), "{}", ran.stderr);
    assert!(place.path("t.parquet").is_file());

    place.write("folder/x", "");
    let ran = with("folder", "materialize");
    assert!(ran.stderr.contains("/folder: it is no regular file; "), "{}", ran.stderr);
}

#[test]
fn a_redirect_is_a_refusal_and_is_named() {
    let place = place(FILE);
    let moved = EventEndpoint::start(place.path("taken.ndjson"), 307);
    let ran = told_at(&place, &moved.url, "ingest legs legs.csv");
    let said = "/api/v1/lineage: it answered 307 Temporary Redirect, and redirects are not followed";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert_eq!(moved.taken().len(), 1, "nothing is sent elsewhere");
}

#[test]
fn a_pipe_that_nobody_reads_is_refused_at_once() {
    let place = place(FILE);
    let made = Command::new("mkfifo").arg(place.path("pipe")).status().expect("there is a command mkfifo");
    assert!(made.success());
    let ran = told_at(&place, "pipe", "ingest legs legs.csv");
    assert!(ran.stderr.contains("/pipe: it is no regular file; "), "{}", ran.stderr);
}

#[test]
fn an_empty_url_means_that_nobody_is_told() {
    let place = place(FILE);
    assert_eq!(told_at(&place, "", "ingest legs legs.csv").stderr, "");
    place.write("nowhere", "\n");
    place.write("hitherto.toml", "[lineage]\nurl_file = \"nowhere\"\n");
    noon(&place, "ingest weather weather.csv").expect_code(0);
    assert_eq!(told(&place), Vec::<Value>::new());
    let files: Vec<String> = fs::read_dir(place.folder())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().display().to_string())
        .filter(|name| name.contains("told"))
        .collect();
    assert_eq!(files, Vec::<String>::new());
}

#[test]
fn a_refusal_makes_nobody_wait_twice() {
    let place = place(FILE);
    let refusing = EventEndpoint::start(place.path("taken.ndjson"), 503);
    let with = |line: &str| told_at(&place, &refusing.url, line);
    let ran = with("materialize");
    let said = "the lineage events of materialize.legs and 1 more could not be delivered to ";
    assert_eq!(ran.stderr.matches(said).count(), 1, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("lineage events").count(), 1, "both views are told at once: {}", ran.stderr);
    assert_eq!(refusing.taken().len(), 1);
    let ran = with("ingest legs legs.csv --to both");
    assert!(ran.stderr.contains("of materialize.legs could not be delivered to "), "{}", ran.stderr);
    assert!(ran.stderr.contains("of ingest.legs are not sent to "), "{}", ran.stderr);
    assert_eq!(refusing.taken().len(), 2, "after a failed delivery no other is tried for a while");
}

#[test]
fn who_interrupts_the_telling_of_a_run_does_not_undo_it() {
    // it takes the connection and says nothing
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let place = place(&format!("http://{}", silent.local_addr().expect("an address")));
    let running = place.start(&format!("--clock {NOON} ingest legs legs.csv"));
    let (_connection, _) = silent.accept().expect("it is told");
    signal("INT", running.id());
    let ran = running.wait().expect_code(0);
    assert_eq!(ran.stdout, "legs: 2 rows, _sequence 0 to 1\n");
    assert!(ran.stderr.contains("could not be delivered to "), "{}", ran.stderr);
}

#[test]
fn what_takes_no_events_is_refused_before_any_work() {
    let place = place(FILE);
    place.write("hitherto.toml", "[lineage]\nurl = \"kafka://me:secret@host/topic\"\n");
    assert_eq!(
        place.fails("ingest legs legs.csv"),
        "error: lineage.url: 'kafka://' takes no events; use a path, file:///…, http://… or https://…\n"
    );
}
