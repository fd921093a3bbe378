//! A hundred thousand rows are lost under load: the server says so until they are there again.

use std::time::{Duration, Instant};

use hitherto_online::fixture::RedisServer;
use serde_json::Value;

use super::load::{Load, READERS};
use super::oracle::{Oracle, VIEWS};
use super::{Report, filled, strikes};
use crate::support::process::Served;

/// Of each of two views.
const KEYS: i64 = 50_000;
/// A read waits so long.
const DEADLINE: Duration = Duration::from_secs(2);
/// Ten seconds are the bar, in release mode on a machine that does nothing else: the benchmark holds it. This is for any machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Status of `/readyz`, and what it says of the online store.
fn readiness(served: &Served) -> (u16, String) {
    let (status, body) = served.page("/readyz");
    let body: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    (status, body["online"]["problem"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_rows_that_were_lost_are_replayed_from_history() {
    let mut redis = RedisServer::start();
    let place = filled(&redis.url(), "1s", KEYS);
    let served = place.serve("");
    let load = Load::start(&served, Oracle::new(KEYS), DEADLINE, 0xfa9);
    let mut taken = Vec::new();
    for _ in 0..strikes().unwrap_or(1) {
        load.go_on(50).await;
        redis.kill();
        load.refuse(READERS as u64).await;
        redis.restart();
        let back = Instant::now();
        let mut told_of_loss = 0;
        loop {
            let (status, problem) = readiness(&served);
            if status == 200 {
                break;
            }
            told_of_loss += usize::from(problem.contains("may have lost rows of"));
            assert!(back.elapsed() < PATIENCE, "{problem}");
            load.ask_more(5).await;
        }
        taken.push(back.elapsed());
        // it is not ready before all rows are there
        load.has_all(&served).await;
        assert!(told_of_loss > 0, "it says what it may have lost, before it is ready again");
        load.recovered(&served).await;
        let rows: i64 = redis.command(&["DBSIZE"]);
        assert!(rows >= KEYS * VIEWS.len() as i64, "{rows} keys");
    }
    load.go_on(50).await;
    let tally = load.end(&place, &served).await;
    assert!(tally.refused_as("unavailable") > 0, "{tally:?}");
    assert_eq!(tally.refused_as("lost"), 0, "{tally:?}");
    Report { fault: "100,000 rows lost, from an empty redis to the last of them", taken, tally }.tell();
}
