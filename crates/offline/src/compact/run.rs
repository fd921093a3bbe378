//! Writing a run: sorted rows, cut into files where the key changes.

use arrow::array::{ArrayRef, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use uuid::Uuid;

use crate::append::{FileKind, FileWriter};
use crate::log::NewFile;
use crate::{Error, History, Result};

/// The files of one run, as they grow.
pub(super) struct RunWriter<'a> {
    history: &'a History,
    id: Uuid,
    schema: SchemaRef,
    /// A file is closed at the first change of the key after this many bytes, or after a quarter more.
    file_bytes: u64,
    open: Option<FileWriter>,
    /// The keys of the last row, one row a column.
    last: Option<Vec<ArrayRef>>,
    written: &'a mut Vec<NewFile>,
}

impl<'a> RunWriter<'a> {
    /// Closed files go to `written`, in their order.
    pub(super) fn new(history: &'a History, schema: SchemaRef, file_bytes: u64, written: &'a mut Vec<NewFile>) -> Self {
        Self { history, id: Uuid::new_v4(), schema, file_bytes, open: None, last: None, written }
    }

    /// Writes the next rows.
    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let keys: Vec<ArrayRef> = batch.columns()[..self.history.table().keys.len()].to_vec();
        let mut from = 0;
        let size = self.open.as_ref().map_or(0, FileWriter::size_bytes);
        if size >= self.file_bytes {
            let same = self.rows_of_the_same_key(&keys)?;
            if same < batch.num_rows() || size >= self.file_bytes + self.file_bytes / 4 {
                self.push(&batch.slice(0, same)).await?;
                self.close().await?;
                from = same;
            }
        }
        self.push(&batch.slice(from, batch.num_rows() - from)).await?;
        self.last = Some(keys.iter().map(|key| key.slice(batch.num_rows() - 1, 1)).collect());
        Ok(())
    }

    /// Closes the last file.
    pub(super) async fn finish(mut self) -> Result<()> {
        self.close().await
    }

    /// Gives the file that is open up.
    pub(super) async fn abandon(self) {
        if let Some(broken) = self.open {
            broken.abandon().await;
        }
    }

    async fn push(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        let open = if let Some(open) = &mut self.open {
            open
        } else {
            let kind = FileKind::Run { id: self.id, index: self.written.len() };
            self.open.insert(FileWriter::create(self.history, &self.schema, kind))
        };
        open.write(rows).await
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(full) = self.open.take() {
            self.written.push(full.close().await?);
        }
        Ok(())
    }

    /// How many rows, from the first, have the key of the row before them.
    fn rows_of_the_same_key(&self, keys: &[ArrayRef]) -> Result<usize> {
        let Some(last) = &self.last else { return Ok(0) };
        let failed = |error| Error::arrow(format!("compare keys of table '{}'", self.history.table().id), error);
        let mut same = keys.first().map_or(0, |key| key.len());
        for (last, key) in last.iter().zip(keys) {
            let compare = make_comparator(last, key, SortOptions::default()).map_err(failed)?;
            // sorted rows: once a part differs it does not come back
            same = (0..same).take_while(|&row| compare(0, row).is_eq()).count();
        }
        Ok(same)
    }
}
