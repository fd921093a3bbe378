//! What a client comes back for, under names that nobody can guess.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hitherto_core::Kind;
use hitherto_proto::Failure;
use tokio::time::Instant;
use uuid::Uuid;

use crate::answer::Refusal;

/// So many things are held at most.
const HELD_MAX: usize = 1_000;

/// Things by their handles; one that nobody has used for a while is forgotten.
pub(super) struct Handles<T> {
    idle: Duration,
    words: Words,
    held: Mutex<HashMap<Uuid, Held<T>>>,
}

/// What is said where a handle is of no use.
pub(super) struct Words {
    /// What is held.
    pub(super) what: &'static str,
    /// How it may have gone, time aside.
    pub(super) gone: &'static str,
    /// What to do to get it again.
    pub(super) again: &'static str,
    /// What makes room.
    pub(super) room: &'static str,
}

struct Held<T> {
    value: T,
    used: Instant,
}

impl<T> Handles<T> {
    /// None yet; each is forgotten `idle` after it was used last.
    pub(super) fn new(idle: Duration, words: Words) -> Self {
        Self { idle, words, held: Mutex::default() }
    }

    /// Keeps `value`; its handle. Refused where too many are held.
    pub(super) fn keep(&self, value: T) -> Result<Vec<u8>, Refusal> {
        let mut held = self.held();
        if held.len() >= HELD_MAX {
            let Words { what, room, .. } = self.words;
            let message = format!(
                "{HELD_MAX} {what}s are held already, which is the most: {room}, or wait until idle ones are forgotten \
                 ({:?})",
                self.idle
            );
            return Err(Refusal(Failure::new(Kind::Exhausted, message)));
        }
        let handle = Uuid::new_v4();
        held.insert(handle, Held { value, used: Instant::now() });
        Ok(handle.to_string().into_bytes())
    }

    /// Hands it over; nobody gets it again.
    pub(super) fn take(&self, handle: &[u8]) -> Result<T, Refusal> {
        let taken = parsed(handle).and_then(|handle| self.held().remove(&handle));
        taken.map(|held| held.value).ok_or_else(|| self.absent())
    }

    /// Looks at it, or changes it; its time begins anew.
    pub(super) fn with<R>(&self, handle: &[u8], look: impl FnOnce(&mut T) -> R) -> Result<R, Refusal> {
        let mut all = self.held();
        let Some(handle) = parsed(handle) else { return Err(self.absent()) };
        let Some(held) = all.get_mut(&handle) else { return Err(self.absent()) };
        held.used = Instant::now();
        Ok(look(&mut held.value))
    }

    /// Without those that are idle for too long.
    fn held(&self) -> MutexGuard<'_, HashMap<Uuid, Held<T>>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, held| held.used.elapsed() < self.idle);
        held
    }

    fn absent(&self) -> Refusal {
        let Words { what, gone, again, .. } = self.words;
        Refusal::not_found(format!(
            "there is no {what} of this handle: {gone}, or nobody has used it for {:?}; {again}",
            self.idle
        ))
    }
}

fn parsed(handle: &[u8]) -> Option<Uuid> {
    Uuid::try_parse_ascii(handle).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handles(idle: Duration) -> Handles<u32> {
        let words = Words { what: "parcel", gone: "it was fetched", again: "send it again", room: "fetch some" };
        Handles::new(idle, words)
    }

    #[test]
    fn what_nobody_uses_is_forgotten() {
        let handles = handles(Duration::ZERO);
        let handle = handles.keep(1).expect("room");
        let gone = handles.with(&handle, |value| *value).expect_err("its time is over").0;
        assert_eq!(gone.kind, Kind::NotFound);
        assert_eq!(
            gone.message,
            "there is no parcel of this handle: it was fetched, or nobody has used it for 0ns; send it again"
        );
        // and leaves its room to others
        for number in 0..2 * HELD_MAX {
            assert!(handles.keep(2).is_ok(), "{number}");
        }
    }

    #[test]
    fn what_is_taken_is_gone_and_a_guess_finds_nothing() {
        let handles = handles(Duration::from_secs(3_600));
        let handle = handles.keep(7).expect("room");
        assert!(handles.take(b"1").is_err() && handles.take(b"").is_err());
        assert_eq!(handles.with(&handle, |value| *value + 1).ok(), Some(8));
        assert_eq!(handles.take(&handle).ok(), Some(7));
        assert!(handles.take(&handle).is_err());
    }

    #[test]
    fn no_more_are_held_than_there_is_room_for() {
        let handles = handles(Duration::from_secs(3_600));
        let first = handles.keep(0).expect("room");
        for number in 1..HELD_MAX {
            assert!(handles.keep(1).is_ok(), "{number}");
        }
        let full = handles.keep(0).expect_err("it is full").0;
        assert_eq!(full.kind, Kind::Exhausted);
        assert_eq!(
            full.message,
            "1000 parcels are held already, which is the most: fetch some, or wait until idle ones are forgotten (3600s)"
        );
        assert_eq!(handles.take(&first).ok(), Some(0));
        assert!(handles.keep(0).is_ok());
    }
}
