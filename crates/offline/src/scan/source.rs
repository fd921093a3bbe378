//! A pinned table as the as-of join reads it.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::{not, nullif};
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimestampMicrosecondType};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::TaskContext;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use hitherto_asof::{FeatureSource, NarrowBatch, NarrowPass, RowAddress, ScanCounters, Sequence};
use hitherto_core::{Created, Name};

use super::PinnedTable;
use super::columns::{Assembled, Column, Layout};
use super::fault::carried;
use super::fetch;
use super::footer::{Footer, Group, KeyForm};
use super::morsel::{Morsel, Piece, Selected, share};
use super::prune::Pruner;
use crate::log::DataFile;
use crate::schema::{CREATED, SEQUENCE};
use crate::types::key_arrow_type;
use crate::{Error, Result};

/// A pinned table and the features that are wanted of it.
pub struct TableSource {
    pinned: PinnedTable,
    payload: Arc<Layout>,
    partitions: usize,
}

impl TableSource {
    /// Reads `features`, in this order, of the winners, and the narrow columns in `partitions` parts.
    pub fn try_new<'a>(
        pinned: PinnedTable,
        features: impl IntoIterator<Item = &'a Name>,
        partitions: usize,
    ) -> Result<Self> {
        let table = pinned.shared_table();
        let find = |name: &Name| {
            let found = table.columns.iter().position(|(column, _)| column == name);
            let missing = || Error::NotFound(format!("table '{}' has no column '{name}'", table.id));
            found.map(Column::Feature).ok_or_else(missing)
        };
        let columns = features.into_iter().map(find).collect::<Result<Vec<_>>>()?;
        let payload = Arc::new(Layout::new(table, columns, KeyForm::Declared, ""));
        Ok(Self { pinned, payload, partitions: partitions.max(1) })
    }

    /// The table that it reads.
    pub fn pinned(&self) -> &PinnedTable {
        &self.pinned
    }
}

impl fmt::Debug for TableSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSource")
            .field("pinned", &self.pinned)
            .field("partitions", &self.partitions)
            .finish_non_exhaustive()
    }
}

impl FeatureSource for TableSource {
    fn label(&self) -> String {
        format!("{} up to _sequence {}", self.pinned.table().id, self.pinned.last_sequence())
    }

    fn key_types(&self) -> Vec<DataType> {
        self.pinned.table().keys.iter().map(|(_, key_type)| key_arrow_type(*key_type)).collect()
    }

    fn payload_schema(&self) -> SchemaRef {
        Arc::clone(self.payload.schema())
    }

    fn partitions(&self) -> usize {
        self.partitions
    }

    fn narrow(
        &self,
        partition: usize,
        pass: &NarrowPass,
        context: &Arc<TaskContext>,
    ) -> DataFusionResult<BoxStream<'static, DataFusionResult<NarrowBatch>>> {
        let (pinned, pass, partitions) = (self.pinned.clone(), pass.clone(), self.partitions);
        let batch_size = context.session_config().batch_size();
        let open = async move {
            let pruner = Pruner { table: pinned.table(), pass: &pass };
            let file_wanted = |file: &DataFile| pruner.may_match_file(file);
            let group_wanted = |footer: &Footer, index, group: &Group| pruner.may_match_group(footer, index, group);
            let (morsels, skipped) = pinned.chosen_morsels(file_wanted, group_wanted).await?;
            if partition == 0 {
                // every partition makes the same choice, so one alone counts it
                pass.counters.files.add(pinned.files().len());
                pass.counters.files_skipped.add(skipped.files);
                pass.counters.groups.add(morsels.len() + skipped.groups);
                pass.counters.groups_skipped.add(skipped.groups);
            }
            let mine = stream::iter(share(&morsels, partitions, partition));
            Ok::<_, Error>(
                mine.then(move |morsel| narrow_morsel(pinned.clone(), morsel, pass.clone(), batch_size)).try_flatten(),
            )
        };
        Ok(stream::once(open).try_flatten().map_err(carried).boxed())
    }

    fn fetch(
        &self,
        addresses: Arc<[RowAddress]>,
        counters: &ScanCounters,
        context: &Arc<TaskContext>,
    ) -> DataFusionResult<BoxStream<'static, DataFusionResult<RecordBatch>>> {
        let at_once = context.session_config().target_partitions();
        Ok(fetch::rows(&self.pinned, &self.payload, addresses, at_once, &counters.bytes_read).map_err(carried).boxed())
    }
}

/// The narrow columns of a morsel, its own sequences only where its file carries them.
async fn narrow_morsel(
    pinned: PinnedTable,
    morsel: Morsel,
    pass: NarrowPass,
    batch_size: usize,
) -> Result<BoxStream<'static, Result<NarrowBatch>>> {
    let footer = pinned.footer(morsel.file).await?;
    let pruner = Pruner { table: pinned.table(), pass: &pass };
    if !pruner.may_match_bloom(&pinned, morsel).await? {
        pass.counters.groups_skipped.add(1);
        pass.counters.bloom_groups_skipped.add(1);
        return Ok(stream::empty().boxed());
    }
    let ranges = pruner.rows_in_pages(footer, morsel);
    pass.counters.group_rows.add(morsel.rows as usize);
    if let Some(ranges) = &ranges {
        let kept: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        pass.counters.page_rows_skipped.add((morsel.rows - kept) as usize);
        if kept == 0 {
            return Ok(stream::empty().boxed());
        }
    }
    let counted = pinned.file(morsel.file).first_sequence.filter(|_| !footer.has_sequence);
    let table = pinned.shared_table();
    let keys = table.keys.len();
    let mut columns: Vec<Column> = (0..keys).map(Column::Key).collect();
    columns.extend([Column::Event, Column::Deleted]);
    columns.extend((table.created != Created::Absent).then_some(Column::Created));
    columns.extend(counted.is_none().then_some(Column::Sequence));
    let layout = Arc::new(Layout::new(table, columns, KeyForm::Views, ""));
    let selected = Selected { ranges, ..Selected::default() };
    let pieces = pinned.pieces_of(morsel, selected, &layout, batch_size, &pass.counters.bytes_read);
    Ok(pieces.map(move |piece| narrow_batch(piece?, morsel.file, keys, counted)).boxed())
}

fn narrow_batch(piece: Piece, file: usize, keys: usize, counted: Option<i64>) -> Result<NarrowBatch> {
    let Piece { row, assembled: Assembled { batch, within } } = piece;
    let mut key_columns: Vec<ArrayRef> = batch.columns()[..keys].to_vec();
    if let Some(within) = within {
        // a batch has consecutive rows, so those beyond the pin stay, with a key that matches nothing
        let beyond = not(&within).and_then(|beyond| nullif(&key_columns[0], &beyond));
        key_columns[0] = beyond.map_err(|error| Error::arrow("leave out later rows", error))?;
    }
    let times = |name: &str| batch.column_by_name(name).map(|column| column.as_primitive().clone());
    let sequence = match (counted, batch.column_by_name(SEQUENCE)) {
        (None, Some(column)) => Sequence::Column(column.as_primitive::<Int64Type>().clone()),
        (first, _) => Sequence::From(first.unwrap_or_default().saturating_add(row as i64)),
    };
    Ok(NarrowBatch {
        keys: key_columns,
        event: batch.column(keys).as_primitive::<TimestampMicrosecondType>().clone(),
        created: times(CREATED),
        sequence,
        deleted: Some(batch.column(keys + 1).as_boolean()).filter(|deleted| deleted.true_count() > 0).cloned(),
        file: file as u32,
        first_row: row,
    })
}
