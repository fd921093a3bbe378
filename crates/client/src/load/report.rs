//! What became of a run's requests.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::run::{Phase, Window};
use super::{Failed, Result, Taken};

/// Latencies, counted from a microsecond to an hour to three digits.
#[derive(Clone, Debug)]
pub struct Latencies(Histogram<u64>);

/// Where latencies lie, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// How many there are.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// Half of them are at most this.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1,000.
    pub p99_9: f64,
    /// The greatest.
    pub max: f64,
}

/// What became of a run's requests. What says nothing else is about those that were to start in the measured time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Requests that were to start.
    pub requests: u64,
    /// Of these, how many were answered.
    pub answered: u64,
    /// How many were not, by the word of [`Failed`].
    pub failed: BTreeMap<String, u64>,
    /// From the beginning of the measured time to the last answer, at least the measured time.
    pub seconds: f64,
    /// Answers in a second of these.
    pub answered_per_s: f64,
    /// From a request's start as scheduled, in a closed loop as it was, to the end of all that it waited for.
    pub latency_us: Option<Quantiles>,
    /// The same of those that were to start in the last part of the measured time, where one was named.
    pub last_latency_us: Option<Quantiles>,
    /// Of pushes: to the acknowledgement.
    pub acknowledged_us: Option<Quantiles>,
    /// How much later than scheduled requests were started: this program's own part of the latency. None in a closed loop.
    pub late_us: Option<Quantiles>,
    /// Values that were there.
    pub values_present: u64,
    /// Values that were not: null, not found, withheld.
    pub values_absent: u64,
    /// Processor time by watched process, over `answered`.
    pub cpu_us_per_request: BTreeMap<String, f64>,
    /// Requests before the measured time.
    pub warm_up: WarmUp,
}

/// What became of the requests before the measured time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WarmUp {
    /// Answered.
    pub answered: u64,
    /// Not answered.
    pub failed: u64,
}

/// Everything, as it is counted.
#[derive(Debug)]
pub(super) struct Record {
    answered: Latencies,
    last: Latencies,
    acknowledged: Latencies,
    late: Latencies,
    failed: BTreeMap<String, u64>,
    present: u64,
    absent: u64,
    ended: Option<Instant>,
    warm_up: WarmUp,
}

/// One request that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// When it was to start.
    pub(super) start: Instant,
    /// How much later it did; none in a closed loop.
    pub(super) late: Option<Duration>,
    /// When all that it waited for was there.
    pub(super) end: Instant,
    /// What that was.
    pub(super) outcome: Result<Taken, Failed>,
}

impl Latencies {
    /// None yet.
    pub fn new() -> Result<Self> {
        Ok(Self(Histogram::new_with_bounds(1_000, 3_600_000_000_000, 3)?))
    }

    /// Counts one; above an hour counts as an hour.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Where they lie; none where there are none.
    pub fn quantiles(&self) -> Option<Quantiles> {
        let at = |quantile| micros(self.0.value_at_quantile(quantile) as f64);
        (!self.0.is_empty()).then(|| Quantiles {
            count: self.0.len(),
            mean: micros(self.0.mean()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: micros(self.0.max() as f64),
        })
    }
}

impl Record {
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            answered: Latencies::new()?,
            last: Latencies::new()?,
            acknowledged: Latencies::new()?,
            late: Latencies::new()?,
            failed: BTreeMap::new(),
            present: 0,
            absent: 0,
            ended: None,
            warm_up: WarmUp::default(),
        })
    }

    pub(super) fn add(&mut self, window: &Window, request: Ended) {
        let Ended { start, late, end, outcome } = request;
        let phase = window.phase(start);
        match (&outcome, phase) {
            (Ok(_), Phase::WarmUp) => self.warm_up.answered += 1,
            (Err(_), Phase::WarmUp) => self.warm_up.failed += 1,
            (Ok(taken), Phase::Measured | Phase::Last) => self.answered(start, end, *taken, phase),
            (Err(Failed(word)), Phase::Measured | Phase::Last) => {
                *self.failed.entry(word.clone().into_owned()).or_default() += 1;
            }
        }
        if let (Some(late), Phase::Measured | Phase::Last) = (late, phase) {
            self.late.record(late);
        }
    }

    fn answered(&mut self, start: Instant, end: Instant, taken: Taken, phase: Phase) {
        let latency = end.saturating_duration_since(start);
        self.answered.record(latency);
        if phase == Phase::Last {
            self.last.record(latency);
        }
        if let Some(acknowledged) = taken.acknowledged {
            self.acknowledged.record(acknowledged.saturating_duration_since(start));
        }
        self.present += taken.present;
        self.absent += taken.absent;
        self.ended = self.ended.max(Some(end));
    }

    /// What is reported, with the processor time that each watched process took.
    pub(super) fn report(&self, window: &Window, processors: &BTreeMap<String, Duration>) -> Report {
        let answered = self.answered.0.len();
        let ended = self.ended.map_or(Duration::ZERO, |end| end.saturating_duration_since(window.measured_from()));
        let seconds = ended.max(window.measured).as_secs_f64();
        let per_request = |time: &Duration| (time.as_secs_f64() * 1e7 / answered.max(1) as f64).round() / 10.0;
        Report {
            requests: answered + self.failed.values().sum::<u64>(),
            answered,
            failed: self.failed.clone(),
            seconds,
            answered_per_s: answered as f64 / seconds,
            latency_us: self.answered.quantiles(),
            last_latency_us: self.last.quantiles(),
            acknowledged_us: self.acknowledged.quantiles(),
            late_us: self.late.quantiles(),
            values_present: self.present,
            values_absent: self.absent,
            cpu_us_per_request: processors.iter().map(|(name, time)| (name.clone(), per_request(time))).collect(),
            warm_up: self.warm_up,
        }
    }
}

/// Nanoseconds as microseconds, to a tenth.
fn micros(nanos: f64) -> f64 {
    (nanos / 100.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        let [warm_up, measured, last] = [1, 10, 3].map(Duration::from_secs);
        Window { begin: Instant::now(), warm_up, measured, last: Some(last) }
    }

    fn ended(window: &Window, start_ms: u64, latency_us: u64, outcome: Result<Taken, Failed>) -> Ended {
        let start = window.begin + Duration::from_millis(start_ms);
        let late = Some(Duration::from_micros(latency_us / 2));
        Ended { start, late, end: start + Duration::from_micros(latency_us), outcome }
    }

    #[track_caller]
    fn about(found: f64, expected: f64) {
        assert!((found / expected - 1.0).abs() < 0.002, "{found} is not about {expected}");
    }

    #[test]
    fn quantiles_are_right_to_three_digits() {
        let mut latencies = Latencies::new().expect("a histogram");
        assert_eq!(latencies.quantiles(), None);
        (1..=10_000).for_each(|us| latencies.record(Duration::from_micros(us)));
        let found = latencies.quantiles().expect("latencies");
        assert_eq!(found.count, 10_000);
        about(found.mean, 5_000.5);
        about(found.p50, 5_000.0);
        about(found.p90, 9_000.0);
        about(found.p99, 9_900.0);
        about(found.p99_9, 9_990.0);
        about(found.max, 10_000.0);
    }

    #[test]
    fn what_is_beyond_the_bounds_counts_as_the_bound() {
        let mut latencies = Latencies::new().expect("a histogram");
        latencies.record(Duration::from_hours(5));
        about(latencies.quantiles().expect("one").max, 3_600e6);
        latencies.record(Duration::ZERO);
        assert_eq!(latencies.quantiles().expect("two").count, 2);
        assert!(latencies.quantiles().expect("two").p50 < 1.0);
    }

    #[test]
    fn requests_count_where_they_were_to_start() {
        let (window, mut record) = (window(), Record::new().expect("histograms"));
        let taken = Taken { present: 3, absent: 1, acknowledged: None };
        // ends in the measured time, and was to start before it
        record.add(&window, ended(&window, 999, 5_000, Ok(taken)));
        record.add(&window, ended(&window, 500, 10, Err(Failed::WRONG_ANSWER)));
        record.add(&window, ended(&window, 1_000, 1_000, Ok(taken)));
        record.add(&window, ended(&window, 7_999, 2_000, Ok(taken)));
        record.add(&window, ended(&window, 8_000, 4_000, Ok(taken)));
        record.add(&window, ended(&window, 9_000, 10, Err(Failed::NOT_READABLE)));
        record.add(&window, ended(&window, 9_500, 10, Err(Failed::NOT_READABLE)));
        let spent = [("server".to_owned(), Duration::from_millis(3))].into();
        let report = record.report(&window, &spent);
        assert_eq!((report.requests, report.answered), (5, 3));
        assert_eq!(report.failed, [("NotReadable".to_owned(), 2)].into());
        assert_eq!(report.warm_up, WarmUp { answered: 1, failed: 1 });
        assert_eq!((report.values_present, report.values_absent), (9, 3));
        assert_eq!((report.seconds, report.answered_per_s), (10.0, 0.3));
        assert_eq!(report.cpu_us_per_request, [("server".to_owned(), 1_000.0)].into());
        about(report.latency_us.expect("answers").p50, 2_000.0);
        let last = report.last_latency_us.expect("one answer");
        assert_eq!(last.count, 1);
        about(last.max, 4_000.0);
        assert_eq!(report.late_us.expect("all but the warm-up").count, 5);
        assert_eq!(report.acknowledged_us, None);
    }

    #[test]
    fn an_answer_that_comes_after_the_end_makes_the_run_longer() {
        let (window, mut record) = (window(), Record::new().expect("histograms"));
        let acknowledged = Some(window.begin + Duration::from_millis(10_901));
        let taken = Taken { acknowledged, ..Taken::default() };
        record.add(&window, ended(&window, 10_900, 5_100_000, Ok(taken)));
        let report = record.report(&window, &BTreeMap::new());
        assert_eq!((report.seconds, report.answered_per_s), (15.0, 1.0 / 15.0));
        about(report.acknowledged_us.expect("a push").max, 1_000.0);
    }
}
