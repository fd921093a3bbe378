//! Places in a transaction that have names. Nothing is undone: what they are for is to go on after a refusal.

use super::failure::{Stop, state};

/// More than these no transaction needs.
const HELD_MAX: usize = 1_000;

/// Those of one transaction, the latest last.
#[derive(Debug, Default)]
pub(super) struct Savepoints(Vec<String>);

impl Savepoints {
    /// Names this place. A name that is there already names both, and is found at the later one.
    pub(super) fn set(&mut self, name: &str) -> Result<(), Stop> {
        if self.0.len() >= HELD_MAX {
            let message = format!("the transaction has {HELD_MAX} savepoints, which is the most: release some");
            return Err(Stop::refused(state::PROGRAM_LIMIT, message));
        }
        self.0.push(name.to_owned());
        Ok(())
    }

    /// Forgets the place, and those after it.
    pub(super) fn release(&mut self, name: &str) -> Result<(), Stop> {
        let place = self.place(name)?;
        self.0.truncate(place);
        Ok(())
    }

    /// Forgets those after the place.
    pub(super) fn back_to(&mut self, name: &str) -> Result<(), Stop> {
        let place = self.place(name)?;
        self.0.truncate(place + 1);
        Ok(())
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn place(&self, name: &str) -> Result<usize, Stop> {
        let found = self.0.iter().rposition(|known| known == name);
        found.ok_or_else(|| {
            let message = format!("there is no savepoint '{name}' in this transaction: it was released, or never set");
            Stop::refused(state::NO_SAVEPOINT, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_after_a_place_is_forgotten_with_it() {
        let mut all = Savepoints::default();
        for name in ["a", "b", "a", "c"] {
            all.set(name).expect("there is room");
        }
        all.back_to("a").expect("the later one");
        assert_eq!(all.0, ["a", "b", "a"]);
        assert!(matches!(all.release("c"), Err(Stop::Refused(told)) if told.state == "3B001"));
        all.release("b").expect("it is there");
        assert_eq!(all.0, ["a"]);
        all.back_to("a").expect("it is still there");
        all.clear();
        assert!(all.back_to("a").is_err());
    }
}
