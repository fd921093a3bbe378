//! What a read may be answered: rows that say themselves what they are, and what is known of each key at each moment.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hitherto_client::{Column, Features, ViewAnswer};
use hitherto_core::{Status, Timestamp, Value, ValueType};

use crate::support::random::Random;
use crate::support::stores::moment;

/// The views; a row is of one of them, a read asks both.
pub(super) const VIEWS: [&str; 2] = ["near", "far"];
/// What each view has of a row.
const FEATURES: [&str; 3] = ["version", "digest", "text"];
/// Who writes has keys of his own.
pub(super) const WRITERS: i64 = 2;
/// So many rows are in a push at most, without those that are late.
const ROWS_MAX: i64 = 6;

/// A row, all of whose values follow from its view, its key and its version: one that was mixed or invented is told from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    /// Index into [`VIEWS`].
    pub(super) view: usize,
    pub(super) key: i64,
    /// Its event time in seconds. Even ones are pushed in their order, odd ones late: when a greater one was there already.
    pub(super) version: i64,
}

impl Row {
    /// What every key begins with.
    pub(super) fn first(view: usize, key: i64) -> Self {
        Self { view, key, version: 2 }
    }

    fn event(self) -> Timestamp {
        moment(self.version)
    }

    fn digest(self) -> i64 {
        let mut digest = Random::new(self.view as u64);
        for part in [self.key, self.version] {
            digest = Random::new(digest.next() ^ part as u64);
        }
        digest.next() as i64
    }

    /// Of another length each time, so that rows are not all of one size.
    fn text(self) -> String {
        let width = 1 + (self.version * 7 % 40) as usize;
        format!("{} {} {:>width$}", VIEWS[self.view], self.key, self.version)
    }

    fn values(self) -> [Value; 3] {
        [Value::Int64(self.version), Value::Int64(self.digest()), Value::String(self.text())]
    }

    /// A line of the file that has all first rows.
    pub(super) fn line(self) -> String {
        format!("{},{},{},{},{}\n", self.key, self.event(), self.version, self.digest(), self.text())
    }

    /// The file's head.
    pub(super) fn head() -> String {
        format!("k,event_timestamp,{}\n", FEATURES.join(","))
    }

    /// Rows as they are pushed.
    pub(super) fn columns(rows: &[Self]) -> Vec<Column> {
        let feature = |index: usize| rows.iter().map(|row| row.values()[index].clone()).collect();
        let keys = rows.iter().map(|row| Value::Int64(row.key)).collect();
        let times = rows.iter().map(|row| Value::Timestamp(row.event())).collect();
        vec![
            Column::new("k", ValueType::Int64, keys),
            Column::new("event_timestamp", ValueType::Timestamp, times),
            Column::new(FEATURES[0], ValueType::Int64, feature(0)),
            Column::new(FEATURES[1], ValueType::Int64, feature(1)),
            Column::new(FEATURES[2], ValueType::String, feature(2)),
        ]
    }
}

/// The columns that a version of the model is answered with: the second has the views the other way round.
fn columns_of(model_version: u32) -> Vec<String> {
    let mut views = VIEWS;
    if model_version == 2 {
        views.reverse();
    }
    views.iter().flat_map(|view| FEATURES.map(|feature| format!("{view}__{feature}"))).collect()
}

/// Keys that are asked for, and per key and view the least version that a fresh answer may have.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) keys: Vec<i64>,
    least: Vec<[i64; 2]>,
}

/// Whether a right answer calls itself stale: then its rows may be old, or missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    Fresh,
    Stale,
}

/// What was sent, and what must be there: what was acknowledged, or read once, does not go back, unless the answer is stale.
#[derive(Debug)]
pub(super) struct Oracle {
    keys: i64,
    known: Mutex<Known>,
}

/// By view, then by key.
#[derive(Debug)]
struct Known {
    /// The greatest version that was ever sent.
    sent: [Vec<i64>; 2],
    /// The greatest that was acknowledged or read.
    least: [Vec<i64>; 2],
    /// Rows that were sent late.
    late: HashSet<Row>,
    /// How many rows were sent, with the first ones.
    rows: [i64; 2],
}

impl Oracle {
    /// Of so many keys, all of which have their first row.
    pub(super) fn new(keys: i64) -> Self {
        let first = |view| vec![Row::first(view, 0).version; keys as usize];
        let (sent, least) = ([first(0), first(1)], [first(0), first(1)]);
        let known = Known { sent, least, late: HashSet::new(), rows: [keys; 2] };
        Self { keys, known: Mutex::new(known) }
    }

    /// A few keys.
    pub(super) fn ask(&self, random: &mut Random) -> Asked {
        let keys = (0..random.between(1, 8)).map(|_| random.between(0, self.keys - 1)).collect();
        self.asked(keys, |known| &known.least)
    }

    /// All keys, a thousand at a time, that must have what was sent last.
    pub(super) fn ask_all(&self) -> Vec<Asked> {
        let keys: Vec<i64> = (0..self.keys).collect();
        keys.chunks(1000).map(|keys| self.asked(keys.to_vec(), |known| &known.sent)).collect()
    }

    /// All keys, a thousand at a time, that must have what was acknowledged.
    pub(super) fn ask_acknowledged(&self) -> Vec<Asked> {
        let keys: Vec<i64> = (0..self.keys).collect();
        keys.chunks(1000).map(|keys| self.asked(keys.to_vec(), |known| &known.least)).collect()
    }

    fn asked(&self, keys: Vec<i64>, least: impl Fn(&Known) -> &[Vec<i64>; 2]) -> Asked {
        let known = self.known();
        let of = least(&known);
        let least = keys.iter().map(|key| [of[0][*key as usize], of[1][*key as usize]]).collect();
        Asked { keys, least }
    }

    /// The next rows of some of a writer's keys, of which the last are acknowledged: from now on they may be answered. Some come
    /// with a row that is late, and is never to be seen.
    pub(super) fn next_rows(&self, view: usize, writer: i64, random: &mut Random) -> Vec<Row> {
        let own = self.keys / WRITERS;
        let (from, count) = (random.between(0, own - 1), random.between(1, ROWS_MAX.min(own)));
        let mut rows = Vec::new();
        let mut known = self.known();
        for key in (from..from + count).map(|key| key % own * WRITERS + writer) {
            let last = &mut known.sent[view][key as usize];
            let late = Row { view, key, version: *last - 1 };
            *last += 2;
            rows.push(Row { view, key, version: *last });
            if random.percent(25) && known.late.insert(late) {
                rows.push(late);
            }
        }
        known.rows[view] += rows.len() as i64;
        rows
    }

    /// These are in both stores.
    pub(super) fn acknowledge(&self, rows: &[Row]) {
        let mut known = self.known();
        for row in rows {
            let least = &mut known.least[row.view][row.key as usize];
            *least = (*least).max(row.version);
        }
    }

    /// How many rows history has of a view when everything is acknowledged.
    pub(super) fn rows(&self, view: usize) -> i64 {
        self.known().rows[view]
    }

    /// Whether an answer is right, or what is wrong with it.
    pub(super) fn judge(&self, asked: &Asked, found: &Features) -> Result<Freshness, String> {
        let version = found.model.as_ref().map(|pin| pin.version.version).ok_or("no model has answered")?;
        let columns: Vec<&str> = found.columns.iter().map(|column| column.name.as_str()).collect();
        if columns != columns_of(version) || found.rows != asked.keys.len() {
            return Err(format!("version {version} has answered {} rows of {columns:?}", found.rows));
        }
        let mut freshness = Freshness::Fresh;
        for (view, name) in VIEWS.iter().enumerate() {
            let said = found.views.iter().find(|said| said.alias.as_str() == *name);
            let said = said.ok_or_else(|| format!("{name} has not answered"))?;
            let watermark = said.watermark.ok_or_else(|| format!("{name} has no watermark"))?;
            if watermark.is_stale {
                freshness = Freshness::Stale;
            }
            for (index, key) in asked.keys.iter().enumerate() {
                let row = row_of(found, said, (view, *key), index)?;
                let least = if watermark.is_stale { None } else { Some(asked.least[index][view]) };
                self.judge_row((view, *key), row, least).map_err(|wrong| {
                    format!("{name} of {key}: {wrong}; watermark {watermark:?}, answered at {}", found.clock)
                })?;
            }
        }
        Ok(freshness)
    }

    fn judge_row(&self, (view, key): (usize, i64), row: Option<Row>, least: Option<i64>) -> Result<(), String> {
        let mut known = self.known();
        let Some(row) = row else {
            return least.map_or(Ok(()), |least| Err(format!("there is no row, and version {least} was there")));
        };
        let is_in_order = row.version % 2 == 0 && (2..=known.sent[view][key as usize]).contains(&row.version);
        if !is_in_order && !known.late.contains(&row) {
            return Err(format!("version {} was never sent", row.version));
        }
        match least {
            Some(least) if row.version < least => Err(format!("version {}, and {least} was there", row.version)),
            Some(_) => {
                let least = &mut known.least[view][key as usize];
                *least = (*least).max(row.version);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The row that a view has answered for one key, if it has; its values and times must be those of one row.
fn row_of(found: &Features, said: &ViewAnswer, (view, key): (usize, i64), index: usize) -> Result<Option<Row>, String> {
    let mut cells = Vec::new();
    for feature in FEATURES {
        let name = format!("{}__{feature}", VIEWS[view]);
        let column = found.columns.iter().find(|column| column.name == name).ok_or("a column is missing")?;
        cells.push((column.values[index].clone(), column.statuses[index]));
    }
    let event = said.event_times.as_ref().and_then(|times| times[index]);
    if cells.iter().all(|(_, status)| *status == Status::NotFound) && event.is_none() {
        return Ok(None);
    }
    let (Value::Int64(version), _) = cells[0] else { return Err(format!("{cells:?} at {event:?} for {key}")) };
    let row = Row { view, key, version };
    let expected: Vec<(Value, Status)> = row.values().into_iter().map(|value| (value, Status::Present)).collect();
    if cells != expected || event != Some(row.event()) {
        return Err(format!("{cells:?} at {event:?} are of no row of {} {key}", VIEWS[view]));
    }
    Ok(Some(row))
}
