//! Compaction: small files become runs, sorted by key and then time, and no row changes.
//!
//! A *run* is a set of files that were written together: sorted by keys (nulls first), event time, created time and
//! `_sequence`, without a key in two files but perhaps where one ends and the next begins. Files of a run carry
//! `_sequence` and `_ingested_at` as columns, so that a table pinned at any `_sequence` reads the same before and after.

mod choose;
mod run;
mod sort;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use hitherto_core::Kind;
use object_store::path::Path;

use self::run::RunWriter;
use self::sort::Memory;
use crate::append::FILE_BYTES;
use crate::key_match::KeyMatch;
use crate::log::{Failure, NewFile, Rewrite, Rewritten};
use crate::{DataFile, Error, History, PinnedTable, Result, SEQUENCE, Snapshot, history_schema, recovered};

pub use choose::Reach;

/// How often progress is told while nothing else happens.
const TICK: Duration = Duration::from_millis(100);

/// How a table is compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactOptions {
    /// How much is taken on.
    pub reach: Reach,
    /// Memory for sorting and writing. Rows that do not fit wait in temporary files.
    pub memory_bytes: usize,
    /// Files are cut when they have about this many bytes.
    pub file_bytes: u64,
}

impl CompactOptions {
    /// Less memory than this is refused.
    pub const MEMORY_BYTES_MIN: usize = 32 << 20;
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self { reach: Reach::New, memory_bytes: 1 << 30, file_bytes: FILE_BYTES }
    }
}

/// How a compaction ended, if not in an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compacted {
    /// Files were rewritten.
    Done(Compaction),
    /// There was nothing to rewrite.
    Nothing {
        /// The files of the table.
        files: usize,
    },
    /// Another compaction rewrote some of the same files first; nothing changed.
    Overtaken,
}

/// What a compaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// The version of the log that it made.
    pub version: u64,
    /// Rows that were rewritten, each with its `_sequence` and `_ingested_at`.
    pub rows: u64,
    /// The files of the table before.
    pub files_before: usize,
    /// The files of the table after.
    pub files_after: usize,
    /// How many of the files were rewritten.
    pub rewritten_files: usize,
    /// Their size.
    pub rewritten_bytes: u64,
    /// How many files took their place.
    pub written_files: usize,
    /// Their size.
    pub written_bytes: u64,
}

/// What a run is made of.
pub(crate) struct RunRequest<'a> {
    pub(crate) inputs: &'a [DataFile],
    pub(crate) rows: Rows<'a>,
    pub(crate) options: &'a CompactOptions,
    /// Told the rows so far and those in all.
    pub(crate) progress: &'a (dyn Fn(u64, u64) + Send + Sync),
}

/// Which rows of the files.
#[derive(Clone, Copy)]
pub(crate) enum Rows<'a> {
    All,
    /// All but those of a key, of which there are so many.
    Without {
        key: &'a KeyMatch,
        rows: u64,
    },
}

impl History {
    /// Rewrites files as `options` say, in one commit, and calls `progress` with the rows so far and those in all.
    ///
    /// Rows, and what is read at any `_sequence`, stay. Appends and readers may be at work meanwhile, and readers that
    /// pinned the table before go on reading the old files, which stay until [`History::vacuum`]. A compaction that
    /// ends early leaves the table as it was.
    pub async fn compact(
        &self,
        options: &CompactOptions,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<Compacted> {
        if options.memory_bytes < CompactOptions::MEMORY_BYTES_MIN {
            let (given, least) = (options.memory_bytes, CompactOptions::MEMORY_BYTES_MIN >> 20);
            return Err(Error::Invalid(format!(
                "could not compact in {given} bytes of memory: give at least {least} MiB"
            )));
        }
        let snapshot = self.snapshot().await?;
        let claim = self.claim(&snapshot, options.reach);
        let inputs = &claim.inputs;
        if inputs.is_empty() {
            return Ok(Compacted::Nothing { files: snapshot.files.len() });
        }
        self.refuse_unknown_columns(&snapshot)?;
        let mut outputs = Vec::new();
        let request = RunRequest { inputs, rows: Rows::All, options, progress };
        let written = match self.write_run(&request, &mut outputs).await {
            Ok(()) => self.refuse_missing(&outputs).await,
            failed => failed,
        };
        let done = match written {
            Ok(()) => self.rewrite(&Rewrite { inputs, outputs: &outputs, file_bytes: options.file_bytes }).await,
            Err(error) => Err(error.into()),
        };
        match done {
            Ok(Rewritten::Done { version }) => Ok(Compacted::Done(compaction(version, &snapshot, inputs, &outputs))),
            Ok(Rewritten::Overtaken) => {
                self.discard(&outputs).await;
                Ok(Compacted::Overtaken)
            }
            Err(Failure { error, may_delete }) => {
                if may_delete {
                    self.discard(&outputs).await;
                }
                // whoever came first may have been followed by a vacuum
                if error.kind() == Kind::NotFound && !self.has_all(inputs).await? {
                    return Ok(Compacted::Overtaken);
                }
                Err(error)
            }
        }
    }

    /// How many files of the table are fresh and small, without those that are just being rewritten: what [`Reach::Small`] is
    /// for.
    pub async fn small_files(&self) -> Result<usize> {
        let snapshot = self.snapshot().await?;
        Ok(choose::small_files(&unclaimed(&snapshot.files, &self.claimed())))
    }

    /// Whether there is work for [`Reach::Rest`], be it for `after` small files.
    pub async fn leaves_much(&self, after: usize) -> Result<bool> {
        let snapshot = self.snapshot().await?;
        Ok(choose::is_left(&unclaimed(&snapshot.files, &self.claimed()), after))
    }

    /// The files to be rewritten. Compactions that happen by themselves leave each other's files alone; one that was asked for
    /// takes what it is to take, and may come first.
    fn claim(&self, snapshot: &Snapshot, reach: Reach) -> Claim<'_> {
        if !reach.is_beside() {
            return Claim { history: self, inputs: choose::chosen(&snapshot.files, reach), paths: Vec::new() };
        }
        let mut claimed = self.claimed();
        let inputs = choose::chosen(&unclaimed(&snapshot.files, &claimed), reach);
        let paths: Vec<Path> = inputs.iter().map(|file| file.path.clone()).collect();
        claimed.extend(paths.iter().cloned());
        drop(claimed);
        Claim { history: self, inputs, paths }
    }

    /// Writes the rows of some files as a run; the files that it closes go to `outputs`, also where it fails later.
    pub(crate) async fn write_run(&self, request: &RunRequest<'_>, outputs: &mut Vec<NewFile>) -> Result<()> {
        let RunRequest { inputs, rows: wanted, options, progress } = request;
        let memory = Memory::new(options.memory_bytes);
        let store = Arc::clone(self.store().store());
        let pinned = PinnedTable::new(store, self.table().clone(), inputs, i64::MAX);
        let mut rows = pinned.whole_rows(memory.batch_bytes()).await?;
        let mut total: u64 = inputs.iter().map(|file| file.rows).sum();
        if let Rows::Without { key, rows: of_key } = *wanted {
            rows = rows.without(key);
            total -= of_key;
        }
        let read = Arc::new(Tally::default());
        let written = Tally::default();
        let mut sorted = sort::sorted(&rows, self.table(), memory, &read)?;
        let mut run = RunWriter::new(self, Arc::clone(rows.schema()), options.file_bytes, outputs);
        loop {
            let next = async {
                let batch = loop {
                    // nothing comes out before all is read, and whoever watches wants to see that it is read
                    match tokio::time::timeout(TICK, sorted.try_next()).await {
                        Ok(batch) => break batch.map_err(|error| self.sorting(error))?,
                        Err(_) => progress(u64::midpoint(read.rows(), written.rows()), total),
                    }
                };
                let Some(batch) = batch else { return Ok::<_, Error>(false) };
                written.read(&batch);
                run.write(&batch).await?;
                Ok(true)
            };
            match next.await {
                Ok(true) => progress(u64::midpoint(read.rows(), written.rows()), total),
                Ok(false) => break,
                Err(error) => {
                    run.abandon().await;
                    return Err(error);
                }
            }
        }
        run.finish().await?;
        if (read.rows(), written.state()) != (total, read.state()) {
            // nothing is committed that does not add up
            return Err(Error::Corrupt {
                path: self.root().to_string(),
                reason: format!("of {total} rows {} were read and {} sorted", read.rows(), written.rows()),
            });
        }
        Ok(())
    }

    fn sorting(&self, error: datafusion::error::DataFusionError) -> Error {
        match recovered(&format!("sort the rows of table '{}'", self.table().id), error) {
            error @ Error::DataFusion { .. } if error.kind() == Kind::Exhausted => Error::Exhausted {
                what: format!("sort the rows of table '{}'", self.table().id),
                limit: format!("{error}; give it more memory (--memory-limit), or room for temporary files (TMPDIR)"),
            },
            other => other,
        }
    }

    /// A process that has not heard of a column yet would leave its values behind.
    pub(crate) fn refuse_unknown_columns(&self, snapshot: &Snapshot) -> Result<()> {
        let known = history_schema(self.table());
        let partitions = [crate::COMMIT_SEQUENCE, crate::COMMIT_TIME];
        let is_known = |column: &str| known.field_with_name(column).is_ok() || partitions.contains(&column);
        match snapshot.columns.iter().find(|column| !is_known(column)) {
            None => Ok(()),
            Some(column) => Err(Error::Conflict(format!(
                "could not rewrite files of table '{}': it has a column '{column}' that its definition here does not know; a newer \
                 definition may have been applied meanwhile, so try again",
                self.table().id
            ))),
        }
    }
}

/// Files that nobody else rewrites by himself meanwhile.
struct Claim<'a> {
    history: &'a History,
    inputs: Vec<DataFile>,
    paths: Vec<Path>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut claimed = self.history.claimed();
        for path in &self.paths {
            claimed.remove(path);
        }
    }
}

fn unclaimed(files: &[DataFile], claimed: &HashSet<Path>) -> Vec<DataFile> {
    files.iter().filter(|file| !claimed.contains(&file.path)).cloned().collect()
}

fn compaction(version: u64, before: &Snapshot, inputs: &[DataFile], outputs: &[NewFile]) -> Compaction {
    Compaction {
        version,
        rows: inputs.iter().map(|file| file.rows).sum(),
        files_before: before.files.len(),
        files_after: before.files.len() - inputs.len() + outputs.len(),
        rewritten_files: inputs.len(),
        rewritten_bytes: inputs.iter().map(|file| file.size_bytes).sum(),
        written_files: outputs.len(),
        written_bytes: outputs.iter().map(|file| file.size_bytes).sum(),
    }
}

/// How many rows went by, and the sum of their `_sequence`s: rows that get lost or come twice do not add up.
#[derive(Debug, Default)]
struct Tally {
    rows: AtomicU64,
    sequences: AtomicI64,
}

impl Tally {
    fn read(&self, batch: &RecordBatch) {
        self.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        let column = batch.column_by_name(SEQUENCE).map(AsArray::as_primitive::<Int64Type>);
        let sequences =
            column.map_or(0, |column| column.values().iter().fold(0_i64, |sum, value| sum.wrapping_add(*value)));
        // it wraps
        self.sequences.fetch_add(sequences, Ordering::Relaxed);
    }

    fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    fn state(&self) -> (u64, i64) {
        (self.rows(), self.sequences.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
