//! What runs did, told as OpenLineage events to whoever was named for it.
//!
//! A run is told when it has ended: a START with the moment at which it began, then a COMPLETE or a FAIL. What was begun and
//! interrupted leaves no event, so none waits for its end. Pushes and the follower of a server are not told: they are no runs
//! with an end.

mod columns;
mod event;
mod failure;
mod ingest;
mod materialize;
mod place;
mod training_set;

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hitherto_core::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

pub use event::RunEvent;

use self::event::{Told, events};
use crate::Engine;

/// How long runs that are done wait for their events to be taken.
const DELIVERY_MAX: Duration = Duration::from_secs(10);
/// How long nothing is sent after a delivery that failed: who does not answer makes one run wait, and not each.
const MUTED: Duration = Duration::from_mins(1);
/// Until then nothing is sent. Of the process, which tells one sink.
static MUTED_UNTIL: Mutex<Option<Instant>> = Mutex::new(None);

/// Where events go.
#[async_trait]
pub trait EventSink: Debug + Send + Sync {
    /// Takes events, in their order. A failure is for the log: the run that they tell of has ended.
    async fn deliver(&self, events: &[RunEvent]) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

    /// Where they go, for people, without secrets.
    fn describe(&self) -> String;
}

/// A run that has begun and is to be told.
#[derive(Debug)]
pub(crate) struct Run {
    id: Uuid,
    begun: Timestamp,
}

impl Engine {
    /// A run, if there is somebody to tell of it.
    pub(crate) fn begin_run(&self) -> Option<Run> {
        self.events().map(|_| Run { id: Uuid::new_v4(), begun: self.clock().now() })
    }

    /// Tell of a run that has ended.
    async fn tell(&self, run: &Run, told: Told) {
        self.deliver(&self.ended(run, told)).await;
    }

    /// The events of a run that has ended just now.
    fn ended(&self, run: &Run, told: Told) -> Vec<RunEvent> {
        events(self.project(), run, self.clock().now(), told)
    }

    /// Send the events of runs that have ended. What cannot be delivered is said in the log of the process: the runs are done, and
    /// their outcome stays as it is.
    pub(crate) async fn deliver(&self, events: &[RunEvent]) {
        let Some(sink) = self.events().filter(|_| !events.is_empty()) else { return };
        let (jobs, place) = (jobs(events), sink.describe());
        if is_muted() {
            tracing::warn!("the lineage events of {jobs} are not sent to {place}, where a delivery failed just now");
            return;
        }
        let failed = match tokio::time::timeout(DELIVERY_MAX, sink.deliver(events)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it did not answer within {DELIVERY_MAX:?}"),
        };
        *MUTED_UNTIL.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + MUTED);
        tracing::warn!(
            "the lineage events of {jobs} could not be delivered to {place}: {failed}; the run itself is as it is reported"
        );
    }

    /// The same stores, and nobody to tell of runs.
    pub(crate) fn untold(&self) -> Self {
        self.clone().with_events(None)
    }
}

fn is_muted() -> bool {
    let until = *MUTED_UNTIL.lock().unwrap_or_else(PoisonError::into_inner);
    until.is_some_and(|until| Instant::now() < until)
}

/// The jobs that events tell of, for people.
fn jobs(events: &[RunEvent]) -> String {
    let mut names: Vec<&str> = events.iter().map(RunEvent::job_name).collect();
    names.dedup();
    match names.as_slice() {
        [first, _, ..] => format!("{first} and {} more", names.len() - 1),
        names => names.concat(),
    }
}

/// The sink as an engine holds it.
pub(crate) type Events = Option<Arc<dyn EventSink>>;
