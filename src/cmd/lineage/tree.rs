//! A lineage as an indented tree: each root, what it came from, what was made of it.

use std::collections::{HashMap, HashSet};

use hitherto_engine::{Direction, Edge, Lineage, Node, NodeId, NodeKind, Relation};

use super::words;

/// Of one kind, so many stand below a node; the rest is counted.
const BELOW_MAX: usize = 20;

/// The tree's lines, of what was asked for.
pub(super) fn lines(lineage: &Lineage, asked: Direction) -> Vec<String> {
    let mut tree = Tree {
        nodes: lineage.nodes.iter().map(|node| (&node.id, node)).collect(),
        // batches stand below the table that a dataset read, not below the view that reads the same table
        is_pinned: lineage
            .roots
            .iter()
            .any(|root| matches!(root.kind, NodeKind::Dataset | NodeKind::Model | NodeKind::Alias)),
        is_of_rows: lineage.roots.iter().any(|root| matches!(root.kind, NodeKind::Batch | NodeKind::DataFile)),
        users: HashMap::new(),
        used: HashMap::new(),
        below_batches: HashSet::new(),
        shown: HashSet::new(),
        lines: Vec::new(),
    };
    for edge in &lineage.edges {
        tree.users.entry(&edge.from).or_default().push(edge);
        tree.used.entry(&edge.to).or_default().push(edge);
    }
    tree.below_batches = below_batches(&tree.users);
    for root in &lineage.roots {
        tree.line(0, root, None);
        for (side, heading) in [(Side::From, "from"), (Side::Into, "into")] {
            tree.shown.clear();
            if side.is_asked(asked) && !tree.below(root, None, side).is_empty() {
                tree.lines.push(format!("  {heading}"));
                tree.branch(root, None, side, 2);
            }
        }
    }
    tree.lines
}

/// What stands below a root: what it came from, or what was made of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    From,
    Into,
}

impl Side {
    fn is_asked(self, asked: Direction) -> bool {
        let other = if self == Self::From { Direction::Down } else { Direction::Up };
        asked != other
    }
}

struct Tree<'a> {
    nodes: HashMap<&'a NodeId, &'a Node>,
    is_pinned: bool,
    /// Whether a batch or a file is what is asked about.
    is_of_rows: bool,
    /// Edges by what is used.
    users: HashMap<&'a NodeId, Vec<&'a Edge>>,
    /// Edges by what uses it.
    used: HashMap<&'a NodeId, Vec<&'a Edge>>,
    /// Files that stand below a batch already.
    below_batches: HashSet<&'a NodeId>,
    /// What stands above with all that is below it.
    shown: HashSet<(&'a NodeId, Option<&'a NodeId>)>,
    lines: Vec<String>,
}

impl<'a> Tree<'a> {
    fn line(&mut self, depth: usize, id: &'a NodeId, edge: Option<&Edge>) {
        if let Some(node) = self.nodes.get(id) {
            self.lines.push(format!("{}{}", "  ".repeat(depth), words::line(node, edge)));
        }
    }

    /// Everything below `id`, which stands below `parent`.
    fn branch(&mut self, id: &'a NodeId, parent: Option<&'a NodeId>, side: Side, depth: usize) {
        let mut count: HashMap<NodeKind, usize> = HashMap::new();
        for (child, edge) in self.below(id, parent, side) {
            let seen = count.entry(child.kind).or_default();
            *seen += 1;
            if *seen > BELOW_MAX {
                continue;
            }
            self.line(depth, child, Some(edge));
            if self.below(child, Some(id), side).is_empty() {
                continue;
            }
            // of a table that a dataset read only what it read is told, so the same table may stand there otherwise elsewhere
            let context = Some(id).filter(|id| side == Side::From && id.kind == NodeKind::Dataset);
            if self.shown.insert((child, context)) {
                self.branch(child, Some(id), side, depth + 1);
            } else if let Some(line) = self.lines.last_mut() {
                line.push_str(" (as above)");
            }
        }
        for kind in NodeKind::ALL {
            let left = count.get(&kind).copied().unwrap_or_default().saturating_sub(BELOW_MAX);
            if left > 0 {
                let indent = "  ".repeat(depth);
                self.lines.push(format!("{indent}… {left} more of kind {}; --output json has all", kind.title()));
            }
        }
    }

    fn below(&self, id: &'a NodeId, parent: Option<&'a NodeId>, side: Side) -> Vec<(&'a NodeId, &'a Edge)> {
        let users = || self.users.get(id).into_iter().flatten().map(|edge| (&edge.to, *edge));
        if side == Side::Into {
            return users().collect();
        }
        let used = self.used.get(id).into_iter().flatten().map(|edge| (&edge.from, *edge));
        match id.kind {
            // files stand below the batches whose rows they have, unless one of these is what is asked about
            NodeKind::Batch if !self.is_of_rows => {
                users().filter(|(_, edge)| edge.relation == Relation::WrittenAs).collect()
            }
            NodeKind::DataFile if !self.is_of_rows => {
                users().filter(|(_, edge)| edge.relation == Relation::RewrittenAs).collect()
            }
            NodeKind::Dataset => {
                let told = |from: &NodeId| from.kind == NodeKind::Batch || self.below_batches.contains(from);
                used.filter(|(from, _)| !told(from)).collect()
            }
            NodeKind::Table => {
                used.filter(|(from, _)| self.is_of(from, parent) && !self.below_batches.contains(from)).collect()
            }
            _ => used.collect(),
        }
    }

    /// Whether what a table has is told where the table stands below `parent`: of a dataset's only what that has read.
    fn is_of(&self, id: &NodeId, parent: Option<&NodeId>) -> bool {
        match parent {
            Some(parent) if parent.kind == NodeKind::Dataset => {
                let mut uses = self.users.get(id).into_iter().flatten();
                uses.any(|edge| edge.relation == Relation::ReadFor && edge.to == *parent)
            }
            _ => !self.is_pinned,
        }
    }
}

/// The files that batches were written as, and what these were rewritten as.
fn below_batches<'a>(users: &HashMap<&'a NodeId, Vec<&'a Edge>>) -> HashSet<&'a NodeId> {
    let mut next: Vec<&'a NodeId> = users.keys().copied().filter(|id| id.kind == NodeKind::Batch).collect();
    let mut found = HashSet::new();
    while let Some(id) = next.pop() {
        for edge in users.get(id).into_iter().flatten() {
            if edge.to.kind == NodeKind::DataFile && found.insert(&edge.to) {
                next.push(&edge.to);
            }
        }
    }
    found
}
