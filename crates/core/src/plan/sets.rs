//! Feature sets in a plan.

use super::change::notes_difference;
use super::resolve::resolve_set;
use super::set_difference::{contents, difference};
use super::{Action, Change, Draft};
use crate::{FeatureSet, Marks, Record, SetVersion, feature_set_hash};

impl Draft {
    /// Plans one set: what it resolves to now, on the views as they are after this plan, is what it pins.
    pub(super) fn set(&mut self, wanted: &FeatureSet, marks: &Marks) {
        if wanted.features.iter().any(|member| self.broken_views.contains(member.view())) {
            return;
        }
        let resolved = match resolve_set(&self.after, wanted, marks) {
            Ok(resolved) => resolved,
            Err(problems) => return self.problems.extend(problems),
        };
        let hash = feature_set_hash(&resolved);
        let latest = self.after.sets.get(&wanted.name).and_then(|versions| versions.last()).cloned();
        let previous = latest.as_ref().map(|latest| latest.version);
        let (action, version, details) = match &latest {
            None => {
                let details = contents(&resolved);
                self.write(Record::Set(SetVersion { version: 1, definition: wanted.clone(), resolved, hash }));
                (Action::Create, 1, details)
            }
            Some(latest) if latest.hash == hash && latest.resolved == resolved => {
                let notes = notes_difference([(&latest.definition.notes, &wanted.notes)]);
                if notes.is_empty() {
                    (Action::Unchanged, latest.version, notes)
                } else {
                    let mut renoted = latest.clone();
                    renoted.definition.notes = wanted.notes.clone();
                    self.write(Record::Set(renoted));
                    (Action::Notes, latest.version, notes)
                }
            }
            Some(latest) => {
                let (version, details) = (latest.version + 1, difference(&latest.resolved, &resolved));
                self.write(Record::Set(SetVersion { version, definition: wanted.clone(), resolved, hash }));
                (Action::NewVersion, version, details)
            }
        };
        let name = wanted.name.clone();
        self.changes.push(Change { action, kind: "feature_set", name, version, previous, new_table: None, details });
    }
}
