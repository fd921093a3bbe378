//! What comes later leaves the past as it was: rows that become available after every moment of a spine.

use std::sync::Arc;

use anyhow::{Result, ensure};
use bytes::Bytes;
use hitherto_core::Created;
use hitherto_engine::{Destination, EvidenceColumns, Spine, SpineSources, TrainingSetRequest};
use hitherto_offline::OutputLocation;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use super::history::{FeatureRow, History};
use super::home::Home;
use super::play::Player;
use super::seeds;
use crate::support::random::Random;

const HISTORIES: u64 = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_future_leaves_past_training_sets_equal() {
    let home = Home::embedded();
    for seed in seeds(HISTORIES) {
        if let Err(error) = Box::pin(the_future_changes_nothing(&home, seed)).await {
            panic!("HITHERTO_SEEDS={seed}: {error:?}");
        }
    }
}

async fn the_future_changes_nothing(home: &Home, seed: u64) -> Result<()> {
    let history = History::random(seed);
    let mut player = Player::begin(home, &history).await?;
    player.play().await?;
    let moments: Vec<i64> = (history.start - 10..=player.now).collect();
    let spine = history.spine(&player.model.questions(), &moments)?;
    let before = player.training("first", &spine).await?;
    let files: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let location = |name: &str| OutputLocation::object(Arc::clone(&files), Path::from(name), name);
    let rows = Spine::Batches(spine.clone());
    let wanted = TrainingSetRequest {
        evidence: EvidenceColumns::Times,
        ..TrainingSetRequest::new("first".parse()?, rows.clone(), location("first"))
    };
    let first = player.engine.training_set(&wanted, |_| ()).await?;

    let random = &mut Random::new(!seed);
    player.tick(random.between(1, 5));
    for _ in 0..3 {
        let rows = to_come(&player, random);
        let batch = history.batch(&rows, player.features())?;
        let done = player.engine.push(&"v".parse()?, &batch, None, Destination::Offline).await?;
        player.committed(&rows, &done)?;
    }
    ensure!(player.training("first", &spine).await? == before, "later rows changed a training set of the past");
    let again = TrainingSetRequest { out: location("again"), ..wanted.clone() };
    let again = player.engine.training_set(&again, |_| ()).await?;
    ensure!(again.id != first.id, "a dataset's id says what history it saw");
    let out = location("rebuilt");
    let sources = SpineSources { spines: vec![rows], ..SpineSources::default() };
    let rebuilt = player.engine.rebuild_dataset(&first, &sources, out, |_| ()).await?;
    ensure!(rebuilt.is_same(&first), "{rebuilt:?} was {first:?}");
    let rebuilt = rebuilt.dataset;
    ensure!(rebuilt.id == first.id && rebuilt.file_hash == first.file_hash, "{rebuilt:?} was {first:?}");
    ensure!(bytes(&files, "rebuilt").await? == bytes(&files, "first").await?, "rebuilt to other bytes");
    Ok(())
}

/// Rows that no moment up to the clock of the moment before could see, by either of the view's delays.
fn to_come(player: &Player<'_>, random: &mut Random) -> Vec<FeatureRow> {
    let mut rows = player.history.rows(random, 6);
    for row in &mut rows {
        match player.history.created {
            // an old event, known only now
            Created::Column if random.percent(50) => row.created = player.now + random.between(0, 9),
            // committed only now
            Created::IngestedAt => {}
            Created::Absent | Created::Column => {
                row.event = row.event.max(player.now + random.between(0, 9));
            }
        }
    }
    rows
}

async fn bytes(files: &Arc<dyn ObjectStore>, name: &str) -> Result<Bytes> {
    Ok(files.get(&Path::from(name)).await?.bytes().await?)
}
