//! What a narrow pass need not read: files, row groups and pages that cannot have a row which matters.

use std::iter;
use std::ops::Range;

use hitherto_asof::{KeySet, NarrowPass};
use hitherto_core::{KeyType, Name, Table, Timestamp};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::bloom_filter::Sbbf;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use parquet::file::statistics::Statistics;

use super::PinnedTable;
use super::extent::Extent;
use super::fault::unreadable;
use super::footer::{Footer, Group, KeyForm};
use super::morsel::Morsel;
use crate::Result;
use crate::log::DataFile;
use crate::schema::{CREATED, EVENT};
use crate::types::time_type;

/// With more keys than this, one of them is in about every row group or falsely said to be, and a filter costs more to
/// read than it saves.
const BLOOM_KEYS_MAX: usize = 32;

/// Holds a pass against what files say of themselves.
#[derive(Clone, Copy)]
pub(super) struct Pruner<'a> {
    pub(super) table: &'a Table,
    pub(super) pass: &'a NarrowPass,
}

impl Pruner<'_> {
    /// Whether a file may have a row that matters, by the log alone.
    pub(super) fn may_match_file(&self, file: &DataFile) -> bool {
        let extent = Extent::of_file(file, self.table.created);
        self.may_match_times(&extent)
            && self.table.keys.iter().enumerate().all(|(index, (name, key_type))| {
                let ends = file.stat("minValues", name.as_str()).zip(file.stat("maxValues", name.as_str()));
                ends.is_none_or(|(min, max)| may_have_json(&self.pass.keys, index, *key_type, min, max))
            })
    }

    /// Whether a row group may, by the file's footer.
    pub(super) fn may_match_group(&self, footer: &Footer, index: usize, group: &Group) -> bool {
        let metadata = footer.metadata(KeyForm::Declared);
        self.may_match_times(&group.extent)
            && self.comparable_keys(metadata).all(|(key, leaf, _)| {
                let statistics = metadata.metadata().row_group(index).column(leaf).statistics();
                statistics.is_none_or(|statistics| may_have_statistics(&self.pass.keys, key, statistics))
            })
    }

    /// The keys whose values a file's statistics and filters are of: each with its place in the table and in the file.
    fn comparable_keys(&self, metadata: &ArrowReaderMetadata) -> impl Iterator<Item = (usize, usize, KeyType)> {
        let place = |(key, (name, key_type)): (usize, &(Name, KeyType))| {
            let leaf = match key_type {
                KeyType::Timestamp => time_leaf(metadata, name.as_str()),
                _ => leaf(metadata, name.as_str()),
            };
            Some((key, leaf?, *key_type))
        };
        self.table.keys.iter().enumerate().filter_map(place)
    }

    fn may_match_times(&self, extent: &Extent) -> bool {
        self.pass.bounds.may_match(extent.event, extent.created.map(|(first, _)| first))
    }

    /// Whether a row group may, by the bloom filters of its keys; worth reading where there are few.
    pub(super) async fn may_match_bloom(&self, pinned: &PinnedTable, morsel: Morsel) -> Result<bool> {
        if self.pass.keys.is_empty() || self.pass.keys.len() > BLOOM_KEYS_MAX {
            return Ok(true);
        }
        let footer = pinned.footer(morsel.file).await?;
        let metadata = footer.metadata(KeyForm::Declared);
        let reader = pinned.reader(morsel.file, &self.pass.counters.bytes_read);
        let mut builder = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata.clone());
        for (key, leaf, key_type) in self.comparable_keys(metadata) {
            let filter = builder.get_row_group_column_bloom_filter(morsel.group, leaf).await;
            let path = pinned.file(morsel.file).path.as_ref();
            let filter = filter.map_err(|error| unreadable(path, error))?;
            if filter.is_some_and(|filter| !may_have_filtered(&self.pass.keys, key, key_type, &filter)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The rows of a morsel, numbered within the file, that are in pages which may have a row that matters; `None` for
    /// all of them.
    pub(super) fn rows_in_pages(&self, footer: &Footer, morsel: Morsel) -> Option<Vec<Range<u64>>> {
        let metadata = footer.metadata(KeyForm::Declared);
        let bounds = &self.pass.bounds;
        let events = |index: &ColumnIndexMetaData, page: usize| match index {
            ColumnIndexMetaData::INT64(times) => {
                let ends = times.min_value(page).copied().zip(times.max_value(page).copied());
                bounds.may_match(ends, None)
            }
            _ => true,
        };
        let created = |index: &ColumnIndexMetaData, page: usize| match index {
            ColumnIndexMetaData::INT64(times) => bounds.may_match(None, times.min_value(page).copied()),
            _ => true,
        };
        let mut rows: Vec<Range<u64>> = iter::once(0..morsel.rows).collect();
        for (key, leaf, _) in self.comparable_keys(metadata) {
            let may_have = |index: &ColumnIndexMetaData, page: usize| may_have_page(&self.pass.keys, key, index, page);
            intersect(&mut rows, pages(metadata, morsel, leaf, may_have));
        }
        if let Some(leaf) = time_leaf(metadata, EVENT) {
            intersect(&mut rows, pages(metadata, morsel, leaf, events));
        }
        if let Some(leaf) = time_leaf(metadata, CREATED) {
            intersect(&mut rows, pages(metadata, morsel, leaf, created));
        }
        let is_all = matches!(rows.as_slice(), [one] if *one == (0..morsel.rows));
        let in_file = |range: Range<u64>| range.start + morsel.first_row..range.end + morsel.first_row;
        (!is_all).then(|| rows.into_iter().map(in_file).collect())
    }
}

/// The place of a column among the leaves of a file's schema.
fn leaf(metadata: &ArrowReaderMetadata, name: &str) -> Option<usize> {
    metadata.parquet_schema().columns().iter().position(|column| column.path().parts() == [name])
}

/// The same of a column of times in microseconds.
fn time_leaf(metadata: &ArrowReaderMetadata, name: &str) -> Option<usize> {
    let (_, field) = metadata.schema().column_with_name(name)?;
    (*field.data_type() == time_type()).then(|| leaf(metadata, name)).flatten()
}

/// The rows of a row group in pages of a column for which `wanted` holds; `None` where the file does not tell.
fn pages(
    metadata: &ArrowReaderMetadata,
    morsel: Morsel,
    leaf: usize,
    wanted: impl Fn(&ColumnIndexMetaData, usize) -> bool,
) -> Option<Vec<Range<u64>>> {
    let metadata = metadata.metadata();
    let index = metadata.column_index()?.get(morsel.group)?.get(leaf)?;
    let locations = metadata.offset_index()?.get(morsel.group)?.get(leaf)?.page_locations();
    if matches!(index, ColumnIndexMetaData::NONE) || index.num_pages() != locations.len() as u64 {
        return None;
    }
    let mut rows: Vec<Range<u64>> = Vec::new();
    for (page, location) in locations.iter().enumerate().filter(|(page, _)| wanted(index, *page)) {
        let start = location.first_row_index.cast_unsigned();
        let next = locations.get(page + 1).map_or(morsel.rows, |next| next.first_row_index.cast_unsigned());
        match rows.last_mut() {
            Some(last) if last.end == start => last.end = next,
            _ => rows.push(start..next),
        }
    }
    Some(rows)
}

/// Leaves of `rows` what is in `others` too; both are ascending and without overlaps.
fn intersect(rows: &mut Vec<Range<u64>>, others: Option<Vec<Range<u64>>>) {
    let Some(others) = others else { return };
    let mut both = Vec::new();
    let (mut ours, mut theirs) = (rows.iter().peekable(), others.iter().peekable());
    while let (Some(a), Some(b)) = (ours.peek(), theirs.peek()) {
        let (start, end) = (a.start.max(b.start), a.end.min(b.end));
        if start < end {
            both.push(start..end);
        }
        if a.end <= b.end {
            ours.next()
        } else {
            theirs.next()
        };
    }
    *rows = both;
}

fn may_have_json(
    keys: &KeySet,
    column: usize,
    key_type: KeyType,
    min: &serde_json::Value,
    max: &serde_json::Value,
) -> bool {
    let time = |value: &serde_json::Value| value.as_str()?.parse::<Timestamp>().ok().map(|time| time.0);
    match key_type {
        KeyType::Int32 | KeyType::Int64 => {
            let ends = min.as_i64().zip(max.as_i64());
            ends.is_none_or(|(min, max)| keys.may_have_int(column, min, max))
        }
        KeyType::Timestamp => {
            let ends = time(min).zip(time(max));
            ends.is_none_or(|(min, max)| keys.may_have_int(column, min, max))
        }
        KeyType::String => {
            let ends = min.as_str().zip(max.as_str());
            ends.is_none_or(|(min, max)| keys.may_have_bytes(column, min.as_bytes(), max.as_bytes()))
        }
        KeyType::Bytes | KeyType::Bool => true,
    }
}

fn may_have_statistics(keys: &KeySet, column: usize, statistics: &Statistics) -> bool {
    match statistics {
        Statistics::Boolean(values) => may_have_ints(keys, column, values.min_opt(), values.max_opt()),
        Statistics::Int32(values) => may_have_ints(keys, column, values.min_opt(), values.max_opt()),
        Statistics::Int64(values) => may_have_ints(keys, column, values.min_opt(), values.max_opt()),
        Statistics::ByteArray(values) => may_have_texts(keys, column, values.min_bytes_opt(), values.max_bytes_opt()),
        _ => true,
    }
}

fn may_have_page(keys: &KeySet, column: usize, index: &ColumnIndexMetaData, page: usize) -> bool {
    // a null in a key matches nothing; who asks for no keys in particular asks for nulls too
    (!index.is_null_page(page) || !keys.knows(column))
        && match index {
            ColumnIndexMetaData::BOOLEAN(of) => may_have_ints(keys, column, of.min_value(page), of.max_value(page)),
            ColumnIndexMetaData::INT32(of) => may_have_ints(keys, column, of.min_value(page), of.max_value(page)),
            ColumnIndexMetaData::INT64(of) => may_have_ints(keys, column, of.min_value(page), of.max_value(page)),
            ColumnIndexMetaData::BYTE_ARRAY(of) => may_have_texts(keys, column, of.min_value(page), of.max_value(page)),
            _ => true,
        }
}

fn may_have_ints<T: Copy + Into<i64>>(keys: &KeySet, column: usize, min: Option<&T>, max: Option<&T>) -> bool {
    min.zip(max).is_none_or(|(min, max)| keys.may_have_int(column, (*min).into(), (*max).into()))
}

/// Ends may be cut, outward.
fn may_have_texts(keys: &KeySet, column: usize, min: Option<&[u8]>, max: Option<&[u8]>) -> bool {
    min.zip(max).is_none_or(|(min, max)| keys.may_have_bytes(column, min, max))
}

/// Whether a filter may have one of the listed parts of a key column.
fn may_have_filtered(keys: &KeySet, column: usize, key_type: KeyType, filter: &Sbbf) -> bool {
    match key_type {
        KeyType::Int64 | KeyType::Timestamp => {
            keys.ints(column).is_none_or(|parts| parts.iter().any(|part| filter.check(part)))
        }
        KeyType::Int32 => keys
            .ints(column)
            .is_none_or(|parts| parts.iter().any(|part| i32::try_from(*part).is_ok_and(|part| filter.check(&part)))),
        KeyType::String | KeyType::Bytes => {
            keys.bytes(column).is_none_or(|parts| parts.iter().any(|part| filter.check(part.as_ref())))
        }
        KeyType::Bool => true,
    }
}
