//! Reading on in a log that was read before.
//!
//! The library that reads the log lists its folder to find what is new there, and that folder is as long as the table's past.
//! Who knows a version knows the name of the next entry: one request asks for it, and another whether the log was not shortened
//! meanwhile. An entry of an append or a rewrite is applied to what is known; of any other the library is asked.

use std::collections::HashSet;
use std::sync::Arc;

use hitherto_core::Timestamp;
use object_store::ObjectStoreExt;

use super::entry::{LOG_FOLDER, entry_name};
use super::line::{Line, lines};
use super::{BATCH_APP, CLOCK_APP, Cached, History, RecentBatch, SEQUENCE_APP, Snapshot, snapshot};
use crate::{DataFile, Error, Result};

impl History {
    /// What is known, and what the entries after it tell; none where only the library can tell.
    pub(super) async fn read_on(&self, cached: &mut Cached) -> Result<Option<Arc<Snapshot>>> {
        let Some((known, begin)) = cached.snapshot.clone().and_then(|known| Some((Arc::clone(&known), known.version?)))
        else {
            return Ok(None);
        };
        let (mut snapshot, mut version, mut recent) = (known, begin, Vec::new());
        loop {
            let entry = self.log_store.read_commit_entry(version + 1).await;
            let entry = entry.map_err(|e| Error::delta(format!("read the log of table '{}'", self.table.id), e))?;
            let Some(entry) = entry else { break };
            version += 1;
            // what another writer wrote in a way of its own the library may understand
            let Ok(lines) = lines(&entry) else { return Ok(None) };
            let Some(next) = self.followed_by(&snapshot, version, &lines)? else { return Ok(None) };
            snapshot = Arc::new(next);
            recent.extend(batches(version, &lines));
        }
        // entries are deleted from the first on: while this one is there, what follows it is the log
        if !self.has_entry(begin).await? {
            return Ok(None);
        }
        for (id, batch) in recent {
            cached.recent.insert(id, batch);
        }
        self.see(cached, &snapshot);
        Ok(Some(snapshot))
    }

    /// Whether the log has an entry of this version.
    pub(super) async fn has_entry(&self, version: u64) -> Result<bool> {
        let path = self.root.clone().join(LOG_FOLDER).join(entry_name(version));
        match self.store.store().head(&path).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(Error::object_store(format!("look for the log of table '{}'", self.table.id), error)),
        }
    }

    /// The table after one more entry; none where it changes more than files and transactions.
    fn followed_by(&self, before: &Snapshot, version: u64, lines: &[Line]) -> Result<Option<Snapshot>> {
        let is_ours = |line: &Line| {
            let has_vector = line.add.as_ref().is_some_and(|add| add.deletion_vector.is_some())
                || line.remove.as_ref().is_some_and(|remove| remove.deletion_vector.is_some());
            line.metadata.is_none() && line.protocol.is_none() && !has_vector
        };
        if !lines.iter().all(is_ours) {
            return Ok(None);
        }
        let removed: HashSet<_> = lines
            .iter()
            .filter_map(|line| Some(snapshot::file_path(&self.root, &line.remove.as_ref()?.path)))
            .collect();
        let added = lines.iter().filter_map(|line| line.add.as_ref());
        // the newest first, as the library has them
        let mut files = added.map(|add| snapshot::added_file(&self.root, add)).collect::<Result<Vec<DataFile>>>()?;
        let last_sequence = files.iter().filter_map(DataFile::last_sequence).max();
        let last_time = files.iter().filter_map(|file| file.commit_time).max();
        files.extend(before.files.iter().filter(|file| !removed.contains(&file.path)).cloned());
        let recorded = |app: &str| {
            let mut transactions = lines.iter().filter_map(|line| line.txn.as_ref());
            transactions.find(|transaction| transaction.app_id == app).map(|transaction| transaction.version)
        };
        let after_files = last_sequence.map_or(0, |last| last + 1);
        let next_sequence = before.next_sequence.max(recorded(SEQUENCE_APP).unwrap_or(0)).max(after_files);
        Ok(Some(Snapshot {
            version: Some(version),
            files,
            next_sequence,
            last_commit: before.last_commit.max(last_time).max(recorded(CLOCK_APP).map(Timestamp)),
            columns: before.columns.clone(),
            erasures: before.erasures.clone(),
        }))
    }
}

/// The batches that an entry records, by their ids.
fn batches(version: u64, lines: &[Line]) -> impl Iterator<Item = (String, RecentBatch)> {
    lines.iter().filter_map(move |line| {
        let transaction = line.txn.as_ref()?;
        let id = transaction.app_id.strip_prefix(BATCH_APP)?;
        let (content, written_ms) = (transaction.version, transaction.last_updated);
        Some((id.to_owned(), RecentBatch { version, content, written_ms }))
    })
}
