//! Which readings of which tables the online store keeps: unit of storage there is a table read with one delay.

use std::collections::BTreeMap;

use hitherto_core::{Catalog, ModelVersion, Name, Span, Table, ViewUse};
use hitherto_online::Reading;

/// A table read with one delay, as the online store keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedReading {
    /// Its id in the online store.
    pub id: Reading,
    /// The view whose rows it holds.
    pub view: Name,
    /// The table.
    pub table: Table,
    /// The delay with which it is read.
    pub source_delay: Span,
}

/// The reading that a use of a view is served from.
pub fn reading_of(view_use: &ViewUse) -> Reading {
    Reading::new(&view_use.table, view_use.source_delay)
}

/// Every reading that somebody may ask for: the latest version of each view, what each set's latest version pins, and
/// what each model version pins. Sorted by view, then id.
pub fn served_readings(catalog: &Catalog, models: &[ModelVersion]) -> Vec<ServedReading> {
    let mut served = BTreeMap::new();
    let mut add = |table: &str, source_delay: Span| {
        if let Some(table) = catalog.tables.get(table) {
            let id = Reading::new(&table.id, source_delay);
            let key = (table.view.clone(), id.clone());
            served.entry(key).or_insert_with(|| ServedReading {
                id,
                view: table.view.clone(),
                table: table.clone(),
                source_delay,
            });
        }
    };
    for latest in catalog.views.values().filter_map(|versions| versions.last()) {
        add(&latest.table, latest.definition.source_delay);
    }
    let latest_sets = catalog.sets.values().filter_map(|versions| versions.last());
    let model_sets = models.iter().filter_map(|model| {
        let versions = catalog.sets.get(&model.feature_set.name)?;
        versions.iter().find(|set| set.version == model.feature_set.version)
    });
    for set in latest_sets.chain(model_sets) {
        for view_use in &set.resolved.uses {
            add(&view_use.table, view_use.source_delay);
        }
    }
    served.into_values().collect()
}

/// Every reading of which the online store may have rows, whether or not somebody may ask for it now.
pub(crate) fn every_reading(catalog: &Catalog) -> Vec<ServedReading> {
    let mut readings = BTreeMap::new();
    for version in catalog.views.values().flatten() {
        let Some(table) = catalog.tables.get(&version.table) else { continue };
        let source_delay = version.definition.source_delay;
        let id = Reading::new(&table.id, source_delay);
        readings.entry(id.clone()).or_insert_with(|| ServedReading {
            id,
            view: table.view.clone(),
            table: table.clone(),
            source_delay,
        });
    }
    readings.into_values().collect()
}
