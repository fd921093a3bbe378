//! Reads of a remote store that come while others are under way, joined into one round trip.
//!
//! A read joins only a round trip that has not been sent. So no answer is older than the moment at which it was asked for,
//! whoever else is answered by it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hitherto_core::Kind;
use hitherto_online::{Answer, Group, OnlineStore, spans};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::merged_reads::{Merged, OwnGroup, Shares};
use crate::{Error, Result};

/// So many round trips are under way before reads wait to be joined, unless it is set.
const ROUND_TRIPS_MAX: usize = 4;
/// A read of more keys goes by itself, at once: it has little to gain, and others would wait for it.
const KEYS_MAX: usize = 64;
/// So many reads share one round trip at most: a bound on what the store does in one go.
const READS_MAX: usize = 64;

/// How reads of the online store were sent since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    /// Reads that were a round trip of their own.
    pub alone: u64,
    /// Reads that shared one.
    pub joined: u64,
    /// The round trips that they shared.
    pub shared_round_trips: u64,
}

/// The reads that are under way and that wait. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct JoinedReads(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// None: every read goes at once.
    round_trips_max: usize,
    state: Mutex<State>,
    alone: AtomicU64,
    joined: AtomicU64,
    round_trips: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    waiting: VecDeque<Waiting>,
}

/// A read that waits for a round trip.
#[derive(Debug)]
struct Waiting {
    groups: Vec<OwnGroup>,
    /// The read's.
    span: Span,
    tell: oneshot::Sender<Told>,
}

/// What became of a shared round trip, for one of its reads.
#[derive(Debug)]
enum Told {
    Answers(Vec<Answer>),
    /// The store does not answer, whoever asks.
    Unavailable(Arc<str>),
    /// It failed, and that may be another read's fault: asked alone, each hears what is its own.
    AskAlone,
}

/// Whether a read goes now or waits.
enum Turn {
    Now(UnderWay),
    Wait(oneshot::Receiver<Told>),
}

/// One of the round trips that may be under way. Whoever waits goes when it is dropped, be it because it was cut off.
struct UnderWay {
    reads: JoinedReads,
    store: Arc<dyn OnlineStore>,
}

impl Default for JoinedReads {
    fn default() -> Self {
        Self::new(ROUND_TRIPS_MAX)
    }
}

impl JoinedReads {
    /// Reads are joined once so many round trips are under way; 0 for never.
    pub(crate) fn new(round_trips_max: usize) -> Self {
        let (state, count) = (Mutex::default(), AtomicU64::default);
        Self(Arc::new(Shared { round_trips_max, state, alone: count(), joined: count(), round_trips: count() }))
    }

    /// How reads were sent so far.
    pub(crate) fn counts(&self) -> ReadCounts {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let Shared { alone, joined, round_trips, .. } = &*self.0;
        ReadCounts { alone: count(alone), joined: count(joined), shared_round_trips: count(round_trips) }
    }

    /// What `store` says to `groups`, as [`OnlineStore::read`].
    pub(crate) async fn read(&self, store: &Arc<dyn OnlineStore>, groups: &[Group<'_>]) -> Result<Vec<Answer>> {
        let keys: usize = groups.iter().map(|group| group.keys.len()).sum();
        let span =
            tracing::trace_span!(target: spans::STEP, "read", hitherto.keys = keys as i64, hitherto.round_trip = Empty);
        self.read_in(&span, store, groups, keys).instrument(span.clone()).await
    }

    async fn read_in(
        &self,
        span: &Span,
        store: &Arc<dyn OnlineStore>,
        groups: &[Group<'_>],
        keys: usize,
    ) -> Result<Vec<Answer>> {
        if self.0.round_trips_max == 0 || keys > KEYS_MAX || !store.is_remote() {
            return self.read_alone(store, groups).await;
        }
        match self.turn(span, store, groups) {
            Turn::Now(under_way) => {
                span.record("hitherto.round_trip", "own");
                let answers = self.read_alone(store, groups).await;
                drop(under_way);
                answers
            }
            Turn::Wait(told) => {
                span.record("hitherto.round_trip", "shared");
                match told.await {
                    Ok(Told::Answers(answers)) => Ok(answers),
                    Ok(Told::Unavailable(reason)) => Err(Error::Unavailable(reason.to_string())),
                    // nobody tells where the round trip's task was cut off
                    Ok(Told::AskAlone) | Err(_) => self.read_alone(store, groups).await,
                }
            }
        }
    }

    async fn read_alone(&self, store: &Arc<dyn OnlineStore>, groups: &[Group<'_>]) -> Result<Vec<Answer>> {
        self.0.alone.fetch_add(1, Ordering::Relaxed);
        Ok(store.read(groups).await?)
    }

    fn turn(&self, span: &Span, store: &Arc<dyn OnlineStore>, groups: &[Group<'_>]) -> Turn {
        let mut state = self.state();
        if state.under_way < self.0.round_trips_max {
            state.under_way += 1;
            return Turn::Now(UnderWay { reads: self.clone(), store: Arc::clone(store) });
        }
        let (tell, told) = oneshot::channel();
        let own = |group: &Group<'_>| OwnGroup { reading: group.reading.clone(), keys: group.keys.to_vec() };
        state.waiting.push_back(Waiting { groups: groups.iter().map(own).collect(), span: span.clone(), tell });
        Turn::Wait(told)
    }

    /// Those who go together next; the place that was left is free where there are none.
    fn take_next(&self) -> Vec<Waiting> {
        let mut state = self.state();
        let mut next = Vec::new();
        while next.len() < READS_MAX
            && let Some(waiting) = state.waiting.pop_front()
        {
            // who has left is not asked for
            if !waiting.tell.is_closed() {
                next.push(waiting);
            }
        }
        if next.is_empty() {
            state.under_way -= 1;
        }
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let next = self.reads.take_next();
        if next.is_empty() {
            return;
        }
        // not within the read that has ended: that one has its answer, and may be dropped at any time
        match Handle::try_current() {
            Ok(runtime) => {
                let under_way = Self { reads: self.reads.clone(), store: Arc::clone(&self.store) };
                runtime.spawn(read_together(under_way, next));
            }
            // the runtime is gone, and with it whoever waits
            Err(_) => self.reads.state().under_way -= 1,
        }
    }
}

/// One round trip for all of `waiting`.
async fn read_together(under_way: UnderWay, waiting: Vec<Waiting>) {
    let Merged { groups, asked_for, places } = Merged::of(waiting.iter().map(|waiting| waiting.groups.as_slice()));
    let asked: Vec<Group<'_>> =
        groups.iter().map(|group| Group { reading: &group.reading, keys: &group.keys }).collect();
    let read = under_way.store.read(&asked).instrument(span_of(&waiting)).await;
    let Shared { joined, round_trips, .. } = &*under_way.reads.0;
    joined.fetch_add(waiting.len() as u64, Ordering::Relaxed);
    round_trips.fetch_add(1, Ordering::Relaxed);
    // the next need not wait until these have been told
    drop(under_way);
    let reason: Option<Arc<str>> = match &read {
        Err(error) if error.kind() == Kind::Unavailable => Some(error.to_string().into()),
        _ => None,
    };
    let mut shares = read.ok().map(|answers| Shares::new(answers, asked_for));
    for (waiting, places) in waiting.into_iter().zip(places) {
        let told = match (&mut shares, &reason) {
            (Some(shares), _) => Told::Answers(places.iter().map(|place| shares.of(place)).collect()),
            (None, Some(reason)) => Told::Unavailable(Arc::clone(reason)),
            (None, None) => Told::AskAlone,
        };
        // who has left meanwhile hears nothing
        let _ = waiting.tell.send(told);
    }
}

/// A shared round trip is a step of the first read of a trace that waits for it; those of other traces have a link from it.
fn span_of(waiting: &[Waiting]) -> Span {
    let mut traced = waiting.iter().map(|waiting| &waiting.span).filter(|span| !span.is_disabled());
    let Some(first) = traced.next() else { return Span::none() };
    let span = first.in_scope(
        || tracing::trace_span!(target: spans::STEP, "shared round trip", hitherto.reads = waiting.len() as i64),
    );
    traced.for_each(|other| {
        span.follows_from(other);
    });
    span
}

#[cfg(test)]
mod tests;
