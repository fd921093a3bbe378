//! Planning and applying definitions.

use hitherto_core::{Action, Change, NewTables};

use crate::{Error, field, v1};

/// Definitions to plan or apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definitions {
    /// The files: path, for messages, and text.
    pub files: Vec<(String, String)>,
    /// Whether views may start new tables.
    pub new_tables: NewTables,
}

/// What is planned, or was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// One per definition: entities, then feature views, then feature sets, then gates, each in the order of the files.
    pub changes: Vec<Change>,
    /// The revision that the plan was made for; after an apply, the one that holds it.
    pub revision: i64,
}

impl From<Definitions> for v1::PlanRequest {
    fn from(wanted: Definitions) -> Self {
        let (definitions, allow_new_table) = send(wanted);
        Self { definitions, allow_new_table }
    }
}

impl From<Definitions> for v1::ApplyRequest {
    fn from(wanted: Definitions) -> Self {
        let (definitions, allow_new_table) = send(wanted);
        Self { definitions, allow_new_table }
    }
}

impl TryFrom<v1::PlanRequest> for Definitions {
    type Error = Error;

    fn try_from(sent: v1::PlanRequest) -> Result<Self, Error> {
        receive(sent.definitions, sent.allow_new_table)
    }
}

impl TryFrom<v1::ApplyRequest> for Definitions {
    type Error = Error;

    fn try_from(sent: v1::ApplyRequest) -> Result<Self, Error> {
        receive(sent.definitions, sent.allow_new_table)
    }
}

impl From<Planned> for v1::PlanResponse {
    fn from(planned: Planned) -> Self {
        Self { changes: planned.changes.into_iter().map(Into::into).collect(), revision: planned.revision }
    }
}

impl From<Planned> for v1::ApplyResponse {
    fn from(planned: Planned) -> Self {
        Self { changes: planned.changes.into_iter().map(Into::into).collect(), revision: planned.revision }
    }
}

impl TryFrom<v1::PlanResponse> for Planned {
    type Error = Error;

    fn try_from(sent: v1::PlanResponse) -> Result<Self, Error> {
        let changes = sent.changes.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Ok(Self { changes, revision: sent.revision })
    }
}

impl TryFrom<v1::ApplyResponse> for Planned {
    type Error = Error;

    fn try_from(sent: v1::ApplyResponse) -> Result<Self, Error> {
        let changes = sent.changes.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Ok(Self { changes, revision: sent.revision })
    }
}

const KINDS: [(&str, v1::DefinitionKind); 4] = [
    ("entity", v1::DefinitionKind::Entity),
    ("feature_view", v1::DefinitionKind::FeatureView),
    ("feature_set", v1::DefinitionKind::FeatureSet),
    ("gate", v1::DefinitionKind::Gate),
];

const ACTIONS: [(Action, v1::Action); 5] = [
    (Action::Create, v1::Action::Create),
    (Action::NewVersion, v1::Action::NewVersion),
    (Action::NewTable, v1::Action::NewTable),
    (Action::Notes, v1::Action::Notes),
    (Action::Unchanged, v1::Action::Unchanged),
];

impl From<Change> for v1::Change {
    fn from(change: Change) -> Self {
        let action =
            ACTIONS.iter().find(|(ours, _)| *ours == change.action).map_or(v1::Action::Unspecified, |row| row.1);
        let kind =
            KINDS.iter().find(|(ours, _)| *ours == change.kind).map_or(v1::DefinitionKind::Unspecified, |row| row.1);
        Self {
            action: action.into(),
            kind: kind.into(),
            name: change.name.into(),
            version: change.version,
            previous: change.previous,
            new_table: change.new_table,
            details: change.details,
        }
    }
}

impl TryFrom<v1::Change> for Change {
    type Error = Error;

    fn try_from(sent: v1::Change) -> Result<Self, Error> {
        let action: v1::Action = field::known("action", sent.action)?;
        let kind: v1::DefinitionKind = field::known("kind", sent.kind)?;
        Ok(Self {
            action: ACTIONS.iter().find(|(_, row)| *row == action).ok_or(Error::Absent { field: "action" })?.0,
            kind: KINDS.iter().find(|(_, row)| *row == kind).ok_or(Error::Absent { field: "kind" })?.0,
            name: field::parse("name", &sent.name)?,
            version: field::version("version", sent.version)?,
            previous: sent.previous,
            new_table: sent.new_table,
            details: sent.details,
        })
    }
}

fn send(wanted: Definitions) -> (Vec<v1::DefinitionText>, bool) {
    let definitions = wanted.files.into_iter().map(|(name, text)| v1::DefinitionText { name, text }).collect();
    (definitions, wanted.new_tables == NewTables::Allow)
}

fn receive(definitions: Vec<v1::DefinitionText>, allow_new_table: bool) -> Result<Definitions, Error> {
    if definitions.is_empty() {
        return Err(Error::Absent { field: "definitions" });
    }
    let files = definitions.into_iter().map(|file| (file.name, file.text)).collect();
    Ok(Definitions { files, new_tables: if allow_new_table { NewTables::Allow } else { NewTables::Refuse } })
}
