//! What a join counts and times, all names in one place.

use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, Gauge, MetricBuilder, Time};

/// Of the whole join.
#[derive(Debug)]
pub(crate) struct JoinMetrics {
    /// Rows out, and the time to put the output together.
    pub(crate) baseline: BaselineMetrics,
    pub(crate) spine_rows: Count,
    /// Parts that the spine was taken in, for want of memory; one where there was enough.
    pub(crate) bands: Count,
    /// The most memory that was reserved.
    pub(crate) reserved_bytes_max: Gauge,
    /// Interning and sorting the spine.
    pub(crate) index_time: Time,
}

impl JoinMetrics {
    pub(crate) fn new(metrics: &ExecutionPlanMetricsSet) -> Self {
        Self {
            baseline: BaselineMetrics::new(metrics, 0),
            spine_rows: MetricBuilder::new(metrics).counter("spine_rows", 0),
            bands: MetricBuilder::new(metrics).counter("bands", 0),
            reserved_bytes_max: MetricBuilder::new(metrics).gauge("reserved_bytes_max", 0),
            index_time: MetricBuilder::new(metrics).subset_time("index_time", 0),
        }
    }
}

/// What a source reads for one view, and what it knows enough of to leave it closed.
#[derive(Clone, Debug)]
pub struct ScanCounters {
    /// Files of the history.
    pub files: Count,
    /// Those of them that were not opened.
    pub files_skipped: Count,
    /// Row groups of the files that were opened.
    pub groups: Count,
    /// Those of them that were not read.
    pub groups_skipped: Count,
    /// Of those that were not: what a bloom filter alone ruled out.
    pub bloom_groups_skipped: Count,
    /// Rows of the row groups that were read.
    pub group_rows: Count,
    /// Those of them in pages that were not read.
    pub page_rows_skipped: Count,
    /// Bytes asked of the store: narrow columns, payload, indexes.
    pub bytes_read: Count,
}

impl ScanCounters {
    /// Counters of their own, for a source that is read outside a join.
    pub fn unregistered() -> Self {
        Self::registered(&ExecutionPlanMetricsSet::new(), "")
    }

    fn registered(metrics: &ExecutionPlanMetricsSet, view: &str) -> Self {
        let count =
            |name: &'static str| MetricBuilder::new(metrics).with_new_label("view", view.to_owned()).counter(name, 0);
        Self {
            files: count("files"),
            files_skipped: count("files_skipped"),
            groups: count("groups"),
            groups_skipped: count("groups_skipped"),
            bloom_groups_skipped: count("bloom_groups_skipped"),
            group_rows: count("group_rows"),
            page_rows_skipped: count("page_rows_skipped"),
            bytes_read: count("bytes_read"),
        }
    }
}

/// Of one view.
#[derive(Clone, Debug)]
pub(crate) struct ViewMetrics {
    /// What its source reads.
    pub(crate) scan: ScanCounters,
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
            scan: ScanCounters::registered(metrics, view),
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
