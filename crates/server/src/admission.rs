//! Who is let in: so many requests at once, so many that wait for their turn; all others are refused at once.
//!
//! A server that takes whatever comes answers everybody too late. What is refused costs next to nothing, and its caller can
//! ask another server while it is still worth it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use hitherto_core::Kind;
use hitherto_proto::Failure;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::Limits;
use crate::account::{Account, Phase};
use crate::answer::Refusal;
use crate::throttle::Throttle;

/// What a limit is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Reads of features.
    Reads,
    /// Rows that are pushed.
    Pushes,
}

impl Work {
    /// The method, as metrics call it.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Reads => "OnlineFeatures/GetFeatures",
            Self::Pushes => "Ingest/Push",
        }
    }

    /// The settings of its limits: at once, and waiting.
    pub(crate) fn settings(self) -> [&'static str; 2] {
        match self {
            Self::Reads => ["server.max_concurrent_requests", "server.max_queued_requests"],
            Self::Pushes => ["server.max_concurrent_pushes", "server.max_queued_pushes"],
        }
    }
}

/// The door before one kind of work.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) work: Work,
    limits: Limits,
    places: Arc<Semaphore>,
    queued: AtomicUsize,
    refused: AtomicU64,
    told: Throttle,
}

/// How full it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) in_flight: usize,
    pub(crate) queued: usize,
    /// Since the start.
    pub(crate) refused: u64,
}

impl Admission {
    pub(crate) fn new(work: Work, limits: Limits) -> Self {
        let limits = Limits { at_once: limits.at_once.clamp(1, Semaphore::MAX_PERMITS), ..limits };
        let (places, told) = (Arc::new(Semaphore::new(limits.at_once)), Throttle::default());
        Self { work, limits, places, queued: AtomicUsize::new(0), refused: AtomicU64::new(0), told }
    }

    /// A place, perhaps after a wait in the order in which they came; whoever is dropped meanwhile waits no longer.
    pub(crate) async fn admit(&self, account: &Account) -> Result<SemaphorePermit<'_>, Refusal> {
        // only where nobody waits: a place that is given back goes to the one who waits longest
        if let Ok(place) = self.places.try_acquire() {
            return Ok(place);
        }
        let waiting = self.queue()?;
        account.enter(Phase::Queue);
        let place = self.places.acquire().await;
        drop(waiting);
        account.enter(Phase::Own);
        place.map_err(|closed| closed_door(&closed))
    }

    /// A place for one who is held back meanwhile, so that it need not be refused however many wait: a message of a stream,
    /// after which no other is read.
    pub(crate) async fn admit_patiently(&self, account: &Account) -> Result<OwnedSemaphorePermit, Refusal> {
        account.enter(Phase::Queue);
        let place = Arc::clone(&self.places).acquire_owned().await;
        account.enter(Phase::Own);
        place.map_err(|closed| closed_door(&closed))
    }

    pub(crate) fn load(&self) -> Load {
        Load {
            in_flight: self.limits.at_once - self.places.available_permits(),
            queued: self.queued.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
        }
    }

    fn queue(&self) -> Result<Waiting<'_>, Refusal> {
        let before = self.queued.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting(&self.queued);
        if before < self.limits.queued {
            return Ok(waiting);
        }
        drop(waiting);
        self.refused.fetch_add(1, Ordering::Relaxed);
        let Limits { at_once, queued } = self.limits;
        let ([of_places, of_queue], method) = (self.work.settings(), self.work.method());
        if let Some(left_out) = self.told.pass() {
            tracing::warn!(method, left_out, "refused: {at_once} are in flight and {queued} wait");
        }
        let message =
            format!("too much at once for {method}: {at_once} are in flight and {queued} wait for their turn");
        let hint =
            format!("try again in a moment or ask another server; {of_places} and {of_queue} set how many are let in");
        Err(Refusal(Failure::new(Kind::Exhausted, message).with_hint(hint)))
    }
}

/// Never so while the server runs.
fn closed_door(closed: &AcquireError) -> Refusal {
    Refusal(Failure::new(Kind::Internal, format!("could not let a request in: {closed}")))
}

/// Somebody who waits; no longer once it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
