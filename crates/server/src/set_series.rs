//! The series of one feature set as one model version reads it: looked up once, then counted into without a name or a label
//! being made.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use hitherto_core::{Status, VersionedName};
use hitherto_engine::{Lookup, ServingPlan};
use metrics::{Counter, Histogram, counter, histogram};
use tonic::Code;

use crate::account::{Phase, Times};
use crate::metric_names as names;
use crate::metrics::{code_name, seconds};

const STATUSES: [(Status, &str); 4] = [
    (Status::Present, "PRESENT"),
    (Status::NullValue, "NULL_VALUE"),
    (Status::NotFound, "NOT_FOUND"),
    (Status::OutsideMaxAge, "OUTSIDE_MAX_AGE"),
];

/// gRPC has so many codes, numbered from 0.
const CODES: usize = 17;

/// All series by feature set, and then by model version.
#[derive(Debug, Default)]
pub(crate) struct AllSeries(RwLock<HashMap<VersionedName, Vec<OfModel>>>);

/// The series of a set as one model version reads it; nobody's, where the set itself is asked for.
#[derive(Debug)]
struct OfModel {
    model: Option<VersionedName>,
    series: Arc<SetSeries>,
}

/// What is counted of one.
#[derive(Debug)]
pub(crate) struct SetSeries {
    labels: [(&'static str, String); 2],
    requests: [OnceLock<Counter>; CODES],
    seconds: [Histogram; Phase::ALL.len()],
    values: [Counter; STATUSES.len()],
    oldest: Histogram,
    bytes: Counter,
    views: Vec<ViewSeries>,
}

/// What is counted of one view of it.
#[derive(Debug)]
struct ViewSeries {
    statuses: [Counter; STATUSES.len()],
    ages: Histogram,
}

impl AllSeries {
    /// The series of `plan`. Within the recorder's scope, where they may have to be made.
    pub(crate) fn of(&self, plan: &ServingPlan) -> Arc<SetSeries> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(&plan.feature_set).and_then(|models| find(models, plan));
        drop(known);
        found.unwrap_or_else(|| {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let models = all.entry(plan.feature_set.clone()).or_default();
            find(models, plan).unwrap_or_else(|| {
                let made = Arc::new(SetSeries::new(plan));
                models.push(OfModel { model: plan.model.clone(), series: Arc::clone(&made) });
                made
            })
        })
    }
}

fn find(models: &[OfModel], plan: &ServingPlan) -> Option<Arc<SetSeries>> {
    models.iter().find(|known| known.model == plan.model).map(|known| Arc::clone(&known.series))
}

impl SetSeries {
    fn new(plan: &ServingPlan) -> Self {
        let model = plan.model.as_ref().map(ToString::to_string).unwrap_or_default();
        let labels = [("feature_set", plan.feature_set.to_string()), ("model", model)];
        let with = |name: &'static str, value: &str| {
            let [set, model] = labels.clone();
            [set, model, (name, value.to_owned())]
        };
        Self {
            requests: [const { OnceLock::new() }; CODES],
            seconds: Phase::ALL.map(|phase| histogram!(names::SERVED_SECONDS, &with("phase", phase.name()))),
            values: STATUSES.map(|(_, status)| counter!(names::SERVED_VALUES, &with("status", status))),
            oldest: histogram!(names::SERVED_AGE_SECONDS, &labels),
            bytes: counter!(names::SERVED_BYTES, &labels),
            views: plan.views.iter().map(|view| ViewSeries::new(&view.view_use.view)).collect(),
            labels,
        }
    }

    /// A request has ended. Within the recorder's scope.
    pub(crate) fn request(&self, code: Code, times: &Times) {
        let made = || {
            let [set, model] = self.labels.clone();
            counter!(names::SERVED, &[set, model, ("code", code_name(code).to_owned())])
        };
        if let Some(requests) = self.requests.get(code as usize) {
            requests.get_or_init(made).increment(1);
        }
        for (phase, seconds) in Phase::ALL.into_iter().zip(&self.seconds) {
            seconds.record(times.of(phase).as_secs_f64());
        }
    }

    /// An answer has so many bytes.
    pub(crate) fn bytes(&self, bytes: usize) {
        self.bytes.increment(bytes as u64);
    }

    /// Features were answered.
    pub(crate) fn looked_up(&self, lookup: &Lookup) {
        let mut total = [0; STATUSES.len()];
        let mut of_views = vec![[0; STATUSES.len()]; self.views.len()];
        for column in &lookup.columns {
            let mut counts = [0; STATUSES.len()];
            for status in &column.statuses {
                counts[index(*status)] += 1;
            }
            add(&mut total, &counts);
            if let Some(view) = column.view.and_then(|view| of_views.get_mut(view)) {
                add(view, &counts);
            }
        }
        increment(&self.values, &total);
        let mut oldest = None;
        for ((view, series), counts) in lookup.views.iter().zip(&self.views).zip(&of_views) {
            increment(&series.statuses, counts);
            for event in view.event_timestamps.iter().flatten() {
                series.ages.record(seconds(lookup.at.since(*event)));
                oldest = Some(oldest.map_or(*event, |oldest: hitherto_core::Timestamp| oldest.min(*event)));
            }
        }
        if let Some(oldest) = oldest {
            self.oldest.record(seconds(lookup.at.since(oldest)));
        }
    }
}

impl ViewSeries {
    fn new(view: &VersionedName) -> Self {
        let name = view.to_string();
        let of = |status: &'static str| counter!(names::STATUSES, "view" => name.clone(), "status" => status);
        Self {
            statuses: STATUSES.map(|(_, status)| of(status)),
            ages: histogram!(names::AGE_SECONDS, "view" => name.clone()),
        }
    }
}

fn index(status: Status) -> usize {
    match status {
        Status::Present => 0,
        Status::NullValue => 1,
        Status::NotFound => 2,
        Status::OutsideMaxAge => 3,
    }
}

fn add(total: &mut [u64; STATUSES.len()], counts: &[u64; STATUSES.len()]) {
    for (total, count) in total.iter_mut().zip(counts) {
        *total += count;
    }
}

fn increment(counters: &[Counter; STATUSES.len()], counts: &[u64; STATUSES.len()]) {
    for (counter, count) in counters.iter().zip(counts) {
        counter.increment(*count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_and_code_has_its_place() {
        for (place, (status, _)) in STATUSES.into_iter().enumerate() {
            assert_eq!(index(status), place);
        }
        for number in 0..CODES as i32 {
            let code = Code::from(number);
            assert_eq!((code as i32, code_name(code)), (number, format!("{code:?}").as_str()));
        }
        assert_eq!(Code::from(CODES as i32), Code::Unknown, "there is none beyond");
    }
}
