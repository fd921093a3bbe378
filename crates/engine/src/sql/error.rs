//! Errors on their way through DataFusion, and back.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use hitherto_core::Kind;

use crate::Error;

/// An error of ours for DataFusion to carry; [`recovered`] gets it back.
pub(super) fn carried(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Something that a query cannot have.
pub(super) fn unsupported(reason: String) -> DataFusionError {
    DataFusionError::NotImplemented(reason)
}

/// An error of ours that DataFusion carried, or its own.
pub(crate) fn recovered(what: &str, error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(source) => match source.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(source) => match source.downcast::<hitherto_offline::Error>() {
                // history's own, as a scan fails with it
                Ok(ours) => (*ours).into(),
                Err(source) => match source.downcast::<hitherto_asof::Error>() {
                    Ok(ours) => crate::join::refused(&ours),
                    Err(source) => failed(what, &DataFusionError::External(source)),
                },
            },
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => recovered(what, *inner),
        // parts of a plan that run beside each other tell all of them of a failure
        DataFusionError::Shared(shared) => match Arc::try_unwrap(shared) {
            Ok(inner) => recovered(what, inner),
            Err(shared) => failed(what, &shared),
        },
        other => failed(what, &other),
    }
}

pub(crate) fn failed(what: &str, error: &DataFusionError) -> Error {
    let root = error.find_root();
    let kind = match root {
        DataFusionError::NotImplemented(_) => Kind::Unsupported,
        DataFusionError::ResourcesExhausted(_) => Kind::Exhausted,
        DataFusionError::Internal(_) => Kind::Internal,
        DataFusionError::External(source) => kind_of(source.as_ref()),
        _ => Kind::InvalidArgument,
    };
    // "Error during planning: " and its like say again what `what` says
    let reason = match root {
        DataFusionError::Plan(reason) | DataFusionError::NotImplemented(reason) => reason.clone(),
        DataFusionError::SQL(reason, _) => reason.to_string(),
        DataFusionError::SchemaError(reason, _) => reason.to_string(),
        other => other.strip_backtrace(),
    };
    Error::Query { what: what.to_owned(), reason, kind }
}

/// Of what kind an error is that DataFusion carries and that cannot be taken from it.
fn kind_of(source: &(dyn std::error::Error + Send + Sync + 'static)) -> Kind {
    let ours = source.downcast_ref::<Error>().map(Error::kind);
    let of_history = || source.downcast_ref::<hitherto_offline::Error>().map(hitherto_offline::Error::kind);
    ours.or_else(of_history).unwrap_or(Kind::InvalidArgument)
}
