//! Shadows: a version's features, read after an answer is complete, held against it and counted; never returned.

use std::sync::Arc;
use std::time::Duration;

use hitherto_core::{Name, Value};
use hitherto_engine::{LookupColumn, LookupRequest, Route, ServingPlan, Shadow};
use hitherto_proto::Column;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::answer::Refusal;
use crate::metrics::{AskedModel, Metrics};
use crate::online_features::{entity_keys, request_values};
use crate::shared::Shared;

/// So many requests are with shadows at once; those beyond are dropped, and counted. It bounds the memory that a slow store
/// can make them hold, and what they take from answers.
const IN_FLIGHT_MAX: usize = 64;

/// Room for requests that shadows read.
#[derive(Debug)]
pub(crate) struct Shadows {
    rooms: Arc<Semaphore>,
    runtime: Handle,
}

/// A request as a shadow will read it, once it has been answered.
#[derive(Debug)]
pub(crate) struct Copied {
    shadow: Shadow,
    alias: Option<Name>,
    entities: Vec<Column>,
    request_fields: Vec<Column>,
    room: OwnedSemaphorePermit,
    runtime: Handle,
}

impl Shadows {
    /// In this runtime: what answers reads is left to those that somebody waits for.
    pub(crate) fn here() -> Self {
        Self { rooms: Arc::new(Semaphore::new(IN_FLIGHT_MAX)), runtime: Handle::current() }
    }

    /// A copy for the shadow of `route`, if it has one that `plan` is not itself, and there is room.
    pub(crate) fn copy(
        &self,
        metrics: &Metrics,
        route: &Route,
        plan: &ServingPlan,
        alias: Option<&Name>,
        columns: [&[Column]; 2],
    ) -> Option<Copied> {
        let shadow = route.shadow_of(plan)?;
        let Ok(room) = Arc::clone(&self.rooms).try_acquire_owned() else {
            metrics.shadow_read(&AskedModel { model: &shadow.model, alias }, "dropped", None);
            return None;
        };
        let [entities, request_fields] = columns.map(<[Column]>::to_vec);
        let runtime = self.runtime.clone();
        Some(Copied { shadow: shadow.clone(), alias: alias.cloned(), entities, request_fields, room, runtime })
    }
}

impl Copied {
    /// Has the shadow read it beside whatever else the server does; `answered` is what the caller was answered.
    pub(crate) fn spawn(self, shared: Arc<Shared>, route: Arc<Route>, answered: Vec<LookupColumn>) {
        let Self { shadow, alias, entities, request_fields, room, runtime } = self;
        runtime.spawn(async move {
            let asked = AskedModel { model: &shadow.model, alias: alias.as_ref() };
            let mut reading = Reading { metrics: &shared.metrics, asked, started: Instant::now(), outcome: "failed" };
            match read(&shared, &route, shadow.plan.as_deref(), entities, request_fields).await {
                Ok(found) => {
                    reading.outcome = "read";
                    for (feature, same, different) in compare(&answered, &found) {
                        shared.metrics.shadow_values(&shadow.model, feature, same, different);
                    }
                }
                Err(Refusal(failure)) => tracing::debug!(model = %shadow.model, "shadow: {}", failure.message),
            }
            drop(reading);
            drop(room);
        });
    }
}

/// A shadow's read; counted when it ends, however it ends.
struct Reading<'a> {
    metrics: &'a Metrics,
    asked: AskedModel<'a>,
    started: Instant,
    outcome: &'static str,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        let took: Duration = self.started.elapsed();
        self.metrics.shadow_read(&self.asked, self.outcome, (self.outcome == "read").then_some(took));
    }
}

async fn read(
    shared: &Shared,
    route: &Route,
    plan: Option<&ServingPlan>,
    entities: Vec<Column>,
    request_fields: Vec<Column>,
) -> Result<Vec<LookupColumn>, Refusal> {
    let plan = plan.ok_or_else(|| Refusal::not_found("it cannot be served at all"))?;
    let wanted =
        LookupRequest { entities: entity_keys(plan, entities)?, request: request_values(plan, route, request_fields)? };
    Ok(shared.serving.lookup(plan, &wanted).await?.columns)
}

/// Per feature that both have: how many of its values are the same, and how many are not.
fn compare<'a>(answered: &'a [LookupColumn], found: &[LookupColumn]) -> Vec<(&'a str, u64, u64)> {
    let both = answered.iter().filter_map(|column| {
        let other = found.iter().find(|other| other.name == column.name)?;
        let same = column.values.iter().zip(&other.values).filter(|(one, other)| is_same(one, other)).count();
        Some((column.name.as_str(), same as u64, (column.values.len() - same) as u64))
    });
    both.collect()
}

/// Whether a model would be given the same: by value and type, with NaN the same as NaN.
#[expect(clippy::float_cmp, reason = "a difference in the last bit is one")]
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Float32(one), Value::Float32(other)) => one == other || (one.is_nan() && other.is_nan()),
        (Value::Float64(one), Value::Float64(other)) => one == other || (one.is_nan() && other.is_nan()),
        (Value::List(one), Value::List(other)) => one.len() == other.len() && all_same(one, other),
        (Value::Vector(one), Value::Vector(other)) => {
            let same = |(one, other): (&f32, &f32)| one == other || (one.is_nan() && other.is_nan());
            one.len() == other.len() && one.iter().zip(other).all(same)
        }
        _ => one == other,
    }
}

fn all_same(one: &[Value], other: &[Value]) -> bool {
    one.iter().zip(other).all(|(one, other)| is_same(one, other))
}

#[cfg(test)]
mod tests {
    use hitherto_core::{Status, ValueType};

    use super::*;

    fn column(name: &str, values: Vec<Value>) -> LookupColumn {
        let statuses = vec![Status::Present; values.len()];
        LookupColumn { name: name.to_owned(), value_type: ValueType::Float64, view: None, values, statuses }
    }

    #[test]
    fn values_are_held_against_those_of_the_same_name() {
        let answered = [
            column("gust", vec![Value::Float64(1.0), Value::Float64(f64::NAN), Value::Null, Value::Float64(2.0)]),
            column("only_answered", vec![Value::Null; 4]),
            column("far", vec![Value::Float64(0.0); 4]),
        ];
        let found = [
            column("far", vec![Value::Float64(0.0), Value::Float32(0.0), Value::Null, Value::Float64(-0.0)]),
            column("only_shadow", vec![Value::Null; 4]),
            column("gust", vec![Value::Float64(1.0), Value::Float64(f64::NAN), Value::Null, Value::Float64(3.0)]),
        ];
        assert_eq!(compare(&answered, &found), [("gust", 3, 1), ("far", 2, 2)]);
        let nan = || Value::Vector(vec![f32::NAN, 1.0]);
        let list = |items: Vec<Value>| Value::List(items);
        assert!(is_same(&nan(), &nan()) && is_same(&list(vec![nan()]), &list(vec![nan()])));
        assert!(!is_same(&list(vec![nan()]), &list(vec![nan(), nan()])) && !is_same(&nan(), &Value::Vector(vec![1.0])));
    }
}
