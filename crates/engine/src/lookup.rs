//! `lookup`: the latest values of many entities, by the same rule as a training set, in one round trip.

use arrow::array::ArrayRef;
use hitherto_core::{EntityKey, KeyType, KeyValue, Kind, Span, Status, Timestamp, Value, ValueType, VersionedName};
use hitherto_offline::array_of;
use hitherto_online::{Answer, Group, Marks};

use crate::clock::SKEW_US_MAX;
use crate::packed_lookup::{PackedLookup, ruled};
use crate::serving::{PlannedView, Serving, ServingPlan};
use crate::{Error, Result};

/// What to look up: columns in, one row per entity.
#[derive(Clone, Debug)]
pub struct LookupRequest {
    /// Entity columns by name; all of one length. A null matches nothing.
    pub entities: Vec<(String, Vec<Option<KeyValue>>)>,
    /// Request fields by name; of the same length.
    pub request: Vec<(String, Vec<Value>)>,
}

/// The answer: columns in the set's order, then transforms; rows in the request's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Lookup {
    /// The feature set that was resolved.
    pub feature_set: VersionedName,
    /// Its hash.
    pub feature_set_hash: String,
    /// The model version that was resolved, when a model asked.
    pub model: Option<VersionedName>,
    /// The moment at which it answers.
    pub at: Timestamp,
    /// How many rows.
    pub rows: usize,
    /// Features, then transforms.
    pub columns: Vec<LookupColumn>,
    /// The views that the features come from.
    pub views: Vec<LookupView>,
}

/// One column of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct LookupColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub value_type: ValueType,
    /// Index into [`Lookup::views`]; none for a transform.
    pub view: Option<usize>,
    /// A value per row; null unless its status is present.
    pub values: Vec<Value>,
    /// A status per row.
    pub statuses: Vec<Status>,
}

/// What is known of one view of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct LookupView {
    /// Its alias in the set.
    pub alias: String,
    /// The pinned version.
    pub view: VersionedName,
    /// Per row the true event time of the row behind the values; none where there is no row.
    pub event_timestamps: Vec<Option<Timestamp>>,
    /// What has reached the online store.
    pub marks: Marks,
    /// How far that lags behind the moment of the answer.
    pub lag: Span,
    /// Whether the online store was restarted or replaced since, so that it may have lost what came last.
    pub is_stale: bool,
}

/// A request whose keys and fields have been read by a plan: what is left is to ask the store, and to make an answer of
/// what it says.
#[derive(Debug)]
pub struct Prepared<'a> {
    plan: &'a ServingPlan,
    rows: usize,
    /// Per key set of the plan.
    keys: Vec<RowKeys>,
    fields: Vec<ArrayRef>,
}

/// The entity keys of a request's rows, by one set of columns.
#[derive(Debug)]
pub(crate) struct RowKeys {
    /// The bytes of the keys that are there, in the order of the rows.
    pub(crate) present: Vec<Vec<u8>>,
    /// Per row, whether it has a key; nothing where all have one. A null in any part matches nothing.
    pub(crate) is_there: Option<Vec<bool>>,
}

impl Serving {
    /// Answer `wanted` by `plan`, which [`Serving::route`] has, at the engine's present.
    ///
    /// Refused: a view that has never been materialized, a reader's clock before the store's mark (never guessed), a
    /// missing entity column or request field.
    ///
    /// The same as [`ServingPlan::prepare`], [`Serving::read`], [`Serving::answer`] and [`PackedLookup::to_lookup`], for whoever
    /// does not look at the time that each of them takes.
    pub async fn lookup(&self, plan: &ServingPlan, wanted: &LookupRequest) -> Result<Lookup> {
        let prepared = plan.prepare(wanted)?;
        let found = self.read(&prepared).await?;
        self.answer(&prepared, found)?.to_lookup()
    }

    /// Ask the online store, once, for the rows of every view; per view of the plan what it says. Dropped before it is done,
    /// it asks for nothing more. Where many ask at once, several may share a round trip: one that began after each of them.
    pub async fn read(&self, prepared: &Prepared<'_>) -> Result<Vec<Answer>> {
        let views = prepared.plan.views.iter();
        let groups: Vec<Group<'_>> =
            views.map(|view| Group { reading: &view.reading, keys: &prepared.keys[view.key_set].present }).collect();
        self.reads().read(self.engine().shared_online()?, &groups).await
    }

    /// The answer that the rows give at the engine's present.
    pub fn answer<'a>(&self, prepared: &Prepared<'a>, found: Vec<Answer>) -> Result<PackedLookup<'a>> {
        let at = moment(prepared.plan, &found, self.engine().clock())?;
        PackedLookup::judge(prepared.plan, &prepared.keys, found, &prepared.fields, at, prepared.rows)
    }
}

impl ServingPlan {
    /// Read the keys and request fields of `wanted`.
    ///
    /// Refused: columns of different lengths, a missing entity column or request field, or one of another type.
    pub fn prepare(&self, wanted: &LookupRequest) -> Result<Prepared<'_>> {
        let rows = wanted.rows()?;
        let keys = self.key_sets.iter().map(|columns| row_keys(self, columns, wanted, rows)).collect::<Result<_>>()?;
        Ok(Prepared { plan: self, rows, keys, fields: request_fields(self, wanted)? })
    }
}

impl Prepared<'_> {
    /// How many rows are asked for.
    pub fn rows(&self) -> usize {
        self.rows
    }
}

impl LookupRequest {
    fn rows(&self) -> Result<usize> {
        let lengths = self.entities.iter().map(|(name, values)| (name, values.len()));
        let lengths: Vec<_> = lengths.chain(self.request.iter().map(|(name, values)| (name, values.len()))).collect();
        let Some((first, rows)) = lengths.first().copied() else {
            return Err(Error::Invalid("a lookup needs at least one entity column".to_owned()));
        };
        match lengths.iter().find(|(_, length)| *length != rows) {
            Some((name, length)) => Err(Error::Invalid(format!(
                "columns must be of one length: '{first}' has {rows} rows, '{name}' has {length}"
            ))),
            None => Ok(rows),
        }
    }
}

/// The entity keys of all rows by `columns`: one of the plan's key sets.
fn row_keys(plan: &ServingPlan, columns: &[(String, KeyType)], wanted: &LookupRequest, rows: usize) -> Result<RowKeys> {
    let columns = columns.iter().map(|column| key_column(plan, column, wanted)).collect::<Result<Vec<_>>>()?;
    let is_there = |row: usize| columns.iter().all(|column| column[row].is_some());
    let mut present = Vec::with_capacity(rows);
    for row in (0..rows).filter(|row| is_there(*row)) {
        present.push(EntityKey::bytes_of(columns.iter().filter_map(|column| column[row].as_ref())));
    }
    let is_there = (present.len() < rows).then(|| (0..rows).map(is_there).collect());
    Ok(RowKeys { present, is_there })
}

/// The request's values of one part of a key.
fn key_column<'a>(
    plan: &ServingPlan,
    (name, key_type): &(String, KeyType),
    wanted: &'a LookupRequest,
) -> Result<&'a [Option<KeyValue>]> {
    let Some((_, values)) = wanted.entities.iter().find(|(given, _)| given == name) else {
        let given = wanted.entities.iter().map(|(given, _)| given.as_str());
        let hint = hitherto_core::did_you_mean(name, given)
            .map(|near| format!(" (did you mean to call '{near}' so?)"))
            .unwrap_or_default();
        let needs = plan.views.iter().find(|view| view.keys.iter().any(|(column, _)| column == name));
        let view = needs.map_or(&plan.feature_set, |view| &view.view_use.view);
        return Err(Error::Invalid(format!("entity column '{name}' ({key_type}) is missing; {view} needs it{hint}")));
    };
    let wrong = values.iter().position(|value| value.as_ref().is_some_and(|value| !value.is_of(*key_type)));
    match wrong {
        None => Ok(values),
        Some(row) => Err(Error::Invalid(format!(
            "entity column '{name}' must be {key_type}; row {} is {:?}",
            row + 1,
            values[row]
        ))),
    }
}

fn request_fields(plan: &ServingPlan, wanted: &LookupRequest) -> Result<Vec<ArrayRef>> {
    let mut arrays = Vec::with_capacity(plan.request.len());
    for (name, value_type) in &plan.request {
        let Some((_, values)) = wanted.request.iter().find(|(given, _)| given == name.as_str()) else {
            return Err(Error::Invalid(format!(
                "request field '{name}' ({value_type}) is missing; {} needs it",
                plan.feature_set
            )));
        };
        let array = array_of(value_type, values)
            .map_err(|source| Error::Invalid(format!("request field '{name}' must be {value_type}: {source}")))?;
        arrays.push(array);
    }
    Ok(arrays)
}

/// The moment of the answer: the present, or a mark slightly ahead of it where two machines' clocks differ.
fn moment(plan: &ServingPlan, answers: &[Answer], clock: crate::Clock) -> Result<Timestamp> {
    let now = clock.now();
    let allowed = if clock.is_frozen() { 0 } else { SKEW_US_MAX };
    let mut at = now;
    for (view, answer) in plan.views.iter().zip(answers) {
        let name = &view.view_use.view;
        let Some(marks) = answer.marks else {
            return Err(Error::Unavailable(format!(
                "{name} is not in the online store: run `hitherto materialize {}`, or wait for the follower of `serve`",
                name.name
            )));
        };
        if marks.clock.0.saturating_sub(now.0) > allowed {
            return Err(Error::Query {
                what: format!("could not read {name} at {now}"),
                reason: format!(
                    "the online store has been brought up to {}; it keeps the latest values only, so an earlier moment \
                     cannot be answered",
                    marks.clock
                ),
                kind: Kind::InvalidArgument,
            });
        }
        at = at.max(marks.clock);
        at = at.max(latest_available(view, answer));
    }
    if at.0.saturating_sub(now.0) > allowed {
        return Err(Error::Unavailable(format!(
            "a row of the online store becomes available at {at}, after the present, {now}: another writer's clock is ahead"
        )));
    }
    Ok(at)
}

/// When the last of an answer's rows became available: between a run's writes and its marks, that may be after the marks.
fn latest_available(view: &PlannedView, answer: &Answer) -> Timestamp {
    let reading = view.view_use.reading();
    let available = answer.rows.iter().flatten().map(|row| reading.available_at(&ruled(row)));
    available.max().unwrap_or(Timestamp::MIN)
}
