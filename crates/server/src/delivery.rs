//! What is made for a client and waits to be read: a little, and not for ever.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// The end of whoever makes it.
#[derive(Debug)]
pub(crate) struct Delivery<T, E> {
    sender: mpsc::Sender<Result<T, E>>,
    /// Gone when the client is.
    waiting: Weak<Mutex<mpsc::Receiver<Result<T, E>>>>,
    ahead: usize,
}

/// A delivery of which at most `ahead` things wait, and what its client reads.
pub(crate) fn delivery<T, E>(ahead: usize) -> (Delivery<T, E>, BoxStream<'static, Result<T, E>>)
where
    T: Send + 'static,
    E: Send + 'static,
{
    let (sender, receiver) = mpsc::channel(ahead);
    let receiver = Arc::new(Mutex::new(receiver));
    let delivery = Delivery { sender, waiting: Arc::downgrade(&receiver), ahead };
    let read =
        stream::poll_fn(move |context| receiver.lock().unwrap_or_else(PoisonError::into_inner).poll_recv(context));
    (delivery, read.boxed())
}

impl<T, E> Delivery<T, E> {
    /// Completes when the client has left.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// Sends when there is room; whether the client is still there.
    pub(crate) async fn send(&self, thing: T) -> bool {
        self.sender.send(Ok(thing)).await.is_ok()
    }

    /// Sends if there is room.
    pub(crate) fn send_if_room(&self, thing: T) {
        drop(self.sender.try_send(Ok(thing)));
    }

    /// Completes when all that was sent has been read, or the client has left.
    pub(crate) async fn read(&self) {
        drop(self.sender.reserve_many(self.ahead).await);
    }

    /// Ends with `error`. It takes the place of what waits, which is let go: a client that does not read holds no memory.
    pub(crate) fn fail(&self, error: E) {
        let Some(waiting) = self.waiting.upgrade() else { return };
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut unsent = Err(error);
        loop {
            while waiting.try_recv().is_ok() {}
            match self.sender.try_send(unsent) {
                // somebody else has sent meanwhile
                Err(TrySendError::Full(again)) => unsent = again,
                Ok(()) | Err(TrySendError::Closed(_)) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn an_error_takes_the_place_of_what_nobody_has_read() {
        let (delivery, mut read) = delivery::<Arc<u32>, &str>(2);
        let thing = Arc::new(7);
        for _ in 0..2 {
            assert!(delivery.send(Arc::clone(&thing)).await);
        }
        assert!(delivery.send(Arc::clone(&thing)).now_or_never().is_none(), "there is no more room");
        assert!(delivery.read().now_or_never().is_none(), "nobody has read");
        delivery.fail("too late");
        assert_eq!(Arc::strong_count(&thing), 1, "what waited is let go");
        drop(delivery);
        assert_eq!(read.next().await, Some(Err("too late")));
        assert_eq!(read.next().await, None);
    }

    #[tokio::test]
    async fn a_delivery_is_over_when_all_is_read_or_the_client_has_left() {
        let (delivery, mut read) = delivery::<u32, &str>(2);
        assert!(delivery.send(1).await);
        assert_eq!(read.next().await, Some(Ok(1)));
        delivery.read().await;
        assert!(delivery.send(2).await);
        drop(read);
        delivery.read().await;
        delivery.closed().await;
        assert!(!delivery.send(3).await);
        delivery.fail("nobody is told");
    }
}
