//! `COPY … TO STDOUT`: the rows of a query as a file, in PostgreSQL's binary format, as its text, or as CSV.

use bytes::{BufMut, Bytes, BytesMut};
use datafusion::sql::sqlparser::tokenizer::Token;
use pgwire::api::results::FieldFormat;
use pgwire::messages::data::DataRow;

use super::failure::{Stop, state};
use super::words::Statement;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CopyOut {
    /// The query.
    pub(super) query: String,
    pub(super) shape: Shape,
}

/// How rows are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Binary,
    Text { delimiter: u8, null: String, has_header: bool },
    Csv { delimiter: u8, null: String, has_header: bool, quote: u8 },
}

/// The options as they are read.
#[derive(Default)]
struct Options {
    format: Option<String>,
    delimiter: Option<String>,
    null: Option<String>,
    quote: Option<String>,
    has_header: bool,
}

impl CopyOut {
    /// The copy that a statement is; none of one that goes elsewhere than to the client.
    pub(super) fn of(statement: &Statement<'_>) -> Result<Option<Self>, Stop> {
        let (query, after) = if matches!(statement.token(1), Some(Token::LParen)) {
            let Some(after) = statement.after_closing(1) else { return Ok(None) };
            (statement.between(2, after - 1).to_owned(), after)
        } else {
            let Some((query, after)) = table(statement) else { return Ok(None) };
            (query, after)
        };
        if !statement.has(after, &["to", "stdout"]) {
            return Ok(None);
        }
        let shape = Options::read(statement, after + 2)?.shape()?;
        Ok(Some(Self { query, shape }))
    }
}

/// The query that stands for a table and its columns, and the place after them.
fn table(statement: &Statement<'_>) -> Option<(String, usize)> {
    let mut after = 2;
    statement.name(1)?;
    while matches!(statement.token(after), Some(Token::Period)) {
        after += 2;
    }
    let name = statement.between(1, after);
    if !matches!(statement.token(after), Some(Token::LParen)) {
        return Some((format!("select * from {name}"), after));
    }
    let closed = statement.after_closing(after)?;
    Some((format!("select {} from {name}", statement.between(after + 1, closed - 1)), closed))
}

impl Options {
    /// `WITH (FORMAT csv, HEADER)`, or as it was written long ago, `CSV HEADER`.
    fn read(statement: &Statement<'_>, from: usize) -> Result<Self, Stop> {
        let mut options = Self::default();
        let mut place = from + usize::from(statement.has(from, &["with"]));
        while let Some(token) = statement.token(place) {
            if matches!(token, Token::LParen | Token::RParen | Token::Comma) {
                place += 1;
                continue;
            }
            let word = statement.word(place).unwrap_or_default();
            let value = place + 1 + usize::from(statement.has(place + 1, &["as"]));
            let text = || statement.value(value).ok_or_else(|| odd(statement));
            place = value + 1;
            match word.as_str() {
                "format" => options.format = Some(text()?.to_ascii_lowercase()),
                "delimiter" => options.delimiter = Some(text()?),
                "null" => options.null = Some(text()?),
                "quote" => options.quote = Some(text()?),
                "escape" if text()? == "\"" => {}
                "encoding" if ["utf8", "utf-8"].contains(&text()?.to_ascii_lowercase().as_str()) => {}
                "binary" | "csv" => {
                    options.format = Some(word);
                    place = value;
                }
                "header" => match statement.word(value).as_deref() {
                    Some("false" | "off") => options.has_header = false,
                    Some("true" | "on") => options.has_header = true,
                    _ => {
                        options.has_header = true;
                        place = value;
                    }
                },
                _ => return Err(odd(statement)),
            }
        }
        Ok(options)
    }

    fn shape(self) -> Result<Shape, Stop> {
        let one = |text: Option<String>, first: u8| match text.as_deref().map(str::as_bytes) {
            None => Ok(first),
            Some([byte]) if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | b'\\') => Ok(*byte),
            Some(_) => {
                Err(Stop::refused(state::INVALID_PARAMETER, "a delimiter or quote of COPY is one letter of ASCII"))
            }
        };
        let has_header = self.has_header;
        match self.format.as_deref() {
            Some("binary") => Ok(Shape::Binary),
            None | Some("text") => {
                let null = self.null.unwrap_or_else(|| "\\N".to_owned());
                Ok(Shape::Text { delimiter: one(self.delimiter, b'\t')?, null, has_header })
            }
            Some("csv") => {
                let (delimiter, quote) = (one(self.delimiter, b',')?, one(self.quote, b'"')?);
                Ok(Shape::Csv { delimiter, null: self.null.unwrap_or_default(), has_header, quote })
            }
            Some(other) => {
                let message = format!("COPY has no format '{other}': it has binary, text and csv");
                Err(Stop::refused(state::INVALID_PARAMETER, message))
            }
        }
    }
}

impl Shape {
    /// In which format values come to be written.
    pub(super) fn format(&self) -> FieldFormat {
        if *self == Self::Binary { FieldFormat::Binary } else { FieldFormat::Text }
    }

    /// What comes before the rows.
    pub(super) fn begin(&self, names: &[&str], into: &mut BytesMut) {
        match self {
            Self::Binary => {
                into.put_slice(b"PGCOPY\n\xff\r\n\0");
                // neither flags nor an extension
                into.put_i32(0);
                into.put_i32(0);
            }
            Self::Text { has_header, .. } | Self::Csv { has_header, .. } if *has_header => {
                self.line(names.iter().map(|name| Some(name.as_bytes())), into);
            }
            _ => {}
        }
    }

    /// A row.
    pub(super) fn row(&self, row: DataRow, into: &mut BytesMut) {
        if *self == Self::Binary {
            into.put_i16(row.field_count);
            into.put_slice(&row.data);
        } else {
            self.line(Values(row.data.freeze()), into);
        }
    }

    /// What comes after the rows.
    pub(super) fn end(&self, into: &mut BytesMut) {
        if *self == Self::Binary {
            into.put_i16(-1);
        }
    }

    fn line<V: AsRef<[u8]>>(&self, values: impl Iterator<Item = Option<V>>, into: &mut BytesMut) {
        let (Self::Text { delimiter, null, .. } | Self::Csv { delimiter, null, .. }) = self else { return };
        for (place, value) in values.enumerate() {
            if place > 0 {
                into.put_u8(*delimiter);
            }
            match (value, self) {
                (None, _) => into.put_slice(null.as_bytes()),
                (Some(value), Self::Csv { quote, .. }) => quoted(value.as_ref(), *delimiter, *quote, null, into),
                (Some(value), _) => escaped(value.as_ref(), *delimiter, into),
            }
        }
        into.put_u8(b'\n');
    }
}

/// The values of a row as the protocol has them.
struct Values(Bytes);

impl Iterator for Values {
    type Item = Option<Bytes>;

    fn next(&mut self) -> Option<Option<Bytes>> {
        let length = i32::from_be_bytes(*self.0.first_chunk::<4>()?);
        drop(self.0.split_to(4));
        let length = usize::try_from(length).ok();
        Some(length.map(|length| self.0.split_to(length.min(self.0.len()))))
    }
}

fn escaped(value: &[u8], delimiter: u8, into: &mut BytesMut) {
    for byte in value {
        match byte {
            b'\n' => into.put_slice(b"\\n"),
            b'\r' => into.put_slice(b"\\r"),
            b'\t' => into.put_slice(b"\\t"),
            _ => {
                if *byte == b'\\' || *byte == delimiter {
                    into.put_u8(b'\\');
                }
                into.put_u8(*byte);
            }
        }
    }
}

/// A value of CSV, in quotes where it needs them: an empty text must not pass for null.
fn quoted(value: &[u8], delimiter: u8, quote: u8, null: &str, into: &mut BytesMut) {
    let is_special = |byte: &u8| [delimiter, quote, b'\n', b'\r'].contains(byte);
    if value != null.as_bytes() && !value.iter().any(is_special) && value != b"\\." {
        into.put_slice(value);
        return;
    }
    into.put_u8(quote);
    for byte in value {
        if *byte == quote {
            into.put_u8(quote);
        }
        into.put_u8(*byte);
    }
    into.put_u8(quote);
}

fn odd(statement: &Statement<'_>) -> Stop {
    let message = format!(
        "this COPY is not understood: write COPY (query) TO STDOUT (FORMAT binary, text or csv, HEADER, DELIMITER ',', NULL \
         ''): {}",
        statement.text
    );
    Stop::refused(state::SYNTAX, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::words::statements;

    fn copy(text: &str) -> Option<CopyOut> {
        CopyOut::of(&statements(text)[0]).unwrap_or_else(|stop| panic!("{text}: {stop:?}"))
    }

    #[test]
    fn what_is_copied_and_how_is_read() {
        let binary = copy("COPY (select 1::int8 as n) TO STDOUT (FORMAT binary)").expect("a copy");
        assert_eq!((binary.query.as_str(), binary.shape), ("select 1::int8 as n", Shape::Binary));
        let csv = copy("copy public.\"legs@1\" (a, \"B\") to stdout with csv header delimiter as ';'").expect("a copy");
        assert_eq!(csv.query, "select a, \"B\" from public.\"legs@1\"");
        let shape = Shape::Csv { delimiter: b';', null: String::new(), has_header: true, quote: b'"' };
        assert_eq!(csv.shape, shape);
        let text = copy("copy legs to stdout with (null 'none', header false)").expect("a copy");
        assert_eq!(text.shape, Shape::Text { delimiter: b'\t', null: "none".to_owned(), has_header: false });
        for other in
            ["copy legs from stdin", "copy legs to '/tmp/x'", "copy (select 1) to program 'cat'", "copy (select 1"]
        {
            assert_eq!(copy(other), None, "{other}: the planner refuses it");
        }
        for wrong in [
            "copy legs to stdout (format parquet)",
            "copy legs to stdout (freeze)",
            "copy legs to stdout csv quote '''x'",
        ] {
            let refused = CopyOut::of(&statements(wrong)[0]);
            assert!(matches!(refused, Err(Stop::Refused(_))), "{wrong}: {refused:?}");
        }
    }

    fn written(shape: &Shape, values: &[Option<&str>]) -> Vec<u8> {
        let mut data = BytesMut::new();
        for value in values {
            data.put_i32(value.map_or(-1, |value| value.len() as i32));
            data.put_slice(value.unwrap_or_default().as_bytes());
        }
        let mut into = BytesMut::new();
        shape.begin(&["a", "b,c"], &mut into);
        shape.row(DataRow::new(data, values.len() as i16), &mut into);
        shape.end(&mut into);
        into.to_vec()
    }

    #[test]
    fn rows_are_written_so_that_they_are_read_back() {
        let csv = Shape::Csv { delimiter: b',', null: String::new(), has_header: true, quote: b'"' };
        let said = written(&csv, &[Some("x"), None, Some(""), Some("a\"b,c\nd")]);
        assert_eq!(said, b"a,\"b,c\"\nx,,\"\",\"a\"\"b,c\nd\"\n");
        let text = Shape::Text { delimiter: b'\t', null: "\\N".to_owned(), has_header: false };
        assert_eq!(written(&text, &[Some("a\tb\\c\nd"), None]), b"a\\tb\\\\c\\nd\t\\N\n");
        let binary = written(&Shape::Binary, &[Some("x"), None]);
        assert_eq!(binary[..19], *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        assert_eq!(binary[19..], *b"\0\x02\0\0\0\x01x\xff\xff\xff\xff\xff\xff");
    }
}
