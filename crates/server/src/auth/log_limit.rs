//! So many lines of the log a second, and no more: whoever knocks a thousand times a second must not fill a disk.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lines a second.
const LINES_MAX: u32 = 10;

/// How much was logged in the second that runs.
#[derive(Debug, Default)]
pub(crate) struct LogLimit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    began: Option<Instant>,
    logged: u32,
    left_out: u64,
}

impl LogLimit {
    /// Whether a line may be logged now; with how many were left out since the last that was.
    pub(crate) fn allows(&self) -> Option<u64> {
        self.allows_at(Instant::now())
    }

    fn allows_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.began.is_none_or(|began| now.duration_since(began) >= Duration::from_secs(1)) {
            (state.began, state.logged) = (Some(now), 0);
        }
        if state.logged == LINES_MAX {
            state.left_out += 1;
            return None;
        }
        state.logged += 1;
        Some(std::mem::take(&mut state.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_limit_is_counted() {
        let (limit, now) = (LogLimit::default(), Instant::now());
        let logged = (0..25).filter(|_| limit.allows_at(now) == Some(0)).count();
        assert_eq!(logged, 10);
        let later = now + Duration::from_secs(1);
        assert_eq!([limit.allows_at(later), limit.allows_at(later)], [Some(15), Some(0)]);
    }
}
