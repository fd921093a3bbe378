//! Which files hold rows of one entity key, and how many.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use futures::TryStreamExt;
use hitherto_asof::{Bounds, KeySet, NarrowPass, ScanCounters};
use hitherto_core::{EntityKey, KeyType, Table};

use super::PinnedTable;
use super::columns::{Column, Layout};
use super::footer::KeyForm;
use super::prune::Pruner;
use crate::key_match::KeyMatch;
use crate::log::DataFile;
use crate::values::key_array;
use crate::{Error, Result};

/// Rows of a batch, of which only keys and `_sequence` are read.
const BATCH_ROWS: usize = 8192;

/// Rows of a key in one file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HeldRows {
    pub(crate) file: DataFile,
    pub(crate) rows: u64,
    /// The least `_sequence` of them.
    pub(crate) first_sequence: i64,
}

impl PinnedTable {
    /// The files that hold rows of the key, within the pin. By statistics, files and row groups stay closed that cannot.
    pub(crate) async fn holding(&self, key: &KeyMatch) -> Result<Vec<HeldRows>> {
        let table = self.shared_table();
        let pass = NarrowPass {
            bounds: Bounds { event_min: None, event_max: i64::MAX, created_max: None },
            keys: Arc::new(key_set(table, key)?),
            counters: ScanCounters::unregistered(),
        };
        let pruner = Pruner { table, pass: &pass };
        let in_file = |file: &DataFile| pruner.may_match_file(file);
        let in_group = |footer: &_, index, group: &_| pruner.may_match_group(footer, index, group);
        let (morsels, _) = self.chosen_morsels(in_file, in_group).await?;
        let mut columns: Vec<Column> = (0..table.keys.len()).map(Column::Key).collect();
        columns.push(Column::Sequence);
        let layout = Arc::new(Layout::new(table, columns, KeyForm::Declared, ""));
        let mut held: Vec<HeldRows> = Vec::new();
        for morsel in morsels {
            let mut batches = self.batches(vec![morsel], &layout, BATCH_ROWS);
            while let Some(batch) = batches.try_next().await? {
                let found = key.rows(table, &batch)?;
                if found.true_count() == 0 {
                    continue;
                }
                let sequences = batch.column(table.keys.len()).as_primitive::<Int64Type>();
                let of_key = found.values().set_indices().map(|row| sequences.value(row));
                let (rows, first) = (found.true_count() as u64, of_key.min().unwrap_or(i64::MAX));
                let file = self.file(morsel.file);
                match held.last_mut().filter(|last| last.file.path == file.path) {
                    Some(last) => {
                        last.rows += rows;
                        last.first_sequence = last.first_sequence.min(first);
                    }
                    None => held.push(HeldRows { file: file.clone(), rows, first_sequence: first }),
                }
            }
        }
        Ok(held)
    }
}

/// What statistics are held against: the one key, or nothing where only a hash of it is known.
fn key_set(table: &Table, key: &KeyMatch) -> Result<KeySet> {
    let KeyMatch::Key(EntityKey(parts)) = key else { return Ok(KeySet::listed(&[])) };
    let column = |((_, key_type), part): (&(_, KeyType), _)| -> Result<ArrayRef> {
        let comparable = match key_type {
            KeyType::Bool | KeyType::Int32 | KeyType::Int64 | KeyType::Timestamp => DataType::Int64,
            KeyType::String | KeyType::Bytes => DataType::BinaryView,
        };
        let failed = |error| Error::arrow(format!("compare keys of table '{}'", table.id), error);
        cast(&key_array(*key_type, [Some(part)])?, &comparable).map_err(failed)
    };
    Ok(KeySet::listed(&table.keys.iter().zip(parts).map(column).collect::<Result<Vec<_>>>()?))
}
