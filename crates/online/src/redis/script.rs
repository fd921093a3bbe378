//! The scripts, and the entry that holds a reading's marks in Redis: a nonce of 16 bytes, made when the entry is and with
//! each erasure, a byte that says whether there are marks, and the marks.

use std::hash::{BuildHasher, RandomState};

use redis::{Cmd, Script};

use crate::{Marks, record};

/// Length of the nonce.
pub(super) const NONCE_LEN: usize = 16;

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

/// The entry with this nonce and these marks.
pub(super) fn entry(nonce: &[u8], marks: Option<Marks>) -> Vec<u8> {
    let mut entry = nonce.to_vec();
    entry.push(u8::from(marks.is_some()));
    entry.extend(marks.map(record::marks_bytes).into_iter().flatten());
    entry
}

/// The nonce and marks of an entry.
pub(super) fn parse(entry: &[u8]) -> Result<(&[u8], Option<Marks>), &'static str> {
    let (nonce, rest) = entry.split_at_checked(NONCE_LEN).ok_or("the entry is cut short")?;
    match rest {
        [0] => Ok((nonce, None)),
        [1, marks @ ..] => Ok((nonce, Some(record::marks(marks)?))),
        _ => Err("the entry is not one of ours"),
    }
}
