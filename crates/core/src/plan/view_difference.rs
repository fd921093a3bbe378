//! In what a feature view differs from the version that is applied, and whether its table can stay.

use crate::{FeatureView, Name, Span, Table, ViewKey, ViewVersion};

/// What a new view has.
pub(super) fn contents(view: &FeatureView, keys: &[ViewKey]) -> Vec<String> {
    let mut details: Vec<String> = keys.iter().map(|key| format!("key {}: {}", key.name, key.key_type)).collect();
    details.extend(view.features.iter().map(|feature| format!("{}: {}", feature.name, feature.value_type)));
    if !view.source_delay.is_zero() {
        details.push(format!("source_delay {}", view.source_delay));
    }
    details.extend(limit(view.ttl).map(|ttl| format!("ttl {ttl}")));
    details
}

/// Why `wanted` cannot be a reading of the table of the `latest` version: the path of the part, and what it is.
pub(super) fn table_difference(
    latest: &ViewVersion,
    table: &Table,
    wanted: &FeatureView,
    keys: &[ViewKey],
) -> Vec<(String, String)> {
    let mut reasons = Vec::new();
    let entities = || "entities[0]".to_owned();
    for key in keys {
        match table.keys.iter().find(|(name, _)| *name == key.name) {
            None => reasons.push((entities(), format!("+ key {}: {}", key.name, key.key_type))),
            Some((name, old)) if *old != key.key_type => {
                reasons.push((entities(), format!("key {name} {old} -> {}", key.key_type)));
            }
            Some(_) => {}
        }
    }
    for (name, _) in table.keys.iter().filter(|(name, _)| !keys.iter().any(|key| key.name == *name)) {
        reasons.push((entities(), format!("- key {name}")));
    }
    for feature in &wanted.features {
        let old = table.columns.iter().find(|(name, _)| *name == feature.name);
        if let Some((name, old)) = old.filter(|(_, old)| *old != feature.value_type) {
            reasons.push((format!("features.{name}"), format!("feature {name} {old} -> {}", feature.value_type)));
        }
    }
    let old = &latest.definition;
    if old.event_timestamp != wanted.event_timestamp {
        let reason = format!("event_timestamp {} -> {}", old.event_timestamp, wanted.event_timestamp);
        reasons.push(("event_timestamp".to_owned(), reason));
    }
    if old.created_timestamp != wanted.created_timestamp {
        let column = |column: &Option<String>| column.clone().unwrap_or_else(|| "none".to_owned());
        let reason =
            format!("created_timestamp {} -> {}", column(&old.created_timestamp), column(&wanted.created_timestamp));
        reasons.push(("created_timestamp".to_owned(), reason));
    }
    reasons
}

/// In what `wanted` reads its table otherwise than the `latest` version.
pub(super) fn reading_difference(latest: &ViewVersion, wanted: &FeatureView, keys: &[ViewKey]) -> Vec<String> {
    let old = &latest.definition;
    let mut details = Vec::new();
    if old.entities != wanted.entities {
        details.push(format!("entities {} -> {}", list(&old.entities), list(&wanted.entities)));
    }
    for key in keys {
        let before = latest.keys.iter().find(|before| before.name == key.name);
        if let Some(before) = before.filter(|before| before.column != key.column) {
            details.push(format!("column of key {} {} -> {}", key.name, before.column, key.column));
        }
    }
    if old.source_delay != wanted.source_delay {
        details.push(format!("source_delay {} -> {}", old.source_delay, wanted.source_delay));
    }
    if limit(old.ttl) != limit(wanted.ttl) {
        let print = |ttl| limit(ttl).map_or_else(|| "none".to_owned(), |ttl| ttl.to_string());
        details.push(format!("ttl {} -> {}", print(old.ttl), print(wanted.ttl)));
    }
    for feature in &wanted.features {
        match old.features.iter().find(|before| before.name == feature.name) {
            None => details.push(format!("+ feature {}: {}", feature.name, feature.value_type)),
            Some(before) if before.column != feature.column => {
                details.push(format!("column of {} {} -> {}", feature.name, before.column, feature.column));
            }
            Some(_) => {}
        }
    }
    let gone = old.features.iter().filter(|before| !wanted.features.iter().any(|feature| feature.name == before.name));
    details.extend(gone.map(|feature| format!("- feature {}", feature.name)));
    let common = |these: &FeatureView, those: &FeatureView| -> Vec<Name> {
        let in_those = |name: &Name| those.features.iter().any(|feature| feature.name == *name);
        these.features.iter().map(|feature| feature.name.clone()).filter(in_those).collect()
    };
    if common(old, wanted) != common(wanted, old) {
        details.push("order of the features".to_owned());
    }
    details
}

/// A ttl of zero is no limit.
fn limit(ttl: Option<Span>) -> Option<Span> {
    ttl.filter(|ttl| !ttl.is_zero())
}

fn list(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(" + ")
}
