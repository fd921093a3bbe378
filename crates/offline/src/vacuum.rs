//! Vacuum: files that the table does not need any more, or never came to need, are deleted.

use std::collections::{HashMap, HashSet};

use futures::{StreamExt, TryStreamExt, stream};
use hitherto_core::{Span, Timestamp};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use crate::log::REMOVALS_KEPT;
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

/// For so long a file stays that the log does not know, when nobody asks for less: it may be of an ingest or a compaction that is
/// still writing, and no clock tells how long that takes.
const UNKNOWN_KEPT_MICROS: i64 = REMOVALS_KEPT.as_micros() as i64;

/// So many files are deleted before the log is asked again whether somebody has committed one of the next.
const DELETED_AT_ONCE: usize = 1_000;

/// Until when files have not been needed that are deleted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    /// Those that the log remembers to have been removed: since then.
    pub(crate) replaced: Timestamp,
    /// Those of which it knows nothing: written then.
    pub(crate) unknown: Timestamp,
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
        self.refuse_forgotten(retention).await?;
        let until = now.saturating_sub(retention);
        let unknown = self.unknown_until(until).await?;
        self.sweep(&[], Until { replaced: until, unknown }, sweep).await
    }

    /// The same for whoever does it unasked: without the files of these pins, of which he knows that they are being read, and
    /// without files that the log does not know and that were written within 7 days. They may be of a writer at work.
    pub async fn vacuum_but(
        &self,
        pins: &[PinWatch],
        retention: Span,
        now: Timestamp,
        sweep: Sweep,
    ) -> Result<Vacuumed> {
        self.refuse_forgotten(retention).await?;
        let replaced = now.saturating_sub(retention);
        let kept_until = Timestamp(now.0.saturating_sub(UNKNOWN_KEPT_MICROS));
        let unknown = self.unknown_until(replaced).await?.min(kept_until);
        self.sweep(pins, Until { replaced, unknown }, sweep).await
    }

    /// The same moment for files that the log does not know. If it remembers for longer only since then, it may have forgotten that
    /// they were replaced within the retention.
    async fn unknown_until(&self, until: Timestamp) -> Result<Timestamp> {
        let changed = self.removals_changed().await?;
        Ok(if changed.is_none_or(|changed| changed <= until) { until } else { Timestamp::MIN })
    }

    async fn refuse_forgotten(&self, retention: Span) -> Result<()> {
        let kept = self.removals_kept().await?;
        if u128::from(retention.micros().cast_unsigned()) <= kept.as_micros() {
            return Ok(());
        }
        let kept = i64::try_from(kept.as_micros()).ok().and_then(|micros| Span::from_micros(micros).ok());
        let kept = kept.unwrap_or(Span::ZERO);
        Err(Error::Invalid(format!(
            "could not keep replaced files for {retention}: the log remembers for {kept} when a file was replaced; use {kept} \
             or less"
        )))
    }

    /// Deletes the files that the table has not needed for so long, without those of these pins.
    pub(crate) async fn sweep(&self, pins: &[PinWatch], until: Until, sweep: Sweep) -> Result<Vacuumed> {
        if self.snapshot().await?.version.is_none() {
            // where there is no log it may have been lost, and then the files are all there is
            return Ok(Vacuumed::default());
        }
        // the files first, then the log: what is committed in between is not taken for a leftover
        let data = self.root().clone().join("data");
        let mut found = self.unneeded(&data, until).await?;
        let mut staged = self.store().leftovers(&data).await?;
        staged.extend(self.store().leftovers(&self.root().clone().join("_delta_log")).await?);
        let candidates: HashSet<Path> = found.old.iter().map(|file| file.location.clone()).collect();
        let (snapshot, removed) = self.with_removals(&|path: &Path| candidates.contains(path)).await?;
        let active: HashSet<&Path> = snapshot.files.iter().map(|file| &file.path).collect();
        found.old.retain(|file| !active.contains(&file.location));

        let pinned: HashSet<Path> = pins.iter().flat_map(PinWatch::files).collect();
        let (files, young): (Vec<_>, Vec<_>) =
            found.old.into_iter().partition(|file| is_over(file, &removed, until) && !pinned.contains(&file.location));
        let (leftovers, fresh): (Vec<_>, Vec<_>) =
            staged.into_iter().partition(|staged| staged.modified <= until.unknown);
        let sizes = |files: &[ObjectMeta], staged: &[Leftover]| {
            let bytes = files.iter().map(|file| file.size).chain(staged.iter().map(|staged| staged.size_bytes));
            ((files.len() + staged.len()) as u64, bytes.sum::<u64>())
        };
        let mut vacuumed = Vacuumed::default();
        (vacuumed.deleted_files, vacuumed.deleted_bytes) = sizes(&files, &leftovers);
        (vacuumed.kept_files, vacuumed.kept_bytes) = sizes(&young, &fresh);
        vacuumed.kept_files += found.young_files;
        vacuumed.kept_bytes += found.young_bytes;
        if sweep == Sweep::Delete {
            let (files, bytes) = self.delete(files, leftovers).await?;
            vacuumed.deleted_files -= files;
            vacuumed.deleted_bytes -= bytes;
        }
        Ok(vacuumed)
    }

    /// The files that are no part of the table. Of the many that are too young anyway nothing is kept but their number.
    async fn unneeded(&self, data: &Path, until: Until) -> Result<Unneeded> {
        let failed = |error| Error::object_store(format!("list '{data}'"), error);
        let snapshot = self.snapshot().await?;
        let active: HashSet<&Path> = snapshot.files.iter().map(|file| &file.path).collect();
        let latest = until.replaced.max(until.unknown);
        let mut unneeded = Unneeded::default();
        let mut listed = self.store().store().list(Some(data));
        while let Some(file) = listed.try_next().await.map_err(failed)? {
            if active.contains(&file.location) {
                continue;
            }
            if file.last_modified.timestamp_micros() <= latest.0 {
                unneeded.old.push(file);
            } else {
                unneeded.young_files += 1;
                unneeded.young_bytes += file.size;
            }
        }
        Ok(unneeded)
    }

    /// Deletes files, those left out that somebody has committed meanwhile; how many those were, and their size.
    async fn delete(&self, files: Vec<ObjectMeta>, leftovers: Vec<Leftover>) -> Result<(u64, u64)> {
        let (mut spared, mut spared_bytes) = (0, 0);
        for chunk in files.chunks(DELETED_AT_ONCE) {
            // to delete many takes minutes, and a writer that was taken for dead may commit in that time
            let snapshot = self.snapshot().await?;
            let active: HashSet<&Path> = snapshot.files.iter().map(|file| &file.path).collect();
            let (needed, unneeded): (Vec<&ObjectMeta>, Vec<&ObjectMeta>) =
                chunk.iter().partition(|file| active.contains(&file.location));
            spared += needed.len() as u64;
            spared_bytes += needed.iter().map(|file| file.size).sum::<u64>();
            let paths: Vec<_> = unneeded.into_iter().map(|file| Ok(file.location.clone())).collect();
            let mut deleted = self.store().store().delete_stream(stream::iter(paths).boxed());
            while let Some(done) = deleted.next().await {
                match done {
                    // another vacuum was faster
                    Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(error) => {
                        return Err(Error::object_store(format!("vacuum table '{}'", self.table().id), error));
                    }
                }
            }
        }
        for leftover in leftovers {
            self.store().remove_leftover(leftover).await?;
        }
        Ok((spared, spared_bytes))
    }
}

/// What a list of the files has that are no part of the table.
#[derive(Default)]
struct Unneeded {
    /// Those that may be old enough.
    old: Vec<ObjectMeta>,
    /// How many others there are.
    young_files: u64,
    /// Their size.
    young_bytes: u64,
}

/// Whether the table ceased to need the file long enough ago, or it was written so long ago if it is not known that it ever did.
fn is_over(file: &ObjectMeta, removed: &HashMap<Path, i64>, until: Until) -> bool {
    let written = file.last_modified.timestamp_micros();
    match removed.get(&file.location) {
        Some(ms) => written.max(ms.saturating_mul(1000)) <= until.replaced.0,
        None => written <= until.unknown.0,
    }
}

#[cfg(test)]
mod tests;
