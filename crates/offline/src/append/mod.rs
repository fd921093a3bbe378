//! Appending rows to a table: files first, then one commit that makes all of them visible.

mod content;
mod file;
mod group;
mod stats;
mod upload;

pub use group::ReadyBatch;

pub(crate) use file::{FileKind, FileWriter};

use std::sync::Arc;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use futures::{Stream, StreamExt};
use hitherto_core::{Created, Timestamp};
use object_store::ObjectStoreExt;

use self::content::ContentHash;
use crate::log::{Committed, NewFile, Offer, Part, other_content};
use crate::{CREATED, EVENT, Error, History, Result, data_schema};

/// How a batch is recognised when it comes again. Ids are remembered for 30 days.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchId {
    /// By this id; the same id with other content is a conflict.
    Given(String),
    /// By the rows themselves, however they were cut into record batches.
    Content,
    /// Not at all: the same rows again are appended again.
    Unremembered,
}

/// How an append ended, if not in an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The rows are part of the table now.
    Done(Commit),
    /// The batch with this id was part of the table already; nothing changed.
    Already {
        /// The id.
        batch_id: String,
    },
    /// There were no rows; nothing changed.
    Nothing,
}

/// What an append committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// How many rows.
    pub rows: u64,
    /// The `_sequence` of the first row.
    pub first_sequence: i64,
    /// The `_sequence` of the last row.
    pub last_sequence: i64,
    /// The version of the log that the commit made.
    pub version: u64,
    /// The `_ingested_at` of the rows: never earlier than that of the commit before.
    pub time: Timestamp,
    /// The id under which the batch is remembered.
    pub batch_id: Option<String>,
}

/// Files are closed when they have this many bytes.
pub(crate) const FILE_BYTES: u64 = 512 << 20;

impl History {
    /// Appends the rows of `batches`, all of them in one commit or none.
    ///
    /// A batch has the table's keys, `event_timestamp`, `created_timestamp` where the table has it, any of its
    /// features (those left out are null) and perhaps `_deleted`, each in its type of [`data_schema`]. `now` is asked
    /// for the commit's time at each attempt. Memory does not depend on how many rows there are.
    pub async fn append(
        &self,
        id: BatchId,
        batches: impl Stream<Item = Result<RecordBatch>> + Send,
        now: &(dyn Fn() -> Timestamp + Send + Sync),
    ) -> Result<Appended> {
        let mut written = Vec::new();
        match self.append_files(id, batches, now, &mut written).await {
            Ok(done @ Appended::Done(_)) => Ok(done),
            Ok(nothing) => {
                self.discard(&written).await;
                Ok(nothing)
            }
            Err((error, keep)) => {
                if !keep {
                    self.discard(&written).await;
                }
                Err(error)
            }
        }
    }

    /// On an error says whether the files must stay, because the log may name them.
    async fn append_files(
        &self,
        id: BatchId,
        batches: impl Stream<Item = Result<RecordBatch>> + Send,
        now: &(dyn Fn() -> Timestamp + Send + Sync),
        written: &mut Vec<NewFile>,
    ) -> Result<Appended, (Error, bool)> {
        let failed = |error: Error| (error, false);
        // what is erased from here on must not come back with these rows; to know fewer erasures than there are is safe
        let seen = self.last_snapshot().await.map_err(failed)?;
        let erasures = seen.erasures.iter().map(|erasure| erasure.id.clone()).collect();
        let known = match &id {
            BatchId::Given(id) => {
                let (_, mut known) = self.known_batches(&[id.as_str()]).await.map_err(failed)?;
                known.remove(id)
            }
            BatchId::Content | BatchId::Unremembered => None,
        };
        // a batch that was there before is compared, not written again
        let content = self.write_files(batches, known.is_none(), written).await.map_err(failed)?;
        let id = match id {
            BatchId::Given(id) => Some(id),
            BatchId::Content => Some(content.text()),
            BatchId::Unremembered => None,
        };
        if let (Some(known), Some(id)) = (known, &id) {
            return same_content(id, known, content.fingerprint()).map_err(failed);
        }
        if written.is_empty() {
            return Ok(Appended::Nothing);
        }
        self.refuse_missing(written).await.map_err(failed)?;
        let rows: u64 = written.iter().map(|file| file.rows).sum();
        let batch = id.as_deref().map(|id| (id, content.fingerprint()));
        let parts = [Part { batch, rows }];
        let offer = Offer { files: written, parts: &parts, unknown_at: None, erasures: &erasures, now };
        match self.commit(&offer).await.map_err(|failure| (failure.error, !failure.may_delete))? {
            Committed::Erased(error) => Err(failed(error)),
            Committed::Known(known) => match id.as_ref().and_then(|id| Some((id, known.get(id)?))) {
                Some((id, known)) => same_content(id, *known, content.fingerprint()).map_err(failed),
                None => Ok(Appended::Nothing),
            },
            Committed::Done { version, first_sequence, time } => {
                self.checkpoint_when_due(version).await;
                let last_sequence = first_sequence + rows.cast_signed() - 1;
                Ok(Appended::Done(Commit { rows, first_sequence, last_sequence, version, time, batch_id: id }))
            }
        }
    }

    async fn write_files(
        &self,
        batches: impl Stream<Item = Result<RecordBatch>> + Send,
        write: bool,
        written: &mut Vec<NewFile>,
    ) -> Result<ContentHash> {
        let mut batches = std::pin::pin!(batches);
        let mut content = ContentHash::default();
        let mut writer = None;
        while let Some(batch) = batches.next().await {
            let done = match batch.and_then(|batch| self.canonical(&batch)) {
                Ok(batch) if batch.num_rows() == 0 => continue,
                Ok(batch) => match content.add(&batch) {
                    Ok(()) if write => self.write_batch(&batch, &mut writer, written).await,
                    done => done,
                },
                Err(error) => Err(error),
            };
            if let Err(error) = done {
                if let Some(broken) = writer {
                    broken.abandon().await;
                }
                return Err(error);
            }
        }
        if let Some(last) = writer {
            written.push(last.close().await?);
        }
        Ok(content)
    }

    /// Writes to the file that is open, or a new one, and closes it when it is large enough.
    async fn write_batch(
        &self,
        batch: &RecordBatch,
        writer: &mut Option<FileWriter>,
        written: &mut Vec<NewFile>,
    ) -> Result<()> {
        if let Some(other) = writer.take_if(|open| !open.takes(batch)) {
            written.push(other.close().await?);
        }
        let open = match writer {
            Some(open) => open,
            None => writer.insert(FileWriter::create(self, &batch.schema(), FileKind::Fresh)),
        };
        open.write(batch).await?;
        if let Some(full) = writer.take_if(|open| open.size_bytes() >= FILE_BYTES) {
            written.push(full.close().await?);
        }
        Ok(())
    }

    /// The batch with its columns in the table's order, or why it cannot be one of the table's.
    fn canonical(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let table = self.table();
        let refuse =
            |reason: String| Err(Error::Invalid(format!("could not append to table '{}': {reason}", table.id)));
        let wanted = data_schema(table);
        let mut fields = Vec::with_capacity(batch.num_columns());
        let mut columns = Vec::with_capacity(batch.num_columns());
        for field in wanted.fields() {
            let Some(column) = batch.column_by_name(field.name()) else { continue };
            if column.data_type() != field.data_type() {
                let (has, wants) = (column.data_type(), field.data_type());
                return refuse(format!("column '{}' has type {has}, not {wants}", field.name()));
            }
            if !field.is_nullable() && column.null_count() > 0 {
                return refuse(format!("column '{}' has a null", field.name()));
            }
            fields.push(Arc::clone(field));
            columns.push(Arc::clone(column));
        }
        if columns.len() != batch.num_columns() {
            let schema = batch.schema();
            let unknown = schema.fields().iter().find(|field| wanted.field_with_name(field.name()).is_err());
            return refuse(match unknown {
                Some(field) => format!("it has no column '{}'", field.name()),
                None => "a column comes twice".to_owned(),
            });
        }
        let times = [Some(EVENT), (table.created == Created::Column).then_some(CREATED)];
        let needed = table.keys.iter().map(|(name, _)| name.as_str()).chain(times.into_iter().flatten());
        for name in needed {
            if batch.column_by_name(name).is_none() {
                return refuse(format!("column '{name}' is missing"));
            }
        }
        RecordBatch::try_new(Schema::new(fields).into(), columns)
            .map_err(|e| Error::arrow(format!("append to table '{}'", table.id), e))
    }

    /// Whether the files are still there. The last was closed just now; those before it may have waited for longer than
    /// a vacuum was told to, and rows that a commit names and nobody has would be lost without a word.
    pub(crate) async fn refuse_missing(&self, files: &[NewFile]) -> Result<()> {
        self.refuse_gone(&files[..files.len().saturating_sub(1)]).await
    }

    /// The same of files that have waited.
    pub(crate) async fn refuse_gone(&self, files: &[NewFile]) -> Result<()> {
        for file in files {
            let path = file.path(self);
            match self.store().store().head(&path).await {
                Ok(_) => {}
                Err(object_store::Error::NotFound { .. }) => {
                    return Err(Error::Conflict(format!(
                        "could not commit to table '{}': '{path}' is gone, deleted by a vacuum or an erasure whose --retention or \
                         --delay was shorter than this took; try again, and keep it longer",
                        self.table().id
                    )));
                }
                Err(error) => return Err(Error::object_store(format!("look for '{path}'"), error)),
            }
        }
        Ok(())
    }

    /// Removes files that no commit names. Those that stay all the same are never read.
    pub(crate) async fn discard(&self, files: &[NewFile]) {
        for file in files {
            let path = file.path(self);
            let deleted = self.store().store().delete(&path).await;
            if let Err(error) = deleted.or_else(gone) {
                tracing::warn!(%path, %error, "could not remove a file that no commit names");
            }
        }
    }
}

/// What a batch is told whose id is known: that it was there already, if its content is the same.
fn same_content(id: &str, known: i64, content: i64) -> Result<Appended> {
    if known == content { Ok(Appended::Already { batch_id: id.to_owned() }) } else { Err(other_content(id)) }
}

/// That a file is gone already is what a deletion wants.
fn gone(error: object_store::Error) -> object_store::Result<()> {
    if matches!(error, object_store::Error::NotFound { .. }) { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests;
