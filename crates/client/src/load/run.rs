//! A run: warmed up, measured, reported.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::report::{Ended, Record};
use super::{Arrivals, Error, Report, Result, Schedule, Watched, Work};

/// Requests of an open loop in flight at most. Those beyond wait here, and their waiting counts.
const IN_FLIGHT_MAX: u32 = 10_000;

/// What a run is to do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// When requests start.
    pub pace: Pace,
    /// How long requests are sent before they count.
    pub warm_up: Duration,
    /// How long they count then.
    pub measured: Duration,
    /// A last part of that time, which is reported apart.
    pub last: Option<Duration>,
    /// Whose processor time is told.
    pub watched: Vec<Watched>,
}

/// When requests start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// So many at a time on each connection, the next one when one is answered.
    Closed {
        /// In flight on each connection; at least one.
        in_flight: usize,
    },
    /// By a schedule.
    Open {
        /// Starts a second, above 0.
        rate: f64,
        /// How they lie in time.
        arrivals: Arrivals,
        /// Decides when, where chance does.
        seed: u64,
    },
}

/// The time of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) begin: Instant,
    pub(super) warm_up: Duration,
    pub(super) measured: Duration,
    pub(super) last: Option<Duration>,
}

/// A part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    WarmUp,
    Measured,
    Last,
}

/// Sends `work` as `plan` says, waits for every answer, and reports.
pub async fn run<W: Work>(plan: &Plan, work: W) -> Result<Report> {
    let driver = Driver {
        work: Arc::new(work),
        record: Arc::new(Mutex::new(Record::new()?)),
        window: Window { begin: Instant::now(), warm_up: plan.warm_up, measured: plan.measured, last: plan.last },
    };
    let load = async {
        match plan.pace {
            Pace::Closed { in_flight } => driver.closed(in_flight).await,
            Pace::Open { rate, arrivals, seed } => driver.open(Schedule::new(arrivals, rate, seed)).await,
        }
    };
    let before = async {
        tokio::time::sleep(plan.warm_up).await;
        processor_times(&plan.watched)
    };
    let (before, ()) = tokio::join!(before, load);
    let (mut spent, before) = (processor_times(&plan.watched)?, before?);
    for (name, time) in &mut spent {
        *time = time.saturating_sub(before.get(name).copied().unwrap_or_default());
    }
    Ok(lock(&driver.record).report(&driver.window, &spent))
}

/// What every request of a run shares.
struct Driver<W> {
    work: Arc<W>,
    record: Arc<Mutex<Record>>,
    window: Window,
}

impl<W> Clone for Driver<W> {
    fn clone(&self) -> Self {
        Self { work: Arc::clone(&self.work), record: Arc::clone(&self.record), window: self.window }
    }
}

impl<W: Work> Driver<W> {
    /// As many workers as there may be requests in flight, each with its connection.
    async fn closed(&self, in_flight: usize) {
        let workers = self.work.connections() * in_flight.max(1);
        let mut tasks = JoinSet::new();
        for worker in 0..workers {
            let driver = self.clone();
            tasks.spawn(async move {
                let mut number = worker as u64;
                loop {
                    let start = Instant::now();
                    if start >= driver.window.end() {
                        return;
                    }
                    driver.request(number, start, None).await;
                    number += workers as u64;
                }
            });
        }
        // a task that panics ends the run as it would have without a task
        tasks.join_all().await;
    }

    /// A thread that does nothing else starts the requests: a timer of the runtime would round them to milliseconds.
    async fn open(&self, schedule: Schedule) {
        let permits = Arc::new(Semaphore::new(IN_FLIGHT_MAX as usize));
        let (driver, waiting, runtime) = (self.clone(), Arc::clone(&permits), Handle::current());
        let mut pacing = JoinSet::new();
        pacing.spawn_blocking(move || driver.start_all(schedule, &waiting, &runtime));
        pacing.join_all().await;
        // all of them are there when nothing is in flight
        drop(permits.acquire_many(IN_FLIGHT_MAX).await);
    }

    fn start_all(&self, schedule: Schedule, permits: &Arc<Semaphore>, runtime: &Handle) {
        let whole = self.window.warm_up + self.window.measured;
        for (number, at) in (0..).zip(schedule.take_while(|at| *at < whole)) {
            let start = self.window.begin + at;
            if let Some(early) = start.checked_duration_since(Instant::now()) {
                thread::sleep(early);
            }
            let Ok(permit) = runtime.block_on(Arc::clone(permits).acquire_owned()) else { return };
            let driver = self.clone();
            runtime.spawn(async move {
                let late = start.elapsed();
                driver.request(number, start, Some(late)).await;
                drop(permit);
            });
        }
    }

    async fn request(&self, number: u64, start: Instant, late: Option<Duration>) {
        let outcome = self.work.send(number).await;
        let ended = Ended { start, late, end: Instant::now(), outcome };
        lock(&self.record).add(&self.window, ended);
    }
}

impl Window {
    pub(super) fn measured_from(&self) -> Instant {
        self.begin + self.warm_up
    }

    fn end(&self) -> Instant {
        self.measured_from() + self.measured
    }

    pub(super) fn phase(&self, start: Instant) -> Phase {
        if start < self.measured_from() {
            Phase::WarmUp
        } else if self.last.is_some_and(|last| start + last >= self.end()) {
            Phase::Last
        } else {
            Phase::Measured
        }
    }
}

fn processor_times(watched: &[Watched]) -> Result<BTreeMap<String, Duration>> {
    let named = watched.iter().map(|process| match process.processor_time() {
        Ok(time) => Ok((process.name.clone(), time)),
        Err(source) => Err(Error::Processor { name: process.name.clone(), source }),
    });
    named.collect()
}

/// What was counted before a panic is still right.
fn lock(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::load::{Failed, Taken};

    /// A server with one place, which keeps it for `STALLS` until `FREES` is asked.
    struct Stalling {
        place: Semaphore,
        freed: Semaphore,
    }

    const STALLS: u64 = 50;
    const FREES: u64 = 150;

    impl Work for Stalling {
        fn connections(&self) -> usize {
            1
        }

        async fn send(&self, number: u64) -> Result<Taken, Failed> {
            if number == FREES {
                self.freed.add_permits(1);
            }
            let _place = self.place.acquire().await.expect("it is open");
            if number == STALLS {
                let _freed = self.freed.acquire().await.expect("it is open");
            }
            Ok(Taken { present: 1, ..Taken::default() })
        }
    }

    /// Answers at once, every third time with a refusal.
    struct Counting {
        sent: Arc<AtomicU64>,
    }

    impl Work for Counting {
        fn connections(&self) -> usize {
            4
        }

        async fn send(&self, number: u64) -> Result<Taken, Failed> {
            self.sent.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            if number.is_multiple_of(3) { Err(Failed("ResourceExhausted".into())) } else { Ok(Taken::default()) }
        }
    }

    fn plan(pace: Pace, warm_up_ms: u64, measured_ms: u64) -> Plan {
        let [warm_up, measured] = [warm_up_ms, measured_ms].map(Duration::from_millis);
        Plan { pace, warm_up, measured, last: None, watched: Vec::new() }
    }

    /// Request 50 keeps the place until 150 is to start, 100 ms later; whoever comes in between waits, and nobody starts
    /// before his time. So numbers 50 to 100, a quarter of all, wait at least 50 ms.
    #[tokio::test]
    async fn whom_a_stall_keeps_waiting_is_counted_with_all_of_his_wait() {
        let pace = Pace::Open { rate: 1_000.0, arrivals: Arrivals::Even, seed: 1 };
        let work = Stalling { place: Semaphore::new(1), freed: Semaphore::new(0) };
        let report = run(&plan(pace, 0, 200), work).await.expect("a run");
        assert_eq!((report.requests, report.answered, report.values_present), (200, 200, 200));
        let latency = report.latency_us.expect("answers");
        assert!(latency.p90 >= 50_000.0 && latency.p99 >= 97_000.0 && latency.max >= 100_000.0, "{latency:?}");
        assert_eq!(report.late_us.expect("an open loop").count, 200);
    }

    #[tokio::test]
    async fn an_open_loop_sends_what_is_scheduled_and_tells_failures_by_their_word() {
        let sent = Arc::new(AtomicU64::new(0));
        let pace = Pace::Open { rate: 3_000.0, arrivals: Arrivals::Even, seed: 1 };
        let report = run(&plan(pace, 100, 200), Counting { sent: Arc::clone(&sent) }).await.expect("a run");
        assert_eq!(sent.load(Ordering::Relaxed), 900);
        assert_eq!(report.warm_up.answered + report.warm_up.failed, 300);
        assert_eq!((report.requests, report.answered), (600, 400));
        assert_eq!(report.failed, [("ResourceExhausted".to_owned(), 200)].into());
    }

    #[tokio::test]
    async fn a_closed_loop_counts_every_request_once() {
        let sent = Arc::new(AtomicU64::new(0));
        let pace = Pace::Closed { in_flight: 2 };
        let mut plan = plan(pace, 20, 50);
        plan.watched.push(Watched { name: "client".to_owned(), pid: Some(std::process::id()) });
        let report = run(&plan, Counting { sent: Arc::clone(&sent) }).await.expect("a run");
        let warm_up = report.warm_up.answered + report.warm_up.failed;
        assert_eq!(sent.load(Ordering::Relaxed), report.requests + warm_up);
        assert!(report.answered > 8 && warm_up > 8, "{report:?}");
        assert_eq!(report.late_us, None);
        assert!((report.answered_per_s * report.seconds - report.answered as f64).abs() < 1e-6);
        assert_eq!(report.cpu_us_per_request.keys().collect::<Vec<_>>(), ["client"]);
    }

    #[tokio::test]
    async fn a_process_that_is_not_there_cannot_be_watched() {
        let mut plan = plan(Pace::Closed { in_flight: 1 }, 0, 1);
        plan.watched.push(Watched { name: "redis".to_owned(), pid: Some(u32::MAX) });
        let error = run(&plan, Counting { sent: Arc::default() }).await.expect_err("no such process");
        assert!(error.to_string().starts_with("could not read the processor time of redis: "), "{error}");
    }
}
