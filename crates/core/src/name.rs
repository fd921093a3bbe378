//! Names: letters, digits and `_`, a letter first, no `__`; and how a version or an alias is written after one.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Columns that belong to the system; no key or feature may have these names.
pub const RESERVED_COLUMNS: [&str; 3] = ["_sequence", "_deleted", "_ingested_at"];

/// The name of an entity, a view, a feature, a set, a model or an alias.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let problem = if text.is_empty() {
            "is empty"
        } else if text.len() > 128 {
            "is longer than 128 bytes"
        } else if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            "must begin with a letter"
        } else if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            "may have letters, digits and '_' only"
        } else if text.contains("__") {
            "must not have '__', which separates a view from its feature"
        } else {
            return Ok(Self(text.to_owned()));
        };
        Err(NameError { name: text.to_owned(), problem })
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A text that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the name '{name}' {problem}")]
pub struct NameError {
    name: String,
    problem: &'static str,
}

/// One immutable version of a named thing: `name@3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VersionedName {
    /// The name.
    pub name: Name,
    /// The version, from 1.
    pub version: u32,
}

impl fmt::Display for VersionedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// What a user asks for: `name` (the latest), `name@3` (a version), `name@champion` (an alias; never all digits).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// The latest version.
    Latest(Name),
    /// This version.
    Version(VersionedName),
    /// What the alias points at now.
    Alias(Name, Name),
}

impl Selector {
    /// The name before the `@`.
    pub fn name(&self) -> &Name {
        match self {
            Self::Latest(name) | Self::Alias(name, _) => name,
            Self::Version(versioned) => &versioned.name,
        }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let Some((name, after)) = text.split_once('@') else {
            return Ok(Self::Latest(text.parse()?));
        };
        let name: Name = name.parse()?;
        if !after.is_empty() && after.bytes().all(|b| b.is_ascii_digit()) {
            return match after.parse() {
                Ok(version) if version > 0 => Ok(Self::Version(VersionedName { name, version })),
                _ => Err(SelectorError::Version(text.to_owned())),
            };
        }
        Ok(Self::Alias(name, after.parse()?))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest(name) => write!(f, "{name}"),
            Self::Version(versioned) => write!(f, "{versioned}"),
            Self::Alias(name, alias) => write!(f, "{name}@{alias}"),
        }
    }
}

/// A text that selects nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// The part before or after the `@` is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The version is zero or too large.
    #[error("'{0}' has no valid version after '@': versions count from 1")]
    Version(String),
}

/// The candidate nearest to `wanted`, when one is near enough that a typing error explains it.
pub fn did_you_mean<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(wanted, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= (wanted.len().max(candidate.len()) / 3).max(1))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        for good in ["a", "aircraft_last_leg", "x9", "a_"] {
            assert_eq!(good.parse::<Name>().map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", "9a", "_a", "a__b", "a-b", "a b", "ä", "a:b", "a@1"] {
            assert!(bad.parse::<Name>().is_err(), "{bad} must be refused");
        }
    }

    #[test]
    fn selectors_tell_versions_from_aliases() {
        let name: Name = "delay".parse().expect("a name");
        assert_eq!("delay".parse(), Ok(Selector::Latest(name.clone())));
        assert_eq!("delay@3".parse(), Ok(Selector::Version(VersionedName { name: name.clone(), version: 3 })));
        assert_eq!("delay@champion".parse(), Ok(Selector::Alias(name, "champion".parse().expect("a name"))));
        for bad in ["delay@0", "delay@", "delay@4294967296", "delay@3a", "@3"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad} must be refused");
        }
    }

    #[test]
    fn near_misses_are_suggested_and_far_ones_are_not() {
        let known = ["aircraft_last_leg", "weather", "origin_hour"];
        assert_eq!(did_you_mean("wether", known), Some("weather"));
        assert_eq!(did_you_mean("aircraft_lst_leg", known), Some("aircraft_last_leg"));
        assert_eq!(did_you_mean("passengers", known), None);
    }
}
