//! What the registry says about where rows go, kept from one write to the next while its revision stays.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hitherto_core::Catalog;
use tokio::time::{Instant, timeout};

use crate::readings::served_readings;
use crate::{Engine, Result, ServedReading};

/// Whoever has definitions waits no longer for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long nobody asks again after there was none.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// The definitions at one revision, and which readings are served of them.
#[derive(Debug)]
pub(crate) struct Definitions {
    pub(crate) catalog: Catalog,
    pub(crate) readings: Vec<ServedReading>,
}

/// What was read last.
#[derive(Debug, Default)]
pub(crate) struct Last {
    definitions: Option<Arc<Definitions>>,
    /// Until when they are gone by without another question, because the registry did not answer one.
    away_until: Option<Instant>,
}

/// Shared by all that have the same stores.
pub(crate) type LastDefinitions = Arc<Mutex<Last>>;

impl Engine {
    /// The definitions as they are now: a question for the revision, and for the rest only where that has changed. While the
    /// registry cannot be read, they are those that were read last, where there are some: rows go on as they went before.
    pub(crate) async fn definitions(&self) -> Result<Arc<Definitions>> {
        let (last, away_until) = {
            let last = self.last();
            (last.definitions.clone(), last.away_until)
        };
        let Some(last) = last else { return self.read_definitions().await };
        if away_until.is_some_and(|until| Instant::now() < until) {
            return Ok(last);
        }
        let problem = match timeout(PATIENCE, self.registry().revision()).await {
            Ok(Ok(revision)) if revision == last.catalog.revision => return Ok(last),
            Ok(Ok(_)) => match self.read_definitions().await {
                Ok(read) => return Ok(read),
                Err(error) => error.to_string(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it has not answered for {} s", PATIENCE.as_secs()),
        };
        // whoever serves looks at the registry each second, and tells
        tracing::debug!("going on by the definitions of revision {}: {problem}", last.catalog.revision);
        self.last().away_until = Some(Instant::now() + ASKED_AGAIN);
        Ok(last)
    }

    async fn read_definitions(&self) -> Result<Arc<Definitions>> {
        let catalog = self.registry().catalog().await?;
        let models = self.all_model_versions().await?;
        let readings = served_readings(&catalog, &models);
        let read = Arc::new(Definitions { catalog, readings });
        // models of a later revision do no harm: the catalog's is then not the present one, and all is read again
        self.last().definitions = Some(Arc::clone(&read));
        Ok(read)
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last_definitions().lock().unwrap_or_else(PoisonError::into_inner)
    }
}
