//! Errors on their way through Parquet and DataFusion, and back.

use datafusion::error::DataFusionError;
use parquet::errors::ParquetError;

use crate::Error;

/// What reading `path` failed with: an IO error keeps its cause, anything else means that the file is corrupt.
pub(super) fn unreadable(path: &str, error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast::<object_store::Error>() {
            Ok(source) => Error::object_store(format!("read '{path}'"), *source),
            Err(source) => Error::parquet(format!("read '{path}'"), ParquetError::External(source)),
        },
        other => Error::Corrupt { path: path.to_owned(), reason: other.to_string() },
    }
}

/// An error of ours for DataFusion to carry; [`recovered`] gets it back.
pub(crate) fn carried(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// The error of ours that DataFusion carried, or its own as a failure to `what`.
pub fn recovered(what: &str, error: DataFusionError) -> Error {
    match error {
        DataFusionError::External(source) => match source.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(source) => Error::datafusion(what, DataFusionError::External(source)),
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => recovered(what, *inner),
        DataFusionError::Shared(shared) => match std::sync::Arc::try_unwrap(shared) {
            Ok(inner) => recovered(what, inner),
            Err(shared) => Error::datafusion(what, DataFusionError::Shared(shared)),
        },
        other => Error::datafusion(what, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_errors_come_back_from_datafusion() {
        let ours = || Error::Corrupt { path: "a.parquet".to_owned(), reason: "cut".to_owned() };
        let wrapped = DataFusionError::Context("scan".to_owned(), Box::new(carried(ours())));
        assert_eq!(recovered("read", wrapped).to_string(), ours().to_string());
        let theirs = recovered("plan it", DataFusionError::Plan("no".to_owned()));
        assert!(theirs.to_string().starts_with("could not plan it: "), "{theirs}");
    }

    #[test]
    fn io_keeps_its_kind() {
        let missing = object_store::Error::NotFound { path: "a".to_owned(), source: "gone".into() };
        let error = unreadable("a", ParquetError::External(Box::new(missing)));
        assert_eq!(error.kind(), hitherto_core::Kind::NotFound);
        let error = unreadable("dir/a", ParquetError::EOF("footer".to_owned()));
        assert!(matches!(&error, Error::Corrupt { path, .. } if path == "dir/a"), "{error}");
    }
}
