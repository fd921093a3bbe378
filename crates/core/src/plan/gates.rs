//! Gates in a plan.

use super::change::notes_difference;
use super::{Action, Change, Draft};
use crate::{Gate, GateVersion, Marks, Record};

impl Draft {
    /// Plans one gate. An alias has one gate, and a gate stays with its alias: moved to another, it would leave the first
    /// unguarded without a word.
    pub(super) fn gate(&mut self, wanted: &Gate, marks: &Marks) {
        let latest = self.after.gates.get(&wanted.name).and_then(|versions| versions.last()).cloned();
        let of = |gate: &Gate| format!("{}@{}", gate.model, gate.alias);
        if let Some(other) = self.after.gate(&wanted.model, &wanted.alias)
            && other.definition.name != wanted.name
        {
            let message = format!("{} has the gate '{}' already: change that one", of(wanted), other.definition.name);
            return self.problems.push(marks.problem("alias", message));
        }
        if let Some(latest) = &latest
            && of(&latest.definition) != of(wanted)
        {
            let message = format!(
                "gate '{}' guards {}: give the gate of {} another name",
                wanted.name,
                of(&latest.definition),
                of(wanted)
            );
            return self.problems.push(marks.problem("alias", message));
        }
        let previous = latest.as_ref().map(|latest| latest.version);
        let (action, version, details) = match &latest {
            None => (Action::Create, 1, contents(wanted)),
            Some(latest) if bare(&latest.definition) == bare(wanted) => {
                let notes = notes_difference([(&latest.definition.notes, &wanted.notes)]);
                let action = if notes.is_empty() { Action::Unchanged } else { Action::Notes };
                (action, latest.version, notes)
            }
            Some(latest) => {
                let details = difference(&contents(&latest.definition), &contents(wanted));
                (Action::NewVersion, latest.version + 1, details)
            }
        };
        if action != Action::Unchanged {
            self.write(Record::Gate(GateVersion { version, definition: wanted.clone() }));
        }
        let name = wanted.name.clone();
        self.changes.push(Change { action, kind: "gate", name, version, previous, new_table: None, details });
    }
}

fn bare(gate: &Gate) -> Gate {
    Gate { notes: crate::Notes::default(), ..gate.clone() }
}

/// What it guards and what it asks.
fn contents(gate: &Gate) -> Vec<String> {
    let mut contents = vec![format!("{}@{}", gate.model, gate.alias)];
    contents.extend(gate.conditions());
    contents
}

fn difference(old: &[String], new: &[String]) -> Vec<String> {
    let mut details: Vec<String> =
        new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}")).collect();
    details.extend(old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}")));
    if details.is_empty() {
        details.push("order".to_owned());
    }
    details
}
