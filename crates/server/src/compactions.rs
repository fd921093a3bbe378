//! Small files of pushes become few, beside the pushes: none of them waits for that.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hitherto_core::Name;
use hitherto_engine::CompactedTable;
use hitherto_offline::Compacted;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::answer::text_of;
use crate::background::stopped;
use crate::shared::Shared;
use crate::throttle::Throttle;

/// How often what was pushed to is looked at.
const COMPACT_INTERVAL: Duration = Duration::from_millis(500);

/// How often it is looked for what takes longer.
const REST_INTERVAL: Duration = Duration::from_secs(2);

/// For how long the rest is left to another server that was faster, at first and at most.
const LEFT_TO_ANOTHER: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(5));

/// The views that were pushed to since they were looked at last.
#[derive(Debug, Default)]
pub(crate) struct Compactions {
    pushed: Mutex<BTreeSet<Name>>,
    /// Those whose table may have more small files and runs than are quick to compact.
    grown: Mutex<BTreeSet<Name>>,
    told: Throttle,
}

impl Compactions {
    /// Rows were pushed to `view`.
    pub(crate) fn note(&self, view: &Name) {
        Self::add(&self.pushed, view);
    }

    fn add(views: &Mutex<BTreeSet<Name>>, view: &Name) {
        let mut views = views.lock().unwrap_or_else(PoisonError::into_inner);
        if !views.contains(view) {
            views.insert(view.clone());
        }
    }

    fn take(views: &Mutex<BTreeSet<Name>>) -> BTreeSet<Name> {
        std::mem::take(&mut *views.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Compacts tables that have `after` small files, where they were pushed to, until told to stop: what is quick, at once, so that
/// pushes that go on meanwhile add few files.
pub(crate) async fn compact_quickly(shared: Arc<Shared>, after: NonZeroUsize, stopping: watch::Receiver<bool>) {
    let compacting = async move {
        let mut ticks = ticks(COMPACT_INTERVAL);
        loop {
            ticks.tick().await;
            for view in Compactions::take(&shared.compactions.pushed) {
                let outcome = shared.engine().compact_quickly_when_due(&view, after).await;
                if is_to_be_tried_again(&shared, &view, outcome) {
                    Compactions::add(&shared.compactions.pushed, &view);
                }
                // whatever has become of it, there may be more than is quick
                Compactions::add(&shared.compactions.grown, &view);
            }
        }
    };
    apart(compacting, stopping).await;
}

/// The rest, beside that, one table at a time.
pub(crate) async fn compact_rest(shared: Arc<Shared>, after: NonZeroUsize, stopping: watch::Receiver<bool>) {
    let compacting = async move {
        let mut ticks = ticks(REST_INTERVAL);
        let mut elsewhere = Elsewhere::default();
        loop {
            ticks.tick().await;
            for view in Compactions::take(&shared.compactions.grown) {
                if elsewhere.is_at_work(&view, Instant::now()) {
                    Compactions::add(&shared.compactions.grown, &view);
                    continue;
                }
                let outcome = shared.engine().compact_rest_when_due(&view, after).await;
                elsewhere.note(&view, is_overtaken(&outcome), Instant::now());
                if is_to_be_tried_again(&shared, &view, outcome) {
                    Compactions::add(&shared.compactions.grown, &view);
                }
            }
        }
    };
    apart(compacting, stopping).await;
}

fn is_overtaken(outcome: &hitherto_engine::Result<Option<CompactedTable>>) -> bool {
    matches!(outcome, Ok(Some(CompactedTable { outcome: Compacted::Overtaken, .. })))
}

/// Views whose rest another server has compacted before this one was done: seconds of work for nothing. It is left to that one
/// for a while, and for twice as long each time.
#[derive(Debug, Default)]
struct Elsewhere(HashMap<Name, (Instant, Duration)>);

impl Elsewhere {
    fn is_at_work(&self, view: &Name, now: Instant) -> bool {
        self.0.get(view).is_some_and(|(until, _)| now < *until)
    }

    fn note(&mut self, view: &Name, is_overtaken: bool, now: Instant) {
        if is_overtaken {
            let before = self.0.get(view).map(|(_, time)| time.saturating_mul(2));
            let time = before.unwrap_or(LEFT_TO_ANOTHER.0).min(LEFT_TO_ANOTHER.1);
            self.0.insert(view.clone(), (now + time, time));
        } else {
            self.0.remove(view);
        }
    }
}

/// Works on a thread of its own until told to stop: sorting keeps a thread busy for long, and those that requests are answered by
/// are few.
async fn apart(work: impl Future<Output = ()> + Send + 'static, stopping: watch::Receiver<bool>) {
    let runtime = Handle::current();
    let working = spawn_blocking(move || {
        runtime.block_on(async {
            tokio::select! {
                () = stopped(stopping) => {}
                () = work => {}
            }
        });
    });
    if let Err(error) = working.await {
        tracing::error!("small files are compacted no longer: {error}");
    }
}

fn ticks(every: Duration) -> Interval {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Tells what has become of a compaction. The rows are safe, whatever it was; what failed is tried again also where nobody
/// pushes any more.
fn is_to_be_tried_again(
    shared: &Shared,
    view: &Name,
    outcome: hitherto_engine::Result<Option<CompactedTable>>,
) -> bool {
    match outcome {
        Ok(Some(CompactedTable { outcome: Compacted::Done(done), .. })) => {
            tracing::debug!(%view, files = done.rewritten_files, rows = done.rows, "small files were compacted");
            false
        }
        // another process does it, or it was not yet due
        Ok(_) => false,
        Err(error) => {
            if let Some(left_out) = shared.compactions.told.pass() {
                tracing::warn!(%view, left_out, "its small files could not be compacted: {}", text_of(&error));
            }
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_was_overtaken_leaves_the_rest_to_another_for_longer_each_time() {
        let (view, start) = ("weather".parse::<Name>().expect("a name"), Instant::now());
        let mut elsewhere = Elsewhere::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!elsewhere.is_at_work(&view, start));
        elsewhere.note(&view, true, start);
        assert_eq!([9, 10].map(|seconds| elsewhere.is_at_work(&view, at(seconds))), [true, false]);
        elsewhere.note(&view, true, at(10));
        assert_eq!([29, 30].map(|seconds| elsewhere.is_at_work(&view, at(seconds))), [true, false]);
        for _ in 0..10 {
            elsewhere.note(&view, true, at(30));
        }
        assert_eq!([329, 330].map(|seconds| elsewhere.is_at_work(&view, at(seconds))), [true, false]);
        elsewhere.note(&view, false, at(330));
        elsewhere.note(&view, true, at(330));
        assert!(!elsewhere.is_at_work(&view, at(340)), "from the beginning");
    }
}
