//! Feature views in a plan.

use std::collections::BTreeMap;

use super::change::notes_difference;
use super::view_difference::{contents, reading_difference, table_difference};
use super::{Action, Change, Draft, NewTables};
use crate::problem::hint;
use crate::{Created, FeatureView, KeyType, Marks, Name, Record, Table, ViewKey, ViewVersion};

impl Draft {
    pub(super) fn view(&mut self, wanted: &FeatureView, marks: &Marks) {
        let Some(keys) = self.view_keys(wanted, marks) else {
            self.broken_views.insert(wanted.name.clone());
            return;
        };
        match self.after.views.get(&wanted.name).and_then(|versions| versions.last()).cloned() {
            None => self.first_version(wanted, keys),
            Some(latest) => self.next_version(&latest, wanted, keys, marks),
        }
    }

    /// The join keys of the view's entities together, sorted by name; `None` when there is a problem with them.
    fn view_keys(&mut self, wanted: &FeatureView, marks: &Marks) -> Option<Vec<ViewKey>> {
        let before = self.problems.len();
        let mut types: BTreeMap<Name, (KeyType, &Name)> = BTreeMap::new();
        for (index, entity) in wanted.entities.iter().enumerate() {
            let path = format!("entities[{index}]");
            let Some(applied) = self.after.entities.get(entity).and_then(|versions| versions.last()) else {
                let near = hint(entity.as_str(), self.after.entities.keys().map(Name::as_str));
                self.problems.push(marks.problem(&path, format!("unknown entity '{entity}'{near}")));
                continue;
            };
            for (key, key_type) in &applied.definition.join_keys {
                let clash = |(known, _): &(&Name, _)| known.as_str().eq_ignore_ascii_case(key.as_str());
                match types.iter().find(clash) {
                    None => {
                        types.insert(key.clone(), (*key_type, entity));
                    }
                    Some((known, (known_type, _))) if known == key && known_type == key_type => {}
                    Some((known, (known_type, other))) => {
                        let message = format!(
                            "the entities '{other}' and '{entity}' have keys that clash: {known}: {known_type} and \
                             {key}: {key_type}"
                        );
                        self.problems.push(marks.problem(&path, message));
                    }
                }
            }
        }
        if self.problems.len() > before {
            return None;
        }
        for key in wanted.join_keys.keys().filter(|key| !types.contains_key(*key)) {
            let near = hint(key.as_str(), types.keys().map(Name::as_str));
            let message = format!("'{key}' is no entity key of feature_view '{}'{near}", wanted.name);
            self.problems.push(marks.problem(&format!("join_keys.{key}"), message));
        }
        for feature in &wanted.features {
            if types.keys().any(|key| key.as_str().eq_ignore_ascii_case(feature.name.as_str())) {
                let message = format!(
                    "feature '{0}' has the name of an entity key: use another name, with column: {0}",
                    feature.name
                );
                self.problems.push(marks.problem(&format!("features.{}", feature.name), message));
            }
        }
        let key = |(name, (key_type, _)): (Name, (KeyType, &Name))| {
            let column = wanted.join_keys.get(&name).map_or_else(|| name.to_string(), String::clone);
            ViewKey { name, key_type, column }
        };
        (self.problems.len() == before).then(|| types.into_iter().map(key).collect())
    }

    fn first_version(&mut self, wanted: &FeatureView, keys: Vec<ViewKey>) {
        let details = contents(wanted, &keys);
        let table = self.start_table(wanted, &keys);
        self.push(Action::Create, wanted, 1, Some(table.clone()), details);
        self.write(Record::View(ViewVersion { version: 1, table, keys, definition: wanted.clone() }));
    }

    fn next_version(&mut self, latest: &ViewVersion, wanted: &FeatureView, keys: Vec<ViewKey>, marks: &Marks) {
        let Some(table) = self.after.tables.get(&latest.table).cloned() else {
            let message = format!("the registry has no table '{}' of feature_view '{}'", latest.table, wanted.name);
            self.problems.push(marks.problem("name", message));
            return;
        };
        let reasons = table_difference(latest, &table, wanted, &keys);
        let mut details: Vec<String> = reasons.iter().map(|(_, reason)| reason.clone()).collect();
        if let (Some((path, _)), NewTables::Refuse) = (reasons.first(), self.new_tables) {
            let message = format!(
                "feature_view '{}' would need a new table, whose history must be ingested again ({}): if that is meant, \
                 apply with --allow-new-table",
                wanted.name,
                details.join(", ")
            );
            self.problems.push(marks.problem(path, message));
        }
        details.extend(reading_difference(latest, wanted, &keys));
        if details.is_empty() {
            return self.replace_notes(latest, wanted);
        }
        let version = latest.version + 1;
        let (action, table) = if reasons.is_empty() {
            self.grow_table(table, wanted, marks);
            (Action::NewVersion, latest.table.clone())
        } else {
            (Action::NewTable, self.start_table(wanted, &keys))
        };
        let new_table = (action == Action::NewTable).then(|| table.clone());
        self.push(action, wanted, version, new_table, details);
        self.write(Record::View(ViewVersion { version, table, keys, definition: wanted.clone() }));
    }

    /// Everything that decides values stays as it was applied; only the words change.
    fn replace_notes(&mut self, latest: &ViewVersion, wanted: &FeatureView) {
        let mut definition = latest.definition.clone();
        let features = definition.features.iter().zip(&wanted.features);
        let pairs = features.map(|(old, new)| (&old.notes, &new.notes));
        let details = notes_difference(pairs.chain([(&definition.notes, &wanted.notes)]));
        if details.is_empty() {
            return self.push(Action::Unchanged, wanted, latest.version, None, details);
        }
        definition.notes = wanted.notes.clone();
        for (feature, new) in definition.features.iter_mut().zip(&wanted.features) {
            feature.notes = new.notes.clone();
        }
        self.push(Action::Notes, wanted, latest.version, None, details);
        self.write(Record::View(ViewVersion { definition, ..latest.clone() }));
    }

    fn start_table(&mut self, wanted: &FeatureView, keys: &[ViewKey]) -> String {
        let number = 1 + self.after.tables.values().filter(|table| table.view == wanted.name).count();
        let id = format!("{}-{number}", wanted.name);
        self.write(Record::Table(Table {
            id: id.clone(),
            view: wanted.name.clone(),
            keys: keys.iter().map(|key| (key.name.clone(), key.key_type)).collect(),
            created: match wanted.created_timestamp.as_deref() {
                None => Created::Absent,
                Some("_ingested_at") => Created::IngestedAt,
                Some(_) => Created::Column,
            },
            columns: wanted.features.iter().map(|feature| (feature.name.clone(), feature.value_type.clone())).collect(),
        }));
        id
    }

    /// Adds the columns of features that the table does not have yet; a feature that comes back finds its column.
    fn grow_table(&mut self, mut table: Table, wanted: &FeatureView, marks: &Marks) {
        let before = table.columns.len();
        for feature in &wanted.features {
            if table.columns.iter().any(|(name, _)| *name == feature.name) {
                continue;
            }
            // the log's format takes names that differ only in case for one column
            let twin = |(name, _): &&(Name, _)| name.as_str().eq_ignore_ascii_case(feature.name.as_str());
            if let Some((name, _)) = table.columns.iter().find(twin) {
                let message = format!(
                    "feature '{}' differs only in case from '{name}', a column of table {}: use another name, \
                     with column: {0}",
                    feature.name, table.id
                );
                self.problems.push(marks.problem(&format!("features.{}", feature.name), message));
                continue;
            }
            table.columns.push((feature.name.clone(), feature.value_type.clone()));
        }
        if table.columns.len() > before {
            self.write(Record::Table(table));
        }
    }

    fn push(
        &mut self,
        action: Action,
        wanted: &FeatureView,
        version: u32,
        new_table: Option<String>,
        details: Vec<String>,
    ) {
        let previous = self.after.views.get(&wanted.name).and_then(|versions| versions.last()).map(|last| last.version);
        let name = wanted.name.clone();
        self.changes.push(Change { action, kind: "feature_view", name, version, previous, new_table, details });
    }
}
