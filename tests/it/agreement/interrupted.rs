//! Runs that are cut off anywhere and done again end where a run ends that nothing disturbed.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use anyhow::{Context, Result, ensure};
use hitherto_core::{EntityKey, Timestamp, ValueType};
use hitherto_engine::{Clock, Engine, served_readings};
use hitherto_online::encoding::PackedRow;
use hitherto_online::{Group, Marks, OnlineRow, OnlineStore};

use super::compare::{SETS, lookup, unavailable};
use super::faulty::{Fault, FaultyStore};
use super::history::{History, Key, Step};
use super::home::Home;
use super::play::Player;
use super::seeds;
use crate::support::random::Random;

const HISTORIES: u64 = 150;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_runs_of_the_embedded_store_end_as_others_do() {
    interrupt(Home::embedded()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_runs_of_redis_end_as_others_do() {
    interrupt(Home::redis()).await;
}

async fn interrupt(home: Home) {
    let mut cut = 0;
    let mut count = 0;
    for seed in seeds(HISTORIES) {
        count += 1;
        match interrupted(&home, seed).await {
            Ok(times) => cut += times,
            Err(error) => panic!("HITHERTO_SEEDS={seed}: {error:?}"),
        }
    }
    assert!(cut >= count, "hardly a run was cut off: {cut} in {count} histories");
}

/// Two online stores of one history: one whose runs are left alone, one whose runs are cut off. How many were.
async fn interrupted(home: &Home, seed: u64) -> Result<u64> {
    let history = History::random(seed);
    let random = &mut Random::new(!seed);
    let mut player = Player::begin(home, &history).await?;
    let other = Other::new(home, &player).await?;
    let mut cut = 0;
    for step in &history.steps {
        player.step(step).await?;
        if !matches!(step, Step::Run) {
            continue;
        }
        let engine = other.engine.with_clock(Clock::Frozen(Timestamp(player.now)));
        while random.percent(75) {
            cut += u64::from(other.cut_off(&engine, random).await);
            other.between(&player, &engine).await.context("after a run that was cut off")?;
        }
        engine.materialize(&[]).await?;
        let (ours, theirs) = (state(&player.engine, &player).await?, state(&engine, &player).await?);
        ensure!(ours == theirs, "after {cut} cuts the state is {theirs:#?}\nnot {ours:#?}");
    }
    Ok(cut)
}

/// The store whose runs are cut off; it shares registry and history with the player's.
struct Other {
    store: Arc<FaultyStore>,
    engine: Engine,
}

impl Other {
    async fn new(home: &Home, player: &Player<'_>) -> Result<Self> {
        let store = Arc::new(FaultyStore::new(home.online(&home.project())?));
        let online = Arc::clone(&store) as Arc<dyn OnlineStore>;
        let engine = home.beside(&player.engine, online).await?;
        Ok(Self { store, engine })
    }

    /// A run that breaks at some call, or is dropped at some point. Whether it did not end by itself.
    async fn cut_off(&self, engine: &Engine, random: &mut Random) -> bool {
        if random.percent(50) {
            let fault = random.pick(&[Fault::Before, Fault::Midway, Fault::After]);
            self.store.break_at(Some((random.below(6) as usize, fault)));
            let outcome = engine.materialize(&[]).await;
            self.store.break_at(None);
            outcome.is_err()
        } else {
            poll_times(engine.materialize(&[]), random.below(40) as usize).await.is_none()
        }
    }

    /// Between a run that was cut off and the next, each key answers as before the run, or as a part of it has it.
    async fn between(&self, player: &Player<'_>, engine: &Engine) -> Result<()> {
        let keys = player.model.questions();
        for (version, set) in SETS.into_iter().enumerate().take(player.versions) {
            let looked_up = lookup(player.history, engine.clone(), set, &keys).await;
            match looked_up {
                Ok(found) => player.compare_on_the_way(version, &found, &keys).context(set)?,
                Err(_) => unavailable(looked_up)?,
            }
        }
        Ok(())
    }
}

/// Polls `future` this many times at most, then drops it.
async fn poll_times<T>(future: impl Future<Output = T>, mut times: usize) -> Option<T> {
    let mut future = pin!(future);
    std::future::poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if times == 0 => Poll::Ready(None),
        Poll::Pending => {
            times -= 1;
            Poll::Pending
        }
    })
    .await
}

/// All that an online store has for the player's keys: by reading, marks and rows in words. How many columns a row was
/// stored with depends on when it was written; those that it lacks are null.
pub(super) async fn state(engine: &Engine, player: &Player<'_>) -> Result<Vec<(Option<Marks>, Vec<String>)>> {
    let catalog = engine.registry().catalog().await?;
    let readings = served_readings(&catalog, &[]);
    let whole = |key: Key| key.into_iter().collect::<Option<Vec<_>>>();
    let keys: Vec<Vec<u8>> =
        player.model.questions().into_iter().filter_map(whole).map(|parts| EntityKey(parts).to_bytes()).collect();
    let groups: Vec<Group<'_>> = readings.iter().map(|served| Group { reading: &served.id, keys: &keys }).collect();
    let mut states = Vec::new();
    for (served, answer) in readings.iter().zip(engine.online()?.read(&groups).await?) {
        let types: Vec<ValueType> = served.table.columns.iter().map(|(_, value_type)| value_type.clone()).collect();
        let rows =
            answer.rows.iter().map(|row| row.as_ref().map_or(Ok("none".to_owned()), |row| in_words(row, &types)));
        states.push((answer.marks, rows.collect::<Result<_>>()?));
    }
    Ok(states)
}

fn in_words(row: &OnlineRow, types: &[ValueType]) -> Result<String> {
    let packed = PackedRow::new(&row.values, types)?;
    let values = (0..types.len()).map(|column| packed.get(column)?.to_value()).collect::<Result<Vec<_>, _>>()?;
    Ok(format!("{:?} deleted: {} {values:?}", row.version, row.deleted))
}
