//! What a user sees: data to stdout as a table or JSON, everything else to stderr.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// How data are written to stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Write one line of data. A reader that has gone away (`| head`) ends the program quietly.
pub(crate) fn line(text: impl AsRef<str>) -> Result<()> {
    match writeln!(io::stdout().lock(), "{}", text.as_ref()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => Ok(written?),
    }
}

/// Write one line of news to stderr; it is no data.
pub(crate) fn note(text: impl AsRef<str>) {
    // stderr may be closed, and there is nowhere left to say so
    let _ = writeln!(io::stderr().lock(), "{}", text.as_ref());
}

/// Write one JSON document.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    line(serde_json::to_string_pretty(value)?)
}

/// Write rows of text under a heading, columns as wide as their longest cell.
pub(crate) fn table(heading: &[&str], rows: &[Vec<String>]) -> Result<()> {
    let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let print = |cells: Vec<&str>| {
        let padded: Vec<String> =
            cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        line(padded.join("  ").trim_end())
    };
    print(heading.to_vec())?;
    rows.iter().try_for_each(|row| print(row.iter().map(String::as_str).collect()))
}

/// Write record batches as a table.
pub(crate) fn batches(batches: &[RecordBatch]) -> Result<()> {
    line(pretty_format_batches(batches)?.to_string())
}

/// A progress bar over `total` rows (a spinner when unknown); silent when stderr is no terminal.
pub(crate) fn progress(what: &'static str, total: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = match total {
        Some(total) => {
            ProgressBar::new(total).with_style(style("{msg} {wide_bar} {human_pos}/{human_len} rows, {eta} left"))
        }
        None => ProgressBar::new_spinner().with_style(style("{spinner} {msg} {human_pos} rows, {per_sec}")),
    };
    bar.set_message(what);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// `336,776`.
pub(crate) fn thousands(number: impl Into<i128>) -> String {
    let number: i128 = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 1);
    if number < 0 {
        out.push('-');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        assert_eq!([0, 999, 1_000, 336_776, -1_234_567].map(thousands), ["0", "999", "1,000", "336,776", "-1,234,567"]);
    }
}
