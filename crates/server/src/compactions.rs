//! Small files of pushes become few, beside the pushes: none of them waits for that.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hitherto_core::Name;
use hitherto_engine::CompactedTable;
use hitherto_offline::Compacted;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::answer::text_of;
use crate::background::stopped;
use crate::shared::Shared;
use crate::throttle::Throttle;

/// How often what was pushed to is looked at.
const COMPACT_INTERVAL: Duration = Duration::from_millis(500);

/// How often it is looked for what takes longer.
const REST_INTERVAL: Duration = Duration::from_secs(2);

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
        loop {
            ticks.tick().await;
            for view in Compactions::take(&shared.compactions.grown) {
                let outcome = shared.engine().compact_rest_when_due(&view, after).await;
                if is_to_be_tried_again(&shared, &view, outcome) {
                    Compactions::add(&shared.compactions.grown, &view);
                }
            }
        }
    };
    apart(compacting, stopping).await;
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
