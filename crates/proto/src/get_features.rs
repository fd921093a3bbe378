//! What a read of features is asked for with.

use hitherto_core::Selector;

use crate::column::Most;
use crate::{Column, Error, column, field, row_count, v1};

/// A read of the features of a consumer, for many rows.
#[derive(Clone, Debug, PartialEq)]
pub struct GetFeatures {
    /// What consumes the features.
    pub consumer: Consumer,
    /// Columns of entity keys, by the names that the feature set reads them by; at least one.
    pub entities: Vec<Column>,
    /// The feature set's request fields; as many rows.
    pub request_fields: Vec<Column>,
    /// Whether each view's event times are wanted.
    pub event_times: EventTimes,
    /// How the values are to be answered.
    pub format: AnswerFormat,
    /// What decides which version answers, where an alias shares its traffic; without one the first row's entity key does.
    pub routing_key: Option<String>,
}

/// What consumes features.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Consumer {
    /// A feature set: `NAME` or `NAME@VERSION`.
    FeatureSet(Selector),
    /// A model, and so the feature set that it was trained on: `NAME`, `NAME@VERSION` or `NAME@ALIAS`.
    Model(Selector),
}

/// Whether an answer has each view's event times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EventTimes {
    /// It has.
    #[default]
    Include,
    /// It has not, to save bytes.
    Omit,
}

/// How an answer has its values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnswerFormat {
    /// In the columns of the message.
    #[default]
    Columns,
    /// As one Arrow record batch: [`Features::arrow`](crate::Features::arrow).
    Arrow,
}

impl GetFeatures {
    /// So many rows may be asked for at once.
    pub const ROWS_MAX: usize = 100_000;
    /// So many values of keys and request fields together; the items of lists and vectors count, too.
    pub const VALUES_MAX: usize = 2_000_000;

    /// A read without request fields and without a routing key.
    pub fn new(consumer: Consumer, entities: Vec<Column>) -> Self {
        let (event_times, format) = (EventTimes::default(), AnswerFormat::default());
        Self { consumer, entities, request_fields: Vec::new(), event_times, format, routing_key: None }
    }

    /// The number of rows; an error when columns differ in it or share a name.
    pub fn row_count(&self) -> Result<usize, Error> {
        row_count(self.entities.iter().chain(&self.request_fields))
    }
}

impl TryFrom<GetFeatures> for v1::GetFeaturesRequest {
    type Error = Error;

    fn try_from(wanted: GetFeatures) -> Result<Self, Error> {
        wanted.row_count()?;
        let consumer = match wanted.consumer {
            Consumer::FeatureSet(set) => v1::get_features_request::Consumer::FeatureSet(set.to_string()),
            Consumer::Model(model) => v1::get_features_request::Consumer::Model(model.to_string()),
        };
        Ok(Self {
            consumer: Some(consumer),
            entities: column::send(wanted.entities)?,
            request_fields: column::send(wanted.request_fields)?,
            include_event_times: Some(wanted.event_times == EventTimes::Include),
            routing_key: wanted.routing_key,
            format: match wanted.format {
                AnswerFormat::Columns => v1::AnswerFormat::Columns.into(),
                AnswerFormat::Arrow => v1::AnswerFormat::Arrow.into(),
            },
        })
    }
}

impl TryFrom<v1::GetFeaturesRequest> for GetFeatures {
    type Error = Error;

    fn try_from(sent: v1::GetFeaturesRequest) -> Result<Self, Error> {
        let consumer = match field::required("feature_set or model", sent.consumer)? {
            v1::get_features_request::Consumer::FeatureSet(set) => {
                Consumer::FeatureSet(field::parse("feature_set", &set)?)
            }
            v1::get_features_request::Consumer::Model(model) => Consumer::Model(field::parse("model", &model)?),
        };
        if sent.entities.is_empty() {
            return Err(Error::Absent { field: "entities" });
        }
        let most = Most { rows: Self::ROWS_MAX, values: Self::VALUES_MAX };
        most.check("entities", sent.entities.iter().chain(&sent.request_fields))?;
        let event_times = match sent.include_event_times {
            Some(false) => EventTimes::Omit,
            None | Some(true) => EventTimes::Include,
        };
        let format = match field::known::<v1::AnswerFormat>("format", sent.format)? {
            v1::AnswerFormat::Unspecified | v1::AnswerFormat::Columns => AnswerFormat::Columns,
            v1::AnswerFormat::Arrow => AnswerFormat::Arrow,
        };
        let wanted = Self {
            consumer,
            entities: column::receive(sent.entities)?,
            request_fields: column::receive(sent.request_fields)?,
            event_times,
            format,
            // all that have no key must not land on one version
            routing_key: sent.routing_key.filter(|key| !key.is_empty()),
        };
        wanted.row_count()?;
        Ok(wanted)
    }
}
