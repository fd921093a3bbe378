//! `compact`: small files of history become few, sorted by key and time. No row changes, and no answer.

use std::num::NonZeroUsize;
use std::sync::Arc;

use hitherto_core::{Catalog, Name, Table};
use hitherto_offline::{CompactOptions, Compacted, Reach};

use crate::table_history::TableHistory;
use crate::{Engine, Error, Result};

/// What a compaction that nobody asked for may take of memory: about as much as the ingest before it.
const BESIDE_MEMORY_BYTES: usize = 256 << 20;

/// What became of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompactedTable {
    /// The view whose rows it holds.
    pub view: Name,
    /// Its id.
    pub table: String,
    /// How the compaction ended.
    pub outcome: Compacted,
}

impl Engine {
    /// Compact the tables of these views, or of all views where none is named, one after the other. `seen` is told, per
    /// table, how many rows are done and how many there are.
    pub async fn compact(
        &self,
        views: &[Name],
        options: &CompactOptions,
        seen: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<Vec<CompactedTable>> {
        let catalog = self.registry().catalog().await?;
        let mut done = Vec::new();
        for table in tables_of(&catalog, views)? {
            let outcome = self.history(table)?.history().compact(options, seen).await?;
            done.push(CompactedTable { view: table.view.clone(), table: table.id.clone(), outcome });
        }
        Ok(done)
    }

    /// Compact the small files of the table that `view` is ingested into, if there are `after` of them or more; what
    /// large files hold stays where it is. Whoever appends calls this when the rows are safe: a failure here takes
    /// nothing back.
    pub async fn compact_when_due(&self, view: &Name, after: NonZeroUsize) -> Result<Option<CompactedTable>> {
        let history = self.ingested_history(view).await?;
        let is_due = history.history().small_files().await? >= after.get();
        if is_due { self.compact_beside(view, &history, Reach::Small).await.map(Some) } else { Ok(None) }
    }

    /// The same in about a second, for whoever goes on adding files meanwhile: what is small and yet takes longer stays, for
    /// [`Engine::compact_rest_when_due`]. The two leave each other's files alone.
    pub async fn compact_quickly_when_due(&self, view: &Name, after: NonZeroUsize) -> Result<Option<CompactedTable>> {
        let history = self.ingested_history(view).await?;
        let is_due = history.history().small_files().await? >= after.get();
        if is_due { self.compact_beside(view, &history, Reach::Quick).await.map(Some) } else { Ok(None) }
    }

    /// Compact what quick compactions have left of the table that `view` is ingested into, if it is much.
    pub async fn compact_rest_when_due(&self, view: &Name, after: NonZeroUsize) -> Result<Option<CompactedTable>> {
        let history = self.ingested_history(view).await?;
        let is_due = history.history().leaves_much(after.get()).await?;
        if is_due { self.compact_beside(view, &history, Reach::Rest).await.map(Some) } else { Ok(None) }
    }

    async fn ingested_history(&self, view: &Name) -> Result<Arc<TableHistory>> {
        let known = self.definitions().await?;
        let (table, _) = crate::ingest::target_of(&known.catalog, view)?;
        self.history(&table)
    }

    async fn compact_beside(&self, view: &Name, history: &TableHistory, reach: Reach) -> Result<CompactedTable> {
        let options = CompactOptions { reach, memory_bytes: BESIDE_MEMORY_BYTES, ..CompactOptions::default() };
        let outcome = history.history().compact(&options, &|_, _| ()).await?;
        Ok(CompactedTable { view: view.clone(), table: history.table().id.clone(), outcome })
    }
}

/// The tables of `views`, of all where none is named, in the order of their ids.
pub(crate) fn tables_of<'a>(catalog: &'a Catalog, views: &[Name]) -> Result<Vec<&'a Table>> {
    if let Some(view) = views.iter().find(|view| !catalog.views.contains_key(*view)) {
        return Err(Error::unknown("feature view", view.as_str(), catalog.views.keys().map(Name::as_str)));
    }
    Ok(catalog.tables.values().filter(|table| views.is_empty() || views.contains(&table.view)).collect())
}
