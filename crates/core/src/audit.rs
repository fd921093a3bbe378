//! The audit log: every change of the registry, each entry bound to the one before it by a hash.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Timestamp;

/// One change. Entries of a project are numbered 1, 2, 3… without gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its place in the log.
    pub number: i64,
    /// When.
    pub at: Timestamp,
    /// Who, as they called themselves.
    pub who: String,
    /// What was done: `apply`, `register_model`, `move_alias`.
    pub verb: String,
    /// To what: `model late_arrival@1`.
    pub subject: String,
    /// What there was before, as JSON; nothing where it is new.
    pub before: Option<String>,
    /// What there is after it, as JSON.
    pub after: Option<String>,
    /// The hash of the entry before; empty in the first.
    pub previous: String,
    /// This entry's hash.
    pub hash: String,
}

/// The last entry of a log: who has kept it can tell whether the log was cut or rewritten since.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AuditHead {
    /// The entry's number.
    pub number: i64,
    /// Its hash.
    pub hash: String,
}

impl AuditEntry {
    /// The hash that this content has: SHA-256, in hex, of the JSON array
    /// `[number, at, who, verb, subject, before, after, previous]`, in UTF-8, without spaces, `at` in microseconds,
    /// `before` and `after` as texts or null, escaped only where JSON demands it.
    pub fn content_hash(&self) -> String {
        let content =
            (self.number, self.at, &self.who, &self.verb, &self.subject, &self.before, &self.after, &self.previous);
        let text = serde_json::to_string(&content).unwrap_or_default();
        hex::encode(Sha256::digest(text))
    }

    /// This entry as the head of a log that ends with it.
    pub fn head(&self) -> AuditHead {
        AuditHead { number: self.number, hash: self.hash.clone() }
    }

    fn title(&self) -> String {
        format!("audit entry {} ({} {})", self.number, self.verb, self.subject)
    }
}

/// Where a log is not as it was written. Each names the first entry that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuditFault {
    /// An entry's content was changed.
    #[error("{entry} was changed: its content has the hash {found}, not {written}")]
    Changed {
        /// The entry, with what it says it is.
        entry: String,
        /// The hash of what is there.
        found: String,
        /// The hash that was written.
        written: String,
    },
    /// Entries are missing.
    #[error("audit entry {number} is missing: entry {found} stands in its place")]
    Missing {
        /// The first that is missing.
        number: i64,
        /// What follows instead.
        found: i64,
    },
    /// An entry stands where it does not belong.
    #[error("audit entry {found} stands where entry {number} belongs")]
    OutOfOrder {
        /// Which should be there.
        number: i64,
        /// Which is.
        found: i64,
    },
    /// An entry that is right in itself was not written after the one before it.
    #[error("{entry} does not follow the entry before it: one of the two was replaced")]
    Unlinked {
        /// The entry.
        entry: String,
    },
    /// The log ends before an entry that it once had.
    #[error("the audit log was cut: {anchor} knows entry {number}, and the log ends at entry {last}")]
    Cut {
        /// Who knows.
        anchor: String,
        /// The entry that it knows.
        number: i64,
        /// The last one that is there; 0 where there is none.
        last: i64,
    },
    /// An entry was replaced, and those after it with it.
    #[error(
        "the audit log was rewritten: {anchor} knows entry {number} with the hash {known}, and the log has {found}"
    )]
    Rewritten {
        /// Who knows.
        anchor: String,
        /// The entry.
        number: i64,
        /// The hash that it had.
        known: String,
        /// The hash that it has.
        found: String,
    },
}

/// Whether the log is whole in itself: every entry as it was written, none missing, none out of order. Its last entry, or the
/// first fault. That its tail was cut, or all of it written anew, it cannot know: see [`verify_against`].
pub fn verify_chain(entries: &[AuditEntry]) -> Result<Option<AuditHead>, AuditFault> {
    let mut previous = "";
    for (number, entry) in (1..).zip(entries) {
        let found = entry.number;
        if found > number {
            // a later one out of its place, rather than a gap, if the one that belongs here comes further on
            let elsewhere = entries.iter().any(|other| other.number == number);
            return Err(if elsewhere {
                AuditFault::OutOfOrder { number, found }
            } else {
                AuditFault::Missing { number, found }
            });
        }
        if found < number {
            return Err(AuditFault::OutOfOrder { number, found });
        }
        let content = entry.content_hash();
        if content != entry.hash {
            let (entry, written) = (entry.title(), entry.hash.clone());
            return Err(AuditFault::Changed { entry, found: content, written });
        }
        if entry.previous != previous {
            return Err(AuditFault::Unlinked { entry: entry.title() });
        }
        previous = &entry.hash;
    }
    Ok(entries.last().map(AuditEntry::head))
}

/// Whether the log, which is whole in itself, still has what `anchor` knows of it; `kept` says where the anchor was kept.
pub fn verify_against(entries: &[AuditEntry], anchor: &AuditHead, kept: &str) -> Result<(), AuditFault> {
    let (number, kept) = (anchor.number, kept.to_owned());
    match entries.iter().find(|entry| entry.number == number) {
        Some(entry) if entry.hash == anchor.hash => Ok(()),
        Some(entry) => {
            Err(AuditFault::Rewritten { anchor: kept, number, known: anchor.hash.clone(), found: entry.hash.clone() })
        }
        None => {
            let last = entries.last().map_or(0, |last| last.number);
            Err(AuditFault::Cut { anchor: kept, number, last })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(length: i64) -> Vec<AuditEntry> {
        let mut entries: Vec<AuditEntry> = Vec::new();
        for number in 1..=length {
            let mut entry = AuditEntry {
                number,
                at: Timestamp(number * 10),
                who: "ada \"l\" ✈\n".to_owned(),
                verb: "apply".to_owned(),
                subject: format!("entity e@{number}"),
                before: None,
                after: Some(format!("{{\"n\":{number}}}")),
                previous: entries.last().map(|last| last.hash.clone()).unwrap_or_default(),
                hash: String::new(),
            };
            entry.hash = entry.content_hash();
            entries.push(entry);
        }
        entries
    }

    fn fault(entries: &[AuditEntry]) -> String {
        verify_chain(entries).expect_err("the log is not as it was written").to_string()
    }

    #[test]
    fn a_whole_log_ends_in_its_head() {
        assert_eq!(verify_chain(&[]), Ok(None));
        let entries = log(4);
        assert_eq!(verify_chain(&entries), Ok(Some(entries[3].head())));
        // python: json.dumps([1, 10, who, …, ""], ensure_ascii=False, separators=(",", ":")), hashed
        assert_eq!(entries[0].hash, FIRST);
    }

    const FIRST: &str = "7f30b6b2c4813430275dc732292538065c5fcdfe66cc3b7a6b8c8173dc7014ca";

    #[test]
    fn each_kind_of_tampering_names_the_entry() {
        let change = |edit: fn(&mut AuditEntry)| {
            let mut entries = log(4);
            edit(&mut entries[1]);
            fault(&entries)
        };
        let edits: [fn(&mut AuditEntry); 7] = [
            |entry| entry.at.0 += 1,
            |entry| "eve".clone_into(&mut entry.who),
            |entry| entry.before = Some(String::new()),
            |entry| entry.after = None,
            |entry| entry.after = Some("{}".to_owned()),
            |entry| entry.previous.clear(),
            |entry| entry.hash.replace_range(..1, "x"),
        ];
        for edit in edits {
            let said = change(edit);
            assert!(said.starts_with("audit entry 2 (apply entity e@2) was changed: "), "{said}");
        }
        let rehashed = change(|entry| {
            entry.after = None;
            entry.hash = entry.content_hash();
        });
        assert!(rehashed.starts_with("audit entry 3 (apply entity e@3) does not follow"), "{rehashed}");
    }

    #[test]
    fn missing_and_reordered_entries_are_named() {
        let mut gap = log(4);
        gap.remove(1);
        assert_eq!(fault(&gap), "audit entry 2 is missing: entry 3 stands in its place");
        let mut beheaded = log(4);
        beheaded.remove(0);
        assert_eq!(fault(&beheaded), "audit entry 1 is missing: entry 2 stands in its place");
        let mut swapped = log(4);
        swapped.swap(1, 2);
        assert_eq!(fault(&swapped), "audit entry 3 stands where entry 2 belongs");
        let mut doubled = log(2);
        doubled.push(doubled[1].clone());
        assert_eq!(fault(&doubled), "audit entry 2 stands where entry 3 belongs");
    }

    #[test]
    fn an_anchor_finds_a_cut_or_rewritten_log() {
        let entries = log(4);
        let anchor = entries[2].head();
        assert_eq!(verify_against(&entries, &anchor, "dataset d1"), Ok(()));
        assert_eq!(verify_chain(&entries[..2]), Ok(Some(entries[1].head())), "a cut tail is whole in itself");
        let cut = verify_against(&entries[..2], &anchor, "dataset d1").expect_err("the tail is gone");
        assert_eq!(cut.to_string(), "the audit log was cut: dataset d1 knows entry 3, and the log ends at entry 2");
        let mut rewritten = log(2);
        let mut other = log(4)[2].clone();
        "eve".clone_into(&mut other.who);
        other.hash = other.content_hash();
        rewritten.push(other);
        assert!(verify_chain(&rewritten).is_ok());
        let found = verify_against(&rewritten, &anchor, "dataset d1").expect_err("another log");
        assert!(found.to_string().starts_with("the audit log was rewritten: dataset d1 knows entry 3 with"), "{found}");
    }
}
