//! What a join is told about each history, and the columns that follow from it.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use datafusion::error::Result;

use crate::keys::KeyFamily;
use crate::time::{timestamp_unit, value_type};
use crate::{Error, FeatureSource};

/// Which time decides whether a row is visible at `t`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Visibility {
    /// `max(event + delay, created) <= t`: what was known then.
    #[default]
    Available,
    /// `event <= t`: it can read a value before anyone knew it.
    Event,
}

/// Something about the winner that can be put beside its payload. Null where the payload is withheld.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Evidence {
    /// The winner's event time: `timestamp[us, UTC]`.
    EventTimestamp,
    /// When the winner could first be used, `max(event + delay, created)`: `timestamp[us, UTC]`.
    AvailableAt,
    /// The winner's sequence: `int64`.
    Sequence,
}

impl Evidence {
    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::EventTimestamp | Self::AvailableAt => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Sequence => DataType::Int64,
        }
    }
}

/// One history joined to the spine, and how.
#[derive(Clone, Debug)]
pub struct AsOfView {
    /// What errors and `EXPLAIN` call it.
    pub name: String,
    /// The history.
    pub source: Arc<dyn FeatureSource>,
    /// The spine's column for each of the source's key columns, in the source's order.
    pub spine_keys: Vec<usize>,
    /// A row cannot have been used sooner than this after its event, in microseconds, at least 0.
    pub source_delay_us: i64,
    /// How long after its event the winner may be used, in microseconds; none, or 0, means for ever.
    pub ttl_us: Option<i64>,
    /// Which time decides what is visible.
    pub visibility: Visibility,
    /// Payload columns, each with its name in the output; their types are those of the payload, nullable.
    pub output: Vec<(usize, FieldRef)>,
    /// What to say about the winner, each with its name in the output.
    pub evidence: Vec<(Evidence, String)>,
}

impl AsOfView {
    pub(crate) fn effective_ttl(&self) -> Option<i64> {
        self.ttl_us.filter(|&ttl| ttl != 0)
    }

    /// The bytes that the answer to one spine row takes until it is given out, roughly: texts and lists have any length.
    pub(crate) fn answer_bytes(&self) -> usize {
        let output: usize = self.output.iter().map(|(_, field)| width(field.data_type())).sum();
        size_of::<u32>() + output + self.evidence.len() * size_of::<i64>()
    }

    /// When a row could first be used. Without a created time, pass the smallest.
    pub(crate) fn available_at(&self, event: i64, created: i64) -> i64 {
        event.saturating_add(self.source_delay_us).max(created)
    }

    /// The kinds of its keys, if both sides have such that can be compared.
    pub(crate) fn key_families(&self, spine: &Schema) -> Result<Vec<KeyFamily>> {
        let types = self.source.key_types();
        if types.is_empty() || types.len() != self.spine_keys.len() {
            let reason = format!("it has {} key columns, the spine gives {}", types.len(), self.spine_keys.len());
            return Err(self.fault(reason).into());
        }
        let pairs = types.into_iter().zip(&self.spine_keys);
        pairs.map(|(source_type, &column)| self.key_family(spine, source_type, column)).collect()
    }

    fn key_family(&self, spine: &Schema, source_type: DataType, column: usize) -> Result<KeyFamily> {
        let view = self.name.clone();
        let Some(field) = spine.fields().get(column) else {
            return Err(self.fault(format!("the spine has no column {column}")).into());
        };
        let unfit = |column: String, data_type: &DataType| Error::KeyType {
            view: view.clone(),
            column,
            data_type: data_type.clone(),
        };
        let theirs =
            KeyFamily::of(&source_type).ok_or_else(|| unfit("a column of its own".to_owned(), &source_type))?;
        let ours = KeyFamily::of(field.data_type())
            .ok_or_else(|| unfit(format!("the spine's column '{}'", field.name()), field.data_type()))?;
        if ours == theirs {
            return Ok(ours);
        }
        let (column, spine) = (field.name().clone(), field.data_type().clone());
        Err(Error::KeyMismatch { view, column, spine, source_type }.into())
    }

    fn check(&self) -> Result<(), Error> {
        if self.source_delay_us < 0 || self.ttl_us.is_some_and(|ttl| ttl < 0) {
            return Err(self.fault("a delay or a ttl is negative"));
        }
        let payload = self.source.payload_schema();
        for (column, field) in &self.output {
            let Some(theirs) = payload.fields().get(*column) else {
                return Err(self.fault(format!("its payload has no column {column}")));
            };
            if theirs.data_type() != field.data_type() || !field.is_nullable() {
                let (name, ours, theirs) = (field.name(), field.data_type(), theirs.data_type());
                return Err(self.fault(format!("output column '{name}' must be {theirs} and nullable, not {ours}")));
            }
        }
        Ok(())
    }

    pub(crate) fn fault(&self, reason: impl Into<String>) -> Error {
        Error::View { view: self.name.clone(), reason: reason.into() }
    }
}

/// The bytes of a value, as a guess where they are not the same for all.
fn width(data_type: &DataType) -> usize {
    match data_type {
        DataType::FixedSizeList(item, length) => width(item.data_type()) * length.unsigned_abs() as usize,
        DataType::List(_) | DataType::LargeList(_) => 64,
        other => other.primitive_width().unwrap_or(24),
    }
}

/// As `EXPLAIN` has it.
impl fmt::Display for AsOfView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, source_delay_us, visibility, spine_keys, .. } = self;
        write!(f, "{name}: source={}, keys={spine_keys:?}, visibility=", self.source.label())?;
        f.write_str(match visibility {
            Visibility::Available => "available",
            Visibility::Event => "event",
        })?;
        if *source_delay_us != 0 {
            write!(f, ", delay={source_delay_us}us")?;
        }
        if let Some(ttl) = self.effective_ttl() {
            write!(f, ", ttl={ttl}us")?;
        }
        let names: Vec<&str> = self.output.iter().map(|(_, field)| field.name().as_str()).collect();
        write!(f, ", output=[{}]", names.join(", "))
    }
}

/// Where the columns of the output are: the spine's, then all payloads, then all evidence.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) schema: SchemaRef,
    pub(crate) outputs: Vec<Range<usize>>,
    pub(crate) evidence: Vec<Range<usize>>,
}

impl Layout {
    pub(crate) fn try_new(spine: &Schema, spine_time: usize, views: &[AsOfView]) -> Result<Self> {
        check_time(spine, spine_time)?;
        let mut fields: Vec<FieldRef> = spine.fields().iter().map(Arc::clone).collect();
        let mut names: HashSet<String> = fields.iter().map(|field| field.name().clone()).collect();
        let mut push = |view: &AsOfView, field: FieldRef, fields: &mut Vec<FieldRef>| -> Result<()> {
            if !names.insert(field.name().clone()) {
                return Err(Error::NameClash { view: view.name.clone(), name: field.name().clone() }.into());
            }
            fields.push(field);
            Ok(())
        };
        let mut outputs = Vec::with_capacity(views.len());
        for view in views {
            view.check()?;
            view.key_families(spine)?;
            let start = fields.len();
            for (_, field) in &view.output {
                push(view, Arc::clone(field), &mut fields)?;
            }
            outputs.push(start..fields.len());
        }
        let mut evidence = Vec::with_capacity(views.len());
        for view in views {
            let start = fields.len();
            for (kind, name) in &view.evidence {
                push(view, Arc::new(Field::new(name, kind.data_type(), true)), &mut fields)?;
            }
            evidence.push(start..fields.len());
        }
        let schema = Arc::new(Schema::new_with_metadata(fields, spine.metadata().clone()));
        Ok(Self { schema, outputs, evidence })
    }
}

fn check_time(spine: &Schema, spine_time: usize) -> Result<()> {
    let Some(field) = spine.fields().get(spine_time) else {
        let (column, data_type) = (format!("#{spine_time}"), DataType::Null);
        return Err(Error::SpineTimeType { column, data_type }.into());
    };
    if timestamp_unit(value_type(field.data_type())).is_none() {
        let (column, data_type) = (field.name().clone(), field.data_type().clone());
        return Err(Error::SpineTimeType { column, data_type }.into());
    }
    Ok(())
}
