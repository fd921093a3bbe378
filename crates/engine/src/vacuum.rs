//! `vacuum`: files of history that no table needs any more are deleted, once nobody can be reading them.

use hitherto_core::{Name, Span};
use hitherto_offline::{Purged, Sweep, Vacuumed};

use crate::compact::tables_of;
use crate::{Clock, Engine, Result};

/// What became of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VacuumedTable {
    /// The view whose rows it holds.
    pub view: Name,
    /// Its id.
    pub table: String,
    /// What was found.
    pub found: Vacuumed,
}

impl Engine {
    /// Vacuum the tables of these views, or of all views where none is named: delete what has not been needed for
    /// `retention`, or only say what that is. What an erasure left goes first when its delay is over, whatever the retention.
    pub async fn vacuum(&self, views: &[Name], retention: Span, sweep: Sweep) -> Result<Vec<VacuumedTable>> {
        let catalog = self.registry().catalog().await?;
        // never the pretended clock: files are as old as the store says, and a later clock would make those of an
        // ingest at work look abandoned
        let now = Clock::System.now();
        let mut done = Vec::new();
        for table in tables_of(&catalog, views)? {
            let history = self.history(table)?;
            let purged = match sweep {
                Sweep::Delete => history.history().purge(now).await?,
                Sweep::DryRun => Purged::default(),
            };
            let mut found = history.history().vacuum(retention, now, sweep).await?;
            found.deleted_files += purged.files;
            found.deleted_bytes += purged.bytes;
            done.push(VacuumedTable { view: table.view.clone(), table: table.id.clone(), found });
        }
        Ok(done)
    }
}
