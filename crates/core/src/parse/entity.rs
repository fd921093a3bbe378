//! `kind: entity`.

use std::collections::BTreeMap;

use super::TABLE_COLUMNS;
use super::fields::{Fields, Findings, checked_name, parse_scalar};
use crate::{Entity, Marks, Name};

pub(super) const FIELDS: [&str; 5] = ["kind", "name", "join_keys", "description", "tags"];

pub(super) fn parse(
    name: Option<Name>,
    fields: &Fields<'_>,
    marks: &mut Marks,
    findings: &mut Findings,
) -> Option<Entity> {
    let mut join_keys = BTreeMap::new();
    let entries = fields.map("join_keys", findings);
    if entries.is_empty() {
        let at = fields.get("join_keys").map_or(fields.at, |node| node.at);
        findings.push(at, format!("{} has no join keys: write join_keys: {{id: int64}}", fields.what));
    }
    for entry in entries {
        marks.set(format!("join_keys.{}", entry.key), entry.at);
        let key_type = parse_scalar(entry.value, &format!("join key '{}'", entry.key), findings);
        if TABLE_COLUMNS.iter().any(|column| column.eq_ignore_ascii_case(entry.key)) {
            let message = format!(
                "a join key cannot be called '{0}', as a column of every table is: use another name, and in the \
                 feature view join_keys: {{name: {0}}}",
                entry.key
            );
            findings.push(entry.at, message);
        }
        if let (Some(key), Some(key_type)) = (checked_name(entry.key, entry.at, findings), key_type) {
            join_keys.insert(key, key_type);
        }
    }
    Some(Entity { name: name?, join_keys, notes: fields.notes(findings) })
}
