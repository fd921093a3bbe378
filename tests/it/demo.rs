//! The demo once, and what can be done in the folder that it leaves.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use arrow::array::RecordBatch;
use arrow::compute::kernels::cmp::distinct;

use crate::support::{Hitherto, Ran, read_parquet};

const TRAINING_SET: &str = "training-set --feature-set late_arrival --spine data/spine.parquet";

#[test]
fn it_tells_of_each_step() {
    let said = &demo().said;
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let lines: BTreeSet<&str> = said.stdout.lines().collect();
    for line in [
        "+ entity aircraft (tailnum: string)",
        "aircraft_last_leg: 327,346 rows, _sequence 0 to 327345",
        "weather: 26,115 rows, _sequence 0 to 26114",
        "late_flights@1",
        "late_flights@champion -> late_flights@1",
        "The offline rule at 2013-07-10T18:00:00Z gives the same: 42 of 42 values are equal.",
        "| EWR    | 7135  | 22.0       | 482.8     |",
    ] {
        assert!(lines.contains(line), "no line {line:?} in:\n{}", said.stdout);
    }
    assert!(said.stderr.contains("336,776 rows in training.parquet"), "{}", said.stderr);
    let count = |text: &str| said.stdout.lines().filter(|line| line.contains(text)).count();
    assert_eq!(count("weather: nothing changed, batch "), 1, "the repeated batch changes nothing");
    assert_eq!(count("nothing changed"), 1);
    // an aircraft that nobody has seen: three features of its last leg
    assert_eq!(count("NOT_FOUND"), 3);
    assert_eq!(count("aircraft N38403, predicted at 2013-01-01T14:59:00Z"), 1);
    assert_eq!(said.stdout.lines().filter(|line| line.starts_with("- A flight of ")).count(), 3);
}

#[test]
fn it_counts_what_an_ordinary_join_would_have_leaked() {
    let told = demo().said.stdout.split_once("have leaked?\n").expect("the question").1;
    let legs = told.lines().find(|line| line.starts_with("aircraft_last_leg ")).expect("the view's line");
    let legs: Vec<&str> = legs.split_whitespace().collect();
    assert_eq!((legs[1], legs.last()), ("3,575", Some(&"(3,552)")), "{legs:?}");
}

#[test]
fn its_training_set_has_every_flight_in_order() {
    let spine = read_parquet(&demo().folder.join("data/spine.parquet"));
    let made = read_parquet(&demo().folder.join("training.parquet"));
    assert_eq!((spine.num_rows(), made.num_rows()), (336_776, 336_776));
    for (index, field) in spine.schema().fields().iter().enumerate() {
        assert_eq!(made.schema().field(index).name(), field.name());
        assert_eq!(made.column(index), spine.column(index), "{}", field.name());
    }
    let schema = made.schema();
    let rest: Vec<&str> = schema.fields().iter().skip(spine.num_columns()).map(|field| field.name().as_str()).collect();
    assert_eq!(
        rest,
        [
            "aircraft_last_leg__arr_delay",
            "aircraft_last_leg__dep_delay",
            "aircraft_last_leg__distance",
            "origin_hour__departures",
            "origin_hour__mean_dep_delay",
            "origin_hour__p90_dep_delay",
            "carrier_day__flights",
            "carrier_day__late_share",
            "carrier_day__cancelled_share",
            "gust",
            "weather__wind_speed",
            "weather__visib",
            "weather__precip",
            "is_gusty",
        ]
    );
}

#[test]
fn both_modes_differ_by_known_figures() {
    let place = copy();
    place.ok(&format!("{TRAINING_SET} --out knowledge.parquet --evidence"));
    let ran = place.run(&format!("{TRAINING_SET} --out event.parquet --evidence --mode event")).expect_code(0);
    assert!(ran.stderr.contains("mode event: rows may hold values that nobody knew"), "{}", ran.stderr);
    let (knowledge, event) = (place.read_parquet("knowledge.parquet"), place.read_parquet("event.parquet"));
    let differ = |column: &str| rows_that_differ(&knowledge, &event, column);
    let winners: BTreeSet<usize> = ["aircraft_last_leg__event_timestamp", "aircraft_last_leg__available_at"]
        .iter()
        .flat_map(|column| differ(column))
        .collect();
    assert_eq!(winners.len(), 3_575, "rows with another winning leg");
    assert_eq!(differ("aircraft_last_leg__arr_delay").len(), 3_552, "rows with another arr_delay");
    // in mode knowledge nothing is later than the moment of prediction
    let moments = knowledge.column_by_name("event_timestamp").expect("the spine's time");
    for view in ["aircraft_last_leg", "origin_hour", "carrier_day", "weather"] {
        let available = knowledge.column_by_name(&format!("{view}__available_at")).expect("evidence");
        let leaked = arrow::compute::kernels::cmp::gt(available, moments).expect("times");
        assert_eq!(leaked.true_count(), 0, "{view} was read before it was available");
    }
}

#[test]
fn a_training_set_is_checked_and_built_again() {
    let place = copy();
    let first = fs::read(place.path("training.parquet")).expect("the training set");
    let id = demo().dataset();
    let said = place.ok("dataset verify flights_2013");
    assert!(said.starts_with(&format!("dataset      {id}\nfile         /")), "it names the file: {said}");
    let proven = "proven: the file is the one that was written, and each cell is what was known then\n";
    assert!(said.ends_with(proven), "{said}");

    // the same request gives the same dataset and the same file; mode event gives another
    assert_eq!(place.ok(&format!("{TRAINING_SET} --out again.parquet")), format!("{id}\n"));
    assert!(fs::read(place.path("again.parquet")).expect("a file") == first, "the same request, other bytes");
    assert_ne!(place.ok(&format!("{TRAINING_SET} --out event.parquet --mode event")), format!("{id}\n"));

    let mut flipped = first.clone();
    flipped[first.len() / 2] ^= 1;
    place.write("flipped.parquet", &flipped);
    let found = place.run("dataset verify flights_2013 --file flipped.parquet").expect_code(1);
    assert!(
        found.stdout.contains("\nfault: the file is not the one that was written: its SHA-256 is "),
        "{}",
        found.stdout
    );

    place.ok("dataset rebuild flights_2013 --out rebuilt.parquet");
    assert!(fs::read(place.path("rebuilt.parquet")).expect("a file") == first, "a rebuild has other bytes");

    // a leg that arrives late changes past answers, and no dataset that was built before
    place.write(
        "late.csv",
        "tailnum,event_timestamp,created_timestamp,dep_delay,arr_delay,air_time,distance\n\
         N14228,2013-03-01T00:00:00Z,2013-03-01T00:00:00Z,999,999,1,1\n",
    );
    let late = place.run("ingest aircraft_last_leg late.csv").expect_code(0);
    assert!(late.stderr.contains("1 rows were available before now"), "{}", late.stderr);
    place.ok("dataset rebuild flights_2013 --out after.parquet");
    assert!(fs::read(place.path("after.parquet")).expect("a file") == first, "late rows changed a pinned dataset");
    let now = place.ok(&format!("{TRAINING_SET} --out now.parquet"));
    assert_ne!(now, format!("{id}\n"));
    let changed = rows_that_differ(
        &place.read_parquet("training.parquet"),
        &place.read_parquet("now.parquet"),
        "aircraft_last_leg__arr_delay",
    );
    assert!(!changed.is_empty(), "the late leg is what some flight knew");
}

#[test]
fn what_the_registry_holds_is_described() {
    let place = demo().place();
    let view = "\
feature view       weather@1
description        hourly observation at the airport
entities           airport
keys               origin: string
event timestamp    event_timestamp
created timestamp  none
source delay       10m
ttl                6h
table              weather-1

FEATURE     TYPE     COLUMN      DESCRIPTION
temp        float32  temp        degrees Fahrenheit
";
    let described = place.ok("describe feature-view weather");
    assert!(described.starts_with(view), "{described}");
    assert_eq!(described.lines().count(), view.lines().count() + 8);
    let described = place.ok("describe feature-set late_arrival");
    for line in [
        "feature set        late_arrival@1",
        "reads              aircraft_last_leg@1 by tailnum",
        "reads              weather@1 by origin, source delay 10m, ttl 6h",
        "gust                          float32  weather@1:wind_gust",
        "is_gusty                               coalesce(gust, 0) > 25",
    ] {
        assert!(described.lines().any(|found| found == line), "no line {line:?} in:\n{described}");
    }
    let described = place.ok("describe entity aircraft");
    let expected = "entity             aircraft@1\ndescription        an aircraft, by the number on its tail\n\
                    join keys          tailnum: string\n";
    assert_eq!(described, expected);
    let described = place.ok("describe model late_flights");
    assert!(described.contains("alias              champion -> @1, since "), "{described}");
    assert!(
        described.contains(&format!("@1       late_arrival@1  {}  run=demo", &demo().dataset()[..12])),
        "{described}"
    );
    let json = place.ok("describe feature-view weather --output json");
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["view"]["definition"]["features"][5]["name"], "wind_gust");
    assert_eq!(place.fails("describe entity aircaft"), "error: no entity 'aircaft' (did you mean 'aircraft'?)\n");
}

#[test]
fn sql_writes_tables_csv_and_json() {
    let place = demo().place();
    let query = "sql \"select origin, count(*) as hours from origin_hour group by origin order by origin\"";
    let table = "+--------+-------+\n| origin | hours |\n+--------+-------+\n| EWR    | 7135  |\n| JFK    | 7268  |\n\
                 | LGA    | 6702  |\n+--------+-------+\n";
    assert_eq!(place.ok(query), table);
    assert_eq!(place.ok(&format!("{query} --format csv")), "origin,hours\nEWR,7135\nJFK,7268\nLGA,6702\n");
    let json = "{\"origin\":\"EWR\",\"hours\":7135}\n{\"origin\":\"JFK\",\"hours\":7268}\n{\"origin\":\"LGA\",\"hours\":6702}\n";
    assert_eq!(place.ok(&format!("{query} --format json")), json);
    assert_eq!(place.ok(&format!("{query} --output json")), json);
    // rows are there none, columns are
    assert_eq!(place.ok("sql \"select origin from weather where false\" --format csv"), "origin\n");
    let history = "sql --format csv \"select min(_sequence), max(_sequence), count(distinct _sequence), \
                   min(available_at) - min(event_timestamp) as delay, count(_ingested_at), count(_deleted) from weather\"";
    let history = place.ok(history);
    let numbers: Vec<&str> = history.lines().nth(1).unwrap_or_default().split(',').collect();
    assert_eq!(&numbers[..3], ["0", "26114", "26115"], "{history}");
    assert!(
        numbers[3].contains("10 min") || numbers[3].contains("PT600"),
        "weather is available after 10 minutes: {history}"
    );
    assert_eq!(&numbers[4..], ["26115", "0"], "{history}");
}

#[test]
fn sql_refuses_what_is_no_query() {
    let place = demo().place();
    for (query, reason) in [
        ("insert into weather select * from weather", "DML not supported: Insert Into"),
        ("delete from weather", "DML not supported: Delete"),
        ("create table t as select 1", "DDL not supported: CreateMemoryTable"),
        ("create view t as select 1", "DDL not supported: CreateView"),
        ("drop table weather", "DDL not supported: DropTable"),
        ("copy weather to 'stolen.csv'", "DML not supported: COPY"),
        (
            "create external table t stored as parquet location 'data/spine.parquet'",
            "DDL not supported: CreateExternalTable",
        ),
        ("set datafusion.execution.batch_size = 1", "Statement not supported: SetVariable"),
        ("select 1; select 2", "The context currently only supports a single SQL statement"),
    ] {
        assert_eq!(place.fails(&format!("sql \"{query}\"")), format!("error: could not plan the query: {reason}\n"));
    }
    let there = "there are: aircraft_last_leg, carrier_day, origin_hour, weather";
    for file in ["data/spine.parquet", "training.parquet", "/etc/passwd"] {
        let refused = place.fails(&format!("sql \"select * from '{file}'\""));
        assert_eq!(refused, format!("error: no feature view '{file}'; {there}\n"));
    }
    for function in ["read_parquet", "read_csv", "parquet_metadata"] {
        let refused = place.fails(&format!("sql \"select * from {function}('training.parquet')\""));
        let expected = format!("error: could not plan the query: table function '{function}' not found\n");
        assert_eq!(refused, expected);
    }
    assert!(!place.path("stolen.csv").exists());
}

#[test]
fn it_takes_no_folder_but_its_own() {
    let place = Hitherto::new();
    place.write("mine/notes.txt", "keep");
    let said = place.fails("demo mine");
    assert!(said.ends_with("mine is not empty, and no demo made it: name another folder\n"), "{said}");
    assert_eq!(fs::read(place.path("mine/notes.txt")).expect("the file"), b"keep");
}

/// The demo, run once for all tests of this process.
struct Demo {
    folder: PathBuf,
    said: Ran,
    // another process of tests waits with its own demo until this one has ended
    _alone: File,
}

fn demo() -> &'static Demo {
    static DEMO: OnceLock<Demo> = OnceLock::new();
    DEMO.get_or_init(|| {
        let built = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let alone = File::create(built.join("demo.lock")).expect("a lock file");
        alone.lock().expect("the lock");
        let said = Hitherto::in_folder(built).run("demo demo");
        Demo { folder: built.join("demo"), said, _alone: alone }
    })
}

impl Demo {
    /// The folder, for commands that only read.
    fn place(&self) -> Hitherto {
        Hitherto::in_folder(&self.folder)
    }

    /// The id that the demo's `training-set` printed.
    fn dataset(&self) -> &str {
        let mut lines = self.said.stdout.lines();
        lines.find(|line| line.starts_with("$ hitherto training-set ")).expect("the command");
        lines.next().expect("a dataset id")
    }
}

/// A copy of the folder, for commands that write.
fn copy() -> Hitherto {
    let place = Hitherto::new();
    copy_folder(&demo().folder, place.folder());
    place
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a file can be copied");
        }
    }
}

/// The rows in which a column differs; two nulls do not.
fn rows_that_differ(a: &RecordBatch, b: &RecordBatch, column: &str) -> Vec<usize> {
    let [a, b] = [a, b].map(|batch| batch.column_by_name(column).expect("a column of that name"));
    let differs = distinct(a, b).expect("columns of one type");
    (0..differs.len()).filter(|row| differs.value(*row)).collect()
}
