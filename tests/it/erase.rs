//! Erasure: an entity leaves everything that is ours, nothing that began before brings it back, and what holds it is named.

mod drawn;
mod kept;
mod report;
mod traces;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use hitherto_engine::Clock;
use hitherto_online::fixture::{RedisServer, Wrapper};
use hitherto_online::{OnlineStore, Reading, Result, Run, Write, Written};
use serde_json::Value as Json;

use crate::support::Hitherto;

const DEFINITIONS: &str = "\
kind: entity
name: aircraft
join_keys: {tailnum: string}
---
kind: feature_view
name: legs
entity: aircraft
features: {arr_delay: float32}
---
kind: feature_view
name: checks
entity: aircraft
features: {passed: bool}
---
kind: feature_set
name: late
features: [legs:arr_delay]
";

/// The greatest and the least key of their files, so that statistics name them too.
const SECRET: &str = "N99999SECRET";

/// Ten legs each of three aircraft in ten commits, a spine that asks for two of them, and one that asks for the third.
fn trained() -> Hitherto {
    let place = Hitherto::new();
    place.write("d.yaml", DEFINITIONS);
    place.ok("apply -f d.yaml");
    for day in 1..=10 {
        let rows = ["N1", "N2", SECRET].map(|tail| format!("{tail},2013-01-{day:02}T10:00:00Z,{day}"));
        place.write("legs.csv", format!("tailnum,event_timestamp,arr_delay\n{}\n", rows.join("\n")));
        place.ok("ingest legs legs.csv");
    }
    place.write("checks.csv", format!("tailnum,event_timestamp,passed\n{SECRET},2013-01-01T10:00:00Z,true\n"));
    place.ok("ingest checks checks.csv");
    place.ok("materialize");
    place.write(
        "with.csv",
        format!("tailnum,event_timestamp\n{SECRET},2013-01-05T12:00:00Z\nN1,2013-01-05T12:00:00Z\n"),
    );
    place.write("without.csv", "tailnum,event_timestamp\nN2,2013-01-05T12:00:00Z\nN1,2013-01-06T12:00:00Z\n");
    place.write("early.csv", format!("tailnum,event_timestamp\n{SECRET},2012-12-31T12:00:00Z\n"));
    for name in ["with", "without", "early"] {
        place.ok(&format!("training-set --feature-set late --spine {name}.csv --out {name}.parquet --name set_{name}"));
    }
    place.ok("model register m --dataset set_with");
    place.ok("model register m --dataset set_without");
    place
}

fn json_of(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("no JSON: {error}\n{text}"))
}

fn json(place: &Hitherto, line: &str) -> Json {
    json_of(&place.ok(&format!("{line} --output json")))
}

/// Value and status.
fn arr_delay(place: &Hitherto, tail: &str, flags: &str) -> (Json, String) {
    let found = json(place, &format!("get --feature-set late --entity tailnum={tail} {flags}"));
    let cell = &found["rows"][0]["features"]["legs__arr_delay"];
    (cell["value"].clone(), cell["status"].as_str().unwrap_or_default().to_owned())
}

fn gone() -> (Json, String) {
    (Json::Null, "NOT_FOUND".to_owned())
}

fn present(value: f64) -> (Json, String) {
    (value.into(), "PRESENT".to_owned())
}

fn rows_of(place: &Hitherto, view: &str, tail: &str) -> String {
    place.ok(&format!("sql \"select count(*) as n from {view} where tailnum = '{tail}'\" --format csv"))
}

#[test]
fn looking_changes_nothing_and_erasing_leaves_no_trace() {
    let place = trained();
    let told = place.ok("audit list");
    let look = json(&place, &format!("erase legs --entity tailnum={SECRET}"));
    assert_eq!((&look["erased"], &look["rows"], &look["id"]), (&Json::Bool(false), &Json::from(10), &Json::Null));
    assert_eq!(place.ok("audit list"), told, "looking is no change");
    assert_eq!(rows_of(&place, "legs", SECRET), "n\n10\n");
    assert!(!holding(&place, SECRET).is_empty());

    let erased = json(&place, &format!("erase legs --entity tailnum={SECRET} --delay 0s --yes"));
    assert_eq!((&erased["erased"], &erased["rows"]), (&Json::Bool(true), &Json::from(10)));
    assert_eq!(erased["tables"][0]["files"], 10);
    assert_eq!(erased["online"], look["online"], "what was there is what went");
    assert_eq!(erased["online"][0]["held"], true);
    assert_eq!(erased["other_views"], serde_json::json!([{"view": "checks", "rows": 1}]));

    // history, online store, files and log of the table: nowhere; another view has its own
    let counts = [(SECRET, "n\n0\n"), ("N1", "n\n10\n"), ("N2", "n\n10\n")];
    assert!(counts.iter().all(|(tail, count)| rows_of(&place, "legs", tail) == *count));
    assert_eq!(rows_of(&place, "checks", SECRET), "n\n1\n");
    assert_eq!(arr_delay(&place, SECRET, ""), gone());
    assert_eq!(arr_delay(&place, "N1", ""), present(10.0));
    let left = holding(&place, SECRET);
    assert!(left.iter().all(|path| path.contains("/checks/")), "{left:?}");
    let audit = place.ok("audit list --output json");
    let last = json_of(&audit).as_array().and_then(|entries| entries.last().cloned()).expect("entries");
    assert_eq!((&last["verb"], &last["subject"]), (&Json::from("erase"), &Json::from("feature_view legs")));
    assert!(!audit.contains(SECRET), "{audit}");
    place.ok("audit verify --history");

    // a second time there is nothing to do, and it is done
    let again = json(&place, &format!("erase legs --entity tailnum={SECRET} --yes"));
    assert_eq!(
        (&again["rows"], &again["online"][0]["held"]),
        (&Json::from(0), &Json::Bool(false)),
        "its files are gone"
    );
    place.ok("materialize");
    assert_eq!(arr_delay(&place, SECRET, ""), gone());
}

/// Files of the offline store that have these bytes.
fn holding(place: &Hitherto, text: &str) -> Vec<String> {
    let has = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let mut found = Vec::new();
    files_below(&place.path(".hitherto/offline"), &mut |path| {
        if has(&fs::read(path).expect("a file")) {
            found.push(path.display().to_string());
        }
    });
    found
}

fn files_below(folder: &Path, seen: &mut dyn FnMut(&Path)) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { files_below(&path, seen) } else { seen(&path) }
    }
}

#[test]
fn training_sets_and_models_that_hold_it_are_named_and_others_go_on() {
    let place = trained();
    let before = json(&place, "dataset show set_without");
    let erased = json(&place, &format!("erase legs --entity tailnum={SECRET} --yes"));
    let id = |name: &str| json(&place, &format!("dataset show {name}"))["id"].clone();
    let told: Vec<(Json, Json, Json, Json)> = erased["datasets"]
        .as_array()
        .expect("training sets")
        .iter()
        .map(|of| (of["dataset"].clone(), of["rows"].clone(), of["rows_with_values"].clone(), of["models"].clone()))
        .collect();
    let models = |names: &[&str]| serde_json::json!(names);
    let expected = [
        (id("set_with"), 1.into(), 1.into(), models(&["m@1"])),
        // it asks for it at a time when nothing was known of it
        (id("set_early"), 1.into(), 0.into(), models(&[])),
    ];
    assert_eq!(told, expected);

    // the old manifests stay; what does not depend on the rows is built again and proven
    assert_eq!(id("set_without"), before["id"]);
    place.ok("dataset rebuild set_without --out again.parquet");
    place.ok("dataset verify set_without");
    place.ok("dataset rebuild set_early --out early2.parquet");
    for command in ["dataset rebuild set_with --out gone.parquet", "dataset verify set_with"] {
        let ran = place.run(command);
        assert_eq!(ran.code, 1, "{command}");
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains("an erasure of 20") && said.contains("took 10 rows of table legs-1"), "{said}");
    }
    // the same request is another training set now, and says why
    place.ok("training-set --feature-set late --spine without.csv --out new.parquet --name set_new");
    let new = json(&place, "dataset show set_new");
    assert_ne!(new["id"], before["id"]);
    assert_eq!(new["erasures"], serde_json::json!({"legs-1": [erased["id"]]}));
    assert_eq!(new["build"]["result_fingerprint"], before["build"]["result_fingerprint"]);
    // a pin from before its first row is not concerned
    assert_eq!(before["erasures"], serde_json::json!({}));
}

#[test]
fn files_go_when_the_delay_is_over_and_not_before() {
    let place = trained();
    let ran = place.run(&format!("erase legs --entity tailnum={SECRET} --delay 1h --yes"));
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("files that still hold the rows go at 20"), "{}", ran.stderr);
    place.ok("vacuum --retention 7d");
    let legs = || holding(&place, SECRET).into_iter().filter(|path| path.contains("/legs/")).count();
    assert!(legs() > 10, "the delay is not over");
    // another erasure, of somebody else, whose time has come takes the older files with it
    place.ok("erase legs --entity tailnum=N2 --delay 0s --yes");
    assert_eq!(legs(), 0, "files from before the second erasure hold both");
    assert_eq!(place.ok("sql 'select distinct tailnum from legs' --format csv"), "tailnum\nN1\n");
}

#[test]
fn a_running_server_forgets_it_and_what_comes_later_is_new() {
    let place = trained();
    let server = place.serve("");
    let flags = format!("--server {}", server.grpc);
    assert_eq!(arr_delay(&place, SECRET, &flags), present(10.0));
    place.ok(&format!("erase legs --entity tailnum={SECRET} --yes"));
    assert_eq!(arr_delay(&place, SECRET, &flags), gone(), "at once");
    place.write("legs.csv", format!("tailnum,event_timestamp,arr_delay\n{SECRET},2013-02-01T10:00:00Z,77\n"));
    place.ok("ingest legs legs.csv --to both");
    assert_eq!(arr_delay(&place, SECRET, &flags), present(77.0));
    server.terminate();
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn wrong_keys_are_named_before_anything_is_done() {
    let place = trained();
    for (entity, expected) in [
        ("tail=N1", "error: 'tail' is no part of the key: rows of legs have the entity key tailnum=…"),
        ("tailnum=N1,day=3", "error: 'day' is no part of the key: rows of legs have the entity key tailnum=…"),
        ("tailnum", "error: --entity tailnum: write it like tailnum=N14228"),
    ] {
        let said = place.fails(&format!("erase legs --yes --entity {entity}"));
        assert!(said.starts_with(expected), "{said}");
    }
    let said = place.fails("erase lags --yes --entity tailnum=N1");
    assert!(said.contains("no feature view 'lags'") && said.contains("legs"), "{said}");
    assert_eq!(rows_of(&place, "legs", "N1"), "n\n10\n");
}

#[test]
fn a_table_that_cannot_be_read_does_not_keep_the_next_from_being_vacuumed() {
    let place = trained();
    place.ok("compact legs");
    let log = place.path(".hitherto/offline/checks/checks-1/_delta_log/00000000000000000000.json");
    fs::write(&log, "no entry\n").expect("it can be written");
    let files = || fs::read_dir(place.path(".hitherto/offline/legs/legs-1/data")).expect("a folder").count();
    assert_eq!(files(), 11, "ten, and the one in their place");
    let said = place.fails("vacuum --retention 0s");
    assert!(said.contains("checks-1"), "{said}");
    assert_eq!(files(), 1);
}

#[test]
fn the_entry_of_a_training_set_that_no_model_needs_is_forgotten() {
    let place = trained();
    place.ok(&format!("erase legs --entity tailnum={SECRET} --yes"));
    let said = place.fails("dataset forget set_with");
    assert!(said.ends_with("': it is needed by m@1; model versions are kept\n"), "{said}");
    let early = json(&place, "dataset show set_early");
    let forgotten = json(&place, "dataset forget set_early");
    assert_eq!((&forgotten["forgotten"], &forgotten["file"]), (&early["id"], &early["location"]));
    assert!(place.path("early.parquet").exists(), "its file is the user's");
    place.fails("dataset show set_early");
    assert!(place.ok("audit list").contains("forget_dataset"));
    place.ok("audit verify --history");
}

/// A store in which somebody erases the aircraft just before the first rows of a run are written.
#[derive(Debug)]
struct Interrupted {
    inner: Arc<dyn OnlineStore>,
    folder: PathBuf,
    is_erased: AtomicBool,
}

#[async_trait]
impl Wrapper for Interrupted {
    fn inner(&self) -> &Arc<dyn OnlineStore> {
        &self.inner
    }

    async fn write(&self, reading: &Reading, run: &Run, writes: &[Write]) -> Result<Written> {
        if !self.is_erased.swap(true, Ordering::Relaxed) {
            Hitherto::in_folder(&self.folder).ok(&format!("erase legs --entity tailnum={SECRET} --yes"));
        }
        self.inner.write(reading, run, writes).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_read_it_before_does_not_bring_it_online_afterwards() {
    let place = trained();
    place.write(
        "legs.csv",
        format!("tailnum,event_timestamp,arr_delay\n{SECRET},2013-02-01T10:00:00Z,77\nN1,2013-02-01T10:00:00Z,78\n"),
    );
    place.ok("ingest legs legs.csv");
    let store =
        Interrupted { inner: place.online(None), folder: place.folder().to_owned(), is_erased: AtomicBool::new(false) };
    let engine = place.engine(Some(Arc::new(store)), Clock::System).await;
    let done = engine.materialize(&[]).await.expect("it begins again");
    assert_eq!(done.iter().map(|reading| reading.written).sum::<u64>(), 1, "{done:?}");
    assert_eq!(arr_delay(&place, SECRET, ""), gone());
    assert_eq!(arr_delay(&place, "N1", ""), present(78.0));
}

#[test]
fn a_table_with_another_key_is_named_and_left() {
    let place = trained();
    let definitions = DEFINITIONS.replace("name: legs\nentity: aircraft", "name: legs\nentities: [aircraft, day]");
    place.write(
        "d2.yaml",
        format!("kind: entity\nname: day\njoin_keys: {{day: int64}}\n---\n{definitions}")
            .replace("---\nkind: feature_set\nname: late\nfeatures: [legs:arr_delay]\n", ""),
    );
    place.ok("apply -f d2.yaml --allow-new-table");
    place.write("legs.csv", format!("tailnum,day,event_timestamp,arr_delay\n{SECRET},3,2013-02-01T10:00:00Z,77\n"));
    place.ok("ingest legs legs.csv");
    let old = json(&place, &format!("erase legs --entity tailnum={SECRET} --yes"));
    assert_eq!((&old["rows"], &old["tables"][0]["table"]), (&Json::from(10), &Json::from("legs-1")));
    assert_eq!(old["other_keys"], serde_json::json!({"legs-2": ["day", "tailnum"]}));
    assert_eq!(rows_of(&place, "legs", SECRET), "n\n1\n");
    let new = json(&place, &format!("erase legs --entity tailnum={SECRET},day=3 --yes"));
    assert_eq!((&new["rows"], &new["tables"][0]["table"]), (&Json::from(1), &Json::from("legs-2")));
    assert_eq!(rows_of(&place, "legs", SECRET), "n\n0\n");
}

#[test]
fn what_an_online_store_that_is_down_left_undone_is_done_when_asked_again() {
    let mut redis = RedisServer::start();
    let place = trained();
    place.write("hitherto.toml", format!("[online]\nurl = \"{}\"\n", redis.url()));
    place.ok("materialize");
    assert_eq!(arr_delay(&place, SECRET, ""), present(10.0));
    redis.kill();
    let said = place.fails(&format!("erase legs --entity tailnum={SECRET} --yes"));
    assert!(said.contains("erased from history, and not from the online store"), "{said}");
    let last = json(&place, "audit list").as_array().and_then(|entries| entries.last().cloned()).expect("entries");
    assert_eq!(last["verb"], "erase", "it is told all the same");
    redis.restart();
    let again = json(&place, &format!("erase legs --entity tailnum={SECRET} --yes"));
    assert_eq!(again["rows"], 0);
    let earlier = again["tables"][0]["earlier"].as_object().expect("erasures");
    assert_eq!(earlier.values().collect::<Vec<_>>(), [&Json::from(10)]);
    let told: Vec<&str> =
        again["datasets"].as_array().expect("training sets").iter().filter_map(|of| of["models"][0].as_str()).collect();
    assert_eq!(told, ["m@1"]);
    place.ok("materialize");
    assert_eq!(arr_delay(&place, SECRET, ""), gone());
    assert_eq!(arr_delay(&place, "N1", ""), present(10.0));
}
