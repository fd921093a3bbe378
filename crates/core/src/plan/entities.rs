//! Entities in a plan.

use super::change::notes_difference;
use super::{Action, Change, Draft};
use crate::{Entity, EntityVersion, Record};

impl Draft {
    /// Plans one entity. Views that were applied with its older keys keep them until they are applied again.
    pub(super) fn entity(&mut self, wanted: &Entity) {
        let latest = self.after.entities.get(&wanted.name).and_then(|versions| versions.last()).cloned();
        let previous = latest.as_ref().map(|latest| latest.version);
        let (action, version, details) = match &latest {
            None => (Action::Create, 1, keys(wanted)),
            Some(latest) if latest.definition.join_keys != wanted.join_keys => {
                (Action::NewVersion, latest.version + 1, difference(&latest.definition, wanted))
            }
            Some(latest) => {
                let notes = notes_difference([(&latest.definition.notes, &wanted.notes)]);
                let action = if notes.is_empty() { Action::Unchanged } else { Action::Notes };
                (action, latest.version, notes)
            }
        };
        if action != Action::Unchanged {
            self.write(Record::Entity(EntityVersion { version, definition: wanted.clone() }));
        }
        let name = wanted.name.clone();
        self.changes.push(Change { action, kind: "entity", name, version, previous, new_table: None, details });
    }
}

fn keys(entity: &Entity) -> Vec<String> {
    entity.join_keys.iter().map(|(name, key_type)| format!("{name}: {key_type}")).collect()
}

fn difference(old: &Entity, new: &Entity) -> Vec<String> {
    let mut details = Vec::new();
    for (name, key_type) in &new.join_keys {
        match old.join_keys.get(name) {
            None => details.push(format!("+ key {name}: {key_type}")),
            Some(before) if before != key_type => details.push(format!("key {name} {before} -> {key_type}")),
            Some(_) => {}
        }
    }
    let gone = old.join_keys.keys().filter(|name| !new.join_keys.contains_key(*name));
    details.extend(gone.map(|name| format!("- key {name}")));
    details
}
