//! What nobody needs any more is deleted, beside requests, one table after the other.

use std::sync::Arc;
use std::time::Duration;

use hitherto_engine::{KeptUp, Retention};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::answer::text_of;
use crate::background::stopped;
use crate::shared::Shared;

/// How long after the start at the latest it is done for the first time: a server that is often restarted does it, too.
const FIRST_AFTER: Duration = Duration::from_mins(1);

/// How often, and what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upkeep {
    /// How often it is looked for what nobody needs.
    pub every: Duration,
    /// How long it is kept all the same.
    pub retention: Retention,
}

/// Keeps tables free of what nobody needs, until told to stop.
pub(crate) async fn keep_up(shared: Arc<Shared>, upkeep: Upkeep, stopping: watch::Receiver<bool>) {
    let Upkeep { every, retention } = upkeep;
    let mut ticks = interval_at(Instant::now() + every.min(FIRST_AFTER), every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let keeping = async {
        loop {
            ticks.tick().await;
            match shared.engine().keep_up(retention, every).await {
                Ok(tables) => tables.iter().for_each(|table| tell(&shared, table)),
                Err(error) => tracing::warn!("what nobody needs any more stays for now: {}", text_of(&error)),
            }
        }
    };
    tokio::select! {
        () = stopped(stopping) => {}
        () = keeping => {}
    }
}

fn tell(shared: &Shared, table: &KeptUp) {
    match &table.outcome {
        Ok((vacuumed, shortened)) => {
            shared.metrics.kept_up(&table.view, vacuumed.deleted_files, *shortened);
            let (files, log_files) = (vacuumed.deleted_files, *shortened);
            if files + log_files > 0 {
                tracing::info!(table = table.table, files, log_files, "what nobody needed any more is gone");
            }
        }
        Err(error) => {
            tracing::warn!(table = table.table, "what nobody needs any more stays for now: {}", text_of(error));
        }
    }
}
