//! An alias is moved, a server is told to stop while another takes over: nobody is answered wrong, or not at all.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use hitherto_online::fixture::RedisServer;

use super::load::{Load, READERS};
use super::oracle::Oracle;
use super::{KEYS, Report, filled, strikes};
use crate::support::gate::Gate;
use crate::support::process::until;

/// A read waits so long: nothing here is to make it late.
const DEADLINE: Duration = Duration::from_secs(30);
/// How often an alias is moved.
const MOVES: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_that_moves_turns_every_reader_once_and_fails_none() {
    let redis = RedisServer::start();
    let place = filled(&redis.url(), "1s", KEYS);
    let served = place.serve("");
    let load = Load::start(&served, Oracle::new(KEYS), DEADLINE, 0xfa6);
    load.go_on(20).await;
    let (mut taken, moves) = (Vec::new(), strikes().map_or(MOVES, |strikes| strikes as usize));
    for number in 0..moves {
        let version = if number % 2 == 0 { 2 } else { 1 };
        place.ok(&format!("model alias m@{version} champion"));
        let moved = Instant::now();
        load.wait("all readers are answered by it", move |now| now.versions.iter().all(|by| *by == version)).await;
        taken.push(moved.elapsed());
    }
    let tally = load.end(&place, &served).await;
    assert_eq!((tally.all_refused(), tally.stale), (0, 0), "{tally:?}");
    assert_eq!(tally.changes, moves * READERS, "from one version to the other, and never back");
    Report { fault: "alias moved, until all are answered by its version", taken, tally }.tell();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_answers_what_is_in_flight_while_another_takes_over() {
    let redis = RedisServer::start();
    let place = filled(&redis.url(), "1s", KEYS);
    let mut served = place.serve("");
    let load = Load::start(&served, Oracle::new(KEYS), DEADLINE, 0xfa7);
    let mut taken = Vec::new();
    for _ in 0..strikes().unwrap_or(1) {
        load.go_on(20).await;
        // a server that reaches Redis through a gate, so that reads of it can be held while they are in flight
        let gate = Gate::before(redis.port());
        let url = format!("redis://127.0.0.1:{}", gate.port());
        let gated = place.serve_with("", &[("HITHERTO_ONLINE__URL", &url)]);
        load.turn_to(&gated);
        load.recovered(&gated).await;
        let next = place.serve("");
        until("the next is ready", || (next.page("/readyz").0 == 200).then_some(()));

        gate.close("MGET");
        gate.wait();
        // behind the one that is held, on the same connection
        load.wait("every reader waits", |now| now.waiting == READERS).await;
        load.turn_to(&next);
        let told = Instant::now();
        gated.terminate();
        let address = gated.grpc.trim_start_matches("http://").to_owned();
        until("it accepts no more", || TcpStream::connect(&address).is_err().then_some(()));
        gate.open();
        load.recovered(&next).await;
        taken.push(told.elapsed());
        let (code, said) = gated.end();
        assert_eq!(code, Some(0), "{said}");
        // what was told to stop first has nothing to do any more
        served.terminate();
        let (code, said) = std::mem::replace(&mut served, next).end();
        assert_eq!(code, Some(0), "{said}");
    }
    load.go_on(20).await;
    let tally = load.end(&place, &served).await;
    // the gate may have held a read for longer than the server waits for Redis; then it has said so
    assert_eq!((tally.refused_as("lost"), tally.refused_as("late"), tally.stale), (0, 0, 0), "{tally:?}");
    Report { fault: "server told to stop, another in its place", taken, tally }.tell();
}
