//! What a join needs of a history: a narrow pass over keys and times, and the payload of chosen rows.

use std::fmt::{self, Debug};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use futures::stream::BoxStream;

use crate::{AsOfView, KeySet, ScanCounters, Visibility};

/// The address of a row within a source: a file, in the source's own numbering, and a row of it, counted from 0. Sorted
/// by file, then row. The join only sorts addresses and hands them back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowAddress(u64);

impl RowAddress {
    const ROW_BITS: u32 = 40;
    /// Files are numbered below this.
    pub const FILES_MAX: u32 = 1 << 22;
    /// Rows of one file are numbered below this.
    pub const ROWS_MAX: u64 = 1 << Self::ROW_BITS;

    /// Row `row` of file `file`; they must be below their maxima, which [`NarrowBatch`] is checked for.
    pub fn new(file: u32, row: u64) -> Self {
        debug_assert!(file < Self::FILES_MAX && row < Self::ROWS_MAX, "row {row} of file {file}");
        Self(u64::from(file) << Self::ROW_BITS | row)
    }

    /// Which file.
    pub fn file(self) -> u32 {
        (self.0 >> Self::ROW_BITS) as u32
    }

    /// Which row of it.
    pub fn row(self) -> u64 {
        self.0 & (Self::ROWS_MAX - 1)
    }

    /// A number below 2^62 that sorts as the address does.
    pub(crate) fn packed(self) -> u64 {
        self.0
    }

    pub(crate) fn unpacked(packed: u64) -> Self {
        Self(packed)
    }
}

impl fmt::Debug for RowAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {} of file {}", self.row(), self.file())
    }
}

/// The sequences of a batch's rows: the last resort that makes their order total.
#[derive(Clone, Debug)]
pub enum Sequence {
    /// One for each row, without nulls.
    Column(Int64Array),
    /// Row `i` has this number plus `i`.
    From(i64),
}

impl Sequence {
    pub(crate) fn at(&self, row: usize) -> i64 {
        match self {
            Self::Column(column) => column.value(row),
            Self::From(first) => first.saturating_add(row as i64),
        }
    }
}

/// One batch of the narrow pass: consecutive rows of one file. All arrays have the same length.
#[derive(Clone, Debug)]
pub struct NarrowBatch {
    /// The key columns, of the source's [`key_types`](FeatureSource::key_types) or their dictionary and view kin.
    /// A row with a null in any of them matches nothing.
    pub keys: Vec<ArrayRef>,
    /// When the fact was true; a null is an error.
    pub event: TimestampMicrosecondArray,
    /// When its producer knew it, where the source has such a column.
    pub created: Option<TimestampMicrosecondArray>,
    /// The rows' sequences.
    pub sequence: Sequence,
    /// Whether a row is a tombstone; null means it is not.
    pub deleted: Option<BooleanArray>,
    /// The file that the rows are from.
    pub file: u32,
    /// Row `i` of the batch has the address `(file, first_row + i)`.
    pub first_row: u64,
}

impl NarrowBatch {
    /// How many rows it has.
    pub fn num_rows(&self) -> usize {
        self.event.len()
    }

    /// What is wrong with the batch, if anything is.
    pub(crate) fn fault(&self, keys: usize) -> Option<String> {
        let rows = self.num_rows();
        if self.keys.len() != keys {
            return Some(format!("a batch has {} key columns instead of {keys}", self.keys.len()));
        }
        let lengths = self.keys.iter().map(Array::len);
        let lengths = lengths.chain(self.created.iter().map(Array::len));
        let mut lengths = lengths.chain(self.deleted.iter().map(Array::len));
        if lengths.any(|length| length != rows) {
            return Some("the columns of a batch differ in length".to_owned());
        }
        let ends = self.first_row.saturating_add(rows as u64);
        if self.file >= RowAddress::FILES_MAX || ends > RowAddress::ROWS_MAX {
            return Some(format!("it has more than {} files, or a file of more than 2^40 rows", RowAddress::FILES_MAX));
        }
        if let Some(row) = self.event.nulls().and_then(|nulls| (0..rows).find(|&row| nulls.is_null(row))) {
            let row = self.first_row + row as u64;
            return Some(format!("the event time of row {row} of file {} is null", self.file));
        }
        match &self.sequence {
            Sequence::Column(column) if column.len() != rows || column.null_count() > 0 => {
                Some("a batch's sequence column has nulls or another length".to_owned())
            }
            _ => None,
        }
    }
}

/// What of a history can matter to a spine. A source may skip rows outside, and need not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Rows with an earlier event are outside the ttl of every spine row.
    pub event_min: Option<i64>,
    /// Rows with a later event are visible to no spine row.
    pub event_max: i64,
    /// Rows created later are visible to no spine row; `None` where that time decides nothing.
    pub created_max: Option<i64>,
}

impl Bounds {
    /// The bounds of `view` for a spine whose times are in `[first, last]`, in microseconds.
    pub(crate) fn new(view: &AsOfView, first: i64, last: i64) -> Self {
        let event_min = view.effective_ttl().map(|ttl| first.saturating_sub(ttl));
        match view.visibility {
            // an availability that saturates is visible at the end of time, and only there
            Visibility::Available if last == i64::MAX => Self { event_min, event_max: i64::MAX, created_max: None },
            Visibility::Available => {
                let event_max = last.saturating_sub(view.source_delay_us);
                Self { event_min, event_max, created_max: Some(last) }
            }
            Visibility::Event => Self { event_min, event_max: last, created_max: None },
        }
    }

    /// Whether rows with events in `[event_first, event_last]`, none created before `created_first`, may matter.
    /// For a file's or row group's statistics; pass `None` for what is not known.
    pub fn may_match(&self, event: Option<(i64, i64)>, created_first: Option<i64>) -> bool {
        let in_time = event.is_none_or(|(first, last)| {
            first <= self.event_max && self.event_min.is_none_or(|event_min| last >= event_min)
        });
        in_time && !matches!((self.created_max, created_first), (Some(max), Some(first)) if first > max)
    }
}

/// What a narrow pass is for: rows that cannot matter may be left out.
#[derive(Clone, Debug)]
pub struct NarrowPass {
    /// The times that can matter.
    pub bounds: Bounds,
    /// The keys that can matter.
    pub keys: Arc<KeySet>,
    /// Where the source counts what it reads and what it skips.
    pub counters: ScanCounters,
}

/// A history that can be joined.
///
/// A join reads the narrow columns of all of it, in any order, and then the payload of the winners alone.
pub trait FeatureSource: Debug + Send + Sync {
    /// What `EXPLAIN` calls it.
    fn label(&self) -> String;

    /// The types of the key columns, in the order in which [`NarrowBatch::keys`] has them. At least one.
    fn key_types(&self) -> Vec<DataType>;

    /// The payload's columns: those of [`fetch`](Self::fetch), in its order. No keys, no times.
    fn payload_schema(&self) -> SchemaRef;

    /// How many parts of the narrow pass can be read independently.
    fn partitions(&self) -> usize;

    /// The narrow columns of one partition. Rows that cannot matter to `pass` may be left out.
    fn narrow(
        &self,
        partition: usize,
        pass: &NarrowPass,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<NarrowBatch>>>;

    /// The payload of the rows at `addresses`, which are sorted and distinct, in that order, in as many batches as the
    /// source likes.
    fn fetch(
        &self,
        addresses: Arc<[RowAddress]>,
        counters: &ScanCounters,
        context: &Arc<TaskContext>,
    ) -> Result<BoxStream<'static, Result<RecordBatch>>>;
}
