//! The logs of history that a query reads.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{Stream, TryStreamExt, stream};
use hitherto_core::Table;
use tokio::sync::Mutex;

use super::wanted::Wanted;
use crate::lineage::Logged;
use crate::{Engine, Error, Result};

/// The logs, each read once, however often a query names a table that is made of it; they are held until it ends. And what
/// is wanted of one of these tables.
#[derive(Clone, Debug)]
pub(super) struct Logs {
    engine: Engine,
    known: Arc<Mutex<HashMap<String, Arc<Logged>>>>,
    wanted: Wanted,
}

impl Logs {
    pub(super) fn new(engine: Engine) -> Self {
        Self { engine, known: Arc::default(), wanted: Wanted::default() }
    }

    /// The same for a table of which no more is wanted.
    pub(super) fn with(&self, wanted: Wanted) -> Self {
        Self { wanted, ..self.clone() }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// The logs of these tables, in their order, each when it is asked for.
    pub(super) fn of_all(self, tables: Vec<Table>) -> impl Stream<Item = Result<Arc<Logged>>> + Send {
        stream::iter(tables.into_iter().map(Ok::<Table, Error>)).and_then(move |table| {
            let logs = self.clone();
            async move { logs.of(&table).await }
        })
    }

    async fn of(&self, table: &Table) -> Result<Arc<Logged>> {
        // held while the log is read: who wants the same one waits for it
        let mut known = self.known.lock().await;
        if let Some(logged) = known.get(&table.id) {
            return Ok(Arc::clone(logged));
        }
        let logged = Arc::new(self.engine.logged(table).await?);
        known.insert(table.id.clone(), Arc::clone(&logged));
        Ok(logged)
    }
}
