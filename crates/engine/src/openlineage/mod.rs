//! What runs did, told as OpenLineage events to whoever was named for it.
//!
//! A run is told when it has ended: a START with the moment at which it began, then a COMPLETE or a FAIL. What was begun and
//! interrupted leaves no event, so none waits for its end. Pushes and the follower of a server are not told: they are no runs
//! with an end.

mod columns;
mod event;
mod ingest;
mod materialize;
mod place;
mod training_set;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hitherto_core::Timestamp;
use uuid::Uuid;

pub use event::RunEvent;

use self::event::{Told, events};
use crate::{Engine, Error};

/// How long a run that is done waits for its events to be taken.
const DELIVERY_MAX: Duration = Duration::from_secs(10);

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

    /// Tell of a run that has ended. What cannot be delivered is said in the log of the process: the run is done, and its outcome
    /// stays as it is.
    async fn tell(&self, run: Run, told: Told) {
        let Some(sink) = self.events() else { return };
        let job = told.job.clone();
        let ended = self.clock().now();
        let events = events(self.project(), &run, ended, told);
        let failed = match tokio::time::timeout(DELIVERY_MAX, sink.deliver(&events)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it did not answer within {DELIVERY_MAX:?}"),
        };
        tracing::warn!(
            "the lineage events of {job} could not be delivered to {}: {failed}; the run itself is as it is reported",
            sink.describe()
        );
    }

    /// The same stores, and nobody to tell of runs.
    pub(crate) fn untold(&self) -> Self {
        self.clone().with_events(None)
    }
}

/// What a failure says in an event: every cause once.
fn text_of(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        let said = source.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = source.source();
    }
    text
}

/// The sink as an engine holds it.
pub(crate) type Events = Option<Arc<dyn EventSink>>;
