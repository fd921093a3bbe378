//! In what a feature set resolves otherwise than the version that is applied.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::{Name, ResolvedSet, ViewUse};

/// What a new set has.
pub(super) fn contents(set: &ResolvedSet) -> Vec<String> {
    let outputs = set.outputs.iter().map(|output| format!("{}: {}", output.name, output.value_type));
    let request = set.request.iter().map(|(name, value_type)| format!("request {name}: {value_type}"));
    let transforms = set.transforms.iter().map(|transform| format!("{} = {}", transform.name, transform.expr));
    outputs.chain(request).chain(transforms).collect()
}

pub(super) fn difference(old: &ResolvedSet, new: &ResolvedSet) -> Vec<String> {
    let mut details = Vec::new();
    for before in &old.uses {
        if let Some(after) = new.uses.iter().find(|after| after.alias == before.alias) {
            details.extend(use_difference(before, after));
        }
    }
    let outputs = |set: &ResolvedSet| -> BTreeMap<String, String> {
        set.outputs.iter().map(|output| (output.name.clone(), output.value_type.to_string())).collect()
    };
    named_difference("", &outputs(old), &outputs(new), &mut details);
    for output in &new.outputs {
        let source = |set: &ResolvedSet, index: usize| set.uses.get(index).map(|used| used.alias.clone());
        let before = old.outputs.iter().find(|before| before.name == output.name);
        let moved = |before: &crate::Output| {
            before.feature != output.feature || source(old, before.view_use) != source(new, output.view_use)
        };
        if before.is_some_and(moved) {
            details.push(format!("{} is another feature", output.name));
        }
    }
    named_difference("request ", &old.request, &new.request, &mut details);
    let transforms = |set: &ResolvedSet| -> BTreeMap<Name, String> {
        set.transforms.iter().map(|transform| (transform.name.clone(), format!("({})", transform.expr))).collect()
    };
    named_difference("transform ", &transforms(old), &transforms(new), &mut details);
    if details.is_empty() {
        details.push("order".to_owned());
    }
    details
}

fn use_difference(before: &ViewUse, after: &ViewUse) -> Vec<String> {
    let mut details = Vec::new();
    if before.view != after.view {
        details.push(format!("{} -> {}", before.view, after.view));
    }
    for key in &after.keys {
        let old = before.keys.iter().find(|old| old.name == key.name && old.spine_column != key.spine_column);
        if let Some(old) = old {
            let (alias, name) = (&after.alias, &key.name);
            details.push(format!("{alias}: spine column of key {name} {} -> {}", old.spine_column, key.spine_column));
        }
    }
    details
}

fn named_difference<K: Ord + Display, V: PartialEq + Display>(
    word: &str,
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    details: &mut Vec<String>,
) {
    for (name, value) in new {
        match old.get(name) {
            None => details.push(format!("+ {word}{name}: {value}")),
            Some(before) if before != value => details.push(format!("{word}{name} {before} -> {value}")),
            Some(_) => {}
        }
    }
    details.extend(old.keys().filter(|name| !new.contains_key(*name)).map(|name| format!("- {word}{name}")));
}
