//! What is built while an entity is erased: it may hold what was erased, and is not kept.

use std::collections::BTreeMap;

use hitherto_core::Catalog;
use hitherto_offline::{OutputLocation, TableErasure};

use crate::dataset::taken;
use crate::join::Pins;
use crate::sql::{Reads, TableRead};
use crate::{Engine, Error, Result};

/// What a build has read of each table, by its id: for its features, and by its spine's query, which was earlier.
pub(crate) struct HasRead(BTreeMap<String, Vec<TableRead>>);

impl HasRead {
    pub(crate) fn of(pins: &Pins, reads: &Reads) -> Self {
        let mut tables: BTreeMap<String, Vec<TableRead>> = BTreeMap::new();
        for (table, pinned) in pins {
            tables.entry(table.clone()).or_default().push(TableRead::of(pinned));
        }
        for (table, read) in &reads.tables {
            tables.entry(table.clone()).or_default().push(read.clone());
        }
        Self(tables)
    }
}

impl Engine {
    /// Refuses `out`, which was built from what `read` says, if something of that was erased since it was read. Whoever
    /// erases looks for training sets afterwards: where this is asked after `out` was recorded, one of the two sees the other.
    pub(crate) async fn refuse_overtaken(&self, catalog: &Catalog, read: &HasRead, out: &OutputLocation) -> Result<()> {
        let mut erased = Vec::new();
        for (id, reads) in &read.0 {
            let table = catalog.tables.get(id);
            let table = table.ok_or_else(|| Error::internal("an unknown table was read", id.clone()))?;
            let snapshot = self.history(table)?.history().snapshot().await?;
            let is_new = |read: &TableRead, erasure: &TableErasure| {
                erasure.concerns(read.last_sequence) && !read.erasures.contains(&erasure.id)
            };
            let since = snapshot.erasures.iter().filter(|erasure| reads.iter().any(|read| is_new(read, erasure)));
            erased.extend(since.map(|erasure| taken(erasure, id)));
        }
        if erased.is_empty() {
            return Ok(());
        }
        Err(Error::Conflict(format!(
            "could not keep '{out}': {} while it was built, and it may hold them; the file was removed: run it again, on the \
             history of now",
            erased.join("; ")
        )))
    }
}
