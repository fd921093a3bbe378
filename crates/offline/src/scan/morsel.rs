//! Row groups as the units of work that partitions share.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::iter;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use datafusion::physical_plan::metrics::Count;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::{RowFilter, RowSelection};

use super::PinnedTable;
use super::columns::{Assembled, FileColumns, Layout};
use super::extent::Extent;
use super::fault::unreadable;
use super::footer::{Footer, Group};
use crate::log::DataFile;
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

/// What a choice of row groups left out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Skipped {
    /// Files that were not opened.
    pub(super) files: usize,
    /// Row groups of those that were.
    pub(super) groups: usize,
}

/// Which rows of a morsel are read.
#[derive(Debug, Default)]
pub(super) struct Selected {
    /// Those of the file that are in these ranges, which are ascending; all where there are none.
    pub(super) ranges: Option<Vec<Range<u64>>>,
    /// Of these, what it lets through.
    pub(super) filter: Option<RowFilter>,
    /// Whether nobody asks for the number of a piece's first row; pieces are then larger. With a filter nobody may.
    pub(super) unnumbered: bool,
}

/// A batch of a morsel: `row` is the address of its first row within the file.
pub(super) struct Piece {
    pub(super) row: u64,
    pub(super) assembled: Assembled,
}

impl PinnedTable {
    /// The row groups that may have rows for which `wanted` holds, in the order of files and rows. Files for which it
    /// cannot hold are not opened.
    pub(super) async fn morsels(&self, wanted: impl Fn(&Extent) -> bool + Send + Sync) -> Result<Vec<Morsel>> {
        let created = self.table().created;
        let of_file = |file: &DataFile| wanted(&Extent::of_file(file, created));
        Ok(self.chosen_morsels(of_file, |_, _, group| wanted(&group.extent)).await?.0)
    }

    /// The row groups of which `group_wanted` holds, given its index, in files of which `file_wanted` holds, in the order
    /// of files and rows; and what was left out.
    pub(super) async fn chosen_morsels(
        &self,
        file_wanted: impl Fn(&DataFile) -> bool + Send + Sync,
        group_wanted: impl Fn(&Footer, usize, &Group) -> bool + Send + Sync,
    ) -> Result<(Vec<Morsel>, Skipped)> {
        let opened: Vec<usize> = (0..self.files().len()).filter(|&file| file_wanted(self.file(file))).collect();
        let mut skipped = Skipped { files: self.files().len() - opened.len(), ..Skipped::default() };
        let footers: Vec<_> = stream::iter(opened)
            .map(|file| async move { Ok::<_, Error>((file, self.footer(file).await?)) })
            .buffered(FOOTERS_AT_ONCE)
            .try_collect()
            .await?;
        let mut morsels = Vec::new();
        for (file, footer) in footers {
            for (index, group) in footer.groups.iter().enumerate() {
                let begins = group.extent.sequence.is_none_or(|(first, _)| first <= self.last_sequence());
                if group.rows > 0 && begins && group_wanted(footer, index, group) {
                    let (first_row, rows) = (group.first_row, group.rows);
                    let last_sequence = group.extent.sequence.map(|(_, last)| last);
                    morsels.push(Morsel { file, group: index, first_row, rows, last_sequence });
                } else {
                    skipped.groups += 1;
                }
            }
        }
        Ok((morsels, skipped))
    }

    /// The rows of a morsel in the layout's columns, in the file's order, those beyond the pin included; each piece has
    /// consecutive rows.
    pub(super) fn pieces(
        &self,
        morsel: Morsel,
        layout: &Arc<Layout>,
        batch_size: usize,
    ) -> BoxStream<'static, Result<Piece>> {
        self.pieces_of(morsel, Selected::default(), layout, batch_size, &Count::new())
    }

    /// The same of the rows that are selected. What is read is counted in `bytes_read`.
    pub(super) fn pieces_of(
        &self,
        morsel: Morsel,
        selected: Selected,
        layout: &Arc<Layout>,
        batch_size: usize,
        bytes_read: &Count,
    ) -> BoxStream<'static, Result<Piece>> {
        let (pinned, layout) = (self.clone(), Arc::clone(layout));
        let reader = self.reader(morsel.file, bytes_read);
        let open = async move {
            let footer = pinned.footer(morsel.file).await?;
            let path = pinned.file(morsel.file).path.clone();
            let mask = {
                let file = pinned.file(morsel.file);
                FileColumns::new(&layout, file, footer, morsel.last_sequence, pinned.last_sequence()).mask
            };
            let Selected { mut ranges, filter, unnumbered } = selected;
            let metadata = footer.metadata(layout.key_form()).clone();
            let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
                .with_row_groups(vec![morsel.group])
                .with_projection(mask)
                .with_batch_size(batch_size);
            if let Some(ranges) = &ranges {
                let first = morsel.first_row;
                let within = ranges.iter().map(|rows| (rows.start - first) as usize..(rows.end - first) as usize);
                builder =
                    builder.with_row_selection(RowSelection::from_consecutive_ranges(within, morsel.rows as usize));
            }
            if let Some(filter) = filter {
                builder = builder.with_row_filter(filter);
            }
            if unnumbered {
                ranges = None;
            }
            let read = builder.build().map_err(|error| unreadable(path.as_ref(), error))?;
            let mut numbers =
                RowNumbers::new(ranges.unwrap_or_else(|| iter::once(morsel.first_row..u64::MAX).collect()));
            let runs = read
                .map_err(move |error| unreadable(path.as_ref(), error))
                .map_ok(move |batch| stream::iter(numbers.cut(&batch).into_iter().map(Ok)));
            let pieces = runs.try_flatten().and_then(move |(row, batch)| {
                let (pinned, layout) = (pinned.clone(), Arc::clone(&layout));
                async move {
                    let (file, footer) = (pinned.file(morsel.file), pinned.footer(morsel.file).await?);
                    let limit = pinned.last_sequence();
                    let columns = FileColumns::new(&layout, file, footer, morsel.last_sequence, limit);
                    Ok(Piece { row, assembled: columns.assemble(&batch, row)? })
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

/// Which rows of the file come next out of a selection.
struct RowNumbers {
    ranges: VecDeque<Range<u64>>,
}

impl RowNumbers {
    fn new(ranges: Vec<Range<u64>>) -> Self {
        Self { ranges: ranges.into() }
    }

    /// Cuts the next batch where its rows are not consecutive in the file, with the number of each part's first row.
    fn cut(&mut self, batch: &RecordBatch) -> Vec<(u64, RecordBatch)> {
        let mut parts = Vec::new();
        let mut done = 0;
        while done < batch.num_rows() {
            let Some(range) = self.ranges.front_mut() else { break };
            let rows = (range.end - range.start).min((batch.num_rows() - done) as u64);
            parts.push((range.start, batch.slice(done, rows as usize)));
            done += rows as usize;
            range.start += rows;
            if range.is_empty() {
                self.ranges.pop_front();
            }
        }
        parts
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
