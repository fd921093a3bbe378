//! The files of a table held against the hashes that its commits recorded.

use std::collections::HashMap;

use deltalake_core::kernel::LogicalFileView;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::History;
use crate::{Error, Result};

/// The tag of a file in the log that holds the SHA-256 of its bytes, in hex.
pub(super) const HASH_TAG: &str = "hitherto.sha256";
/// Files that are read at once.
const AT_ONCE: usize = 4;

/// What a check of a table's files found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FilesChecked {
    /// Files that are as they were written.
    pub whole: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files whose hash no commit recorded, of which nothing is said: earlier versions and other writers leave it out.
    pub unrecorded: u64,
    /// What is wrong; each names the file.
    pub faults: Vec<String>,
}

/// What was found of one file.
enum Found {
    Whole(u64),
    Unrecorded,
    Fault(String),
}

impl History {
    /// Reads every file of the table as it is now, and holds its bytes against what the commit that added it recorded.
    /// `seen` is told how many bytes were read since it was told last.
    pub async fn check_files(&self, seen: &(dyn Fn(u64) + Send + Sync)) -> Result<FilesChecked> {
        let recorded = self.recorded_hashes().await?;
        let snapshot = self.snapshot().await?;
        let checks = snapshot.files.iter().map(|file| {
            let recorded = recorded.get(&file.path).cloned();
            self.check_file(file.path.clone(), recorded, seen)
        });
        let found: Vec<Found> = futures::stream::iter(checks).buffered(AT_ONCE).try_collect().await?;
        let mut checked = FilesChecked::default();
        for found in found {
            match found {
                Found::Whole(bytes) => {
                    checked.whole += 1;
                    checked.bytes += bytes;
                }
                Found::Unrecorded => checked.unrecorded += 1,
                Found::Fault(fault) => checked.faults.push(fault),
            }
        }
        checked.faults.sort_unstable();
        Ok(checked)
    }

    async fn check_file(
        &self,
        path: Path,
        recorded: Option<String>,
        seen: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Found> {
        let Some(recorded) = recorded else { return Ok(Found::Unrecorded) };
        let failed = |error| Error::object_store(format!("read '{path}'"), error);
        let mut bytes = match self.store.store().get(&path).await {
            Ok(found) => found.into_stream(),
            Err(StoreError::NotFound { .. }) => {
                return Ok(Found::Fault(format!("{} of table '{}' is gone", self.below_root(&path), self.table.id)));
            }
            Err(error) => return Err(failed(error)),
        };
        let (mut hash, mut size) = (Sha256::new(), 0);
        while let Some(chunk) = bytes.try_next().await.map_err(failed)? {
            let read = chunk.len() as u64;
            let hashed = tokio::task::spawn_blocking(move || hash.chain_update(&chunk)).await;
            hash = hashed.map_err(|error| Error::io(format!("hash '{path}'"), error.into()))?;
            size += read;
            seen(read);
        }
        let found = hex::encode(hash.finalize());
        if found == recorded {
            return Ok(Found::Whole(size));
        }
        Ok(Found::Fault(format!(
            "{} of table '{}' was changed: its SHA-256 is {found}, and {recorded} was written",
            self.below_root(&path),
            self.table.id
        )))
    }

    /// What commits recorded of the table's files; those of which they recorded nothing are left out.
    async fn recorded_hashes(&self) -> Result<HashMap<Path, String>> {
        let mut cached = self.cached.lock().await;
        self.refresh_whole(&mut cached).await?;
        let Some(delta) = &cached.delta else { return Ok(HashMap::new()) };
        let reading = || format!("read the log of table '{}'", self.table.id);
        let state = delta.snapshot().map_err(|error| Error::delta(reading(), error))?;
        let of = |view: LogicalFileView| {
            let path = self.root.parts().chain(view.object_store_path().parts()).collect();
            Some((path, recorded(&view)?))
        };
        Ok(state.log_data().iter().filter_map(of).collect())
    }
}

fn recorded(view: &LogicalFileView) -> Option<String> {
    #[expect(deprecated, reason = "a file's tags are to be had in no other way")]
    let mut add = view.add_action();
    add.tags.as_mut()?.remove(HASH_TAG).flatten()
}
