//! What can go wrong in the registry.

use hitherto_core::{Kind, Name};

/// The result of a call to the registry.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the registry could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The thing named is not there.
    #[error("could not find {what} '{name}': {remedy}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// The name as given.
        name: String,
        /// The nearest name, or what there is.
        remedy: String,
    },
    /// A name or prefix that fits more than one thing.
    #[error("could not tell which {what} '{given}' is: {candidates} begin so; give more of it")]
    Ambiguous {
        /// What was looked for.
        what: &'static str,
        /// The name as given.
        given: String,
        /// Some of those that fit.
        candidates: String,
    },
    /// The registry changed after the plan was made.
    #[error("could not apply a plan made at revision {base}: the registry is at revision {found}; plan again")]
    Conflict {
        /// The revision that the plan was made at.
        base: i64,
        /// The revision now.
        found: i64,
    },
    /// An alias is not where its mover thought.
    #[error("could not {doing} alias '{alias}' of model '{model}': it points at {}, not at {}", place(*.found), place(*.expected))]
    AliasMoved {
        /// What was to be done.
        doing: &'static str,
        /// The model.
        model: Name,
        /// The alias.
        alias: Name,
        /// The version that the mover expected.
        expected: Option<u32>,
        /// The version that it points at.
        found: Option<u32>,
    },
    /// A change of something that never changes.
    #[error("could not change {what}: what is applied stays as it is; a change of its values is a new version")]
    Immutable {
        /// The thing and its version.
        what: String,
    },
    /// Something that model versions were made of.
    #[error("could not delete {what}: it is needed by {models}; model versions are kept")]
    Needed {
        /// The thing.
        what: String,
        /// The model versions, by name.
        models: String,
    },
    /// A version that does not follow the last one.
    #[error("could not apply {what}: its next version is {next}")]
    NotNext {
        /// The thing and the version given.
        what: String,
        /// The version that would follow.
        next: u32,
    },
    /// Two things that are said to belong together do not.
    #[error("could not register model '{model}': {what} has the feature set hash '{found}', not '{given}'")]
    Mismatch {
        /// The model.
        model: Name,
        /// What has another hash.
        what: String,
        /// Its hash.
        found: String,
        /// The hash given.
        given: String,
    },
    /// Something that contradicts itself or lacks what it needs.
    #[error("could not {doing}: {reason}")]
    Invalid {
        /// What was to be done.
        doing: String,
        /// What is wrong.
        reason: String,
    },
    /// A URL that names no registry.
    #[error("could not open the registry '{url}': {reason}")]
    Url {
        /// The URL without its secrets.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A kind of registry that this version cannot open.
    #[error("could not open the registry '{url}': {reason}")]
    Unsupported {
        /// The URL without its secrets.
        url: String,
        /// Why not, and what to use instead.
        reason: String,
    },
    /// A change of a registry that does not exist.
    #[error("could not {doing}: there is no registry at {place} yet; apply definitions first")]
    Absent {
        /// What was asked for.
        doing: &'static str,
        /// Where the registry would be.
        place: String,
    },
    /// A stored row contradicts itself.
    #[error("could not read table '{table}' of the registry: row {row} is corrupt: {reason}")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The row's key.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that cannot be written as JSON.
    #[error("could not encode {what}: {source}")]
    Encode {
        /// The thing and its version.
        what: String,
        /// The reason.
        source: serde_json::Error,
    },
    /// The store itself failed.
    #[error("could not {doing} at {place}: {source}")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// Where.
        place: String,
        /// What kind of failure it is.
        kind: Kind,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// The kind of failure.
    pub fn kind(&self) -> Kind {
        match self {
            Self::NotFound { .. } | Self::Absent { .. } => Kind::NotFound,
            Self::Conflict { .. } | Self::AliasMoved { .. } => Kind::Conflict,
            Self::Immutable { .. } => Kind::AlreadyExists,
            Self::Ambiguous { .. }
            | Self::Mismatch { .. }
            | Self::Invalid { .. }
            | Self::Needed { .. }
            | Self::Url { .. }
            | Self::NotNext { .. } => Kind::InvalidArgument,
            Self::Unsupported { .. } => Kind::Unsupported,
            Self::Corrupt { .. } | Self::Encode { .. } => Kind::Internal,
            Self::Store { kind, .. } => *kind,
        }
    }

    /// Whether the call may succeed later; after a conflict, once its premise has been read again.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }
}

fn place(version: Option<u32>) -> String {
    version.map_or_else(|| "no version".to_owned(), |version| format!("version {version}"))
}
