//! What goes on beside requests: the registry is watched, the online store follows the log.

use std::sync::Arc;
use std::time::Duration;

use hitherto_engine::Materialized;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::answer::text_of;
use crate::shared::Shared;

/// How often the registry's revision is asked for.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);

/// Completes when the server is told to stop.
pub(crate) async fn stopped(mut stopping: watch::Receiver<bool>) {
    // a sender that is gone has stopped, too
    drop(stopping.wait_for(|stop| *stop).await);
}

/// Keeps plans up to date with the registry, until told to stop.
pub(crate) async fn watch_registry(shared: Arc<Shared>, stopping: watch::Receiver<bool>) {
    let mut ticks = interval(REFRESH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watching = async {
        loop {
            ticks.tick().await;
            shared.refresh().await;
            shared.metrics.tidy();
        }
    };
    tokio::select! {
        () = stopped(stopping) => {}
        () = watching => {}
    }
}

/// Keeps the online store up to date with the log, until told to stop.
pub(crate) async fn follow(shared: Arc<Shared>, interval: Duration, stopping: watch::Receiver<bool>) {
    let seen = |outcome: hitherto_engine::Result<Vec<Materialized>>| match outcome {
        Ok(done) => {
            shared.metrics.followed(&done);
            if shared.background().follower_problem.take().is_some() {
                tracing::info!("the follower is at work again");
            }
        }
        Err(error) => {
            shared.metrics.follower_failed();
            let problem = text_of(&error);
            let mut background = shared.background();
            // the same failure each second is said once
            if background.follower_problem.as_ref() != Some(&problem) {
                tracing::warn!("the online store is not followed: {problem}");
            }
            background.follower_problem = Some(problem);
        }
    };
    shared.engine().follow(interval, stopped(stopping), seen).await;
}
