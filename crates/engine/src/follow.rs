//! The follower: while `serve` runs, the online store is brought up to date again and again.

use std::future::Future;
use std::time::Duration;

use hitherto_online::spans;
use tracing::Instrument;

use crate::generations::{DROPPED_KEYS_PER_S, TENDED};
use crate::{Brought, Engine};

impl Engine {
    /// Materialize every served reading each `interval` until `stopped` completes. `seen` is told of each run's outcome:
    /// where a reading fails no mark of it moves, so the next run does its work. Beside it, what rebuilds leave behind is dropped.
    pub async fn follow(
        &self,
        interval: Duration,
        stopped: impl Future<Output = ()> + Send,
        mut seen: impl FnMut(Brought) + Send,
    ) {
        // it has no end that could be told, and a run each interval would be told
        let engine = self.untold();
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        tokio::pin!(stopped);
        let following = async {
            loop {
                tokio::select! {
                    () = &mut stopped => return,
                    _ = ticks.tick() => {}
                }
                // a run under way ends first: what it wrote is then marked, and need not be written again
                let span = tracing::trace_span!(target: spans::RUN, "follow", otel.status_code = tracing::field::Empty);
                let brought = engine.bring_all().instrument(span.clone()).await;
                if brought.failure.is_some() {
                    span.record("otel.status_code", "ERROR");
                }
                drop(span);
                seen(brought);
            }
        };
        tokio::select! {
            () = following => {}
            never = engine.tend_generations(TENDED, DROPPED_KEYS_PER_S) => match never {},
        }
    }
}
