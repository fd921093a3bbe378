//! Checkpoints: what a process that opens a table reads in the place of the entries before.

use deltalake_core::DeltaTable;
use deltalake_core::checkpoints::create_checkpoint;

use super::History;

/// Commits between checkpoints: what a process that opens the table reads one by one.
const INTERVAL: u64 = 20;
/// The same where commits follow each other many times a second. A checkpoint costs a listing of the log's folder.
const INTERVAL_OF_GROUPS: u64 = 100;

impl History {
    /// Writes a checkpoint, if one is due after the commit that made `version`; nobody waits for the log meanwhile. It only
    /// makes opening faster, so its failure is no failure of the commit.
    pub(crate) async fn checkpoint_when_due(&self, version: u64) {
        self.checkpoint_each(INTERVAL, version).await;
    }

    /// The same after a commit of a group.
    pub(crate) async fn checkpoint_after_group(&self, version: u64) {
        self.checkpoint_each(INTERVAL_OF_GROUPS, version).await;
    }

    async fn checkpoint_each(&self, interval: u64, version: u64) {
        if version == 0 || !version.is_multiple_of(interval) {
            return;
        }
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
            cached.recent.retain(|_, batch| batch.version > version);
            cached.delta = Some(delta);
        }
    }
}
