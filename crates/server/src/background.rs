//! What goes on beside requests: the registry is watched, the online store follows the log.

use std::sync::Arc;
use std::time::Duration;

use hitherto_engine::Brought;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::answer::text_of;
use crate::shared::Shared;
use crate::tls::Tls;

/// How often the registry's revision is asked for.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// How often the files of TLS are read.
const CERTIFICATE_INTERVAL: Duration = Duration::from_mins(1);
/// How often it is asked whether what erasures left may go.
const PURGE_INTERVAL: Duration = Duration::from_mins(1);

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

/// Keeps tokens up to date with the registry, until told to stop. Beside plans, which may take long to be read: a token that was
/// revoked must not wait for them.
pub(crate) async fn watch_tokens(shared: Arc<Shared>, stopping: watch::Receiver<bool>) {
    let mut ticks = interval(REFRESH_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watching = async {
        loop {
            ticks.tick().await;
            shared.refresh_tokens().await;
        }
    };
    tokio::select! {
        () = stopped(stopping) => {}
        () = watching => {}
    }
}

/// Deletes what still holds erased rows when its time has come, until told to stop.
pub(crate) async fn purge(shared: Arc<Shared>, stopping: watch::Receiver<bool>) {
    let mut ticks = interval(PURGE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let purging = async {
        loop {
            ticks.tick().await;
            match shared.engine().purge(&[]).await {
                Ok(tables) => {
                    for erasure in tables.iter().flat_map(|table| &table.erasures) {
                        tracing::info!(erasure, "the last files that held erased rows are gone");
                    }
                }
                Err(error) => tracing::warn!("what still holds erased rows stays for now: {}", text_of(&error)),
            }
        }
    };
    tokio::select! {
        () = stopped(stopping) => {}
        () = purging => {}
    }
}

/// Takes over a new certificate when its files have changed, until told to stop. Where that fails, the last stays in use.
pub(crate) async fn watch_certificate(tls: Arc<Tls>, stopping: watch::Receiver<bool>) {
    let mut ticks = interval(CERTIFICATE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watching = async {
        loop {
            ticks.tick().await;
            match tls.reload().await {
                Ok(true) => tracing::info!("new connections get the new certificate"),
                Ok(false) => {}
                Err(error) => tracing::warn!("the certificate stays as it is: {error}"),
            }
        }
    };
    tokio::select! {
        () = stopped(stopping) => {}
        () = watching => {}
    }
}

/// Keeps the online store up to date with the log, until told to stop.
pub(crate) async fn follow(shared: Arc<Shared>, interval: Duration, stopping: watch::Receiver<bool>) {
    let seen = |brought: Brought| {
        shared.metrics.followed(&brought);
        let Brought { done, failure, is_cut_short } = brought;
        let problem = failure.map(|error| text_of(&error));
        let mut background = shared.background();
        // one table that cannot be read has held none of the others back
        background.has_followed |= !is_cut_short;
        for done in &done {
            background.see(&done.reading, done.marks);
        }
        // of those that failed nothing is known
        let rebuilding = done.iter().filter(|done| done.beside.is_some());
        background.rebuilding = rebuilding.map(|done| done.view.clone()).collect();
        match (&background.follower_problem, &problem) {
            (Some(_), None) => tracing::info!("the follower is at work again"),
            // the same failure each second is said once
            (before, Some(problem)) if before.as_ref() != Some(problem) => {
                tracing::warn!("the online store is not followed: {problem}");
            }
            _ => {}
        }
        background.follower_problem = problem;
    };
    shared.engine().follow(interval, stopped(stopping), seen).await;
}
