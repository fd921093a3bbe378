//! What a read of features answers.

use hitherto_core::{Name, Span, Status, Timestamp, Value, ValueType, VersionedName};

use crate::{Column, Error, field, v1};

/// The features of a consumer, for every row of the request, with what is needed to judge them.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// The features in the set's order, then its transforms.
    pub columns: Vec<FeatureColumn>,
    /// The views that they come from, under each alias once.
    pub views: Vec<ViewAnswer>,
    /// The feature set that answered.
    pub feature_set: VersionedName,
    /// SHA-256, in hex, of what decides its values.
    pub feature_set_hash: String,
    /// The model version that answered, where a model was asked for.
    pub model: Option<ModelPin>,
    /// The moment of the answer, by the server's clock.
    pub clock: Timestamp,
    /// The number of rows.
    pub rows: usize,
    /// The values as an Arrow IPC stream of one record batch, with the columns' names and order, where they were asked for
    /// so. Then the columns have no values of their own, but types and statuses.
    pub arrow: Option<Vec<u8>>,
}

/// One feature or transform.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub value_type: ValueType,
    /// One per row, null unless its status is present; none in an answer that has its values as Arrow.
    pub values: Vec<Value>,
    /// What each value stands for.
    pub statuses: Vec<Status>,
    /// Index into [`Features::views`]; none for a transform.
    pub view: Option<usize>,
}

/// One view's part in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewAnswer {
    /// The pinned version.
    pub view: VersionedName,
    /// The name under which the feature set uses it.
    pub alias: Name,
    /// Per row, the event time of the view's row, if there is one. `None` where they were not asked for.
    pub event_times: Option<Vec<Option<Timestamp>>>,
    /// How far it got online; none where it never did.
    pub watermark: Option<Watermark>,
}

/// How far a view got on its way online, in the order of ingestion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// The last sequence that was looked at; -1 where there was none.
    pub sequence: i64,
    /// The clock of the last run.
    pub clock: Timestamp,
    /// How far that lies behind the moment of the answer.
    pub lag: Span,
    /// Whether the online store was restarted or replaced since, so that it may have lost what came last.
    pub is_stale: bool,
}

/// The version of a model that answered for a name or an alias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPin {
    /// The model and its version.
    pub version: VersionedName,
    /// The alias that was asked for.
    pub alias: Option<Name>,
}

impl TryFrom<Features> for v1::GetFeaturesResponse {
    type Error = Error;

    fn try_from(features: Features) -> Result<Self, Error> {
        Ok(Self {
            columns: features.columns.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            views: features.views.into_iter().map(Into::into).collect(),
            feature_set: Some(v1::FeatureSetVersion {
                name: features.feature_set.name.into(),
                version: features.feature_set.version,
                hash: features.feature_set_hash,
            }),
            model: features.model.map(|pin| v1::ModelPin {
                name: pin.version.name.into(),
                version: pin.version.version,
                alias: pin.alias.map(Into::into),
            }),
            clock_us: features.clock.0,
            rows: features.rows as u64,
            arrow: features.arrow,
        })
    }
}

impl TryFrom<v1::GetFeaturesResponse> for Features {
    type Error = Error;

    fn try_from(sent: v1::GetFeaturesResponse) -> Result<Self, Error> {
        let set = field::required("feature_set", sent.feature_set)?;
        let version = field::version("feature_set.version", set.version)?;
        let features = Self {
            columns: sent.columns.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            views: sent.views.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            feature_set: VersionedName { name: field::parse("feature_set.name", &set.name)?, version },
            feature_set_hash: set.hash,
            model: sent.model.map(TryInto::try_into).transpose()?,
            clock: Timestamp(sent.clock_us),
            rows: sent.rows as usize,
            arrow: sent.arrow,
        };
        features.checked()
    }
}

impl Features {
    /// Whether every column and view has all rows, and every column's view exists.
    fn checked(self) -> Result<Self, Error> {
        let wrong = |column: &str, problem: String| Err(Error::Column { column: column.to_owned(), problem });
        for column in &self.columns {
            if column.statuses.len() != self.rows {
                return wrong(&column.name, format!("has {} of {} rows", column.statuses.len(), self.rows));
            }
            let expected = if self.arrow.is_some() { 0 } else { self.rows };
            if column.values.len() != expected {
                return wrong(&column.name, format!("has {} values, and should have {expected}", column.values.len()));
            }
            if let Some(view) = column.view.filter(|view| *view >= self.views.len()) {
                return wrong(&column.name, format!("is of view {view}, and there are {}", self.views.len()));
            }
        }
        for view in &self.views {
            if let Some(times) = view.event_times.as_ref().filter(|times| times.len() != self.rows) {
                return wrong(view.alias.as_str(), format!("has {} event times of {}", times.len(), self.rows));
            }
        }
        Ok(self)
    }
}

impl TryFrom<FeatureColumn> for v1::FeatureColumn {
    type Error = Error;

    fn try_from(column: FeatureColumn) -> Result<Self, Error> {
        Ok(Self {
            column: Some(Column::new(column.name, column.value_type, column.values).try_into()?),
            statuses: column.statuses.into_iter().map(|status| v1::Status::from(status).into()).collect(),
            view: column.view.map(|view| view as u32),
        })
    }
}

impl TryFrom<v1::FeatureColumn> for FeatureColumn {
    type Error = Error;

    fn try_from(sent: v1::FeatureColumn) -> Result<Self, Error> {
        let Column { name, value_type, values } = field::required("column", sent.column)?.try_into()?;
        let status = |number| field::known::<v1::Status>("statuses", number)?.try_into();
        let statuses = sent.statuses.into_iter().map(status).collect::<Result<Vec<Status>, Error>>()?;
        // whether there may be none, the whole answer says
        if statuses.len() != values.len() && !values.is_empty() {
            let problem = format!("has {} values, but {} statuses", values.len(), statuses.len());
            return Err(Error::Column { column: name, problem });
        }
        let contradiction = values
            .iter()
            .zip(&statuses)
            .position(|(value, status)| (*value == Value::Null) == (*status == Status::Present));
        if let Some(row) = contradiction {
            let problem = format!("is {:?} in row {row}, with the status {:?}", values[row], statuses[row]);
            return Err(Error::Column { column: name, problem });
        }
        Ok(Self { name, value_type, values, statuses, view: sent.view.map(|view| view as usize) })
    }
}

impl From<ViewAnswer> for v1::ViewAnswer {
    fn from(answer: ViewAnswer) -> Self {
        let times = answer.event_times.unwrap_or_default();
        let validity =
            if times.iter().all(Option::is_some) { Vec::new() } else { times.iter().map(Option::is_some).collect() };
        Self {
            name: answer.view.name.into(),
            version: answer.view.version,
            alias: answer.alias.into(),
            event_times_us: times.into_iter().map(|time| time.map_or(0, |time| time.0)).collect(),
            event_time_validity: validity,
            watermark: answer.watermark.map(|watermark| v1::Watermark {
                sequence: watermark.sequence,
                clock_us: watermark.clock.0,
                lag_us: watermark.lag.micros(),
                stale: watermark.is_stale,
            }),
        }
    }
}

impl TryFrom<v1::ViewAnswer> for ViewAnswer {
    type Error = Error;

    fn try_from(sent: v1::ViewAnswer) -> Result<Self, Error> {
        let validity = &sent.event_time_validity;
        if !validity.is_empty() && validity.len() != sent.event_times_us.len() {
            let reason = format!("it has {} rows of {}", validity.len(), sent.event_times_us.len());
            return Err(Error::Invalid { field: "event_time_validity", reason });
        }
        let is_there = |row: usize| validity.get(row).copied().unwrap_or(true);
        let time = |(row, us): (usize, &i64)| is_there(row).then_some(Timestamp(*us));
        let times: Vec<_> = sent.event_times_us.iter().enumerate().map(time).collect();
        let version = field::version("views.version", sent.version)?;
        Ok(Self {
            view: VersionedName { name: field::parse("views.name", &sent.name)?, version },
            alias: field::parse("views.alias", &sent.alias)?,
            event_times: if times.is_empty() { None } else { Some(times) },
            watermark: sent.watermark.map(TryInto::try_into).transpose()?,
        })
    }
}

impl TryFrom<v1::Watermark> for Watermark {
    type Error = Error;

    fn try_from(sent: v1::Watermark) -> Result<Self, Error> {
        let lag = field::span("lag_us", sent.lag_us)?;
        Ok(Self { sequence: sent.sequence, clock: Timestamp(sent.clock_us), lag, is_stale: sent.stale })
    }
}

impl TryFrom<v1::ModelPin> for ModelPin {
    type Error = Error;

    fn try_from(sent: v1::ModelPin) -> Result<Self, Error> {
        let version = field::version("model.version", sent.version)?;
        Ok(Self {
            version: VersionedName { name: field::parse("model.name", &sent.name)?, version },
            alias: field::parse_optional("model.alias", sent.alias.as_deref())?,
        })
    }
}
