//! Row groups as the units of work that partitions share.

use std::cmp::Reverse;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ParquetRecordBatchStreamBuilder;

use super::PinnedTable;
use super::columns::{Assembled, FileColumns, Layout};
use super::extent::Extent;
use super::fault::unreadable;
use crate::{Error, Result};

/// How many footers are read at once.
const FOOTERS_AT_ONCE: usize = 16;

/// One row group of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Morsel {
    pub(super) file: usize,
    pub(super) group: usize,
    pub(super) first_row: u64,
    pub(super) rows: u64,
    /// The greatest sequence in it, where that is known.
    pub(super) last_sequence: Option<i64>,
}

/// A batch of a morsel: `row` is the address of its first row within the file.
pub(super) struct Piece {
    pub(super) row: u64,
    pub(super) assembled: Assembled,
}

impl PinnedTable {
    /// The row groups that may have rows for which `wanted` holds, in the order of files and rows. Files for which it
    /// cannot hold are not opened.
    pub(super) async fn morsels(&self, wanted: impl Fn(&Extent) -> bool) -> Result<Vec<Morsel>> {
        let created = self.table().created;
        let opened: Vec<usize> =
            (0..self.files().len()).filter(|&file| wanted(&Extent::of_file(self.file(file), created))).collect();
        let footers: Vec<_> = stream::iter(opened)
            .map(|file| async move { Ok::<_, Error>((file, self.footer(file).await?)) })
            .buffered(FOOTERS_AT_ONCE)
            .try_collect()
            .await?;
        let mut morsels = Vec::new();
        for (file, footer) in footers {
            for (index, group) in footer.groups.iter().enumerate() {
                let begins = group.extent.sequence.is_none_or(|(first, _)| first <= self.last_sequence());
                if group.rows > 0 && begins && wanted(&group.extent) {
                    let (first_row, rows) = (group.first_row, group.rows);
                    let last_sequence = group.extent.sequence.map(|(_, last)| last);
                    morsels.push(Morsel { file, group: index, first_row, rows, last_sequence });
                }
            }
        }
        Ok(morsels)
    }

    /// The rows of a morsel in the layout's columns, in the file's order, those beyond the pin included.
    pub(super) fn pieces(
        &self,
        morsel: Morsel,
        layout: &Arc<Layout>,
        batch_size: usize,
    ) -> BoxStream<'static, Result<Piece>> {
        let (pinned, layout) = (self.clone(), Arc::clone(layout));
        let open = async move {
            let footer = pinned.footer(morsel.file).await?;
            let path = pinned.file(morsel.file).path.clone();
            let mask = {
                let file = pinned.file(morsel.file);
                FileColumns::new(&layout, file, footer, morsel.last_sequence, pinned.last_sequence()).mask
            };
            let metadata = footer.metadata(layout.key_form()).clone();
            let read = ParquetRecordBatchStreamBuilder::new_with_metadata(pinned.reader(morsel.file), metadata)
                .with_row_groups(vec![morsel.group])
                .with_projection(mask)
                .with_batch_size(batch_size)
                .build()
                .map_err(|error| unreadable(path.as_ref(), error))?;
            let mut row = morsel.first_row;
            let pieces = read.map_err(move |error| unreadable(path.as_ref(), error)).and_then(move |batch| {
                let first = row;
                row += batch.num_rows() as u64;
                let (pinned, layout) = (pinned.clone(), Arc::clone(&layout));
                async move {
                    let (file, footer) = (pinned.file(morsel.file), pinned.footer(morsel.file).await?);
                    let limit = pinned.last_sequence();
                    let columns = FileColumns::new(&layout, file, footer, morsel.last_sequence, limit);
                    Ok(Piece { row: first, assembled: columns.assemble(&batch, first)? })
                }
            });
            Ok::<_, Error>(pieces)
        };
        stream::once(open).try_flatten().boxed()
    }

    /// The rows of some morsels that are within the pin, one morsel after the other.
    pub(super) fn batches(
        &self,
        morsels: Vec<Morsel>,
        layout: &Arc<Layout>,
        batch_size: usize,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let (pinned, layout) = (self.clone(), Arc::clone(layout));
        stream::iter(morsels)
            .flat_map(move |morsel| pinned.pieces(morsel, &layout, batch_size))
            .map(|piece| {
                let Assembled { batch, within } = piece?.assembled;
                let Some(within) = within else { return Ok(batch) };
                filter_record_batch(&batch, &within).map_err(|error| Error::arrow("leave out later rows", error))
            })
            .try_filter(|batch| futures::future::ready(batch.num_rows() > 0))
            .boxed()
    }
}

/// The share of `morsels` that partition `partition` of `partitions` reads: as even as whole morsels allow, and the
/// same every time.
pub(super) fn share(morsels: &[Morsel], partitions: usize, partition: usize) -> Vec<Morsel> {
    let mut order: Vec<&Morsel> = morsels.iter().collect();
    order.sort_by_key(|morsel| Reverse(morsel.rows));
    let mut loads = vec![0; partitions.max(1)];
    let mut mine = Vec::new();
    for morsel in order {
        let least = (0..loads.len()).min_by_key(|&index| loads[index]).unwrap_or(0);
        loads[least] += morsel.rows;
        if least == partition {
            mine.push(*morsel);
        }
    }
    mine.sort_by_key(|morsel| (morsel.file, morsel.group));
    mine
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_morsel_has_one_reader_and_loads_are_even() {
        let morsel = |file, rows| Morsel { file, group: 0, first_row: 0, rows, last_sequence: None };
        let morsels: Vec<Morsel> =
            [9, 1, 5, 4, 4, 3].into_iter().enumerate().map(|(i, rows)| morsel(i, rows)).collect();
        let shares: Vec<Vec<Morsel>> = (0..3).map(|partition| share(&morsels, 3, partition)).collect();
        let mut all: Vec<usize> = shares.iter().flatten().map(|morsel| morsel.file).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
        let loads: Vec<u64> = shares.iter().map(|share| share.iter().map(|morsel| morsel.rows).sum()).collect();
        assert_eq!(loads.iter().max(), Some(&9));
        assert_eq!(share(&[], 3, 1), []);
    }
}
