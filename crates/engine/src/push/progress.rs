//! How far a push has come, for whoever gives up on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// What has become of pushed rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushStage {
    /// They wait. If the push is dropped now, nothing of them is ever written.
    Waiting,
    /// They are being committed: whether they are kept is not known.
    Committing,
    /// They are in history.
    Kept,
}

/// How far one push has come; clones watch the same. Of a push that was dropped it tells for good.
#[derive(Clone, Debug, Default)]
pub struct PushProgress(Arc<AtomicU8>);

impl PushProgress {
    /// How far it is.
    pub fn stage(&self) -> PushStage {
        match self.0.load(Ordering::Acquire) {
            0 => PushStage::Waiting,
            1 => PushStage::Committing,
            _ => PushStage::Kept,
        }
    }

    pub(super) fn enter(&self, stage: PushStage) {
        self.0.store(stage as u8, Ordering::Release);
    }
}
