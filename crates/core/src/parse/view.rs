//! `kind: feature_view`.

use std::collections::BTreeMap;

use super::TABLE_COLUMNS;
use super::fields::{Entry, Fields, Findings, checked_column, checked_name, parse_name, parse_scalar, scalar};
use super::node::Content;
use crate::{Feature, FeatureView, Marks, Name, Notes, Span, ValueType};

pub(super) const FIELDS: [&str; 12] = [
    "kind",
    "name",
    "entity",
    "entities",
    "join_keys",
    "event_timestamp",
    "created_timestamp",
    "source_delay",
    "ttl",
    "features",
    "description",
    "tags",
];

pub(super) fn parse(
    name: Option<Name>,
    fields: &Fields<'_>,
    marks: &mut Marks,
    findings: &mut Findings,
) -> Option<FeatureView> {
    for field in FIELDS {
        if let Some(node) = fields.get(field) {
            marks.set(field, node.at);
        }
    }
    let entities = entities(fields, marks, findings);
    let join_keys = columns_by_key(fields.map("join_keys", findings), marks, findings);
    let event_timestamp = fields.column("event_timestamp", &[], findings);
    let created_timestamp = fields.column("created_timestamp", &["_ingested_at"], findings);
    let source_delay = fields.parsed("source_delay", findings).unwrap_or(Span::ZERO);
    let ttl = fields.parsed("ttl", findings).filter(|ttl: &Span| !ttl.is_zero());
    let features = features(fields, marks, findings);
    let notes = fields.notes(findings);
    let event_timestamp = event_timestamp.unwrap_or_else(|| "event_timestamp".to_owned());
    let name = name?;
    Some(FeatureView {
        name,
        entities,
        join_keys,
        event_timestamp,
        created_timestamp,
        source_delay,
        ttl,
        features,
        notes,
    })
}

/// `join_keys` of a view or of a set's member: entity key to column.
pub(super) fn columns_by_key(
    entries: Vec<Entry<'_>>,
    marks: &mut Marks,
    findings: &mut Findings,
) -> BTreeMap<Name, String> {
    let mut columns = BTreeMap::new();
    for entry in entries {
        marks.set(format!("join_keys.{}", entry.key), entry.at);
        let column = scalar(entry.value, &format!("join key '{}'", entry.key), findings)
            .and_then(|text| checked_column(text, entry.value.at, &[], findings));
        if let (Some(key), Some(column)) = (checked_name(entry.key, entry.at, findings), column) {
            columns.insert(key, column);
        }
    }
    columns
}

fn entities(fields: &Fields<'_>, marks: &mut Marks, findings: &mut Findings) -> Vec<Name> {
    let mut entities = Vec::new();
    match (fields.get("entity"), fields.get("entities")) {
        (Some(_), Some(many)) => {
            findings.push(many.at, format!("{} has both 'entity' and 'entities': write one of them", fields.what));
        }
        (Some(one), None) => {
            marks.set("entities[0]", one.at);
            entities.extend(parse_name(one, &format!("'entity' of {}", fields.what), findings));
        }
        (None, many) => {
            let items = fields.list("entities", findings);
            if items.is_empty() && many.is_none_or(|node| matches!(node.content, Content::List(_))) {
                let at = many.map_or(fields.at, |node| node.at);
                findings.push(at, format!("{} has no entity: write entity: name", fields.what));
            }
            for (index, item) in items.iter().enumerate() {
                marks.set(format!("entities[{index}]"), item.at);
                let Some(entity) = parse_name(item, "an entity", findings) else { continue };
                if entities.contains(&entity) {
                    findings.push(item.at, format!("entity '{entity}' stands twice in {}", fields.what));
                } else {
                    entities.push(entity);
                }
            }
        }
    }
    entities
}

fn features(fields: &Fields<'_>, marks: &mut Marks, findings: &mut Findings) -> Vec<Feature> {
    let node = fields.get("features");
    let entries = fields.map("features", findings);
    if entries.is_empty() && node.is_none_or(|node| matches!(&node.content, Content::Map(pairs) if pairs.is_empty())) {
        let at = node.map_or(fields.at, |node| node.at);
        findings.push(at, format!("{} has no features: write features: {{name: type}}", fields.what));
    }
    let mut features: Vec<Feature> = Vec::with_capacity(entries.len());
    for entry in entries {
        marks.set(format!("features.{}", entry.key), entry.at);
        if TABLE_COLUMNS.iter().any(|column| column.eq_ignore_ascii_case(entry.key)) {
            let message = format!(
                "a feature cannot be called '{0}', as a column of every table is: use another name, \
                 with column: {0}",
                entry.key
            );
            findings.push(entry.at, message);
        }
        // the log's format takes names that differ only in case for one column
        if let Some(twin) = features.iter().find(|known| known.name.as_str().eq_ignore_ascii_case(entry.key)) {
            let message =
                format!("features '{}' and '{}' differ only in case: tables cannot tell", twin.name, entry.key);
            findings.push(entry.at, message);
        }
        features.extend(feature(entry, findings));
    }
    features
}

/// `name: type`, or `name: {type, column, description, tags}`.
fn feature(entry: Entry<'_>, findings: &mut Findings) -> Option<Feature> {
    let what = format!("feature '{}'", entry.key);
    let name = checked_name(entry.key, entry.at, findings);
    let own_column = entry.key.to_owned();
    if !matches!(entry.value.content, Content::Map(_)) {
        let value_type = parse_scalar(entry.value, &what, findings);
        return Some(Feature { name: name?, value_type: value_type?, column: own_column, notes: Notes::default() });
    }
    let fields = Fields::open(entry.value, &what, &["type", "column", "description", "tags"], findings)?;
    let value_type: Option<ValueType> = fields.get("type").and_then(|node| parse_scalar(node, &what, findings));
    if fields.get("type").is_none() {
        findings.push(fields.at, format!("{what} has no 'type'"));
    }
    let column = fields.column("column", &[], findings).unwrap_or(own_column);
    let notes = fields.notes(findings);
    Some(Feature { name: name?, value_type: value_type?, column, notes })
}
