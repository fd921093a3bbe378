//! Newline-delimited JSON: an object a line.
//!
//! Values are kept as they are written until their type is known: a decoder that guesses turns `1.5` into an
//! integer or a string into a number without a word.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use serde::de::IgnoredAny;

use super::InputError;
use super::open::InputFile;
use super::read::{BATCH_BYTES, BATCH_ROWS, ROW_BYTES_MAX};

/// The rows of a file as batches of raw values, a column of text for each that is wanted.
pub(super) struct JsonRows {
    lines: JsonLines,
    columns: HashMap<String, usize>,
    schema: Arc<Schema>,
    /// Which of the wanted columns some row had.
    pub(super) seen: Vec<bool>,
    /// The columns that rows had beside them.
    pub(super) unknown: BTreeSet<String>,
}

impl JsonRows {
    pub(super) fn open(file: &InputFile, wanted: &[String]) -> Result<Self, InputError> {
        let fields: Vec<_> = wanted.iter().map(|name| Field::new(name, DataType::Utf8, true)).collect();
        Ok(Self {
            lines: JsonLines::open(file)?,
            columns: wanted.iter().enumerate().map(|(index, name)| (name.clone(), index)).collect(),
            schema: Arc::new(Schema::new(fields)),
            seen: vec![false; wanted.len()],
            unknown: BTreeSet::new(),
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, InputError> {
        let mut builders: Vec<StringBuilder> = self.columns.iter().map(|_| StringBuilder::new()).collect();
        let (mut rows, mut bytes) = (0, 0);
        while rows < BATCH_ROWS && bytes < BATCH_BYTES && self.lines.advance()? {
            rows += 1;
            bytes += self.lines.line.len();
            for (key, value) in members(self.lines.text()) {
                let key = unquoted(key);
                let Some(&index) = self.columns.get(key.as_ref()) else {
                    if !self.unknown.contains(key.as_ref()) {
                        self.unknown.insert(key.into_owned());
                    }
                    continue;
                };
                self.seen[index] = true;
                let builder = &mut builders[index];
                if arrow::array::ArrayBuilder::len(builder) == rows {
                    return Err(self.lines.refuse(format!("has the field '{key}' twice")));
                }
                builder.append_option((value != "null").then_some(value));
            }
            for builder in &mut builders {
                if arrow::array::ArrayBuilder::len(builder) < rows {
                    builder.append_null();
                }
            }
        }
        if rows == 0 {
            return Ok(None);
        }
        let columns: Vec<ArrayRef> =
            builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect();
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map(Some)
            .map_err(|error| InputError::Corrupt { file: self.lines.file.clone(), reason: error.to_string() })
    }
}

/// The lines of a file that hold a valid JSON object each; blank ones are passed over.
pub(super) struct JsonLines {
    file: String,
    reader: BufReader<File>,
    line: Vec<u8>,
    row: u64,
}

impl JsonLines {
    pub(super) fn open(file: &InputFile) -> Result<Self, InputError> {
        let reader = BufReader::with_capacity(1 << 16, file.reopen()?);
        Ok(Self { file: file.name.clone(), reader, line: Vec::new(), row: 0 })
    }

    /// Goes to the next object; false at the end.
    pub(super) fn advance(&mut self) -> Result<bool, InputError> {
        loop {
            self.line.clear();
            let limit = ROW_BYTES_MAX as u64 + 1;
            let read = std::io::Read::take(&mut self.reader, limit).read_until(b'\n', &mut self.line);
            let read = read.map_err(|source| InputError::Io { file: self.file.clone(), source })?;
            if read == 0 {
                return Ok(false);
            }
            if self.row == 0 && self.line.starts_with(b"\xef\xbb\xbf") {
                self.line.drain(..3);
            }
            if self.line.iter().any(|byte| !byte.is_ascii_whitespace()) {
                break;
            }
        }
        self.row += 1;
        if self.line.len() > ROW_BYTES_MAX {
            return Err(self.refuse(format!("is longer than {} MiB", ROW_BYTES_MAX >> 20)));
        }
        let Ok(text) = std::str::from_utf8(&self.line) else {
            return Err(self.refuse("is not UTF-8".to_owned()));
        };
        if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
            return Err(self.refuse(format!("is not JSON, at column {} of its line", error.column())));
        }
        if !text.trim_start().starts_with('{') {
            return Err(self.refuse("is not a JSON object".to_owned()));
        }
        Ok(true)
    }

    /// The object, once [`Self::advance`] has gone to one.
    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.line).unwrap_or("{}")
    }

    pub(super) fn refuse(&self, reason: String) -> InputError {
        InputError::Row { file: self.file.clone(), row: self.row, reason }
    }
}

/// The members of a valid JSON object: key, quoted, and value, both as they are written.
pub(super) fn members(object: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = inside(object);
    std::iter::from_fn(move || {
        let key = value_at(rest)?;
        rest = after(rest, key).trim_start_matches([':', ' ', '\t', '\r', '\n']);
        let value = value_at(rest)?;
        rest = after(rest, value).trim_start_matches([',', ' ', '\t', '\r', '\n']);
        Some((key, value))
    })
}

/// The elements of a valid JSON array, as they are written.
pub(super) fn elements(array: &str) -> impl Iterator<Item = &str> {
    let mut rest = inside(array);
    std::iter::from_fn(move || {
        let value = value_at(rest)?;
        rest = after(rest, value).trim_start_matches([',', ' ', '\t', '\r', '\n']);
        Some(value)
    })
}

/// The text of a valid JSON string.
pub(super) fn unquoted(string: &str) -> Cow<'_, str> {
    let plain = string.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(string);
    if plain.contains('\\') {
        serde_json::from_str(string).map_or(Cow::Borrowed(plain), Cow::Owned)
    } else {
        Cow::Borrowed(plain)
    }
}

fn inside(container: &str) -> &str {
    let container = container.trim();
    container.get(1..container.len().saturating_sub(1)).unwrap_or_default().trim()
}

fn after<'a>(text: &'a str, value: &str) -> &'a str {
    text.get(value.len()..).unwrap_or_default()
}

/// The value that valid JSON begins with; nothing where the text is empty.
fn value_at(text: &str) -> Option<&str> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (index, byte) in text.bytes().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            if !in_string && depth == 0 {
                return text.get(..=index);
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return text.get(..=index);
                }
            }
            b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' if depth == 0 => return text.get(..index),
            _ => {}
        }
    }
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_split_as_they_are_written() {
        let object = r#" {"a" : 1.50, "b,\"}":"x,]\\", "c":[1,{"d":"]"}],"e":{} ,"f":null,"g":true} "#;
        let found: Vec<_> = members(object).map(|(key, value)| (unquoted(key).into_owned(), value)).collect();
        let expected = [
            ("a", "1.50"),
            ("b,\"}", r#""x,]\\""#),
            ("c", r#"[1,{"d":"]"}]"#),
            ("e", "{}"),
            ("f", "null"),
            ("g", "true"),
        ];
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value)));
        assert_eq!(members("{ }").count(), 0);
        assert_eq!(elements(r#"[1, "a]", [2,3] ,null]"#).collect::<Vec<_>>(), ["1", "\"a]\"", "[2,3]", "null"]);
        assert_eq!(elements(" [] ").count(), 0);
        assert_eq!(unquoted(r#""tab\tä""#), "tab\tä");
    }
}
