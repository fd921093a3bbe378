//! The table log: which files make up a table, in which order, and since when.
//!
//! One Delta table per table of the registry. We use `deltalake-core` as a log only; files are written, scanned and
//! compacted by this crate, because Delta's own scan hides order and its own writer knows no `_sequence`.

mod batch_ids;
mod check;
mod checkpoint;
mod chronicle;
mod commit;
mod delta_schema;
mod entry;
mod erase;
mod line;
mod purge;
mod retain;
mod rewrite;
mod snapshot;
mod tail;

pub use check::FilesChecked;
pub use chronicle::{Chronicle, FileOrigin, LoggedBatch, LoggedFile};
pub use erase::TableErasure;
pub use snapshot::{DataFile, Snapshot, TimeRange};

pub(crate) use commit::{Committed, Offer, Part, other_content};
pub(crate) use entry::{Failure, NewFile, backoff};
pub(crate) use erase::{Excised, Excision};
pub use purge::Purged;
pub(crate) use rewrite::{Rewrite, Rewritten};
pub(crate) use snapshot::timestamp_text;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use deltalake_core::DeltaTable;
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use hitherto_core::{Table, Timestamp};
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use tokio::sync::Mutex;

use crate::{Error, OfflineStore, Result};

/// The id under which a commit records the next free `_sequence`. It has no time of its own, so it never expires.
const SEQUENCE_APP: &str = "hitherto/sequence";
/// The id under which a commit records its time in microseconds, so that later ones are never earlier.
const CLOCK_APP: &str = "hitherto/clock";
/// The ids under which commits record the content of batches; they expire.
const BATCH_APP: &str = "hitherto/batch/";

/// How long the log remembers which files were removed, and when: what Delta tables do unless told otherwise.
pub(crate) const REMOVALS_KEPT: Duration = Duration::from_hours(7 * 24);

/// One table's history in an offline store. Making one does no IO, and a table that nothing was appended to need not
/// exist in the store.
pub struct History {
    store: OfflineStore,
    table: Table,
    root: Path,
    log_store: LogStoreRef,
    cached: Mutex<Cached>,
    /// The snapshot that this process saw last, for who must not wait until a commit is done.
    seen: std::sync::Mutex<Option<Arc<Snapshot>>>,
    /// The last checkpoint that was written after a group of appends.
    checkpointed: std::sync::Mutex<Option<checkpoint::Written>>,
    /// Files that are being rewritten by compactions that nobody asked for.
    compacted: Arc<std::sync::Mutex<HashSet<Path>>>,
    /// Up to which version this process knows the log to be shortened.
    shortened_to: AtomicU64,
}

/// What this process last saw of the log.
#[derive(Default)]
struct Cached {
    /// The log as the library read it: its columns and properties are those of `snapshot`, what else it has may be older.
    delta: Option<DeltaTable>,
    /// What is known; none while `delta` is none.
    snapshot: Option<Arc<Snapshot>>,
    /// Batches by id, from the entries that were read since `delta` was.
    recent: HashMap<String, RecentBatch>,
    /// Batches up to `delta`, at least, once somebody has asked for them.
    ids: Option<batch_ids::BatchIds>,
}

/// A batch as an entry records it.
#[derive(Clone, Copy)]
struct RecentBatch {
    /// The entry.
    version: u64,
    /// The fingerprint of its content.
    content: i64,
    /// When it was written, by the store's clock, in milliseconds.
    written_ms: Option<i64>,
}

impl History {
    /// The history of `table` in `store`, at `<base>/<view>/<table id>/`.
    pub fn new(store: &OfflineStore, table: Table) -> Result<Self> {
        let root = store.base().clone().join(table.view.as_str()).join(table.id.as_str());
        let url = store.folder_url(&root)?;
        let below = Arc::new(PrefixStore::new(Arc::clone(store.store()), root.clone()));
        let log_store = default_logstore(below, Arc::clone(store.store()), &url, &StorageConfig::default());
        Ok(Self {
            store: store.clone(),
            table,
            root,
            log_store,
            cached: Mutex::default(),
            seen: std::sync::Mutex::default(),
            checkpointed: std::sync::Mutex::default(),
            compacted: Arc::default(),
            shortened_to: AtomicU64::new(0),
        })
    }

    /// The history of the same table as it is defined now: compactions of both leave each other's files alone.
    pub fn succeeded_by(&self, table: Table) -> Result<Self> {
        Ok(Self { compacted: Arc::clone(&self.compacted), ..Self::new(&self.store, table)? })
    }

    /// The table.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The store that it lies in.
    pub fn store(&self) -> &OfflineStore {
        &self.store
    }

    /// The table's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Files that are being rewritten by compactions that nobody asked for.
    pub(crate) fn claimed(&self) -> MutexGuard<'_, HashSet<Path>> {
        self.compacted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The table as it is now; without files where nothing was ever appended. Later commits do not change it.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>> {
        let mut cached = self.cached.lock().await;
        self.refresh(&mut cached).await
    }

    /// The table as this process last saw it, or as it is now where it was not seen yet. Waits for no commit under way.
    pub(crate) async fn last_snapshot(&self) -> Result<Arc<Snapshot>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match seen {
            Some(known) => Ok(known),
            None => self.snapshot().await,
        }
    }

    /// Reads what was committed since the last look.
    async fn refresh(&self, cached: &mut Cached) -> Result<Arc<Snapshot>> {
        match self.read_on(cached).await? {
            Some(snapshot) => Ok(snapshot),
            None => self.reread(cached).await,
        }
    }

    /// The same by the library, which then knows all that there is to know.
    async fn reread(&self, cached: &mut Cached) -> Result<Arc<Snapshot>> {
        let reading = || format!("read the log of table '{}'", self.table.id);
        let mut broken = None;
        cached.keep_recent();
        if let Some(delta) = &mut cached.delta
            && let Err(error) = delta.update_incremental(None).await
        {
            // entries that we would read on from may have gone with an erasure: the log has to be read anew then
            tracing::debug!(table = %self.table.id, %error, "could not read on in the table's log");
            self.unsee(cached);
            broken = Some(error);
        }
        if cached.delta.is_none() {
            let there = self.log_store.is_delta_table_location().await.map_err(|e| Error::delta(reading(), e))?;
            if !there {
                // a log that was there a moment ago is lost, not empty
                return broken.map_or_else(|| Ok(Arc::default()), |error| Err(Error::delta(reading(), error)));
            }
            let mut delta = DeltaTable::new(Arc::clone(&self.log_store));
            delta.load().await.map_err(|e| Error::delta(reading(), e))?;
            *cached = Cached { delta: Some(delta), ..Cached::default() };
        }
        let Some(delta) = &cached.delta else { return Ok(Arc::new(Snapshot::default())) };
        let known = cached.snapshot.as_ref().filter(|known| known.version == delta.version());
        let snapshot = match known {
            Some(known) => Arc::clone(known),
            None => Arc::new(self.read_snapshot(delta).await?),
        };
        cached.recent.clear();
        self.see(cached, &snapshot);
        Ok(snapshot)
    }

    /// The same as [`History::refresh`] for whoever asks the library of more than columns and properties.
    async fn refresh_whole(&self, cached: &mut Cached) -> Result<Arc<Snapshot>> {
        let snapshot = self.refresh(cached).await?;
        match &cached.delta {
            Some(delta) if delta.version() != snapshot.version => self.reread(cached).await,
            _ => Ok(snapshot),
        }
    }

    fn see(&self, cached: &mut Cached, snapshot: &Arc<Snapshot>) {
        cached.snapshot = Some(Arc::clone(snapshot));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(snapshot));
    }

    /// What was known of the log is not to be relied on.
    fn unsee(&self, cached: &mut Cached) {
        *cached = Cached::default();
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    async fn read_snapshot(&self, delta: &DeltaTable) -> Result<Snapshot> {
        let reading = || format!("read the log of table '{}'", self.table.id);
        let state = delta.snapshot().map_err(|e| Error::delta(reading(), e))?;
        let files = state
            .log_data()
            .iter()
            .map(|view| snapshot::data_file(&self.root, &view))
            .collect::<Result<Vec<DataFile>>>()?;
        let recorded = self.recorded(delta, SEQUENCE_APP).await?.unwrap_or(0);
        let clock = self.recorded(delta, CLOCK_APP).await?.map(Timestamp);
        let after_files = files.iter().filter_map(DataFile::last_sequence).max().map_or(0, |last| last + 1);
        let columns = state.schema().fields().map(|field| field.name().clone()).collect();
        let corrupt = |reason| Error::Corrupt { path: self.root.to_string(), reason };
        let erasures = erase::erasures(state.metadata().configuration()).map_err(corrupt)?;
        let time = files.iter().filter_map(|file| file.commit_time).max().max(clock);
        Ok(Snapshot {
            version: Some(state.version()),
            files,
            next_sequence: recorded.max(after_files),
            last_commit: time,
            columns,
            erasures,
        })
    }

    /// What the log has recorded under `app`, unless it has expired.
    async fn recorded(&self, delta: &DeltaTable, app: &str) -> Result<Option<i64>> {
        let reading = || format!("read the log of table '{}'", self.table.id);
        let state = delta.snapshot().map_err(|e| Error::delta(reading(), e))?;
        state.transaction_version(&self.log_store, app).await.map_err(|e| Error::delta(reading(), e))
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History").field("store", &self.store).field("table", &self.table.id).finish_non_exhaustive()
    }
}
