//! `dataset`: the history that a training set saw; and the end of its entry.

use std::collections::BTreeMap;

use hitherto_core::{Catalog, Dataset, SetVersion, Table};
use hitherto_offline::TableErasure;

use crate::join::Pins;
use crate::{Engine, Error, Result};

impl Engine {
    /// Forget a dataset and its verdicts: `wanted` is its id, a unique beginning of it, or its name. Its file is left where it
    /// is. Refused while a model version needs it.
    pub async fn forget_dataset(&self, wanted: &str) -> Result<Dataset> {
        let dataset = self.registry().dataset(wanted).await?;
        self.registry().forget_dataset(&dataset.id, self.clock().now()).await?;
        self.anchor().await;
        Ok(dataset)
    }

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

impl Engine {
    /// What was erased since from the rows that the query of `dataset`'s spine read, in words.
    pub(crate) async fn erased_from_spine(
        &self,
        tables: &BTreeMap<String, Table>,
        dataset: &Dataset,
    ) -> Result<Vec<String>> {
        let mut erased = Vec::new();
        for (id, last) in &dataset.build.spine_tables {
            let Some(table) = tables.get(id) else { continue };
            let Some(pinned) = self.history(table)?.pin_at(*last).await? else { continue };
            let known = dataset.build.spine_erasures.get(id);
            let is_new = |erasure: &&TableErasure| known.is_none_or(|known| !known.contains(&erasure.id));
            erased.extend(pinned.erasures().iter().filter(is_new).map(|erasure| taken(erasure, id)));
        }
        Ok(erased)
    }
}

/// What was erased since from the rows that `dataset` read, in words: `an erasure of 2026-03-01T00:00:00Z took 3 rows of table
/// legs-1`. `pins` are its tables as they stood then, found in the log of today.
pub(crate) fn erased_since(dataset: &Dataset, pins: &Pins) -> Vec<String> {
    let mut erased = Vec::new();
    for (table, pinned) in pins {
        let known = dataset.erasures.get(table);
        let is_new = |id: &String| known.is_none_or(|known| !known.contains(id));
        for erasure in pinned.erasures().iter().filter(|erasure| is_new(&erasure.id)) {
            erased.push(taken(erasure, table));
        }
    }
    erased
}

/// An erasure in words.
pub(crate) fn taken(erasure: &TableErasure, table: &str) -> String {
    let rows = if erasure.rows == 1 { "1 row".to_owned() } else { format!("{} rows", erasure.rows) };
    format!("an erasure of {} took {rows} of table {table}", erasure.at)
}

/// As much of an id as people read.
pub(crate) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
