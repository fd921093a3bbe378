//! What happens often is said seldom.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// At most one line of a kind is logged in so long.
const INTERVAL: Duration = Duration::from_secs(1);

/// Lets one through a second, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Passed>);

#[derive(Debug, Default)]
struct Passed {
    last: Option<Instant>,
    left_out: u64,
}

impl Throttle {
    /// If this one is to be said: how many were not since the last that was.
    pub(crate) fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        let mut passed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if passed.last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            passed.left_out += 1;
            return None;
        }
        passed.last = Some(now);
        Some(std::mem::take(&mut passed.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_passes_and_knows_of_the_others() {
        let (throttle, begun) = (Throttle::default(), Instant::now());
        let pass = |seconds| throttle.pass_at(begun + Duration::from_secs_f64(seconds));
        assert_eq!([0.0, 0.1, 0.9].map(pass), [Some(0), None, None]);
        assert_eq!([1.0, 1.5].map(pass), [Some(2), None]);
        assert_eq!(pass(9.0), Some(1));
    }
}
