//! A feature set with every reference resolved and pinned.

use std::collections::{BTreeMap, BTreeSet};

use crate::problem::hint;
use crate::{
    Catalog, FeatureSet, KeyType, Marks, Member, Name, Output, Problem, ResolvedSet, SpineKey, ViewUse, ViewVersion,
};

/// Resolves `set` on the views of `catalog`: an unpinned reference takes the latest version of its view.
///
/// Answers what the set pins, or every problem, each with its place in `marks`.
pub fn resolve_set(catalog: &Catalog, set: &FeatureSet, marks: &Marks) -> Result<ResolvedSet, Vec<Problem>> {
    let transforms = set.transforms.clone();
    let resolved = ResolvedSet { uses: Vec::new(), outputs: Vec::new(), request: set.request.clone(), transforms };
    let mut resolution =
        Resolution { catalog, marks, resolved, paths: Vec::new(), use_paths: Vec::new(), problems: Vec::new() };
    for (index, member) in set.features.iter().enumerate() {
        resolution.member(member, &format!("features[{index}]"));
    }
    resolution.check_spine_columns();
    resolution.check_names();
    if resolution.problems.is_empty() { Ok(resolution.resolved) } else { Err(resolution.problems) }
}

struct Resolution<'a> {
    catalog: &'a Catalog,
    marks: &'a Marks,
    resolved: ResolvedSet,
    /// Per output the path of the member that it comes from.
    paths: Vec<String>,
    /// Per use the path of the member that began it.
    use_paths: Vec<String>,
    problems: Vec<Problem>,
}

impl<'a> Resolution<'a> {
    fn problem(&mut self, path: &str, message: String) {
        self.problems.push(self.marks.problem(path, message));
    }

    fn member(&mut self, member: &Member, path: &str) {
        let Some(view) = self.view(member, path) else { return };
        let features = &view.definition.features;
        match member {
            Member::One { feature, rename, .. } => {
                let Some(found) = features.iter().find(|candidate| candidate.name == *feature) else {
                    let near = hint(feature.as_str(), features.iter().map(|candidate| candidate.name.as_str()));
                    return self.problem(path, format!("{} has no feature '{feature}'{near}", view.versioned_name()));
                };
                let Some(view_use) = self.shared_use(view, path) else { return };
                let name = rename.as_ref().map_or_else(|| joined(&view.definition.name, feature), Name::to_string);
                let value_type = found.value_type.clone();
                self.resolved.outputs.push(Output { name, view_use, feature: feature.clone(), value_type });
                self.paths.push(path.to_owned());
            }
            Member::All { view: alias, .. } => {
                let Some(view_use) = self.shared_use(view, path) else { return };
                self.all(view, alias, view_use, path);
            }
            Member::Aliased { alias, join_keys, .. } => {
                let Some(view_use) = self.aliased_use(view, alias, join_keys, path) else { return };
                self.all(view, alias, view_use, path);
            }
        }
    }

    fn view(&mut self, member: &Member, path: &str) -> Option<&'a ViewVersion> {
        let (name, version) = (member.view(), member.version());
        let catalog = self.catalog;
        let Some(versions) = catalog.views.get(name) else {
            let near = hint(name.as_str(), catalog.views.keys().map(Name::as_str));
            self.problem(path, format!("unknown feature_view '{name}'{near}"));
            return None;
        };
        let latest = versions.last()?;
        let Some(version) = version else { return Some(latest) };
        let found = versions.iter().find(|candidate| candidate.version == version);
        if found.is_none() {
            let message = format!("feature_view '{name}' has no version {version}: its latest is {}", latest.version);
            self.problem(path, message);
        }
        found
    }

    fn all(&mut self, view: &ViewVersion, alias: &Name, view_use: usize, path: &str) {
        for feature in &view.definition.features {
            let (name, value_type) = (joined(alias, &feature.name), feature.value_type.clone());
            self.resolved.outputs.push(Output { name, view_use, feature: feature.name.clone(), value_type });
            self.paths.push(path.to_owned());
        }
    }

    /// The use of a view under its own name; all references to it share one.
    fn shared_use(&mut self, view: &ViewVersion, path: &str) -> Option<usize> {
        let name = &view.definition.name;
        let wanted = view_use(view, name, &BTreeMap::new());
        let Some(index) = self.resolved.uses.iter().position(|used| used.alias == *name) else {
            self.resolved.uses.push(wanted);
            self.use_paths.push(path.to_owned());
            return Some(self.resolved.uses.len() - 1);
        };
        let used = &self.resolved.uses[index];
        if *used == wanted {
            return Some(index);
        }
        let message = if used.view == wanted.view || used.view.name != wanted.view.name {
            format!("'{name}' is used already as an alias in this set: give that use another alias")
        } else {
            format!(
                "{} and {} would share the alias '{name}': write {{view: {}, as: another_name}} for one of them",
                used.view, wanted.view, wanted.view
            )
        };
        self.problem(path, message);
        None
    }

    fn aliased_use(
        &mut self,
        view: &ViewVersion,
        alias: &Name,
        join_keys: &BTreeMap<Name, String>,
        path: &str,
    ) -> Option<usize> {
        let before = self.problems.len();
        if let Some(used) = self.resolved.uses.iter().find(|used| used.alias == *alias) {
            let message = format!("the alias '{alias}' stands for {} already: use another one", used.view);
            self.problem(path, message);
        }
        for key in join_keys.keys().filter(|key| !view.keys.iter().any(|known| known.name == **key)) {
            let near = hint(key.as_str(), view.keys.iter().map(|known| known.name.as_str()));
            let message = format!("'{key}' is no entity key of {}{near}", view.versioned_name());
            self.problem(&format!("{path}.join_keys.{key}"), message);
        }
        if self.problems.len() > before {
            return None;
        }
        self.resolved.uses.push(view_use(view, alias, join_keys));
        self.use_paths.push(path.to_owned());
        Some(self.resolved.uses.len() - 1)
    }

    /// One column of the spine can be the key of several views, but only when it can be of all their types.
    fn check_spine_columns(&mut self) {
        let mut seen: BTreeMap<&str, (KeyType, &Name)> = BTreeMap::new();
        for (used, path) in self.resolved.uses.iter().zip(&self.use_paths) {
            for key in &used.keys {
                let (known, other) = *seen.entry(&key.spine_column).or_insert((key.key_type, &used.alias));
                if known == key.key_type || (whole_number(known) && whole_number(key.key_type)) {
                    continue;
                }
                let message = format!(
                    "the spine's column '{0}' would be {known} for '{other}' and {1} for '{2}': \
                     map one of them with join_keys: {{{3}: another_column}}",
                    key.spine_column, key.key_type, used.alias, key.name
                );
                self.problems.push(self.marks.problem(path, message));
            }
        }
    }

    /// Features, request fields and transforms stand beside the spine's keys and time in one table.
    fn check_names(&mut self) {
        let mut claims = vec![("event_timestamp".to_owned(), "features".to_owned(), "the spine's time".to_owned())];
        let mut columns = BTreeSet::new();
        for (used, path) in self.resolved.uses.iter().zip(&self.use_paths) {
            for key in used.keys.iter().filter(|key| columns.insert(&key.spine_column)) {
                claims.push((key.spine_column.clone(), path.clone(), format!("the spine's key '{}'", key.name)));
            }
        }
        for (output, path) in self.resolved.outputs.iter().zip(&self.paths) {
            let alias = &self.resolved.uses[output.view_use].alias;
            claims.push((output.name.clone(), path.clone(), format!("{alias}:{}", output.feature)));
        }
        for name in self.resolved.request.keys() {
            claims.push((name.to_string(), format!("request.{name}"), "a request field".to_owned()));
        }
        for (index, transform) in self.resolved.transforms.iter().enumerate() {
            claims.push((transform.name.to_string(), format!("transforms[{index}]"), "a transform".to_owned()));
        }
        let mut first: BTreeMap<String, String> = BTreeMap::new();
        for (name, path, owner) in claims {
            match first.get(&name) {
                None => {
                    first.insert(name, owner);
                }
                Some(other) => {
                    let message = format!("'{name}' names both {other} and {owner}: rename one of them");
                    self.problem(&path, message);
                }
            }
        }
    }
}

fn view_use(view: &ViewVersion, alias: &Name, join_keys: &BTreeMap<Name, String>) -> ViewUse {
    let key = |key: &crate::ViewKey| SpineKey {
        name: key.name.clone(),
        key_type: key.key_type,
        spine_column: join_keys.get(&key.name).map_or_else(|| key.name.to_string(), String::clone),
    };
    ViewUse {
        alias: alias.clone(),
        view: view.versioned_name(),
        table: view.table.clone(),
        source_delay: view.definition.source_delay,
        ttl: view.definition.ttl.filter(|ttl| !ttl.is_zero()),
        keys: view.keys.iter().map(key).collect(),
    }
}

fn joined(alias: &Name, feature: &Name) -> String {
    format!("{alias}__{feature}")
}

fn whole_number(key_type: KeyType) -> bool {
    matches!(key_type, KeyType::Int32 | KeyType::Int64)
}
