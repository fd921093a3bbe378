//! Many processes at once: one order of rows, each batch once, and commands that work beside a running server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use hitherto_engine::{Clock, Engine};

use crate::support::Hitherto;
use crate::support::process::{Running, until};
use crate::support::stores::{integers, moment};

const DEFINITIONS: &str = "
kind: entity
name: thing
join_keys: {k: int64}
---
kind: feature_view
name: readings
entity: thing
features: {writer: int64, row: int64}
---
kind: feature_set
name: latest
features: ['readings:*']
";

const WRITERS: i64 = 8;

fn applied() -> Hitherto {
    let place = Hitherto::new();
    place.write("definitions.yaml", DEFINITIONS);
    place.ok("apply -f definitions.yaml");
    place
}

/// A file of `rows` rows of `writer`, all of one event time, all of the same few keys.
fn write_rows(place: &Hitherto, name: &str, writer: i64, rows: i64) {
    let mut text = "k,event_timestamp,writer,row\n".to_owned();
    for row in 0..rows {
        writeln!(text, "{},2024-01-01T00:00:00Z,{writer},{row}", row % 3).expect("memory");
    }
    place.write(name, text);
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_processes_append_rows_of_equal_times_in_one_order() {
    const BATCHES: i64 = 4;
    const ROWS: i64 = 200;
    let place = applied();
    for writer in 0..WRITERS {
        for batch in 0..BATCHES {
            write_rows(&place, &format!("{writer}-{batch}.csv"), writer * BATCHES + batch, ROWS);
        }
    }
    let writing = AtomicUsize::new(WRITERS as usize);
    let engine = place.engine(None, Clock::Frozen(moment(0))).await;
    let looks = tokio::task::block_in_place(|| {
        let runtime = tokio::runtime::Handle::current();
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (place, writing) = (&place, &writing);
                scope.spawn(move || {
                    let lines = (0..BATCHES).map(|batch| format!("ingest readings {writer}-{batch}.csv"));
                    let ran: Vec<_> = lines.map(|line| place.run(&line)).collect();
                    // counted down first: a look that waits for the last writer must end, too
                    writing.fetch_sub(1, Ordering::Relaxed);
                    for ran in ran {
                        ran.expect_code(0);
                    }
                });
            }
            runtime.block_on(watch(&engine, &writing))
        })
    });
    assert!(looks > 3, "the reader saw {looks} states of the table");
    let rows = integers(&engine, "select writer, row, _sequence from readings order by _sequence").await;
    let expected: BTreeSet<(i64, i64)> = (0..WRITERS * BATCHES).flat_map(|w| (0..ROWS).map(move |r| (w, r))).collect();
    let found: BTreeSet<(i64, i64)> = rows.iter().map(|row| (row[0], row[1])).collect();
    assert_eq!(found, expected, "every row");
    assert_eq!(rows.len(), expected.len(), "once");
    let sequences: Vec<i64> = rows.iter().map(|row| row[2]).collect();
    assert!(sequences.is_sorted_by(|a, b| a < b), "no two rows have one place");
    for batch in rows.chunks(ROWS as usize) {
        let whole = batch.iter().zip(0..).all(|(row, at)| row[0] == batch[0][0] && row[1] == at);
        assert!(whole, "a batch's rows are together, in its order: {batch:?}");
    }
    // who came last in that order is what is served
    place.ok("materialize");
    let served = place.ok("--output json get --feature-set latest --entity k=0");
    let served: serde_json::Value = serde_json::from_str(&served).expect("JSON");
    let last = rows.iter().rev().find(|row| row[1] % 3 == 0).expect("a row of the key");
    assert_eq!(served["rows"][0]["features"]["readings__writer"]["value"], last[0]);
    assert_eq!(served["rows"][0]["features"]["readings__row"]["value"], last[1]);
}

/// Look at the table until nobody writes any more. Nothing goes away, and what comes is greater than all that was there.
async fn watch(engine: &Engine, writing: &AtomicUsize) -> usize {
    let (mut seen, mut looks) = (Vec::new(), 0);
    loop {
        let is_last = writing.load(Ordering::Relaxed) == 0;
        let now = integers(engine, "select _sequence, writer, row from readings order by _sequence").await;
        assert!(now.len() >= seen.len(), "rows went away");
        let (old, new) = now.split_at(seen.len());
        assert!(old == seen, "what was seen stays, and nothing comes between");
        looks += usize::from(!new.is_empty());
        seen = now;
        if is_last {
            return looks;
        }
    }
}

#[test]
fn of_two_with_one_batch_id_exactly_one_commits() {
    const ROUNDS: usize = 12;
    let place = applied();
    write_rows(&place, "rows.csv", 1, 100);
    let mut outcomes = BTreeMap::new();
    for round in 0..ROUNDS {
        let line = format!("--output json ingest readings rows.csv --batch-id round-{round}");
        let both = [place.start(&line), place.start(&line)].map(Running::wait);
        let said: Vec<serde_json::Value> =
            both.into_iter().map(|ran| serde_json::from_str(&ran.expect_code(0).stdout).expect("JSON")).collect();
        let already: Vec<bool> = said.iter().map(|said| said["already_ingested"] == true).collect();
        assert_eq!(already.iter().filter(|already| !**already).count(), 1, "round {round}: {said:?}");
        assert!(said.iter().all(|said| said["batch_id"] == format!("round-{round}")), "{said:?}");
        *outcomes.entry(already).or_insert(0) += 1;
    }
    let counted =
        place.ok("sql --format csv 'select count(*) as n, count(distinct _sequence) as places from readings'");
    let rows = ROUNDS * 100;
    assert_eq!(counted, format!("n,places\n{rows},{rows}\n"), "{outcomes:?}");
}

#[test]
fn of_two_batches_with_one_id_the_later_is_a_conflict() {
    let place = applied();
    write_rows(&place, "one.csv", 1, 50);
    write_rows(&place, "two.csv", 2, 50);
    for round in 0..6 {
        let line = |file: &str| format!("ingest readings {file}.csv --batch-id 'shared {round}'");
        let both = [place.start(&line("one")), place.start(&line("two"))].map(Running::wait);
        let codes: BTreeSet<i32> = both.iter().map(|ran| ran.code).collect();
        assert_eq!(codes, BTreeSet::from([0, 1]), "{both:?}");
        let refused = both.iter().find(|ran| ran.code == 1).expect("one of them");
        assert!(
            refused.stderr.contains(&format!("the batch id 'shared {round}' was used before with other content")),
            "{}",
            refused.stderr
        );
        let message = place.fails(&if both[0].code == 0 { line("two") } else { line("one") });
        assert!(message.contains(&format!("'shared {round}'")), "{message}");
    }
    assert_eq!(place.ok("sql --format csv 'select count(*) as n from readings'"), "n\n300\n");
}

#[test]
fn commands_work_beside_a_running_server() {
    const ROUNDS: i64 = 5;
    let place = applied();
    write_rows(&place, "0.csv", 0, 3);
    place.ok("ingest readings 0.csv --to both");
    let server = place.serve("");
    let get = |from: &str| -> serde_json::Value {
        let line = format!("--output json get --feature-set latest --entity k=0 --entity k=2 {from}");
        serde_json::from_str(&place.ok(&line)).expect("JSON")
    };
    let remote = format!("--server {}", server.grpc);
    let writer =
        |answer: &serde_json::Value, row: usize| answer["rows"][row]["features"]["readings__writer"]["value"].as_i64();
    for round in 1..=ROUNDS {
        write_rows(&place, &format!("{round}.csv"), round, 3);
        let started = [
            place.start(&format!("ingest readings {round}.csv")),
            place.start("materialize"),
            place.start("materialize readings"),
            place.start(&format!("--output json get --feature-set latest --entity k=0 {remote}")),
            place.start("--output json get --feature-set latest --entity k=0"),
        ];
        for ran in started.map(Running::wait) {
            let ran = ran.expect_code(0);
            if ran.command.contains(" get ") {
                let answer = serde_json::from_str(&ran.stdout).expect("JSON");
                assert!(writer(&answer, 0).is_some_and(|writer| writer == round - 1 || writer == round), "{answer}");
            }
        }
        // the server's follower brings it online where none of the runs did
        for from in ["", &remote] {
            until("the new rows are served", || (writer(&get(from), 0) == Some(round)).then_some(()));
            assert_eq!(get(from)["rows"], get("")["rows"], "the server and the command read one store");
        }
    }
    server.terminate();
    let (code, said) = server.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("stopped") && !said.contains("not followed"), "{said}");
}
