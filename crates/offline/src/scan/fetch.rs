//! The payload of chosen rows.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take_record_batch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::physical_plan::metrics::Count;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use hitherto_asof::RowAddress;
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::PinnedTable;
use super::columns::{FileColumns, Layout};
use super::fault::unreadable;
use super::footer::Footer;
use crate::{Error, Result};

/// From one row in this many on, pages are read straight through, and the chosen rows taken out of what was decoded.
const DENSE: u64 = 16;
/// A batch of chosen rows has about as many bytes as this,
const BATCH_BYTES: u64 = 16 << 20;
/// and no more rows than this.
const BATCH_ROWS: u64 = 64 * 1024;

/// Chosen rows of one row group.
struct Choice {
    file: usize,
    group: usize,
    first_row: u64,
    rows: u64,
    addresses: Arc<[RowAddress]>,
    /// Which of the addresses.
    range: Range<usize>,
}

impl Choice {
    /// The chosen rows as offsets within the row group, ascending.
    fn offsets(&self) -> impl Iterator<Item = u64> {
        self.addresses[self.range.clone()].iter().map(|address| address.row() - self.first_row)
    }
}

/// The rows at `addresses`, which are sorted and distinct, in that order; row groups are decoded `at_once`.
pub(super) fn rows(
    pinned: &PinnedTable,
    layout: &Arc<Layout>,
    addresses: Arc<[RowAddress]>,
    at_once: usize,
    bytes_read: &Count,
) -> BoxStream<'static, Result<RecordBatch>> {
    if layout.schema().fields().is_empty() || addresses.is_empty() {
        return stream::iter([blank(layout, addresses.len())]).boxed();
    }
    let (pinned, layout, bytes_read) = (pinned.clone(), Arc::clone(layout), bytes_read.clone());
    let open = async move {
        let choices = choices(&pinned, &addresses).await?;
        let decoded = stream::iter(choices).map(move |choice| {
            let (pinned, layout, bytes_read) = (pinned.clone(), Arc::clone(&layout), bytes_read.clone());
            let task = SpawnedTask::spawn(async move { read(&pinned, &layout, &choice, &bytes_read).await });
            async move { task.await.map_err(|error| Error::io("read rows", error.into()))? }
        });
        let batches = decoded.buffered(at_once.max(1));
        Ok::<_, Error>(batches.map_ok(|batches| stream::iter(batches.into_iter().map(Ok))).try_flatten())
    };
    stream::once(open).try_flatten().boxed()
}

fn blank(layout: &Layout, rows: usize) -> Result<RecordBatch> {
    let schema = Arc::clone(layout.schema());
    if rows == 0 {
        return Ok(RecordBatch::new_empty(schema));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema, Vec::new(), &options).map_err(|error| Error::arrow("make rows", error))
}

/// Sorts the addresses into row groups.
async fn choices(pinned: &PinnedTable, addresses: &Arc<[RowAddress]>) -> Result<Vec<Choice>> {
    let mut choices = Vec::new();
    let mut done = 0;
    for in_file in addresses.chunk_by(|a, b| a.file() == b.file()) {
        let file = in_file[0].file() as usize;
        let outside =
            |row: u64| Error::NotFound(format!("table '{}' has no row {row} in file {file}", pinned.table().id));
        if file >= pinned.files().len() {
            return Err(outside(in_file[0].row()));
        }
        let mut rest = in_file;
        for (group, extent) in pinned.footer(file).await?.groups.iter().enumerate() {
            let (first_row, rows) = (extent.first_row, extent.rows);
            let here = rest.partition_point(|address| address.row() < first_row + rows);
            rest = &rest[here..];
            if here > 0 {
                let addresses = Arc::clone(addresses);
                choices.push(Choice { file, group, first_row, rows, addresses, range: done..done + here });
            }
            done += here;
        }
        if let Some(address) = rest.first() {
            return Err(outside(address.row()));
        }
    }
    Ok(choices)
}

async fn read(pinned: &PinnedTable, layout: &Layout, choice: &Choice, bytes_read: &Count) -> Result<Vec<RecordBatch>> {
    let file = pinned.file(choice.file);
    let footer = pinned.footer(choice.file).await?;
    // addresses come from the narrow pass, which has looked at the pin
    let columns = FileColumns::new(layout, file, footer, Some(i64::MIN), i64::MAX);
    let fault = |error| unreadable(file.path.as_ref(), error);
    let metadata = footer.metadata(layout.key_form()).clone();
    let reader = pinned.reader(choice.file, bytes_read);
    let is_dense = choice.range.len() as u64 * DENSE >= choice.rows;
    let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
        .with_row_groups(vec![choice.group])
        .with_projection(columns.mask.clone())
        .with_batch_size(batch_rows(footer, choice, &columns));
    if !is_dense {
        builder = builder.with_row_selection(selection(choice));
    }
    let mut batches = builder.build().map_err(fault)?;
    let (mut out, mut offsets, mut row) = (Vec::new(), choice.offsets().peekable(), 0);
    while let Some(batch) = batches.try_next().await.map_err(fault)? {
        // a payload has no columns that depend on the row's place in the file
        let batch = columns.assemble(&batch, choice.first_row)?.batch;
        if !is_dense {
            out.push(batch);
            continue;
        }
        let end = row + batch.num_rows() as u64;
        let chosen: UInt32Array = std::iter::from_fn(|| offsets.next_if(|&offset| offset < end))
            .map(|offset| (offset - row) as u32)
            .collect();
        row = end;
        let taken = take_record_batch(&batch, &chosen);
        out.push(taken.map_err(|error| Error::arrow("take the features of rows", error))?);
    }
    let rows: usize = out.iter().map(RecordBatch::num_rows).sum();
    if rows != choice.range.len() {
        let reason = format!("of {} rows that were asked for, {rows} came", choice.range.len());
        return Err(Error::Corrupt { path: file.path.to_string(), reason });
    }
    Ok(out)
}

/// So many rows that wide ones do not make a batch which is too large to hold, or too long for its offsets.
fn batch_rows(footer: &Footer, choice: &Choice, columns: &FileColumns<'_>) -> usize {
    let group = footer.metadata(super::footer::KeyForm::Declared).metadata().row_group(choice.group);
    let read = group.columns().iter().enumerate().filter(|(leaf, _)| columns.mask.leaf_included(*leaf));
    let bytes: u64 = read.map(|(_, column)| column.uncompressed_size().cast_unsigned()).sum();
    let row_bytes = (bytes / choice.rows.max(1)).max(1);
    (BATCH_BYTES / row_bytes).clamp(64, BATCH_ROWS).min(choice.rows).max(1) as usize
}

/// The chosen rows, where they are few.
fn selection(choice: &Choice) -> RowSelection {
    let mut selectors: Vec<RowSelector> = Vec::with_capacity(choice.range.len() * 2);
    let mut next = 0;
    for offset in choice.offsets() {
        match selectors.last_mut().filter(|_| offset == next && offset > 0) {
            Some(run) => run.row_count += 1,
            None => selectors.extend([RowSelector::skip((offset - next) as usize), RowSelector::select(1)]),
        }
        next = offset + 1;
    }
    selectors.into()
}
