//! What a query's filters leave of a history, as far as files can be held against it.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryViewArray, Int64Array};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use hitherto_asof::{Bounds, KeySet};
use hitherto_core::{KeyType, Span, Table};

use crate::log::DataFile;
use crate::schema::{EVENT, INGESTED, SEQUENCE};

/// Values, both ends in.
type Window = (i64, i64);

const ALL: Window = (i64::MIN, i64::MAX);

/// What files, row groups and pages have to have to be read. Rows that a filter leaves out may come all the same: the
/// query filters them again.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) bounds: Bounds,
    pub(super) keys: Arc<KeySet>,
    ingested: Window,
    sequence: Window,
    available: &'static str,
    delay: Span,
}

impl Wanted {
    /// What these filters, all of which hold, say of a history whose rows are `available` after `delay`.
    pub(super) fn of(filters: &[Expr], table: &Table, available: &'static str, delay: Span) -> Self {
        let window = |name: &str| filters.iter().filter_map(|filter| window(filter, name)).fold(ALL, intersect);
        let (event, known) = (window(EVENT), window(available));
        // a row is available no sooner than its event, with the delay, and than its creation
        let event_max = match known.1 {
            i64::MAX => event.1,
            until => event.1.min(until.saturating_sub(delay.micros())),
        };
        let bounds = Bounds {
            event_min: (event.0 > i64::MIN).then_some(event.0),
            event_max,
            created_max: (known.1 < i64::MAX).then_some(known.1),
        };
        let keys: Vec<Option<ArrayRef>> = table
            .keys
            .iter()
            .map(|(name, key_type)| {
                let values = filters.iter().filter_map(|filter| values(filter, name.as_str()));
                comparable(*key_type, &values.min_by_key(Vec::len)?)
            })
            .collect();
        let keys = Arc::new(KeySet::of_parts(&keys));
        Self { bounds, keys, ingested: window(INGESTED), sequence: window(SEQUENCE), available, delay }
    }

    /// The same where these filters hold too.
    pub(super) fn narrowed(&self, filters: &[Expr], table: &Table) -> Self {
        let more = Self::of(filters, table, self.available, self.delay);
        let created_max = match (self.bounds.created_max, more.bounds.created_max) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        let bounds = Bounds {
            event_min: self.bounds.event_min.max(more.bounds.event_min),
            event_max: self.bounds.event_max.min(more.bounds.event_max),
            created_max,
        };
        Self {
            bounds,
            keys: if self.keys.is_empty() { more.keys } else { Arc::clone(&self.keys) },
            ingested: intersect(self.ingested, more.ingested),
            sequence: intersect(self.sequence, more.sequence),
            ..*self
        }
    }

    /// Whether it is every row.
    pub(super) fn is_everything(&self) -> bool {
        let Bounds { event_min, event_max, created_max } = self.bounds;
        (event_min, event_max, created_max) == (None, i64::MAX, None)
            && self.keys.is_empty()
            && (self.ingested, self.sequence) == (ALL, ALL)
    }

    /// Whether a filter says anything that files can be held against.
    pub(super) fn is_told(filter: &Expr, table: &Table, available: &str) -> bool {
        let of_time = [EVENT, available, INGESTED, SEQUENCE].iter().any(|name| window(filter, name).is_some());
        of_time || table.keys.iter().any(|(name, _)| values(filter, name.as_str()).is_some())
    }

    /// Whether a file may have rows that were ingested in time, by the log alone.
    pub(super) fn may_match_commit(&self, file: &DataFile) -> bool {
        let meets = |(first, last): Window, window: Window| first <= window.1 && last >= window.0;
        let ingested = file.ingested().map(|range| (range.min.0, range.max.0));
        ingested.is_none_or(|range| meets(range, self.ingested))
            && file.sequences().is_none_or(|range| meets(range, self.sequence))
    }
}

/// The values of a column of times or integers that a filter leaves; `None` where it says nothing of them.
fn window(filter: &Expr, name: &str) -> Option<Window> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            match (window(left, name), window(right, name)) {
                (Some(a), Some(b)) => Some(intersect(a, b)),
                (a, b) => a.or(b),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (a, b) = (window(left, name)?, window(right, name)?);
            Some((a.0.min(b.0), a.1.max(b.1)))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (is_column(left, name), is_column(right, name)) {
            (true, false) => compared(*op, number(right)?),
            (false, true) => compared(op.swap()?, number(left)?),
            _ => None,
        },
        Expr::Between(between) if !between.negated && is_column(&between.expr, name) => {
            Some((number(&between.low)?.0, number(&between.high)?.1))
        }
        _ => None,
    }
}

/// The values of a column one of which a filter wants; `None` where it says nothing of the kind.
fn values<'a>(filter: &'a Expr, name: &str) -> Option<Vec<&'a ScalarValue>> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            values(left, name).or_else(|| values(right, name))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let mut either = values(left, name)?;
            either.extend(values(right, name)?);
            Some(either)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (left.as_ref(), right.as_ref()) {
            (column, Expr::Literal(value, _)) | (Expr::Literal(value, _), column) if is_column(column, name) => {
                Some(vec![value])
            }
            _ => None,
        },
        Expr::InList(InList { expr, list, negated: false }) if is_column(expr, name) => {
            let value = |expr: &'a Expr| match expr {
                Expr::Literal(value, _) => Some(value),
                _ => None,
            };
            list.iter().map(value).collect()
        }
        _ => None,
    }
}

fn is_column(expr: &Expr, name: &str) -> bool {
    matches!(expr, Expr::Column(column) if column.name == name)
}

/// A literal in the column's unit, rounded down and up.
fn number(expr: &Expr) -> Option<Window> {
    let Expr::Literal(value, _) = expr else { return None };
    match value {
        ScalarValue::Int64(Some(number)) | ScalarValue::TimestampMicrosecond(Some(number), _) => {
            Some((*number, *number))
        }
        ScalarValue::TimestampNanosecond(Some(time), _) => {
            let down = time.div_euclid(1_000);
            Some((down, down + i64::from(time.rem_euclid(1_000) != 0)))
        }
        _ => None,
    }
}

/// Ends stay in where they need not.
fn compared(op: Operator, (down, up): Window) -> Option<Window> {
    match op {
        Operator::Eq => Some((down, up)),
        Operator::Lt | Operator::LtEq => Some((i64::MIN, up)),
        Operator::Gt | Operator::GtEq => Some((down, i64::MAX)),
        _ => None,
    }
}

fn intersect(a: Window, b: Window) -> Window {
    (a.0.max(b.0), a.1.min(b.1))
}

/// Values of a key in the form in which statistics are held against them; `None` where they cannot be.
fn comparable(key_type: KeyType, values: &[&ScalarValue]) -> Option<ArrayRef> {
    match key_type {
        KeyType::Int32 | KeyType::Int64 | KeyType::Timestamp => {
            let int = |value: &&ScalarValue| match value {
                ScalarValue::Int32(Some(int)) => Some(i64::from(*int)),
                ScalarValue::Int64(Some(int)) | ScalarValue::TimestampMicrosecond(Some(int), _) => Some(*int),
                _ => None,
            };
            let ints: Option<Vec<i64>> = values.iter().map(int).collect();
            Some(Arc::new(Int64Array::from(ints?)))
        }
        KeyType::String | KeyType::Bytes => {
            let bytes = |value: &&ScalarValue| match value {
                ScalarValue::Utf8(Some(text))
                | ScalarValue::LargeUtf8(Some(text))
                | ScalarValue::Utf8View(Some(text)) => Some(text.as_bytes().to_vec()),
                ScalarValue::Binary(Some(bytes))
                | ScalarValue::LargeBinary(Some(bytes))
                | ScalarValue::BinaryView(Some(bytes)) => Some(bytes.clone()),
                _ => None,
            };
            let bytes: Option<Vec<Vec<u8>>> = values.iter().map(bytes).collect();
            Some(Arc::new(BinaryViewArray::from_iter_values(bytes?)))
        }
        KeyType::Bool => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};
    use hitherto_core::{Created, ValueType};

    use super::*;

    fn table() -> Table {
        let name = |text: &str| text.parse().expect("a name");
        Table {
            id: "legs-1".to_owned(),
            view: name("legs"),
            keys: vec![(name("a"), KeyType::Int64), (name("b"), KeyType::String)],
            created: Created::Column,
            columns: vec![(name("delay"), ValueType::Float32)],
        }
    }

    fn at(micros: i64) -> Expr {
        lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())))
    }

    fn of(filters: &[Expr]) -> Wanted {
        Wanted::of(filters, &table(), "available_at", Span::from_micros(10).expect("a span"))
    }

    #[test]
    fn times_bound_events() {
        let all = Bounds { event_min: None, event_max: i64::MAX, created_max: None };
        assert_eq!(of(&[]).bounds, all);
        let between = [col(EVENT).gt_eq(at(5)), at(9).gt(col(EVENT))];
        assert_eq!(of(&between).bounds, Bounds { event_min: Some(5), event_max: 9, ..all.clone() });
        assert_eq!(of(&[col(EVENT).between(at(5), at(9))]).bounds, of(&between).bounds);
        let either = col(EVENT).eq(at(3)).or(col(EVENT).eq(at(8)));
        assert_eq!(of(&[either]).bounds, Bounds { event_min: Some(3), event_max: 8, ..all.clone() });
        // one side says nothing, so neither does the whole
        assert_eq!(of(&[col(EVENT).eq(at(3)).or(col("delay").eq(lit(1.5)))]).bounds, all);
        let nanos = lit(ScalarValue::TimestampNanosecond(Some(1_500), None));
        assert_eq!(of(&[col(EVENT).lt_eq(nanos.clone())]).bounds.event_max, 2);
        assert_eq!(of(&[col(EVENT).gt_eq(nanos)]).bounds.event_min, Some(1));
    }

    #[test]
    fn what_was_known_bounds_events_and_creation() {
        let known = of(&[col("available_at").lt_eq(at(50))]).bounds;
        assert_eq!(known, Bounds { event_min: None, event_max: 40, created_max: Some(50) });
        let later = of(&[col("available_at").gt_eq(at(50))]).bounds;
        assert_eq!(later, Bounds { event_min: None, event_max: i64::MAX, created_max: None });
    }

    #[test]
    fn equality_says_which_keys() {
        let ints = |filters: &[Expr]| of(filters).keys.ints(0).map(<[i64]>::to_vec);
        assert_eq!(ints(&[col("a").eq(lit(7_i64))]), Some(vec![7]));
        assert_eq!(ints(&[col("a").in_list(vec![lit(7_i64), lit(3_i64)], false)]), Some(vec![3, 7]));
        assert_eq!(ints(&[col("a").eq(lit(7_i64)).or(lit(3_i64).eq(col("a")))]), Some(vec![3, 7]));
        assert_eq!(ints(&[col("a").eq(lit(7_i64)).or(col("b").eq(lit("x")))]), None);
        assert_eq!(ints(&[col("a").in_list(vec![lit(7_i64)], true)]), None);
        assert_eq!(ints(&[col("a").eq(lit(ScalarValue::Int64(None)))]), None);
        let texts = of(&[col("b").eq(lit("x"))]);
        assert_eq!(texts.keys.bytes(1).map(<[_]>::len), Some(1));
        assert!(texts.keys.may_have_int(0, 1, 1) && !texts.keys.may_have_bytes(1, b"y", b"z"));
    }

    #[test]
    fn what_is_found_out_later_narrows_what_is_wanted() {
        let early = of(&[col(EVENT).between(at(5), at(90)), col("available_at").lt_eq(at(50))]);
        let later = [col(EVENT).gt_eq(at(20)), col("a").eq(lit(7_i64)), col(SEQUENCE).lt(lit(4_i64))];
        let narrowed = early.narrowed(&later, &table());
        assert_eq!(narrowed.bounds, Bounds { event_min: Some(20), event_max: 40, created_max: Some(50) });
        assert_eq!(narrowed.keys.ints(0), Some(&[7][..]));
        assert_eq!((narrowed.ingested, narrowed.sequence), (ALL, (i64::MIN, 4)));
        let others = [col("a").eq(lit(8_i64))];
        assert_eq!(narrowed.narrowed(&others, &table()).keys.ints(0), Some(&[7][..]), "one of the two is enough");
    }

    #[test]
    fn everything_is_wanted_where_files_tell_nothing_of_the_filters() {
        assert!(of(&[]).is_everything() && of(&[col("delay").lt(lit(1.5))]).is_everything());
        for filter in
            [col(EVENT).lt(at(5)), col("available_at").lt(at(5)), col(SEQUENCE).lt(lit(4_i64)), col("b").eq(lit("x"))]
        {
            assert!(!of(std::slice::from_ref(&filter)).is_everything(), "{filter}");
        }
        assert!(!of(&[col(INGESTED).lt(at(5))]).is_everything());
    }

    #[test]
    fn only_what_files_know_is_told() {
        let told = |filter: Expr| Wanted::is_told(&filter, &table(), "available_at");
        assert!(told(col(SEQUENCE).lt(lit(4_i64))) && told(col(INGESTED).lt(at(4))) && told(col("b").eq(lit("x"))));
        assert!(!told(col("delay").lt(lit(4.0))) && !told(col("b").gt(lit("x"))) && !told(col(EVENT).not_eq(at(1))));
    }
}
