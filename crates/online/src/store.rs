//! What every online store does, and the rows and marks that it holds.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use hitherto_core::{Span, Timestamp};

use crate::{Generation, GenerationStore, Result};

/// The id of a reading: a table as seen with one source delay. The unit of storage; view versions that differ in ttl or
/// in their list of features share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reading(String);

impl Reading {
    /// The reading of the table `table_id` with this source delay: `weather-1:600000000`.
    ///
    /// Bytes of the table's id other than letters, digits, `_`, `-`, `.` and `@` are written as `%XX`, so that the id
    /// can stand within a longer key and no two of them collide.
    pub fn new(table_id: &str, source_delay: Span) -> Self {
        use fmt::Write as _;
        let mut id = String::with_capacity(table_id.len() + 16);
        for byte in table_id.bytes() {
            if byte.is_ascii_alphanumeric() || b"_-.@".contains(&byte) {
                id.push(char::from(byte));
            } else {
                let _ = write!(id, "%{byte:02X}");
            }
        }
        let _ = write!(id, ":{}", source_delay.micros());
        Self(id)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What decides which of two rows of one key supersedes the other: the greater, as in [`hitherto_core::order`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowVersion {
    /// When the fact was true in the world.
    pub event: Timestamp,
    /// When its producer knew it; `None` only in tables without a created column.
    pub created: Option<Timestamp>,
    /// The row's place in its table's history.
    pub sequence: i64,
}

/// The row that a store holds for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnlineRow {
    /// Its place in the order of rows.
    pub version: RowVersion,
    /// Whether it is a tombstone. A tombstone is held like any row: it must keep older rows away.
    pub deleted: bool,
    /// All feature columns of the table, packed by [`crate::encoding::encode`].
    pub values: Bytes,
}

/// A row on its way to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The entity key, from [`hitherto_core::EntityKey::to_bytes`].
    pub key: Vec<u8>,
    /// The row.
    pub row: OnlineRow,
}

/// What has reached the store: every row with `_sequence <= sequence` and `available_at <= clock`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Marks {
    /// Up to this place in the table's history.
    pub sequence: i64,
    /// At this moment.
    pub clock: Timestamp,
}

impl Marks {
    /// Whether these are at the others or beyond, in both halves: what has reached those has reached these.
    pub fn have_reached(self, others: Self) -> bool {
        self.sequence >= others.sequence && self.clock >= others.clock
    }
}

impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sequence {} at {}", self.sequence, self.clock)
    }
}

/// The beginning of a run that brings a reading up to date: where it starts, and the store's witness of it.
///
/// The witness lets [`OnlineStore::advance`] notice that the store has lost rows meanwhile (flushed, restarted from
/// an older snapshot, failed over), even where the marks look the same as before, and [`OnlineStore::write`] that a key
/// was erased: what the run has read of it is not to come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    marks: Option<Marks>,
    witness: Bytes,
    beside: Option<Generation>,
}

impl Run {
    /// For stores: the marks found, and whatever the store wants to see again.
    pub fn new(marks: Option<Marks>, witness: impl Into<Bytes>) -> Self {
        Self { marks, witness: witness.into(), beside: None }
    }

    /// For stores: the same, with the generation that is under way beside the one of this run.
    pub fn with_beside(self, beside: Option<Generation>) -> Self {
        Self { beside, ..self }
    }

    /// The next generation, where the reading is being rebuilt. Whoever brings the current one up to date brings that one too,
    /// by a run that [`GenerationStore::begin_beside`] begins.
    pub fn beside(&self) -> Option<Generation> {
        self.beside
    }

    /// The marks at the beginning; none when nothing has reached the store yet.
    pub fn marks(&self) -> Option<Marks> {
        self.marks
    }

    /// For stores: what [`Run::new`] was given.
    pub fn witness(&self) -> &[u8] {
        &self.witness
    }
}

/// Keys to be read from one reading.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// The reading.
    pub reading: &'a Reading,
    /// The entity keys; the same key may come more than once.
    pub keys: &'a [Vec<u8>],
}

/// What a store says to a [`Group`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What has reached the reading, where the keys are; none when no run has ended yet.
    pub marks: Option<Marks>,
    /// Whether the store was restarted or replaced after the marks were written: it may have lost what came last, marks and
    /// rows alike. The next run finds out, and brings it again.
    pub is_stale: bool,
    /// Per key, in the order of the group's keys, the row held.
    pub rows: Vec<Option<OnlineRow>>,
}

/// What became of the rows of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows that are now, or for a moment were, the row of their key.
    pub written: u64,
    /// Rows that an equal or greater one kept out.
    pub superseded: u64,
}

impl std::ops::AddAssign for Written {
    fn add_assign(&mut self, more: Self) {
        self.written += more.written;
        self.superseded += more.superseded;
    }
}

/// What became of an attempt to move the marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// The marks are where they were to go.
    Done,
    /// Somebody else moved the marks, or the store lost rows, since the run began: begin again from what is there.
    /// Nothing that the run wrote is wrong; it may be incomplete.
    Moved(Option<Marks>),
}

/// Latest values per reading and entity key. All calls may be repeated: doing one twice is the same as doing it once.
#[async_trait]
pub trait OnlineStore: GenerationStore + fmt::Debug + Send + Sync {
    /// The rows of all keys of all groups, and the marks of each group's reading, in one round trip. They are of one generation;
    /// where a reading was rebuilt since it was read last, that takes a second one.
    async fn read(&self, groups: &[Group<'_>]) -> Result<Vec<Answer>>;

    /// Writes rows of a run, any number of them, each only if it is greater than the row held for its key.
    ///
    /// Refused with [`Error::Overtaken`](crate::Error::Overtaken) if a key was erased since the run began, as its rows may be of
    /// that key, if its generation has changed its place, or if a rebuild has begun since, which is to have its rows as well.
    /// On an error some rows may have been written. That does no harm: the marks have not moved.
    async fn write(&self, reading: &Reading, run: &Run, writes: &[Write]) -> Result<Written>;

    /// Removes the row of one entity key from every generation, and stops every run that has begun: none of them writes again.
    /// Says whether there was a row. The marks stay; history must have lost the key before.
    async fn erase(&self, reading: &Reading, key: &[u8]) -> Result<bool>;

    /// What has reached each of these readings.
    async fn marks(&self, readings: &[Reading]) -> Result<Vec<Option<Marks>>>;

    /// Begins a run on the current generation: what has reached the reading, to be given to [`OnlineStore::advance`] after the writes.
    async fn begin(&self, reading: &Reading) -> Result<Run>;

    /// Moves the marks of a reading to `to`, if they and the store are still as they were when `run` began, or if the
    /// marks are at `to` already. Neither half of the marks may go back.
    async fn advance(&self, reading: &Reading, run: &Run, to: Marks) -> Result<Advance>;

    /// Whether the store answers.
    async fn ping(&self) -> Result<()>;

    /// Which store this is, for messages. Holds no secrets.
    fn describe(&self) -> String;

    /// Whether a read is a round trip to elsewhere: then reads that come while others are under way are worth joining. Where
    /// a read takes microseconds, joining would take longer.
    fn is_remote(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_named_after_table_and_delay() {
        let delay: Span = "10m".parse().expect("a duration");
        assert_eq!(Reading::new("weather-1", delay).as_str(), "weather-1:600000000");
        assert_eq!(Reading::new("a:0\0\u{e9}", Span::ZERO).as_str(), "a%3A0%00%C3%A9:0");
    }

    #[test]
    fn marks_are_reached_in_both_halves() {
        let marks = |sequence, clock| Marks { sequence, clock: Timestamp(clock) };
        let ahead = [marks(5, 5), marks(6, 5), marks(5, 6)];
        assert!(ahead.iter().all(|ahead| ahead.have_reached(marks(5, 5))), "{ahead:?}");
        let behind = [marks(4, 6), marks(6, 4), marks(4, 4)];
        assert!(!behind.iter().any(|behind| behind.have_reached(marks(5, 5))), "{behind:?}");
    }

    #[test]
    fn versions_order_as_the_rule_does() {
        let row = |event, created: Option<i64>, sequence| hitherto_core::Row {
            event: Timestamp(event),
            created: created.map(Timestamp),
            sequence,
            deleted: false,
        };
        let version =
            |row: &hitherto_core::Row| RowVersion { event: row.event, created: row.created, sequence: row.sequence };
        let rows = [
            row(1, None, 9),
            row(1, Some(i64::MIN), 0),
            row(1, Some(5), 1),
            row(1, Some(5), 2),
            row(2, None, 0),
            row(i64::MIN, Some(9), 9),
            row(i64::MAX, None, 0),
        ];
        for a in &rows {
            for b in &rows {
                assert_eq!(version(a).cmp(&version(b)), hitherto_core::order(a).cmp(&hitherto_core::order(b)));
            }
        }
    }
}
