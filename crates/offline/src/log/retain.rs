//! What the log need not remember for ever: its own oldest entries, and which files were removed long ago.

use std::collections::HashMap;
use std::time::Duration;

use deltalake_core::kernel::{Action, MetadataExt};
use deltalake_core::protocol::DeltaOperation;
use deltalake_core::table::config::TablePropertiesExt;
use futures::TryStreamExt;
use hitherto_core::{Span, Timestamp};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};

use super::entry::{ATTEMPTS_MAX, Entry, Failure, LOG_FOLDER, backoff};
use super::purge::version_of;
use super::{Cached, History, REMOVALS_KEPT};
use crate::{Error, Result};

/// The table property that says how long checkpoints tell of a removed file.
const REMOVALS_PROPERTY: &str = "delta.deletedFileRetentionDuration";
/// The table property that says when that was last changed, in microseconds.
const CHANGED_PROPERTY: &str = "hitherto.removalsChanged";
/// For so long nobody who asks for less shortens it again.
const LONGER_STAYS: Duration = REMOVALS_KEPT;

impl History {
    /// Deletes the log's entries that were written before `retention` ago, as far as a checkpoint stands in their place; how
    /// many files of the log that were. `now` is the real present, as for [`History::vacuum`].
    ///
    /// What was committed stays: only who asks how the table came to be ([`History::chronicle`]) finds that it begins later.
    pub async fn shorten(&self, retention: Span, now: Timestamp) -> Result<u64> {
        let Some(last) = self.snapshot().await?.version else { return Ok(0) };
        let failed = |error| Error::object_store(format!("shorten the log of table '{}'", self.table.id), error);
        let log = self.root.clone().join(LOG_FOLDER);
        let until = now.saturating_sub(retention);
        let mut listed = Listed { stays: last, checkpoints: Vec::new(), old: Vec::new() };
        let mut files = self.store.store().list(Some(&log));
        while let Some(file) = files.try_next().await.map_err(failed)? {
            listed.add(file, until);
        }
        let mut old = listed.expendable();
        if old.is_empty() {
            return Ok(0);
        }
        // read back before anything goes, and the last that is written: whoever opens the table begins there
        self.stand_on_checkpoint().await?;
        // the first goes first, as a purge does it, so that a gap in the log is always at its beginning
        old.sort_unstable();
        let mut count = 0;
        for (_, path) in old {
            match self.store.store().delete(&path).await {
                Ok(()) => count += 1,
                // another was faster
                Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(count)
    }

    /// Has checkpoints tell of removed files for so long, and no longer: each of them holds every one. Nothing is committed where
    /// they do already.
    ///
    /// It is also the longest retention that [`History::vacuum`] then takes. Where somebody asked for longer within the last 7 days,
    /// it stays so: several who ask for different times do not take turns. `now` is the real present.
    pub async fn remember_removals(&self, retention: Span, now: Timestamp) -> Result<()> {
        let seconds = retention.micros().cast_unsigned().div_ceil(1_000_000).max(1);
        let wanted = Duration::from_secs(seconds).min(REMOVALS_KEPT);
        for attempt in 0..ATTEMPTS_MAX {
            if self.set_removals_kept(wanted, now).await.map_err(|failure| failure.error)? {
                return Ok(());
            }
            tokio::time::sleep(backoff(attempt)).await;
        }
        Err(Error::Conflict(format!(
            "could not change table '{}': {ATTEMPTS_MAX} other commits came first; try again",
            self.table.id
        )))
    }

    /// When it was last changed how long the log remembers removals: what it had forgotten until then, it does not know now.
    pub(crate) async fn removals_changed(&self) -> Result<Option<Timestamp>> {
        let mut cached = self.cached.lock().await;
        self.refresh(&mut cached).await?;
        self.removals_changed_in(&cached)
    }

    fn removals_changed_in(&self, cached: &Cached) -> Result<Option<Timestamp>> {
        let reading = || format!("read the log of table '{}'", self.table.id);
        let Some(delta) = &cached.delta else { return Ok(None) };
        let state = delta.snapshot().map_err(|error| Error::delta(reading(), error))?;
        let changed = state.metadata().configuration().get(CHANGED_PROPERTY);
        Ok(changed.and_then(|micros| micros.parse().ok()).map(Timestamp))
    }

    /// How long the log remembers which files were removed, and when.
    pub(crate) async fn removals_kept(&self) -> Result<Duration> {
        let mut cached = self.cached.lock().await;
        self.refresh(&mut cached).await?;
        self.removals_kept_in(&cached)
    }

    fn removals_kept_in(&self, cached: &Cached) -> Result<Duration> {
        let reading = || format!("read the log of table '{}'", self.table.id);
        let Some(delta) = &cached.delta else { return Ok(REMOVALS_KEPT) };
        let state = delta.snapshot().map_err(|error| Error::delta(reading(), error))?;
        Ok(state.table_config().deleted_file_retention_duration())
    }

    /// False where another commit came first.
    async fn set_removals_kept(&self, wanted: Duration, now: Timestamp) -> std::result::Result<bool, Failure> {
        let mut cached = self.cached.lock().await;
        let snapshot = self.refresh(&mut cached).await?;
        let Some(last) = snapshot.version else { return Ok(true) };
        let kept = self.removals_kept_in(&cached)?;
        let longer_stays_micros = LONGER_STAYS.as_micros() as i64;
        let is_settled = |changed: Timestamp| changed.0.saturating_add(longer_stays_micros) <= now.0;
        let may_lower = self.removals_changed_in(&cached)?.is_none_or(is_settled);
        if kept.as_secs() == wanted.as_secs() || (wanted < kept && !may_lower) {
            return Ok(true);
        }
        let what = format!("change how long table '{}' remembers removed files", self.table.id);
        let failed = |error| Error::delta(what.as_str(), error);
        let Some(delta) = &cached.delta else { return Ok(true) };
        let metadata = delta.snapshot().map_err(failed)?.metadata().clone();
        let interval = format!("interval {} seconds", wanted.as_secs());
        let changed = now.0.to_string();
        let metadata = metadata
            .add_config_key(REMOVALS_PROPERTY.to_owned(), interval.clone())
            .and_then(|metadata| metadata.add_config_key(CHANGED_PROPERTY.to_owned(), changed.clone()));
        let metadata = metadata.map_err(|error| failed(error.into()))?;
        let entry = Entry {
            version: last + 1,
            actions: vec![Action::Metadata(metadata)],
            operation: DeltaOperation::SetTableProperties {
                properties: HashMap::from([
                    (REMOVALS_PROPERTY.to_owned(), interval),
                    (CHANGED_PROPERTY.to_owned(), changed.clone()),
                ]),
            },
            witness: &changed,
            batches: None,
            what: what.clone(),
        };
        self.write_entry(&mut cached, entry).await
    }
}

/// What of the log's files is to be known to say which may go; of the many that are young, next to nothing.
struct Listed {
    /// The first entry that stays: the last in any case.
    stays: u64,
    /// The versions of checkpoints.
    checkpoints: Vec<u64>,
    /// What is old enough.
    old: Vec<(u64, Path)>,
}

impl Listed {
    fn add(&mut self, file: ObjectMeta, until: Timestamp) {
        let Some(version) = version_of(&file.location) else { return };
        let is_old = file.last_modified.timestamp_micros() <= until.0;
        if file.location.extension() == Some("json") && !is_old {
            self.stays = self.stays.min(version);
        }
        if file.location.filename().is_some_and(|name| name.ends_with(".checkpoint.parquet")) {
            self.checkpoints.push(version);
        }
        if is_old {
            self.old.push((version, file.location));
        }
    }

    /// Those from before the newest checkpoint that stands in their place: one that is no younger than the first entry that stays.
    fn expendable(self) -> Vec<(u64, Path)> {
        let Self { stays, checkpoints, mut old } = self;
        let Some(base) = checkpoints.into_iter().filter(|version| *version <= stays).max() else {
            return Vec::new();
        };
        old.retain(|(version, _)| *version < base);
        old
    }
}

#[cfg(test)]
mod tests {
    use hitherto_core::{Created, KeyType};

    use super::*;
    use crate::compact::samples::{self, Rows, Sample, append, memory, present, table};
    use crate::{CompactOptions, Sweep};

    const HOUR: i64 = 3_600_000_000;

    fn hours(hours: i64) -> Span {
        Span::from_micros(hours * HOUR).expect("a length of time")
    }

    fn sample(key: u8) -> Sample {
        Sample { key, event: 1, created: 1, deleted: None, seed: 1 }
    }

    async fn versions(history: &History) -> Vec<u64> {
        let log = history.root().clone().join(LOG_FOLDER);
        let found: Vec<_> = history.store().store().list(Some(&log)).try_collect().await.expect("a list");
        let entries = found.iter().filter(|file| file.location.extension() == Some("json"));
        let mut versions: Vec<u64> = entries.filter_map(|file| version_of(&file.location)).collect();
        versions.sort_unstable();
        versions
    }

    #[test]
    fn only_what_is_old_and_has_a_checkpoint_in_its_place_may_go() {
        let file = |name: &str, micros: i64| ObjectMeta {
            location: Path::from(format!("v/v-1/_delta_log/{name}")),
            last_modified: chrono::DateTime::from_timestamp_micros(micros).expect("a time"),
            size: 1,
            e_tag: None,
            version: None,
        };
        let expendable = |files: &[(&str, i64)], last| {
            let mut listed = Listed { stays: last, checkpoints: Vec::new(), old: Vec::new() };
            for (name, micros) in files {
                listed.add(file(name, *micros), Timestamp(10));
            }
            let mut versions: Vec<u64> = listed.expendable().into_iter().map(|(version, _)| version).collect();
            versions.sort_unstable();
            versions
        };
        let entry = |version: u64| format!("{version:020}.json");
        let checkpoint = |version: u64| format!("{version:020}.checkpoint.parquet");
        let (entries, checkpoints) = ([1, 2, 3, 4].map(entry), [2, 3].map(checkpoint));
        let log = |young: usize| -> Vec<(&str, i64)> {
            let entries =
                entries.iter().enumerate().map(|(place, name)| (name.as_str(), if place < young { 5 } else { 11 }));
            entries.chain(checkpoints.iter().map(|name| (name.as_str(), 7))).chain([("_last_checkpoint", 1)]).collect()
        };
        assert_eq!(expendable(&log(4), 4), [1, 2, 2], "up to the last checkpoint");
        assert_eq!(expendable(&log(1), 4), [1], "the second stays, and so do those after it");
        assert_eq!(expendable(&log(0), 4), [0_u64; 0]);
        assert_eq!(expendable(&log(4), 1), [0_u64; 0], "the last stays");
    }

    #[tokio::test]
    async fn old_entries_go_and_the_table_stays() {
        let table = table(&[KeyType::Int64], Created::Column);
        let store = memory();
        let (history, late) = (samples::history(&store, &table), samples::history(&store, &table));
        let mut rows = Rows::new();
        for key in 0..25_u8 {
            append(&history, &[sample(key)], Timestamp(1), &mut rows).await;
            if key == 3 {
                late.snapshot().await.expect("a snapshot");
            }
        }
        let now = present();
        assert_eq!(history.shorten(hours(1), now).await.expect("nothing to do"), 0, "all are young");
        assert_eq!(versions(&history).await, (0..25).collect::<Vec<_>>());
        let later = now.saturating_add(hours(2));
        assert_eq!(history.shorten(hours(1), later).await.expect("shortened"), 20, "up to the checkpoint");
        assert_eq!(versions(&history).await, (20..25).collect::<Vec<_>>());
        assert_eq!(history.shorten(hours(1), later).await.expect("shortened"), 5, "up to the one written then");
        assert_eq!(versions(&history).await, [24]);
        assert_eq!(history.shorten(hours(1), later).await.expect("nothing to do"), 0, "the last entry stays");

        let chronicle = history.chronicle().await.expect("a log");
        assert_eq!((chronicle.begins_at, chronicle.is_purged), (24, false));
        assert_eq!(chronicle.files.len(), 25, "the table's own files are told of");
        // as another process reads it, and as one does whose place in the log is gone
        for reader in [&samples::history(&store, &table), &late] {
            assert_eq!(samples::read(reader, i64::MAX).await, rows);
            append(reader, &[sample(99)], Timestamp(1), &mut rows).await;
        }
        history.compact(&CompactOptions::default(), &|_, _| ()).await.expect("compacted");
        assert_eq!(samples::read(&samples::history(&store, &table), i64::MAX).await, rows);
    }

    #[tokio::test]
    async fn checkpoints_tell_of_removed_files_for_as_long_as_is_asked() {
        let table = table(&[KeyType::Int64], Created::Column);
        let store = memory();
        let history = samples::history(&store, &table);
        history.remember_removals(hours(1), present()).await.expect("there is no table yet");
        assert_eq!(history.snapshot().await.expect("a snapshot").version, None, "and none is made");
        let mut rows = Rows::new();
        append(&history, &[sample(1)], Timestamp(1), &mut rows).await;
        assert_eq!(history.removals_kept().await.expect("a log"), REMOVALS_KEPT);
        history.remember_removals(hours(24 * 30), present()).await.expect("no more than there is");
        assert_eq!(history.snapshot().await.expect("a snapshot").version, Some(0), "nothing was committed");
        history.remember_removals(hours(1), present()).await.expect("changed");
        history.remember_removals(hours(1), present()).await.expect("it is so already");
        let again = samples::history(&store, &table);
        assert_eq!(again.snapshot().await.expect("a snapshot").version, Some(1));
        assert_eq!(again.removals_kept().await.expect("a log"), Duration::from_hours(1));
        let error = again.vacuum(hours(2), present(), Sweep::DryRun).await.expect_err("it is forgotten by then");
        assert_eq!(
            error.to_string(),
            "could not keep replaced files for 2h: the log remembers for 1h when a file was replaced; use 1h or less"
        );
        append(&again, &[sample(2)], Timestamp(1), &mut rows).await;
        assert_eq!(samples::read(&history, i64::MAX).await, rows);
    }

    #[tokio::test]
    async fn of_two_who_ask_for_different_times_the_longer_holds() {
        let table = table(&[KeyType::Int64], Created::Column);
        let store = memory();
        let (short, long) = (samples::history(&store, &table), samples::history(&store, &table));
        append(&short, &[sample(1)], Timestamp(1), &mut Rows::new()).await;
        let now = present();
        short.remember_removals(hours(1), now).await.expect("nobody asked for more");
        assert_eq!(short.removals_kept().await.expect("a log"), Duration::from_hours(1));
        let later = now.saturating_add(hours(1));
        long.remember_removals(hours(24), later).await.expect("changed");
        short.remember_removals(hours(1), later.saturating_add(hours(24 * 6))).await.expect("it stays");
        let kept =
            async || (short.removals_kept().await.expect("a log"), short.removals_changed().await.expect("a log"));
        assert_eq!(kept().await, (Duration::from_hours(24), Some(later)));
        let much_later = later.saturating_add(hours(24 * 7));
        short.remember_removals(hours(1), much_later).await.expect("changed");
        assert_eq!(kept().await, (Duration::from_hours(1), Some(much_later)));
    }

    /// What was forgotten before the log was told to remember for longer may have been replaced just then.
    #[tokio::test]
    async fn what_the_log_does_not_know_stays_until_it_would() {
        let table = table(&[KeyType::Int64], Created::Column);
        let history = samples::history(&memory(), &table);
        append(&history, &[sample(1)], Timestamp(1), &mut Rows::new()).await;
        let unknown = history.root().clone().join("data").join("unknown.parquet");
        history.store().store().put(&unknown, "rows".into()).await.expect("written");
        let weeks_later = present().saturating_add(hours(24 * 21));
        history.remember_removals(hours(1), weeks_later).await.expect("changed");
        let vacuum = async |hours_later: i64| {
            let now = weeks_later.saturating_add(hours(hours_later));
            history.vacuum_but(&[], hours(1), now, Sweep::DryRun).await.expect("vacuumed").deleted_files
        };
        assert_eq!([vacuum(0).await, vacuum(1).await], [0, 1]);
    }
}
