//! What a server does for its tables by itself: it deletes what nobody needs any more, so that neither a folder nor a log grows
//! with every commit that ever was.

use std::time::Duration;

use hitherto_core::{Name, Span, Table};
use hitherto_offline::{Sweep, Vacuumed};

use crate::{Clock, Engine, Result};

/// Looks that are closer together than this are counted as so far apart.
const LOOKS_APART_MIN: Duration = Duration::from_mins(1);

/// How long what is not needed is kept all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Files that history ceased to need, for those who read them still; see [`Engine::vacuum`].
    pub files: Span,
    /// Entries of a table's log, by which alone lineage tells of batches and files that came before; none for ever.
    pub log: Option<Span>,
}

/// What became of one table.
#[derive(Debug)]
pub struct KeptUp {
    /// The view whose rows it holds.
    pub view: Name,
    /// Its id.
    pub table: String,
    /// Files of history, and files of its log that were deleted; or why that failed, which keeps no other table from it.
    pub outcome: Result<(Vacuumed, u64)>,
}

impl Engine {
    /// Delete, in every table, one after the other, what has not been needed for as long as `retention` says. Whoever does so
    /// again and again says how `often`: for so much longer a table remembers what was removed from it.
    pub async fn keep_up(&self, retention: Retention, often: Duration) -> Result<Vec<KeptUp>> {
        let catalog = self.registry().catalog().await?;
        let mut done = Vec::new();
        for table in catalog.tables.values() {
            let outcome = self.keep_up_table(table, retention, often).await;
            done.push(KeptUp { view: table.view.clone(), table: table.id.clone(), outcome });
        }
        Ok(done)
    }

    async fn keep_up_table(&self, table: &Table, retention: Retention, often: Duration) -> Result<(Vacuumed, u64)> {
        let kept = self.history(table)?;
        let history = kept.history();
        // never the pretended clock: files are as old as the store says
        let now = Clock::System.now();
        // before the files go: each checkpoint tells of every file that was removed since
        history.remember_removals(remembered(retention.files, often), now).await?;
        // readers in other processes have the retention alone, ours are known
        let pins = kept.pins().await?;
        let vacuumed = history.vacuum_but(&pins, retention.files, now, Sweep::Delete).await?;
        let shortened = match retention.log {
            Some(kept) => history.shorten(kept, now).await?,
            None => 0,
        };
        Ok((vacuumed, shortened))
    }
}

/// A removal is to be known still when the file's time has come, also where one look was missed: a file of which the log knows
/// nothing is taken for that of a writer at work.
fn remembered(files: Span, often: Duration) -> Span {
    let longer = often.max(LOOKS_APART_MIN).saturating_mul(2);
    let micros = i64::try_from(longer.as_micros()).unwrap_or(i64::MAX).saturating_add(files.micros());
    Span::from_micros(micros).unwrap_or(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_are_remembered_for_two_looks_longer_than_files_are_kept() {
        let span = |seconds: i64| Span::from_micros(seconds * 1_000_000).expect("a length of time");
        assert_eq!(remembered(span(3_600), Duration::from_hours(1)), span(3 * 3_600));
        assert_eq!(remembered(span(1), Duration::from_millis(50)), span(121));
    }
}
