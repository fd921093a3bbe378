//! What can go wrong with a verb, and of what kind it is.

use std::sync::Arc;

use hitherto_core::{GateReport, Kind, Problem};

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of a verb.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registry.
    #[error(transparent)]
    Registry(#[from] hitherto_registry::Error),
    /// The offline store.
    #[error(transparent)]
    Offline(#[from] hitherto_offline::Error),
    /// A proof that could not be made.
    #[error(transparent)]
    Certificate(#[from] hitherto_certificate::Error),
    /// The online store.
    #[error(transparent)]
    Online(#[from] hitherto_online::Error),
    /// Rows that history has and the online store has not: nothing is lost, they reach it later.
    #[error(
        "{}: {source}; nothing is lost: they reach the online store with the next `hitherto materialize`, or by \
         themselves while `hitherto serve` runs", kept(.view, *.sequences)
    )]
    NotOnline {
        /// The view.
        view: String,
        /// The first and the last `_sequence` of the rows, where they were appended just now.
        sequences: Option<(i64, i64)>,
        /// Why they could not be brought online.
        #[source]
        source: Box<Error>,
    },
    /// An entity that history has lost and the online store has not.
    #[error(
        "{view}: the entity was erased from history, and not from the online store: {source}; run it again when the store \
         answers, it does what was left undone"
    )]
    NotErasedOnline {
        /// The view.
        view: String,
        /// Why not.
        #[source]
        source: Box<Error>,
    },
    /// Definitions that cannot be applied: every problem of every file.
    #[error("{}", list(.0))]
    Definitions(Vec<Problem>),
    /// A transform that does not compile or cannot be evaluated.
    #[error("transform '{name}': {reason}")]
    Transform {
        /// The transform.
        name: String,
        /// Why not.
        reason: String,
    },
    /// Model versions that a gate does not let pass, with every condition that failed.
    #[error("{}", refusals(.0))]
    Gate(Vec<GateReport>),
    /// The thing named does not exist; the text says what, and what is near.
    #[error("{0}")]
    NotFound(String),
    /// The request is wrong; the text says what, why and what to do instead.
    #[error("{0}")]
    Invalid(String),
    /// Somebody else changed the state first; the text says what, and what to do.
    #[error("{0}")]
    Conflict(String),
    /// The state does not allow it now; the text says what would.
    #[error("{0}")]
    Unavailable(String),
    /// A limit was reached; the text says which, and what to do.
    #[error("{0}")]
    Exhausted(String),
    /// A query that cannot be planned or run.
    #[error("{what}: {reason}")]
    Query {
        /// What was being done.
        what: String,
        /// Why not.
        reason: String,
        /// Of what kind it is.
        kind: Kind,
    },
    /// One failure of all who did something together.
    #[error(transparent)]
    Shared(#[from] Arc<Error>),
    /// Something that should not happen.
    #[error("{what}: {source}")]
    Internal {
        /// What was being done.
        what: &'static str,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Of what kind the failure is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Registry(source) => source.kind(),
            Self::Offline(source) => source.kind(),
            Self::Certificate(source) => source.kind(),
            Self::Online(source) => source.kind(),
            Self::NotOnline { source, .. } | Self::NotErasedOnline { source, .. } => source.kind(),
            Self::Gate(reports) if reports.iter().all(GateReport::is_only_offline) => Kind::Unavailable,
            // of a gate's refusal too: no retry mends it
            Self::Definitions(_) | Self::Transform { .. } | Self::Invalid(_) | Self::Gate(_) => Kind::InvalidArgument,
            Self::NotFound(_) => Kind::NotFound,
            Self::Conflict(_) => Kind::Conflict,
            Self::Unavailable(_) => Kind::Unavailable,
            Self::Exhausted(_) => Kind::Exhausted,
            Self::Query { kind, .. } => *kind,
            Self::Shared(source) => source.kind(),
            Self::Internal { .. } => Kind::Internal,
        }
    }

    /// Whether the same call may succeed later without a change to it.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable()
    }

    pub(crate) fn internal(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal { what, source: source.into() }
    }

    /// `no <kind> '<name>'`, with what is near among `known`, or what there is.
    pub(crate) fn unknown<'a>(kind: &str, name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Self {
        let all: Vec<&str> = known.clone().into_iter().take(8).collect();
        let hint = if let Some(near) = hitherto_core::did_you_mean(name, known) {
            format!(" (did you mean '{near}'?)")
        } else if all.is_empty() {
            "; there is none yet".to_owned()
        } else {
            format!("; there are: {}", all.join(", "))
        };
        Self::NotFound(format!("no {kind} '{name}'{hint}"))
    }
}

pub(crate) fn kept(view: &str, sequences: Option<(i64, i64)>) -> String {
    match sequences {
        Some((first, last)) => {
            let rows = last - first + 1;
            format!("history of {view} has the {rows} rows now (_sequence {first} to {last}), the online store has not")
        }
        None => format!("history of {view} has had the batch before, the online store may lack its rows"),
    }
}

fn refusals(reports: &[GateReport]) -> String {
    let lines: Vec<String> = reports.iter().map(refusal).collect();
    lines.join("\n")
}

fn refusal(report: &GateReport) -> String {
    let GateReport { gate, model, alias, .. } = report;
    let failed: Vec<_> = report.failed().collect();
    if let (true, [offline]) = (report.is_only_offline(), failed.as_slice()) {
        return format!("{model} cannot become '{alias}' yet: {}; run `hitherto materialize` first", offline.found);
    }
    let gate = gate.as_ref().map_or_else(String::new, |gate| format!(" gate {gate} refuses it:"));
    let mut lines = vec![format!("{model} cannot become '{alias}':{gate}")];
    lines.extend(failed.iter().map(|condition| format!("  {condition}")));
    lines.push("mend that, or say with --override why it is moved all the same".to_owned());
    lines.join("\n")
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}
