//! What a query and a training set say of their work: what was skipped and by what, rows, bytes, times, memory; and that the
//! number of threads shows in none of the bytes.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::{Hitherto, Ran};

const DEFINITIONS: &str = "
kind: entity
name: thing
join_keys: {k: int64}
---
kind: feature_view
name: readings
entity: thing
features: {v: int64, note: string}
---
kind: feature_set
name: latest
features: ['readings:*']
transforms:
  - {name: twice, expr: 'readings__v * 2'}
";

/// Rows of history: even keys below 8,000, three rows of each.
const ROWS: usize = 12_000;

fn laid_out() -> Hitherto {
    let place = Hitherto::new();
    place.write("definitions.yaml", DEFINITIONS);
    place.ok("apply -f definitions.yaml");
    let mut history = "k,event_timestamp,v,note\n".to_owned();
    for row in 0..ROWS {
        let (minute, second) = (row / 60 % 60, row % 60);
        writeln!(history, "{},2024-01-01T00:{minute:02}:{second:02}Z,{row},note {row}", row % 4_000 * 2)
            .expect("memory");
    }
    place.write("history.csv", history);
    place.ok("ingest readings history.csv");
    place
}

/// The line of `readings` that `--explain` says for a spine of these keys, an hour after the history.
fn explained(place: &Hitherto, keys: &[i64]) -> String {
    let rows: Vec<String> = keys.iter().map(|key| format!("{key},2024-01-01T01:00:00Z")).collect();
    place.write("asked.csv", format!("k,event_timestamp\n{}\n", rows.join("\n")));
    let ran = place.run("training-set --feature-set latest --spine asked.csv --out asked.parquet --fresh --explain");
    let said = ran.expect_code(0).stderr;
    let line = said.lines().find(|line| line.starts_with("readings: ")).map(str::to_owned);
    line.unwrap_or_else(|| panic!("no line of the view in: {said}"))
}

/// The number before ` WORD`.
fn number_before(line: &str, word: &str) -> f64 {
    let (before, _) = line.split_once(&format!(" {word}")).unwrap_or_else(|| panic!("no '{word}' in: {line}"));
    let number = before.rsplit(' ').next().unwrap_or_default();
    number.replace(',', "").parse().unwrap_or_else(|_| panic!("no number before '{word}' in: {line}"))
}

#[test]
fn a_training_set_says_what_each_phase_took() {
    let place = laid_out();
    let line = explained(&place, &[0, 2, 7_998]);
    let whole = "files 1 of 1, row groups 1 of 1, rows in pages 12,000 of 12,000; 12,000 rows probed";
    assert!(line.contains(whole), "{line}");
    assert!(number_before(&line, "seen by some row") >= 3.0, "{line}");
    assert!((number_before(&line, "winners;") - 3.0).abs() < f64::EPSILON, "{line}");
    let read = line.split("; ").find_map(|part| part.strip_suffix(" read")).expect("bytes read");
    assert!(read.starts_with(|digit: char| ('1'..='9').contains(&digit)), "{line}");
    for phase in ["narrow pass ", "winners ", "payload "] {
        let (_, rest) = line.rsplit_once(phase).unwrap_or_else(|| panic!("no '{phase}' in: {line}"));
        let seconds = rest.split(" s").next().and_then(|seconds| seconds.parse::<f64>().ok());
        assert!(seconds.is_some_and(|seconds| (0.0..60.0).contains(&seconds)), "{phase}: {line}");
    }

    // in a compacted file rows are in the order of their keys, in pages of 1,024 rows: one is enough
    place.ok("compact --full");
    let line = explained(&place, &[0, 2]);
    assert!(
        line.contains("files 1 of 1, row groups 1 of 1, rows in pages 1,024 of 12,000; 1,024 rows probed"),
        "{line}"
    );
    let line = explained(&place, &[9_000]);
    assert!(line.contains("files 0 of 1, row groups 0 of 0, rows in pages 0 of 0; 0 rows probed"), "{line}");
}

#[test]
fn a_bloom_filter_alone_rules_a_row_group_out() {
    let place = laid_out();
    // between the ends of the file, its row group and its page, but odd: nothing but the filter knows that they are not there.
    // It is wrong for about one key in a hundred
    let asked = [501, 1_003, 2_005, 3_007, 7_001];
    let told: Vec<String> = asked.iter().map(|&key| explained(&place, &[key])).collect();
    let by_bloom = told
        .iter()
        .filter(|line| line.contains("row groups 0 of 1 (1 skipped by bloom filters), rows in pages 0 of 0"));
    assert!(by_bloom.count() >= 4, "{told:#?}");
    let there = explained(&place, &[500]);
    assert!(there.contains("row groups 1 of 1, rows in pages 12,000 of 12,000"), "{there}");
    let rows = place.read_parquet("asked.parquet");
    assert_eq!((rows.num_rows(), rows.column_by_name("readings__v").expect("a feature").null_count()), (1, 0));

    // and so it does for a query
    let skipped = asked.iter().filter(|key| {
        let scan = line_of(&place, &format!("select v from readings where k = {key}"), "HistoryExec:");
        metric(&scan, "bloom_groups_skipped") == "1" && metric(&scan, "groups_skipped") == "1"
    });
    assert!(skipped.count() >= 4);
}

/// The line of an operator in what `EXPLAIN ANALYZE` says.
fn line_of(place: &Hitherto, query: &str, operator: &str) -> String {
    let said = place.ok(&format!("sql \"explain analyze {query}\" --format json"));
    let plans: Vec<String> = said
        .lines()
        .filter_map(|row| serde_json::from_str::<Value>(row).expect("JSON")["plan"].as_str().map(str::to_owned))
        .collect();
    let line = plans.iter().flat_map(|plan| plan.lines()).find(|line| line.trim_start().starts_with(operator));
    line.map_or_else(|| panic!("no {operator} in: {plans:#?}"), str::to_owned)
}

/// A metric as `EXPLAIN ANALYZE` writes it.
fn metric(line: &str, name: &str) -> String {
    let (_, metrics) = line.split_once("metrics=[").unwrap_or_else(|| panic!("no metrics in: {line}"));
    let metrics = metrics.trim_end().trim_end_matches(']').split(", ");
    let found = metrics.filter_map(|metric| metric.split_once('=')).find(|(of, _)| *of == name);
    found.map_or_else(|| panic!("no metric '{name}' in: {line}"), |(_, value)| value.to_owned())
}

#[test]
fn explain_analyze_says_it_of_a_read_and_of_a_join() {
    let place = laid_out();
    place.write("more.csv", "k,event_timestamp,v,note\n90000,2024-02-01T00:00:00Z,1,far\n");
    place.ok("ingest readings more.csv");
    let scan = line_of(&place, "select v from readings where k = 90000", "HistoryExec:");
    let of = |name: &str| metric(&scan, name);
    assert_eq!((of("files"), of("files_skipped")), ("2".to_owned(), "1".to_owned()));
    assert_eq!((of("groups"), of("groups_skipped"), of("bloom_groups_skipped")), ("1".into(), "0".into(), "0".into()));
    assert_eq!((of("group_rows"), of("page_rows_skipped"), of("output_rows")), ("1".into(), "0".into(), "1".into()));
    assert_ne!(of("bytes_read"), "0");

    let spine = "select k, event_timestamp + interval '1 day' as event_timestamp from readings where k in (0, 90000)";
    let join = line_of(&place, &format!("select * from features_as_of('latest', ({spine}))"), "AsOfExec");
    let of = |name: &str| metric(&join, name);
    // three rows of key 0, one of the other: each key's last row wins all of its questions
    assert_eq!((of("spine_rows"), of("output_rows"), of("bands")), ("4".into(), "4".into(), "1".into()));
    assert_eq!(of("winner_rows"), "2");
    for name in ["probed_rows", "candidate_rows", "bytes_read", "reserved_bytes_max"] {
        assert!(of(name).starts_with(|digit: char| ('1'..='9').contains(&digit)), "{name}: {join}");
    }
    for time in ["index_time", "narrow_time", "resolve_time", "fetch_time", "elapsed_compute"] {
        assert!(of(time).contains('s') && of(time) != "NOT RECORDED", "{time}: {join}");
    }
}

/// A training set built with the processors that `taskset` leaves the process, and so many threads of the runtime.
fn built(place: &Hitherto, out: &str, processors: Option<&str>, threads: &str) -> (Vec<u8>, String) {
    let line = format!("training-set --feature-set latest --spine spine.csv --out {out} --evidence --fresh");
    let ours = place.command(&line);
    let mut command = match processors {
        None => ours,
        Some(processors) => {
            let mut command = Command::new("taskset");
            command.args(["-c", processors]).arg(ours.get_program()).args(ours.get_args()).current_dir(place.folder());
            for (name, value) in ours.get_envs() {
                match value {
                    Some(value) => command.env(name, value),
                    None => command.env_remove(name),
                };
            }
            command
        }
    };
    let output = command.env("TOKIO_WORKER_THREADS", threads).output().expect("taskset of util-linux is there");
    let id = Ran::of(&line, output).expect_code(0).stdout;
    (fs::read(place.path(out)).expect("the training set"), id)
}

#[test]
fn the_number_of_threads_shows_in_no_byte() {
    let place = laid_out();
    // several files and row groups to share, and keys out of order
    for part in 0..6 {
        let rows = (0..500).map(|row| format!("{},2024-01-01T02:{part:02}:00Z,{row},part {part}", row * 13 % 8_000));
        place.write("part.csv", format!("k,event_timestamp,v,note\n{}\n", rows.collect::<Vec<_>>().join("\n")));
        place.ok("ingest readings part.csv");
    }
    let rows = (0..5_000).map(|row| format!("{},2024-01-01T{:02}:00:00Z,{row}", row * 37 % 9_000, row % 4));
    place.write("spine.csv", format!("k,event_timestamp,label\n{}\n", rows.collect::<Vec<_>>().join("\n")));
    let (whole, id) = built(&place, "whole.parquet", None, "2");
    for (processors, threads) in [(None, "1"), (None, "7"), (Some("0"), "1"), (Some("0"), "4")] {
        let (same, of_same) = built(&place, "same.parquet", processors, threads);
        assert!(same == whole, "other bytes on processors {processors:?} with {threads} threads");
        assert_eq!(of_same, id);
    }
    place.ok("compact --full");
    assert!(built(&place, "same.parquet", Some("0"), "1").0 == whole, "nor does the layout");
}
