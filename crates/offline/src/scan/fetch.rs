//! The payload of chosen rows.

use std::sync::Arc;

use arrow::array::{BooleanBufferBuilder, RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use datafusion::common::runtime::SpawnedTask;
use futures::{StreamExt, TryStreamExt, stream};
use hitherto_asof::RowAddress;
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};

use super::PinnedTable;
use super::columns::{FileColumns, Layout};
use super::fault::unreadable;
use crate::{Error, Result};

/// From one row in this many on, a bitmap says which rows are chosen, and pages are read straight through.
const DENSE: u64 = 16;

/// Chosen rows of one row group, as offsets within it, ascending.
struct Choice {
    file: usize,
    group: usize,
    first_row: u64,
    rows: u64,
    offsets: Vec<u64>,
}

/// The rows at `addresses`, which are sorted and distinct, in that order; row groups are decoded `at_once`.
pub(super) async fn rows(
    pinned: &PinnedTable,
    layout: &Arc<Layout>,
    addresses: &[RowAddress],
    batch_size: usize,
    at_once: usize,
) -> Result<RecordBatch> {
    if layout.schema().fields().is_empty() || addresses.is_empty() {
        return blank(layout, addresses.len());
    }
    let choices = choices(pinned, addresses).await?;
    let decoded: Vec<Vec<RecordBatch>> = stream::iter(choices)
        .map(|choice| {
            let (pinned, layout) = (pinned.clone(), Arc::clone(layout));
            let task = SpawnedTask::spawn(async move { read(&pinned, &layout, choice, batch_size).await });
            async move { task.await.map_err(|error| Error::io("read rows", error.into()))? }
        })
        .buffered(at_once.max(1))
        .try_collect()
        .await?;
    let batches: Vec<RecordBatch> = decoded.into_iter().flatten().collect();
    concat_batches(layout.schema(), &batches).map_err(|error| Error::arrow("put the features of rows together", error))
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
async fn choices(pinned: &PinnedTable, addresses: &[RowAddress]) -> Result<Vec<Choice>> {
    let mut choices = Vec::new();
    for in_file in addresses.chunk_by(|a, b| a.file == b.file) {
        let file = in_file[0].file as usize;
        let outside =
            |row: u64| Error::NotFound(format!("table '{}' has no row {row} in file {file}", pinned.table().id));
        if file >= pinned.files().len() {
            return Err(outside(in_file[0].row));
        }
        let mut rest = in_file;
        for (group, extent) in pinned.footer(file).await?.groups.iter().enumerate() {
            let end = extent.first_row + extent.rows;
            let (here, later) = rest.split_at(rest.partition_point(|address| address.row < end));
            rest = later;
            if !here.is_empty() {
                let offsets = here.iter().map(|address| address.row - extent.first_row).collect();
                choices.push(Choice { file, group, first_row: extent.first_row, rows: extent.rows, offsets });
            }
        }
        if let Some(address) = rest.first() {
            return Err(outside(address.row));
        }
    }
    Ok(choices)
}

async fn read(pinned: &PinnedTable, layout: &Layout, choice: Choice, batch_size: usize) -> Result<Vec<RecordBatch>> {
    let file = pinned.file(choice.file);
    let footer = pinned.footer(choice.file).await?;
    // addresses come from the narrow pass, which has looked at the pin
    let columns = FileColumns::new(layout, file, footer, Some(i64::MIN), i64::MAX);
    let fault = |error| unreadable(file.path.as_ref(), error);
    let metadata = footer.metadata(layout.key_form()).clone();
    let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(pinned.reader(choice.file), metadata)
        .with_row_groups(vec![choice.group])
        .with_projection(columns.mask.clone())
        .with_batch_size(batch_size);
    if (choice.offsets.len() as u64) < choice.rows {
        builder = builder.with_row_selection(selection(&choice));
    }
    let mut batches = builder.build().map_err(fault)?;
    let mut out = Vec::new();
    while let Some(batch) = batches.try_next().await.map_err(fault)? {
        // a payload has no columns that depend on the row's place in the file
        out.push(columns.assemble(&batch, choice.first_row)?.batch);
    }
    let rows: usize = out.iter().map(RecordBatch::num_rows).sum();
    if rows != choice.offsets.len() {
        let reason = format!("of {} rows that were asked for, {rows} came", choice.offsets.len());
        return Err(Error::Corrupt { path: file.path.to_string(), reason });
    }
    Ok(out)
}

fn selection(choice: &Choice) -> RowSelection {
    if choice.offsets.len() as u64 * DENSE >= choice.rows {
        let mut mask = BooleanBufferBuilder::new(choice.rows as usize);
        mask.append_n(choice.rows as usize, false);
        choice.offsets.iter().for_each(|&offset| mask.set_bit(offset as usize, true));
        return RowSelection::from_boolean_buffer(mask.finish());
    }
    let mut selectors = Vec::with_capacity(choice.offsets.len() * 2);
    let mut next = 0;
    for run in choice.offsets.chunk_by(|a, b| a + 1 == *b) {
        selectors.push(RowSelector::skip((run[0] - next) as usize));
        selectors.push(RowSelector::select(run.len()));
        next = run[0] + run.len() as u64;
    }
    selectors.into()
}
