//! Under which keys rows and marks lie in Redis.
//!
//! On one server a project's keys are side by side. In a cluster they are in buckets: an entity key's bucket is the range of
//! slots that its own bytes fall into, and all keys of a bucket have the same hash tag, so that they are in one slot. The
//! rows of an entity, of whichever view, are together, and each bucket has marks of its own beside its rows.

use std::io::Write as _;

use hitherto_core::Name;

use super::cluster::{SLOTS, slot};
use crate::{Generation, Reading};

/// Buckets of a cluster. Marks are moved in each of them, and no bucket is split among servers.
pub(super) const BUCKETS: u16 = 64;

/// The keys of a project.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    buckets: Vec<Bucket>,
}

#[derive(Clone, Debug)]
struct Bucket {
    prefix: String,
    slot: u16,
}

impl Keys {
    /// Those of a server that has all of them.
    pub(super) fn of_server(project: &Name) -> Self {
        Self { buckets: vec![Bucket { prefix: format!("hitherto:{project}:"), slot: 0 }] }
    }

    /// Those of a cluster.
    pub(super) fn of_cluster(project: &Name) -> Self {
        let buckets = tags().map(|(tag, slot)| Bucket { prefix: format!("hitherto:{project}:{{{tag}}}:"), slot });
        Self { buckets: buckets.collect() }
    }

    /// How many buckets there are; at least one.
    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    /// The bucket of an entity key, the same for all readings.
    pub(super) fn bucket(&self, key: &[u8]) -> usize {
        match self.buckets.len() {
            1 => 0,
            buckets => usize::from(slot(key)) * buckets / usize::from(SLOTS),
        }
    }

    /// The slot that all keys of a bucket are in.
    pub(super) fn slot(&self, bucket: usize) -> u16 {
        self.buckets[bucket].slot
    }

    /// `hitherto:<project>:r:<reading>:<entity key>`; a reading has exactly one `:` in it. In a cluster `{<tag>}:` comes
    /// before the `r`. After it comes the number of the generation, but for the first.
    pub(super) fn row(&self, reading: &Reading, generation: Generation, key: &[u8]) -> Vec<u8> {
        self.key(b'r', generation, reading, self.bucket(key), Some(key))
    }

    /// `hitherto:<project>:m:<reading>`, for each bucket of a cluster with its tag: the entry of the current generation.
    pub(super) fn marks(&self, reading: &Reading, bucket: usize) -> Vec<u8> {
        self.key(b'm', Generation::FIRST, reading, bucket, None)
    }

    /// `hitherto:<project>:m<generation>:<reading>`: the entry of a next generation, or else that of the current one.
    pub(super) fn entry(&self, reading: &Reading, beside: Option<Generation>, bucket: usize) -> Vec<u8> {
        self.key(b'm', beside.unwrap_or(Generation::FIRST), reading, bucket, None)
    }

    /// `hitherto:<project>:o:<reading>`: the old generations whose rows are to go.
    pub(super) fn old(&self, reading: &Reading, bucket: usize) -> Vec<u8> {
        self.key(b'o', Generation::FIRST, reading, bucket, None)
    }

    /// `hitherto:<project>:b:<reading>`, in the first bucket: what whoever rebuilds changes again and again.
    pub(super) fn beat(&self, reading: &Reading) -> Vec<u8> {
        self.key(b'b', Generation::FIRST, reading, 0, None)
    }

    fn key(
        &self,
        what: u8,
        generation: Generation,
        reading: &Reading,
        bucket: usize,
        entity: Option<&[u8]>,
    ) -> Vec<u8> {
        let (prefix, reading) = (self.buckets[bucket].prefix.as_bytes(), reading.as_str().as_bytes());
        // a letter, a number and two colons
        let mut key = Vec::with_capacity(prefix.len() + reading.len() + entity.map_or(0, <[u8]>::len) + 13);
        key.extend_from_slice(prefix);
        key.push(what);
        if generation != Generation::FIRST {
            // memory takes every write
            let _ = write!(key, "{generation}");
        }
        key.push(b':');
        key.extend_from_slice(reading);
        if let Some(entity) = entity {
            key.push(b':');
            key.extend_from_slice(entity);
        }
        key
    }
}

/// Each bucket's hash tag, and its slot: the least number whose slot lies in the bucket's range.
fn tags() -> impl Iterator<Item = (String, u16)> {
    let width = SLOTS / BUCKETS;
    (0..BUCKETS).map(move |bucket| {
        let found = (0_u32..).map(|number| number.to_string()).find_map(|tag| {
            let slot = slot(tag.as_bytes());
            (slot / width == bucket).then_some((tag, slot))
        });
        found.unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use hitherto_core::Span;

    use super::*;

    fn cluster() -> Keys {
        Keys::of_cluster(&"default".parse().expect("a name"))
    }

    #[test]
    fn golden_keys_of_a_cluster() {
        let (keys, reading) = (cluster(), Reading::new("t-1", Span::ZERO));
        let (bucket, second) = (keys.bucket(b"k"), Generation(12));
        assert_eq!(keys.row(&reading, Generation::FIRST, b"k"), b"hitherto:default:{59}:r:t-1:0:k");
        assert_eq!(keys.row(&reading, second, b"k"), b"hitherto:default:{59}:r12:t-1:0:k");
        assert_eq!(keys.marks(&reading, bucket), b"hitherto:default:{59}:m:t-1:0");
        assert_eq!(keys.entry(&reading, None, bucket), keys.marks(&reading, bucket));
        assert_eq!(keys.entry(&reading, Some(second), bucket), b"hitherto:default:{59}:m12:t-1:0");
        assert_eq!(keys.old(&reading, bucket), b"hitherto:default:{59}:o:t-1:0");
        assert_eq!(keys.beat(&reading), b"hitherto:default:{10}:b:t-1:0");
        let tags: Vec<String> = tags().map(|(tag, _)| tag).collect();
        let golden = "10 18 113 342 29 21 3 122 69 61 72 162 50 58 153 43 11 19 112 343 28 20 2 123 68 60 73 163 51 59 152 \
                      42 12 102 111 119 133 23 1 9 173 63 70 78 52 142 49 41 13 103 110 118 132 22 0 8 172 62 71 79 53 143 \
                      48 40";
        assert_eq!(tags.join(" "), golden);
    }

    #[test]
    fn all_keys_of_an_entity_are_in_one_slot_which_braces_do_not_change() {
        let keys = cluster();
        // what a cluster hashes: between the first { and the } after it
        let hashed = |key: &[u8]| {
            let open = key.iter().position(|byte| *byte == b'{').expect("a tag");
            let length = key[open + 1..].iter().position(|byte| *byte == b'}').expect("its end");
            slot(&key[open + 1..open + 1 + length])
        };
        for key in [&b"k"[..], b"", b"{a}", b"}{", b"x{y}z", &[0xff; 300]] {
            for reading in [Reading::new("a-1", Span::ZERO), Reading::new("b{c}-2", Span::ZERO)] {
                let bucket = keys.bucket(key);
                for generation in [Generation::FIRST, Generation(7)] {
                    assert_eq!(hashed(&keys.row(&reading, generation, key)), keys.slot(bucket));
                }
                assert_eq!(hashed(&keys.marks(&reading, bucket)), keys.slot(bucket));
            }
        }
    }

    #[test]
    fn buckets_are_as_even_as_slots() {
        let keys = cluster();
        for bucket in 0..keys.buckets() {
            assert_eq!(usize::from(keys.slot(bucket) / (SLOTS / BUCKETS)), bucket);
        }
        let mut counts = vec![0; keys.buckets()];
        (0..64_000_i64).for_each(|key| counts[keys.bucket(&key.to_be_bytes())] += 1);
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
    }
}
