//! Kills of a server to which many push.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hitherto_client::{Client, Column, Destination, Push, Pushed};
use hitherto_core::{Value, ValueType};
use hitherto_engine::Clock;

use super::{kills, tell};
use crate::support::Hitherto;
use crate::support::random::Random;
use crate::support::stores::{integers, moment as at};

/// So many push at once.
const PUSHERS: i64 = 12;
/// A pusher's batches of one round are fewer.
const BATCHES_MAX: i64 = 10_000;

const DEFINITIONS: &str = "
kind: entity
name: thing
join_keys: {row: int64}
---
kind: feature_view
name: readings
entity: thing
features: {batch: int64}
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_has_kept_what_it_acknowledged_and_nothing_twice() {
    let place = Hitherto::new();
    place.write("definitions.yaml", DEFINITIONS);
    place.ok("apply -f definitions.yaml");
    let random = &mut Random::new(0x9e5);
    let mut sent = BTreeMap::new();
    let (mut lost, mut kept) = (0, 0);
    for round in 0..kills(12) as i64 {
        let killed_after = 1 + random.below(120) as usize;
        let told = push_and_kill(&place, round, killed_after).await;
        // whoever has heard nothing pushes again, and whoever has heard that it is kept finds it so
        let server = place.serve("");
        let client = Client::connect(&server.grpc).await.expect("it answers");
        for (batch, acknowledged) in told {
            let pushed = push(&client, batch).await.expect("it is pushed");
            assert!(pushed.already || !acknowledged, "batch {batch} was acknowledged, and is not there");
            if !acknowledged {
                *(if pushed.already { &mut kept } else { &mut lost }) += 1;
            }
            sent.insert(batch, rows_of(batch));
        }
    }
    let engine = place.engine(None, Clock::Frozen(at(0))).await;
    let query = "select batch, count(*), min(_sequence), max(_sequence), min(_sequence - row), max(_sequence - row) \
                 from readings group by batch order by 3";
    let mut end = -1;
    let mut found = BTreeMap::new();
    for row in integers(&engine, query).await {
        let [batch, rows, first, last, least, greatest] = row[..] else { panic!("six columns") };
        assert_eq!(
            (last - first + 1, least, greatest),
            (rows, first, first),
            "batch {batch} is together, in its order"
        );
        assert!(first > end, "batch {batch} begins at {first}, another ends at {end}");
        end = last;
        found.insert(batch, rows);
    }
    assert_eq!(found, sent, "each batch whole and once");
    // the log tells each of them, also where they shared a commit
    let told = place.ok("--output json sql 'select count(distinct name) as n from registry.batches'");
    assert_eq!(told.trim(), format!("{{\"n\":{}}}", sent.len()));
    tell(&format!("push: of {} batches {kept} were kept and {lost} lost when their answer was", sent.len()));
}

/// Many push until the server is killed, which is when so many pushes were acknowledged. Each batch, and whether it was.
async fn push_and_kill(place: &Hitherto, round: i64, killed_after: usize) -> Vec<(i64, bool)> {
    let server = place.serve("");
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut pushers = Vec::new();
    for pusher in 0..PUSHERS {
        let client = Client::connect(&server.grpc).await.expect("it answers");
        let acknowledged = Arc::clone(&acknowledged);
        pushers.push(tokio::spawn(async move {
            let mut told = Vec::new();
            for batch in (round * PUSHERS + pusher) * BATCHES_MAX.. {
                let pushed = push(&client, batch).await;
                told.push((batch, pushed.is_ok()));
                let Ok(pushed) = pushed else { return told };
                assert!(!pushed.already, "batch {batch} was not there");
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            told
        }));
    }
    while acknowledged.load(Ordering::Relaxed) < killed_after && pushers.iter().any(|pusher| !pusher.is_finished()) {
        tokio::task::yield_now().await;
    }
    drop(server);
    let mut told = Vec::new();
    for pusher in pushers {
        told.extend(pusher.await.expect("no panic"));
    }
    told
}

fn rows_of(batch: i64) -> i64 {
    1 + batch % 3
}

async fn push(client: &Client, batch: i64) -> hitherto_client::Result<Pushed> {
    let count = rows_of(batch);
    let times = (0..count).map(|row| Value::Timestamp(at(row))).collect();
    let ints = |values: Vec<i64>| values.into_iter().map(Value::Int64).collect();
    let columns = vec![
        Column::new("row", ValueType::Int64, ints((0..count).collect())),
        Column::new("event_timestamp", ValueType::Timestamp, times),
        Column::new("batch", ValueType::Int64, ints(vec![batch; count as usize])),
    ];
    let view = "readings".parse().expect("a name");
    client.push(Push { view, columns, batch_id: Some(format!("batch {batch}")), destination: Destination::Both }).await
}
