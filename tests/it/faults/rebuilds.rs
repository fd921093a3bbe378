//! A view is rebuilt again and again while it is pushed to and read; some rebuilds are killed.

use std::time::{Duration, Instant};

use hitherto_core::Timestamp;
use hitherto_engine::{Clock, DROPPED_KEYS_PER_S};
use hitherto_online::fixture::RedisServer;

use super::load::Load;
use super::oracle::Oracle;
use super::{KEYS, Report, filled, strikes};
use crate::support::random::Random;

/// A read waits so long: a rebuild is not to make it late.
const DEADLINE: Duration = Duration::from_secs(30);
/// Of a longer look.
const REBUILDS: u64 = 100;
/// Of a short one.
const FEW: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_is_rebuilt_is_answered_as_if_it_were_not() {
    let redis = RedisServer::start();
    let place = filled(&redis.url(), "1s", KEYS);
    let served = place.serve("");
    let engine = place.engine(Some(place.online(Some(&redis.url()))), Clock::System).await;
    let load = Load::start(&served, Oracle::new(KEYS), DEADLINE, 0xfa8);
    load.go_on(20).await;
    let random = &mut Random::new(0xfa8);
    let (mut taken, mut killed) = (Vec::new(), 0);
    for number in 1..=strikes().map_or(FEW, |_| REBUILDS) {
        let begun = Instant::now();
        let rebuild = place.start("materialize --rebuild near");
        if number % 3 == 0 {
            load.answer_more(1 + random.below(300)).await;
            let ran = rebuild.kill();
            assert!([-1, 0].contains(&ran.code), "it was killed, or did it fail? {}", ran.stderr);
            killed += usize::from(ran.code == -1);
        } else {
            let ran = tokio::task::spawn_blocking(move || rebuild.wait()).await.expect("it is waited for");
            ran.expect_code(0);
            taken.push(begun.elapsed());
        }
        load.has_all(&served).await;
        // as if two minutes had passed: each read is one command here, so that none is in flight between two of them
        let later = Timestamp(Clock::System.now().0 + 120_000_000);
        engine.drop_generations(&[], later, DROPPED_KEYS_PER_S).await.expect("what was left is dropped");
    }
    assert!(killed > 0 || strikes().is_none(), "no rebuild was killed");
    load.go_on(20).await;
    let tally = load.end(&place, &served).await;
    assert_eq!((tally.all_refused(), tally.stale), (0, 0), "{tally:?}");
    Report { fault: "view rebuilt, each rebuild", taken, tally }.tell();
}
