//! Every metric: its name, its labels, what it counts.

use crate::histograms::Kind;

/// gRPC requests answered. Labels: `method`, `code`.
pub(crate) const REQUESTS: &str = "hitherto_grpc_requests_total";
/// How long gRPC requests took. Label: `method`.
pub(crate) const REQUEST_SECONDS: Kind = Kind {
    name: "hitherto_grpc_request_seconds",
    help: "how long gRPC requests took",
    bounds: &REQUEST_SECONDS_BUCKETS,
};
/// Feature values answered, by what they stand for. Labels: `view` (`name@version`), `status`.
pub(crate) const STATUSES: &str = "hitherto_feature_statuses_total";
/// How long before the answer the event behind a served row was. Label: `view` (`name@version`).
pub(crate) const AGE_SECONDS: Kind = Kind {
    name: "hitherto_feature_age_seconds",
    help: "how long before the answer the event behind a served row was",
    bounds: &AGE_SECONDS_BUCKETS,
};
/// Requests that a limit bounds and that are being worked on. Label: `method`.
pub(crate) const IN_FLIGHT: &str = "hitherto_requests_in_flight";
/// Requests that wait for their turn. Label: `method`.
pub(crate) const QUEUED: &str = "hitherto_requests_queued";
/// Requests that were refused because as many were let in as may be. Label: `method`.
pub(crate) const REFUSED: &str = "hitherto_requests_refused_total";
/// Requests of features by who was to answer, from the moment at which that was known. Labels: `feature_set` and `model`
/// (`name@version`; `model` is empty where a feature set was asked for), `code`.
pub(crate) const SERVED: &str = "hitherto_serving_requests_total";
/// How long these requests were in each phase. Labels: `feature_set`, `model`, `phase` (`receive`, `queue`, `own` for the
/// server's own time, `store` for the online store's).
pub(crate) const SERVED_SECONDS: Kind = Kind {
    name: "hitherto_serving_seconds",
    help: "how long requests of features were in each phase",
    bounds: &PHASE_SECONDS_BUCKETS,
};
/// Values answered to them, transforms included. Labels: `feature_set`, `model`, `status`.
pub(crate) const SERVED_VALUES: &str = "hitherto_serving_values_total";
/// How long before the answer the oldest event behind it was. Labels: `feature_set`, `model`.
pub(crate) const SERVED_AGE_SECONDS: Kind = Kind {
    name: "hitherto_serving_oldest_age_seconds",
    help: "how long before an answer the oldest event behind it was",
    bounds: &AGE_SECONDS_BUCKETS,
};
/// Bytes of the messages of their answers. Labels: `feature_set`, `model`.
pub(crate) const SERVED_BYTES: &str = "hitherto_serving_answer_bytes_total";
/// Reads of the online store for lookups. Label: `round_trip` (`own`, or `shared` with other reads).
pub(crate) const STORE_READS: &str = "hitherto_store_reads_total";
/// Round trips that reads shared.
pub(crate) const SHARED_ROUND_TRIPS: &str = "hitherto_store_shared_round_trips_total";
/// Requests read by a model version. Labels: `model` (`name@version`), `alias` (empty where none was asked for), `outcome`
/// (`answered` or `failed`). A canary's share of an alias's traffic is its share of these.
pub(crate) const MODEL_REQUESTS: &str = "hitherto_model_requests_total";
/// How long a model version's features took to be read. Label: `model` (`name@version`).
pub(crate) const MODEL_SECONDS: &str = "hitherto_model_read_seconds";
/// Requests that a shadow version was to read as well. Labels: `model` (`name@version`), `alias`, `outcome` (`read`,
/// `failed`, or `dropped` where too many were on their way).
pub(crate) const SHADOW_REQUESTS: &str = "hitherto_shadow_requests_total";
/// How long a shadow version's features took to be read. Label: `model` (`name@version`).
pub(crate) const SHADOW_SECONDS: &str = "hitherto_shadow_read_seconds";
/// Values of a shadow version held against those that were answered under the same name. Labels: `model`
/// (`name@version`), `feature`, `outcome` (`same` or `different`).
pub(crate) const SHADOW_VALUES: &str = "hitherto_shadow_values_total";
/// How far what has reached the online store lies behind the present. Labels: `view`, `reading`.
pub(crate) const LAG_SECONDS: &str = "hitherto_view_lag_seconds";
/// Runs of the follower. Label: `outcome` (`done` or `failed`).
pub(crate) const FOLLOWER_RUNS: &str = "hitherto_follower_runs_total";
/// Runs of the follower that failed.
pub(crate) const FOLLOWER_FAILURES: &str = "hitherto_follower_failures_total";
/// Rows that the follower wrote online. Label: `view`.
pub(crate) const FOLLOWER_ROWS: &str = "hitherto_follower_rows_total";
/// Rows pushed, as they became durable. Label: `view`.
pub(crate) const PUSHED_ROWS: &str = "hitherto_pushed_rows_total";
/// Files that were deleted because nobody needed them any more. Labels: `view`, `kind` (`data`, or `log` for entries and
/// checkpoints of the table's log).
pub(crate) const DELETED_FILES: &str = "hitherto_deleted_files_total";
/// Queries of SQL that run now.
pub(crate) const QUERIES_RUNNING: &str = "hitherto_sql_queries_running";
/// Queries of SQL that have ended. Label: `outcome` (`done`, `failed`, or `cancelled` where nobody waited for the rows).
pub(crate) const QUERIES: &str = "hitherto_sql_queries_total";
/// Calls and connections that were refused. Label: `reason` (`missing`, `unknown`, `expired`, `revoked`, `role`; `handshake` where
/// no TLS came about, `connections` where as many were open as may be).
pub(crate) const REFUSALS: &str = "hitherto_refusals_total";
/// Spans of traces that have ended. Label: `outcome` (`delivered` to the collector, `failed` where it did not take them,
/// `dropped` where as many waited as may). Only where traces are configured.
pub(crate) const SPANS: &str = "hitherto_trace_spans_total";
/// Connections that are open. Label: `address` (`grpc` or `http`).
pub(crate) const CONNECTIONS: &str = "hitherto_connections_open";
/// Failures to look whether the registry has changed.
pub(crate) const REGISTRY_FAILURES: &str = "hitherto_registry_failures_total";

/// Bounds of [`SERVED_SECONDS`]: from 10 µs to 10 s.
pub(crate) const PHASE_SECONDS_BUCKETS: [f64; 17] = [
    0.000_01, 0.000_025, 0.000_05, 0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
    2.5, 10.0,
];
/// Bounds of [`REQUEST_SECONDS`], [`MODEL_SECONDS`] and [`SHADOW_SECONDS`]: from 100 µs to 10 s.
pub(crate) const REQUEST_SECONDS_BUCKETS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Bounds of [`AGE_SECONDS`] and [`SERVED_AGE_SECONDS`]: from a second to a year.
pub(crate) const AGE_SECONDS_BUCKETS: [f64; 12] =
    [1.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 172_800.0, 604_800.0, 2_592_000.0, 7_776_000.0, 31_536_000.0];
