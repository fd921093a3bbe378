//! The series of one feature set as one model version reads it: looked up once, then counted into without a name or a label
//! being made.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use hitherto_core::{Status, VersionedName};
use hitherto_engine::{PackedLookup, ServingPlan};
use metrics::{Counter, counter};
use tonic::Code;

use crate::account::{Phase, Times};
use crate::histograms::{Histogram, Histograms};
use crate::metric_names as names;
use crate::metrics::{code_name, seconds};

const STATUSES: [(Status, &str); 4] = [
    (Status::Present, "PRESENT"),
    (Status::NullValue, "NULL_VALUE"),
    (Status::NotFound, "NOT_FOUND"),
    (Status::OutsideMaxAge, "OUTSIDE_MAX_AGE"),
];

/// gRPC has so many codes, numbered from 0.
pub(crate) const CODES: usize = 17;

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
    seconds: [Arc<Histogram>; Phase::ALL.len()],
    values: [Counter; STATUSES.len()],
    oldest: Arc<Histogram>,
    bytes: Counter,
    views: Vec<ViewSeries>,
}

/// How many values of an answer stand for what.
#[derive(Debug)]
pub(crate) struct Tally {
    total: [u64; STATUSES.len()],
    of_views: Vec<[u64; STATUSES.len()]>,
}

impl Tally {
    /// None yet, of an answer by `plan`.
    pub(crate) fn new(plan: &ServingPlan) -> Self {
        Self { total: [0; STATUSES.len()], of_views: vec![[0; STATUSES.len()]; plan.views.len()] }
    }

    /// A column, of a view unless it was computed.
    pub(crate) fn count(&mut self, view: Option<usize>, statuses: &[Status]) {
        let mut counts = [0; STATUSES.len()];
        for status in statuses {
            counts[index(*status)] += 1;
        }
        add(&mut self.total, &counts);
        if let Some(view) = view.and_then(|view| self.of_views.get_mut(view)) {
            add(view, &counts);
        }
    }
}

/// What is counted of one view of it.
#[derive(Debug)]
struct ViewSeries {
    statuses: [Counter; STATUSES.len()],
    ages: Arc<Histogram>,
}

impl AllSeries {
    /// The series of `plan`. Within the recorder's scope, where they may have to be made.
    pub(crate) fn of(&self, plan: &ServingPlan, histograms: &Histograms) -> Arc<SetSeries> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let found = known.get(&plan.feature_set).and_then(|models| find(models, plan));
        drop(known);
        found.unwrap_or_else(|| {
            let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let models = all.entry(plan.feature_set.clone()).or_default();
            find(models, plan).unwrap_or_else(|| {
                let made = Arc::new(SetSeries::new(plan, histograms));
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
    fn new(plan: &ServingPlan, histograms: &Histograms) -> Self {
        let model = plan.model.as_ref().map(ToString::to_string).unwrap_or_default();
        let labels = [("feature_set", plan.feature_set.to_string()), ("model", model)];
        let with = |name: &'static str, value: &str| {
            let [set, model] = labels.clone();
            [set, model, (name, value.to_owned())]
        };
        let own = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
        let [set, of_model] = own;
        Self {
            requests: [const { OnceLock::new() }; CODES],
            seconds: Phase::ALL
                .map(|phase| histograms.of(names::SERVED_SECONDS, &[set, of_model, ("phase", phase.name())])),
            values: STATUSES.map(|(_, status)| counter!(names::SERVED_VALUES, &with("status", status))),
            oldest: histograms.of(names::SERVED_AGE_SECONDS, &own),
            bytes: counter!(names::SERVED_BYTES, &labels),
            views: plan.views.iter().map(|view| ViewSeries::new(&view.view_use.view, histograms)).collect(),
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
    pub(crate) fn looked_up(&self, found: &PackedLookup<'_>, tally: &Tally) {
        increment(&self.values, &tally.total);
        let mut oldest = None;
        for ((view, series), counts) in found.views().iter().zip(&self.views).zip(&tally.of_views) {
            increment(&series.statuses, counts);
            let mut ages = series.ages.samples();
            for event in view.rows.iter().filter_map(|row| row.event_timestamp) {
                ages.add(seconds(found.at().since(event)));
                oldest = Some(oldest.map_or(event, |oldest: hitherto_core::Timestamp| oldest.min(event)));
            }
        }
        if let Some(oldest) = oldest {
            self.oldest.record(seconds(found.at().since(oldest)));
        }
    }
}

impl ViewSeries {
    fn new(view: &VersionedName, histograms: &Histograms) -> Self {
        let name = view.to_string();
        let of = |status: &'static str| counter!(names::STATUSES, "view" => name.clone(), "status" => status);
        Self {
            statuses: STATUSES.map(|(_, status)| of(status)),
            ages: histograms.of(names::AGE_SECONDS, &[("view", &name)]),
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
