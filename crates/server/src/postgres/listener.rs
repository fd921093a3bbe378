//! Connections: so many at once, strangers apart from those who are known.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use super::cancel::Connections;
use super::failure::{Stop, Told, state};
use super::pass::Pass;
use super::session::{Session, farewell};
use super::startup::{Arrived, arrive};
use crate::Result;
use crate::auth::Reason;
use crate::background::stopped;
use crate::connections::{Address, Admitted};
use crate::shared::Shared;
use crate::slots::{Slot, Slots};
use crate::tls::Tls;

/// Connections of strangers, all together and of one machine: further ones are closed at once.
const STRANGERS_MAX: usize = 128;
const STRANGERS_EACH: usize = 32;
/// By then a stranger has said who it is.
const STARTUP_MAX: Duration = Duration::from_secs(15);
/// How long nothing is accepted after a failure that trying at once would not mend, such as too many open files.
const PAUSE: Duration = Duration::from_millis(200);

/// What all connections share.
struct Doors {
    shared: Arc<Shared>,
    tls: Option<Arc<Tls>>,
    connections: Arc<Connections>,
    /// Of each token, by its id.
    tokens: Slots<String>,
    strangers: Arc<Semaphore>,
    slots: Slots,
    stopping: watch::Receiver<bool>,
}

/// A place among those who are known.
struct Place {
    _of_token: Option<Slot<String>>,
    _admitted: Admitted,
}

/// Serves until told to stop; statements that run then finish.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    shared: Arc<Shared>,
    stopping: watch::Receiver<bool>,
) -> Result<()> {
    let tokens = Slots::new(shared.connections(Address::Postgres).each());
    let doors = Arc::new(Doors {
        shared,
        tls,
        connections: Arc::default(),
        tokens,
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
    async fn begin(&self, stream: TcpStream, peer: SocketAddr) -> Option<(Session, Place)> {
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
        let let_in = client.admit(&self.shared, self.tls.is_some()).await;
        let let_in = let_in.and_then(|admitted| Ok((self.place(&admitted.pass, peer)?, admitted)));
        let (place, admitted) = match let_in {
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

    /// A place for somebody who has said who it is: one token, or one machine, does not have them all.
    fn place(&self, pass: &Pass, peer: SocketAddr) -> Result<Place, Stop> {
        let full = |whose: String| {
            let told = Told::new(state::TOO_MANY_CONNECTIONS, format!("{whose} as many connections as may be open"));
            Stop::Fatal(told.with_hint(
                "close connections that nobody uses, try again later, or raise `server.max_postgres_connections`, of which \
                 one machine and one token have half",
            ))
        };
        let of_token = match pass.token() {
            None => None,
            Some(id) => Some(self.tokens.take_of(id.to_owned()).ok_or_else(|| {
                pass.refused(Reason::Connections, peer);
                full(format!("the token {id} has"))
            })?),
        };
        let admitted = self.shared.connections(Address::Postgres).admit(peer.ip(), &self.shared.metrics);
        let admitted = admitted.ok_or_else(|| full("there are, in all or of your machine,".to_owned()))?;
        Ok(Place { _of_token: of_token, _admitted: admitted })
    }
}
