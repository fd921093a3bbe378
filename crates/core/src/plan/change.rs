//! One line of a plan.

use std::fmt;

use serde::Serialize;

use crate::Name;

/// What happens to a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It becomes version 1.
    Create,
    /// It becomes the next version; of a view, another reading of the same table.
    NewVersion,
    /// It becomes the next version, on a table of its own that has no history yet.
    NewTable,
    /// Its description or tags are replaced; the version stays.
    Notes,
    /// Nothing.
    Unchanged,
}

/// What a plan does to one definition. Prints as one line of `hitherto plan`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happens.
    pub action: Action,
    /// `entity`, `feature_view`, `feature_set` or `gate`.
    pub kind: &'static str,
    /// The definition's name.
    pub name: Name,
    /// The latest version afterwards.
    pub version: u32,
    /// The latest version before, when there was one.
    pub previous: Option<u32>,
    /// The table that begins with this change.
    pub new_table: Option<String>,
    /// What it has, of a new definition; what differs, of a known one.
    pub details: Vec<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, name, version, .. } = self;
        let details = self.details.join(", ");
        match self.action {
            Action::Create => write!(f, "+ {kind} {name} ({details})"),
            Action::NewVersion => write!(f, "~ {kind} {name}@{version} (was @{}): {details}", version - 1),
            Action::NewTable => {
                let table = self.new_table.as_deref().unwrap_or_default();
                write!(f, "! {kind} {name}@{version}: new table {table}, its history must be ingested again: {details}")
            }
            Action::Notes => write!(f, ". {kind} {name}@{version}: {details} only"),
            Action::Unchanged => write!(f, "= {kind} {name}@{version} unchanged"),
        }
    }
}

/// `description`, `tags` or `description and tags`, as the two differ; nothing when they are the same.
pub(super) fn notes_difference<'a>(
    pairs: impl IntoIterator<Item = (&'a crate::Notes, &'a crate::Notes)>,
) -> Vec<String> {
    let (mut description, mut tags) = (false, false);
    for (old, new) in pairs {
        description |= old.description != new.description;
        tags |= old.tags != new.tags;
    }
    match (description, tags) {
        (true, true) => vec!["description and tags".to_owned()],
        (true, false) => vec!["description".to_owned()],
        (false, true) => vec!["tags".to_owned()],
        (false, false) => Vec::new(),
    }
}
