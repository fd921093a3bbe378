//! Small files of pushes become few, beside the pushes: none of them waits for that.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hitherto_core::Name;
use hitherto_engine::CompactedTable;
use hitherto_offline::Compacted;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::answer::text_of;
use crate::background::stopped;
use crate::shared::Shared;
use crate::throttle::Throttle;

/// How often what was pushed to is looked at.
const COMPACT_INTERVAL: Duration = Duration::from_millis(500);

/// The views that were pushed to since they were looked at last.
#[derive(Debug, Default)]
pub(crate) struct Compactions {
    pushed: Mutex<BTreeSet<Name>>,
    told: Throttle,
}

impl Compactions {
    /// Rows were pushed to `view`.
    pub(crate) fn note(&self, view: &Name) {
        let mut pushed = self.pushed.lock().unwrap_or_else(PoisonError::into_inner);
        if !pushed.contains(view) {
            pushed.insert(view.clone());
        }
    }

    fn take(&self) -> BTreeSet<Name> {
        std::mem::take(&mut *self.pushed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Compacts tables that have `after` small files, where they were pushed to, until told to stop.
pub(crate) async fn compact(shared: Arc<Shared>, after: NonZeroUsize, stopping: watch::Receiver<bool>) {
    let mut ticks = interval(COMPACT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let compacting = async {
        loop {
            ticks.tick().await;
            for view in shared.compactions.take() {
                compact_view(&shared, &view, after).await;
            }
        }
    };
    tokio::select! {
        () = stopped(stopping) => {}
        () = compacting => {}
    }
}

/// The rows are safe, whatever happens here.
async fn compact_view(shared: &Shared, view: &Name, after: NonZeroUsize) {
    match shared.engine().compact_when_due(view, after).await {
        Ok(Some(CompactedTable { outcome: Compacted::Done(done), .. })) => {
            tracing::debug!(%view, files = done.rewritten_files, rows = done.rows, "small files were compacted");
        }
        // another process does it, or it was not yet due
        Ok(_) => {}
        Err(error) => {
            if let Some(left_out) = shared.compactions.told.pass() {
                tracing::warn!(%view, left_out, "its small files could not be compacted: {}", text_of(&error));
            }
            // tried again also where nobody pushes any more
            shared.compactions.note(view);
        }
    }
}
