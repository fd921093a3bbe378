//! What the reference rule says of a history so far.

use std::collections::BTreeMap;

use hitherto_core::{Created, Mode, Outcome, Reading, Row, Span, Status, Timestamp, Value};
use hitherto_online::Marks;

use super::history::{FeatureRow, History, Key, Version};

/// The rows that are committed, and what has reached the online store.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    created: Created,
    pool: Vec<Key>,
    rows: Vec<(Row, FeatureRow)>,
    /// By source delay: versions of one delay share their rows online.
    pub(crate) marks: BTreeMap<i64, Marks>,
}

/// One key's answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Expected {
    pub(crate) statuses: [Status; 3],
    pub(crate) values: [Value; 3],
    /// The event time that comes back with an online answer.
    pub(crate) event: Option<Timestamp>,
}

impl Version {
    pub(crate) fn reading(self) -> Reading {
        let span = |micros| Span::from_micros(micros).expect("a length of time");
        Reading { source_delay: span(self.delay), ttl: self.ttl.map(span) }
    }
}

impl Model {
    pub(crate) fn new(history: &History) -> Self {
        Self { created: history.created, pool: history.pool.clone(), rows: Vec::new(), marks: BTreeMap::new() }
    }

    /// Rows committed at `clock`, the first of them as `sequence`.
    pub(crate) fn commit(&mut self, rows: &[FeatureRow], first_sequence: i64, clock: i64) {
        let ruled = (first_sequence..).zip(rows).map(|(sequence, row)| (self.ruled(row, sequence, clock), row.clone()));
        self.rows.extend(ruled.collect::<Vec<_>>());
    }

    /// How many of these rows, committed at `clock`, were available before.
    pub(crate) fn backdated(&self, version: Version, rows: &[FeatureRow], clock: i64) -> u64 {
        let available = |row| version.reading().available_at(&self.ruled(row, 0, clock));
        rows.iter().filter(|row| available(row) < Timestamp(clock)).count() as u64
    }

    fn ruled(&self, row: &FeatureRow, sequence: i64, clock: i64) -> Row {
        let created = match self.created {
            Created::Absent => None,
            Created::Column => Some(Timestamp(row.created)),
            Created::IngestedAt => Some(Timestamp(clock)),
        };
        Row { event: Timestamp(row.event), created, sequence, deleted: row.deleted == Some(true) }
    }

    /// The last `_sequence`; -1 where there is none.
    pub(crate) fn last_sequence(&self) -> i64 {
        self.rows.iter().map(|(row, _)| row.sequence).max().unwrap_or(-1)
    }

    /// Every row that is committed.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The keys to ask for: all of the pool, and one with a null.
    pub(crate) fn questions(&self) -> Vec<Key> {
        let mut keys = self.pool.clone();
        let mut null = keys[0].clone();
        null[0] = None;
        keys.push(null);
        keys
    }

    /// The answer at `t` over all committed rows: the training set's.
    pub(crate) fn offline(&self, version: Version, key: &Key, t: i64) -> Expected {
        self.answer(version, key, t, |_, _| true)
    }

    /// The answer at `t` over the rows within `marks`: the online store's.
    pub(crate) fn online(&self, version: Version, key: &Key, t: i64, marks: Marks) -> Expected {
        self.answer(version, key, t, |row, available| row.sequence <= marks.sequence && available <= marks.clock)
    }

    /// The answers at `t` that a run from marks to marks may give on its way: to what was there before, it has added
    /// some of the rows that are new.
    pub(crate) fn on_the_way(&self, version: Version, key: &Key, t: i64, marks: [Marks; 2]) -> Vec<Expected> {
        let within =
            |row: &Row, available: Timestamp, marks: Marks| row.sequence <= marks.sequence && available <= marks.clock;
        let mut answers = vec![self.online(version, key, t, marks[0])];
        for (new, _) in &self.rows {
            answers.push(self.answer(version, key, t, |row, available| {
                within(row, available, marks[0]) || (row == new && within(row, available, marks[1]))
            }));
        }
        answers
    }

    fn answer(&self, version: Version, key: &Key, t: i64, reached: impl Fn(&Row, Timestamp) -> bool) -> Expected {
        let reading = version.reading();
        let matching = |row: &&(Row, FeatureRow)| key.iter().all(Option::is_some) && row.1.key == *key;
        let rows: Vec<&(Row, FeatureRow)> =
            self.rows.iter().filter(matching).filter(|(row, _)| reached(row, reading.available_at(row))).collect();
        let rule: Vec<Row> = rows.iter().map(|(row, _)| *row).collect();
        let nulls = || [Value::Null, Value::Null, Value::Null];
        let withheld = |status, event| Expected { statuses: [status; 3], values: nulls(), event };
        match hitherto_core::answer(&rule, reading, Timestamp(t), Mode::Knowledge) {
            Outcome::NoRow | Outcome::Deleted => withheld(Status::NotFound, None),
            Outcome::Expired => {
                let winner = hitherto_core::winner(&rule, reading, Timestamp(t), Mode::Knowledge);
                withheld(Status::OutsideMaxAge, winner.map(|winner| rule[winner].event))
            }
            Outcome::Row(index) => {
                let values = rows[index].1.values();
                let status = |value: &Value| if *value == Value::Null { Status::NullValue } else { Status::Present };
                Expected { statuses: values.each_ref().map(status), values, event: Some(rule[index].event) }
            }
        }
    }
}
