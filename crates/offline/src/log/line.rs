//! The lines of an entry of the log, as far as they matter to us.

use deltalake_core::kernel::{Add, Remove, Transaction};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Where an entry's `commitInfo` says which batches it appended, if they are more than one: the id of each, or null, and its
/// rows.
pub(super) const BATCHES_INFO: &str = "hitherto.batches";

/// One line of an entry; of what else a line may tell nothing is needed.
#[derive(Deserialize)]
pub(super) struct Line {
    pub(super) add: Option<Add>,
    pub(super) remove: Option<Remove>,
    pub(super) txn: Option<Transaction>,
    #[serde(rename = "commitInfo")]
    pub(super) info: Option<Info>,
    /// That there is one.
    #[serde(rename = "metaData")]
    pub(super) metadata: Option<IgnoredAny>,
    /// That there is one.
    pub(super) protocol: Option<IgnoredAny>,
}

/// What we ourselves have written into `commitInfo`.
#[derive(Deserialize)]
pub(super) struct Info {
    /// See [`BATCHES_INFO`].
    #[serde(rename = "hitherto.batches")]
    pub(super) batches: Option<Vec<(Option<String>, u64)>>,
}

/// Reads an entry.
pub(super) fn lines(entry: &[u8]) -> std::result::Result<Vec<Line>, String> {
    let lines = entry.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(|error| error.to_string())).collect()
}
