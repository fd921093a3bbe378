//! Queries take turns: while one makes rows, it has one of a few places, and what features are served by has the others.

use std::sync::Arc;

use hitherto_core::Kind;
use hitherto_proto::Failure;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::answer::Refusal;

/// Queries that are planned, run, or wait for their turn or their client.
const OPEN_MAX: usize = 256;
/// On the smallest machine, too, a short query need not wait for one long.
const AT_ONCE_MIN: usize = 4;

/// The places of queries, and the queue before them.
#[derive(Debug)]
pub(crate) struct Turns {
    /// Never closed, so that waiting cannot fail.
    places: Arc<Semaphore>,
    open: Semaphore,
}

impl Turns {
    /// So many at once; twice as many as the machine has cores, if nothing is said.
    pub(crate) fn new(at_once: Option<usize>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let at_once = at_once.unwrap_or_else(|| (2 * cores).max(AT_ONCE_MIN));
        Self { places: Arc::new(Semaphore::new(at_once)), open: Semaphore::new(OPEN_MAX) }
    }

    /// Lets a query in; refused where too many are there already.
    pub(crate) fn open(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        self.open.try_acquire().map_err(|_| {
            let message = format!(
                "{OPEN_MAX} queries are under way already, which is the most: try again later, and fetch or close results \
                 that nobody reads"
            );
            Refusal(Failure::new(Kind::Exhausted, message))
        })
    }

    /// A place, in the order in which they are asked for. One that waits for its client gives its place back.
    pub(crate) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_has_no_place_waits_and_who_finds_too_many_is_refused() {
        let turns = Turns::new(Some(1));
        let first = turns.turn().await;
        assert!(turns.turn().now_or_never().is_none(), "there is one place");
        drop(first);
        assert!(turns.turn().now_or_never().flatten().is_some());
        let open: Vec<_> = (0..OPEN_MAX).map(|_| turns.open().expect("room")).collect();
        let Refusal(failure) = turns.open().expect_err("it is full");
        assert_eq!(failure.kind, Kind::Exhausted);
        assert!(failure.message.starts_with("256 queries are under way already"), "{}", failure.message);
        drop(open);
        assert!(turns.open().is_ok());
    }
}
