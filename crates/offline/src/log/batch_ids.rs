//! The ids of batches that the log has, all of them read at once: the library looks for one after the other, and reads the log anew
//! for each.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::record_batch::RecordBatch;
use datafusion::physical_plan::metrics::Count;
use deltalake_core::DeltaTable;
use deltalake_core::kernel::Transaction;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};

use super::entry::LOG_FOLDER;
use super::line::lines;
use super::{BATCH_APP, Cached, History};
use crate::scan::ObjectReader;
use crate::{Error, Result};

/// For so long an id is remembered, as the table's properties say it.
const KEPT_MS: i64 = 30 * 24 * 3_600_000;
/// So many entries of the log are asked for at once.
const ENTRIES_AT_ONCE: usize = 16;
/// Forgotten ids are looked for when there are so many more than the last time.
const GROWTH_MIN: usize = 10_000;

/// What the log has of batches, up to a version. Of an id it holds the hash, so that an id of any length takes some fifty bytes.
#[derive(Debug, Default)]
pub(super) struct BatchIds {
    up_to: u64,
    by_digest: HashMap<u128, Remembered>,
    /// When the youngest was written, by the store's clock.
    newest_ms: i64,
    /// How many there were when the forgotten ones were last left out.
    counted: usize,
}

#[derive(Clone, Copy, Debug)]
struct Remembered {
    content: i64,
    /// None of one that is never forgotten.
    written_ms: Option<i64>,
}

impl BatchIds {
    /// The content of the batch with this id. Ids are forgotten 30 days before the youngest, if not earlier by a checkpoint.
    pub(super) fn content(&self, id: &str) -> Option<i64> {
        let known = self.by_digest.get(&digest(id))?;
        self.is_remembered(known).then_some(known.content)
    }

    /// A batch that was appended after those that are known.
    pub(super) fn add(&mut self, id: &str, content: i64, written_ms: Option<i64>) {
        self.newest_ms = self.newest_ms.max(written_ms.unwrap_or_default());
        self.by_digest.insert(digest(id), Remembered { content, written_ms });
    }

    fn add_transaction(&mut self, transaction: &Transaction) {
        if let Some(id) = transaction.app_id.strip_prefix(BATCH_APP) {
            self.add(id, transaction.version, transaction.last_updated);
        }
    }

    /// That all entries up to this one have been added.
    fn reach(&mut self, version: u64) {
        self.up_to = self.up_to.max(version);
        if self.by_digest.len() > 2 * self.counted + GROWTH_MIN {
            let oldest_ms = self.newest_ms - KEPT_MS;
            self.by_digest.retain(|_, known| known.written_ms.is_none_or(|written| written >= oldest_ms));
            self.counted = self.by_digest.len();
        }
    }

    fn is_remembered(&self, known: &Remembered) -> bool {
        known.written_ms.is_none_or(|written| written >= self.newest_ms - KEPT_MS)
    }

    /// Takes the transactions of a part of a checkpoint.
    fn add_rows(&mut self, rows: &RecordBatch) -> std::result::Result<(), arrow::error::ArrowError> {
        let Some(transactions) = rows.column_by_name("txn").and_then(AsArray::as_struct_opt) else {
            return Ok(());
        };
        let column = |name: &str, wanted: &DataType| {
            let missing = || arrow::error::ArrowError::SchemaError(format!("a checkpoint has no column txn.{name}"));
            transactions.column_by_name(name).ok_or_else(missing).and_then(|column| cast(column, wanted))
        };
        let ids = column("appId", &DataType::Utf8)?;
        let contents = column("version", &DataType::Int64)?;
        let written = column("lastUpdated", &DataType::Int64)?;
        let (ids, contents) = (ids.as_string::<i32>(), contents.as_primitive::<Int64Type>());
        let written = written.as_primitive::<Int64Type>();
        for row in (0..rows.num_rows()).filter(|row| transactions.is_valid(*row) && ids.is_valid(*row)) {
            if let Some(id) = ids.value(row).strip_prefix(BATCH_APP) {
                self.add(id, contents.value(row), written.is_valid(row).then(|| written.value(row)));
            }
        }
        Ok(())
    }
}

/// What the log says of its last checkpoint.
#[derive(Deserialize)]
struct LastCheckpoint {
    version: u64,
    parts: Option<u64>,
    #[serde(rename = "v2Checkpoint")]
    other: Option<IgnoredAny>,
}

impl Cached {
    /// Keeps the batches of entries that were read, where all before them are known.
    pub(super) fn keep_recent(&mut self) {
        let base = self.delta.as_ref().and_then(DeltaTable::version);
        let end = self.snapshot.as_ref().and_then(|snapshot| snapshot.version);
        let (Some(ids), Some(base), Some(end)) = (&mut self.ids, base, end) else { return };
        if ids.up_to < base {
            return;
        }
        for (id, batch) in &self.recent {
            if batch.version > ids.up_to {
                ids.add(id, batch.content, batch.written_ms);
            }
        }
        ids.reach(end);
    }
}

impl History {
    /// What the log has of batches up to where the library has read it; none where it has a form of which only the library can tell.
    pub(super) async fn batch_ids<'a>(&self, cached: &'a mut Cached) -> Result<Option<&'a BatchIds>> {
        let Some(version) = cached.delta.as_ref().and_then(DeltaTable::version) else { return Ok(None) };
        if let Some(mut known) = cached.ids.take()
            && self.read_ids_on(&mut known, version).await?
        {
            cached.ids = Some(known);
        }
        if cached.ids.is_none() {
            cached.ids = self.read_ids(version).await?;
        }
        Ok(cached.ids.as_ref())
    }

    async fn read_ids(&self, version: u64) -> Result<Option<BatchIds>> {
        let mut ids = BatchIds::default();
        let log = self.root.clone().join(LOG_FOLDER);
        match self.last_checkpoint(&log).await? {
            Some(LastCheckpoint { parts: Some(_), .. } | LastCheckpoint { other: Some(_), .. }) => return Ok(None),
            Some(last) => {
                let path = log.join(format!("{:020}.checkpoint.parquet", last.version));
                if !self.read_ids_of(&path, &mut ids).await? {
                    return Ok(None);
                }
                ids.reach(last.version);
            }
            None => {
                // the first entry makes the table
                if !self.read_ids_between(&mut ids, 0, 0).await? {
                    return Ok(None);
                }
            }
        }
        Ok(self.read_ids_on(&mut ids, version).await?.then_some(ids))
    }

    async fn last_checkpoint(&self, log: &Path) -> Result<Option<LastCheckpoint>> {
        let path = log.clone().join("_last_checkpoint");
        let failed = |error| Error::object_store(format!("read '{path}'"), error);
        let text = match self.store.store().get(&path).await {
            Ok(found) => found.bytes().await.map_err(failed)?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let corrupt = |error: serde_json::Error| Error::Corrupt { path: path.to_string(), reason: error.to_string() };
        serde_json::from_slice(&text).map(Some).map_err(corrupt)
    }

    /// False where the checkpoint is not there, or not any more.
    async fn read_ids_of(&self, path: &Path, ids: &mut BatchIds) -> Result<bool> {
        let size_bytes = match self.store.store().head(path).await {
            Ok(found) => found.size,
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(Error::object_store(format!("look for '{path}'"), error)),
        };
        let failed = |error| Error::parquet(format!("read '{path}'"), error);
        let store = Arc::clone(self.store.store());
        let reader = ObjectReader { store, path: path.clone(), size_bytes, bytes_read: Count::new() };
        let builder = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(failed)?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), ["txn"]);
        let mut rows = builder.with_projection(mask).build().map_err(failed)?;
        while let Some(rows) = rows.try_next().await.map_err(failed)? {
            ids.add_rows(&rows).map_err(|error| Error::arrow(format!("read '{path}'"), error))?;
        }
        Ok(true)
    }

    /// Reads the entries up to `version` that are not known; false where one of them is not there any more.
    async fn read_ids_on(&self, ids: &mut BatchIds, version: u64) -> Result<bool> {
        if ids.up_to >= version { Ok(true) } else { self.read_ids_between(ids, ids.up_to + 1, version).await }
    }

    async fn read_ids_between(&self, ids: &mut BatchIds, first: u64, last: u64) -> Result<bool> {
        let entries = stream::iter(first..=last).map(|version| self.log_store.read_commit_entry(version));
        let mut entries = entries.buffered(ENTRIES_AT_ONCE);
        let failed = |error| Error::delta(format!("read the log of table '{}'", self.table.id), error);
        while let Some(entry) = entries.try_next().await.map_err(failed)? {
            let Some(Ok(lines)) = entry.map(|entry| lines(&entry)) else { return Ok(false) };
            lines.iter().filter_map(|line| line.txn.as_ref()).for_each(|txn| ids.add_transaction(txn));
        }
        ids.reach(last);
        Ok(true)
    }
}

fn digest(id: &str) -> u128 {
    let digest: [u8; 32] = Sha256::digest(id).into();
    digest.first_chunk().map_or(0, |first| u128::from_le_bytes(*first))
}

#[cfg(test)]
mod tests {
    use hitherto_core::{Created, KeyType, Timestamp};

    use super::*;
    use crate::compact::samples::{self, Sample, batch, memory, table};
    use crate::{Appended, BatchId};

    async fn append(history: &History, id: usize) -> Appended {
        let sample = Sample { key: id as u8, event: 1, created: 1, deleted: None, seed: 1 };
        let rows = batch(history.table(), &[sample]);
        let ready = history.ready(BatchId::Given(format!("id-{id}")), &rows).await.expect("ready");
        let mut appended = history.append_all(&[ready], &|| Timestamp(1)).await.expect("appended");
        appended.remove(0).expect("no conflict")
    }

    #[tokio::test]
    async fn ids_are_read_at_once_from_a_checkpoint_and_from_what_follows_it() {
        let table = table(&[KeyType::Int64], Created::Column);
        let store = memory();
        let first = samples::history(&store, &table);
        for id in 0..25 {
            assert!(matches!(append(&first, id).await, Appended::Done(_)));
            if id == 20 {
                first.checkpoint_when_due(20).await;
            }
        }
        let ids: Vec<String> = (0..30).map(|id| format!("id-{id}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let fresh = samples::history(&store, &table);
        let (at, known) = fresh.known_batches(&ids).await.expect("read");
        assert_eq!((at, known.len()), (Some(24), 25));
        assert_eq!(fresh.cached.lock().await.ids.as_ref().map(|ids| (ids.up_to, ids.by_digest.len())), Some((24, 25)));
        // what is appended from here on is known as well, by whoever appended it
        assert!(matches!(append(&first, 25).await, Appended::Done(_)));
        for history in [&first, &fresh, &samples::history(&store, &table)] {
            let (_, known) = history.known_batches(&ids).await.expect("read");
            assert_eq!(known.len(), 26);
            assert_eq!(append(history, 3).await, Appended::Already { batch_id: "id-3".to_owned() });
        }
    }

    /// Whoever read the log before another shortened it looks for ids in entries that are gone.
    #[tokio::test]
    async fn a_log_that_was_shortened_meanwhile_is_read_anew() {
        let table = table(&[KeyType::Int64], Created::Column);
        let store = memory();
        let (first, late) = (samples::history(&store, &table), samples::history(&store, &table));
        append(&first, 0).await;
        for id in 1..45 {
            // it reads on, and what the library has read stays as old as it was
            late.snapshot().await.expect("a snapshot");
            append(&first, id).await;
            first.checkpoint_when_due(id as u64).await;
        }
        late.snapshot().await.expect("a snapshot");
        let later = samples::present().saturating_add(hitherto_core::Span::from_micros(7_200_000_000).expect("2 h"));
        let hour = hitherto_core::Span::from_micros(3_600_000_000).expect("1 h");
        assert!(first.shorten(hour, later).await.expect("shortened") > 0);
        assert!(matches!(append(&late, 99).await, Appended::Done(_)));
        assert_eq!(append(&late, 7).await, Appended::Already { batch_id: "id-7".to_owned() });
    }

    #[test]
    fn ids_are_forgotten_after_their_time() {
        let mut ids = BatchIds::default();
        ids.add("old", 1, Some(0));
        ids.add("ours", 2, None);
        for id in 0..GROWTH_MIN {
            ids.add(&id.to_string(), 3, Some(KEPT_MS));
        }
        assert_eq!((ids.content("old"), ids.content("9")), (Some(1), Some(3)));
        ids.add("new", 4, Some(KEPT_MS + 1));
        assert_eq!((ids.content("old"), ids.content("ours")), (None, Some(2)));
        ids.reach(7);
        assert_eq!(ids.by_digest.len(), GROWTH_MIN + 2, "the old one takes no memory");
    }
}
