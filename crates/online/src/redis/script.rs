//! The scripts, and the entry that holds a reading's marks in Redis: a nonce of 16 bytes, made when the entry is and with
//! each erasure, a byte of flags, the numbers of generations where it was ever rebuilt, the marks where there are some, and the
//! run of the server that they were written to.

use std::hash::{BuildHasher, RandomState};

use redis::{Cmd, Script};

use crate::generation::{NUMBERS_LEN, Numbers};
use crate::record::MARKS_LEN;
use crate::{Generation, Marks, record};

/// Length of the nonce.
pub(super) const NONCE_LEN: usize = 16;
/// Length of a server's run, as it tells it; it may be missing.
const SERVER_LEN: usize = 40;
/// Flags: there are marks, there are numbers of generations.
const HAS_MARKS: u8 = 1;
const HAS_NUMBERS: u8 = 2;

/// The scripts of the store.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) supersede: Script,
    pub(super) begin: Script,
    pub(super) advance: Script,
    pub(super) erase: Script,
    pub(super) exchange: Script,
    pub(super) drop: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            supersede: Script::new(include_str!("supersede.lua")),
            begin: Script::new(include_str!("begin.lua")),
            advance: Script::new(include_str!("advance.lua")),
            erase: Script::new(include_str!("erase.lua")),
            exchange: Script::new(include_str!("exchange.lua")),
            drop: Script::new(include_str!("drop.lua")),
        }
    }
}

/// A call of a script that the server is believed to know.
pub(super) fn call<'a>(script: &Script, keys: &[Vec<u8>], args: impl Iterator<Item = &'a [u8]>) -> Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script.get_hash()).arg(keys.len());
    for key in keys {
        command.arg(key);
    }
    for arg in args {
        command.arg(arg);
    }
    command
}

/// Bytes that no other process will come up with.
pub(super) fn nonce() -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    for half in nonce.chunks_exact_mut(8) {
        // each state is seeded from the system's randomness or follows from one that was
        half.copy_from_slice(&RandomState::new().hash_one(half.len()).to_be_bytes());
    }
    nonce
}

/// An entry taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) nonce: &'a [u8],
    pub(super) numbers: Numbers,
    pub(super) marks: Option<Marks>,
    /// The run of the server that the marks were written to; empty where that did not tell it.
    pub(super) server: &'a [u8],
}

impl<'a> Entry<'a> {
    /// One that nothing has reached yet.
    pub(super) fn empty(nonce: &'a [u8]) -> Self {
        Self { nonce, numbers: Numbers::default(), marks: None, server: &[] }
    }

    /// The bytes of the entry.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut entry = self.nonce.to_vec();
        let has_numbers = !self.numbers.are_first();
        let flags = if has_numbers { HAS_NUMBERS } else { 0 } | if self.marks.is_some() { HAS_MARKS } else { 0 };
        entry.push(flags);
        entry.extend(has_numbers.then(|| self.numbers.bytes()).into_iter().flatten());
        entry.extend(self.marks.map(record::marks_bytes).into_iter().flatten());
        entry.extend(self.server);
        entry
    }
}

/// Takes an entry apart.
pub(super) fn parse(entry: &[u8]) -> Result<Entry<'_>, &'static str> {
    let (nonce, rest) = entry.split_at_checked(NONCE_LEN).ok_or("the entry is cut short")?;
    let (flags, mut rest) = rest.split_first().ok_or("the entry is cut short")?;
    if flags & !(HAS_MARKS | HAS_NUMBERS) != 0 {
        return Err("the entry is not one of ours");
    }
    let mut numbers = Numbers::default();
    if flags & HAS_NUMBERS != 0 {
        let (found, after) =
            rest.split_first_chunk::<NUMBERS_LEN>().ok_or("the numbers of generations are cut short")?;
        (numbers, rest) = (Numbers::parse(found), after);
    }
    if flags & HAS_MARKS == 0 {
        let is_whole = rest.is_empty();
        return if is_whole {
            Ok(Entry { numbers, ..Entry::empty(nonce) })
        } else {
            Err("the entry is not one of ours")
        };
    }
    let (marks, server) = rest.split_at_checked(MARKS_LEN).ok_or("the marks are cut short")?;
    if ![0, SERVER_LEN].contains(&server.len()) {
        return Err("the entry is not one of ours");
    }
    Ok(Entry { nonce, numbers, marks: Some(record::marks(marks)?), server })
}

/// What a run has found in one bucket when it began: the entry, and the run of the server that has it. Nothing, where a run on
/// a next generation has found none there: it leaves that bucket out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) entry: Vec<u8>,
    pub(super) server: Vec<u8>,
}

impl Begun {
    /// Whether the run leaves this bucket out.
    pub(super) fn is_left_out(&self) -> bool {
        self.entry.is_empty()
    }

    /// The generation that the entry calls the current one.
    pub(super) fn current(&self) -> Generation {
        parse(&self.entry).map_or(Generation::FIRST, |entry| entry.numbers.current)
    }
}

/// The witness of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Witness {
    /// The next generation that it writes to; the current one where there is none.
    pub(super) beside: Option<Generation>,
    /// Each bucket.
    pub(super) buckets: Vec<Begun>,
}

impl Witness {
    /// The number of the next generation, 0 for none, and for each bucket the length of what follows, and it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut witness = self.beside.unwrap_or(Generation::FIRST).0.to_be_bytes().to_vec();
        for part in self.buckets.iter().flat_map(|begun| [&begun.entry, &begun.server]) {
            // both are shorter than a hundred bytes
            witness.push(part.len() as u8);
            witness.extend(part);
        }
        witness
    }

    /// What was written by [`Witness::bytes`]; none if that was not ours.
    pub(super) fn parse(witness: &[u8]) -> Option<Self> {
        let (number, mut rest) = witness.split_first_chunk::<4>()?;
        let beside = Some(Generation(u32::from_be_bytes(*number))).filter(|beside| *beside != Generation::FIRST);
        let mut part = || {
            let (length, after) = rest.split_first()?;
            let (part, after) = after.split_at_checked(usize::from(*length))?;
            rest = after;
            Some(part.to_vec())
        };
        let mut buckets = Vec::new();
        while let Some(entry) = part() {
            let begun = Begun { entry, server: part()? };
            if !begun.is_left_out() {
                parse(&begun.entry).ok()?;
            }
            buckets.push(begun);
        }
        rest.is_empty().then_some(Self { beside, buckets })
    }
}
