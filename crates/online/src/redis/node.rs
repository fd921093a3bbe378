//! One place to connect to, and the connection that stands, which is made again when it broke.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::runtime::{Handle, Id};
use tokio::sync::Mutex;

use super::address::{Host, written};
use super::dial::{Dial, Link};
use super::failure::Failure;

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A server.
    Host(Host),
    /// A server, by a socket of this machine.
    Socket(PathBuf),
    /// Whichever server the Sentinels call the master now.
    Master { sentinels: Vec<Host>, name: String },
}

/// A place and its connections: one for each runtime that calls, for a connection is driven by the runtime in which it was made,
/// and its answers would have to cross over from one thread to the other.
pub(super) struct Node {
    pub(super) place: Place,
    dial: Arc<Dial>,
    current: RwLock<Vec<(Id, Arc<Link>)>>,
    /// Held by whom connects; how the last attempt failed.
    connecting: Mutex<Option<Failure>>,
    /// Attempts that have ended.
    attempts: AtomicU64,
}

impl Node {
    pub(super) fn new(place: Place, dial: &Arc<Dial>) -> Self {
        let (current, connecting, attempts) = (RwLock::default(), Mutex::default(), AtomicU64::default());
        Self { place, dial: Arc::clone(dial), current, connecting, attempts }
    }

    /// The connection, made where there is none. Who comes while another is at it is told the same.
    pub(super) async fn link(&self) -> Result<Arc<Link>, Failure> {
        if let Some(link) = self.standing() {
            return Ok(link);
        }
        let before = self.attempts.load(Ordering::Acquire);
        let mut last = self.connecting.lock().await;
        if let Some(link) = self.standing() {
            return Ok(link);
        }
        if let Some(failure) = last.as_ref().filter(|_| self.attempts.load(Ordering::Acquire) != before) {
            return Err(failure.clone());
        }
        let connected = self.connect().await;
        self.attempts.fetch_add(1, Ordering::Release);
        match connected {
            Ok(link) => {
                let link = Arc::new(link);
                *last = None;
                let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
                current.push((Handle::current().id(), Arc::clone(&link)));
                Ok(link)
            }
            Err(failure) => {
                *last = Some(failure.clone());
                Err(failure)
            }
        }
    }

    /// Lets go of a connection that is of no use any more, unless another has taken its place already.
    pub(super) fn let_go(&self, link: &Arc<Link>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.retain(|(_, held)| !Arc::ptr_eq(held, link));
    }

    /// That of this runtime.
    fn standing(&self) -> Option<Arc<Link>> {
        let here = Handle::current().id();
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.iter().find(|(runtime, _)| *runtime == here).map(|(_, link)| Arc::clone(link))
    }

    async fn connect(&self) -> Result<Link, Failure> {
        match &self.place {
            Place::Host(host) => self.dial.connect(host).await,
            Place::Socket(path) => self.dial.connect_socket(path).await,
            Place::Master { sentinels, name } => {
                let mut failure = Failure::Unfit("its url names no Sentinel".to_owned());
                // one after the other: any of them may be down, or not know yet of a failover
                for sentinel in sentinels {
                    match self.connect_to_master(sentinel, name).await {
                        Ok(link) => return Ok(link),
                        Err(problem) => failure = problem,
                    }
                }
                Err(failure)
            }
        }
    }

    async fn connect_to_master(&self, sentinel: &Host, name: &str) -> Result<Link, Failure> {
        match self.dial.ask_sentinel(sentinel, name).await? {
            Some(master) => self.dial.connect(&master).await,
            None => Err(Failure::Unfit(format!(
                "the Sentinel at {} knows no master called '{name}': check online.url, and `SENTINEL MASTERS` there",
                written(sentinel)
            ))),
        }
    }
}
