//! The difference between what is wanted and what has been applied: what will change, and the records that say so.

mod change;
mod entities;
mod gates;
mod resolve;
mod set_difference;
mod sets;
mod view_difference;
mod views;

use std::collections::{BTreeMap, BTreeSet};

pub use self::change::{Action, Change};
pub use self::resolve::resolve_set;
use crate::{Catalog, Definition, Located, Name, Problem, Record};

/// Whether a plan may start a new table, whose history must then be ingested again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewTables {
    /// A change that needs a new table is a problem.
    #[default]
    Refuse,
    /// Such a change is planned, and says what it costs.
    Allow,
}

/// What an apply would do. Nothing is done yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The revision of the registry that the plan was made for; it holds for no other.
    pub base_revision: i64,
    /// One per wanted definition: entities, then feature views, then feature sets, then gates, each in the order of the files.
    pub changes: Vec<Change>,
    /// What the registry must write, in order; empty when nothing changes.
    pub records: Vec<Record>,
}

impl Plan {
    /// The catalog as it is after this plan is applied to the one it was made for.
    pub fn catalog_after(&self, before: &Catalog) -> Catalog {
        before.with(&self.records)
    }
}

/// Plans `wanted` on top of `catalog`; answers the plan, or every problem.
///
/// What is applied is never changed: a difference that decides values makes the next version, a difference in notes
/// alone replaces the notes. What is applied but not wanted stays as it is.
pub fn plan(catalog: &Catalog, wanted: &[Located<Definition>], new_tables: NewTables) -> Result<Plan, Vec<Problem>> {
    let mut draft = Draft {
        new_tables,
        after: catalog.clone(),
        broken_views: BTreeSet::new(),
        changes: Vec::new(),
        records: Vec::new(),
        problems: duplicates(wanted),
    };
    for Located { definition, .. } in wanted {
        if let Definition::Entity(entity) = definition {
            draft.entity(entity);
        }
    }
    for Located { definition, marks } in wanted {
        if let Definition::FeatureView(view) = definition {
            draft.view(view, marks);
        }
    }
    for Located { definition, marks } in wanted {
        if let Definition::FeatureSet(set) = definition {
            draft.set(set, marks);
        }
    }
    for Located { definition, marks } in wanted {
        if let Definition::Gate(gate) = definition {
            draft.gate(gate, marks);
        }
    }
    if draft.problems.is_empty() {
        Ok(Plan { base_revision: catalog.revision, changes: draft.changes, records: draft.records })
    } else {
        Err(in_order_of_files(draft.problems, wanted))
    }
}

/// A plan in the making.
struct Draft {
    new_tables: NewTables,
    /// The catalog with everything that is planned so far.
    after: Catalog,
    /// Views that could not be planned; a set that uses one is not looked at, so as not to report the problem twice.
    broken_views: BTreeSet<Name>,
    changes: Vec<Change>,
    records: Vec<Record>,
    problems: Vec<Problem>,
}

impl Draft {
    fn write(&mut self, record: Record) {
        self.after.put(record.clone());
        self.records.push(record);
    }
}

fn duplicates(wanted: &[Located<Definition>]) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for Located { definition, marks } in wanted {
        if !seen.insert((definition.kind(), definition.name())) {
            let message = format!("{} '{}' is defined twice", definition.kind(), definition.name());
            problems.push(marks.problem("name", message));
        }
    }
    problems
}

fn in_order_of_files(mut problems: Vec<Problem>, wanted: &[Located<Definition>]) -> Vec<Problem> {
    let mut order = BTreeMap::new();
    for (index, located) in wanted.iter().enumerate() {
        order.entry(located.marks.file()).or_insert(index);
    }
    problems.sort_by_key(|problem| (order.get(problem.file.as_str()).copied(), problem.line, problem.column));
    problems
}

#[cfg(test)]
mod tests;
