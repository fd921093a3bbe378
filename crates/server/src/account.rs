//! What is known of a request while it is on its way: who asks, who answers, where its time went. No key of it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hitherto_engine::{Consumer, PushProgress, ServingPlan};
use tokio::time::Instant;

use crate::deadline::Deadline;

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The rest of its message.
    Receive,
    /// Its turn.
    Queue,
    /// The server: keys, rule, transforms, the answer's columns.
    Own,
    /// A store.
    Store,
}

impl Phase {
    /// All of them, by index.
    pub(crate) const ALL: [Self; 4] = [Self::Receive, Self::Queue, Self::Own, Self::Store];

    /// As metrics and logs call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Queue => "queue",
            Self::Own => "own",
            Self::Store => "store",
        }
    }
}

/// How long a request was in each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times([Duration; Phase::ALL.len()]);

impl Times {
    pub(crate) fn of(&self, phase: Phase) -> Duration {
        self.0[phase as usize]
    }

    /// From the moment at which the request came.
    pub(crate) fn total(&self) -> Duration {
        self.0.iter().sum()
    }

    fn add(&mut self, phase: Phase, took: Duration) {
        self.0[phase as usize] += took;
    }
}

/// `receive 0.0 ms, queue 12.4 ms, own 0.1 ms, store 1.2 ms`.
impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, phase) in Phase::ALL.into_iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} {:.1} ms", phase.name(), self.of(phase).as_secs_f64() * 1e3)?;
        }
        Ok(())
    }
}

/// One request's account. It outlives the work on it, so that it tells of what was cut off, too.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) deadline: Deadline,
    /// Of a push: what has become of its rows.
    pub(crate) push: PushProgress,
    noted: Mutex<Noted>,
}

#[derive(Debug)]
struct Noted {
    phase: Phase,
    since: Instant,
    times: Times,
    subject: Subject,
}

/// Who asks, for how much, and who answers, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    pub(crate) consumer: Option<Arc<Consumer>>,
    pub(crate) plan: Option<Arc<ServingPlan>>,
    /// Rows of entity keys, or of a push.
    pub(crate) rows: usize,
    /// Bytes of the answer's message; 0 until there is one.
    pub(crate) bytes: usize,
}

impl Account {
    /// Of a request whose message has been received.
    pub(crate) fn open(deadline: Deadline) -> Self {
        Self::open_at(Instant::now(), deadline)
    }

    fn open_at(now: Instant, deadline: Deadline) -> Self {
        let mut times = Times::default();
        times.add(Phase::Receive, now.saturating_duration_since(deadline.arrived));
        let noted = Noted { phase: Phase::Own, since: now, times, subject: Subject::default() };
        Self { deadline, push: PushProgress::default(), noted: Mutex::new(noted) }
    }

    /// From now on it is in `phase`.
    pub(crate) fn enter(&self, phase: Phase) {
        self.enter_at(Instant::now(), phase);
    }

    fn enter_at(&self, now: Instant, phase: Phase) {
        let mut noted = self.noted();
        let (before, took) = (noted.phase, now.saturating_duration_since(noted.since));
        noted.times.add(before, took);
        (noted.phase, noted.since) = (phase, now);
    }

    /// Somebody asks for so many rows.
    pub(crate) fn asked(&self, consumer: Option<Consumer>, rows: usize) {
        let mut noted = self.noted();
        noted.subject.consumer = consumer.map(Arc::new);
        noted.subject.rows = rows;
    }

    /// It is answered by `plan`.
    pub(crate) fn answered_by(&self, plan: &Arc<ServingPlan>) {
        self.noted().subject.plan = Some(Arc::clone(plan));
    }

    /// Its answer has so many bytes.
    pub(crate) fn answered(&self, bytes: usize) {
        self.noted().subject.bytes = bytes;
    }

    /// In which phase it is.
    pub(crate) fn phase(&self) -> Phase {
        self.noted().phase
    }

    /// How long it was in each phase until now.
    pub(crate) fn times(&self) -> Times {
        self.times_at(Instant::now())
    }

    fn times_at(&self, now: Instant) -> Times {
        let noted = self.noted();
        let mut times = noted.times;
        times.add(noted.phase, now.saturating_duration_since(noted.since));
        times
    }

    pub(crate) fn subject(&self) -> Subject {
        self.noted().subject.clone()
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_of_the_phase_in_which_it_went_by() {
        let (arrived, ms) = (Instant::now(), Duration::from_millis);
        let account = Account::open_at(arrived + ms(1), Deadline { arrived, timeout: None });
        for (at, phase) in [(2, Phase::Queue), (22, Phase::Own), (322, Phase::Store), (4_322, Phase::Own)] {
            account.enter_at(arrived + ms(at), phase);
        }
        let times = account.times_at(arrived + ms(54_321));
        assert_eq!(Phase::ALL.map(|phase| times.of(phase)), [ms(1), ms(20), ms(50_300), ms(4_000)]);
        assert_eq!((times.total(), account.phase()), (ms(54_321), Phase::Own));
        assert_eq!(times.to_string(), "receive 1.0 ms, queue 20.0 ms, own 50300.0 ms, store 4000.0 ms");
    }
}
