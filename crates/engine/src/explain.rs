//! What building a training set read, skipped and took: the operator's metrics by name.

use std::time::Duration;

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use hitherto_asof::AsOfExec;

/// The work behind a training set.
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    /// Rows of the spine.
    pub spine_rows: usize,
    /// Parts that the spine was taken in, for want of memory; 1 where there was enough.
    pub bands: usize,
    /// The most memory that was reserved at a time.
    pub reserved_bytes_max: usize,
    /// Interning and sorting the spine.
    pub index_time: Duration,
    /// Putting the output's rows together, without encoding them.
    pub output_time: Duration,
    /// Per view, in the set's order.
    pub views: Vec<ViewExplanation>,
}

/// One view's share of it.
#[derive(Clone, Debug, Default)]
pub struct ViewExplanation {
    /// The view's alias in the set.
    pub alias: String,
    /// Files of its history, and those that were not opened.
    pub files: Part,
    /// Row groups of the files that were opened, and those that were not read.
    pub groups: Part,
    /// Of those that were not read: what a bloom filter alone ruled out.
    pub bloom_groups_skipped: usize,
    /// Rows of the row groups that were read, and those in pages that were not.
    pub rows: Part,
    /// Rows that were held against the spine.
    pub probed_rows: usize,
    /// Those of them that some spine row could see.
    pub candidate_rows: usize,
    /// Those of them whose payload was read.
    pub winner_rows: usize,
    /// Bytes asked of the store.
    pub bytes_read: usize,
    /// The narrow pass from end to end.
    pub narrow_time: Duration,
    /// The running maximum and the sort of addresses.
    pub resolve_time: Duration,
    /// The winners' payload.
    pub fetch_time: Duration,
}

/// A whole, and what was left out of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// All there is.
    pub total: usize,
    /// What was not read.
    pub skipped: usize,
}

impl Explanation {
    /// What `exec` has counted so far. With more than one band, what each of them read is added up.
    pub(crate) fn of(exec: &AsOfExec) -> Self {
        let metrics = exec.metrics().unwrap_or_default();
        let all = Counted { metrics: &metrics, view: None };
        Self {
            spine_rows: all.count("spine_rows"),
            bands: all.count("bands"),
            reserved_bytes_max: all.count("reserved_bytes_max"),
            index_time: all.time("index_time"),
            output_time: all.time("elapsed_compute"),
            views: exec.views().map(|view| ViewExplanation::of(&metrics, &view.name)).collect(),
        }
    }
}

impl ViewExplanation {
    fn of(metrics: &MetricsSet, alias: &str) -> Self {
        let of = Counted { metrics, view: Some(alias) };
        let part = |total, skipped| Part { total: of.count(total), skipped: of.count(skipped) };
        Self {
            alias: alias.to_owned(),
            files: part("files", "files_skipped"),
            groups: part("groups", "groups_skipped"),
            bloom_groups_skipped: of.count("bloom_groups_skipped"),
            rows: part("group_rows", "page_rows_skipped"),
            probed_rows: of.count("probed_rows"),
            candidate_rows: of.count("candidate_rows"),
            winner_rows: of.count("winner_rows"),
            bytes_read: of.count("bytes_read"),
            narrow_time: of.time("narrow_time"),
            resolve_time: of.time("resolve_time"),
            fetch_time: of.time("fetch_time"),
        }
    }
}

/// The metrics of one view, or those that belong to none.
struct Counted<'a> {
    metrics: &'a MetricsSet,
    view: Option<&'a str>,
}

impl Counted<'_> {
    fn count(&self, name: &str) -> usize {
        let of_view = |labels: &[datafusion::physical_plan::metrics::Label]| {
            labels.iter().find(|label| label.name() == "view").map(|label| label.value().to_owned())
        };
        let wanted = self
            .metrics
            .iter()
            .filter(|metric| metric.value().name() == name && of_view(metric.labels()).as_deref() == self.view);
        wanted.map(|metric| metric.value().as_usize()).sum()
    }

    /// Times are counted in nanoseconds.
    fn time(&self, name: &str) -> Duration {
        Duration::from_nanos(self.count(name) as u64)
    }
}
