//! A table at one version of its log.

use std::collections::HashMap;

use chrono::{DateTime, Datelike, Utc};
use deltalake_core::kernel::{Add, LogicalFileView};
use hitherto_core::Timestamp;
use object_store::path::Path;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::TableErasure;
use crate::{COMMIT_SEQUENCE, COMMIT_TIME, CREATED, EVENT, Error, INGESTED, Result, SEQUENCE};

/// The files of a table at one version of its log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The version of the log; `None` where nothing was ever appended.
    pub version: Option<u64>,
    /// The files, in no particular order.
    pub files: Vec<DataFile>,
    /// Every row here has a smaller `_sequence`, and every row of later commits has this or a greater one.
    pub next_sequence: i64,
    /// The greatest time of a commit so far.
    pub last_commit: Option<Timestamp>,
    /// The columns that the log's schema has, partition columns included.
    pub columns: Vec<String>,
    /// What was erased from the table, in the order in which it was.
    pub erasures: Vec<TableErasure>,
}

/// One Parquet file of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct DataFile {
    /// Where it is in the object store, from the store's root.
    pub path: Path,
    /// Its size.
    pub size_bytes: u64,
    /// How many rows it has.
    pub rows: u64,
    /// The `_sequence` of its first row, the others following one by one in the file's order; `None` where the file
    /// has the column.
    pub first_sequence: Option<i64>,
    /// The `_ingested_at` of its rows; `None` where the file has the column.
    pub commit_time: Option<Timestamp>,
    /// The range of `event_timestamp`, both ends in; `None` where it is not known.
    pub event: Option<TimeRange>,
    /// The range of `created_timestamp`, both ends in; `None` where it is not known or the table has none.
    pub created: Option<TimeRange>,
    /// The statistics of the log as they stand there: `minValues`, `maxValues`, `nullCount` of keys and times.
    pub stats: Map<String, Value>,
}

/// Times from `min` to `max`, both in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The earliest.
    pub min: Timestamp,
    /// The latest.
    pub max: Timestamp,
}

impl DataFile {
    /// The greatest `_sequence` in the file, where it is known.
    pub fn last_sequence(&self) -> Option<i64> {
        match self.first_sequence {
            Some(first) => Some(first + i64::try_from(self.rows).unwrap_or(i64::MAX) - 1),
            None => self.stat("maxValues", SEQUENCE)?.as_i64(),
        }
    }

    /// The run that it is a part of: files of one run share no key, but perhaps at their ends, and are written together.
    /// `None` for a fresh file, which is sorted by nothing.
    pub fn run(&self) -> Option<&str> {
        if self.first_sequence.is_some() {
            return None;
        }
        let name = self.path.filename().unwrap_or_default();
        let stem = name.strip_suffix(".parquet").unwrap_or(name);
        // whatever others call their files, each is a run of its own
        let ours = stem.rsplit_once('-').filter(|(run, _)| Uuid::try_parse(run).is_ok());
        Some(ours.map_or(stem, |(run, _)| run))
    }

    /// The range of `_sequence`, both ends in; `None` where it is not known.
    pub fn sequences(&self) -> Option<(i64, i64)> {
        let first = self.first_sequence.or_else(|| self.stat("minValues", SEQUENCE)?.as_i64());
        first.zip(self.last_sequence())
    }

    /// The range of `_ingested_at`, both ends in; `None` where it is not known.
    pub fn ingested(&self) -> Option<TimeRange> {
        let of_commit = self.commit_time.map(|time| TimeRange { min: time, max: time });
        of_commit.or_else(|| self.time_range(INGESTED))
    }

    /// How many values of `column` are null, where it is known.
    pub fn null_count(&self, column: &str) -> Option<u64> {
        self.stat("nullCount", column)?.as_u64()
    }

    /// The statistic `minValues` or `maxValues` of `column`, as JSON; texts may be cut, outward.
    pub fn stat(&self, statistic: &str, column: &str) -> Option<&Value> {
        self.stats.get(statistic)?.get(column).filter(|value| !value.is_null())
    }

    fn time_range(&self, column: &str) -> Option<TimeRange> {
        let at = |statistic| self.stat(statistic, column)?.as_str()?.parse().ok();
        Some(TimeRange { min: at("minValues")?, max: at("maxValues")? })
    }
}

/// Reads one active file of the log.
pub(super) fn data_file(root: &Path, view: &LogicalFileView) -> Result<DataFile> {
    let path: Path = root.parts().chain(view.object_store_path().parts()).collect();
    if view.deletion_vector_descriptor().is_some() {
        return Err(Error::Unsupported(format!("'{path}' has a deletion vector, which only other writers make")));
    }
    let stats = view.stats();
    described(path, view.size(), stats.as_deref(), &view.partition_values_map())
}

/// The same of a file that an entry adds.
pub(super) fn added_file(root: &Path, add: &Add) -> Result<DataFile> {
    described(file_path(root, &add.path), add.size, add.stats.as_deref(), &add.partition_values)
}

/// Where a file lies that an entry calls `name`.
pub(super) fn file_path(root: &Path, name: &str) -> Path {
    let below = Path::parse(name).unwrap_or_else(|_| Path::from(name));
    root.parts().chain(below.parts()).collect()
}

fn described(
    path: Path,
    size: i64,
    stats: Option<&str>,
    partitions: &HashMap<String, Option<String>>,
) -> Result<DataFile> {
    let corrupt = |reason: String| Error::Corrupt { path: path.to_string(), reason };
    let stats: Map<String, Value> = match stats {
        Some(text) => serde_json::from_str(text).map_err(|e| corrupt(format!("its statistics are no JSON: {e}")))?,
        None => Map::new(),
    };
    let rows = stats.get("numRecords").and_then(Value::as_u64);
    let rows = rows.ok_or_else(|| corrupt("the log does not say how many rows it has".to_owned()))?;
    let first_sequence = partition::<i64>(partitions, COMMIT_SEQUENCE).map_err(corrupt)?;
    let commit_time = partition::<Timestamp>(partitions, COMMIT_TIME).map_err(corrupt)?;
    let size_bytes = u64::try_from(size).map_err(|_| corrupt("its size is negative".to_owned()))?;
    let mut file = DataFile { path, size_bytes, rows, first_sequence, commit_time, event: None, created: None, stats };
    file.event = file.time_range(EVENT);
    file.created = file.time_range(CREATED);
    if file.commit_time.is_none() {
        file.commit_time = file.time_range(INGESTED).filter(|range| range.min == range.max).map(|range| range.min);
    }
    Ok(file)
}

fn partition<T: std::str::FromStr>(
    values: &HashMap<String, Option<String>>,
    column: &str,
) -> std::result::Result<Option<T>, String> {
    let Some(text) = values.get(column).and_then(Option::as_ref).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| format!("its {column} is '{text}'"))
}

/// A time as the log writes it, with all six decimals; `None` for years that four digits cannot say.
pub(crate) fn timestamp_text(time: Timestamp) -> Option<String> {
    let moment = DateTime::<Utc>::from_timestamp_micros(time.0)?;
    (1..=9999).contains(&moment.year()).then(|| moment.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_which_run_it_is_a_part_of() {
        let of = |path: &str, first_sequence| {
            let path = Path::from(format!("v/v-1/data/{path}"));
            let file = DataFile {
                path,
                size_bytes: 1,
                rows: 1,
                first_sequence,
                commit_time: None,
                event: None,
                created: None,
                stats: Map::new(),
            };
            file.run().map(str::to_owned)
        };
        let id = "6f1c9c1e-3b52-4c5e-9d52-0a8a3b1b7a11";
        assert_eq!(of(&format!("{id}.parquet"), Some(0)), None);
        assert_eq!(of(&format!("{id}-00000.parquet"), None).as_deref(), Some(id));
        assert_eq!(of(&format!("{id}-100000.parquet"), None).as_deref(), Some(id));
        assert_eq!(of("part-00000-x.parquet", None).as_deref(), Some("part-00000-x"));
    }

    #[test]
    fn times_of_the_log_come_back_to_the_microsecond() {
        for micros in [0, 1, -1, 1_372_680_000_123_456, -62_135_596_800_000_000] {
            let text = timestamp_text(Timestamp(micros)).expect("a year of four digits");
            assert_eq!(text.parse(), Ok(Timestamp(micros)), "{text}");
        }
        assert_eq!(timestamp_text(Timestamp::MAX), None);
        assert_eq!(timestamp_text(Timestamp(253_402_300_800_000_000)), None);
    }
}
