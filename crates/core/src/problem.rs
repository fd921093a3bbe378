//! What is wrong with a definition, and where its author wrote it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::did_you_mean;

/// A place in a file; lines and columns count from 1. Zero stands for a definition that came from no file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// One thing that is wrong with a definition. Prints as `definitions.yaml:12:3: unknown field 'tll' …`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, as it was named to the parser; empty when the definition came from none.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong, why, and the remedy where there is one.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:", self.file)?;
        }
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        let gap = if self.file.is_empty() && self.line == 0 { "" } else { " " };
        write!(f, "{gap}{}", self.message)
    }
}

impl std::error::Error for Problem {}

/// Where the parts of a definition stand in its file. A part is named by a path: `ttl`, `features.gust`, `features[2]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    file: String,
    whole: Position,
    parts: BTreeMap<String, Position>,
}

impl Marks {
    /// Marks of a definition that begins at `whole` in `file`.
    pub fn new(file: impl Into<String>, whole: Position) -> Self {
        Self { file: file.into(), whole, parts: BTreeMap::new() }
    }

    /// Remembers where the part with this path stands.
    pub fn set(&mut self, path: impl Into<String>, at: Position) {
        self.parts.insert(path.into(), at);
    }

    /// Where the part stands; the definition's beginning when nobody marked it.
    pub fn at(&self, path: &str) -> Position {
        self.parts.get(path).copied().unwrap_or(self.whole)
    }

    /// The file.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// A problem with the part that has this path.
    pub fn problem(&self, path: &str, message: impl Into<String>) -> Problem {
        let at = self.at(path);
        Problem { file: self.file.clone(), line: at.line, column: at.column, message: message.into() }
    }
}

/// A definition together with the places of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// What was written.
    pub definition: T,
    /// Where it was written.
    pub marks: Marks,
}

/// A definition that came from no file: its problems name no place.
impl<T> From<T> for Located<T> {
    fn from(definition: T) -> Self {
        Self { definition, marks: Marks::default() }
    }
}

/// ` (did you mean 'x'?)`, or nothing when no candidate is near.
pub(crate) fn hint<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    did_you_mean(wanted, candidates).map(|near| format!(" (did you mean '{near}'?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_prints_its_place_as_compilers_do() {
        let mut marks = Marks::new("a.yaml", Position { line: 3, column: 1 });
        marks.set("ttl", Position { line: 7, column: 6 });
        assert_eq!(marks.problem("ttl", "is odd").to_string(), "a.yaml:7:6: is odd");
        assert_eq!(marks.problem("entity", "is odd").to_string(), "a.yaml:3:1: is odd");
        assert_eq!(Marks::default().problem("ttl", "is odd").to_string(), "is odd");
    }
}
