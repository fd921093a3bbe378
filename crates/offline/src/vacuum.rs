//! Vacuum: files that the table does not need any more, or never came to need, are deleted.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use hitherto_core::{Span, Timestamp};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use crate::store::Leftover;
use crate::{Error, History, PinWatch, Result};

/// Whether a vacuum deletes, or only says what it would delete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sweep {
    /// Files are deleted.
    #[default]
    Delete,
    /// Nothing is touched.
    DryRun,
}

/// What a vacuum found in one table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// Files that were deleted, or would be.
    pub deleted_files: u64,
    /// Their size.
    pub deleted_bytes: u64,
    /// Files that the table does not need either, but that were needed, or written, within the retention.
    pub kept_files: u64,
    /// Their size.
    pub kept_bytes: u64,
}

impl History {
    /// Deletes the files below the table's `data/` that are no part of it now and have not been for `retention` before
    /// `now`: files that a compaction replaced count from then, files of writers that were killed from when they were
    /// written. Staging files of killed writers go as well.
    ///
    /// `now` is the real present, never a pretended one: it is compared with times of the store. Within `retention`
    /// readers that pinned the table keep their files, and so do ingests and compactions that are still writing; it has
    /// to be longer than any of them takes. It is at most as long as the log remembers what was removed: 7 days, or less
    /// where [`History::remember_removals`] was told so.
    pub async fn vacuum(&self, retention: Span, now: Timestamp, sweep: Sweep) -> Result<Vacuumed> {
        self.vacuum_but(&[], retention, now, sweep).await
    }

    /// The same without the files of these pins: of them whoever vacuums knows that they are being read.
    pub async fn vacuum_but(
        &self,
        pins: &[PinWatch],
        retention: Span,
        now: Timestamp,
        sweep: Sweep,
    ) -> Result<Vacuumed> {
        let kept = self.removals_kept().await?;
        if u128::from(retention.micros().cast_unsigned()) > kept.as_micros() {
            let kept = i64::try_from(kept.as_micros()).ok().and_then(|micros| Span::from_micros(micros).ok());
            let kept = kept.unwrap_or(Span::ZERO);
            return Err(Error::Invalid(format!(
                "could not keep replaced files for {retention}: the log remembers for {kept} when a file was replaced; use {kept} \
                 or less"
            )));
        }
        self.sweep(pins, now.saturating_sub(retention), sweep).await
    }

    /// Deletes the files that the table has not needed since `until`, without those of these pins.
    pub(crate) async fn sweep(&self, pins: &[PinWatch], until: Timestamp, sweep: Sweep) -> Result<Vacuumed> {
        // the files first, then the log: what is committed in between is not taken for a leftover
        let data = self.root().clone().join("data");
        let found: Vec<ObjectMeta> = self
            .store()
            .store()
            .list(Some(&data))
            .try_collect()
            .await
            .map_err(|e| Error::object_store(format!("list '{data}'"), e))?;
        let mut staged = self.store().leftovers(&data).await?;
        staged.extend(self.store().leftovers(&self.root().clone().join("_delta_log")).await?);
        let (snapshot, removed) = self.with_removals().await?;
        if snapshot.version.is_none() {
            // where there is no log it may have been lost, and then the files are all there is
            return Ok(Vacuumed::default());
        }
        let active: HashSet<&Path> = snapshot.files.iter().map(|file| &file.path).collect();
        let unneeded: Vec<ObjectMeta> = found.into_iter().filter(|file| !active.contains(&file.location)).collect();

        let pinned: HashSet<Path> = pins.iter().flat_map(PinWatch::files).collect();
        let mut vacuumed = Vacuumed::default();
        let (files, young): (Vec<_>, Vec<_>) = unneeded
            .into_iter()
            .partition(|file| unneeded_since(file, &removed) <= until && !pinned.contains(&file.location));
        let (leftovers, fresh): (Vec<_>, Vec<_>) = staged.into_iter().partition(|staged| staged.modified <= until);
        let sizes = |files: &[ObjectMeta], staged: &[Leftover]| {
            let bytes = files.iter().map(|file| file.size).chain(staged.iter().map(|staged| staged.size_bytes));
            ((files.len() + staged.len()) as u64, bytes.sum::<u64>())
        };
        (vacuumed.deleted_files, vacuumed.deleted_bytes) = sizes(&files, &leftovers);
        (vacuumed.kept_files, vacuumed.kept_bytes) = sizes(&young, &fresh);
        if sweep == Sweep::Delete {
            self.delete(files, leftovers).await?;
        }
        Ok(vacuumed)
    }

    async fn delete(&self, files: Vec<ObjectMeta>, leftovers: Vec<Leftover>) -> Result<()> {
        let paths = stream::iter(files.into_iter().map(|file| Ok(file.location))).boxed();
        let mut deleted = self.store().store().delete_stream(paths);
        while let Some(done) = deleted.next().await {
            match done {
                // another vacuum was faster
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(Error::object_store(format!("vacuum table '{}'", self.table().id), error)),
            }
        }
        for leftover in leftovers {
            self.store().remove_leftover(leftover).await?;
        }
        Ok(())
    }
}

/// When the table ceased to need the file, or it was written if it never did.
fn unneeded_since(file: &ObjectMeta, removed: &HashMap<Path, i64>) -> Timestamp {
    let written = file.last_modified.timestamp_micros();
    let removed = removed.get(&file.location).map_or(i64::MIN, |ms| ms.saturating_mul(1000));
    Timestamp(written.max(removed))
}

#[cfg(test)]
mod tests;
