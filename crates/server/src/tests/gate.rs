//! An online store whose reads wait until they are let through.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use hitherto_online::fixture::Wrapper;
use hitherto_online::{Answer, Error, Group, OnlineStore, Reading, Result, Run};
use tokio::sync::Notify;

/// Forwards everything; reads (or those of one table alone) wait at the gate, and a store that is down answers no ping and begins
/// no run.
#[derive(Debug)]
pub(super) struct Gated {
    pub(super) inner: Arc<dyn OnlineStore>,
    /// Told when a read has come to the gate.
    pub(super) arrived: Notify,
    /// Lets one read through.
    pub(super) open: Notify,
    pub(super) is_down: AtomicBool,
    /// How many reads have come to the gate.
    pub(super) asked: AtomicUsize,
    /// The table whose reads wait; every table's where there is none.
    table: Option<&'static str>,
}

impl Gated {
    pub(super) fn new(inner: Arc<dyn OnlineStore>) -> Arc<Self> {
        Self::with(inner, None)
    }

    pub(super) fn of_table(inner: Arc<dyn OnlineStore>, table: &'static str) -> Arc<Self> {
        Self::with(inner, Some(table))
    }

    fn with(inner: Arc<dyn OnlineStore>, table: Option<&'static str>) -> Arc<Self> {
        let (arrived, open) = (Notify::new(), Notify::new());
        Arc::new(Self { inner, arrived, open, is_down: AtomicBool::new(false), asked: AtomicUsize::new(0), table })
    }
}

#[async_trait]
impl Wrapper for Gated {
    fn inner(&self) -> &Arc<dyn OnlineStore> {
        &self.inner
    }

    async fn read(&self, groups: &[Group<'_>]) -> Result<Vec<Answer>> {
        let of = |table: &str| groups.iter().any(|group| group.reading.to_string().starts_with(table));
        // who asks for no key asks for marks alone
        let has_keys = groups.iter().any(|group| !group.keys.is_empty());
        if has_keys && self.table.is_none_or(of) {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.arrived.notify_one();
            self.open.notified().await;
        }
        self.inner.read(groups).await
    }

    async fn begin(&self, reading: &Reading) -> Result<Run> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(Error::Scheme { scheme: "down".to_owned() });
        }
        self.inner.begin(reading).await
    }

    async fn ping(&self) -> Result<()> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(Error::Scheme { scheme: "down".to_owned() });
        }
        self.inner.ping().await
    }
}
