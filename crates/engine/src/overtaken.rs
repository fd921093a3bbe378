//! What is built while an entity is erased: it may hold what was erased, and is not kept.

use std::collections::BTreeMap;

use hitherto_core::{Catalog, Dataset};
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

/// What becomes of a file that may hold what was erased while it was built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is removed: no entry names it, so nobody would be told of it.
    Goes,
    /// It stays: it is, to the byte, the file that an entry named before, and whoever erases is told of that.
    Stays,
}

impl Fate {
    /// Of what was built, going by the entries that there were before.
    pub(crate) fn of(built: &Dataset, known: &[Dataset]) -> Self {
        let is_it = |known: &Dataset| {
            (&known.id, &known.location, &known.file_hash) == (&built.id, &built.location, &built.file_hash)
        };
        if known.iter().any(is_it) { Self::Stays } else { Self::Goes }
    }

    pub(crate) fn refusal(self, out: &OutputLocation, erased: &str) -> Error {
        let what = match self {
            Self::Goes => "the file was removed",
            Self::Stays => "the file is what it was before, and stays",
        };
        Error::Conflict(format!(
            "could not keep '{out}': {erased} while it was built, and it may hold them; {what}: run it again, on the history of \
             now"
        ))
    }
}

impl Engine {
    /// What was erased, in words, from what `read` says since it was read; none where nothing was. Whoever erases looks for
    /// training sets afterwards: where this is asked after a file was recorded, one of the two sees the other.
    pub(crate) async fn overtaken(&self, catalog: &Catalog, read: &HasRead) -> Result<Option<String>> {
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
        Ok(Some(erased.join("; ")).filter(|erased| !erased.is_empty()))
    }

    /// Refuses `out`, which was built from what `read` says, if something of that was erased since.
    pub(crate) async fn refuse_overtaken(
        &self,
        catalog: &Catalog,
        read: &HasRead,
        out: &OutputLocation,
        fate: Fate,
    ) -> Result<()> {
        match self.overtaken(catalog, read).await? {
            None => Ok(()),
            Some(erased) => Err(fate.refusal(out, &erased)),
        }
    }
}
