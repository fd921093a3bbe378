//! What a client comes back for, under names that nobody can guess.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hitherto_core::{Kind, TokenId};
use hitherto_proto::Failure;
use tokio::time::Instant;
use tonic::Request;
use uuid::Uuid;

use crate::answer::Refusal;
use crate::shared::caller_of;

/// So many things are held at most.
const HELD_MAX: usize = 1_000;
/// So many of them for one token.
const OWNED_MAX: usize = 100;
/// How often it is looked for what is idle, where nobody asks for anything.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// Whose a thing is: whoever shows this token; everybody's, where callers show none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::flight) struct Owner(Option<TokenId>);

impl Owner {
    /// Whoever sent `request`.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        Self(caller_of(request).map(|caller| caller.id.clone()))
    }
}

/// Things by their handles, each for its owner alone; one that nobody has used for a while is forgotten.
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
    owner: Owner,
    used: Instant,
}

impl<T> Handles<T> {
    /// None yet; each is forgotten `idle` after it was used last.
    pub(super) fn new(idle: Duration, words: Words) -> Self {
        Self { idle, words, held: Mutex::default() }
    }

    /// Keeps `value` for `owner`; its handle. Refused where too many are held, for it or for all.
    pub(super) fn keep(&self, owner: Owner, value: T) -> Result<Vec<u8>, Refusal> {
        let mut held = self.held();
        let owned = owner.0.as_ref().map_or(0, |_| held.values().filter(|held| held.owner == owner).count());
        let (most, whose) = if owned >= OWNED_MAX { (OWNED_MAX, " of this token") } else { (HELD_MAX, "") };
        if owned >= OWNED_MAX || held.len() >= HELD_MAX {
            let Words { what, room, .. } = self.words;
            let message = format!(
                "{most} {what}s{whose} are held already, which is the most: {room}, or wait until idle ones are forgotten \
                 ({:?})",
                self.idle
            );
            return Err(Refusal(Failure::new(Kind::Exhausted, message)));
        }
        let handle = Uuid::new_v4();
        held.insert(handle, Held { value, owner, used: Instant::now() });
        Ok(handle.to_string().into_bytes())
    }

    /// Hands it over to its owner; nobody gets it again.
    pub(super) fn take(&self, owner: &Owner, handle: &[u8]) -> Result<T, Refusal> {
        let mut all = self.held();
        let handle = parsed(handle).filter(|handle| all.get(handle).is_some_and(|held| held.owner == *owner));
        let taken = handle.and_then(|handle| all.remove(&handle));
        taken.map(|held| held.value).ok_or_else(|| self.absent())
    }

    /// Its owner looks at it, or changes it; its time begins anew.
    pub(super) fn with<R>(&self, owner: &Owner, handle: &[u8], look: impl FnOnce(&mut T) -> R) -> Result<R, Refusal> {
        let mut all = self.held();
        let Some(handle) = parsed(handle) else { return Err(self.absent()) };
        let held = all.get_mut(&handle).filter(|held| held.owner == *owner);
        let Some(held) = held else { return Err(self.absent()) };
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

impl<T: Send + 'static> Handles<T> {
    /// Forgets what is idle from time to time, as long as there is somebody who has `handles`.
    pub(super) fn sweep(handles: &Arc<Self>) {
        let handles = Arc::downgrade(handles);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
            loop {
                ticks.tick().await;
                let Some(handles) = handles.upgrade() else { return };
                drop(handles.held());
            }
        });
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
        let handle = handles.keep(Owner(None), 1).expect("room");
        let gone = handles.with(&Owner(None), &handle, |value| *value).expect_err("its time is over").0;
        assert_eq!(gone.kind, Kind::NotFound);
        assert_eq!(
            gone.message,
            "there is no parcel of this handle: it was fetched, or nobody has used it for 0ns; send it again"
        );
        // and leaves its room to others
        for number in 0..2 * HELD_MAX {
            assert!(handles.keep(Owner(None), 2).is_ok(), "{number}");
        }
    }

    #[test]
    fn what_is_taken_is_gone_and_a_guess_finds_nothing() {
        let handles = handles(Duration::from_hours(1));
        let handle = handles.keep(Owner(None), 7).expect("room");
        assert!(handles.take(&Owner(None), b"1").is_err() && handles.take(&Owner(None), b"").is_err());
        assert_eq!(handles.with(&Owner(None), &handle, |value| *value + 1).ok(), Some(8));
        assert_eq!(handles.take(&Owner(None), &handle).ok(), Some(7));
        assert!(handles.take(&Owner(None), &handle).is_err());
    }

    #[test]
    fn no_more_are_held_than_there_is_room_for() {
        let handles = handles(Duration::from_hours(1));
        let first = handles.keep(Owner(None), 0).expect("room");
        for number in 1..HELD_MAX {
            assert!(handles.keep(Owner(None), 1).is_ok(), "{number}");
        }
        let full = handles.keep(Owner(None), 0).expect_err("it is full").0;
        assert_eq!(full.kind, Kind::Exhausted);
        assert_eq!(
            full.message,
            "1000 parcels are held already, which is the most: fetch some, or wait until idle ones are forgotten (3600s)"
        );
        assert_eq!(handles.take(&Owner(None), &first).ok(), Some(0));
        assert!(handles.keep(Owner(None), 0).is_ok());
    }

    #[test]
    fn what_is_held_for_one_token_is_not_for_another() {
        let handles = handles(Duration::from_hours(1));
        let [one, other] = [1, 2].map(|byte| Owner(Some(TokenId::from_bytes([byte; 6]))));
        let handle = handles.keep(one.clone(), 7).expect("room");
        for stranger in [&other, &Owner(None)] {
            assert!(handles.with(stranger, &handle, |value| *value).is_err());
            assert_eq!(handles.take(stranger, &handle).expect_err("not theirs").0.kind, Kind::NotFound);
        }
        for number in 1..OWNED_MAX {
            assert!(handles.keep(one.clone(), 1).is_ok(), "{number}");
        }
        let full = handles.keep(one.clone(), 0).expect_err("its share is used up").0;
        assert!(full.message.starts_with("100 parcels of this token are held already"), "{}", full.message);
        assert!(handles.keep(other, 0).is_ok(), "others have theirs");
        assert_eq!(handles.take(&one, &handle).ok(), Some(7));
    }
}
