//! What a gate found.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Name, Timestamp, VersionedName};

/// What every alias asks.
pub(super) const ONLINE: &str = "every view is online";

/// A gate's evidence: every condition with what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    /// The gate; none where the alias has none, and only what every alias asks is asked.
    pub gate: Option<VersionedName>,
    /// The version that was to pass.
    pub model: VersionedName,
    /// The alias.
    pub alias: Name,
    /// When.
    pub at: Timestamp,
    /// Whether every condition passed.
    pub passed: bool,
    /// The conditions, in the gate's order.
    pub conditions: Vec<Condition>,
}

impl GateReport {
    /// The conditions that did not pass.
    pub fn failed(&self) -> impl Iterator<Item = &Condition> {
        self.conditions.iter().filter(|condition| !condition.passed)
    }

    /// Whether all that failed is that a view is not online, which materializing it mends.
    pub fn is_only_offline(&self) -> bool {
        !self.passed && self.failed().all(|condition| condition.text == ONLINE)
    }
}

/// One condition of a gate. Prints as `auc is at least 0.7: found 0.65`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// What is asked.
    pub text: String,
    /// Whether it is so.
    pub passed: bool,
    /// What was found.
    pub found: String,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.text, self.found)
    }
}
