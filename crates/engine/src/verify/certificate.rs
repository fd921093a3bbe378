//! The verdict on a file.

use hitherto_certificate::ViewReport;
use hitherto_core::{Dataset, Mode, StoredVerdict, Timestamp, VersionedName};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What was proven of a training set's file, and what was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The dataset that the file is said to be; none for a file that was built elsewhere.
    pub dataset: Option<String>,
    /// The feature set.
    pub feature_set: VersionedName,
    /// By which rule it was judged.
    pub mode: Mode,
    /// The file.
    pub file: String,
    /// The SHA-256 of its bytes, in hex.
    pub file_hash: String,
    /// Its rows.
    pub rows: u64,
    /// What is wrong with the file as a whole.
    pub faults: Vec<String>,
    /// Per view, in the set's order.
    pub views: Vec<ViewReport>,
    /// Per transform, in the set's order, and the split if there is one.
    pub transforms: Vec<TransformReport>,
    /// When it was judged.
    pub checked_at: Timestamp,
}

/// A transform's column, or the split's, computed again from what else is in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransformReport {
    /// The column.
    pub name: String,
    /// Rows of which it was computed.
    pub rows: u64,
    /// Cells that hold something else.
    pub wrong_cells: u64,
    /// The first of them: a row of the file, from 1.
    pub first_wrong_row: Option<u64>,
}

impl Certificate {
    /// Whether all of it was proven. A file that was judged by mode `event` can be what it says and leak all the same.
    pub fn is_proven(&self) -> bool {
        self.faults.is_empty()
            && (self.rows == 0 || !self.views.is_empty())
            && self.views.iter().all(|view| view.rows == self.rows && view.is_proven())
            && self.transforms.iter().all(|transform| transform.rows == self.rows && transform.wrong_cells == 0)
    }

    /// Of a dataset that could not be checked: nothing is proven.
    pub(super) fn unchecked(dataset: &Dataset, why: &str, at: Timestamp) -> Self {
        Self {
            dataset: Some(dataset.id.clone()),
            feature_set: dataset.feature_set.clone(),
            mode: dataset.mode,
            file: dataset.location.clone(),
            file_hash: dataset.file_hash.clone(),
            rows: 0,
            faults: vec![format!("it could not be checked: {why}")],
            views: Vec::new(),
            transforms: Vec::new(),
            checked_at: at,
        }
    }

    /// The verdict on `dataset` as it is remembered: `by` whom, and all that was found.
    pub(super) fn verdict(&self, dataset: &Dataset, by: &str) -> Result<StoredVerdict> {
        let report = serde_json::to_value(self)
            .map_err(|source| Error::internal("could not write a certificate as JSON", source))?;
        Ok(StoredVerdict {
            dataset: dataset.id.clone(),
            file_hash: self.file_hash.clone(),
            proven: self.is_proven(),
            at: self.checked_at,
            by: by.to_owned(),
            report,
        })
    }
}
