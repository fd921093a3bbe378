//! CSV in UTF-8 with a header, commas and RFC 4180's quotes, as batches of text.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};

use super::InputError;
use super::open::InputFile;
use super::read::{BATCH_BYTES, BATCH_ROWS, ROW_BYTES_MAX};

/// The rows of a file as batches of text, a column for each that is wanted.
pub(super) struct CsvRows {
    file: String,
    reader: BufReader<File>,
    header: Vec<String>,
    /// Indices in the header; all columns unless [`Self::project`] says otherwise.
    wanted: Vec<usize>,
    record: Record,
    row: u64,
}

impl CsvRows {
    pub(super) fn open(file: &InputFile) -> Result<Self, InputError> {
        let mut reader = BufReader::with_capacity(1 << 16, file.reopen()?);
        let io = |source| InputError::Io { file: file.name.clone(), source };
        if reader.fill_buf().map_err(io)?.starts_with(b"\xef\xbb\xbf") {
            reader.consume(3);
        }
        let mut rows = Self {
            file: file.name.clone(),
            reader,
            header: Vec::new(),
            wanted: Vec::new(),
            record: Record::default(),
            row: 0,
        };
        if !rows.advance()? {
            return Err(InputError::Format { file: rows.file, reason: "it is empty, without even a header" });
        }
        for column in 0..rows.record.ends.len() {
            let name = rows.field(column, "of the header")?;
            rows.header.push(name);
        }
        rows.wanted = (0..rows.header.len()).collect();
        rows.row = 0;
        Ok(rows)
    }

    pub(super) fn header(&self) -> &[String] {
        &self.header
    }

    /// Reads only the columns of these indices.
    pub(super) fn project(mut self, wanted: Vec<usize>) -> Self {
        self.wanted = wanted;
        self
    }

    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, InputError> {
        let mut builders: Vec<StringBuilder> = self.wanted.iter().map(|_| StringBuilder::new()).collect();
        let (mut rows, mut bytes) = (0, 0);
        while rows < BATCH_ROWS && bytes < BATCH_BYTES && self.advance()? {
            rows += 1;
            bytes += self.record.text.len();
            for (builder, &column) in builders.iter_mut().zip(&self.wanted) {
                let field = self.record.field(column);
                if field.is_empty() && !self.record.quoted[column] {
                    builder.append_null();
                    continue;
                }
                let Ok(text) = std::str::from_utf8(field) else {
                    let reason = format!("has text that is not UTF-8 in column '{}'", self.header[column]);
                    return Err(self.refuse(reason));
                };
                builder.append_value(text);
            }
        }
        if rows == 0 {
            return Ok(None);
        }
        let fields: Vec<_> =
            self.wanted.iter().map(|&column| Field::new(&self.header[column], DataType::Utf8, true)).collect();
        let columns = builders.iter_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
            .map(Some)
            .map_err(|error| InputError::Corrupt { file: self.file.clone(), reason: error.to_string() })
    }

    /// Goes to the next record; false at the end. Blank lines are passed over.
    fn advance(&mut self) -> Result<bool, InputError> {
        loop {
            self.row += 1;
            match self.record.read(&mut self.reader) {
                Err(Flaw::Io(source)) => return Err(InputError::Io { file: self.file.clone(), source }),
                Err(Flaw::Form(reason)) => return Err(self.refuse(reason.to_owned())),
                Ok(false) => return Ok(false),
                Ok(true) if self.record.is_blank() => self.row -= 1,
                Ok(true) => break,
            }
        }
        let (found, wanted) = (self.record.ends.len(), self.header.len());
        if found != wanted && wanted > 0 {
            let reason =
                format!("has {found} fields, and the header has {wanted}: the file is damaged or a field lacks quotes");
            return Err(self.refuse(reason));
        }
        Ok(true)
    }

    fn field(&self, column: usize, place: &str) -> Result<String, InputError> {
        let field = self.record.field(column);
        String::from_utf8(field.to_vec()).map_err(|_| self.refuse(format!("has text that is not UTF-8 {place}")))
    }

    fn refuse(&self, reason: String) -> InputError {
        InputError::Row { file: self.file.clone(), row: self.row, reason }
    }
}

/// One record: its fields' text end to end.
#[derive(Default)]
struct Record {
    text: Vec<u8>,
    ends: Vec<usize>,
    quoted: Vec<bool>,
}

enum Flaw {
    Io(std::io::Error),
    Form(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the beginning of a field.
    Start,
    Plain,
    Quoted,
    /// After a quote inside quotes: it ends the field or is doubled.
    Quote,
    /// The record has ended in a carriage return, which a line feed may follow.
    Return,
    Done,
}

impl Record {
    fn field(&self, column: usize) -> &[u8] {
        let start = if column == 0 { 0 } else { self.ends[column - 1] };
        &self.text[start..self.ends[column]]
    }

    fn is_blank(&self) -> bool {
        self.ends == [0] && self.quoted == [false]
    }

    /// Reads the next record; false at the end of the file.
    fn read(&mut self, reader: &mut impl BufRead) -> Result<bool, Flaw> {
        self.text.clear();
        self.ends.clear();
        self.quoted.clear();
        let mut state = State::Start;
        let mut is_quoted = false;
        let mut is_empty = true;
        loop {
            let buffer = reader.fill_buf().map_err(Flaw::Io)?;
            if buffer.is_empty() {
                return self.end_of_file(state, is_quoted, is_empty);
            }
            is_empty = false;
            let mut used = 0;
            for &byte in buffer {
                if state == State::Return && byte != b'\n' {
                    state = State::Done;
                    break;
                }
                used += 1;
                state = self.step(state, byte, &mut is_quoted)?;
                if state == State::Done {
                    break;
                }
            }
            reader.consume(used);
            if state == State::Done {
                return Ok(true);
            }
            if self.text.len() > ROW_BYTES_MAX {
                return Err(Flaw::Form("is longer than 64 MiB: a quote may be missing"));
            }
        }
    }

    fn step(&mut self, state: State, byte: u8, is_quoted: &mut bool) -> Result<State, Flaw> {
        Ok(match (state, byte) {
            (State::Return, _) => State::Done,
            (State::Start, b'"') => {
                *is_quoted = true;
                State::Quoted
            }
            (State::Quoted, b'"') => State::Quote,
            (State::Quoted, _) => {
                self.text.push(byte);
                State::Quoted
            }
            (State::Quote, b'"') => {
                self.text.push(b'"');
                State::Quoted
            }
            (_, b',' | b'\n' | b'\r') => {
                self.ends.push(self.text.len());
                self.quoted.push(std::mem::take(is_quoted));
                match byte {
                    b',' => State::Start,
                    b'\n' => State::Done,
                    _ => State::Return,
                }
            }
            (State::Quote, _) => {
                return Err(Flaw::Form("has text after a closing quote: double a quote inside quotes"));
            }
            _ => {
                self.text.push(byte);
                State::Plain
            }
        })
    }

    fn end_of_file(&mut self, state: State, is_quoted: bool, is_empty: bool) -> Result<bool, Flaw> {
        match state {
            State::Quoted => Err(Flaw::Form("opens a quote that is never closed: the file is damaged or truncated")),
            State::Start if is_empty => Ok(false),
            State::Return | State::Done => Ok(true),
            State::Start | State::Plain | State::Quote => {
                self.ends.push(self.text.len());
                self.quoted.push(is_quoted);
                Ok(true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(text: &str, buffer_bytes: usize) -> Result<Vec<Vec<(String, bool)>>, &'static str> {
        let mut reader = BufReader::with_capacity(buffer_bytes, text.as_bytes());
        let mut record = Record::default();
        let mut found = Vec::new();
        loop {
            match record.read(&mut reader) {
                Ok(false) => return Ok(found),
                Err(Flaw::Form(reason)) => return Err(reason),
                Err(Flaw::Io(error)) => panic!("{error}"),
                Ok(true) => found.push(
                    (0..record.ends.len())
                        .map(|column| (String::from_utf8_lossy(record.field(column)).into(), record.quoted[column]))
                        .collect(),
                ),
            }
        }
    }

    #[test]
    fn records_are_split_whatever_the_buffer() {
        let text = "a,\"b,\"\"c\"\"\nd\",\r\n\"\",,x\ry,z,\"w\"";
        let cell = |text: &str, quoted| (text.to_owned(), quoted);
        let expected = vec![
            vec![cell("a", false), cell("b,\"c\"\nd", true), cell("", false)],
            vec![cell("", true), cell("", false), cell("x", false)],
            vec![cell("y", false), cell("z", false), cell("w", true)],
        ];
        for buffer_bytes in 1..40 {
            assert_eq!(records(text, buffer_bytes), Ok(expected.clone()), "{buffer_bytes} bytes");
        }
    }

    #[test]
    fn damaged_quotes_are_refused() {
        let unclosed = "opens a quote that is never closed: the file is damaged or truncated";
        assert_eq!(records("a,\"b\nc,d\n", 4), Err(unclosed));
        let after = "has text after a closing quote: double a quote inside quotes";
        assert_eq!(records("a,\"b\"c\n", 4), Err(after));
    }
}
