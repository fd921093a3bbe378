//! A read: which keys of which bucket hold it, and its answers put together again.

use redis::Cmd;

use super::believed::Known;
use super::keys::Keys;
use crate::{Answer, Generation, Group, Marks, OnlineRow};

/// Keys of one MGET; a bucket of more has several of them in one round trip.
const KEYS: usize = 10_000;

/// What one value of an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// The entry of a group's reading in a bucket, and of which generation the rows are asked for there.
    Marks(usize, Generation),
    /// A row: of which group, and which of its keys.
    Row(usize, usize),
}

/// One of the two kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Marks,
    Rows,
}

/// Keys that one command asks for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) bucket: usize,
    pub(super) wants: Vec<Want>,
    keys: Vec<Vec<u8>>,
}

impl Asked {
    pub(super) fn command(&self) -> Cmd {
        let mut command = redis::cmd("MGET");
        command.arg(&self.keys);
        command
    }

    /// The marks, or the rows, one by one.
    pub(super) fn apart(&self, marks_or_rows: Part) -> impl Iterator<Item = (Want, Cmd)> {
        let is_marks = marks_or_rows == Part::Marks;
        let wanted = self.wants.iter().zip(&self.keys);
        wanted.filter(move |(want, _)| matches!(want, Want::Marks(..)) == is_marks).map(|(want, key)| {
            let mut command = redis::cmd("GET");
            command.arg(key);
            (*want, command)
        })
    }
}

/// What to ask for, in the generations that are believed to be current. A group without keys asks for the marks of every
/// bucket.
pub(super) fn asked(keys: &Keys, known: &Known, groups: &[Group<'_>]) -> Vec<Asked> {
    let mut buckets: Vec<Asked> = (0..keys.buckets()).map(|bucket| Asked { bucket, ..Asked::default() }).collect();
    // most readings were never rebuilt, and then nothing is looked up
    let of_group = |group: &Group<'_>| if known.is_empty() { None } else { known.get(group.reading) };
    // the marks of a bucket come first, so no row can be older than the marks say
    for (number, group) in groups.iter().enumerate() {
        let mut touched = vec![group.keys.is_empty(); keys.buckets()];
        group.keys.iter().for_each(|key| touched[keys.bucket(key)] = true);
        let known = of_group(group);
        for bucket in buckets.iter_mut().filter(|bucket| touched[bucket.bucket]) {
            let generation = known.map_or(Generation::FIRST, |known| known[bucket.bucket]);
            bucket.wants.push(Want::Marks(number, generation));
            bucket.keys.push(keys.marks(group.reading, bucket.bucket));
        }
    }
    for (number, group) in groups.iter().enumerate() {
        let known = of_group(group);
        for (index, key) in group.keys.iter().enumerate() {
            let bucket = &mut buckets[keys.bucket(key)];
            let generation = known.map_or(Generation::FIRST, |known| known[bucket.bucket]);
            bucket.wants.push(Want::Row(number, index));
            bucket.keys.push(keys.row(group.reading, generation, key));
        }
    }
    buckets.into_iter().flat_map(pieces).collect()
}

fn pieces(mut rest: Asked) -> Vec<Asked> {
    let mut pieces = Vec::new();
    while rest.wants.len() > KEYS {
        let (wants, keys) = (rest.wants.split_off(KEYS), rest.keys.split_off(KEYS));
        let bucket = rest.bucket;
        pieces.push(std::mem::replace(&mut rest, Asked { bucket, wants, keys }));
    }
    if !rest.wants.is_empty() {
        pieces.push(rest);
    }
    pieces
}

/// Answers on their way.
pub(super) struct Answers {
    found: Vec<Answer>,
    has_marks: Vec<bool>,
    is_outdated: bool,
}

impl Answers {
    pub(super) fn new(groups: &[Group<'_>]) -> Self {
        let empty = |group: &Group<'_>| Answer { marks: None, is_stale: false, rows: vec![None; group.keys.len()] };
        let has_marks = vec![false; groups.len()];
        Self { found: groups.iter().map(empty).collect(), has_marks, is_outdated: false }
    }

    /// Rows were asked for of a generation that is not the current one.
    pub(super) fn outdate(&mut self) {
        self.is_outdated = true;
    }

    /// Whether that was so.
    pub(super) fn are_outdated(&self) -> bool {
        self.is_outdated
    }

    /// What has reached a group is what has reached all of its buckets.
    pub(super) fn marks(&mut self, group: usize, marks: Option<Marks>, is_stale: bool) {
        let answer = &mut self.found[group];
        answer.marks = if self.has_marks[group] { least(answer.marks, marks) } else { marks };
        answer.is_stale |= is_stale;
        self.has_marks[group] = true;
    }

    pub(super) fn row(&mut self, group: usize, index: usize, row: Option<OnlineRow>) {
        self.found[group].rows[index] = row;
    }

    pub(super) fn done(self) -> Vec<Answer> {
        self.found
    }
}

/// What has reached both of two buckets.
pub(super) fn least(one: Option<Marks>, other: Option<Marks>) -> Option<Marks> {
    let (one, other) = (one?, other?);
    Some(Marks { sequence: one.sequence.min(other.sequence), clock: one.clock.min(other.clock) })
}

#[cfg(test)]
mod tests {
    use hitherto_core::{Span, Timestamp};

    use super::*;
    use crate::Reading;

    #[test]
    fn marks_come_before_rows_in_each_bucket_that_is_touched_and_pieces_lose_nothing() {
        let reading = Reading::new("t-1", Span::ZERO);
        let wanted: Vec<Vec<u8>> = (0..KEYS + 5).map(|key| key.to_be_bytes().to_vec()).collect();
        let groups = [Group { reading: &reading, keys: &wanted }, Group { reading: &reading, keys: &wanted[..1] }];
        let project = "default".parse().expect("a name");
        let (none, first) = (Known::new(), Generation::FIRST);
        let one = asked(&Keys::of_server(&project), &none, &groups);
        assert_eq!(one.iter().map(|asked| asked.keys.len()).collect::<Vec<_>>(), [KEYS, 8]);
        assert_eq!(one[0].wants[..3], [Want::Marks(0, first), Want::Marks(1, first), Want::Row(0, 0)]);
        assert_eq!(one[1].wants[7], Want::Row(1, 0));

        let keys = Keys::of_cluster(&project);
        let many = asked(&keys, &none, &groups);
        assert_eq!(many.len(), keys.buckets());
        for asked in &many {
            let marks = keys.marks(&reading, asked.bucket);
            assert_eq!((asked.wants[0], asked.keys[0].clone()), (Want::Marks(0, first), marks));
        }
        let of_second =
            many.iter().filter(|asked| asked.wants.contains(&Want::Marks(1, first))).map(|asked| asked.bucket);
        assert_eq!(of_second.collect::<Vec<_>>(), [keys.bucket(&wanted[0])]);
        assert_eq!(many.iter().map(|asked| asked.keys.len()).sum::<usize>(), KEYS + 5 + 64 + 2);
        assert_eq!(asked(&keys, &none, &[Group { reading: &reading, keys: &[] }]).len(), keys.buckets());
    }

    #[test]
    fn each_bucket_is_asked_for_the_generation_that_it_is_believed_to_have() {
        let (reading, beside) = (Reading::new("t-1", Span::ZERO), Reading::new("t-2", Span::ZERO));
        let keys = Keys::of_cluster(&"default".parse().expect("a name"));
        let (one, other) = (b"k".to_vec(), b"l".to_vec());
        let mut generations = vec![Generation::FIRST; keys.buckets()];
        generations[keys.bucket(&one)] = Generation(7);
        let known = Known::from([(reading.clone(), generations.into())]);
        let wanted = [one.clone(), other.clone()];
        let groups = [Group { reading: &reading, keys: &wanted }, Group { reading: &beside, keys: &wanted[..1] }];
        let asked = asked(&keys, &known, &groups);
        let of = |key: &[u8]| asked.iter().find(|asked| asked.bucket == keys.bucket(key)).expect("its bucket");
        let first = Generation::FIRST;
        assert_eq!(
            of(&one).wants,
            [Want::Marks(0, Generation(7)), Want::Marks(1, first), Want::Row(0, 0), Want::Row(1, 0)]
        );
        assert_eq!(of(&one).keys[2], keys.row(&reading, Generation(7), &one));
        assert_eq!(of(&one).keys[3], keys.row(&beside, first, &one));
        assert_eq!(of(&other).wants, [Want::Marks(0, first), Want::Row(0, 1)]);
        assert_eq!(of(&other).keys[1], keys.row(&reading, first, &other));
    }

    #[test]
    fn what_has_reached_a_group_has_reached_all_of_its_buckets() {
        let reading = Reading::new("t-1", Span::ZERO);
        let group = [Group { reading: &reading, keys: &[] }];
        let marks = |sequence, clock| Some(Marks { sequence, clock: Timestamp(clock) });
        let answer = |buckets: &[(Option<Marks>, bool)]| {
            let mut answers = Answers::new(&group);
            for (marks, is_stale) in buckets {
                answers.marks(0, *marks, *is_stale);
            }
            let answer = answers.done().remove(0);
            (answer.marks, answer.is_stale)
        };
        assert_eq!(answer(&[(marks(5, 1), false), (marks(2, 9), false)]), (marks(2, 1), false));
        assert_eq!(answer(&[(marks(5, 1), true), (None, false), (marks(2, 9), false)]), (None, true));
    }
}
