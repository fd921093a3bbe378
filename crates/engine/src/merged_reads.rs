//! Several reads of the online store as one, and its answer given out again.

use std::collections::HashMap;

use hitherto_online::{Answer, Reading};

/// A group of keys that owns them.
#[derive(Debug)]
pub(crate) struct OwnGroup {
    pub(crate) reading: Reading,
    pub(crate) keys: Vec<Vec<u8>>,
}

/// Where the rows of one group of one read lie in what was read for all.
#[derive(Debug)]
pub(crate) struct Place {
    group: usize,
    keys: Vec<usize>,
}

/// Reads put together.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    /// Every reading once, with every key once.
    pub(crate) groups: Vec<OwnGroup>,
    /// By group and key, how often it is asked for.
    pub(crate) asked_for: Vec<Vec<usize>>,
    /// By read, the places of its groups.
    pub(crate) places: Vec<Vec<Place>>,
}

/// What was read, to be given out.
#[derive(Debug)]
pub(crate) struct Shares {
    answers: Vec<Answer>,
    /// By group and key, how many have still to be given it.
    asked_for: Vec<Vec<usize>>,
}

impl Merged {
    /// Of reads of these groups each.
    pub(crate) fn of<'a>(reads: impl Iterator<Item = &'a [OwnGroup]>) -> Self {
        let mut merged = Self::default();
        let mut readings: HashMap<&Reading, usize> = HashMap::new();
        let mut keys: HashMap<(usize, &[u8]), usize> = HashMap::new();
        for read in reads {
            let mut own = Vec::with_capacity(read.len());
            for wanted in read {
                let group = *readings.entry(&wanted.reading).or_insert_with(|| {
                    merged.groups.push(OwnGroup { reading: wanted.reading.clone(), keys: Vec::new() });
                    merged.asked_for.push(Vec::new());
                    merged.groups.len() - 1
                });
                let mut found = Vec::with_capacity(wanted.keys.len());
                for key in &wanted.keys {
                    let (all, times) = (&mut merged.groups[group].keys, &mut merged.asked_for[group]);
                    let place = *keys.entry((group, key.as_slice())).or_insert_with(|| {
                        all.push(key.clone());
                        times.push(0);
                        all.len() - 1
                    });
                    times[place] += 1;
                    found.push(place);
                }
                own.push(Place { group, keys: found });
            }
            merged.places.push(own);
        }
        merged
    }
}

impl Shares {
    /// What was read for [`Merged::groups`].
    pub(crate) fn new(answers: Vec<Answer>, asked_for: Vec<Vec<usize>>) -> Self {
        Self { answers, asked_for }
    }

    /// The rows of one place, which is given them once.
    pub(crate) fn of(&mut self, place: &Place) -> Answer {
        let Answer { marks, is_stale, rows } = &mut self.answers[place.group];
        let asked_for = &mut self.asked_for[place.group];
        let share = |key: &usize| {
            asked_for[*key] -= 1;
            // most are asked for once: what is not copied needs no memory that two would own
            if asked_for[*key] == 0 { rows[*key].take() } else { rows[*key].clone() }
        };
        Answer { marks: *marks, is_stale: *is_stale, rows: place.keys.iter().map(share).collect() }
    }
}
