//! YAML as a small tree that keeps what the checks need: places, duplicate keys, and scalars as they were written.
//!
//! Built on the parser's events and not on a loaded tree, because a loader stops at the first duplicate key and forgets
//! how a scalar was written (`1.10` is a tag's text, not a number).

use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle};

use crate::Position;

/// Deeper nesting than any definition has; it bounds the recursion over the tree.
const DEPTH_MAX: usize = 64;
/// Nodes that aliases may add to one file, so that a few lines cannot grow into gigabytes.
const ALIASED_NODES_MAX: usize = 10_000;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    Null,
    Scalar(String),
    List(Vec<Node>),
    /// In the order of the file, duplicates included.
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// A scalar's text as it was written.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// What it is, for messages.
    pub(super) fn describe(&self) -> &'static str {
        match self.content {
            Content::Null => "nothing",
            Content::Scalar(_) => "a text",
            Content::List(_) => "a list",
            Content::Map(_) => "a map",
        }
    }

    fn count(&self) -> usize {
        1 + match &self.content {
            Content::Null | Content::Scalar(_) => 0,
            Content::List(items) => items.iter().map(Node::count).sum(),
            Content::Map(entries) => entries.iter().map(|(key, value)| key.count() + value.count()).sum(),
        }
    }
}

/// The value of the first field with this name, when `node` is a map that has it.
pub(super) fn field<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    match &node.content {
        Content::Map(entries) => entries.iter().find(|(key, _)| key.text() == Some(name)).map(|(_, value)| value),
        _ => None,
    }
}

/// The documents of a text up to its end, or up to the first place where it is no YAML.
pub(super) fn read_documents(text: &str) -> (Vec<Node>, Option<(Position, String)>) {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let taken = match event {
            Ok((event, span)) => builder.take(event, position(span.start)),
            Err(error) => Err((position(*error.marker()), format!("could not read the YAML: {}", error.info()))),
        };
        if let Err(broken) = taken {
            return (builder.documents, Some(broken));
        }
    }
    (builder.documents, None)
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    aliased: usize,
}

/// A list or map whose end has not come yet; of a map, keys and values in turn.
struct Open {
    at: Position,
    anchor: usize,
    items: Vec<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), (Position, String)> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
            Event::Scalar(text, style, anchor, tag) => {
                let null = style == ScalarStyle::Plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let content =
                    if null && tag.is_none() { Content::Null } else { Content::Scalar(text.trim().to_owned()) };
                self.add(Node { at, content }, anchor);
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err((at, "could not read the YAML: an alias stands inside of its own anchor".to_owned()));
                };
                self.aliased += node.count();
                if self.aliased > ALIASED_NODES_MAX {
                    return Err((
                        at,
                        format!("could not read the YAML: aliases add more than {ALIASED_NODES_MAX} nodes"),
                    ));
                }
                let node = Node { at, ..node.clone() };
                self.add(node, 0);
            }
            Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) => {
                if self.open.len() == DEPTH_MAX {
                    return Err((at, format!("could not read the YAML: it nests deeper than {DEPTH_MAX} levels")));
                }
                self.open.push(Open { at, anchor, items: Vec::new() });
            }
            Event::SequenceEnd => self.close(Content::List),
            Event::MappingEnd => self.close(|items| {
                let mut items = items.into_iter();
                Content::Map(std::iter::from_fn(|| items.next().zip(items.next())).collect())
            }),
        }
        Ok(())
    }

    fn close(&mut self, content: impl FnOnce(Vec<Node>) -> Content) {
        if let Some(Open { at, anchor, items }) = self.open.pop() {
            self.add(Node { at, content: content(items) }, anchor);
        }
    }

    fn add(&mut self, node: Node, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.documents.push(node),
        }
    }
}

fn position(mark: Marker) -> Position {
    Position { line: mark.line(), column: mark.col() + 1 }
}
