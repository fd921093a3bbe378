//! A leakage report, for people.

use anyhow::Result;
use hitherto_engine::{Distribution, LeakageReport, ViewReport};

use crate::output::{self, line, thousands};

/// Show it as tables, and its warnings behind them.
pub(super) fn show(report: &LeakageReport) -> Result<()> {
    line(format!("Leakage report of dataset {}, {} rows", report.dataset, thousands(report.rows)))?;
    leaked(report)?;
    absent(report)?;
    delays(report)?;
    features(report)?;
    report.warnings.iter().try_for_each(|warning| line(format!("\nwarning: {warning}")))
}

fn leaked(report: &LeakageReport) -> Result<()> {
    line("\nWhat a join on event time alone (mode event) would have read otherwise, and how much too early")?;
    let heading = ["VIEW", "WINNERS", "CELLS", "EARLY P50", "P95", "P99", "MAX"];
    let row = |view: &ViewReport| {
        let mut row = vec![view.alias.clone(), thousands(view.winners), thousands(view.cells)];
        row.extend(lengths(view.early.as_ref()));
        row
    };
    output::table(&heading, &report.views.iter().map(row).collect::<Vec<_>>())
}

fn absent(report: &LeakageReport) -> Result<()> {
    line("\nRows without values, by cause")?;
    let heading = ["VIEW", "ROWS", "NO ROW", "NOT YET AVAILABLE", "EXPIRED", "DELETED"];
    let row = |view: &ViewReport| {
        let counts = [
            view.absent.rows,
            view.absent.no_row,
            view.absent.not_yet_available,
            view.absent.expired,
            view.absent.deleted,
        ];
        let mut row = vec![view.alias.clone()];
        row.extend(counts.map(|count| shared(count, report.rows)));
        row
    };
    output::table(&heading, &report.views.iter().map(row).collect::<Vec<_>>())
}

fn delays(report: &LeakageReport) -> Result<()> {
    line(
        "\nFrom event to knowledge: what is declared, what history shows, and what its p99 as source_delay would change",
    )?;
    let heading = ["VIEW", "DECLARED", "MEASURED BY", "P50", "P95", "P99", "MAX", "BETTER", "ROWS IT CHANGES"];
    let row = |view: &ViewReport| {
        let delay = &view.delay;
        let by = if delay.measured.is_some() { delay.measured_by.as_str() } else { "not measurable" };
        let mut row = vec![view.alias.clone(), delay.declared_us.to_string(), by.to_owned()];
        row.extend(lengths(delay.measured.as_ref()));
        row.push(delay.better_us.map(|better| length(better.micros())).unwrap_or_default());
        row.push(delay.rows_changed.map(|rows| shared(rows, report.rows)).unwrap_or_default());
        row
    };
    output::table(&heading, &report.views.iter().map(row).collect::<Vec<_>>())
}

fn features(report: &LeakageReport) -> Result<()> {
    line("\nPer feature")?;
    let features = report.views.iter().flat_map(|view| &view.features);
    let row = |feature: &hitherto_engine::FeatureReport| {
        vec![feature.column.clone(), thousands(feature.cells), shared(feature.nulls, report.rows)]
    };
    output::table(&["FEATURE", "CELLS", "NULLS"], &features.map(row).collect::<Vec<_>>())
}

fn lengths(times: Option<&Distribution>) -> Vec<String> {
    match times {
        Some(times) => [times.p50_us, times.p95_us, times.p99_us, times.max_us].map(length).to_vec(),
        None => vec![String::new(); 4],
    }
}

/// `3,575 (1.1 %)`.
fn shared(count: u64, of: u64) -> String {
    match count {
        0 => "0".to_owned(),
        _ => format!("{} ({:.1} %)", thousands(count), 100.0 * count as f64 / of.max(1) as f64),
    }
}

/// The two largest units of a length of time: `2h 5m`.
fn length(micros: i64) -> String {
    const UNITS: [(&str, u64); 6] =
        [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1000), ("us", 1)];
    let mut rest = micros.unsigned_abs();
    let first = UNITS.iter().position(|(_, scale)| rest >= *scale);
    let Some(first) = first else { return "0s".to_owned() };
    let mut parts = Vec::new();
    for (unit, scale) in &UNITS[first..UNITS.len().min(first + 2)] {
        if rest >= *scale {
            parts.push(format!("{}{unit}", rest / scale));
            rest %= scale;
        }
    }
    format!("{}{}", if micros < 0 { "-" } else { "" }, parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_two_units_at_most() {
        let cases = [(0, "0s"), (1, "1us"), (1500, "1ms 500us"), (60_000_000, "1m"), (93_784_000_000, "1d 2h")];
        for (micros, text) in cases {
            assert_eq!(length(micros), text);
        }
        assert_eq!(length(-5_000_000), "-5s");
        assert_eq!(length(3_600_000_001), "1h", "what is below the second unit is left out");
    }

    #[test]
    fn shares_are_told_beside_counts() {
        assert_eq!([shared(0, 0), shared(3575, 336_776)], ["0", "3,575 (1.1 %)"]);
    }
}
