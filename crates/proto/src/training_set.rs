//! Training sets.

use hitherto_core::{Dataset, Mode, Name, Selector, Timestamp};

use crate::{Error, field, v1};

/// A training set to build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTrainingSet {
    /// The feature set.
    pub feature_set: Selector,
    /// Where the spine comes from.
    pub spine: Spine,
    /// The Parquet file to write.
    pub out_url: String,
    /// Which rows it may see.
    pub mode: Mode,
    /// The spine's column of prediction times.
    pub event_timestamp: String,
    /// Whether to add, per view, when the winning row was true and when it was available.
    pub evidence: bool,
    /// A name for it.
    pub name: Option<Name>,
}

/// Where a spine comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spine {
    /// A file, under one of the urls that the server allows.
    Url(String),
    /// A SQL query over feature history.
    Sql(String),
}

impl NewTrainingSet {
    /// A training set in mode `knowledge`, without evidence or a name, of a spine whose prediction times are in
    /// `event_timestamp`.
    pub fn new(feature_set: Selector, spine: Spine, out_url: impl Into<String>) -> Self {
        Self {
            feature_set,
            spine,
            out_url: out_url.into(),
            mode: Mode::Knowledge,
            event_timestamp: EVENT_TIMESTAMP.to_owned(),
            evidence: false,
            name: None,
        }
    }
}

const EVENT_TIMESTAMP: &str = "event_timestamp";

impl From<NewTrainingSet> for v1::CreateTrainingSetRequest {
    fn from(wanted: NewTrainingSet) -> Self {
        let spine = match wanted.spine {
            Spine::Url(url) => v1::create_training_set_request::Spine::SpineUrl(url),
            Spine::Sql(sql) => v1::create_training_set_request::Spine::SpineSql(sql),
        };
        Self {
            feature_set: wanted.feature_set.to_string(),
            spine: Some(spine),
            out_url: wanted.out_url,
            mode: v1::Mode::from(wanted.mode).into(),
            event_timestamp: Some(wanted.event_timestamp),
            evidence: wanted.evidence,
            name: wanted.name.map(Into::into),
        }
    }
}

impl TryFrom<v1::CreateTrainingSetRequest> for NewTrainingSet {
    type Error = Error;

    fn try_from(sent: v1::CreateTrainingSetRequest) -> Result<Self, Error> {
        let spine = match field::required("spine_url or spine_sql", sent.spine)? {
            v1::create_training_set_request::Spine::SpineUrl(url) => Spine::Url(field::text("spine_url", url)?),
            v1::create_training_set_request::Spine::SpineSql(sql) => Spine::Sql(field::text("spine_sql", sql)?),
        };
        let event_timestamp = sent.event_timestamp.unwrap_or_else(|| EVENT_TIMESTAMP.to_owned());
        Ok(Self {
            feature_set: field::parse("feature_set", &sent.feature_set)?,
            spine,
            out_url: field::text("out_url", sent.out_url)?,
            mode: field::known::<v1::Mode>("mode", sent.mode)?.into(),
            event_timestamp: field::text("event_timestamp", event_timestamp)?,
            evidence: sent.evidence,
            name: field::parse_optional("name", sent.name.as_deref())?,
        })
    }
}

impl From<Dataset> for v1::Dataset {
    fn from(dataset: Dataset) -> Self {
        Self {
            id: dataset.id,
            name: dataset.name.map(Into::into),
            feature_set: Some(dataset.feature_set.into()),
            feature_set_hash: dataset.feature_set_hash,
            mode: v1::Mode::from(dataset.mode).into(),
            spine: dataset.spine,
            spine_fingerprint: dataset.spine_fingerprint,
            event_timestamp: dataset.event_timestamp,
            evidence: dataset.evidence,
            tables: dataset.tables.into_iter().collect(),
            location: dataset.location,
            rows: dataset.rows,
            file_hash: dataset.file_hash,
            built_at_us: dataset.built_at.0,
        }
    }
}

impl TryFrom<v1::Dataset> for Dataset {
    type Error = Error;

    fn try_from(sent: v1::Dataset) -> Result<Self, Error> {
        let mode: v1::Mode = field::known("mode", sent.mode)?;
        if mode == v1::Mode::Unspecified {
            return Err(Error::Absent { field: "mode" });
        }
        Ok(Self {
            id: field::text("id", sent.id)?,
            name: field::parse_optional("name", sent.name.as_deref())?,
            feature_set: field::versioned_name("feature_set", sent.feature_set)?,
            feature_set_hash: field::text("feature_set_hash", sent.feature_set_hash)?,
            mode: mode.into(),
            spine: sent.spine,
            spine_fingerprint: sent.spine_fingerprint,
            event_timestamp: field::text("event_timestamp", sent.event_timestamp)?,
            evidence: sent.evidence,
            tables: sent.tables.into_iter().collect(),
            location: sent.location,
            rows: sent.rows,
            file_hash: sent.file_hash,
            built_at: Timestamp(sent.built_at_us),
            // the registry's own, not told over the wire
            audit_head: None,
        })
    }
}
