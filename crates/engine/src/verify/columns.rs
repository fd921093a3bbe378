//! Which column of a file is what.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::kernels::cmp::distinct;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use hitherto_certificate::{Claim, Evidence, micros_down};
use hitherto_core::{Dataset, Mode, SetVersion};
use hitherto_offline::types::{arrow_type, key_arrow_type};

use super::{AuditRequest, TransformReport};
use crate::split::Splitter;
use crate::training_set::splitter;
use crate::{Error, Result, SPLIT_COLUMN, Transforms};

/// Where a training set's columns are.
pub(super) struct FileColumns {
    time: usize,
    spine: Range<usize>,
    /// Per output of the set; none where a file from elsewhere lacks it.
    outputs: Vec<Option<usize>>,
    /// Per use of a view.
    evidence: Vec<Option<Evidence>>,
    /// Per transform.
    transforms: Vec<Option<usize>>,
    /// Per request field: its column and type.
    request: Vec<(usize, DataType)>,
    /// The split: its column, and what it should hold.
    split: Option<(usize, Splitter)>,
    /// Names that must be in the file, in this order, and nothing else.
    exactly: Option<Vec<String>>,
}

impl FileColumns {
    /// Of a file that we wrote: spine, features, transforms, evidence, split.
    pub(super) fn of_dataset(
        dataset: &Dataset,
        set: &SetVersion,
        transforms: &Transforms,
        schema: &Schema,
    ) -> Result<Self> {
        let resolved = &set.resolved;
        let mut names: Vec<String> = resolved.outputs.iter().map(|output| output.name.clone()).collect();
        names.extend(transforms.fields().map(|field| field.name().clone()));
        if dataset.evidence {
            let of = |alias: &str| [format!("{alias}__event_timestamp"), format!("{alias}__available_at")];
            names.extend(resolved.uses.iter().flat_map(|view_use| of(view_use.alias.as_str())));
        }
        let column = |name: &String| {
            schema.index_of(name).map_err(|_| {
                Error::Invalid(format!(
                    "the file has no column '{name}': it is no training set of {}",
                    set.versioned_name()
                ))
            })
        };
        let places = names.iter().map(column).collect::<Result<Vec<usize>>>()?;
        let (outputs, rest) = places.split_at(resolved.outputs.len());
        let (transforms, evidence) = rest.split_at(resolved.transforms.len());
        let evidence = evidence.chunks(2).map(|pair| Some(Evidence { event: pair[0], available: pair[1] }));
        let mut evidence: Vec<_> = evidence.collect();
        evidence.resize(resolved.uses.len(), None);
        let spine = 0..places.iter().copied().min().unwrap_or(schema.fields().len());
        let of_spine = Schema::new(schema.fields()[spine.clone()].to_vec());
        let split = match splitter(dataset, &of_spine, &of_spine)? {
            Some(splitter) => {
                let name = SPLIT_COLUMN.to_owned();
                let column = column(&name)?;
                names.push(name);
                Some((column, splitter))
            }
            None => None,
        };
        let in_spine: Vec<String> = schema.fields()[spine.clone()].iter().map(|field| field.name().clone()).collect();
        Ok(Self {
            time: time_column(schema, &dataset.event_timestamp)?,
            spine,
            outputs: outputs.iter().copied().map(Some).collect(),
            evidence,
            transforms: transforms.iter().copied().map(Some).collect(),
            request: request_columns(set, schema)?,
            split,
            exactly: Some(in_spine.into_iter().chain(names).collect()),
        })
    }

    /// Of a file from elsewhere: whatever it has of the set's features, by name.
    pub(super) fn of_file(wanted: &AuditRequest, set: &SetVersion, schema: &Schema) -> Result<Self> {
        let find = |name: &str| schema.index_of(name).ok();
        let outputs: Vec<_> = set.resolved.outputs.iter().map(|output| find(&output.name)).collect();
        if outputs.iter().all(Option::is_none) {
            let names: Vec<&str> = set.resolved.outputs.iter().map(|output| output.name.as_str()).collect();
            return Err(Error::Invalid(format!(
                "the file has none of the features of {}: name its columns {}",
                set.versioned_name(),
                names.join(", ")
            )));
        }
        // a transform can be computed again only from all that it may read
        let whole = outputs.iter().all(Option::is_some);
        let request = if whole { request_columns(set, schema).ok() } else { None };
        let transforms = set.resolved.transforms.iter().map(|transform| {
            let found = find(transform.name.as_str());
            found.filter(|_| request.is_some())
        });
        Ok(Self {
            time: time_column(schema, &wanted.event_timestamp)?,
            spine: 0..0,
            evidence: vec![None; set.resolved.uses.len()],
            transforms: transforms.collect(),
            outputs,
            request: request.unwrap_or_default(),
            split: None,
            exactly: None,
        })
    }

    /// What is wrong with the columns of a file of ours.
    pub(super) fn surprises(&self, schema: &Schema) -> Option<String> {
        let expected = self.exactly.as_ref()?;
        let found: Vec<&String> = schema.fields().iter().map(|field| field.name()).collect();
        if found.iter().copied().eq(expected) {
            return None;
        }
        let other = found.iter().find(|name| !expected.contains(name));
        Some(match other {
            Some(name) => format!("it has a column '{name}' that was not written"),
            None => "its columns are in another order than they were written in".to_owned(),
        })
    }

    /// The columns of the spine.
    pub(super) fn spine(&self, schema: &SchemaRef) -> SchemaRef {
        Arc::new(Schema::new(schema.fields()[self.spine.clone()].to_vec()))
    }

    /// The spine's part of a band.
    pub(super) fn spine_of(&self, band: &RecordBatch) -> Result<RecordBatch> {
        let columns: Vec<usize> = self.spine.clone().collect();
        band.project(&columns).map_err(|source| Error::internal("could not take the spine's columns", source))
    }

    /// What the file claims of the view with index `view`; `None` where it has nothing of it.
    pub(super) fn claim(
        &self,
        view: usize,
        set: &SetVersion,
        mode: Mode,
        schema: &Schema,
    ) -> Result<Option<(Claim, Vec<String>)>> {
        let view_use = &set.resolved.uses[view];
        let outputs = set.resolved.outputs.iter().zip(&self.outputs).filter(|(output, _)| output.view_use == view);
        let present = outputs.filter_map(|(output, column)| column.map(|column| (column, output.feature.to_string())));
        let (features, names): (Vec<usize>, Vec<String>) = present.unzip();
        if features.is_empty() {
            return Ok(None);
        }
        let key = |key: &hitherto_core::SpineKey| {
            let column = schema.index_of(&key.spine_column).map_err(|_| {
                Error::Invalid(format!(
                    "the file has no column '{}' for key '{}' of {}",
                    key.spine_column, key.name, view_use.alias
                ))
            })?;
            Ok((column, key_arrow_type(key.key_type)))
        };
        let claim = Claim {
            view: view_use.alias.to_string(),
            reading: view_use.reading(),
            mode,
            keys: view_use.keys.iter().map(key).collect::<Result<_>>()?,
            time: self.time,
            features,
            evidence: self.evidence[view],
        };
        Ok(Some((claim, names)))
    }

    /// Compute the transforms of a band's rows from its features, and count the cells that hold something else.
    pub(super) fn check_transforms(
        &self,
        transforms: &Transforms,
        band: &RecordBatch,
        first_row: u64,
        reports: &mut Vec<TransformReport>,
    ) -> Result<()> {
        if self.transforms.iter().all(Option::is_none) {
            return Ok(());
        }
        let mut inputs = Vec::with_capacity(self.outputs.len() + self.request.len());
        for (column, field) in self.outputs.iter().flatten().zip(transforms.input()) {
            inputs.push(strictly(band, *column, field.data_type())?);
        }
        for (column, data_type) in &self.request {
            inputs.push(strictly(band, *column, data_type)?);
        }
        let times = micros_down(band.schema().field(self.time).name(), band.column(self.time))?.with_timezone("UTC");
        let computed = transforms.evaluate(inputs, Arc::new(times), band.num_rows())?;
        for ((found, computed), field) in self.transforms.iter().zip(&computed).zip(transforms.fields()) {
            let Some(found) = found else { continue };
            let found = strictly(band, *found, field.data_type())?;
            compare(field.name(), &found, computed, first_row, reports)?;
        }
        Ok(())
    }

    /// Tell a band's rows apart again, and count the cells of the split that hold something else.
    pub(super) fn check_split(
        &self,
        band: &RecordBatch,
        first_row: u64,
        reports: &mut Vec<TransformReport>,
    ) -> Result<()> {
        let Some((column, splitter)) = &self.split else { return Ok(()) };
        let found = strictly(band, *column, &DataType::Utf8)?;
        let told = splitter.append(&self.spine_of(band)?)?;
        compare(SPLIT_COLUMN, &found, told.column(told.num_columns() - 1), first_row, reports)
    }
}

/// Count the cells of a column that are not what was computed again.
fn compare(
    name: &str,
    found: &ArrayRef,
    computed: &ArrayRef,
    first_row: u64,
    reports: &mut Vec<TransformReport>,
) -> Result<()> {
    let differs = distinct(found, computed)
        .map_err(|source| Error::internal("could not compare a column with what it should be", source))?;
    if !reports.iter().any(|report| report.name == name) {
        reports.push(TransformReport { name: name.to_owned(), rows: 0, wrong_cells: 0, first_wrong_row: None });
    }
    for report in reports.iter_mut().filter(|report| report.name == name) {
        report.rows += found.len() as u64;
        report.wrong_cells += differs.true_count() as u64;
        let first = differs.values().set_indices().next().map(|row| first_row + row as u64 + 1);
        report.first_wrong_row = report.first_wrong_row.or(first);
    }
    Ok(())
}

fn time_column(schema: &Schema, name: &str) -> Result<usize> {
    schema.index_of(name).map_err(|_| {
        Error::Invalid(format!(
            "the file has no column '{name}' with the times of prediction: name it with --event-timestamp"
        ))
    })
}

fn request_columns(set: &SetVersion, schema: &Schema) -> Result<Vec<(usize, DataType)>> {
    let column = |(name, value_type): (&hitherto_core::Name, &hitherto_core::ValueType)| {
        let column = schema.index_of(name.as_str());
        let column = column.map_err(|_| Error::Invalid(format!("the file has no column '{name}', a request field")))?;
        Ok((column, arrow_type(value_type)))
    };
    set.resolved.request.iter().map(column).collect()
}

fn strictly(band: &RecordBatch, column: usize, to: &DataType) -> Result<ArrayRef> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let name = || band.schema().field(column).name().clone();
    cast_with_options(band.column(column), to, &strict)
        .map_err(|source| Error::Invalid(format!("the file's column '{}' should be {to}: {source}", name())))
}
