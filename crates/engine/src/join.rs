//! A feature set joined to a spine: which table is read how, and where each column comes out.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::CastOptions;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::ExecutionPlan;
use hitherto_asof::{AsOfExec, AsOfView, Evidence, Visibility};
use hitherto_core::{Mode, ResolvedSet, SetVersion, ViewUse};
use hitherto_offline::input::convert_time_down;
use hitherto_offline::types::arrow_type;
use hitherto_offline::{PinnedTable, TableSource};

use crate::profile::Profiled;
use crate::{Error, Result, Transforms};

/// The tables that a feature set reads, each as it stood at one moment. By table id.
pub(crate) type Pins = BTreeMap<String, PinnedTable>;

/// A join that is planned and checked, and the columns of its output.
#[derive(Debug)]
pub(crate) struct Join {
    exec: Arc<AsOfExec>,
    transforms: Transforms,
    schema: SchemaRef,
    spine_columns: usize,
    spine_time: usize,
    /// Where each feature of the set is in the operator's output, in the set's order.
    features: Vec<usize>,
    /// Request fields: the spine's column, and the type that it must have.
    request: Vec<(usize, DataType)>,
}

/// What is to be joined to a spine, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JoinRequest<'a> {
    pub(crate) set: &'a SetVersion,
    /// The spine's column of prediction times.
    pub(crate) event_timestamp: &'a str,
    pub(crate) mode: Mode,
    pub(crate) evidence: &'a [(Evidence, &'static str)],
    pub(crate) pins: &'a Pins,
}

impl Join {
    /// Plan the join of `wanted` to `spine`; histories are read in `partitions` parts at once. Refused before any work: a
    /// missing column of the spine, a wrong type, a clash of names.
    pub(crate) fn plan(wanted: &JoinRequest<'_>, spine: Arc<dyn ExecutionPlan>, partitions: usize) -> Result<Self> {
        let resolved = &wanted.set.resolved;
        let spine_schema = spine.schema();
        let spine_time = spine_column(&spine_schema, wanted.event_timestamp, || "the times of prediction".to_owned())?;
        refuse_no_time(&spine_schema, spine_time)?;
        let mut views = Vec::with_capacity(resolved.uses.len());
        let mut places = vec![(0, 0); resolved.outputs.len()];
        for (index, view_use) in resolved.uses.iter().enumerate() {
            views.push(view(wanted, partitions, index, view_use, &spine_schema, &mut places)?);
        }
        let request = request_columns(resolved, &spine_schema)?;
        let transforms = Transforms::compile(resolved)?;
        refuse_clashes(&spine_schema, resolved, &views)?;
        let exec = AsOfExec::try_new(spine, spine_time, views).map_err(|source| planning(&source))?;
        let features: Vec<usize> = places.iter().map(|(view, place)| exec.output_of(*view).start + place).collect();
        let schema = output_schema(&exec, &features, &transforms);
        let spine_columns = spine_schema.fields().len();
        Ok(Self { exec: Arc::new(exec), transforms, schema, spine_columns, spine_time, features, request })
    }

    /// The operator.
    pub(crate) fn exec(&self) -> &Arc<AsOfExec> {
        &self.exec
    }

    /// The spine's column of prediction times.
    pub(crate) fn spine_time(&self) -> usize {
        self.spine_time
    }

    /// The columns of the training set: spine, features, transforms, evidence.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Where the features begin in a finished batch.
    pub(crate) fn features_start(&self) -> usize {
        self.spine_columns
    }

    /// The features and transforms of a finished batch, for their profiles.
    pub(crate) fn profiled(&self, set: &ResolvedSet) -> Vec<Profiled> {
        let features = set.outputs.iter().map(|output| &output.value_type);
        let types = features.chain(self.transforms.value_types()).map(ToString::to_string);
        let column =
            |(place, value_type)| Profiled { place, name: self.schema.field(place).name().clone(), value_type };
        (self.spine_columns..).zip(types).map(column).collect()
    }

    /// Where the evidence of view `index` begins in a finished batch.
    pub(crate) fn evidence_start(&self, index: usize) -> usize {
        let before = self.exec.evidence_of(index).start - self.exec.evidence_start();
        self.spine_columns + self.features.len() + self.transforms.fields().count() + before
    }

    /// Put the operator's columns in the set's order, and compute the transforms.
    pub(crate) fn finish(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = batch.columns()[..self.spine_columns].to_vec();
        let features: Vec<ArrayRef> = self.features.iter().map(|place| Arc::clone(batch.column(*place))).collect();
        columns.extend(features.iter().cloned());
        if !self.transforms.is_empty() {
            let mut inputs = features;
            for (column, data_type) in &self.request {
                let strict = CastOptions { safe: false, ..CastOptions::default() };
                let cast = arrow::compute::cast_with_options(batch.column(*column), data_type, &strict);
                inputs.push(cast.map_err(|source| {
                    let name = batch.schema().field(*column).name().clone();
                    Error::Invalid(format!("request field '{name}' of the spine must be {data_type}: {source}"))
                })?);
            }
            let times = convert_time_down(batch.column(self.spine_time))
                .map_err(|source| Error::Invalid(format!("the spine's times: {source}")))?;
            columns.extend(self.transforms.evaluate(inputs, Arc::new(times), batch.num_rows())?);
        }
        columns.extend(batch.columns()[self.exec.evidence_start()..].iter().cloned());
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|source| Error::internal("could not assemble the training set", source))
    }
}

fn view(
    wanted: &JoinRequest<'_>,
    partitions: usize,
    index: usize,
    view_use: &ViewUse,
    spine: &Schema,
    places: &mut [(usize, usize)],
) -> Result<AsOfView> {
    let pinned = wanted.pins.get(&view_use.table);
    let pinned = pinned.ok_or_else(|| Error::internal("a table is not pinned", view_use.table.clone()))?;
    let mut features: Vec<&hitherto_core::Name> = Vec::new();
    let mut output: Vec<(usize, FieldRef)> = Vec::new();
    for (place, column) in wanted.set.resolved.outputs.iter().enumerate().filter(|(_, output)| output.view_use == index)
    {
        let known = features.iter().position(|feature| **feature == column.feature);
        let payload = known.unwrap_or_else(|| {
            features.push(&column.feature);
            features.len() - 1
        });
        places[place] = (index, output.len());
        output.push((payload, Arc::new(Field::new(&column.name, arrow_type(&column.value_type), true))));
    }
    let source = TableSource::try_new(pinned.clone(), features, partitions)?;
    let key = |key: &hitherto_core::SpineKey| {
        spine_column(spine, &key.spine_column, || {
            format!("key '{}' ({}) of {}", key.name, key.key_type, view_use.alias)
        })
    };
    let evidence = wanted.evidence.iter().map(|(kind, suffix)| (*kind, format!("{}__{suffix}", view_use.alias)));
    Ok(AsOfView {
        name: view_use.alias.to_string(),
        source: Arc::new(source),
        spine_keys: view_use.keys.iter().map(key).collect::<Result<_>>()?,
        source_delay_us: view_use.source_delay.micros(),
        ttl_us: view_use.ttl.map(hitherto_core::Span::micros),
        visibility: match wanted.mode {
            Mode::Knowledge => Visibility::Available,
            Mode::Event => Visibility::Event,
        },
        output,
        evidence: evidence.collect(),
    })
}

pub(crate) fn spine_column(spine: &Schema, name: &str, what_for: impl FnOnce() -> String) -> Result<usize> {
    spine.index_of(name).map_err(|_| {
        let columns = spine.fields().iter().map(|field| field.name().as_str());
        let hint = match hitherto_core::did_you_mean(name, columns.clone()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("it has {}", columns.collect::<Vec<_>>().join(", ")),
        };
        Error::Invalid(format!("the spine has no column '{name}' for {} ({hint})", what_for()))
    })
}

fn refuse_no_time(spine: &Schema, column: usize) -> Result<()> {
    let field = spine.field(column);
    let name = field.name();
    match field.data_type() {
        DataType::Timestamp(..) => Ok(()),
        DataType::Date32 | DataType::Date64 => Err(Error::Invalid(format!(
            "the spine's column '{name}' is a date, not a time: say at which moment of the day the prediction is made"
        ))),
        DataType::Dictionary(_, value) if matches!(value.as_ref(), DataType::Timestamp(..)) => Ok(()),
        other => Err(Error::Invalid(format!("the spine's column '{name}' must be a timestamp, not {other}"))),
    }
}

fn request_columns(set: &ResolvedSet, spine: &Schema) -> Result<Vec<(usize, DataType)>> {
    let column = |name: &hitherto_core::Name, value_type: &hitherto_core::ValueType| {
        let place = spine_column(spine, name.as_str(), || format!("the request field '{name}' ({value_type})"))?;
        Ok((place, arrow_type(value_type)))
    };
    set.request.iter().map(|(name, value_type)| column(name, value_type)).collect()
}

fn refuse_clashes(spine: &Schema, set: &ResolvedSet, views: &[AsOfView]) -> Result<()> {
    let outputs = set.outputs.iter().map(|output| output.name.as_str());
    let transforms = set.transforms.iter().map(|transform| transform.name.as_str());
    let evidence = views.iter().flat_map(|view| view.evidence.iter().map(|(_, name)| name.as_str()));
    let clash = outputs.chain(transforms).chain(evidence).find(|name| spine.index_of(name).is_ok());
    match clash {
        None => Ok(()),
        Some(name) => Err(Error::Invalid(format!(
            "the spine has a column '{name}', and so would the training set: rename the spine's column, or the feature with `as:`"
        ))),
    }
}

fn output_schema(exec: &AsOfExec, features: &[usize], transforms: &Transforms) -> SchemaRef {
    let joined = exec.schema();
    let spine = exec.spine().schema();
    let mut fields: Vec<FieldRef> = spine.fields().iter().cloned().collect();
    fields.extend(features.iter().map(|place| Arc::clone(&joined.fields()[*place])));
    fields.extend(transforms.fields().cloned());
    fields.extend(joined.fields()[exec.evidence_start()..].iter().cloned());
    Arc::new(Schema::new(fields))
}

/// What DataFusion says of a plan, in our words where the fault is ours to explain.
pub(crate) fn planning(source: &DataFusionError) -> Error {
    match source.find_root() {
        DataFusionError::External(inner) => match inner.downcast_ref::<hitherto_asof::Error>() {
            Some(error) => refused(error),
            None => Error::Invalid(inner.to_string()),
        },
        other => Error::Invalid(other.strip_backtrace()),
    }
}

/// What the operator refuses, in the words of definitions: rows count from 1, types have the names that views give them.
pub(crate) fn refused(error: &hitherto_asof::Error) -> Error {
    use hitherto_asof::Error as AsOf;
    Error::Invalid(match error {
        AsOf::SpineTimeNull { column, row } => {
            format!("the spine's column '{column}' is null in row {}: every row needs its time of prediction", row + 1)
        }
        AsOf::KeyMismatch { view, column, spine, source_type } => format!(
            "the spine's column '{column}' is {}, and the key of {view} that it stands for is {}",
            type_name(spine),
            type_name(source_type)
        ),
        other => other.to_string(),
    })
}

fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytes".to_owned(),
        DataType::Boolean => "bool".to_owned(),
        DataType::Timestamp(..) => "timestamp".to_owned(),
        DataType::Dictionary(_, value) => type_name(value),
        other => other.to_string().to_lowercase(),
    }
}
