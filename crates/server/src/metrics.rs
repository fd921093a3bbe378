//! What is counted, in Prometheus' text format.
//!
//! Each server has a recorder of its own: several may run in one process, and none installs a global one.

use std::fmt;
use std::time::Duration;

use hitherto_core::{Name, Status};
use hitherto_engine::{Lookup, Materialized};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tonic::Code;

use crate::metric_names as names;
use crate::readiness::ViewMarks;
use crate::{Error, Result};

/// One server's counters.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self> {
        let request = Matcher::Full(names::REQUEST_SECONDS.to_owned());
        let age = Matcher::Full(names::AGE_SECONDS.to_owned());
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(request, &names::REQUEST_SECONDS_BUCKETS)
            .and_then(|builder| builder.set_buckets_for_metric(age, &names::AGE_SECONDS_BUCKETS));
        let recorder = builder.map_err(|source| Error::serve("set up metrics", source))?.build_recorder();
        let handle = recorder.handle();
        let metrics = Self { recorder, handle };
        metrics.record(describe);
        Ok(metrics)
    }

    /// A request was answered, or given up by its caller.
    pub(crate) fn request(&self, method: &'static str, code: Code, took: Duration) {
        self.record(|| {
            counter!(names::REQUESTS, "method" => method, "code" => format!("{code:?}")).increment(1);
            histogram!(names::REQUEST_SECONDS, "method" => method).record(took.as_secs_f64());
        });
    }

    /// Features were answered.
    pub(crate) fn looked_up(&self, lookup: &Lookup) {
        self.record(|| {
            for (index, view) in lookup.views.iter().enumerate() {
                let name = view.view.to_string();
                let mut counts = STATUS_NAMES.map(|(status, text)| (status, text, 0));
                let statuses = lookup.columns.iter().filter(|column| column.view == Some(index));
                for status in statuses.flat_map(|column| &column.statuses) {
                    if let Some(count) = counts.iter_mut().find(|count| count.0 == *status) {
                        count.2 += 1;
                    }
                }
                for (_, status, count) in counts {
                    counter!(names::STATUSES, "view" => name.clone(), "status" => status).increment(count);
                }
                let ages = histogram!(names::AGE_SECONDS, "view" => name);
                for event in view.event_timestamps.iter().flatten() {
                    ages.record(seconds(lookup.at.since(*event)));
                }
            }
        });
    }

    /// What has reached the online store, as it was just found.
    pub(crate) fn lags(&self, views: &[ViewMarks]) {
        self.record(|| {
            for view in views {
                let lag = view.lag.map_or(f64::INFINITY, seconds);
                let labels = [("view", view.view.to_string()), ("reading", view.reading.to_string())];
                gauge!(names::LAG_SECONDS, &labels).set(lag);
            }
        });
    }

    /// Rows of a push are durable.
    pub(crate) fn pushed(&self, view: &Name, rows: u64) {
        self.record(|| counter!(names::PUSHED_ROWS, "view" => view.to_string()).increment(rows));
    }

    /// A run of the follower ended well.
    pub(crate) fn followed(&self, done: &[Materialized]) {
        self.record(|| {
            counter!(names::FOLLOWER_RUNS, "outcome" => "done").increment(1);
            for reading in done.iter().filter(|reading| reading.written > 0) {
                counter!(names::FOLLOWER_ROWS, "view" => reading.view.to_string()).increment(reading.written);
            }
        });
    }

    /// A run of the follower failed.
    pub(crate) fn follower_failed(&self) {
        self.record(|| {
            counter!(names::FOLLOWER_RUNS, "outcome" => "failed").increment(1);
            counter!(names::FOLLOWER_FAILURES).increment(1);
        });
    }

    /// The registry could not be read.
    pub(crate) fn registry_failed(&self) {
        self.record(|| counter!(names::REGISTRY_FAILURES).increment(1));
    }

    /// Everything, as Prometheus reads it.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Moves samples into their buckets; without this they pile up where nobody scrapes.
    pub(crate) fn tidy(&self) {
        self.handle.run_upkeep();
    }

    /// Never across an await: the recorder is set for the thread.
    fn record(&self, record: impl FnOnce()) {
        with_local_recorder(&self.recorder, record);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

const STATUS_NAMES: [(Status, &str); 4] = [
    (Status::Present, "PRESENT"),
    (Status::NullValue, "NULL_VALUE"),
    (Status::NotFound, "NOT_FOUND"),
    (Status::OutsideMaxAge, "OUTSIDE_MAX_AGE"),
];

fn seconds(span: hitherto_core::Span) -> f64 {
    span.micros() as f64 / 1e6
}

fn describe() {
    describe_counter!(names::REQUESTS, "gRPC requests answered");
    describe_histogram!(names::REQUEST_SECONDS, "how long gRPC requests took");
    describe_counter!(names::STATUSES, "feature values answered, by what they stand for");
    describe_histogram!(names::AGE_SECONDS, "how long before the answer the event behind a served row was");
    describe_gauge!(names::LAG_SECONDS, "how far what has reached the online store lies behind the present");
    describe_counter!(names::FOLLOWER_RUNS, "runs of the follower");
    describe_counter!(names::FOLLOWER_FAILURES, "runs of the follower that failed");
    describe_counter!(names::FOLLOWER_ROWS, "rows that the follower wrote online");
    describe_counter!(names::PUSHED_ROWS, "rows pushed, as they became durable");
    describe_counter!(names::REGISTRY_FAILURES, "failures to look whether the registry has changed");
    // series that must be there before the first event, so that a rate over them is 0 and not absent
    counter!(names::FOLLOWER_FAILURES).increment(0);
    counter!(names::REGISTRY_FAILURES).increment(0);
}
