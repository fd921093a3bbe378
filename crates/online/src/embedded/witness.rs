//! What a run remembers of its beginning: which generation it writes to, and how many keys had been erased.

use crate::Generation;
use crate::generation::Numbers;

/// Length of the number of erasures; where there was none, there is no number.
const ERASURES_LEN: usize = 8;
const HEAD_LEN: usize = 9;
const CURRENT: u8 = 0;
const BESIDE: u8 = 1;

/// The witness of a run. What is committed stays: beside the marks, only erasures and generations need one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) target: Target,
    pub(super) erasures: Vec<u8>,
}

/// What a run writes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The current generation, and which one was the next when it began.
    Current(Generation, Option<Generation>),
    /// A next generation.
    Beside(Generation),
}

impl Target {
    /// The generation.
    pub(super) fn generation(self) -> Generation {
        match self {
            Self::Current(generation, _) | Self::Beside(generation) => generation,
        }
    }

    /// Whether the generation has kept its place, and none is under way beside it that was not when the run began: it would not
    /// have the run's rows.
    pub(super) fn stands(self, numbers: Numbers) -> bool {
        match self {
            Self::Current(generation, next) => {
                numbers.current == generation && (numbers.next.is_none() || numbers.next == next)
            }
            Self::Beside(generation) => numbers.next == Some(generation),
        }
    }
}

impl Witness {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let (kind, first, second) = match self.target {
            Target::Current(generation, next) => (CURRENT, generation, next.unwrap_or(Generation::FIRST)),
            Target::Beside(generation) => (BESIDE, generation, Generation::FIRST),
        };
        let mut out = vec![kind];
        out.extend(first.0.to_be_bytes());
        out.extend(second.0.to_be_bytes());
        out.extend(&self.erasures);
        out
    }

    /// What was written by [`Witness::bytes`]; none if that was not ours.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (head, erasures) = bytes.split_first_chunk::<HEAD_LEN>()?;
        let number = |at: usize| Generation(u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
        let target = match (head[0], number(1), number(5)) {
            (CURRENT, generation, next) => {
                Target::Current(generation, Some(next).filter(|next| *next != Generation::FIRST))
            }
            (BESIDE, generation, _) => Target::Beside(generation),
            _ => return None,
        };
        [0, ERASURES_LEN].contains(&erasures.len()).then(|| Self { target, erasures: erasures.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_written_to_while_no_other_rebuild_begins() {
        let (first, second, third) = (Generation::FIRST, Generation(1), Generation(2));
        let alone = Numbers::default();
        let started = alone.started(second);
        for (target, numbers, expected) in [
            (Target::Current(first, None), alone, true),
            (Target::Current(first, None), started, false),
            (Target::Current(first, Some(second)), started, true),
            (Target::Current(first, Some(second)), started.abandoned(), true),
            (Target::Current(first, Some(second)), started.abandoned().started(third), false),
            (Target::Current(first, Some(second)), started.switched(second), false),
            (Target::Beside(second), started, true),
            (Target::Beside(second), started.abandoned(), false),
        ] {
            assert_eq!(target.stands(numbers), expected, "{target:?} of {numbers:?}");
        }
    }

    #[test]
    fn witnesses_come_back_and_foreign_ones_are_refused() {
        for target in [
            Target::Current(Generation::FIRST, None),
            Target::Current(Generation(258), Some(Generation(259))),
            Target::Beside(Generation(7)),
        ] {
            for erasures in [Vec::new(), vec![1; 8]] {
                let witness = Witness { target, erasures };
                assert_eq!(Witness::parse(&witness.bytes()), Some(witness));
            }
        }
        for bad in [&[][..], &[0; 8], &[2; 9], &[0; 12]] {
            assert_eq!(Witness::parse(bad), None, "{bad:?}");
        }
    }
}
