//! The rule, obvious and quadratic.

use crate::Visibility;

/// A key of up to two parts; a null part matches nothing.
pub(super) type Key = [Option<u8>; 2];

/// A row of the history.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) event: i64,
    pub(super) created: Option<i64>,
    pub(super) sequence: i64,
    pub(super) deleted: Option<bool>,
    pub(super) value: Option<i64>,
}

/// How it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) delay: i64,
    pub(super) ttl: Option<i64>,
    pub(super) visibility: Visibility,
}

impl Reading {
    pub(super) fn available_at(self, row: &Row) -> i64 {
        let delayed = row.event.saturating_add(self.delay);
        row.created.map_or(delayed, |created| delayed.max(created))
    }

    /// The row whose features `key` has at `t`, if they are not withheld.
    pub(super) fn answer(self, history: &[Row], key: Key, t: i64) -> Option<&Row> {
        let is_visible = |row: &&Row| match self.visibility {
            Visibility::Available => self.available_at(row) <= t,
            Visibility::Event => row.event <= t,
        };
        let matches = |row: &&Row| key.iter().zip(&row.key).all(|(ours, theirs)| ours.is_some() && ours == theirs);
        let order = |row: &&Row| (row.event, row.created, row.sequence);
        let winner = history.iter().filter(matches).filter(is_visible).max_by_key(order)?;
        let is_expired = self.ttl.is_some_and(|ttl| ttl != 0 && winner.event < t.saturating_sub(ttl));
        (winner.deleted != Some(true) && !is_expired).then_some(winner)
    }
}
