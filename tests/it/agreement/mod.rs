//! Online, training sets and the reference rule agree, whatever happens in whatever order.
//!
//! `HITHERTO_SEEDS=17` or `HITHERTO_SEEDS=1000..9000` chooses the histories.

mod compare;
mod faulty;
mod flushed;
mod future;
mod history;
mod home;
mod interrupted;
mod model;
mod play;
mod rows;

use std::ops::Range;

use anyhow::Result;
use futures::{StreamExt, stream};

use self::history::{History, Step};
use self::home::Home;
use self::play::Player;

const HISTORIES: u64 = 1000;
/// Histories at once: some wait for the disk or for Redis while others compute.
const AT_ONCE: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_store_agrees_with_training_sets_and_the_rule() {
    agree(Home::embedded()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_agrees_with_training_sets_and_the_rule() {
    agree(Home::redis()).await;
}

async fn agree(home: Home) {
    let home = std::sync::Arc::new(home);
    let outcomes = stream::iter(seeds(HISTORIES)).map(|seed| {
        let home = std::sync::Arc::clone(&home);
        let played = tokio::spawn(async move { play(&home, &History::random(seed)).await });
        async move { (seed, played.await.expect("a history panicked")) }
    });
    let outcomes: Vec<(u64, Result<usize>)> = outcomes.buffer_unordered(AT_ONCE).collect().await;
    let rows: usize = outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().ok()).sum();
    let failed: Vec<u64> = outcomes.iter().filter(|(_, outcome)| outcome.is_err()).map(|(seed, _)| *seed).collect();
    if let Some(seed) = failed.iter().min() {
        let (least, error) = reduce(&home, History::random(*seed)).await;
        panic!(
            "{} of {} histories disagree; HITHERTO_SEEDS={seed}: {error:?}\nreduced to {least:#?}\nall: {failed:?}",
            failed.len(),
            outcomes.len()
        );
    }
    assert!(rows >= 5 * outcomes.len(), "the histories are empty: {rows} rows");
}

/// Play a history to its end; how many rows it had.
async fn play(home: &Home, history: &History) -> Result<usize> {
    let mut player = Player::begin(home, history).await?;
    player.play().await?;
    player.read_moments().await?;
    Ok(player.model.len())
}

/// The history with every step and row taken away that the failure does not need.
async fn reduce(home: &Home, mut history: History) -> (History, anyhow::Error) {
    let mut error = match play(home, &history).await {
        Ok(_) => anyhow::anyhow!("it passed when played alone"),
        Err(error) => error,
    };
    loop {
        let mut smaller = None;
        for candidate in candidates(&history) {
            if let Err(found) = play(home, &candidate).await {
                smaller = Some((candidate, found));
                break;
            }
        }
        match smaller {
            Some(found) => (history, error) = found,
            None => return (history, error),
        }
    }
}

fn candidates(history: &History) -> Vec<History> {
    let mut candidates = Vec::new();
    for index in 0..history.steps.len() {
        let mut fewer = history.clone();
        let taken = fewer.steps.remove(index);
        candidates.push(fewer);
        if let Step::Ingest { rows, .. } | Step::Push(rows) = taken {
            for row in (0..rows.len()).filter(|_| rows.len() > 1) {
                let mut fewer = history.clone();
                if let Step::Ingest { rows, .. } | Step::Push(rows) = &mut fewer.steps[index] {
                    rows.remove(row);
                }
                candidates.push(fewer);
            }
        }
    }
    candidates
}

/// The histories that were asked for, or the first `count`.
fn seeds(count: u64) -> Range<u64> {
    let Ok(wanted) = std::env::var("HITHERTO_SEEDS") else { return 0..count };
    let number = |text: &str| text.parse().expect("HITHERTO_SEEDS is a number or a range such as 5..9");
    match wanted.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&wanted)..number(&wanted) + 1,
    }
}
