//! A training set's manifest, for people.

use anyhow::Result;
use hitherto_core::{Dataset, Number, Profile, Span, Split, Timestamp};

use super::training_set::mode_name;
use crate::args::Global;
use crate::output::{self, Format, thousands};

/// Show what decided a training set's values, where it lies, and what is in it.
pub(super) fn show(dataset: &Dataset, global: &Global) -> Result<()> {
    if global.output == Format::Json {
        return output::json(dataset);
    }
    decided(dataset)?;
    built(dataset)?;
    if dataset.build.profiles.is_empty() {
        return Ok(());
    }
    output::line("")?;
    profiles(&dataset.build.profiles)
}

fn decided(dataset: &Dataset) -> Result<()> {
    field("dataset", &dataset.id)?;
    field("name", dataset.name.as_ref().map_or("none", |name| name.as_str()))?;
    field("feature set", dataset.feature_set.to_string())?;
    field("feature set hash", &dataset.feature_set_hash)?;
    for view in &dataset.views {
        let renamed = if view.alias == view.view.name { String::new() } else { format!(" as {}", view.alias) };
        let ttl = view.ttl.filter(|ttl| !ttl.is_zero()).map_or_else(|| "no ttl".to_owned(), |ttl| format!("ttl {ttl}"));
        field(
            "view",
            format!("{}{renamed}, source delay {}, {ttl}, from {}", view.view, view.source_delay, view.table),
        )?;
    }
    for transform in &dataset.transforms {
        field("transform", format!("{} = {}", transform.name, transform.expr))?;
    }
    field("mode", mode_name(dataset.mode))?;
    field("spine", &dataset.spine)?;
    field("spine fingerprint", &dataset.spine_fingerprint)?;
    field("event timestamp", &dataset.event_timestamp)?;
    field("evidence", if dataset.evidence { "yes" } else { "no" })?;
    field("split", dataset.split.as_ref().map_or_else(|| "none".to_owned(), split))?;
    for (table, last) in &dataset.tables {
        let erased = dataset.erasures.get(table).map_or(0, Vec::len);
        field("read", format!("{table} up to _sequence {last}, {erased} erasures"))?;
    }
    Ok(())
}

fn built(dataset: &Dataset) -> Result<()> {
    let build = &dataset.build;
    field("rows", thousands(dataset.rows))?;
    field("file", &dataset.location)?;
    if build.file_bytes > 0 {
        field("file bytes", thousands(build.file_bytes))?;
    }
    field("file hash", &dataset.file_hash)?;
    if !build.result_fingerprint.is_empty() {
        field("rows fingerprint", &build.result_fingerprint)?;
    }
    let by = if build.actor.is_empty() { String::new() } else { format!(" by {}", build.actor) };
    field("built at", format!("{}{by}", dataset.built_at))?;
    if !build.engine_version.is_empty() {
        field("engine version", &build.engine_version)?;
    }
    for (table, last) in &build.spine_tables {
        field("spine read", format!("{table} up to _sequence {last}"))?;
    }
    for id in &build.spine_datasets {
        field("spine read", format!("training set {id}"))?;
    }
    build.other_spines.iter().try_for_each(|place| field("spine lay at", place))?;
    for (table, version) in &build.delta_versions {
        let version = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
        field("delta version", format!("{table} {version}"))?;
    }
    build.tags.iter().try_for_each(|(tag, value)| field("tag", format!("{tag}={value}")))
}

fn split(split: &Split) -> String {
    match split {
        Split::Time { train_end, validation_end, gap } => {
            let gap = if *gap == Span::ZERO { String::new() } else { format!(", {gap} left out after each end") };
            match validation_end {
                Some(end) => format!("train before {train_end}, validation before {end}, then test{gap}"),
                None => format!("train before {train_end}, then test{gap}"),
            }
        }
        Split::Key { columns, weights: [train, validation, test] } => {
            format!("by {}: train {train}, validation {validation}, test {test}", columns.join(" and "))
        }
    }
}

fn profiles(profiles: &[Profile]) -> Result<()> {
    let heading = ["COLUMN", "TYPE", "COUNT", "NULLS", "MIN", "P50", "MAX", "MEAN", "COMMONEST"];
    let rows: Vec<Vec<String>> = profiles.iter().map(row).collect();
    output::table(&heading, &rows)?;
    match profiles.iter().find(|profile| profile.sampled) {
        Some(profile) => {
            output::line(format!("P50 and COMMONEST are those of a sample of {} rows", thousands(profile.sample_rows)))
        }
        None => Ok(()),
    }
}

fn row(profile: &Profile) -> Vec<String> {
    let number = |number: Option<Number>| number.map(|number| told(number, &profile.value_type)).unwrap_or_default();
    let median = profile.quantiles.iter().find(|quantile| quantile.fraction == Number(0.5));
    let commonest = profile.top.first().map(|top| format!("{} ({})", top.value, thousands(top.rows)));
    vec![
        profile.column.clone(),
        profile.value_type.clone(),
        thousands(profile.count),
        thousands(profile.nulls),
        number(profile.min),
        number(median.map(|median| median.value)),
        number(profile.max),
        number(profile.mean),
        commonest.unwrap_or_default(),
    ]
}

/// Times as times, other numbers with as many digits as a person compares.
fn told(number: Number, value_type: &str) -> String {
    match value_type {
        "timestamp" => Timestamp(number.0 as i64).to_string(),
        "date" => Timestamp((number.0 * 86_400_000_000.0) as i64).to_string().chars().take(10).collect(),
        _ if number.0.abs() >= 1e15 || (number.0 != 0.0 && number.0.abs() < 1e-4) => format!("{:.4e}", number.0),
        _ => {
            let text = format!("{:.4}", number.0);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}

/// One line of a description.
fn field(name: &str, value: impl AsRef<str>) -> Result<()> {
    output::line(format!("{name:<18}{}", value.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_shortly() {
        assert_eq!(told(Number(12.500), "float64"), "12.5");
        assert_eq!(told(Number(-3.0), "int64"), "-3");
        assert_eq!(told(Number(1.0 / 3.0), "float32"), "0.3333");
        assert_eq!(told(Number(2e-9), "float64"), "2.0000e-9");
        assert_eq!(told(Number(1_372_680_000_000_000.0), "timestamp"), "2013-07-01T12:00:00Z");
        assert_eq!(told(Number(15_887.0), "date"), "2013-07-01");
        assert_eq!(told(Number(f64::INFINITY), "float64"), "inf");
    }
}
