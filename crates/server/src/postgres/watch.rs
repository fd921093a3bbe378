//! What ends a statement before it is done: somebody cancels it, its time is over, its client has left.

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use super::failure::{Stop, state};
use super::wire::Socket;

/// How often it is looked whether the client is still there, while it waits for an answer.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Watches over one statement.
pub(super) struct Watch {
    pub(super) cancelled: Arc<Notify>,
    pub(super) socket: Socket,
    /// How long it may take; none for as long as the server lets it.
    pub(super) timeout: Option<Duration>,
}

impl Watch {
    /// Does `work`, and drops it where it stands when it must not go on: what it holds goes with it.
    pub(super) async fn over<T: Send>(&self, work: impl Future<Output = Result<T, Stop>> + Send) -> Result<T, Stop> {
        let cancelled = self.cancelled.notified();
        tokio::select! {
            biased;
            () = cancelled => Err(Stop::refused(state::CANCELED, "the statement was cancelled, as its user asked")),
            stop = self.too_long() => Err(stop),
            () = self.left() => Err(Stop::Gone),
            done = work => done,
        }
    }

    async fn too_long(&self) -> Stop {
        let Some(timeout) = self.timeout else { return pending().await };
        tokio::time::sleep(timeout).await;
        let message = format!(
            "the statement took longer than {timeout:?}, which is its connection's statement_timeout: ask for less, or raise it"
        );
        Stop::refused(state::CANCELED, message)
    }

    async fn left(&self) {
        let mut looks = interval(LOOK_INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            if self.socket.is_left() {
                return;
            }
        }
    }
}
