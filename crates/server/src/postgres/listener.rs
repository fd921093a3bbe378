//! Connections: so many at once, strangers apart from those who are known.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::cancel::Connections;
use super::failure::{Stop, Told, state};
use super::session::{Session, farewell};
use super::startup::{Arrived, arrive};
use crate::Result;
use crate::auth::Reason;
use crate::background::stopped;
use crate::shared::Shared;
use crate::slots::{Slot, Slots};
use crate::tls::Tls;

/// Connections of clients that are known.
const CONNECTIONS_MAX: usize = 100;
/// Connections of strangers, all together and of one machine: further ones are closed at once.
const STRANGERS_MAX: usize = 128;
const STRANGERS_EACH: usize = 32;
/// Until then a stranger has said who it is.
const STARTUP_MAX: Duration = Duration::from_secs(15);
/// How long nothing is accepted after a failure that trying at once would not mend, such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// What all connections share.
struct Doors {
    shared: Arc<Shared>,
    tls: Option<Arc<Tls>>,
    connections: Arc<Connections>,
    known: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    slots: Slots,
    stopping: watch::Receiver<bool>,
}

/// Serves until told to stop; statements that run then finish.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    shared: Arc<Shared>,
    stopping: watch::Receiver<bool>,
) -> Result<()> {
    let doors = Arc::new(Doors {
        shared,
        tls,
        connections: Arc::default(),
        known: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
        slots: Slots::new(STRANGERS_EACH),
        stopping: stopping.clone(),
    });
    let mut conversations = JoinSet::new();
    let mut stop = std::pin::pin!(stopped(stopping));
    loop {
        tokio::select! {
            () = &mut stop => break,
            // those that are over are forgotten; one that died of a fault has said so
            Some(_) = conversations.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => doors.open(stream, peer, &mut conversations),
                Err(error) => {
                    tracing::debug!("could not accept a connection: {error}");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while conversations.join_next().await.is_some() {}
    Ok(())
}

impl Doors {
    fn open(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr, conversations: &mut JoinSet<()>) {
        let places = Arc::clone(&self.strangers).try_acquire_owned().ok().zip(self.slots.take(peer.ip()));
        let Some(places) = places else {
            self.shared.metrics.refused(Reason::Handshake);
            tracing::debug!(%peer, "no connection of PostgreSQL's wire: too many strangers are there");
            return;
        };
        let doors = Arc::clone(self);
        conversations.spawn(async move { doors.converse(stream, peer, places).await });
    }

    async fn converse(&self, stream: TcpStream, peer: SocketAddr, places: (OwnedSemaphorePermit, Slot)) {
        let begun = tokio::select! {
            begun = tokio::time::timeout(STARTUP_MAX, self.begin(stream, peer)) => begun,
            () = stopped(self.stopping.clone()) => return,
        };
        // a stranger is none any more
        drop(places);
        match begun {
            Ok(Some((session, _place))) => session.run(self.stopping.clone()).await,
            Ok(None) => {}
            Err(_) => {
                self.shared.metrics.refused(Reason::Handshake);
                tracing::debug!(%peer, "a client did not say who it is within {} s", STARTUP_MAX.as_secs());
            }
        }
    }

    /// A conversation with somebody who is known, and its place.
    async fn begin(&self, stream: TcpStream, peer: SocketAddr) -> Option<(Session, OwnedSemaphorePermit)> {
        let mut client = match arrive(stream, peer, self.tls.as_deref()).await {
            Ok(Arrived::Client(client)) => client,
            Ok(Arrived::Cancels(request)) => {
                self.connections.cancel(request.pid, &request.secret_key);
                return None;
            }
            Ok(Arrived::Nobody) => return None,
            Err(error) => {
                self.shared.metrics.refused(Reason::Handshake);
                tracing::debug!(%peer, "no conversation of PostgreSQL's wire came about: {error}");
                return None;
            }
        };
        let admitted = client.admit(&self.shared, self.tls.is_some()).await;
        let place = Arc::clone(&self.known).try_acquire_owned();
        let let_in = match (admitted, place) {
            (Ok(admitted), Ok(place)) => Ok((admitted, place)),
            (Err(stop), _) => Err(stop),
            (Ok(_), Err(_)) => {
                let told =
                    Told::new(state::TOO_MANY_CONNECTIONS, format!("{CONNECTIONS_MAX} clients are connected already"));
                Err(Stop::Fatal(told.with_hint("try again later, and close connections that nobody uses")))
            }
        };
        let (admitted, place) = match let_in {
            Ok(let_in) => let_in,
            Err(stop) => {
                farewell(&mut client.wire, stop).await;
                return None;
            }
        };
        let named = Connections::name(&self.connections);
        if client.welcome(&admitted.settings, &named).await.is_err() {
            return None;
        }
        Some((Session::new(*client, admitted, named, Arc::clone(&self.shared)), place))
    }
}
