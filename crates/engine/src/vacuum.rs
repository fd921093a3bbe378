//! `vacuum`: files of history that no table needs any more are deleted, once nobody can be reading them.

use hitherto_core::{Name, Span, Timestamp};
use hitherto_offline::{History, Sweep, Vacuumed};

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
    ///
    /// A table that cannot be vacuumed keeps none of the others waiting; the first such failure is returned when all are done.
    pub async fn vacuum(&self, views: &[Name], retention: Span, sweep: Sweep) -> Result<Vec<VacuumedTable>> {
        let catalog = self.registry().catalog().await?;
        // never the pretended clock: files are as old as the store says, and a later clock would make those of an
        // ingest at work look abandoned
        let now = Clock::System.now();
        let (mut done, mut failed) = (Vec::new(), None);
        for table in tables_of(&catalog, views)? {
            let history = self.history(table)?;
            match swept(history.history(), retention, now, sweep).await {
                Ok(found) => done.push(VacuumedTable { view: table.view.clone(), table: table.id.clone(), found }),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(done), Err)
    }
}

/// One table, of which erased rows go first.
async fn swept(history: &History, retention: Span, now: Timestamp, sweep: Sweep) -> Result<Vacuumed> {
    let purged = match sweep {
        Sweep::Delete => Some(history.purge(now).await?),
        Sweep::DryRun => None,
    };
    let mut found = history.vacuum(retention, now, sweep).await?;
    if let Some(purged) = purged {
        found.deleted_files += purged.files;
        found.deleted_bytes += purged.bytes;
    }
    Ok(found)
}
