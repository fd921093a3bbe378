//! Checkpoints: what a process that opens a table reads in the place of the entries before.

use std::sync::PoisonError;
use std::time::Duration;

use deltalake_core::DeltaTable;
use deltalake_core::checkpoints::create_checkpoint;
use tokio::time::Instant;

use super::History;

/// Commits between checkpoints: what a process that opens the table reads one by one.
const INTERVAL: u64 = 20;
/// The same where commits follow each other many times a second, at least and at most. In between, how long the last one took
/// decides: it holds every file that was removed lately, which are many where many were small.
const INTERVAL_OF_GROUPS: (u64, u64) = (100, 500);
/// Where a checkpoint takes long, there may be so many more commits between two: a hundred a second for twenty times as long.
const MORE_PER_SECOND: u64 = 2_000;
/// No more than this in any case: whoever opens the table asks for them by their names.
const INTERVAL_MAX: u64 = 4_000;
/// Of the time at most one part in so many goes into checkpoints of groups.
const SHARE: u32 = 20;

/// The last checkpoint that this process has written after a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    version: u64,
    took: Duration,
    at: Instant,
}

impl History {
    /// Writes a checkpoint, if one is due after the commit that made `version`; nobody waits for the log meanwhile. It only
    /// makes opening faster, so its failure is no failure of the commit.
    pub(crate) async fn checkpoint_when_due(&self, version: u64) {
        if version > 0 && version.is_multiple_of(INTERVAL) {
            self.checkpoint().await;
        }
    }

    /// The same after a commit of a group.
    pub(crate) async fn checkpoint_after_group(&self, version: u64) {
        let last = *self.checkpointed.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        if !is_due(last, version, began) {
            return;
        }
        self.checkpoint().await;
        let written = Written { version, took: began.elapsed(), at: Instant::now() };
        *self.checkpointed.lock().unwrap_or_else(PoisonError::into_inner) = Some(written);
    }

    async fn checkpoint(&self) {
        let Some(mut delta) = self.cached.lock().await.delta.clone() else { return };
        let done = match delta.update_incremental(None).await {
            Ok(()) => create_checkpoint(&delta, None).await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => self.lean_on(delta).await,
            Err(error) => {
                tracing::warn!(table = %self.table.id, %error, "could not write a checkpoint of the table's log");
            }
        }
    }

    /// From now on the library is asked of the log as it stands here, and fewer entries need be remembered beside it.
    async fn lean_on(&self, delta: DeltaTable) {
        let mut cached = self.cached.lock().await;
        let version = delta.version();
        let is_newer = cached.delta.as_ref().is_some_and(|known| known.version() < version);
        let is_past = cached.snapshot.as_ref().is_some_and(|known| version <= known.version);
        if let (true, true, Some(version)) = (is_newer, is_past, version) {
            cached.keep_recent();
            cached.recent.retain(|_, batch| batch.version > version);
            cached.delta = Some(delta);
        }
    }
}

/// Whether a checkpoint is due after a group's commit that made `version`. A process that has written none does so where all of
/// them would, so that those which come and go do not leave it undone.
fn is_due(last: Option<Written>, version: u64, now: Instant) -> bool {
    let (least, most) = INTERVAL_OF_GROUPS;
    let Some(Written { version: before, took, at }) = last else {
        return version > 0 && version.is_multiple_of(least);
    };
    let commits = version.saturating_sub(before);
    let by_time = took.as_millis().min(u128::from(INTERVAL_MAX)) as u64 * MORE_PER_SECOND / 1_000;
    let most = by_time.clamp(most, INTERVAL_MAX);
    let is_rested = now.saturating_duration_since(at) >= took.saturating_mul(SHARE);
    commits >= most || (commits >= least && is_rested)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_of_groups_take_a_small_part_of_the_time() {
        let at = Instant::now();
        let last = Some(Written { version: 500, took: Duration::from_millis(200), at });
        let is_due = |version, seconds| is_due(last, version, at + Duration::from_secs(seconds));
        assert_eq!([is_due(599, 60), is_due(600, 3), is_due(600, 4)], [false, false, true]);
        assert_eq!(
            [is_due(999, 3), is_due(1_000, 3)],
            [false, true],
            "whoever opens the table reads no more than that"
        );
        // one that takes long has more time, and not for ever
        let slow = |seconds| Some(Written { version: 0, took: Duration::from_secs(seconds), at });
        let at_once = |seconds, version| super::is_due(slow(seconds), version, at);
        assert_eq!([at_once(1, 1_999), at_once(1, 2_000)], [false, true]);
        assert_eq!([at_once(60, 3_999), at_once(60, 4_000)], [false, true]);
        let first = |version| super::is_due(None, version, at);
        assert_eq!([first(0), first(100), first(150), first(1_200)], [false, true, false, true]);
    }
}
