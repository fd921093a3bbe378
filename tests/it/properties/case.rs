//! Random feature sets over one to three views, their rows, and a spine.

use hitherto_core::{Mode, Reading, Span, Timestamp, Value, ValueType};
use hitherto_engine::EvidenceColumns;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Everything that decides a training set.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) views: Vec<View>,
    pub(super) members: Vec<Member>,
    pub(super) spine: Vec<SpineRow>,
    pub(super) precision: Precision,
    pub(super) mode: Mode,
    pub(super) evidence: EvidenceColumns,
}

/// A view of the entities `left` (key `a`), `right` (key `b`) or both.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) keys: Keys,
    pub(super) created: CreatedIn,
    pub(super) ttl: Option<i64>,
    pub(super) delay: i64,
    /// Its columns have other names in the source than in the view.
    pub(super) renamed: Renamed,
    pub(super) features: Vec<ValueType>,
    /// By batch, by file of the batch.
    pub(super) batches: Vec<Vec<Vec<Row>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keys {
    Left,
    Right,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CreatedIn {
    Nothing,
    Column,
    Commit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renamed {
    No,
    Yes,
}

/// The unit of the spine's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Precision {
    Microseconds,
    Nanoseconds,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) a: Option<i64>,
    pub(super) b: Option<&'static str>,
    pub(super) event: i64,
    pub(super) created: i64,
    pub(super) deleted: Option<bool>,
    pub(super) salts: [u8; 3],
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SpineRow {
    /// Columns `a` and `other_a`.
    pub(super) a: [Option<i64>; 2],
    /// Columns `b` and `other_b`.
    pub(super) b: [Option<&'static str>; 2],
    pub(super) t: i64,
    /// Nanoseconds beyond `t`.
    pub(super) beyond: i64,
}

/// One entry of the feature set; indices of views and features are taken modulo what there is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Member {
    /// Every feature.
    All(usize),
    /// One feature under a name of its own.
    One(usize, usize),
    /// Every feature for the other key columns of the spine, where the flags say so.
    Aliased(usize, bool, bool),
}

/// A column that the feature set adds.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) name: String,
    pub(super) view: usize,
    pub(super) feature: usize,
    /// Which of the spine's `a` and `b` columns are its keys.
    pub(super) columns: (usize, usize),
}

impl Keys {
    pub(super) fn left(self) -> bool {
        self != Self::Right
    }

    pub(super) fn right(self) -> bool {
        self != Self::Left
    }
}

impl View {
    pub(super) fn reading(&self) -> Reading {
        let span = |micros| Span::from_micros(micros).expect("a length of time");
        Reading { source_delay: span(self.delay), ttl: self.ttl.map(span) }
    }

    /// The name of a column in the source.
    pub(super) fn source(&self, name: &str) -> String {
        if self.renamed == Renamed::Yes { format!("Src {name}") } else { name.to_owned() }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = &Row> {
        self.batches.iter().flatten().flatten()
    }
}

impl Row {
    /// The value of the feature with this index.
    pub(super) fn value(&self, index: usize, value_type: &ValueType) -> Value {
        let salt = self.salts[index];
        let number = i32::from(salt) - 100;
        match value_type {
            _ if salt < 30 => Value::Null,
            ValueType::Bool => Value::Bool(salt.is_multiple_of(2)),
            ValueType::Int32 => Value::Int32(number),
            ValueType::Float32 => Value::Float32(number as f32 / 8.0),
            ValueType::Float64 => Value::Float64(f64::from(number) * 1e200),
            ValueType::String => Value::String("\u{e9}".repeat(usize::from(salt % 4))),
            ValueType::Bytes => Value::Bytes(vec![salt; usize::from(salt % 3)]),
            ValueType::Timestamp => Value::Timestamp(Timestamp(i64::from(number))),
            ValueType::Date => Value::Date(number),
            ValueType::List(_) => Value::List(vec![Value::Int64(number.into()); usize::from(salt % 3)]),
            ValueType::Vector(_) => Value::Vector(vec![number as f32, 0.5]),
            ValueType::Int64 => Value::Int64(i64::from(number) << 40),
        }
    }
}

impl Case {
    /// The members without those that would name a column twice.
    pub(super) fn members(&self) -> Vec<Member> {
        let mut seen = std::collections::BTreeSet::new();
        let mut members = Vec::new();
        for member in &self.members {
            if self.wanted_by(*member).iter().all(|wanted| !seen.contains(&wanted.name)) {
                seen.extend(self.wanted_by(*member).into_iter().map(|wanted| wanted.name));
                members.push(*member);
            }
        }
        members
    }

    /// The columns that the feature set adds, in its order.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        self.members().into_iter().flat_map(|member| self.wanted_by(member)).collect()
    }

    fn wanted_by(&self, member: Member) -> Vec<Wanted> {
        let all = |view: usize, alias: String, columns| {
            let count = self.views[view].features.len();
            let wanted = |feature| Wanted { name: format!("{alias}__f{feature}"), view, feature, columns };
            (0..count).map(wanted).collect()
        };
        match member {
            Member::All(view) => {
                let view = view % self.views.len();
                all(view, format!("v{view}"), (0, 0))
            }
            Member::One(view, feature) => {
                let view = view % self.views.len();
                let feature = feature % self.views[view].features.len();
                vec![Wanted { name: format!("r{view}_{feature}"), view, feature, columns: (0, 0) }]
            }
            Member::Aliased(view, left, right) => {
                let view = view % self.views.len();
                all(view, format!("w{view}"), (usize::from(left), usize::from(right)))
            }
        }
    }

    /// The aliases of the set with their views and key columns, in the order of first use.
    pub(super) fn uses(&self) -> Vec<(String, usize, (usize, usize))> {
        let mut uses: Vec<(String, usize, (usize, usize))> = Vec::new();
        for member in self.members() {
            let Some(Wanted { view, columns, .. }) = self.wanted_by(member).into_iter().next() else { continue };
            let alias = if matches!(member, Member::Aliased(..)) { format!("w{view}") } else { format!("v{view}") };
            if uses.iter().all(|(known, ..)| *known != alias) {
                uses.push((alias, view, columns));
            }
        }
        uses
    }

    /// Where two rows of a view tie but for their order, only the first.
    pub(super) fn without_ties(&self) -> Self {
        let mut case = self.clone();
        for view in &mut case.views {
            let by_column = view.created == CreatedIn::Column;
            // a batch is one commit, and here all commits are of one moment
            let keys = view.keys;
            let mut seen = std::collections::BTreeSet::new();
            for rows in view.batches.iter_mut().flatten() {
                let key = |row: &Row| (row.a.filter(|_| keys.left()), row.b.filter(|_| keys.right()));
                rows.retain(|row| seen.insert((key(row), row.event, by_column.then_some(row.created))));
            }
        }
        case
    }

    /// The same rows, all in one file.
    pub(super) fn in_one_batch(&self) -> Self {
        let mut case = self.clone();
        for view in &mut case.views {
            view.batches = vec![vec![view.rows().cloned().collect()]];
        }
        case
    }

    /// The same rows in the opposite order, one by one at the end.
    pub(super) fn turned_round(&self) -> Self {
        let mut case = self.clone();
        for view in &mut case.views {
            let mut rows: Vec<Row> = view.rows().cloned().collect();
            rows.reverse();
            let single = rows.split_off(rows.len() - rows.len().min(2));
            view.batches = vec![rows.chunks(5).map(<[Row]>::to_vec).collect()];
            view.batches.extend(single.into_iter().map(|row| vec![vec![row]]));
        }
        case
    }
}

/// Random cases.
pub(super) fn cases() -> impl Strategy<Value = Case> {
    let mode = prop_oneof![3 => Just(Mode::Knowledge), 2 => Just(Mode::Event)];
    let evidence = prop_oneof![Just(EvidenceColumns::Absent), Just(EvidenceColumns::Times)];
    let precision = prop_oneof![3 => Just(Precision::Microseconds), 1 => Just(Precision::Nanoseconds)];
    (vec(view(), 1..=3), vec(member(), 1..=4), vec(spine_row(), 0..=25), precision, mode, evidence).prop_map(
        |(views, members, spine, precision, mode, evidence)| Case { views, members, spine, precision, mode, evidence },
    )
}

fn view() -> impl Strategy<Value = View> {
    let keys = prop_oneof![Just(Keys::Left), Just(Keys::Right), Just(Keys::Both)];
    let created =
        prop_oneof![1 => Just(CreatedIn::Nothing), 2 => Just(CreatedIn::Column), 1 => Just(CreatedIn::Commit)];
    let ttl = prop_oneof![2 => Just(None), 1 => Just(Some(0)), 3 => (1..15_i64).prop_map(Some)];
    let delay = prop_oneof![Just(0), 0..10_i64];
    let renamed = prop_oneof![Just(Renamed::No), Just(Renamed::Yes)];
    let batches = vec(vec(vec(row(), 0..=6), 1..=2), 0..=4);
    (keys, created, ttl, delay, renamed, vec(value_type(), 1..=3), batches).prop_map(
        |(keys, created, ttl, delay, renamed, features, batches)| View {
            keys,
            created,
            ttl,
            delay,
            renamed,
            features,
            batches,
        },
    )
}

fn value_type() -> impl Strategy<Value = ValueType> {
    prop::sample::select(vec![
        ValueType::Bool,
        ValueType::Int32,
        ValueType::Int64,
        ValueType::Float32,
        ValueType::Float64,
        ValueType::String,
        ValueType::Bytes,
        ValueType::Timestamp,
        ValueType::Date,
        ValueType::List(Box::new(ValueType::Int64)),
        ValueType::Vector(2),
    ])
}

fn row() -> impl Strategy<Value = Row> {
    let ahead = prop_oneof![3 => Just(0), 2 => -6..12_i64];
    let deleted = prop_oneof![3 => Just(None), 3 => Just(Some(false)), 1 => Just(Some(true))];
    (left(), right(), moment(), ahead, deleted, any::<[u8; 3]>()).prop_map(|(a, b, event, ahead, deleted, salts)| Row {
        a,
        b,
        event,
        created: event + ahead,
        deleted,
        salts,
    })
}

fn spine_row() -> impl Strategy<Value = SpineRow> {
    ([left(), left()], [right(), right()], moment(), 0..1000_i64).prop_map(|(a, b, t, beyond)| SpineRow {
        a,
        b,
        t,
        beyond,
    })
}

/// Composite keys that would collide if their parts were joined.
fn left() -> impl Strategy<Value = Option<i64>> {
    option::weighted(0.93, prop::sample::select(vec![1, 12, -1]))
}

fn right() -> impl Strategy<Value = Option<&'static str>> {
    option::weighted(0.93, prop::sample::select(vec!["23", "3", ""]))
}

/// Few moments, so that ties and edges of windows are common.
fn moment() -> impl Strategy<Value = i64> {
    -12..25_i64
}

fn member() -> impl Strategy<Value = Member> {
    prop_oneof![
        (0..3_usize).prop_map(Member::All),
        (0..3_usize, 0..3_usize).prop_map(|(view, feature)| Member::One(view, feature)),
        (0..3_usize, any::<bool>(), any::<bool>()).prop_map(|(view, left, right)| Member::Aliased(view, left, right)),
    ]
}
