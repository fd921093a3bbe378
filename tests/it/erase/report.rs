//! What holds an entity outside of the stores is named: surely, or as far as nothing tells that it does not.

use std::fs::{self, File};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::UNIX_EPOCH;

use hitherto_core::{Kind, Selector};
use hitherto_engine::{Clock, Error, Progress, Spine, SpineSources, TrainingSetRequest};
use hitherto_offline::OutputLocation;
use hitherto_offline::input::{Input, Location, Options};
use serde_json::{Value as Json, json};

use super::{SECRET, json as json_line, trained};
use crate::support::Hitherto;

pub(super) const PASSED: &str = "kind: feature_set\nname: passed\nfeatures: ['checks:passed']\n";

/// What `erase legs` says of the training set with this name, or an id.
pub(super) fn told(place: &Hitherto, erased: &Json, name: &str) -> Option<Json> {
    let id = json_line(place, &format!("dataset show {name}"))["id"].clone();
    erased["datasets"].as_array().expect("training sets").iter().find(|of| of["dataset"] == id).cloned()
}

pub(super) fn short(place: &Hitherto, name: &str) -> String {
    json_line(place, &format!("dataset show {name}"))["id"].as_str().expect("an id")[..12].to_owned()
}

pub(super) fn ids(erased: &Json) -> Vec<&Json> {
    erased["datasets"].as_array().expect("training sets").iter().map(|of| &of["dataset"]).collect()
}

/// The training sets that it tells of, but for whether they can be built again.
fn but_for_rebuilding(erased: &Json) -> Json {
    let mut sets = erased["datasets"].clone();
    sets.as_array_mut().expect("training sets").iter_mut().for_each(|of| of["can_be_rebuilt"] = Json::Null);
    sets
}

#[test]
fn who_has_it_from_a_spine_may_hold_it_and_is_told_as_such() {
    let place = trained();
    place.write("passed.yaml", PASSED);
    place.ok("apply -f passed.yaml");
    let build = |name: &str, spine: &str| {
        place.ok(&format!("training-set --feature-set passed {spine} --out {name}.parquet --name {name}"));
    };
    let averaged = "select 'N1' as tailnum, max(event_timestamp) as event_timestamp, avg(arr_delay) as mean from legs";
    build("averaged", &format!("--spine-sql \"{averaged}\""));
    build(
        "listed",
        "--spine-sql \"select tailnum, max(event_timestamp) as event_timestamp from legs group by tailnum\"",
    );
    build("checked", "--spine-sql \"select tailnum, event_timestamp from checks\"");
    build("from_file", "--spine with.parquet");
    let columns = "tailnum, event_timestamp, legs__arr_delay";
    build("from_query", &format!("--spine-sql \"select {columns}, 1 as one from training_sets.set_with\""));
    build("chain", &format!("--spine-sql \"select {columns} from training_sets.from_query where tailnum = 'N1'\""));
    place.ok("model register n --dataset chain");

    let look = json_line(&place, &format!("erase legs --entity tailnum={SECRET}"));
    let of = |name: &str| told(&place, &look, name).unwrap_or_else(|| panic!("{name} is not told: {look:#}"));
    let with = of("set_with");
    assert_eq!(
        (&with["holds"], &with["can_be_rebuilt"], &with["grounds"]),
        (&json!("surely"), &json!("no"), &json!([]))
    );
    assert_eq!(with["spine"], place.path("with.csv").display().to_string());
    let averaged_told = of("averaged");
    assert_eq!((&averaged_told["holds"], &averaged_told["rows"]), (&json!("possibly"), &json!(0)));
    assert_eq!(averaged_told["grounds"], json!(["its spine's query read table legs-1 up to _sequence 29"]));
    assert_eq!(averaged_told["can_be_rebuilt"], "from its file alone");
    let listed = of("listed");
    assert_eq!(
        (&listed["holds"], &listed["rows"], &listed["rows_with_values"]),
        (&json!("surely"), &json!(1), &json!(0))
    );
    let from_file = of("from_file");
    let place_of_with = place.path("with.parquet").display().to_string();
    let ground = format!("its spine is the file of training set {}: {place_of_with}", short(&place, "set_with"));
    assert_eq!((&from_file["holds"], &from_file["grounds"]), (&json!("surely"), &json!([ground])));
    let chain = of("chain");
    let ground = format!("its spine's query read training set {}", short(&place, "from_query"));
    assert_eq!((&chain["holds"], &chain["grounds"]), (&json!("possibly"), &json!([ground])));
    assert_eq!((&chain["models"], &chain["rows"]), (&json!(["n@1"]), &json!(0)));
    for not in ["checked", "set_without"] {
        assert_eq!(told(&place, &look, not), None, "{not} read nothing of it");
    }
    let people = place.run(&format!("erase legs --entity tailnum={SECRET}")).expect_code(0);
    assert!(people.stdout.contains("HOLDS IT") && people.stdout.contains("  possibly  "), "{}", people.stdout);
    assert!(people.stderr.contains("may hold it: its spine's query read table legs-1"), "{}", people.stderr);

    // the same when it is done, and when its rows are forgotten
    let erased = json_line(&place, &format!("erase legs --entity tailnum={SECRET} --yes --delay 0s"));
    assert_eq!(erased["datasets"], look["datasets"]);
    let again = json_line(&place, &format!("erase legs --entity tailnum={SECRET}"));
    assert_eq!((&again["rows"], &again["tables"][0]["earlier"]), (&json!(0), &json!({})), "it is forgotten");
    // nobody can tell any more whose rows they were
    assert_eq!(but_for_rebuilding(&again), but_for_rebuilding(&look));
    // who reads history afterwards has nothing of it
    build("later", &format!("--spine-sql \"{}\"", averaged.replace("avg(arr_delay)", "sum(arr_delay)")));
    let shown = json_line(&place, "dataset show later");
    assert_eq!(shown["build"]["spine_erasures"], json!({"legs-1": [erased["id"]]}));
    let after = json_line(&place, &format!("erase legs --entity tailnum={SECRET}"));
    assert_eq!(ids(&after), ids(&look));
}

pub(super) async fn input(place: &Hitherto, file: &str) -> Spine {
    let location = Location::Local(place.path(file).display().to_string());
    Spine::Input(Input::open([location], &Options::default()).await.expect("a spine"))
}

pub(super) fn set(name: &str) -> Selector {
    name.parse().expect("a selector")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_built_while_it_is_erased_is_not_kept() {
    let place = trained();
    place.write("passed.yaml", PASSED);
    place.ok("apply -f passed.yaml");
    let engine = place.engine(None, Clock::System).await;
    let before = json_line(&place, "dataset list");
    let out = |file: &str| OutputLocation::file(&place.path(file)).expect("a place");
    let meanwhile = |tail: &'static str| {
        let (folder, is_erased) = (place.folder().to_owned(), AtomicBool::new(false));
        move |progress: Progress| {
            if matches!(progress, Progress::Writing(..)) && !is_erased.swap(true, Ordering::Relaxed) {
                Hitherto::in_folder(&folder).ok(&format!("erase legs --entity tailnum={tail} --yes"));
            }
        }
    };
    let refused = |error: Error, file: &str| {
        assert_eq!(error.kind(), Kind::Conflict, "{error}");
        let said = error.to_string();
        assert!(said.contains("took 10 rows of table legs-1 while it was built"), "{said}");
        assert!(said.contains("run it again"), "{said}");
        assert!(!place.path(file).exists(), "{file} may hold what was erased");
    };

    // by its features
    let wanted = TrainingSetRequest::new(set("late"), input(&place, "with.csv").await, out("meanwhile.parquet"));
    let error = engine.training_set(&wanted, meanwhile(SECRET)).await.expect_err("an erasure came upon it");
    refused(error, "meanwhile.parquet");
    // by its spine's query alone
    let query = "select tailnum, event_timestamp from legs where tailnum <> 'N2'".to_owned();
    let queried = TrainingSetRequest::new(set("passed"), Spine::Sql(query), out("queried.parquet"));
    let error = engine.training_set(&queried, meanwhile("N2")).await.expect_err("an erasure came upon it");
    refused(error, "queried.parquet");
    assert_eq!(json_line(&place, "dataset list"), before, "none of them is recorded");
    // built again
    let known = engine.registry().dataset("set_without").await.expect("a dataset");
    let sources = SpineSources { spines: vec![input(&place, "without.csv").await], ..SpineSources::default() };
    let error = engine.rebuild_dataset(&known, &sources, out("rebuilt.parquet"), meanwhile("N1")).await;
    refused(error.expect_err("an erasure came upon it"), "rebuilt.parquet");

    // the remedy is one
    let built = engine.training_set(&wanted, |_| ()).await.expect("nothing comes upon it");
    assert_eq!(built.erasures["legs-1"].len(), 3);
    assert!(place.path("meanwhile.parquet").exists());
    place.ok("audit verify --history");
}

const DAILY: &str = "\
kind: entity
name: aircraft
join_keys: {tailnum: string}
---
kind: entity
name: day
join_keys: {day: int64}
---
kind: feature_view
name: daily
entities: [aircraft, day]
features: {delay: float64}
---
kind: feature_set
name: days
features: ['daily:delay']
";

#[test]
fn rows_with_a_null_in_a_part_of_their_key_are_told_and_stay() {
    let place = Hitherto::new();
    place.write("d.yaml", DAILY);
    place.ok("apply -f d.yaml");
    let rows = ["N1,3", "N1,", ",3", "N2,3", "N2,", ","].map(|key| format!("{key},2013-01-01T10:00:00Z,1.5"));
    place.write("daily.csv", format!("tailnum,day,event_timestamp,delay\n{}\n", rows.join("\n")));
    place.ok("ingest daily daily.csv");
    let spine = |keys: &[&str]| {
        let rows: Vec<String> = keys.iter().map(|key| format!("{key},2013-01-02T10:00:00Z\n")).collect();
        format!("tailnum,day,event_timestamp\n{}", rows.concat())
    };
    place.write("both.csv", spine(&["N1,3", "N1,", "N2,3"])).write("null.csv", spine(&["N1,", "N2,3"]));
    place.write("none.csv", spine(&["N1,4", "N2,3", "N2,"]));
    for name in ["both", "null", "none"] {
        place.ok(&format!("training-set --feature-set days --spine {name}.csv --out {name}.parquet --name set_{name}"));
    }
    let line = "erase daily --entity tailnum=N1,day=3 --yes";
    let ran = place.run(&format!("{line} --output json")).expect_code(0);
    let erased: Json = serde_json::from_str(&ran.stdout).expect("JSON");
    let table = &erased["tables"][0];
    assert_eq!((&table["rows"], &table["null_part_rows"]), (&json!(1), &json!(2)), "(N1, null) and (null, 3)");
    assert!(ran.stderr.contains("2 rows of table daily-1 have this key but for parts that are null"), "{}", ran.stderr);
    assert_eq!(place.ok("sql \"select count(*) as n from daily\" --format csv"), "n\n5\n");
    let ground = json!(["in 1 of its rows a part of the key is null, and the others are its"]);
    let both = told(&place, &erased, "set_both").expect("it is told");
    assert_eq!((&both["holds"], &both["rows"], &both["rows_with_values"]), (&json!("surely"), &json!(1), &json!(1)));
    assert_eq!(both["grounds"], ground);
    let null = told(&place, &erased, "set_null").expect("it is told");
    assert_eq!((&null["holds"], &null["rows"], &null["grounds"]), (&json!("possibly"), &json!(0), &ground));
    assert_eq!(null["spine"], place.path("null.csv").display().to_string(), "it has that row");
    assert_eq!(told(&place, &erased, "set_none"), None);
}

#[test]
fn files_that_no_manifest_names_are_told_and_those_of_the_store_go_with_a_vacuum() {
    let place = trained();
    // two servers built it at once: the one recorded last is named
    let clients = ".hitherto/offline/_training_sets/default";
    let left = format!("{clients}/0b6f1c1e-54d2-4b7e-8a55-0f3f7f0c8a11.parquet");
    place.write(&left, fs::read(place.path("with.parquet")).expect("a file"));
    // it lies elsewhere by now, and once more where it was
    place.ok("training-set --feature-set late --spine with.csv --out moved.parquet");
    // its manifest is gone, its file is not
    let early = json_line(&place, "dataset show set_early")["id"].clone();
    place.ok("dataset forget set_early");
    // another lies where it was
    place.ok("training-set --feature-set late --spine without.csv --out other.parquet --name set_without");
    place.ok("training-set --feature-set late --spine early.csv --out without.parquet --name again");

    let look = || json_line(&place, &format!("erase legs --entity tailnum={SECRET}"));
    let found = look();
    let at = |name: &str| place.path(name).display().to_string();
    let with = told(&place, &found, "set_with").expect("it is told");
    assert_eq!(
        (&with["location"], &with["copies"]),
        (&json!(at("moved.parquet")), &json!([at(&left), at("with.parquet")]))
    );
    let again = told(&place, &found, "again").expect("it is told");
    assert_eq!(
        (&again["dataset"], &again["location"]),
        (&early, &json!(at("without.parquet"))),
        "the same id, recorded anew"
    );
    assert_eq!(again["copies"], json!([at("early.parquet")]));
    assert_eq!((ids(&found).len(), &found["unread"]), (2, &json!([])));
    place.ok("dataset forget again");
    let found = look();
    let forgotten = &found["datasets"][1];
    assert_eq!((&forgotten["dataset"], &forgotten["holds"]), (&early, &json!("possibly")));
    assert_eq!(
        (&forgotten["location"], &forgotten["copies"]),
        (&json!(at("early.parquet")), &json!([at("without.parquet")]))
    );
    assert_eq!(forgotten["can_be_rebuilt"], "no: it has no manifest");

    // it may be on its way into the registry for a day
    let clients_of = |line: &str| {
        let done = json_line(&place, line);
        done.as_array().expect("tables").iter().find(|of| of["table"] == "_training_sets").cloned()
    };
    let kept = clients_of("vacuum --retention 0s").expect("it is told");
    assert_eq!((&kept["deleted_files"], &kept["kept_files"]), (&json!(0), &json!(1)));
    let file = File::options().write(true).open(place.path(&left)).expect("a file");
    file.set_modified(UNIX_EPOCH).expect("an old file");
    assert_eq!(clients_of("vacuum legs --retention 0s"), None, "a view was named");
    assert!(place.path(&left).exists());
    let deleted = clients_of("vacuum").expect("it is told");
    assert_eq!((&deleted["deleted_files"], &deleted["view"]), (&json!(1), &Json::Null));
    assert!(!place.path(&left).exists() && place.path("with.parquet").exists(), "the user's stay");
    let with = told(&place, &look(), "set_with").expect("it is told");
    assert_eq!(with["copies"], json!([at("with.parquet")]));
}
