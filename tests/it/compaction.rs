//! Compaction and vacuum as a user meets them: no answer changes, ingests compact by themselves, and what is wrong is said.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use crate::support::random::Random;
use crate::support::{Hitherto, Ran};

const DEFINITIONS: &str = "
kind: entity
name: thing
join_keys: {a: int64, b: string}
---
kind: feature_view
name: readings
entity: thing
created_timestamp: created
ttl: 40s
features: {v: float64, note: string, parts: list<int64>}
---
kind: feature_view
name: commits
entity: thing
created_timestamp: _ingested_at
features: {w: int64}
---
kind: feature_set
name: both
features: ['readings:*', 'commits:w']
";

fn applied() -> Hitherto {
    let place = Hitherto::new();
    place.write("definitions.yaml", DEFINITIONS);
    place.ok("apply -f definitions.yaml");
    place
}

fn second(random: &mut Random) -> String {
    format!("2024-01-01T00:{:02}:{:02}Z", random.below(2), random.below(60))
}

/// A batch of `readings`: ties, corrections, late rows, null keys, tombstones.
fn readings(random: &mut Random) -> String {
    let mut lines = String::new();
    for _ in 0..30 {
        let (a, b) = (random.below(4), random.below(3));
        let key = if random.percent(5) { "null".to_owned() } else { a.to_string() };
        let (event, created) = (second(random), second(random));
        let (deleted, v) = (random.percent(15), random.below(1000));
        writeln!(
            lines,
            r#"{{"a": {key}, "b": "b{b}", "event_timestamp": "{event}", "created": "{created}", "v": {v}, "note": "n{v}", "parts": [{v}, null], "_deleted": {deleted}}}"#
        )
        .expect("memory");
    }
    lines
}

fn commits(random: &mut Random) -> String {
    let mut lines = "a,b,event_timestamp,w\n".to_owned();
    for _ in 0..20 {
        let (a, b, w, event) = (random.below(4), random.below(3), random.below(1000), second(random));
        writeln!(lines, "{a},b{b},{event},{w}").expect("memory");
    }
    lines
}

fn spine(random: &mut Random) -> String {
    let mut lines = "a,b,event_timestamp,label\n".to_owned();
    for label in 0..400 {
        writeln!(lines, "{},b{},{},{label}", random.below(5), random.below(3), second(random)).expect("memory");
    }
    lines
}

fn table(place: &Hitherto, view: &str, folder: &str) -> std::path::PathBuf {
    place.path(&format!(".hitherto/offline/{view}/{view}-1/{folder}"))
}

fn data_files(place: &Hitherto, view: &str) -> usize {
    fs::read_dir(table(place, view, "data")).expect("a folder").count()
}

#[test]
fn a_training_set_has_the_same_bytes_before_and_after() {
    let place = applied();
    let random = &mut Random::new(0x5a3e);
    place.write("spine.csv", spine(random));
    let build = |out: &str, more: &str| {
        let line = format!("training-set --feature-set both --spine spine.csv --out {out} --evidence --fresh {more}");
        let id = place.ok(&line);
        (id, fs::read(place.path(out)).expect("the training set"))
    };
    let ingest = |random: &mut Random, batches: std::ops::Range<usize>| {
        for batch in batches {
            place.write("readings.ndjson", readings(random)).write("commits.csv", commits(random));
            let clock = format!("--clock 2024-01-01T00:{:02}:30Z", batch % 2);
            place.ok(&format!("{clock} ingest readings readings.ndjson"));
            place.ok(&format!("{clock} ingest commits commits.csv"));
        }
    };
    ingest(random, 0..6);
    let before = build("before.parquet", "--name first");
    let leaky = build("leaky.parquet", "--mode event").1;
    assert_ne!(leaky, before.1);
    place.ok("compact");
    assert_eq!(build("compacted.parquet", ""), before);
    assert_eq!(build("leaky.parquet", "--mode event").1, leaky);
    place.ok("vacuum --retention 0s");
    assert_eq!((data_files(&place, "readings"), data_files(&place, "commits")), (1, 1));
    assert_eq!(build("vacuumed.parquet", ""), before);

    // rows that come later change what is built today, and not what was pinned, whatever is rewritten with them
    ingest(random, 6..9);
    let today = build("today.parquet", "");
    assert_ne!(today, before);
    place.ok("compact --full");
    place.ok("vacuum --retention 0s");
    assert_eq!(build("full.parquet", ""), today);
    place.ok("dataset rebuild first --out rebuilt.parquet");
    assert_eq!(fs::read(place.path("rebuilt.parquet")).expect("the training set"), before.1);
}

#[test]
fn what_was_done_is_told() {
    let place = applied();
    let random = &mut Random::new(1);
    for _ in 0..3 {
        place.write("readings.ndjson", readings(random));
        place.ok("ingest readings readings.ndjson");
    }
    let json =
        |line: &str| -> Value { serde_json::from_str(&place.ok(&format!("--output json {line}"))).expect("JSON") };
    let done = json("compact readings --memory-limit 64MiB");
    let bytes = |file: &Value| file.as_u64().expect("a number");
    assert_eq!(
        (&done[0]["outcome"], &done[0]["rows"], &done[0]["files_before"], &done[0]["files_after"]),
        (&json!("compacted"), &json!(90), &json!(3), &json!(1))
    );
    let on_disk: u64 = fs::read_dir(table(&place, "readings", "data"))
        .expect("a folder")
        .map(|file| file.expect("an entry").metadata().expect("metadata").len())
        .sum();
    assert_eq!(bytes(&done[0]["rewritten_bytes"]) + bytes(&done[0]["written_bytes"]), on_disk);
    assert_eq!(
        json("compact")[1],
        json!({"view": "readings", "table": "readings-1", "outcome": "nothing", "rows": 0, "files_before": 1, "files_after": 1})
    );
    let said = place.ok("compact readings");
    assert_eq!(
        said.lines().nth(1).map(|line| line.split_whitespace().collect::<Vec<_>>()),
        Some(vec!["readings-1", "1", "1", "0", "0", "0"])
    );

    let planned = json("vacuum readings --retention 0s --dry-run");
    assert_eq!((&planned[0]["deleted_files"], &planned[0]["dry_run"]), (&json!(3), &json!(true)));
    assert_eq!(planned[0]["deleted_bytes"], done[0]["rewritten_bytes"]);
    assert_eq!(data_files(&place, "readings"), 4);
    // a table that nobody has written yet has nothing to give
    assert_eq!((&json("vacuum")[0]["table"], &json("vacuum")[0]["kept_files"]), (&json!("commits-1"), &json!(0)));
    let kept = json("vacuum readings");
    assert_eq!((&kept[0]["deleted_files"], &kept[0]["kept_files"]), (&json!(0), &json!(3)));
    // a pretended clock makes no file older
    let kept = json("vacuum readings --clock 2050-01-01T00:00:00Z");
    assert_eq!((&kept[0]["deleted_files"], &kept[0]["kept_files"]), (&json!(0), &json!(3)));
    let said = place.ok("vacuum readings --retention 0s");
    assert!(said.starts_with("TABLE       DELETED"), "{said}");
    assert_eq!(data_files(&place, "readings"), 1);

    assert!(place.fails("compact reading").starts_with("error: no feature view 'reading' (did you mean 'readings'?)"));
    assert!(place.fails("vacuum reading").starts_with("error: no feature view 'reading' (did you mean 'readings'?)"));
    assert_eq!(
        place.fails("vacuum --retention 8d"),
        "error: could not keep replaced files for 8d: the log remembers for 7d when a file was replaced; use 7d or less\n"
    );
    assert_eq!(
        place.fails("compact --memory-limit 1MiB"),
        "error: could not compact in 1048576 bytes of memory: give at least 32 MiB\n"
    );
    let wrong = place.run("compact --memory-limit much").expect_code(2);
    assert!(wrong.stderr.contains("'much' is no amount of memory: write it like 512MiB or 4GB"), "{}", wrong.stderr);
    let help = place.ok("vacuum --help");
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("With 0s, reads that are under way fail, and an ingest that is under way"), "{help}");
}

#[test]
fn where_there_is_nothing_nothing_is_made() {
    let place = Hitherto::new();
    assert_eq!(place.ok("compact --output json"), "[]\n");
    assert_eq!(place.ok("vacuum --output json"), "[]\n");
    assert!(!place.path(".hitherto").exists());
}

#[test]
fn an_ingest_compacts_when_small_files_pile_up() {
    let place = applied();
    place.write("hitherto.toml", "[offline]\ncompact_after = 3\n");
    let random = &mut Random::new(2);
    let mut ingest = |environment: &[(&str, &str)]| {
        place.write("readings.ndjson", readings(random));
        let line = "ingest readings readings.ndjson";
        let output = place.command(line).envs(environment.iter().copied()).output().expect("the binary can be started");
        Ran::of(line, output).expect_code(0)
    };
    for _ in 0..2 {
        assert!(!ingest(&[]).stderr.contains("became"));
    }
    let third = ingest(&[]);
    assert_eq!(third.stdout, "readings: 30 rows, _sequence 60 to 89\n");
    assert!(third.stderr.ends_with("readings: 3 small files became 1\n"), "{}", third.stderr);
    assert_eq!(data_files(&place, "readings"), 3 + 1);
    // what is compacted counts no more
    for _ in 0..2 {
        assert!(!ingest(&[]).stderr.contains("became"));
    }
    // 0 is never, and the variable wins over the file
    let never = ingest(&[("HITHERTO_OFFLINE__COMPACT_AFTER", "0")]);
    assert!(!never.stderr.contains("became"), "{}", never.stderr);
    let at_last = ingest(&[]);
    // four that are new, and the earlier result, which is no larger than they are together
    assert!(at_last.stderr.ends_with(" small files became 1\n"), "{}", at_last.stderr);
    assert_eq!(
        place.ok("sql --format csv 'select count(*) as n, max(_sequence) as last from readings'"),
        "n,last\n210,209\n"
    );
}

#[test]
fn an_ingest_whose_compaction_fails_has_succeeded() {
    let place = applied();
    let random = &mut Random::new(3);
    place.write("readings.ndjson", readings(random));
    place.ok("ingest readings readings.ndjson");
    let file =
        fs::read_dir(table(&place, "readings", "data")).expect("a folder").next().expect("a file").expect("an entry");
    let whole = fs::read(file.path()).expect("a file");
    fs::write(file.path(), vec![b'x'; whole.len()]).expect("written");
    place.write("hitherto.toml", "[offline]\ncompact_after = 2\n");
    place.write("readings.ndjson", readings(random));
    let ran = place.run("ingest readings readings.ndjson").expect_code(0);
    assert_eq!(ran.stdout, "readings: 30 rows, _sequence 30 to 59\n");
    assert!(ran.stderr.contains("could not be compacted") && ran.stderr.contains("is corrupt"), "{}", ran.stderr);
    fs::write(file.path(), whole).expect("written");
    assert_eq!(place.ok("sql --format csv 'select count(*) as n from readings'"), "n\n60\n");
}
