//! The point-in-time rule, quadratic and obvious: the specification that the fast engine and the online store are held to.

use serde::{Deserialize, Serialize};

use crate::{Span, Timestamp};

/// Which rows a training row may see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Rows whose `available_at <= t`: what was known then.
    #[default]
    Knowledge,
    /// Rows whose `event_timestamp <= t`: the join most stores do. It can read a value before anyone knew it.
    Event,
}

/// How a view's rows are read: part of a view's version, not of its table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Reading {
    /// A row cannot have been used sooner than this after its event.
    pub source_delay: Span,
    /// How long after its event the winner may still be served; none, or zero, means for ever.
    pub ttl: Option<Span>,
}

/// What the rule looks at in one feature row of one entity key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// When the fact was true in the world.
    pub event: Timestamp,
    /// When its producer knew it; `None` where the view has no created column.
    pub created: Option<Timestamp>,
    /// The row's place in its view's history.
    pub sequence: i64,
    /// Whether the row is a tombstone.
    pub deleted: bool,
}

/// What a value that is served stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    /// A value.
    Present,
    /// A row, whose value is null.
    NullValue,
    /// No row, or a tombstone.
    NotFound,
    /// A row older than the ttl; its value is withheld.
    OutsideMaxAge,
}

/// What the rule says of one key at one moment, before the status of a single feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No visible row.
    NoRow,
    /// The winner is a tombstone.
    Deleted,
    /// The winner is older than the ttl.
    Expired,
    /// The features are those of the row with this index.
    Row(usize),
}

impl Reading {
    /// When `row` could first have been used.
    pub fn available_at(self, row: &Row) -> Timestamp {
        let delayed = row.event.saturating_add(self.source_delay);
        row.created.map_or(delayed, |created| delayed.max(created))
    }

    /// Whether a winner with this event time is too old at `t`. Both ends of `[t - ttl, t]` are inside.
    pub fn is_expired(self, event: Timestamp, t: Timestamp) -> bool {
        self.ttl.is_some_and(|ttl| !ttl.is_zero() && event < t.saturating_sub(ttl))
    }
}

/// The order in which rows of one key supersede each other: the greatest wins.
pub fn order(row: &Row) -> (Timestamp, Option<Timestamp>, i64) {
    (row.event, row.created, row.sequence)
}

/// The index of the visible row that supersedes all others at `t`, tombstone or expired as it may be.
pub fn winner(rows: &[Row], reading: Reading, t: Timestamp, mode: Mode) -> Option<usize> {
    let visible = |row: &Row| match mode {
        Mode::Knowledge => reading.available_at(row) <= t,
        Mode::Event => row.event <= t,
    };
    rows.iter().enumerate().filter(|(_, row)| visible(row)).max_by_key(|(_, row)| order(row)).map(|(index, _)| index)
}

/// The whole rule for one key at `t`: the winner, then tombstone, then ttl.
pub fn answer(rows: &[Row], reading: Reading, t: Timestamp, mode: Mode) -> Outcome {
    match winner(rows, reading, t, mode) {
        None => Outcome::NoRow,
        Some(index) if rows[index].deleted => Outcome::Deleted,
        Some(index) if reading.is_expired(rows[index].event, t) => Outcome::Expired,
        Some(index) => Outcome::Row(index),
    }
}
