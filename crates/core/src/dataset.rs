//! A training set's manifest: what decided its values, and what is known of it besides.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{AuditHead, Mode, Name, Span, Timestamp, Transform, VersionedName};

/// A training set: what decided its values, and where it lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// SHA-256, in hex, of what decides its values.
    pub id: String,
    /// How its id and fingerprints are taken: 0 before there were result fingerprints, [`Dataset::FORMAT`] now.
    #[serde(default)]
    pub format: u32,
    /// The name that its maker gave it.
    pub name: Option<Name>,
    /// The feature set.
    pub feature_set: VersionedName,
    /// That set's hash.
    pub feature_set_hash: String,
    /// The views that the set pins, in its order, and how each is read.
    #[serde(default)]
    pub views: Vec<DatasetView>,
    /// The set's transforms.
    #[serde(default)]
    pub transforms: Vec<Transform>,
    /// Which rows it could see.
    pub mode: Mode,
    /// Where the spine came from: a location or a SQL text.
    pub spine: String,
    /// SHA-256, in hex, of the spine's rows.
    pub spine_fingerprint: String,
    /// The spine's column of prediction times.
    pub event_timestamp: String,
    /// Whether evidence columns follow.
    pub evidence: bool,
    /// How its rows are split, if they are.
    #[serde(default)]
    pub split: Option<Split>,
    /// Per table that it read: its id and the last `_sequence` that it saw (−1 for none).
    pub tables: BTreeMap<String, i64>,
    /// Per table that it read: the erasures that its history had been through; a table without any is left out.
    #[serde(default)]
    pub erasures: BTreeMap<String, Vec<String>>,
    /// Where the file lies.
    pub location: String,
    /// Rows in it.
    pub rows: u64,
    /// SHA-256, in hex, of the file.
    pub file_hash: String,
    /// When it was built.
    pub built_at: Timestamp,
    /// How it was built and what came of it; decides nothing.
    #[serde(default)]
    pub build: Build,
}

impl Dataset {
    /// How ids and fingerprints are taken today.
    pub const FORMAT: u32 = 1;

    /// The last `_sequence` of a table that was read for it, for its features or by its spine's query; none of a table that
    /// was not.
    pub fn last_sequence_read(&self, table: &str) -> Option<i64> {
        self.tables.get(table).max(self.build.spine_tables.get(table)).copied()
    }

    /// Whether its spine was a query; else it was files, or came with the request.
    pub fn spine_is_query(&self) -> bool {
        let text = self.spine.trim_start_matches(|letter: char| letter == '(' || letter.is_whitespace());
        let first = text.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
        // a location is an absolute path or a URL, so this is none
        let is_word = ["select", "with", "values"].iter().any(|word| first.eq_ignore_ascii_case(word));
        is_word || text.starts_with("--") || text.starts_with("/*")
    }

    /// Where its spine lay, if that was files: absolute paths or URLs, with spaces between.
    pub fn spine_location(&self) -> Option<&str> {
        let is_place = self.spine.starts_with('/') || self.spine.split_whitespace().next()?.contains("://");
        (is_place && !self.spine_is_query()).then_some(self.spine.as_str())
    }

    /// Add what is known of its spine from `again`, which has the same id and was asked for later: its file may hold what
    /// either has read. Of tables that both have read, the later rows count, and the erasures that both had been through.
    pub fn add_grounds(&mut self, again: &Self) {
        // of a query from before it was noted what it reads, nothing tells which erasures it had been through
        let is_noted = !self.spine_is_query() || !self.build.spine_tables.is_empty();
        if let Some(place) = again.spine_location().filter(|place| *place != self.spine) {
            self.build.other_spines.insert(place.to_owned());
        }
        let others = again.build.other_spines.iter().filter(|place| **place != self.spine);
        self.build.other_spines.extend(others.cloned());
        self.build.spine_datasets.extend(again.build.spine_datasets.iter().cloned());
        for (table, last) in &again.build.spine_tables {
            let erased = again.build.spine_erasures.get(table).cloned().unwrap_or_default();
            let known: Vec<String> = match self.build.spine_tables.insert(table.clone(), *last) {
                Some(first) => {
                    self.build.spine_tables.insert(table.clone(), first.max(*last));
                    let first = self.build.spine_erasures.remove(table).unwrap_or_default();
                    first.into_iter().filter(|id| erased.contains(id)).collect()
                }
                None if is_noted => erased,
                None => Vec::new(),
            };
            if !known.is_empty() {
                self.build.spine_erasures.insert(table.clone(), known);
            }
            if let Some(version) = again.build.delta_versions.get(table) {
                self.build.delta_versions.entry(table.clone()).or_insert(*version);
            }
        }
    }

    /// The tables that were read for it, each once.
    pub fn tables_read(&self) -> BTreeSet<&str> {
        self.tables.keys().chain(self.build.spine_tables.keys()).map(String::as_str).collect()
    }
}

/// A pinned view as a training set read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetView {
    /// Its alias in the set.
    pub alias: Name,
    /// The pinned version.
    pub view: VersionedName,
    /// The table of that version.
    pub table: String,
    /// Microseconds.
    pub source_delay: Span,
    /// Microseconds; none for no limit.
    pub ttl: Option<Span>,
}

/// How the rows of a training set are told apart into train, validation and test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Split {
    /// By time: train before `train_end`; validation in `[train_end + gap, validation_end)`; test from
    /// `validation_end + gap`. Rows in `[end, end + gap)` are in none.
    Time {
        /// Where train ends, not in.
        train_end: Timestamp,
        /// Where validation ends, not in; without it there is no validation, and test follows train.
        validation_end: Option<Timestamp>,
        /// Left out after each end, so that labels that look ahead do not overlap.
        gap: Span,
    },
    /// By key: all rows with one key are in one part.
    Key {
        /// The spine's columns that make the key, in this order.
        columns: Vec<String>,
        /// The shares of train, validation and test, which need not come to 100.
        weights: [u32; 3],
    },
}

/// How a training set was built and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Build {
    /// The version of the engine.
    pub engine_version: String,
    /// Who built it, as far as it is known.
    pub actor: String,
    /// Free labels: a run id, a code version.
    pub tags: BTreeMap<String, String>,
    /// Bytes of the file; 0 in manifests of format 0.
    pub file_bytes: u64,
    /// Per table: the version of its Delta log, none where nothing was ever appended.
    pub delta_versions: BTreeMap<String, Option<u64>>,
    /// Per table that the spine's query read: the last `_sequence` that it saw (−1 for none). What came of it is in the spine's
    /// fingerprint. Empty where the spine was no query, and in manifests from before it was noted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub spine_tables: BTreeMap<String, i64>,
    /// Per such table: the erasures that its history had been through; a table without any is left out.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub spine_erasures: BTreeMap<String, Vec<String>>,
    /// When the spine's query was asked: its now. None where the spine was no query, and in manifests from before it was noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spine_asked_at: Option<Timestamp>,
    /// Per feature view that the spine's query named: its latest version then.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub spine_views: BTreeMap<Name, u32>,
    /// The ids of the training sets that its spine came from: those that its query read, or whose files it was.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub spine_datasets: BTreeSet<String>,
    /// Where its spine lay besides, when an equal training set was asked for again: places as in [`Dataset::spine`].
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub other_spines: BTreeSet<String>,
    /// The sum, in hex, of its rows' hashes: the same rows in any order and any encoding have the same. Empty in manifests
    /// of format 0.
    pub result_fingerprint: String,
    /// What its feature and transform columns hold, in their order; never a column of the spine.
    pub profiles: Vec<Profile>,
    /// The last entry of the audit log when it was recorded: a log that was cut or rewritten since does not have it.
    pub audit_head: Option<AuditHead>,
}

/// What a column holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The column.
    pub column: String,
    /// Its type, as definitions write it.
    pub value_type: String,
    /// Values that are not null.
    pub count: u64,
    /// Nulls.
    pub nulls: u64,
    /// The least value of a number, a time (microseconds) or a date (days); NaN is left out.
    pub min: Option<Number>,
    /// The greatest.
    pub max: Option<Number>,
    /// The mean.
    pub mean: Option<Number>,
    /// Values at fractions of the sorted values of the sample.
    pub quantiles: Vec<Quantile>,
    /// The commonest values of a text, a bool or an integer, from the sample; a value that is seen once is not told.
    pub top: Vec<Category>,
    /// Whether quantiles and top values are those of a sample of the rows, chosen by their places.
    pub sampled: bool,
    /// Rows in that sample; all rows where it is none.
    pub sample_rows: u64,
}

/// A quantile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantile {
    /// Which, in `[0, 1]`.
    pub fraction: Number,
    /// The value there.
    pub value: Number,
}

/// A value and how often it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Category {
    /// As text.
    pub value: String,
    /// Rows of the sample with it.
    pub rows: u64,
}

/// A number of a profile: JSON's where that can say it, a text (`inf`, `-inf`, `NaN`) where not. Equal by its bits.
#[derive(Clone, Copy, Debug)]
pub struct Number(pub f64);

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Number {}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() { serializer.serialize_f64(self.0) } else { serializer.collect_str(&self.0) }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Finite(f64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Finite(number) => Ok(Self(number)),
            Written::Text(text) => text.parse().map(Self).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_of_the_first_format_is_still_read() {
        let text = r#"{"id":"ab","name":null,"feature_set":{"name":"late","version":1},"feature_set_hash":"aa",
            "mode":"knowledge","spine":"s.csv","spine_fingerprint":"f0","event_timestamp":"t","evidence":false,
            "tables":{"legs-1":4},"location":"/t.parquet","rows":2,"file_hash":"cc","built_at":7}"#;
        let read: Dataset = serde_json::from_str(text).expect("a manifest");
        assert_eq!((read.format, read.rows, read.views.len(), &read.split), (0, 2, 0, &None));
        assert_eq!(read.build, Build::default());
        let again: Dataset = serde_json::from_str(&serde_json::to_string(&read).expect("JSON")).expect("a manifest");
        assert_eq!(again, read);
    }

    #[test]
    fn a_table_that_features_and_spine_read_counts_as_far_as_either_did() {
        let text = r#"{"id":"ab","name":null,"feature_set":{"name":"late","version":1},"feature_set_hash":"aa",
            "mode":"knowledge","spine":"select","spine_fingerprint":"f0","event_timestamp":"t","evidence":false,
            "tables":{"a-1":4,"b-1":-1},"location":"/t.parquet","rows":2,"file_hash":"cc","built_at":7,
            "build":{"spine_tables":{"a-1":3,"b-1":9,"c-1":0}}}"#;
        let read: Dataset = serde_json::from_str(text).expect("a manifest");
        let last = ["a-1", "b-1", "c-1", "d-1"].map(|table| read.last_sequence_read(table));
        assert_eq!(last, [Some(4), Some(9), Some(0), None]);
        assert_eq!(read.tables_read().into_iter().collect::<Vec<_>>(), ["a-1", "b-1", "c-1"]);
    }

    #[test]
    fn what_either_recording_has_read_counts() {
        let of = |spine: &str, build: &str| -> Dataset {
            let text = format!(
                r#"{{"id":"ab","name":null,"feature_set":{{"name":"late","version":1}},"feature_set_hash":"aa",
                "mode":"knowledge","spine":"{spine}","spine_fingerprint":"f0","event_timestamp":"t","evidence":false,
                "tables":{{}},"location":"/t.parquet","rows":2,"file_hash":"cc","built_at":7,"build":{build}}}"#
            );
            serde_json::from_str(&text).expect("a manifest")
        };
        let added = |first: (&str, &str), again: (&str, &str)| {
            let mut both = of(first.0, first.1);
            let again = of(again.0, again.1);
            both.add_grounds(&again);
            let once = both.clone();
            both.add_grounds(&again);
            assert_eq!(both, once, "a second time it is known");
            both
        };
        let query = r#"{"spine_tables":{"a-1":4,"b-1":9},"spine_erasures":{"a-1":["x","y"]},"spine_datasets":["cd"],
            "delta_versions":{"a-1":2,"b-1":null}}"#;
        let both = added(("/s.csv", "{}"), ("select 1", query));
        assert_eq!(both, of("/s.csv", query), "all of what the query has read");
        let earlier = r#"{"spine_tables":{"a-1":7},"spine_erasures":{"a-1":["y","z"]},"delta_versions":{"a-1":5}}"#;
        let both = added(("select 1", earlier), ("select 1", query)).build;
        assert_eq!(both.spine_tables, [("a-1".to_owned(), 7), ("b-1".to_owned(), 9)].into());
        assert_eq!(both.spine_erasures, [("a-1".to_owned(), vec!["y".to_owned()])].into(), "both had been through it");
        assert_eq!(both.delta_versions, [("a-1".to_owned(), Some(5)), ("b-1".to_owned(), None)].into());
        let both = added(("select 1", "{}"), ("select 1", query)).build;
        assert_eq!((both.spine_tables.len(), both.spine_erasures.len()), (2, 0), "the first may have read what went");
        let both = added(("/s.csv", "{}"), ("/u.csv", r#"{"other_spines":["/s.csv","/v.csv"]}"#)).build;
        assert_eq!(both.other_spines, ["/u.csv", "/v.csv"].map(str::to_owned).into());
        let uploaded = added(("/s.csv", "{}"), ("uploaded rows f0", "{}"));
        assert_eq!(uploaded, of("/s.csv", "{}"), "they are nowhere else");
    }

    #[test]
    fn a_spine_is_a_query_or_lies_somewhere_or_neither() {
        let of = |spine: &str| {
            let text = r#"{"id":"ab","name":null,"feature_set":{"name":"late","version":1},"feature_set_hash":"aa",
                "mode":"knowledge","spine":"","spine_fingerprint":"f0","event_timestamp":"t","evidence":false,
                "tables":{},"location":"/t.parquet","rows":2,"file_hash":"cc","built_at":7}"#;
            let read: Dataset = serde_json::from_str(text).expect("a manifest");
            let read = Dataset { spine: spine.to_owned(), ..read };
            (read.spine_is_query(), read.spine_location().map(str::to_owned))
        };
        for query in ["SELECT 1 FROM legs", "(select 1)", "values(1)", "-- all\nselect 1", "/* all */ select 1"] {
            assert_eq!(of(query), (true, None), "{query}");
        }
        assert_eq!(of(" with a as (select 's3://b') select 1"), (true, None));
        assert_eq!(of("/data/a b.csv /c.csv"), (false, Some("/data/a b.csv /c.csv".to_owned())));
        assert_eq!(of("s3://b/a.parquet"), (false, Some("s3://b/a.parquet".to_owned())));
        assert_eq!([of("-"), of("uploaded rows 1f2e"), of("rows in memory"), of("")], [(); 4].map(|()| (false, None)));
    }

    #[test]
    fn numbers_that_json_cannot_say_are_texts() {
        for number in [0.5, -0.0, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let text = serde_json::to_string(&Number(number)).expect("JSON");
            let read: Number = serde_json::from_str(&text).expect("a number");
            assert!(read == Number(number) || number.is_nan() && read.0.is_nan(), "{text}");
        }
        assert_eq!(serde_json::to_string(&Number(f64::INFINITY)).expect("JSON"), "\"inf\"");
    }

    #[test]
    fn a_split_says_what_it_goes_by() {
        let split = Split::Key { columns: vec!["k".to_owned()], weights: [80, 10, 10] };
        let text = serde_json::to_string(&split).expect("JSON");
        assert_eq!(text, r#"{"by":"key","columns":["k"],"weights":[80,10,10]}"#);
        assert_eq!(serde_json::from_str::<Split>(&text).expect("a split"), split);
    }
}
