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

/// What messages that wait at the door, or are worked on, may take of memory together: they are read whole before they are let in.
const HELD_BYTES_MAX: usize = 1 << 30;

/// The door before one kind of work.
#[derive(Debug)]
pub(crate) struct Admission {
    pub(crate) work: Work,
    limits: Limits,
    held_max: usize,
    held: AtomicUsize,
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
        let (held_max, held) = (HELD_BYTES_MAX, AtomicUsize::new(0));
        Self { work, limits, held_max, held, places, queued: AtomicUsize::new(0), refused: AtomicU64::new(0), told }
    }

    /// Room for a message of so many bytes, until it is dropped; refused at once where there is none. One alone always has room.
    pub(crate) fn hold(&self, bytes: usize) -> Result<Held<'_>, Refusal> {
        let before = self.held.fetch_add(bytes, Ordering::Relaxed);
        let held = Held { all: &self.held, bytes };
        if before == 0 || before.saturating_add(bytes) <= self.held_max {
            return Ok(held);
        }
        drop(held);
        self.refused.fetch_add(1, Ordering::Relaxed);
        let (method, most) = (self.work.method(), self.held_max >> 20);
        if let Some(left_out) = self.told.pass() {
            tracing::warn!(method, left_out, "refused: messages that were let in take {most} MiB of memory");
        }
        let message =
            format!("too much at once for {method}: messages that were let in take {most} MiB of memory, the most");
        let hint = "try again in a moment, send fewer rows at once, or ask another server";
        Err(Refusal(Failure::new(Kind::Exhausted, message).with_hint(hint)))
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

/// What a message takes of memory, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    all: &'a AtomicUsize,
    bytes: usize,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_room_together_and_one_alone_in_any_case() {
        let door = Admission { held_max: 10 << 20, ..Admission::new(Work::Pushes, Limits::PUSHES) };
        let mib = |count: usize| count << 20;
        let alone = door.hold(mib(20)).expect("nobody else is there");
        assert!(door.hold(mib(1)).is_err());
        drop(alone);
        let first = door.hold(mib(6)).expect("there is room");
        let second = door.hold(mib(4)).expect("it is just full");
        let Refusal(refused) = door.hold(1).expect_err("it is full");
        assert_eq!(refused.kind, Kind::Exhausted);
        assert!(refused.message.contains("take 10 MiB of memory"), "{}", refused.message);
        assert_eq!(door.load().refused, 2);
        drop(second);
        let third = door.hold(mib(4)).expect("there is room again");
        drop((first, third));
        assert_eq!(door.held.load(Ordering::Relaxed), 0);
    }
}
