//! Which format a file has.

use std::ffi::OsStr;
use std::path::Path;

/// The formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Apache Parquet.
    Parquet,
    /// Comma-separated values, in UTF-8, with a header line.
    Csv,
    /// Newline-delimited JSON: an object a line.
    Ndjson,
}

/// How many bytes of a file [`sniff`] wants to see.
pub(super) const SNIFFED_BYTES: usize = 4096;

/// The format of a file named `name` that begins with `head`, or what it is instead.
///
/// The name's ending decides, save that Parquet is known by its first bytes whatever its name.
pub(super) fn sniff(name: &str, head: &[u8]) -> Result<Format, &'static str> {
    if head.starts_with(b"PAR1") {
        return Ok(Format::Parquet);
    }
    for (magic, reason) in [
        (&b"\x1f\x8b"[..], "it is compressed with gzip: unpack it first"),
        (&b"\x28\xb5\x2f\xfd"[..], "it is compressed with zstd: unpack it first"),
        (&b"ARROW1"[..], "it is an Arrow IPC file"),
        (&b"PK\x03\x04"[..], "it is a zip archive or a spreadsheet"),
        (&b"PARE"[..], "it is Parquet with an encrypted footer"),
    ] {
        if head.starts_with(magic) {
            return Err(reason);
        }
    }
    let ending = Path::new(name).extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    match ending.as_deref() {
        Some("parquet" | "parq" | "pq") if head.is_empty() => Err("it is empty, which no Parquet file is"),
        Some("parquet" | "parq" | "pq") => Err("it is named like a Parquet file but does not begin like one"),
        Some("ndjson" | "jsonl" | "json") => json(head),
        Some("csv") => text(head).map(|()| Format::Csv),
        _ => match first(head) {
            Some(b'{' | b'[') => json(head),
            Some(_) => text(head).map(|()| Format::Csv),
            None => Err("it is empty"),
        },
    }
}

fn json(head: &[u8]) -> Result<Format, &'static str> {
    match first(head) {
        Some(b'[') => Err("it is one JSON array: write each of its objects on a line of its own"),
        _ => text(head).map(|()| Format::Ndjson),
    }
}

fn text(head: &[u8]) -> Result<(), &'static str> {
    if head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff") {
        return Err("it is text in UTF-16: write it in UTF-8");
    }
    if head.contains(&0) { Err("it is binary, and not Parquet") } else { Ok(()) }
}

fn first(head: &[u8]) -> Option<u8> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    head.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_contents_tell_the_format() {
        for (name, head, expected) in [
            ("a.parquet", &b"PAR1...."[..], Ok(Format::Parquet)),
            ("-", b"PAR1....", Ok(Format::Parquet)),
            ("a.csv", b"PAR1....", Ok(Format::Parquet)),
            ("a.CSV", b"a,b\n", Ok(Format::Csv)),
            ("a.csv", b"{\"a\":1}", Ok(Format::Csv)),
            ("a.jsonl", b"{\"a\":1}\n", Ok(Format::Ndjson)),
            ("a.ndjson", b"", Ok(Format::Ndjson)),
            ("-", b"\xef\xbb\xbf \n{\"a\":1}\n", Ok(Format::Ndjson)),
            ("-", b"a,b\n", Ok(Format::Csv)),
            ("-", b" \n", Err("it is empty")),
            ("a.json", b"[{}]", Err("it is one JSON array: write each of its objects on a line of its own")),
            ("a.csv.gz", b"\x1f\x8b\x08", Err("it is compressed with gzip: unpack it first")),
            ("a.parquet", b"a,b\n", Err("it is named like a Parquet file but does not begin like one")),
            ("a.csv", b"a\0", Err("it is binary, and not Parquet")),
        ] {
            assert_eq!(sniff(name, head), expected, "{name}");
        }
    }
}
