//! What is counted, in Prometheus' text format.
//!
//! Each server has a recorder of its own: several may run in one process, and none installs a global one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use hitherto_core::{Name, VersionedName};
use hitherto_engine::{Brought, PackedLookup, ReadCounts, ServingPlan};
use metrics::{
    Counter, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram, with_local_recorder,
};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tonic::Code;

use crate::account::{Account, Subject};
use crate::admission::Admission;
use crate::auth::{REASONS, Reason};
use crate::connections::Connections;
use crate::histograms::{Histogram, Histograms};
use crate::metric_names as names;
use crate::readiness::ViewMarks;
use crate::set_series::{AllSeries, CODES, Tally};
use crate::{Error, Result, SpanCounts};

/// One server's counters.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    histograms: Histograms,
    series: AllSeries,
    calls: RwLock<HashMap<&'static str, Arc<CallSeries>>>,
}

/// What is counted of a method's calls: looked up once, then counted into without a label being made.
struct CallSeries {
    requests: [OnceLock<Counter>; CODES],
    seconds: Arc<Histogram>,
}

impl Metrics {
    pub(crate) fn new() -> Result<Self> {
        let builder = [names::MODEL_SECONDS, names::SHADOW_SECONDS].into_iter().try_fold(
            PrometheusBuilder::new(),
            |builder, name| {
                builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &names::REQUEST_SECONDS_BUCKETS)
            },
        );
        let recorder = builder.map_err(|source| Error::serve("set up metrics", source))?.build_recorder();
        let handle = recorder.handle();
        let (histograms, series, calls) = (Histograms::default(), AllSeries::default(), RwLock::default());
        let metrics = Self { recorder, handle, histograms, series, calls };
        metrics.record(describe);
        Ok(metrics)
    }

    /// A request was answered, or given up by its caller.
    pub(crate) fn request(&self, method: &'static str, code: Code, took: Duration) {
        let calls = self.calls(method);
        calls.seconds.record(took.as_secs_f64());
        let made = || counter!(names::REQUESTS, "method" => method, "code" => code_name(code));
        if let Some(requests) = calls.requests.get(code as usize) {
            self.record(|| requests.get_or_init(made).increment(1));
        }
    }

    fn calls(&self, method: &'static str) -> Arc<CallSeries> {
        let known = self.calls.read().unwrap_or_else(PoisonError::into_inner).get(method).map(Arc::clone);
        known.unwrap_or_else(|| {
            let mut calls = self.calls.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(calls.entry(method).or_insert_with(|| {
                let seconds = self.histograms.of(names::REQUEST_SECONDS, &[("method", method)]);
                Arc::new(CallSeries { requests: [const { OnceLock::new() }; CODES], seconds })
            }))
        })
    }

    /// Features were answered by `plan`.
    pub(crate) fn looked_up(&self, plan: &ServingPlan, found: &PackedLookup<'_>, tally: &Tally) {
        self.record(|| self.series.of(plan, &self.histograms).looked_up(found, tally));
    }

    /// A request with an account has ended; counted by who was to answer it, where that is known.
    pub(crate) fn served(&self, account: &Account, code: Code) {
        let Subject { plan: Some(plan), bytes, .. } = account.subject() else { return };
        self.record(|| {
            let series = self.series.of(&plan, &self.histograms);
            series.request(code, &account.times());
            series.bytes(bytes);
        });
    }

    /// How full the doors are, and how reads were sent; before it is rendered.
    pub(crate) fn load(&self, doors: [&Admission; 2], reads: ReadCounts) {
        self.record(|| {
            for door in doors {
                let (load, method) = (door.load(), door.work.method());
                gauge!(names::IN_FLIGHT, "method" => method).set(load.in_flight as f64);
                gauge!(names::QUEUED, "method" => method).set(load.queued as f64);
                counter!(names::REFUSED, "method" => method).absolute(load.refused);
            }
            counter!(names::STORE_READS, "round_trip" => "own").absolute(reads.alone);
            counter!(names::STORE_READS, "round_trip" => "shared").absolute(reads.joined);
            counter!(names::SHARED_ROUND_TRIPS).absolute(reads.shared_round_trips);
        });
    }

    /// What has become of spans, before it is rendered.
    pub(crate) fn spans(&self, counts: &SpanCounts) {
        self.record(|| {
            for (outcome, count) in counts.by_outcome() {
                counter!(names::SPANS, "outcome" => outcome).absolute(count);
            }
        });
    }

    /// How many connections are open; before it is rendered.
    pub(crate) fn connections(&self, of: &[Connections; 3]) {
        self.record(|| {
            for connections in of {
                let address = connections.address().as_str();
                gauge!(names::CONNECTIONS, "address" => address).set(connections.open() as f64);
            }
        });
    }

    /// A model version's features were read for an answer, or could not be.
    pub(crate) fn model_read(&self, asked: &AskedModel<'_>, outcome: &'static str, took: Duration) {
        self.record(|| {
            counter!(names::MODEL_REQUESTS, &asked.labels(outcome)).increment(1);
            histogram!(names::MODEL_SECONDS, "model" => asked.model.to_string()).record(took.as_secs_f64());
        });
    }

    /// A shadow's features were read, or could not be, or were not because too many were on their way.
    pub(crate) fn shadow_read(&self, asked: &AskedModel<'_>, outcome: &'static str, took: Option<Duration>) {
        self.record(|| {
            counter!(names::SHADOW_REQUESTS, &asked.labels(outcome)).increment(1);
            if let Some(took) = took {
                histogram!(names::SHADOW_SECONDS, "model" => asked.model.to_string()).record(took.as_secs_f64());
            }
        });
    }

    /// So many values of a shadow's feature are what was answered, and so many are not.
    pub(crate) fn shadow_values(&self, model: &VersionedName, feature: &str, same: u64, different: u64) {
        self.record(|| {
            for (outcome, count) in [("same", same), ("different", different)] {
                let labels =
                    [("model", model.to_string()), ("feature", feature.to_owned()), ("outcome", outcome.to_owned())];
                counter!(names::SHADOW_VALUES, &labels).increment(count);
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

    /// So many files of a table's data, and of its log, were deleted.
    pub(crate) fn kept_up(&self, view: &Name, data: u64, log: u64) {
        self.record(|| {
            for (kind, files) in [("data", data), ("log", log)] {
                counter!(names::DELETED_FILES, "view" => view.to_string(), "kind" => kind).increment(files);
            }
        });
    }

    /// Rows of a push are durable.
    pub(crate) fn pushed(&self, view: &Name, rows: u64) {
        self.record(|| counter!(names::PUSHED_ROWS, "view" => view.to_string()).increment(rows));
    }

    /// A run of the follower ended, well or not.
    pub(crate) fn followed(&self, Brought { done, failure, .. }: &Brought) {
        self.record(|| {
            let outcome = if failure.is_some() { "failed" } else { "done" };
            counter!(names::FOLLOWER_RUNS, "outcome" => outcome).increment(1);
            if failure.is_some() {
                counter!(names::FOLLOWER_FAILURES).increment(1);
            }
            for reading in done.iter().filter(|reading| reading.written > 0) {
                counter!(names::FOLLOWER_ROWS, "view" => reading.view.to_string()).increment(reading.written);
            }
        });
    }

    /// A query of SQL runs.
    pub(crate) fn query_started(&self) {
        self.record(|| gauge!(names::QUERIES_RUNNING).increment(1.0));
    }

    /// A query of SQL runs no more.
    pub(crate) fn query_ended(&self, outcome: &'static str) {
        self.record(|| {
            gauge!(names::QUERIES_RUNNING).decrement(1.0);
            counter!(names::QUERIES, "outcome" => outcome).increment(1);
        });
    }

    /// The registry could not be read.
    pub(crate) fn registry_failed(&self) {
        self.record(|| counter!(names::REGISTRY_FAILURES).increment(1));
    }

    /// A call or a connection was refused.
    pub(crate) fn refused(&self, reason: Reason) {
        self.record(|| counter!(names::REFUSALS, "reason" => reason.as_str()).increment(1));
    }

    /// Everything, as Prometheus reads it.
    pub(crate) fn render(&self) -> String {
        let mut text = self.handle.render();
        self.histograms.render(&mut text);
        text
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

/// A model version, and the alias under which it was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedModel<'a> {
    pub(crate) model: &'a VersionedName,
    pub(crate) alias: Option<&'a Name>,
}

impl AskedModel<'_> {
    fn labels(&self, outcome: &'static str) -> [(&'static str, String); 3] {
        let alias = self.alias.map(ToString::to_string).unwrap_or_default();
        [("model", self.model.to_string()), ("alias", alias), ("outcome", outcome.to_owned())]
    }
}

/// A code's name, as metrics have it.
pub(crate) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "Ok",
        Code::Cancelled => "Cancelled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

pub(crate) fn seconds(span: hitherto_core::Span) -> f64 {
    span.micros() as f64 / 1e6
}

fn describe() {
    describe_counter!(names::REQUESTS, "gRPC requests answered");
    describe_counter!(names::STATUSES, "feature values answered, by what they stand for");
    describe_gauge!(names::IN_FLIGHT, "requests that a limit bounds and that are being worked on");
    describe_gauge!(names::QUEUED, "requests that wait for their turn");
    describe_counter!(names::REFUSED, "requests that were refused because as many were let in as may be");
    describe_counter!(names::SERVED, "requests of features, by who was to answer them");
    describe_counter!(names::SERVED_VALUES, "values answered, by what they stand for");
    describe_counter!(names::SERVED_BYTES, "bytes of the messages of answers");
    describe_counter!(names::STORE_READS, "reads of the online store for lookups");
    describe_counter!(names::SHARED_ROUND_TRIPS, "round trips to the online store that reads shared");
    describe_counter!(names::MODEL_REQUESTS, "requests read by a model version");
    describe_histogram!(names::MODEL_SECONDS, "how long a model version's features took to be read");
    describe_counter!(names::SHADOW_REQUESTS, "requests that a shadow version was to read as well");
    describe_histogram!(names::SHADOW_SECONDS, "how long a shadow version's features took to be read");
    describe_counter!(names::SHADOW_VALUES, "values of a shadow version, held against those that were answered");
    describe_gauge!(names::LAG_SECONDS, "how far what has reached the online store lies behind the present");
    describe_counter!(names::FOLLOWER_RUNS, "runs of the follower");
    describe_counter!(names::FOLLOWER_FAILURES, "runs of the follower that failed");
    describe_counter!(names::FOLLOWER_ROWS, "rows that the follower wrote online");
    describe_counter!(names::PUSHED_ROWS, "rows pushed, as they became durable");
    describe_counter!(names::DELETED_FILES, "files that were deleted because nobody needed them any more");
    describe_gauge!(names::QUERIES_RUNNING, "queries of SQL that run now");
    describe_counter!(names::QUERIES, "queries of SQL that have ended");
    describe_counter!(names::REFUSALS, "calls and connections that were refused");
    describe_counter!(names::SPANS, "spans of traces that have ended, by what became of them");
    describe_gauge!(names::CONNECTIONS, "connections that are open");
    describe_counter!(names::REGISTRY_FAILURES, "failures to look whether the registry has changed");
    // series that must be there before the first event, so that a rate over them is 0 and not absent
    counter!(names::FOLLOWER_FAILURES).increment(0);
    counter!(names::REGISTRY_FAILURES).increment(0);
    gauge!(names::QUERIES_RUNNING).set(0.0);
    for reason in REASONS {
        counter!(names::REFUSALS, "reason" => reason.as_str()).increment(0);
    }
}
