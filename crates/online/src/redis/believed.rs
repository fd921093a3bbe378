//! Which generation of each reading is asked for: the one that its entry named when it was read last.
//!
//! It may be wrong, because others rebuild. Every read asks for the entry beside the rows, and where that names another
//! generation, it asks again.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::{Generation, Reading};

/// For each reading that was ever rebuilt, its generation in each bucket; others are at the first.
pub(super) type Known = HashMap<Reading, Arc<[Generation]>>;

/// What is believed; read without a lock.
#[derive(Debug)]
pub(super) struct Believed(ArcSwap<Known>);

impl Believed {
    pub(super) fn new() -> Self {
        Self(ArcSwap::from_pointee(Known::new()))
    }

    /// All that is believed now.
    pub(super) fn now(&self) -> Arc<Known> {
        self.0.load_full()
    }

    /// The entry in a bucket, of which there are `buckets`, names this generation.
    pub(super) fn learn(&self, reading: &Reading, bucket: usize, generation: Generation, buckets: usize) {
        self.0.rcu(|known| {
            let mut known = Known::clone(known);
            let mut generations =
                known.get(reading).map_or_else(|| vec![Generation::FIRST; buckets], |known| known.to_vec());
            generations[bucket] = generation;
            known.insert(reading.clone(), generations.into());
            known
        });
    }
}

#[cfg(test)]
mod tests {
    use hitherto_core::Span;

    use super::*;

    #[test]
    fn what_is_learned_of_a_bucket_is_of_that_bucket_alone() {
        let (believed, reading) = (Believed::new(), Reading::new("t-1", Span::ZERO));
        assert!(believed.now().is_empty());
        let before = believed.now();
        believed.learn(&reading, 1, Generation(3), 3);
        believed.learn(&reading, 2, Generation(4), 3);
        assert_eq!(believed.now()[&reading][..], [Generation(0), Generation(3), Generation(4)]);
        assert!(before.is_empty(), "who is reading keeps what he began with");
    }
}
