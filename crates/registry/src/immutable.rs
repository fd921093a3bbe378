//! What may change of something applied: notes, and a table's list of columns by growth.

use hitherto_core::{EntityVersion, GateVersion, Notes, Record, SetVersion, Table, ViewVersion};

/// Whether `new` may take the place of `old`, which has the same kind, name and version.
pub(crate) fn may_replace(old: &Record, new: &Record) -> bool {
    match (old, new) {
        (Record::Entity(old), Record::Entity(new)) => entity(old) == entity(new),
        (Record::View(old), Record::View(new)) => view(old) == view(new),
        (Record::Set(old), Record::Set(new)) => set(old) == set(new),
        (Record::Gate(old), Record::Gate(new)) => gate(old) == gate(new),
        (Record::Table(old), Record::Table(new)) => grows(old, new),
        _ => false,
    }
}

fn entity(version: &EntityVersion) -> EntityVersion {
    let mut bare = version.clone();
    bare.definition.notes = Notes::default();
    bare
}

fn view(version: &ViewVersion) -> ViewVersion {
    let mut bare = version.clone();
    bare.definition.notes = Notes::default();
    for feature in &mut bare.definition.features {
        feature.notes = Notes::default();
    }
    bare
}

fn set(version: &SetVersion) -> SetVersion {
    let mut bare = version.clone();
    bare.definition.notes = Notes::default();
    bare
}

fn gate(version: &GateVersion) -> GateVersion {
    let mut bare = version.clone();
    bare.definition.notes = Notes::default();
    bare
}

fn grows(old: &Table, new: &Table) -> bool {
    let same = (&old.id, &old.view, &old.keys, old.created) == (&new.id, &new.view, &new.keys, new.created);
    same && new.columns.starts_with(&old.columns)
}
