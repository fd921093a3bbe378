//! What a file says of itself: read once for each file, kept as long as the pin.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use hitherto_core::Table;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::PageIndexPolicy;

use super::extent::Extent;
use super::fault::unreadable;
use super::object::ObjectReader;
use crate::log::DataFile;
use crate::schema::SEQUENCE;
use crate::{Error, Result};

/// In which form texts and bytes of keys are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyForm {
    /// As the table declares them.
    Declared,
    /// As views, which point into the decoded pages: cheaper where keys are only compared.
    Views,
}

/// A file's metadata, ready for readers.
#[derive(Clone, Debug)]
pub(super) struct Footer {
    declared: ArrowReaderMetadata,
    views: ArrowReaderMetadata,
    /// Its row groups in the file's order.
    pub(super) groups: Arc<[Group]>,
    /// Whether the file carries `_sequence`; otherwise its commit tells.
    pub(super) has_sequence: bool,
}

/// One row group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) first_row: u64,
    pub(super) rows: u64,
    pub(super) extent: Extent,
}

impl Footer {
    /// Reads the footer of `file`.
    pub(super) async fn load(mut reader: ObjectReader, file: &DataFile, table: &Table) -> Result<Self> {
        let fault = |error| unreadable(file.path.as_ref(), error);
        let options = ArrowReaderOptions::new().with_column_index_policy(PageIndexPolicy::Optional);
        let declared = ArrowReaderMetadata::load_async(&mut reader, options).await.map_err(fault)?;
        let schema = Arc::new(with_key_views(declared.schema(), table));
        let options = ArrowReaderOptions::new().with_schema(schema);
        let views = ArrowReaderMetadata::try_new(Arc::clone(declared.metadata()), options).map_err(fault)?;
        let mut first_row = 0;
        let mut groups = Vec::with_capacity(declared.metadata().num_row_groups());
        for group in declared.metadata().row_groups() {
            let rows = group.num_rows().max(0) as u64;
            let extent = Extent::of_group(file, table.created, &declared, group, first_row);
            groups.push(Group { first_row, rows, extent });
            first_row += rows;
        }
        if first_row != file.rows {
            let reason = format!("it has {first_row} rows, but the log says {}", file.rows);
            return Err(Error::Corrupt { path: file.path.to_string(), reason });
        }
        let has_sequence = declared.schema().column_with_name(SEQUENCE).is_some();
        Ok(Self { declared, views, groups: groups.into(), has_sequence })
    }

    pub(super) fn metadata(&self, form: KeyForm) -> &ArrowReaderMetadata {
        match form {
            KeyForm::Declared => &self.declared,
            KeyForm::Views => &self.views,
        }
    }
}

/// The form of `data_type` whose values point into the decoded pages, where there is one.
pub(super) fn view_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8 => DataType::Utf8View,
        DataType::Binary => DataType::BinaryView,
        other => other.clone(),
    }
}

fn with_key_views(schema: &Schema, table: &Table) -> Schema {
    let is_key = |field: &Field| table.keys.iter().any(|(name, _)| name.as_str() == field.name());
    let view = |field: &FieldRef| {
        let data_type = view_type(field.data_type());
        if is_key(field) { Arc::new(field.as_ref().clone().with_data_type(data_type)) } else { Arc::clone(field) }
    };
    Schema::new_with_metadata(schema.fields().iter().map(view).collect::<Vec<_>>(), schema.metadata().clone())
}
