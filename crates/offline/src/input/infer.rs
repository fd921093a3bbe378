//! Files as they are, and the types of text, for spines: a type is taken only if every value of the column has it.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use hitherto_core::ValueType;

use super::cast::{Form, Rounding, Rule, cast_text, is_date, parse_time};
use super::column::refuse_duplicates;
use super::csv::CsvRows;
use super::json::{JsonLines, JsonRows, members, unquoted};
use super::open::InputFile;
use super::parquet::ParquetFile;
use super::read::{Batches, Halt, Sink};
use super::{Format, Input, InputError, Role, TargetColumn};
use crate::types::arrow_type;

impl Input {
    /// The rows with the types that the files give them, in order; all files must be of one schema.
    ///
    /// The types of CSV and JSON are inferred from all of their rows, so such files are read twice. CSV has `bool`
    /// (true, false), `int64`, `float64`, `date` (2013-07-01), `timestamp` (a date and a time, with or without a
    /// zone, naive meaning UTC, rounded down to microseconds) and else `string`; numbers with leading zeros and
    /// integers beyond 64 bits are strings, for they would lose something. In JSON a string is a time, a date or a
    /// string, and never a number; lists and objects are refused.
    pub async fn stream(&self) -> Result<Batches, InputError> {
        let files = Arc::clone(&self.files);
        let name = self.names().next().unwrap_or("-").to_owned();
        let shapes = tokio::task::spawn_blocking(move || shapes(&files));
        let (schema, types) = shapes.await.unwrap_or(Err(InputError::Stopped { file: name }))?;
        let batch_schema = Arc::clone(&schema);
        Ok(Batches::spawn(schema, Arc::clone(&self.files), move |files, sink| {
            for (index, file) in files.iter().enumerate() {
                sink.enter(index);
                read(file, &batch_schema, &types, sink)?;
                file.refuse_change()?;
            }
            Ok(())
        }))
    }
}

impl Input {
    /// The columns that [`Input::stream`] gives.
    pub async fn schema(&self) -> Result<SchemaRef, InputError> {
        let files = Arc::clone(&self.files);
        let name = self.names().next().unwrap_or("-").to_owned();
        let shapes = tokio::task::spawn_blocking(move || shapes(&files));
        Ok(shapes.await.unwrap_or(Err(InputError::Stopped { file: name }))?.0)
    }

    /// Some columns of Parquet files, and nothing read of the others: `columns` are indices into [`Input::schema`], at least
    /// one, ascending.
    pub async fn stream_columns(&self, columns: Vec<usize>) -> Result<Batches, InputError> {
        let name = self.names().next().unwrap_or("-").to_owned();
        let schema = self.schema().await?.project(&columns);
        let schema = Arc::new(schema.map_err(|error| InputError::Corrupt { file: name, reason: error.to_string() })?);
        let batch_schema = Arc::clone(&schema);
        Ok(Batches::spawn(schema, Arc::clone(&self.files), move |files, sink| {
            for (index, file) in files.iter().enumerate() {
                sink.enter(index);
                let mut rows = ParquetFile::open(file)?.rows(columns.clone())?;
                while let Some(batch) = rows.next()? {
                    sink.put(rebuilt(file, &batch_schema, batch.columns().to_vec())?)?;
                }
                file.refuse_change()?;
            }
            Ok(())
        }))
    }
}

/// What the values of a column of text have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guess {
    /// There is none yet.
    Nothing,
    Bool,
    /// With whether every one is exact as a float.
    Int(bool),
    Float,
    Date,
    Time,
    Text,
}

/// The columns of text files in the order in which they first appear.
#[derive(Default)]
struct Guesses {
    columns: Vec<(String, Guess)>,
    places: HashMap<String, usize>,
}

/// The schema of all files, and the types of the columns of those that are text.
fn shapes(files: &[InputFile]) -> Result<(SchemaRef, Vec<TargetColumn>), InputError> {
    let mut guesses = Guesses::default();
    let mut first_csv: Option<(&InputFile, Vec<String>)> = None;
    for file in files {
        match file.format {
            Format::Csv => {
                let header = guesses.add_csv(file)?;
                match &first_csv {
                    Some((first, expected)) => same_names(file, &header, first, expected)?,
                    None => first_csv = Some((file, header)),
                }
            }
            Format::Ndjson => guesses.add_json(file)?,
            Format::Parquet => {}
        }
    }
    let types: Vec<TargetColumn> = guesses
        .columns
        .iter()
        .map(|(name, guess)| TargetColumn::new(name, name, guess.value_type(), Role::Feature))
        .collect();
    let fields: Vec<Field> =
        types.iter().map(|column| Field::new(&column.name, arrow_type(&column.value_type), true)).collect();
    let mut first: Option<(&InputFile, SchemaRef)> = None;
    for file in files {
        let schema = match file.format {
            Format::Parquet => parquet_schema(file)?,
            Format::Csv | Format::Ndjson => Arc::new(Schema::new(fields.clone())),
        };
        match &first {
            Some((first, expected)) => same_schema(file, &schema, first, expected)?,
            None => first = Some((file, schema)),
        }
    }
    Ok((first.map_or_else(|| Arc::new(Schema::empty()), |(_, schema)| schema), types))
}

fn parquet_schema(file: &InputFile) -> Result<SchemaRef, InputError> {
    let opened = ParquetFile::open(file)?;
    let names: Vec<String> = opened.schema().fields().iter().map(|field| field.name().clone()).collect();
    refuse_duplicates(&file.name, &names)?;
    let fields: Vec<Field> =
        opened.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    Ok(Arc::new(Schema::new(fields)))
}

fn read(file: &InputFile, schema: &SchemaRef, types: &[TargetColumn], sink: &Sink) -> Result<(), Halt> {
    match file.format {
        Format::Parquet => {
            let mut rows = ParquetFile::open(file)?.rows((0..schema.fields().len()).collect())?;
            while let Some(batch) = rows.next()? {
                sink.put(rebuilt(file, schema, batch.columns().to_vec())?)?;
            }
        }
        Format::Csv => {
            let mut rows = CsvRows::open(file)?;
            let mut first_row = 1;
            while let Some(batch) = rows.next()? {
                sink.put(typed(file, schema, types, &batch, (Form::Csv, first_row))?)?;
                first_row += batch.num_rows() as u64;
            }
        }
        Format::Ndjson => {
            let names: Vec<String> = types.iter().map(|column| column.name.clone()).collect();
            let mut rows = JsonRows::open(file, &names)?;
            let mut first_row = 1;
            while let Some(batch) = rows.next()? {
                sink.put(typed(file, schema, types, &batch, (Form::Json, first_row))?)?;
                first_row += batch.num_rows() as u64;
            }
        }
    }
    Ok(())
}

fn typed(
    file: &InputFile,
    schema: &SchemaRef,
    types: &[TargetColumn],
    batch: &RecordBatch,
    (form, first_row): (Form, u64),
) -> Result<RecordBatch, InputError> {
    let rule = Rule { role: Role::Feature, rounding: Rounding::Down };
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(types.len());
    for column in types {
        let Some(text) = batch.column_by_name(&column.name) else {
            return Err(InputError::Changed { file: file.name.clone() });
        };
        let cast = cast_text(text.as_string(), form, &column.value_type, rule);
        columns.push(cast.map_err(|error| error.at(&file.name, column, first_row))?);
    }
    rebuilt(file, schema, columns)
}

fn rebuilt(file: &InputFile, schema: &SchemaRef, columns: Vec<ArrayRef>) -> Result<RecordBatch, InputError> {
    RecordBatch::try_new(Arc::clone(schema), columns)
        .map_err(|error| InputError::Corrupt { file: file.name.clone(), reason: error.to_string() })
}

fn same_names(file: &InputFile, names: &[String], first: &InputFile, expected: &[String]) -> Result<(), InputError> {
    let differs = |column: &str, found: &str, expected: &str| InputError::SchemasDiffer {
        file: file.name.clone(),
        column: column.to_owned(),
        found: found.into(),
        first: first.name.as_str().into(),
        expected: expected.into(),
    };
    if let Some(column) = names.iter().find(|name| !expected.contains(name)) {
        return Err(differs(column, "present", "absent"));
    }
    match expected.iter().find(|name| !names.contains(name)) {
        Some(column) => Err(differs(column, "absent", "present")),
        None => Ok(()),
    }
}

fn same_schema(file: &InputFile, schema: &Schema, first: &InputFile, expected: &Schema) -> Result<(), InputError> {
    let names = |schema: &Schema| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
    same_names(file, &names(schema), first, &names(expected))?;
    let place = |schema: &Schema, name: &str| {
        let found = schema.column_with_name(name);
        found.map_or_else(String::new, |(at, field)| format!("{} at place {}", field.data_type(), at + 1))
    };
    for (found, wanted) in schema.fields().iter().zip(expected.fields()) {
        if found.name() != wanted.name() || found.data_type() != wanted.data_type() {
            return Err(InputError::SchemasDiffer {
                file: file.name.clone(),
                column: wanted.name().clone(),
                found: place(schema, wanted.name()).into(),
                first: first.name.as_str().into(),
                expected: place(expected, wanted.name()).into(),
            });
        }
    }
    Ok(())
}

impl Guesses {
    fn place(&mut self, name: &str) -> usize {
        if let Some(&place) = self.places.get(name) {
            return place;
        }
        let place = self.columns.len();
        self.columns.push((name.to_owned(), Guess::Nothing));
        self.places.insert(name.to_owned(), place);
        place
    }

    fn add_csv(&mut self, file: &InputFile) -> Result<Vec<String>, InputError> {
        let mut rows = CsvRows::open(file)?;
        let header = rows.header().to_vec();
        refuse_duplicates(&file.name, &header)?;
        let places: Vec<usize> = header.iter().map(|name| self.place(name)).collect();
        while let Some(batch) = rows.next()? {
            for (&place, column) in places.iter().zip(batch.columns()) {
                let guess = &mut self.columns[place].1;
                for text in column.as_string::<i32>().iter().flatten() {
                    if *guess == Guess::Text {
                        break;
                    }
                    *guess = guess.and(Guess::of_text(text));
                }
            }
        }
        Ok(header)
    }

    fn add_json(&mut self, file: &InputFile) -> Result<(), InputError> {
        let mut lines = JsonLines::open(file)?;
        while lines.advance()? {
            for (key, value) in members(lines.text()) {
                let key = unquoted(key);
                let place = self.place(&key);
                if value.starts_with(['[', '{']) {
                    let reason = format!("has a list or an object in '{key}': leave it out, or write Parquet");
                    return Err(lines.refuse(reason));
                }
                let guess = &mut self.columns[place].1;
                *guess = guess.and(Guess::of_json(value));
            }
        }
        Ok(())
    }
}

impl Guess {
    fn of_text(text: &str) -> Self {
        match text {
            "true" | "True" | "TRUE" | "false" | "False" | "FALSE" => return Self::Bool,
            "NaN" | "nan" | "inf" | "-inf" => return Self::Float,
            _ => {}
        }
        if text.is_empty() || text.starts_with('+') || text.trim().len() != text.len() {
            return Self::Text;
        }
        let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
        if !digits.first().is_some_and(|first| first.is_ascii_digit() || *first == b'.') {
            return Self::Text;
        }
        let is_padded = digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit();
        let is_whole = digits.iter().all(u8::is_ascii_digit);
        match text.parse::<i64>() {
            Ok(0) if text.starts_with('-') => return Self::Text,
            Ok(_) if is_padded => return Self::Text,
            Ok(value) => return Self::Int(value.unsigned_abs() <= 1 << 53),
            Err(_) if is_whole => return Self::Text,
            Err(_) => {}
        }
        if !is_padded && text.parse::<f64>().is_ok_and(f64::is_finite) {
            return Self::Float;
        }
        Self::of_string(text)
    }

    fn of_json(value: &str) -> Self {
        match value.as_bytes().first() {
            Some(b'n') => Self::Nothing,
            Some(b't' | b'f') => Self::Bool,
            Some(b'"') => Self::of_string(&unquoted(value)),
            _ => match value.parse::<i64>() {
                Ok(value) => Self::Int(value.unsigned_abs() <= 1 << 53),
                Err(_) => Self::Float,
            },
        }
    }

    fn of_string(text: &str) -> Self {
        if is_date(text) {
            Self::Date
        } else if parse_time(text, Rounding::Down).is_some() {
            Self::Time
        } else {
            Self::Text
        }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nothing, guess) | (guess, Self::Nothing) => guess,
            (Self::Int(a), Self::Int(b)) => Self::Int(a && b),
            (Self::Int(true), Self::Float) | (Self::Float, Self::Int(true)) => Self::Float,
            (a, b) if a == b => a,
            _ => Self::Text,
        }
    }

    fn value_type(self) -> ValueType {
        match self {
            Self::Nothing | Self::Text => ValueType::String,
            Self::Bool => ValueType::Bool,
            Self::Int(_) => ValueType::Int64,
            Self::Float => ValueType::Float64,
            Self::Date => ValueType::Date,
            Self::Time => ValueType::Timestamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_taken_only_if_every_value_has_it() {
        for (values, expected) in [
            (&["1", "-2"][..], "int64"),
            (&["1", "2.5"], "float64"),
            (&["1e3", ".5", "NaN"], "float64"),
            (&["9007199254740993", "2.5"], "string"),
            (&["9007199254740993"], "int64"),
            (&["007"], "string"),
            (&["-0"], "string"),
            (&["1", "007"], "string"),
            (&["99999999999999999999"], "string"),
            (&["True", "false"], "bool"),
            (&["1", "true"], "string"),
            (&["2013-07-01", "2013-07-02"], "date"),
            (&["2013-07-01 05:00:00", "2013-07-01T05:00:00.123456789+02:00"], "timestamp"),
            (&["2013-07-01", "2013-07-01 05:00:00"], "string"),
            (&["a", "1"], "string"),
            (&[], "string"),
        ] {
            let guess = values.iter().fold(Guess::Nothing, |guess, text| guess.and(Guess::of_text(text)));
            assert_eq!(guess.value_type().to_string(), expected, "{values:?}");
        }
    }
}
