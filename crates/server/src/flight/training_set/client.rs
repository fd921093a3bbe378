//! Who is answered: a few messages wait for it, and when it has left, what is done for it stops.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_flight::FlightData;
use futures::FutureExt;
use futures::stream::BoxStream;
use hitherto_core::Kind;
use hitherto_proto::Failure;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tonic::Status;
use tracing::Instrument;

use crate::answer::{Refusal, answer};
use crate::delivery::{Delivery, delivery};
use crate::shared::Shared;

/// What a client reads.
pub(crate) type Answers = BoxStream<'static, Result<FlightData, Status>>;

/// Messages of about 2 MiB that may wait for a slow client.
const MESSAGES_AHEAD: usize = 4;
/// A client that reads nothing for so long is given up.
const READ_MAX: Duration = Duration::from_mins(10);
/// How often a client is told how far its training set is.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// The client of one call.
#[derive(Clone, Debug)]
pub(super) struct Client(Arc<Delivery<FlightData, Status>>);

impl Client {
    fn new() -> (Self, Answers) {
        let (delivery, answers) = delivery(MESSAGES_AHEAD);
        (Self(Arc::new(delivery)), answers)
    }

    /// Sends a message when there is room for it.
    pub(super) async fn send(&self, message: FlightData) -> Result<(), Refusal> {
        match timeout(READ_MAX, self.0.send(message)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Refusal(Failure::new(Kind::Unavailable, "the client has left"))),
            Err(_) => Err(unread()),
        }
    }

    /// Sends a message of nothing but metadata.
    pub(super) async fn send_metadata(&self, metadata: &Value) -> Result<(), Refusal> {
        self.send(of_metadata(metadata)).await
    }
}

/// Does for a client what `work` does, on threads of its own, and stops when the client has left. What fails is the last that
/// the client reads.
pub(super) fn answered<W>(shared: &Arc<Shared>, method: &'static str, work: impl FnOnce(Client) -> W) -> Answers
where
    W: Future<Output = Result<(), Refusal>> + Send + 'static,
{
    let (client, answers) = Client::new();
    let work = AssertUnwindSafe(work(client.clone())).catch_unwind();
    let own = Arc::clone(shared);
    let task = async move {
        // an answer that only stopped would pass for a whole one
        let work = async { work.await.unwrap_or_else(|_| Err(internal("a part of the server died"))) };
        tokio::select! {
            // first, so that what could not be sent for this reason counts as cancelled
            biased;
            () = client.0.closed() => {}
            outcome = answer(&own.metrics, method, work) => {
                let outcome = match outcome {
                    Ok(_) => timeout(READ_MAX, client.0.read()).await.map_err(|_| Status::from(unread())),
                    Err(status) => Err(status),
                };
                if let Err(status) = outcome {
                    client.0.fail(status);
                }
            }
        }
    };
    // rows are decoded and encoded there, and those who read features do not wait for it
    drop(shared.threads.spawn(task.in_current_span()));
    answers
}

/// Tells a client how far its training set is, if it has asked for that.
#[derive(Debug)]
pub(super) struct Teller {
    client: Option<Client>,
    last: Mutex<Option<Instant>>,
}

impl Teller {
    /// Tells `client`; nobody, if there is none.
    pub(super) fn new(client: Option<Client>) -> Self {
        Self { client, last: Mutex::default() }
    }

    /// Tells that `rows` of `total` are done. Not each time, and not a client that is slow to read.
    pub(super) fn tell(&self, phase: &str, rows: u64, total: Option<u64>) {
        let Some(client) = &self.client else { return };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if last.is_none_or(|last| now.duration_since(last) >= TELL_EVERY) {
            *last = Some(now);
            let progress = json!({"progress": {"phase": phase, "rows": rows, "total": total}});
            // what has no room would be stale by the time that there is some
            client.0.send_if_room(of_metadata(&progress));
        }
    }
}

/// Why a client that has not left is given up.
fn unread() -> Refusal {
    let message = format!("the client has read nothing for {} s: read the answer as it comes", READ_MAX.as_secs());
    Refusal(Failure::new(Kind::Exhausted, message))
}

/// A failure that is a fault of ours.
pub(super) fn internal(message: impl Into<String>) -> Refusal {
    Refusal(Failure::new(Kind::Internal, message))
}

fn of_metadata(metadata: &Value) -> FlightData {
    FlightData::new().with_app_metadata(metadata.to_string())
}
