//! `dataset show|list|verify|report|rebuild|forget`.

use anyhow::{Result, anyhow, bail};
use clap::Subcommand;
use hitherto_core::Dataset;
use hitherto_engine::{Engine, Rebuilt, SpineSources};
use serde_json::json;

use super::list::objects;
use super::manifest::show;
use super::training_set::{ProgressLine, spine_of};
use super::verify;
use crate::args::Global;
use crate::config::Config;
use crate::locations;
use crate::output::{self, Format, thousands};
use crate::stores::{self, Use};

/// Flags of `dataset`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// What to do with training sets.
#[derive(Debug, Subcommand)]
enum Command {
    /// Show what decided a training set's values, and where it lies
    Show {
        /// Its id, a unique beginning of it, or its name
        id: String,
        /// The whole manifest as JSON, as --output json
        #[arg(long)]
        json: bool,
    },
    /// List all training sets
    List,
    /// Prove that a training set read nothing before its time: every row, every view, by a second path; the verdict is kept
    Verify(verify::Args),
    /// Say what a join on event time alone would have leaked into it, why values are absent, and how late rows become known
    Report {
        /// Its id, a unique beginning of it, or its name
        id: String,
        /// The spine, if it is neither where it was nor in the training set's own file
        #[arg(long, value_name = "FILE|URL|-")]
        spine: Option<String>,
        /// As JSON, as --output json
        #[arg(long)]
        json: bool,
    },
    /// Build it again from the history that it saw, whatever was ingested since; say what is gone if it cannot be
    Rebuild {
        /// Its id, a unique beginning of it, or its name
        id: String,
        /// Where the file goes
        #[arg(long, value_name = "FILE_OR_URL")]
        out: String,
        /// The spine, if it is neither where it was nor in the training set's own file
        #[arg(long, value_name = "FILE|URL|-")]
        spine: Option<String>,
    },
    /// Forget a training set that no model version needs: its manifest and its verdicts. Its file stays where it is
    Forget {
        /// Its id, a unique beginning of it, or its name
        id: String,
    },
}

/// Run one of them.
pub(crate) async fn run(args: Args, config: &Config, global: &Global) -> Result<()> {
    let engine = stores::open(config, Use::Existing, global.clock).await?;
    match args.command {
        Command::Show { id, json } => show(&engine.registry().dataset(&id).await?, &global.with_json(json)),
        Command::List => list(&engine, global).await,
        Command::Verify(args) => verify::run(args, &engine, &config.actor, global).await,
        Command::Report { id, spine, json } => report(&engine, &id, spine, &global.with_json(json)).await,
        Command::Rebuild { id, out, spine } => rebuild(&engine, &id, &out, spine, global).await,
        Command::Forget { id } => forget(&engine, &id, global).await,
    }
}

/// List all training sets.
pub(super) async fn list(engine: &Engine, global: &Global) -> Result<()> {
    let datasets = engine.registry().datasets().await?;
    let heading = ["ID", "NAME", "FEATURE SET", "MODE", "ROWS", "BUILT AT", "FILE"];
    let row = |dataset: &Dataset| {
        let id = match global.output {
            Format::Table => dataset.id.chars().take(12).collect(),
            Format::Json => dataset.id.clone(),
        };
        vec![
            id,
            dataset.name.as_ref().map(ToString::to_string).unwrap_or_default(),
            dataset.feature_set.to_string(),
            super::training_set::mode_name(dataset.mode).to_owned(),
            thousands(dataset.rows),
            dataset.built_at.to_string(),
            dataset.location.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = datasets.iter().map(row).collect();
    match global.output {
        Format::Table => output::table(&heading, &rows),
        Format::Json => output::json(&objects(&heading, &rows)),
    }
}

async fn rebuild(engine: &Engine, id: &str, out: &str, spine: Option<String>, global: &Global) -> Result<()> {
    let dataset = engine.registry().dataset(id).await?;
    let sources = sources(&dataset, spine).await?;
    let bar = ProgressLine::new();
    let rebuilt =
        engine.rebuild_dataset(&dataset, &sources, locations::output(out)?, |progress| bar.show(progress)).await?;
    bar.clear();
    if !rebuilt.is_same(&dataset) {
        return Err(differs(&rebuilt, &dataset, out));
    }
    match global.output {
        Format::Json => output::json(&rebuilt.dataset)?,
        Format::Table => output::line(&rebuilt.dataset.id)?,
    }
    if rebuilt.spine != dataset.spine {
        output::note(format!("the spine's rows were taken from {}", rebuilt.spine));
    }
    if rebuilt.dataset.file_hash == dataset.file_hash {
        output::note(format!("{out} is byte for byte what was built at {}", dataset.built_at));
    } else {
        output::note(format!("{out} has the rows that were built at {}, in another encoding", dataset.built_at));
    }
    Ok(())
}

async fn forget(engine: &Engine, id: &str, global: &Global) -> Result<()> {
    let dataset = engine.forget_dataset(id).await?;
    match global.output {
        Format::Json => output::json(&json!({"forgotten": dataset.id, "file": dataset.location}))?,
        Format::Table => output::line(&dataset.id)?,
    }
    output::note(format!("its file was left: {}", dataset.location));
    Ok(())
}

fn differs(rebuilt: &Rebuilt, dataset: &Dataset, out: &str) -> anyhow::Error {
    if !rebuilt.erased.is_empty() {
        return anyhow!("{out} is not what was built, and nothing can be any more: {}", rebuilt.erased.join("; "));
    }
    let fingerprint = |dataset: &Dataset| match dataset.format {
        0 => dataset.file_hash.clone(),
        _ => dataset.build.result_fingerprint.clone(),
    };
    anyhow!(
        "{out} differs from what was built: its fingerprint is {}, the manifest says {}; the spine and the history that it \
         saw are there, so rows of that history were changed, or version {} of the engine computed otherwise than {} does",
        fingerprint(&rebuilt.dataset),
        fingerprint(dataset),
        dataset.build.engine_version,
        rebuilt.dataset.build.engine_version
    )
}

async fn report(engine: &Engine, id: &str, spine: Option<String>, global: &Global) -> Result<()> {
    let dataset = engine.registry().dataset(id).await?;
    let report = engine.leakage_report(&dataset, &sources(&dataset, spine).await?).await?;
    match global.output {
        Format::Json => output::json(&report),
        Format::Table => super::report::show(&report),
    }
}

/// Where a dataset's spine is looked for: at `given` alone, or else where it was, and then in the dataset's own file.
pub(super) async fn sources(dataset: &Dataset, given: Option<String>) -> Result<SpineSources> {
    if let Some(location) = given {
        return Ok(SpineSources { spines: vec![spine_of(Some(location), None).await?], ..SpineSources::default() });
    }
    let mut sources = SpineSources::default();
    match spine_again(dataset).await {
        Ok(spine) => sources.spines.push(spine),
        Err(fault) => sources.faults.push(format!("{fault:#}")),
    }
    match locations::input(std::slice::from_ref(&dataset.location), None).await {
        Ok(file) => sources.file = Some(file),
        Err(fault) => sources.faults.push(format!("{fault:#}")),
    }
    Ok(sources)
}

/// A spine as the manifest has it: a location, or a query.
async fn spine_again(dataset: &Dataset) -> Result<hitherto_engine::Spine> {
    let origin = dataset.spine.as_str();
    match origin.split_whitespace().next().unwrap_or_default() {
        "-" => bail!("it came from standard input"),
        // a location is an absolute path or a URL, so this is none
        "uploaded" => bail!("a client sent it with its request"),
        _ if dataset.spine_is_query() => Ok(hitherto_engine::Spine::asked_again(dataset)),
        _ => spine_of(Some(origin.to_owned()), None).await,
    }
}
