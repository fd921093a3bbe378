//! Requests to cancel: another connection names one of ours by a number and a secret, and its statement ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pgwire::messages::startup::SecretKey;
use subtle::ConstantTimeEq;
use tokio::sync::Notify;
use uuid::Uuid;

/// Connections by their numbers.
#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<HashMap<i32, Known>>);

#[derive(Debug)]
struct Known {
    secret: Bytes,
    cancelled: Arc<Notify>,
}

/// A connection that can be named, until this is dropped.
#[derive(Debug)]
pub(super) struct Named {
    connections: Arc<Connections>,
    pub(super) number: i32,
    pub(super) secret: SecretKey,
    cancelled: Arc<Notify>,
}

impl Connections {
    /// A number and a secret for another connection.
    pub(super) fn name(connections: &Arc<Self>) -> Named {
        let cancelled = Arc::new(Notify::new());
        let secret = Bytes::copy_from_slice(&random());
        let mut known = connections.known();
        let mut number = number();
        while known.contains_key(&number) {
            number = self::number();
        }
        known.insert(number, Known { secret: secret.clone(), cancelled: Arc::clone(&cancelled) });
        drop(known);
        let secret = SecretKey::I32(i32::from_be_bytes([secret[0], secret[1], secret[2], secret[3]]));
        Named { connections: Arc::clone(connections), number, secret, cancelled }
    }

    /// Ends the statement of the connection that is named, if there is one and the secret is its own. Nobody is told whether.
    pub(super) fn cancel(&self, number: i32, secret: &SecretKey) {
        let shown = secret.to_bytes();
        if let Some(known) = self.known().get(&number)
            && known.secret.ct_eq(&shown).into()
        {
            // a statement that begins later is another
            known.cancelled.notify_waiters();
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<i32, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Named {
    /// Tells whoever waits for it when somebody cancels.
    pub(super) fn cancelled(&self) -> Arc<Notify> {
        Arc::clone(&self.cancelled)
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        self.connections.known().remove(&self.number);
    }
}

/// Random bytes of the operating system's: those of such an id that its version does not fix.
fn random() -> [u8; 4] {
    let id = Uuid::new_v4();
    let [a, b, c, d, ..] = id.into_bytes();
    [a, b, c, d]
}

/// A number as of a process: above 0.
fn number() -> i32 {
    (i32::from_be_bytes(random()) & i32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn only_the_secret_cancels_and_only_what_runs() {
        let connections = Arc::new(Connections::default());
        let [one, other] = [(); 2].map(|()| Connections::name(&connections));
        assert_ne!((one.number, &one.secret), (other.number, &other.secret));
        connections.cancel(one.number, &one.secret);
        let [one_cancelled, other_cancelled] = [&one, &other].map(Named::cancelled);
        let mut waiting = Box::pin(one_cancelled.notified());
        assert!(waiting.as_mut().now_or_never().is_none(), "what came before it counts for nothing");
        connections.cancel(one.number, &other.secret);
        connections.cancel(other.number, &one.secret);
        assert!(waiting.as_mut().now_or_never().is_none());
        connections.cancel(one.number, &one.secret);
        assert!(waiting.as_mut().now_or_never().is_some());
        let mut waiting = Box::pin(other_cancelled.notified());
        assert!(waiting.as_mut().now_or_never().is_none());
        // as whoever speaks the newer protocol sends it
        connections.cancel(other.number, &SecretKey::Bytes(other.secret.to_bytes()));
        assert!(waiting.as_mut().now_or_never().is_some());
        drop((one, other));
        assert!(connections.known().is_empty());
    }
}
