//! A replica that lags takes the place of a master that was killed: what the master had acknowledged is not there any more.

use std::time::{Duration, Instant};

use hitherto_online::fixture::Sentinels;

use super::load::{Load, Tally};
use super::oracle::Oracle;
use super::{KEYS, Report, filled, marks, strikes};

/// A read waits so long.
const DEADLINE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_to_a_replica_that_lags_loses_nothing_for_good() {
    let (mut taken, mut tally) = (Vec::new(), Tally::default());
    for strike in 0..strikes().unwrap_or(1) {
        let (recovery, found) = fail_over(0xfa5 + strike).await;
        taken.push(recovery);
        tally = found;
    }
    Report { fault: "redis failed over to a replica that lags, from the kill", taken, tally }.tell();
}

/// How long it took from the master's end until all was well again.
async fn fail_over(seed: u64) -> (Duration, Tally) {
    let mut sentinels = Sentinels::start();
    let place = filled(&sentinels.url(), "1s", KEYS);
    sentinels.wait_for_copy();
    let served = place.serve("");
    let load = Load::start(&served, Oracle::new(KEYS), DEADLINE, seed);
    load.go_on(50).await;

    sentinels.cut_replica_off();
    // these are lost
    load.push_more(4).await;
    let acknowledged = load.tally().sequences;
    let copied = marks(&place, &sentinels.replica.url()).await;
    let mut pairs = copied.iter().zip(acknowledged);
    let lags = pairs.any(|(copied, acknowledged)| copied.is_none_or(|copied| copied.sequence < acknowledged));
    assert!(lags, "the replica has {copied:?}, of which {acknowledged:?} were acknowledged");
    let killed = Instant::now();
    sentinels.fail_over();
    load.recovered(&served).await;
    let taken = killed.elapsed();

    load.go_on(50).await;
    let tally = load.end(&place, &served).await;
    assert!(tally.all_refused() + tally.stale > 0, "somebody has heard of it: {tally:?}");
    assert_eq!((tally.refused_as("lost"), tally.push_refused.get("lost")), (0, None), "{tally:?}");
    (taken, tally)
}
