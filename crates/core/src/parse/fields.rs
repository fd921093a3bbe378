//! The fields of one map, read with a note of everything that is wrong with them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use super::node::{Content, Node};
use crate::problem::hint;
use crate::{Name, Notes, Position, Problem, RESERVED_COLUMNS};

/// The problems of one file, as they are found.
pub(super) struct Findings {
    file: String,
    found: Vec<(Position, String)>,
}

impl Findings {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), found: Vec::new() }
    }

    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    pub(super) fn push(&mut self, at: Position, message: impl Into<String>) {
        self.found.push((at, message.into()));
    }

    /// In the order of the file.
    pub(super) fn into_problems(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|(at, _)| *at);
        let file = self.file;
        self.found
            .into_iter()
            .map(|(Position { line, column }, message)| Problem { file: file.clone(), line, column, message })
            .collect()
    }
}

/// An entry of a map: its key's text and place, and its value.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    pub(super) at: Position,
    pub(super) value: &'a Node,
}

/// The entries of a map, each key once; keys that are no text, and keys that come again, are problems.
pub(super) fn entries<'a>(node: &'a Node, what: &str, findings: &mut Findings) -> Option<Vec<Entry<'a>>> {
    let Content::Map(pairs) = &node.content else {
        findings.push(node.at, format!("{what} must be a map, not {}", node.describe()));
        return None;
    };
    let mut kept: Vec<Entry<'a>> = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let Some(text) = key.text() else {
            findings.push(key.at, format!("a key of {what} must be a text, not {}", key.describe()));
            continue;
        };
        if let Some(first) = kept.iter().find(|entry| entry.key == text) {
            findings.push(key.at, format!("'{text}' stands twice in {what}: first in line {}", first.at.line));
            continue;
        }
        kept.push(Entry { key: text, at: key.at, value });
    }
    Some(kept)
}

/// A map with fields that are known by name.
pub(super) struct Fields<'a> {
    pub(super) what: String,
    pub(super) at: Position,
    entries: Vec<Entry<'a>>,
}

impl<'a> Fields<'a> {
    /// The fields of `node`; a field that is not in `known` is a problem.
    pub(super) fn open(node: &'a Node, what: &str, known: &[&str], findings: &mut Findings) -> Option<Self> {
        let entries = entries(node, what, findings)?;
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key)) {
            let near = hint(entry.key, known.iter().copied());
            findings.push(entry.at, format!("unknown field '{}' in {what}{near}", entry.key));
        }
        Some(Self { what: what.to_owned(), at: node.at, entries })
    }

    /// The field's value; `null` is the same as no field.
    pub(super) fn get(&self, name: &str) -> Option<&'a Node> {
        let entry = self.entries.iter().find(|entry| entry.key == name)?;
        (!matches!(entry.value.content, Content::Null)).then_some(entry.value)
    }

    /// The field's text, when it has one.
    pub(super) fn text(&self, name: &str, findings: &mut Findings) -> Option<&'a str> {
        let node = self.get(name)?;
        scalar(node, &format!("'{name}' of {}", self.what), findings)
    }

    /// The field parsed, when it is there and right.
    pub(super) fn parsed<T>(&self, name: &str, findings: &mut Findings) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        let text = self.text(name, findings)?;
        text.parse()
            .map_err(|e| findings.push(self.get(name).map_or(self.at, |node| node.at), format!("{name}: {e}")))
            .ok()
    }

    /// The field as a name; its absence is a problem.
    pub(super) fn required_name(&self, name: &str, findings: &mut Findings) -> Option<Name> {
        if let Some(node) = self.get(name) {
            return parse_name(node, &format!("'{name}' of {}", self.what), findings);
        }
        findings.push(self.at, format!("{} has no '{name}'", self.what));
        None
    }

    /// The field as a column of a source; the system's own columns are refused, except those in `allowed`.
    pub(super) fn column(&self, name: &str, allowed: &[&str], findings: &mut Findings) -> Option<String> {
        let text = self.text(name, findings)?;
        let at = self.get(name).map_or(self.at, |node| node.at);
        checked_column(text, at, allowed, findings)
    }

    /// The entries of a field that is a map; none when it is absent.
    pub(super) fn map(&self, name: &str, findings: &mut Findings) -> Vec<Entry<'a>> {
        let what = format!("'{name}' of {}", self.what);
        self.get(name).and_then(|node| entries(node, &what, findings)).unwrap_or_default()
    }

    /// The items of a field that is a list; none when it is absent.
    pub(super) fn list(&self, name: &str, findings: &mut Findings) -> &'a [Node] {
        match self.get(name).map(|node| (node, &node.content)) {
            None => &[],
            Some((_, Content::List(items))) => items,
            Some((node, _)) => {
                findings.push(node.at, format!("'{name}' of {} must be a list, not {}", self.what, node.describe()));
                &[]
            }
        }
    }

    /// `description` and `tags`.
    pub(super) fn notes(&self, findings: &mut Findings) -> Notes {
        let description = self.text("description", findings).map(str::to_owned);
        let mut tags = BTreeMap::new();
        for entry in self.map("tags", findings) {
            if let Some(text) = scalar(entry.value, &format!("tag '{}'", entry.key), findings) {
                tags.insert(entry.key.to_owned(), text.to_owned());
            }
        }
        Notes { description, tags }
    }
}

/// The text of a scalar; anything else is a problem.
pub(super) fn scalar<'a>(node: &'a Node, what: &str, findings: &mut Findings) -> Option<&'a str> {
    let text = node.text();
    if text.is_none() {
        findings.push(node.at, format!("{what} must be a text, not {}", node.describe()));
    }
    text
}

/// A scalar parsed; `what` says in front of a problem whose it is.
pub(super) fn parse_scalar<T>(node: &Node, what: &str, findings: &mut Findings) -> Option<T>
where
    T: FromStr<Err: Display>,
{
    scalar(node, what, findings)?.parse().map_err(|e| findings.push(node.at, format!("{what}: {e}"))).ok()
}

/// A scalar as a name.
pub(super) fn parse_name(node: &Node, what: &str, findings: &mut Findings) -> Option<Name> {
    checked_name(scalar(node, what, findings)?, node.at, findings)
}

/// A text as a name.
pub(super) fn checked_name(text: &str, at: Position, findings: &mut Findings) -> Option<Name> {
    text.parse().map_err(|e| findings.push(at, format!("{e}"))).ok()
}

/// A text as a column of a source: not empty, and none of the system's own.
pub(super) fn checked_column(text: &str, at: Position, allowed: &[&str], findings: &mut Findings) -> Option<String> {
    if text.is_empty() {
        findings.push(at, "a column's name is empty");
        return None;
    }
    if RESERVED_COLUMNS.contains(&text) && !allowed.contains(&text) {
        findings
            .push(at, format!("the column '{text}' is the system's own: a source's column cannot be read under it"));
        return None;
    }
    Some(text.to_owned())
}
