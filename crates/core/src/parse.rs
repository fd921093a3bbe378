//! From YAML texts to definitions, with every problem of every file at once.

mod entity;
mod fields;
mod gate;
mod node;
mod set;
mod view;

use std::collections::BTreeMap;

use self::fields::{Fields, Findings};
use self::node::{Content, Node};
use crate::problem::hint;
use crate::{Definition, Located, Marks, Name, Position, Problem};

const KINDS: [&str; 4] = ["entity", "feature_view", "feature_set", "gate"];

/// Names that a key or a feature may not have: columns of a table or of its SQL view have them.
pub(crate) const TABLE_COLUMNS: [&str; 3] = ["event_timestamp", "created_timestamp", "available_at"];

/// Reads every definition of `files`, each a path (for messages) and its text: YAML, many documents to a file.
///
/// Answers either all definitions, in the order of the files, or every problem of all files.
pub fn parse_definitions(files: &[(String, String)]) -> Result<Vec<Located<Definition>>, Vec<Problem>> {
    let mut definitions = Vec::new();
    let mut problems = Vec::new();
    let mut seen = BTreeMap::new();
    for (file, text) in files {
        let mut findings = Findings::new(file);
        let (documents, broken) = node::read_documents(text);
        for document in &documents {
            definitions.extend(parse_document(document, &mut seen, &mut findings));
        }
        if let Some((at, message)) = broken {
            findings.push(at, message);
        }
        problems.extend(findings.into_problems());
    }
    if problems.is_empty() { Ok(definitions) } else { Err(problems) }
}

/// Where each kind and name was defined first.
type Seen = BTreeMap<(&'static str, Name), (String, Position)>;

fn parse_document(document: &Node, seen: &mut Seen, findings: &mut Findings) -> Option<Located<Definition>> {
    if matches!(document.content, Content::Null) {
        return None;
    }
    let before = findings.len();
    let kind = kind_of(document, findings)?;
    let known: &[&str] = match kind {
        "entity" => &entity::FIELDS,
        "feature_view" => &view::FIELDS,
        "gate" => &gate::FIELDS,
        _ => &set::FIELDS,
    };
    let what = node::field(document, "name")
        .and_then(Node::text)
        .map_or_else(|| kind.to_owned(), |name| format!("{kind} '{name}'"));
    let fields = Fields::open(document, &what, known, findings)?;
    let mut marks = Marks::new(findings.file(), document.at);
    let name = fields.required_name("name", findings);
    if let (Some(name), Some(node)) = (&name, fields.get("name")) {
        marks.set("name", node.at);
        note_duplicate(kind, name, node.at, seen, findings);
    }
    let definition = match kind {
        "entity" => entity::parse(name, &fields, &mut marks, findings).map(Definition::Entity),
        "feature_view" => view::parse(name, &fields, &mut marks, findings).map(Definition::FeatureView),
        "gate" => gate::parse(name, &fields, &mut marks, findings).map(Definition::Gate),
        _ => set::parse(name, &fields, &mut marks, findings).map(Definition::FeatureSet),
    };
    definition.filter(|_| findings.len() == before).map(|definition| Located { definition, marks })
}

fn kind_of(document: &Node, findings: &mut Findings) -> Option<&'static str> {
    let Content::Map(_) = document.content else {
        findings.push(document.at, "a definition is a map of fields, the first of them 'kind'");
        return None;
    };
    let kinds = "entity, feature_view, feature_set or gate";
    let Some(node) = node::field(document, "kind") else {
        findings.push(document.at, format!("this definition has no 'kind': write {kinds}"));
        return None;
    };
    let Some(text) = node.text() else {
        findings.push(node.at, format!("'kind' must be {kinds}"));
        return None;
    };
    let found = KINDS.into_iter().find(|kind| *kind == text);
    if found.is_none() {
        findings.push(node.at, format!("unknown kind '{text}'{}: write {kinds}", hint(text, KINDS)));
    }
    found
}

fn note_duplicate(kind: &'static str, name: &Name, at: Position, seen: &mut Seen, findings: &mut Findings) {
    let here = (findings.file().to_owned(), at);
    let first = seen.entry((kind, name.clone())).or_insert_with(|| here.clone());
    if *first != here {
        let (file, Position { line, column }) = first;
        findings.push(at, format!("{kind} '{name}' is defined already at {file}:{line}:{column}"));
    }
}

#[cfg(test)]
mod tests;
