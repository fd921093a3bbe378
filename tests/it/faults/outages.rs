//! Redis is paused, killed, restarted with what it had, with less, with nothing.

use std::time::Duration;

use hitherto_online::fixture::RedisServer;

use super::load::{Load, READERS, Tally};
use super::oracle::Oracle;
use super::{KEYS, Report, filled, marks, strikes};
use crate::support::Hitherto;
use crate::support::process::{Served, signal};
use crate::support::random::Random;

/// A read waits so long: less than the server waits for Redis.
const DEADLINE: Duration = Duration::from_millis(400);

/// A Redis, a server before it, and load on that.
struct Outage {
    redis: RedisServer,
    place: Hitherto,
    served: Served,
    load: Load,
    random: Random,
    taken: Vec<Duration>,
}

impl Outage {
    fn begin(redis: RedisServer, seed: u64) -> Self {
        let place = filled(&redis.url(), "1s", KEYS);
        let served = place.serve("");
        let load = Load::start(&served, Oracle::new(KEYS), DEADLINE, seed);
        Self { redis, place, served, load, random: Random::new(seed), taken: Vec::new() }
    }

    /// Goes on until the moment of the next fault, which chance decides.
    async fn wait_for_next(&mut self) {
        self.load.go_on(20 + self.random.below(200)).await;
    }

    /// The fault is over.
    async fn recover(&mut self) {
        self.taken.push(self.load.recovered(&self.served).await);
    }

    /// All is well again: the server was not touched, so no connection to it broke.
    async fn end(self, fault: &'static str) -> Tally {
        self.load.go_on(20).await;
        let tally = self.load.end(&self.place, &self.served).await;
        assert_eq!((tally.refused_as("lost"), tally.push_refused.get("lost")), (0, None), "{tally:?}");
        self.served.terminate();
        let (code, said) = self.served.end();
        assert_eq!(code, Some(0), "{said}");
        Report { fault, taken: self.taken, tally: tally.clone() }.tell();
        tally
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_paused_longer_than_requests_wait_makes_them_late_and_not_wrong() {
    let mut outage = Outage::begin(RedisServer::start(), 0xfa1);
    for _ in 0..strikes().unwrap_or(1) {
        outage.wait_for_next().await;
        let pid = outage.redis.pid().expect("it runs");
        let late = outage.load.tally().refused_as("late") + 2 * READERS as u64;
        signal("STOP", pid);
        outage.load.wait("reads are late", move |now| now.refused_as("late") >= late).await;
        signal("CONT", pid);
        outage.recover().await;
    }
    let tally = outage.end("redis paused").await;
    assert_eq!(tally.stale, 0, "it has lost nothing, and is the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_and_comes_back_with_all_that_it_had_goes_on() {
    let redis = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut outage = Outage::begin(redis, 0xfa2);
    for _ in 0..strikes().unwrap_or(1) {
        outage.wait_for_next().await;
        outage.redis.kill();
        let acknowledged = outage.load.tally().sequences;
        outage.load.refuse(2 * READERS as u64).await;
        outage.redis.restart();
        let kept = marks(&outage.place, &outage.redis.url()).await;
        for (kept, acknowledged) in kept.iter().zip(acknowledged) {
            assert!(kept.is_some_and(|kept| kept.sequence >= acknowledged), "{kept:?}, not {acknowledged}");
        }
        outage.recover().await;
    }
    outage.end("redis killed, restarted with its data").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_with_an_older_copy_is_given_what_it_lacks() {
    let mut outage = Outage::begin(RedisServer::start(), 0xfa3);
    for _ in 0..strikes().unwrap_or(1) {
        let () = outage.redis.command(&["SAVE"]);
        // these are lost
        outage.load.push_more(4).await;
        outage.wait_for_next().await;
        outage.redis.restart();
        outage.recover().await;
    }
    outage.end("redis killed, restarted with an older copy").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_empty_is_filled_again() {
    let mut outage = Outage::begin(RedisServer::start(), 0xfa4);
    for _ in 0..strikes().unwrap_or(1) {
        outage.wait_for_next().await;
        outage.redis.kill();
        outage.load.refuse(2 * READERS as u64).await;
        outage.redis.restart();
        outage.recover().await;
    }
    outage.end("redis killed, restarted empty").await;
}
