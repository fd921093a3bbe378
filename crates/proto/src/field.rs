//! Reading single fields, with errors that name them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::str::FromStr;

use hitherto_core::{Name, Span, VersionedName};

use crate::{Error, v1};

/// A text that must parse.
pub(crate) fn parse<T>(field: &'static str, text: &str) -> Result<T, Error>
where
    T: FromStr<Err: Display>,
{
    if text.is_empty() {
        return Err(Error::Absent { field });
    }
    text.parse().map_err(|reason: T::Err| Error::Invalid { field, reason: reason.to_string() })
}

/// A text that must parse where it is set.
pub(crate) fn parse_optional<T>(field: &'static str, text: Option<&str>) -> Result<Option<T>, Error>
where
    T: FromStr<Err: Display>,
{
    text.map(|text| parse(field, text)).transpose()
}

/// A text that must not be empty.
pub(crate) fn text(field: &'static str, text: String) -> Result<String, Error> {
    if text.is_empty() { Err(Error::Absent { field }) } else { Ok(text) }
}

/// A message that must be set.
pub(crate) fn required<T>(field: &'static str, value: Option<T>) -> Result<T, Error> {
    value.ok_or(Error::Absent { field })
}

/// An enum's number that must be known.
pub(crate) fn known<E: TryFrom<i32>>(field: &'static str, number: i32) -> Result<E, Error> {
    E::try_from(number).map_err(|_| Error::Invalid { field, reason: format!("{number} is not known to this version") })
}

/// A length of time that must not be negative.
pub(crate) fn span(field: &'static str, micros: i64) -> Result<Span, Error> {
    Span::from_micros(micros).map_err(|reason| Error::Invalid { field, reason: reason.to_string() })
}

/// A version, counted from 1.
pub(crate) fn version(field: &'static str, version: u32) -> Result<u32, Error> {
    if version == 0 { Err(Error::Absent { field }) } else { Ok(version) }
}

/// A name and a version.
pub(crate) fn versioned_name(field: &'static str, sent: Option<v1::VersionedName>) -> Result<VersionedName, Error> {
    let sent = required(field, sent)?;
    Ok(VersionedName { name: parse(field, &sent.name)?, version: version(field, sent.version)? })
}

/// A map whose keys are names and whose values parse.
pub(crate) fn parse_map<T>(field: &'static str, sent: HashMap<String, String>) -> Result<BTreeMap<Name, T>, Error>
where
    T: FromStr<Err: Display>,
{
    sent.into_iter().map(|(name, value)| Ok((parse(field, &name)?, parse(field, &value)?))).collect()
}

/// A map as it travels.
pub(crate) fn print_map<T: Display>(map: BTreeMap<Name, T>) -> HashMap<String, String> {
    map.into_iter().map(|(name, value)| (name.into(), value.to_string())).collect()
}

impl From<VersionedName> for v1::VersionedName {
    fn from(versioned: VersionedName) -> Self {
        Self { name: versioned.name.into(), version: versioned.version }
    }
}
