//! `lookup`: the latest values of many entities, by the same rule as a training set, in one round trip.

use arrow::array::ArrayRef;
use hitherto_core::{
    EntityKey, KeyValue, Kind, Reading, Row, Span, Status, Timestamp, Value, ValueType, VersionedName,
};
use hitherto_offline::{ColumnReader, array_of};
use hitherto_online::{Answer, Group, Marks, OnlineRow, RowVersion, encoding::PackedRow};

use crate::serving::{PlannedView, Serving, ServingPlan};
use crate::{Error, Result};

/// Two machines' clocks may differ by this much; a mark further ahead of the reader's clock is refused.
const CLOCK_SKEW_US_MAX: i64 = 5_000_000;

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

impl Serving {
    /// Answer `wanted` by `plan`, which [`Serving::route`] has, at the engine's present.
    ///
    /// Refused: a view that has never been materialized, a reader's clock before the store's mark (never guessed), a
    /// missing entity column or request field.
    pub async fn lookup(&self, plan: &ServingPlan, wanted: &LookupRequest) -> Result<Lookup> {
        let rows = wanted.rows()?;
        let keys = plan.views.iter().map(|view| view_keys(view, wanted, rows)).collect::<Result<Vec<_>>>()?;
        let fields = request_fields(plan, wanted)?;
        let present: Vec<Vec<Vec<u8>>> = keys.iter().map(|keys| keys.iter().flatten().cloned().collect()).collect();
        let groups: Vec<Group<'_>> =
            plan.views.iter().zip(&present).map(|(view, keys)| Group { reading: &view.reading, keys }).collect();
        let answers = self.engine().online()?.read(&groups).await?;
        let at = moment(plan, &answers, self.engine().clock())?;
        let views = plan
            .views
            .iter()
            .zip(&keys)
            .zip(answers)
            .map(|((view, keys), answer)| ViewRows::unpack(view, keys, answer, at))
            .collect::<Result<Vec<_>>>()?;
        assemble(plan, &views, &fields, at, rows)
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

/// The bytes of each row's entity key; none where a part is null.
fn view_keys(view: &PlannedView, wanted: &LookupRequest, rows: usize) -> Result<Vec<Option<Vec<u8>>>> {
    let mut columns = Vec::with_capacity(view.keys.len());
    for (name, key_type) in &view.keys {
        let Some((_, values)) = wanted.entities.iter().find(|(given, _)| given == name) else {
            let given = wanted.entities.iter().map(|(given, _)| given.as_str());
            let hint = hitherto_core::did_you_mean(name, given)
                .map(|near| format!(" (did you mean to call '{near}' so?)"))
                .unwrap_or_default();
            return Err(Error::Invalid(format!(
                "entity column '{name}' ({key_type}) is missing; {} needs it{hint}",
                view.view_use.view
            )));
        };
        let wrong = values.iter().position(|value| value.as_ref().is_some_and(|value| !value.is_of(*key_type)));
        if let Some(row) = wrong {
            return Err(Error::Invalid(format!(
                "entity column '{name}' must be {key_type}; row {} is {:?}",
                row + 1,
                values[row]
            )));
        }
        columns.push(values);
    }
    let key = |row: usize| columns.iter().map(|column| column[row].clone()).collect::<Option<Vec<_>>>();
    Ok((0..rows).map(|row| key(row).map(|parts| EntityKey(parts).to_bytes())).collect())
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
    let allowed = if clock.is_frozen() { 0 } else { CLOCK_SKEW_US_MAX };
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

/// One view's rows of an answer, by row of the request.
struct ViewRows {
    view: LookupView,
    columns: Vec<ValueType>,
    rows: Vec<(Status, Option<OnlineRow>)>,
}

impl ViewRows {
    fn unpack(view: &PlannedView, keys: &[Option<Vec<u8>>], answer: Answer, at: Timestamp) -> Result<Self> {
        let marks =
            answer.marks.ok_or_else(|| Error::internal("marks were checked before", view.reading.to_string()))?;
        let reading = view.view_use.reading();
        let mut found = answer.rows.into_iter();
        let rows: Vec<_> =
            keys.iter().map(|key| judge(reading, key.as_ref().and_then(|_| found.next().flatten()), at)).collect();
        let event_timestamps = rows.iter().map(|(_, row)| row.as_ref().map(|row| row.version.event)).collect();
        let described = LookupView {
            alias: view.view_use.alias.to_string(),
            view: view.view_use.view.clone(),
            event_timestamps,
            marks,
            lag: at.since(marks.clock),
            is_stale: answer.is_stale,
        };
        Ok(Self { view: described, columns: view.columns.clone(), rows })
    }

    fn column(&self, column: usize) -> Result<(Vec<Value>, Vec<Status>)> {
        let mut values = Vec::with_capacity(self.rows.len());
        let mut statuses = Vec::with_capacity(self.rows.len());
        for (status, row) in &self.rows {
            let value = match (status, row) {
                (Status::Present, Some(row)) => PackedRow::new(&row.values, &self.columns)
                    .and_then(|packed| packed.get(column)?.to_value())
                    .map_err(unreadable)?,
                _ => Value::Null,
            };
            statuses.push(if *status == Status::Present && value == Value::Null { Status::NullValue } else { *status });
            values.push(value);
        }
        Ok((values, statuses))
    }
}

fn unreadable(source: hitherto_online::encoding::EncodingError) -> Error {
    Error::internal("a row of the online store cannot be read", source)
}

/// The rule over the one row that the store has: tombstone, then ttl.
fn judge(reading: Reading, row: Option<OnlineRow>, at: Timestamp) -> (Status, Option<OnlineRow>) {
    let Some(row) = row else { return (Status::NotFound, None) };
    match hitherto_core::answer(&[ruled(&row)], reading, at, hitherto_core::Mode::Knowledge) {
        hitherto_core::Outcome::NoRow | hitherto_core::Outcome::Deleted => (Status::NotFound, None),
        hitherto_core::Outcome::Expired => (Status::OutsideMaxAge, Some(row)),
        hitherto_core::Outcome::Row(_) => (Status::Present, Some(row)),
    }
}

fn ruled(row: &OnlineRow) -> Row {
    let RowVersion { event, created, sequence } = row.version;
    Row { event, created, sequence, deleted: row.deleted }
}

fn assemble(plan: &ServingPlan, views: &[ViewRows], fields: &[ArrayRef], at: Timestamp, rows: usize) -> Result<Lookup> {
    let mut columns = Vec::with_capacity(plan.outputs.len());
    for output in &plan.outputs {
        let (values, statuses) = views[output.view].column(output.column)?;
        columns.push(LookupColumn {
            name: output.name.clone(),
            value_type: output.value_type.clone(),
            view: Some(output.view),
            values,
            statuses,
        });
    }
    if !plan.transforms.is_empty() {
        let mut inputs = Vec::with_capacity(columns.len() + fields.len());
        for column in &columns {
            inputs.push(array_of(&column.value_type, &column.values)?);
        }
        inputs.extend(fields.iter().cloned());
        let computed = plan.transforms.evaluate(inputs, crate::Transforms::times(at, rows), rows)?;
        for ((field, value_type), array) in plan.transforms.fields().zip(plan.transforms.value_types()).zip(computed) {
            columns.push(transformed(field.name(), value_type, &array)?);
        }
    }
    Ok(Lookup {
        feature_set: plan.feature_set.clone(),
        feature_set_hash: plan.feature_set_hash.clone(),
        model: plan.model.clone(),
        at,
        rows,
        columns,
        views: views.iter().map(|view| view.view.clone()).collect(),
    })
}

fn transformed(name: &str, value_type: &ValueType, array: &ArrayRef) -> Result<LookupColumn> {
    let values: Vec<Value> = ColumnReader::try_new(array.as_ref(), value_type)?.values().collect();
    let status = |value: &Value| if *value == Value::Null { Status::NullValue } else { Status::Present };
    let statuses = values.iter().map(status).collect();
    Ok(LookupColumn { name: name.to_owned(), value_type: value_type.clone(), view: None, values, statuses })
}
