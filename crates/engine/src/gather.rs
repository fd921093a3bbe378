//! Work that is done in one go for all who wait for it.
//!
//! Whoever comes first sets the work going, and all who come while it is under way are taken together by the next go. There is no
//! timer: who comes alone waits for nobody. The work is a task of its own, because whoever waits may leave at any time.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Those who wait, and whether somebody is at work.
#[derive(Debug)]
pub(crate) struct Gathering<T> {
    /// What those who wait may weigh together; one alone may weigh more.
    weight_max: usize,
    state: Mutex<State<T>>,
    /// Told whenever those who wait may weigh less.
    eased: Notify,
}

#[derive(Debug)]
struct State<T> {
    is_at_work: bool,
    waiting: VecDeque<Waiting<T>>,
    weight: usize,
    next: u64,
}

#[derive(Debug)]
struct Waiting<T> {
    number: u64,
    weight: usize,
    item: T,
}

/// A place among those who wait. Whoever drops it has left, unless work on what is his has begun.
#[derive(Debug)]
pub(crate) struct Place<T> {
    gathering: Arc<Gathering<T>>,
    number: u64,
}

/// Somebody at work. Where it is dropped before nobody waits, be it by a panic, whoever waits is let go.
#[derive(Debug)]
pub(crate) struct AtWork<T> {
    gathering: Arc<Gathering<T>>,
    is_done: bool,
}

/// A place among those who wait, and, where nobody was at work, what must be set to work.
pub(crate) type Joined<T> = (Place<T>, Option<AtWork<T>>);

/// Those who wait weigh too much already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full {
    /// How many wait.
    pub(crate) waiting: usize,
}

impl<T> Gathering<T> {
    pub(crate) fn new(weight_max: usize) -> Arc<Self> {
        let state = State { is_at_work: false, waiting: VecDeque::new(), weight: 0, next: 0 };
        Arc::new(Self { weight_max, state: Mutex::new(state), eased: Notify::new() })
    }

    /// Joins those who wait. Where nobody is at work, whoever joins must set to work what comes with the place.
    pub(crate) fn join(self: &Arc<Self>, item: T, weight: usize) -> Result<Joined<T>, Full> {
        self.try_join(item, weight).map_err(|(full, _)| full)
    }

    /// The same once there is room: whoever can leave what it has where it is waits, and is not refused. Who is dropped
    /// meanwhile has not joined.
    pub(crate) async fn join_when_there_is_room(self: &Arc<Self>, mut item: T, weight: usize) -> Joined<T>
    where
        T: Send,
    {
        loop {
            let mut eased = pin!(self.eased.notified());
            // heard from here on, so that room that is made between the look and the wait is not missed
            eased.as_mut().enable();
            match self.try_join(item, weight) {
                Ok(joined) => return joined,
                Err((_, refused)) => item = refused,
            }
            eased.await;
        }
    }

    fn try_join(self: &Arc<Self>, item: T, weight: usize) -> Result<Joined<T>, (Full, T)> {
        let mut state = self.state();
        if !state.waiting.is_empty() && state.weight.saturating_add(weight) > self.weight_max {
            return Err((Full { waiting: state.waiting.len() }, item));
        }
        let number = state.next;
        state.next += 1;
        state.weight += weight;
        state.waiting.push_back(Waiting { number, weight, item });
        let is_first = !std::mem::replace(&mut state.is_at_work, true);
        drop(state);
        let at_work = is_first.then(|| AtWork { gathering: Arc::clone(self), is_done: false });
        Ok((Place { gathering: Arc::clone(self), number }, at_work))
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.state().waiting.len()
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> AtWork<T> {
    /// The next to be done together, in the order in which they came, as far as `takes` says: it must take the first. From
    /// then on none of them can leave. None where nobody waits: then the work is over.
    pub(crate) fn next(&mut self, mut takes: impl FnMut(&T) -> bool) -> Option<Vec<T>> {
        let mut state = self.gathering.state();
        let mut taken = Vec::new();
        while state.waiting.front().is_some_and(|first| takes(&first.item))
            && let Some(first) = state.waiting.pop_front()
        {
            state.weight -= first.weight;
            taken.push(first.item);
        }
        if taken.is_empty() {
            state.is_at_work = false;
            self.is_done = true;
            return None;
        }
        drop(state);
        self.gathering.eased.notify_waiters();
        Some(taken)
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let mut state = self.gathering.state();
        // numbers rise from the front to the back
        let Ok(index) = state.waiting.binary_search_by_key(&self.number, |waiting| waiting.number) else { return };
        let left = state.waiting.remove(index);
        state.weight -= left.as_ref().map_or(0, |left| left.weight);
        drop(state);
        self.gathering.eased.notify_waiters();
        // what it has may be large
        drop(left);
    }
}

impl<T> Drop for AtWork<T> {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let mut state = self.gathering.state();
        state.is_at_work = false;
        state.weight = 0;
        let left = std::mem::take(&mut state.waiting);
        drop(state);
        self.gathering.eased.notify_waiters();
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_meanwhile_is_taken_together_in_order_and_within_what_fits() {
        let gathering = Gathering::new(100);
        let (_first, at_work) = gathering.join(1, 10).expect("there is room");
        let mut at_work = at_work.expect("nobody is at work");
        assert_eq!(at_work.next(|_| true), Some(vec![1]));
        let places: Vec<_> = (2..6).map(|item| gathering.join(item, 20).expect("there is room")).collect();
        assert!(places.iter().all(|(_, at_work)| at_work.is_none()), "somebody is at work");
        let mut sum = 0;
        let takes = |item: &i32| {
            sum += item;
            sum <= 6
        };
        assert_eq!(at_work.next(takes), Some(vec![2, 3]));
        assert_eq!(at_work.next(|_| true), Some(vec![4, 5]));
        assert_eq!(at_work.next(|_| true), None);
        drop(at_work);
        assert!(gathering.join(9, 0).expect("there is room").1.is_some(), "the next begins anew");
    }

    #[test]
    fn who_leaves_is_not_taken_and_who_was_taken_does_not_leave() {
        let gathering = Gathering::new(100);
        let (first, at_work) = gathering.join("first", 60).expect("there is room");
        let mut at_work = at_work.expect("nobody is at work");
        assert_eq!(at_work.next(|_| true), Some(vec!["first"]));
        drop(first);
        let (second, _) = gathering.join("second", 60).expect("what was taken weighs nothing");
        assert_eq!(gathering.join("third", 60).expect_err("too much"), Full { waiting: 1 });
        drop(second);
        let third = gathering.join("third", 300).expect("alone, it may weigh what it likes");
        assert_eq!(at_work.next(|_| true), Some(vec!["third"]));
        drop(third);
        assert_eq!(at_work.next(|_| true), None);
    }

    #[tokio::test]
    async fn who_can_wait_for_room_joins_as_soon_as_there_is_some() {
        let gathering = Gathering::new(100);
        let (_first, at_work) = gathering.join("first", 60).expect("there is room");
        let mut at_work = at_work.expect("nobody is at work");
        let patient = tokio::spawn({
            let gathering = Arc::clone(&gathering);
            async move { gathering.join_when_there_is_room("patient", 60).await }
        });
        let impatient = tokio::spawn({
            let gathering = Arc::clone(&gathering);
            async move { gathering.join_when_there_is_room("impatient", 60).await }
        });
        // both have looked, and wait
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(gathering.waiting(), 1);
        impatient.abort();
        assert!(impatient.await.expect_err("it is cut off").is_cancelled());
        assert_eq!(at_work.next(|_| true), Some(vec!["first"]));
        let (place, other) = patient.await.expect("no panic");
        assert!(other.is_none(), "somebody is at work");
        assert_eq!(at_work.next(|_| true), Some(vec!["patient"]));
        drop(place);
        assert_eq!(at_work.next(|_| true), None);
    }

    #[test]
    fn whoever_is_cut_off_at_work_lets_those_who_wait_go() {
        let gathering = Gathering::new(100);
        let waiter = Arc::new(());
        let (_place, at_work) = gathering.join(Arc::clone(&waiter), 60).expect("there is room");
        drop(at_work);
        assert_eq!(Arc::strong_count(&waiter), 1);
        let (_place, at_work) = gathering.join(Arc::clone(&waiter), 60).expect("there is room");
        assert!(at_work.is_some());
    }
}
