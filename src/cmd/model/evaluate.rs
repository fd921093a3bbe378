//! `model evaluate`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use hitherto_core::{Evaluation, Finite, Grader, Metrics, NewEvaluation, ReportFile, Selector};
use hitherto_engine::Engine;

use crate::args::Global;
use crate::locations;
use crate::output::{self, Format};

/// Flags of `model evaluate`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The version, NAME (the latest), NAME@VERSION or NAME@ALIAS
    version: Selector,
    /// A metric, such as auc=0.81; may be repeated
    #[arg(long = "metric", value_name = "NAME=NUMBER", value_parser = number)]
    metrics: Vec<(String, Finite)>,
    /// The part of the data that the metrics are of, such as carrier=AA; the whole where absent
    #[arg(long, value_name = "KEY=VALUE")]
    slice: Option<String>,
    /// What it was measured on: a dataset's id, a unique beginning of it, or its name
    #[arg(long, value_name = "ID")]
    dataset: Option<String>,
    /// Who measured: code:VERSION, human:NAME or model:NAME@VERSION
    #[arg(long, required_unless_present = "from")]
    grader: Option<Grader>,
    /// What it cost, such as usd=1.2, kept as cost_usd; may be repeated
    #[arg(long = "cost", value_name = "NAME=NUMBER", value_parser = number)]
    costs: Vec<(String, Finite)>,
    /// How long it took, such as p99_ms=12, kept as latency_p99_ms; may be repeated
    #[arg(long = "latency", value_name = "NAME=NUMBER", value_parser = number)]
    latencies: Vec<(String, Finite)>,
    /// The full report, whose place and SHA-256 are kept
    #[arg(long, value_name = "FILE_OR_URL")]
    report: Option<String>,
    /// A JSON file with all of it: metrics, slices, dataset, grader, figures, report; flags add to it
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
}

/// Attach an evaluation.
pub(super) async fn run(args: Args, engine: &Engine, global: &Global) -> Result<()> {
    let version = args.version.clone();
    let evaluation = engine.evaluate(&version, read(args).await?).await?;
    match global.output {
        Format::Json => output::json(&evaluation),
        Format::Table => output::line(format!("{}@{} {}", evaluation.model, evaluation.version, numbers(&evaluation))),
    }
}

async fn read(args: Args) -> Result<NewEvaluation> {
    let mut new = match &args.from {
        None => NewEvaluation::default(),
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("could not read {}", file.display()))?;
            serde_json::from_str(&text).with_context(|| format!("{} is no evaluation", file.display()))?
        }
    };
    let metrics = match &args.slice {
        None => &mut new.metrics,
        Some(_) if args.metrics.is_empty() => bail!("--slice says what --metric is of: give a metric too"),
        Some(slice) => new.slices.entry(slice.clone()).or_default(),
    };
    add(metrics, args.metrics)?;
    let named = |kind: &'static str| move |(name, number)| (format!("{kind}_{name}"), number);
    let figures = args.costs.into_iter().map(named("cost")).chain(args.latencies.into_iter().map(named("latency")));
    add(&mut new.figures, figures)?;
    new.dataset = args.dataset.or(new.dataset);
    new.grader = args.grader.or(new.grader);
    if let Some(place) = args.report {
        let report = locations::output(&place)?;
        new.report = Some(ReportFile { location: report.place().to_owned(), sha256: report.sha256().await? });
    }
    Ok(new)
}

fn add(to: &mut Metrics, numbers: impl IntoIterator<Item = (String, Finite)>) -> Result<()> {
    for (name, number) in numbers {
        if to.insert(name.clone(), number).is_some() {
            bail!("{name} is given twice: which number counts?");
        }
    }
    Ok(())
}

/// `auc=0.81, carrier=AA: auc=0.7, cost_usd=1.2`.
pub(super) fn numbers(evaluation: &Evaluation) -> String {
    let list = |numbers: &Metrics| numbers.iter().map(|(name, number)| format!("{name}={number}")).collect::<Vec<_>>();
    let slices: &BTreeMap<String, Metrics> = &evaluation.slices;
    let of_slices = slices.iter().map(|(slice, metrics)| format!("{slice}: {}", list(metrics).join(", ")));
    let all = list(&evaluation.metrics).into_iter().chain(of_slices).chain(list(&evaluation.figures));
    all.collect::<Vec<_>>().join(", ")
}

fn number(text: &str) -> Result<(String, Finite), String> {
    let wrong = || format!("'{text}' is no number with a name: write it like auc=0.81");
    let (name, number) = text.split_once('=').ok_or_else(wrong)?;
    if name.trim().is_empty() {
        return Err(wrong());
    }
    Ok((name.trim().to_owned(), number.parse().map_err(|_| wrong())?))
}
