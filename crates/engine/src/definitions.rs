//! What the registry says about where rows go, kept from one write to the next while its revision stays.

use std::sync::{Arc, Mutex, PoisonError};

use hitherto_core::Catalog;

use crate::readings::served_readings;
use crate::{Engine, Result, ServedReading};

/// The definitions at one revision, and which readings are served of them.
#[derive(Debug)]
pub(crate) struct Definitions {
    pub(crate) catalog: Catalog,
    pub(crate) readings: Vec<ServedReading>,
}

/// What was read last.
pub(crate) type LastDefinitions = Arc<Mutex<Option<Arc<Definitions>>>>;

impl Engine {
    /// The definitions as they are now: a question for the revision, and for the rest only where that has changed.
    pub(crate) async fn definitions(&self) -> Result<Arc<Definitions>> {
        let revision = self.registry().revision().await?;
        let last = self.last_definitions().lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(last) = last.filter(|last| last.catalog.revision == revision) {
            return Ok(last);
        }
        let catalog = self.registry().catalog().await?;
        let models = self.all_model_versions().await?;
        let readings = served_readings(&catalog, &models);
        let read = Arc::new(Definitions { catalog, readings });
        // models of a later revision do no harm: the catalog's is then not the present one, and all is read again
        *self.last_definitions().lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&read));
        Ok(read)
    }
}
