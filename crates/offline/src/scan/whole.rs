//! Whole rows, file after file: what compaction rewrites.

use std::fmt;
use std::sync::Arc;

use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use hitherto_core::{Created, Table};
use parquet::basic::Type as PhysicalType;
use parquet::file::metadata::RowGroupMetaData;

use super::PinnedTable;
use super::columns::{Column, Layout};
use super::footer::KeyForm;
use super::morsel::Morsel;
use crate::key_match::KeyMatch;
use crate::{Error, Result};

/// Rows of a batch, at most.
const BATCH_ROWS: u64 = 8192;

/// All rows of a pinned table in the columns of [`crate::history_schema`], as a stream that can be asked for again.
#[derive(Clone)]
pub(crate) struct WholeRows {
    pinned: PinnedTable,
    layout: Arc<Layout>,
    /// Row groups, and in batches of how many rows each is read.
    morsels: Arc<[(Morsel, usize)]>,
    /// Rows of a batch over all of them.
    batch_rows: usize,
    /// Rows that are left out.
    except: Option<Arc<KeyMatch>>,
}

impl PinnedTable {
    /// Its rows, in batches that take about `batch_bytes` in memory: as few rows as their width asks for.
    pub(crate) async fn whole_rows(&self, batch_bytes: u64) -> Result<WholeRows> {
        let table = self.shared_table();
        let mut columns: Vec<Column> = (0..table.keys.len()).map(Column::Key).collect();
        columns.push(Column::Event);
        columns.extend((table.created == Created::Column).then_some(Column::Created));
        columns.extend((0..table.columns.len()).map(Column::Feature));
        columns.extend([Column::Deleted, Column::Sequence, Column::Ingested]);
        let layout = Arc::new(Layout::new(table, columns, KeyForm::Declared, ""));
        let (mut morsels, mut bytes, mut rows) = (Vec::new(), 0, 0);
        for morsel in self.morsels(|_| true).await? {
            let metadata = self.footer(morsel.file).await?.metadata(KeyForm::Declared);
            let decoded = decoded_bytes(metadata.metadata().row_group(morsel.group));
            bytes += decoded;
            rows += morsel.rows;
            morsels.push((morsel, batch_rows(batch_bytes, decoded, morsel.rows)));
        }
        let batch_rows = batch_rows(batch_bytes, bytes, rows);
        Ok(WholeRows { pinned: self.clone(), layout, morsels: morsels.into(), batch_rows, except: None })
    }
}

impl WholeRows {
    /// The same without the rows of a key.
    pub(crate) fn without(self, key: &KeyMatch) -> Self {
        Self { except: Some(Arc::new(key.clone())), ..self }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        self.layout.schema()
    }

    /// How many rows a batch should have wherever they come from.
    pub(crate) fn batch_rows(&self) -> usize {
        self.batch_rows
    }

    /// The rows, in the order of files and of the rows in them.
    pub(crate) fn stream(&self) -> BoxStream<'static, Result<RecordBatch>> {
        let rows = self.clone();
        stream::iter(0..self.morsels.len())
            .flat_map(move |index| {
                let (morsel, batch_rows) = rows.morsels[index];
                let (table, except) = (Arc::clone(rows.pinned.shared_table()), rows.except.clone());
                rows.pinned.batches(vec![morsel], &rows.layout, batch_rows).map(move |batch| match &except {
                    Some(key) => left_over(&table, &batch?, key),
                    None => batch,
                })
            })
            .boxed()
    }
}

impl fmt::Debug for WholeRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WholeRows")
            .field("pinned", &self.pinned)
            .field("row_groups", &self.morsels.len())
            .finish_non_exhaustive()
    }
}

fn left_over(table: &Table, batch: &RecordBatch, key: &KeyMatch) -> Result<RecordBatch> {
    let stay = not(&key.rows(table, batch)?).and_then(|stay| filter_record_batch(batch, &stay));
    stay.map_err(|error| Error::arrow(format!("leave out rows of table '{}'", table.id), error))
}

fn batch_rows(batch_bytes: u64, bytes: u64, rows: u64) -> usize {
    let row_bytes = (bytes / rows.max(1)).max(1);
    (batch_bytes / row_bytes).clamp(1, BATCH_ROWS) as usize
}

/// What a row group takes in memory. Its size in the file would not tell: a long text that comes again and again is
/// stored once there.
fn decoded_bytes(group: &RowGroupMetaData) -> u64 {
    let columns = group.columns().iter().map(|column| {
        let values = column.num_values().max(0).cast_unsigned();
        let stored = column.uncompressed_size().max(0).cast_unsigned();
        match column.column_type() {
            PhysicalType::BOOLEAN => values,
            PhysicalType::INT32 | PhysicalType::FLOAT => 4 * values,
            PhysicalType::INT64 | PhysicalType::DOUBLE => 8 * values,
            PhysicalType::INT96 => 12 * values,
            PhysicalType::BYTE_ARRAY | PhysicalType::FIXED_LEN_BYTE_ARRAY => {
                let texts =
                    column.unencoded_byte_array_data_bytes().map_or(stored, |bytes| bytes.max(0).cast_unsigned());
                texts + 4 * values
            }
        }
    });
    columns.sum()
}
