//! Rows of the registry's tables as records, and back. Knows no database.

use hitherto_core::{
    Alias, ApiToken, Catalog, Dataset, Evaluation, ModelVersion, Name, Record, ScramVerifier, StoredVerdict, Table,
    Timestamp, TokenError,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, Result};

pub(crate) const ENTITY: &str = "entity";
pub(crate) const FEATURE_VIEW: &str = "feature_view";
pub(crate) const FEATURE_SET: &str = "feature_set";
pub(crate) const GATE: &str = "gate";

/// A row of `definitions`: kind, name, version, body.
pub(crate) type DefinitionRow = (String, String, i64, String);

/// The key under which a record is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key<'a> {
    /// In `definitions`.
    Definition { kind: &'static str, name: &'a Name, version: u32, hash: Option<&'a str> },
    /// In `tables`.
    Table { id: &'a str },
}

impl<'a> Key<'a> {
    pub(crate) fn of(record: &'a Record) -> Self {
        match record {
            Record::Entity(entity) => Self::definition(ENTITY, &entity.definition.name, entity.version),
            Record::View(view) => Self::definition(FEATURE_VIEW, &view.definition.name, view.version),
            Record::Set(set) => Self::Definition {
                kind: FEATURE_SET,
                name: &set.definition.name,
                version: set.version,
                hash: Some(&set.hash),
            },
            Record::Gate(gate) => Self::definition(GATE, &gate.definition.name, gate.version),
            Record::Table(table) => Self::Table { id: &table.id },
        }
    }

    fn definition(kind: &'static str, name: &'a Name, version: u32) -> Self {
        Self::Definition { kind, name, version, hash: None }
    }

    /// For messages: `feature_view weather@2`, `table weather-1`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Definition { kind, name, version, .. } => format!("{kind} {name}@{version}"),
            Self::Table { id } => format!("table {id}"),
        }
    }
}

/// A record's body as it is stored.
pub(crate) fn encode_record(record: &Record) -> Result<String> {
    let what = || Key::of(record).describe();
    match record {
        Record::Entity(entity) => encode(entity, what),
        Record::View(view) => encode(view, what),
        Record::Set(set) => encode(set, what),
        Record::Gate(gate) => encode(gate, what),
        Record::Table(table) => encode(table, what),
    }
}

pub(crate) fn encode<T: Serialize>(value: &T, what: impl FnOnce() -> String) -> Result<String> {
    serde_json::to_string(value).map_err(|source| Error::Encode { what: what(), source })
}

/// A row of `definitions` as a record, whose body must agree with the row's key.
pub(crate) fn decode_definition(kind: &str, name: &str, version: i64, body: &str) -> Result<Record> {
    let row = || format!("{kind} {name}@{version}");
    let record = match kind {
        ENTITY => Record::Entity(decode("definitions", row, body)?),
        FEATURE_VIEW => Record::View(decode("definitions", row, body)?),
        FEATURE_SET => Record::Set(decode("definitions", row, body)?),
        GATE => Record::Gate(decode("definitions", row, body)?),
        _ => return Err(corrupt("definitions", row(), "its kind is unknown")),
    };
    let found = Key::of(&record).describe();
    if found == row() { Ok(record) } else { Err(corrupt("definitions", row(), format!("its body is of {found}"))) }
}

/// A row of `tables`, whose body must agree with the row's key.
pub(crate) fn decode_table(id: &str, body: &str) -> Result<Table> {
    let table: Table = decode("tables", || id.to_owned(), body)?;
    if table.id == id {
        Ok(table)
    } else {
        Err(corrupt("tables", id.to_owned(), format!("its body is of {}", table.id)))
    }
}

/// A row of `model_versions`, whose body must agree with the row's key.
pub(crate) fn decode_model(name: &str, version: i64, body: &str) -> Result<ModelVersion> {
    let row = || format!("{name}@{version}");
    let model: ModelVersion = decode("model_versions", row, body)?;
    if model.name.as_str() == name && i64::from(model.version) == version {
        return Ok(model);
    }
    Err(corrupt("model_versions", row(), format!("its body is of {}@{}", model.name, model.version)))
}

/// A row of `datasets`, whose body must agree with the row's key.
pub(crate) fn decode_dataset(id: &str, body: &str) -> Result<Dataset> {
    let dataset: Dataset = decode("datasets", || id.to_owned(), body)?;
    if dataset.id == id {
        return Ok(dataset);
    }
    Err(corrupt("datasets", id.to_owned(), format!("its body is of {}", dataset.id)))
}

/// A row of `evaluations`, whose body must agree with the row's key.
pub(crate) fn decode_evaluation(revision: i64, model: &Name, version: u32, body: &str) -> Result<Evaluation> {
    let evaluation: Evaluation = decode("evaluations", || revision.to_string(), body)?;
    if evaluation.model == *model && evaluation.version == version {
        return Ok(evaluation);
    }
    let reason = format!("its body is of {}@{}", evaluation.model, evaluation.version);
    Err(corrupt("evaluations", revision.to_string(), reason))
}

/// A row of `verdicts`, whose body must agree with the row's key.
pub(crate) fn decode_verdict(revision: i64, dataset: &str, body: &str) -> Result<StoredVerdict> {
    let verdict: StoredVerdict = decode("verdicts", || revision.to_string(), body)?;
    if verdict.dataset == dataset {
        return Ok(verdict);
    }
    Err(corrupt("verdicts", revision.to_string(), format!("its body is of {}", verdict.dataset)))
}

/// A row of `aliases`: alias, version, time of the last move, split as JSON, shadow.
pub(crate) type AliasRow = (String, i64, i64, Option<String>, Option<i64>);

pub(crate) fn decode_alias(model: &Name, (alias, version, moved_at, split, shadow): AliasRow) -> Result<Alias> {
    let row = format!("{model}@{alias}");
    let split = split.map(|split| decode("aliases", || row.clone(), &split)).transpose()?;
    let version_of = |version| decode_version("aliases", &row, version);
    Ok(Alias {
        model: model.clone(),
        alias: decode_name("aliases", &alias)?,
        version: version_of(version)?,
        moved_at: Timestamp(moved_at),
        split: split.unwrap_or_default(),
        shadow: shadow.map(version_of).transpose()?,
    })
}

/// A row of `tokens`: id, name, role, hash of the secret, when and by whom it was created, when it expires, when and by whom
/// it was revoked, what judges it by SCRAM.
pub(crate) type TokenRow =
    (String, String, String, String, i64, String, Option<i64>, Option<i64>, Option<String>, Option<String>);

pub(crate) fn decode_token(row: TokenRow) -> Result<ApiToken> {
    let (id, name, role, secret_hash, created_at, created_by, expires_at, revoked_at, revoked_by, scram) = row;
    let wrong = |problem: TokenError| corrupt("tokens", id.clone(), problem.to_string());
    let scram = scram.map(|kept| {
        let odd = || corrupt("tokens", id.clone(), "its verifier for SCRAM cannot be read".to_owned());
        ScramVerifier::parse(&kept).ok_or_else(odd)
    });
    Ok(ApiToken {
        scram: scram.transpose()?,
        id: id.parse().map_err(wrong)?,
        name: decode_name("tokens", &name)?,
        role: role.parse().map_err(wrong)?,
        secret_hash,
        created_at: Timestamp(created_at),
        created_by,
        expires_at: expires_at.map(Timestamp),
        revoked: revoked_at.map(|at| (Timestamp(at), revoked_by.unwrap_or_default())),
    })
}

/// A version as stored: at least 1, within 32 bits.
pub(crate) fn decode_version(table: &'static str, row: &str, version: i64) -> Result<u32> {
    match u32::try_from(version) {
        Ok(version) if version > 0 => Ok(version),
        _ => Err(corrupt(table, row.to_owned(), format!("{version} is no version"))),
    }
}

/// A name as stored.
pub(crate) fn decode_name(table: &'static str, name: &str) -> Result<Name> {
    name.parse().map_err(|problem: hitherto_core::NameError| corrupt(table, name.to_owned(), problem.to_string()))
}

/// Puts a catalog together from rows, definitions in the order of their versions.
pub(crate) fn catalog(revision: i64, definitions: &[DefinitionRow], tables: &[(String, String)]) -> Result<Catalog> {
    let mut catalog = Catalog { revision, ..Catalog::default() };
    for (id, body) in tables {
        catalog.tables.insert(id.clone(), decode_table(id, body)?);
    }
    for (kind, name, version, body) in definitions {
        match decode_definition(kind, name, *version, body)? {
            Record::Entity(entity) => catalog.entities.entry(entity.definition.name.clone()).or_default().push(entity),
            Record::View(view) => catalog.views.entry(view.definition.name.clone()).or_default().push(view),
            Record::Set(set) => catalog.sets.entry(set.definition.name.clone()).or_default().push(set),
            Record::Gate(gate) => catalog.gates.entry(gate.definition.name.clone()).or_default().push(gate),
            Record::Table(_) => {
                return Err(corrupt("definitions", format!("{kind} {name}@{version}"), "it is a table"));
            }
        }
    }
    Ok(catalog)
}

pub(crate) fn decode<T: DeserializeOwned>(table: &'static str, row: impl FnOnce() -> String, body: &str) -> Result<T> {
    serde_json::from_str(body).map_err(|problem| corrupt(table, row(), problem.to_string()))
}

fn corrupt(table: &'static str, row: String, reason: impl Into<String>) -> Error {
    Error::Corrupt { table, row, reason: reason.into() }
}
