//! A Redis that lost its data says so: nothing is NOT_FOUND that was only forgotten, and the next run loads it again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use hitherto_core::Timestamp;
use hitherto_engine::Clock;
use hitherto_online::fixture::Wrapper;
use hitherto_online::{Advance, Marks, OnlineStore, Reading, Run, Write, Written};

use super::history::{History, Step};
use super::home::Home;
use super::interrupted::state;
use super::play::Player;
use super::seeds;
use crate::support::random::Random;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_flushed_between_runs_is_noticed_and_loaded_again() {
    let mut home = Home::redis();
    let url = home.server().url();
    for seed in seeds(60) {
        if let Err(error) = flushed_between(&home, &url, seed).await {
            panic!("HITHERTO_SEEDS={seed}: {error:?}");
        }
    }
}

async fn flushed_between(home: &Home, url: &str, seed: u64) -> Result<()> {
    let history = History::random(seed);
    let random = &mut Random::new(!seed);
    let mut player = Player::begin(home, &history).await?;
    for (index, step) in history.steps.iter().enumerate() {
        player.step(step).await.with_context(|| format!("step {index} ({step:?}) at {}", player.now))?;
        if random.percent(30) {
            redis(url, "FLUSHALL").await?;
            player.model.marks = BTreeMap::new();
            player.read().await.with_context(|| format!("flushed after step {index}"))?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_flushed_during_a_run_is_loaded_again_by_that_run() {
    let mut home = Home::redis();
    let url = home.server().url();
    let mut flushes = 0;
    for seed in seeds(60) {
        match flushed_during(&home, &url, seed).await {
            Ok(times) => flushes += times,
            Err(error) => panic!("HITHERTO_SEEDS={seed}: {error:?}"),
        }
    }
    assert!(flushes >= 30, "hardly a run was flushed: {flushes}");
}

async fn flushed_during(home: &Home, url: &str, seed: u64) -> Result<usize> {
    let history = History::random(seed);
    let random = &mut Random::new(!seed);
    let mut player = Player::begin(home, &history).await?;
    let calm = player.engine.clone();
    let store = Arc::new(FlushingStore::new(home.online(player.engine.project())?, url));
    player.serve_from(home, &(Arc::clone(&store) as Arc<dyn OnlineStore>)).await?;
    for step in &history.steps {
        if matches!(step, Step::Run) {
            store.flush_before(Some(random.below(4) as usize));
        }
        player.step(step).await.with_context(|| format!("{step:?} at {}", player.now))?;
        store.flush_before(None);
        // only one of two readings was loaded again by this run: the other's marks are gone, which is said
        if matches!(step, Step::Run) && player.versions == 2 && store.flushed.load(Ordering::Relaxed) > 0 {
            player.run().await?;
        }
    }
    player.run().await?;
    player.read().await?;
    let found = state(&player.engine, &player).await?;
    redis(url, "FLUSHALL").await?;
    let engine = calm.with_clock(Clock::Frozen(Timestamp(player.now)));
    engine.materialize(&[]).await?;
    ensure!(found == state(&engine, &player).await?, "loaded again, the store has other rows");
    Ok(store.flushed.load(Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_rolled_back_to_its_last_save_answers_as_of_then_and_catches_up() {
    let mut home = Home::redis();
    let url = home.server().url();
    for seed in seeds(15) {
        if let Err(error) = rolled_back(&mut home, &url, seed).await {
            panic!("HITHERTO_SEEDS={seed}: {error:?}");
        }
    }
}

async fn rolled_back(home: &mut Home, url: &str, seed: u64) -> Result<()> {
    let history = History::random(seed);
    let random = &mut Random::new(!seed);
    let mut player = Player::begin(home, &history).await?;
    redis(url, "SAVE").await?;
    let mut saved = player.model.marks.clone();
    for step in &history.steps {
        player.step(step).await.with_context(|| format!("{step:?} at {}", player.now))?;
        match random.below(4) {
            0 => {
                redis(url, "SAVE").await?;
                saved = player.model.marks.clone();
            }
            1 => {
                home.server().restart();
                player.model.marks = saved.clone();
                player.read().await.with_context(|| format!("rolled back after {step:?}"))?;
            }
            _ => {}
        }
    }
    Ok(())
}

async fn redis(url: &str, command: &str) -> Result<()> {
    let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
    redis::cmd(command).query_async::<()>(&mut connection).await?;
    Ok(())
}

/// Forwards every call; at a chosen one everything is forgotten first.
#[derive(Debug)]
struct FlushingStore {
    inner: Arc<dyn OnlineStore>,
    url: String,
    before: Mutex<Option<usize>>,
    flushed: AtomicUsize,
}

impl FlushingStore {
    fn new(inner: Arc<dyn OnlineStore>, url: &str) -> Self {
        Self { inner, url: url.to_owned(), before: Mutex::default(), flushed: AtomicUsize::default() }
    }

    /// Forget everything before the call with this number from now, or never.
    fn flush_before(&self, call: Option<usize>) {
        *self.before.lock().expect("nothing panics with the lock") = call;
    }

    async fn call(&self) {
        let now = {
            let mut before = self.before.lock().expect("nothing panics with the lock");
            match *before {
                Some(0) => {
                    *before = None;
                    true
                }
                left => {
                    *before = left.map(|calls| calls - 1);
                    false
                }
            }
        };
        if now {
            redis(&self.url, "FLUSHALL").await.expect("redis is there");
            self.flushed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[async_trait]
impl Wrapper for FlushingStore {
    fn inner(&self) -> &Arc<dyn OnlineStore> {
        &self.inner
    }

    async fn write(&self, reading: &Reading, run: &Run, writes: &[Write]) -> hitherto_online::Result<Written> {
        self.call().await;
        self.inner.write(reading, run, writes).await
    }

    async fn begin(&self, reading: &Reading) -> hitherto_online::Result<Run> {
        self.call().await;
        self.inner.begin(reading).await
    }

    async fn advance(&self, reading: &Reading, run: &Run, to: Marks) -> hitherto_online::Result<Advance> {
        self.call().await;
        self.inner.advance(reading, run, to).await
    }
}
