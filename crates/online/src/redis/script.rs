//! The scripts, and the entry that holds a reading's marks in Redis: a nonce of 16 bytes, made when the entry is and with
//! each erasure, a byte that says whether there are marks, the marks, and the run of the server that they were written to.

use std::hash::{BuildHasher, RandomState};

use redis::{Cmd, Script};

use crate::record::MARKS_LEN;
use crate::{Marks, record};

/// Length of the nonce.
pub(super) const NONCE_LEN: usize = 16;
/// Length of a server's run, as it tells it; it may be missing.
const SERVER_LEN: usize = 40;

/// The scripts of the store.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) supersede: Script,
    pub(super) begin: Script,
    pub(super) advance: Script,
    pub(super) erase: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            supersede: Script::new(include_str!("supersede.lua")),
            begin: Script::new(include_str!("begin.lua")),
            advance: Script::new(include_str!("advance.lua")),
            erase: Script::new(include_str!("erase.lua")),
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
    pub(super) marks: Option<Marks>,
    /// The run of the server that the marks were written to; empty where that did not tell it.
    pub(super) server: &'a [u8],
}

impl Entry<'_> {
    /// The bytes of an entry, but for the server, which a script appends.
    pub(super) fn bytes(nonce: &[u8], marks: Option<Marks>) -> Vec<u8> {
        let mut entry = nonce.to_vec();
        entry.push(u8::from(marks.is_some()));
        entry.extend(marks.map(record::marks_bytes).into_iter().flatten());
        entry
    }
}

/// Takes an entry apart.
pub(super) fn parse(entry: &[u8]) -> Result<Entry<'_>, &'static str> {
    let (nonce, rest) = entry.split_at_checked(NONCE_LEN).ok_or("the entry is cut short")?;
    match rest {
        [0] => Ok(Entry { nonce, marks: None, server: &[] }),
        [1, rest @ ..] => {
            let (marks, server) = rest.split_at_checked(MARKS_LEN).ok_or("the marks are cut short")?;
            if ![0, SERVER_LEN].contains(&server.len()) {
                return Err("the entry is not one of ours");
            }
            Ok(Entry { nonce, marks: Some(record::marks(marks)?), server })
        }
        _ => Err("the entry is not one of ours"),
    }
}

/// What a run has found in one bucket when it began: the entry, and the run of the server that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) entry: Vec<u8>,
    pub(super) server: Vec<u8>,
}

/// The witness of a run: for each bucket the length of what follows, and it.
pub(super) fn witness(buckets: &[Begun]) -> Vec<u8> {
    let mut witness = Vec::new();
    for part in buckets.iter().flat_map(|begun| [&begun.entry, &begun.server]) {
        // both are shorter than a hundred bytes
        witness.push(part.len() as u8);
        witness.extend(part);
    }
    witness
}

/// What a run has found in each bucket; none if the witness is not one of ours.
pub(super) fn begun(mut witness: &[u8]) -> Option<Vec<Begun>> {
    let mut part = || {
        let (length, rest) = witness.split_first()?;
        let (part, rest) = rest.split_at_checked(usize::from(*length))?;
        witness = rest;
        Some(part.to_vec())
    };
    let mut buckets = Vec::new();
    while let Some(entry) = part() {
        parse(&entry).ok()?;
        buckets.push(Begun { entry, server: part()? });
    }
    witness.is_empty().then_some(buckets)
}
