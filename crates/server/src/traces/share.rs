//! How much is traced, and what became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

/// What a server is to know of traces. Clones share the counts.
#[derive(Clone, Debug)]
pub struct Traces {
    /// The share of calls that is traced, of those whose callers have not decided it.
    pub share: TracedShare,
    /// What becomes of spans.
    pub counts: Arc<SpanCounts>,
}

/// A share of all that begins, drawn at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracedShare {
    /// Of the numbers below 2⁶³ those below this one.
    below: u64,
}

impl TracedShare {
    /// This share: 0 for nothing, 1 for everything; what is beyond counts as the nearer of them.
    pub fn new(share: f64) -> Self {
        Self { below: (share.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64 }
    }

    /// Whether what begins now is in it.
    pub fn draw(self) -> bool {
        let drawn = u64::from_be_bytes(RandomIdGenerator::default().new_span_id().to_bytes());
        drawn >> 1 < self.below
    }
}

/// What became of spans that have ended.
#[derive(Debug, Default)]
pub struct SpanCounts {
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl SpanCounts {
    /// So many have reached the collector.
    pub fn delivered(&self, spans: usize) {
        self.delivered.fetch_add(spans as u64, Ordering::Relaxed);
    }

    /// So many were sent in vain.
    pub fn failed(&self, spans: usize) {
        self.failed.fetch_add(spans as u64, Ordering::Relaxed);
    }

    /// One was dropped, because as many wait as may.
    pub fn dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// How many are lost: sent in vain, or dropped.
    pub fn lost(&self) -> u64 {
        self.failed.load(Ordering::Relaxed) + self.dropped.load(Ordering::Relaxed)
    }

    /// All counts, by outcome.
    pub(crate) fn by_outcome(&self) -> [(&'static str, u64); 3] {
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        [("delivered", count(&self.delivered)), ("failed", count(&self.failed)), ("dropped", count(&self.dropped))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_drawn_about_as_often_as_it_says() {
        let drawn = |share: f64| (0..100_000).filter(|_| TracedShare::new(share).draw()).count();
        assert_eq!([drawn(0.0), drawn(-1.0), drawn(f64::MIN)], [0; 3]);
        assert_eq!([drawn(1.0), drawn(7.0), drawn(f64::INFINITY)], [100_000; 3]);
        // ten standard deviations on either side
        let tenth = drawn(0.1);
        assert!((9_050..=10_950).contains(&tenth), "{tenth}");
    }

    #[test]
    fn spans_are_lost_that_were_sent_in_vain_or_dropped() {
        let counts = SpanCounts::default();
        counts.delivered(7);
        counts.failed(2);
        counts.dropped();
        assert_eq!(counts.by_outcome(), [("delivered", 7), ("failed", 2), ("dropped", 1)]);
        assert_eq!(counts.lost(), 3);
    }
}
