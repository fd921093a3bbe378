//! What a training set claims of one view.

use arrow::datatypes::DataType;
use hitherto_core::{Mode, Reading};

/// One view's part of a training set: which columns answer which questions, and by which rule.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The view's alias in the feature set.
    pub view: String,
    /// How its rows are read.
    pub reading: Reading,
    /// Which rows the training set could see.
    pub mode: Mode,
    /// Per key part, in canonical order: its column in the training set, and the type that history has.
    pub keys: Vec<(usize, DataType)>,
    /// The column of prediction times.
    pub time: usize,
    /// Per feature, in the order of history's columns: its column in the training set. A feature may come twice.
    pub features: Vec<usize>,
    /// The columns of evidence, where there are some.
    pub evidence: Option<Evidence>,
}

/// Where a training set says which row is behind its values.
#[derive(Clone, Copy, Debug)]
pub struct Evidence {
    /// The column of the winner's event time.
    pub event: usize,
    /// The column of its availability.
    pub available: usize,
}
