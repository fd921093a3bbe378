//! What a join counts and times, all names in one place.

use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, Time};

/// Of the whole join.
#[derive(Debug)]
pub(crate) struct JoinMetrics {
    /// Rows out, and the time to put the output together.
    pub(crate) baseline: BaselineMetrics,
    pub(crate) spine_rows: Count,
    /// Interning and sorting the spine.
    pub(crate) index_time: Time,
}

impl JoinMetrics {
    pub(crate) fn new(metrics: &ExecutionPlanMetricsSet) -> Self {
        Self {
            baseline: BaselineMetrics::new(metrics, 0),
            spine_rows: MetricBuilder::new(metrics).counter("spine_rows", 0),
            index_time: MetricBuilder::new(metrics).subset_time("index_time", 0),
        }
    }
}

/// Of one view.
#[derive(Clone, Debug)]
pub(crate) struct ViewMetrics {
    /// Rows of the history that were read.
    pub(crate) probed_rows: Count,
    /// Those of them that some spine row can see.
    pub(crate) candidate_rows: Count,
    /// Those whose payload was fetched.
    pub(crate) winner_rows: Count,
    /// The narrow pass from end to end.
    pub(crate) narrow_time: Time,
    /// Of that, the look-ups alone, summed over threads.
    pub(crate) probe_time: Time,
    /// The running maximum and the sort of addresses.
    pub(crate) resolve_time: Time,
    /// The winners' payload.
    pub(crate) fetch_time: Time,
}

impl ViewMetrics {
    pub(crate) fn new(metrics: &ExecutionPlanMetricsSet, view: &str) -> Self {
        let builder = || MetricBuilder::new(metrics).with_new_label("view", view.to_owned());
        Self {
            probed_rows: builder().counter("probed_rows", 0),
            candidate_rows: builder().counter("candidate_rows", 0),
            winner_rows: builder().counter("winner_rows", 0),
            narrow_time: builder().subset_time("narrow_time", 0),
            probe_time: builder().subset_time("probe_time", 0),
            resolve_time: builder().subset_time("resolve_time", 0),
            fetch_time: builder().subset_time("fetch_time", 0),
        }
    }
}
