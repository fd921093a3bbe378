//! `dataset`: the history that a training set saw.

use std::collections::BTreeMap;

use hitherto_core::{Catalog, Dataset, SetVersion};

use crate::join::Pins;
use crate::{Engine, Error, Result};

impl Engine {
    /// The tables that `dataset` read, as they stood then. What is gone of them is named.
    pub(crate) async fn pin_as(&self, catalog: &Catalog, set: &SetVersion, dataset: &Dataset) -> Result<Pins> {
        let id = short(&dataset.id);
        let mut pins = BTreeMap::new();
        for view_use in &set.resolved.uses {
            let table = &view_use.table;
            let gone = |what: String| {
                Error::NotFound(format!(
                    "could not read what dataset {id} was built from: table '{table}' of {} {what}",
                    view_use.view
                ))
            };
            let known = catalog.tables.get(table).ok_or_else(|| gone("is gone".to_owned()))?;
            let last = dataset.tables.get(table);
            let last = *last.ok_or_else(|| gone("is not among those that it names".to_owned()))?;
            let pinned = self.history(known)?.pin_at(last).await?;
            let cut = || gone(format!("has no row with _sequence {last} any more: its history was dropped or cut"));
            pins.insert(table.clone(), pinned.ok_or_else(cut)?);
        }
        Ok(pins)
    }
}

/// As much of an id as people read.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
