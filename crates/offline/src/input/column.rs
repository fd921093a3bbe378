//! Which column of a file becomes which column of a table.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use hitherto_core::{ValueType, did_you_mean};

use super::{InputError, Missing};
use crate::types::arrow_type;
use crate::{DELETED, INGESTED, SEQUENCE};

/// What a column is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A part of the entity key. May be null.
    Key,
    /// When the fact was true. Never null; rounded up to microseconds.
    EventTime,
    /// When its producer knew it. Never null; rounded up to microseconds.
    CreatedTime,
    /// A feature.
    Feature,
    /// Whether the row is a tombstone. A file need not have it.
    Deleted,
}

/// A column that a canonical batch has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetColumn {
    /// Its name in the batch.
    pub name: String,
    /// Its name in the file.
    pub source: String,
    /// Its type.
    pub value_type: ValueType,
    /// What it is for.
    pub role: Role,
    /// Whether a file may lack it; it is null then.
    pub optional: bool,
}

/// The columns that canonical batches have, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// All of them, `_deleted` last.
    pub columns: Vec<TargetColumn>,
}

/// What to do with columns that no version of the feature view declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExtraColumns {
    /// Refuse the file, naming all of them.
    #[default]
    Refuse,
    /// Leave them out.
    Ignore,
}

/// Columns that only a commit writes.
const SYSTEM: [&str; 2] = [SEQUENCE, INGESTED];

impl TargetColumn {
    /// The column `name`, which is named `source` in files, and which they must have.
    pub fn new(name: impl Into<String>, source: impl Into<String>, value_type: ValueType, role: Role) -> Self {
        let optional = role == Role::Deleted;
        Self { name: name.into(), source: source.into(), value_type, role, optional }
    }

    /// The column, which files may lack: it is null then.
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// What it is for, in words: `feature 'arr_delay'`.
    pub fn purpose(&self) -> String {
        match self.role {
            Role::Key => format!("entity key '{}'", self.name),
            Role::EventTime => "the event time".to_owned(),
            Role::CreatedTime => "the created time".to_owned(),
            Role::Feature => format!("feature '{}'", self.name),
            Role::Deleted => "the mark of tombstones".to_owned(),
        }
    }
}

impl Target {
    /// These columns, and `_deleted` if it is not among them.
    pub fn new(mut columns: Vec<TargetColumn>) -> Self {
        if columns.iter().all(|column| column.role != Role::Deleted) {
            columns.push(TargetColumn::new(DELETED, DELETED, ValueType::Bool, Role::Deleted));
        }
        Self { columns }
    }

    /// The schema of canonical batches. Only times are never null.
    pub fn schema(&self) -> SchemaRef {
        let field = |column: &TargetColumn| {
            let is_time = matches!(column.role, Role::EventTime | Role::CreatedTime);
            Field::new(&column.name, arrow_type(&column.value_type), !is_time)
        };
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// The names that the columns have in files, each once.
    pub(super) fn sources(&self) -> Vec<String> {
        let mut seen = HashSet::new();
        self.columns.iter().map(|column| &column.source).filter(|source| seen.insert(*source)).cloned().collect()
    }

    /// For each column the index of its source among `names`, the columns of `file`; none where it may be absent.
    pub(super) fn locate(
        &self,
        file: &str,
        names: &[String],
        extra: ExtraColumns,
    ) -> Result<Vec<Option<usize>>, InputError> {
        refuse_duplicates(file, names)?;
        self.refuse_missing(file, names, |_| true)?;
        self.refuse_extra(file, names, extra)?;
        Ok(self.columns.iter().map(|column| names.iter().position(|name| *name == column.source)).collect())
    }

    /// Refuses a file that lacks a column which it must have and which `is_wanted`.
    pub(super) fn refuse_missing(
        &self,
        file: &str,
        names: &[String],
        is_wanted: impl Fn(&TargetColumn) -> bool,
    ) -> Result<(), InputError> {
        let unused = || {
            let is_unused = |name: &&String| self.columns.iter().all(|column| column.source != **name);
            names.iter().filter(is_unused).map(String::as_str)
        };
        let lacks = |column: &&TargetColumn| !column.optional && is_wanted(column) && !names.contains(&column.source);
        let missing: Vec<Missing> = self
            .columns
            .iter()
            .filter(lacks)
            .map(|column| Missing {
                column: column.source.clone(),
                purpose: column.purpose(),
                suggestion: did_you_mean(&column.source, unused()).map(str::to_owned),
            })
            .collect();
        if missing.is_empty() { Ok(()) } else { Err(InputError::MissingColumns { file: file.to_owned(), missing }) }
    }

    /// Refuses columns that only the system writes, and, if asked to, those that are not of the target.
    pub(super) fn refuse_extra(&self, file: &str, names: &[String], extra: ExtraColumns) -> Result<(), InputError> {
        if let Some(column) = names.iter().find(|name| SYSTEM.contains(&name.as_str())) {
            return Err(InputError::SystemColumn { file: file.to_owned(), column: column.clone() });
        }
        let is_extra = |name: &&String| self.columns.iter().all(|column| column.source != **name);
        let columns: Vec<String> = names.iter().filter(is_extra).cloned().collect();
        if columns.is_empty() || extra == ExtraColumns::Ignore {
            return Ok(());
        }
        Err(InputError::UndeclaredColumns { file: file.to_owned(), columns })
    }
}

pub(super) fn refuse_duplicates(file: &str, names: &[String]) -> Result<(), InputError> {
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        Some(column) => Err(InputError::DuplicateColumn { file: file.to_owned(), column: column.clone() }),
        None => Ok(()),
    }
}
