//! An online store that breaks at a chosen call, before or after it has done its work.

use std::sync::Arc;
use std::sync::Mutex;

use async_trait::async_trait;
use hitherto_online::fixture::Wrapper;
use hitherto_online::{Advance, Error, Marks, OnlineStore, Reading, Result, Run, Write, Written};

/// What happens at the call that breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing is done.
    Before,
    /// A write does the first half of its rows; another call does nothing.
    Midway,
    /// All is done, but the answer is lost.
    After,
}

/// Forwards every call; while a fault is set, it breaks at the call with that number, from 0.
#[derive(Debug)]
pub(crate) struct FaultyStore {
    inner: Arc<dyn OnlineStore>,
    fault: Mutex<Option<(usize, Fault)>>,
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<dyn OnlineStore>) -> Self {
        Self { inner, fault: Mutex::default() }
    }

    /// Break at the call `calls` from now, or never.
    pub(crate) fn break_at(&self, fault: Option<(usize, Fault)>) {
        *self.fault.lock().expect("nothing panics with the lock") = fault;
    }

    /// The fault of this call, if it is the one.
    fn fault(&self) -> Option<Fault> {
        let mut fault = self.fault.lock().expect("nothing panics with the lock");
        match fault.as_mut()? {
            (0, kind) => {
                let kind = *kind;
                *fault = None;
                Some(kind)
            }
            (calls, _) => {
                *calls -= 1;
                None
            }
        }
    }
}

fn broken<T>() -> Result<T> {
    Err(Error::Corrupt { what: "a call".to_owned(), store: "the faulty store".to_owned(), problem: "it broke" })
}

#[async_trait]
impl Wrapper for FaultyStore {
    fn inner(&self) -> &Arc<dyn OnlineStore> {
        &self.inner
    }

    async fn write(&self, reading: &Reading, run: &Run, writes: &[Write]) -> Result<Written> {
        match self.fault() {
            None => self.inner.write(reading, run, writes).await,
            Some(fault) => {
                let length = match fault {
                    Fault::Before => 0,
                    Fault::Midway => writes.len() / 2,
                    Fault::After => writes.len(),
                };
                self.inner.write(reading, run, &writes[..length]).await?;
                broken()
            }
        }
    }

    async fn begin(&self, reading: &Reading) -> Result<Run> {
        match self.fault() {
            None => self.inner.begin(reading).await,
            Some(Fault::After) => self.inner.begin(reading).await.and_then(|_| broken()),
            Some(Fault::Before | Fault::Midway) => broken(),
        }
    }

    async fn advance(&self, reading: &Reading, run: &Run, to: Marks) -> Result<Advance> {
        match self.fault() {
            None => self.inner.advance(reading, run, to).await,
            Some(Fault::After) => self.inner.advance(reading, run, to).await.and_then(|_| broken()),
            Some(Fault::Before | Fault::Midway) => broken(),
        }
    }
}
