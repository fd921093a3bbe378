//! `dataset verify`: the leakage certificate of a training set, or of a file that was built elsewhere.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use hitherto_certificate::{Cause, Fault, ViewReport};
use hitherto_core::{Dataset, Mode, Selector};
use hitherto_engine::{AuditRequest, Certificate, Engine};
use hitherto_offline::input::Input;

use super::training_set::{ModeFlag, ProgressLine, mode_name};
use crate::args::Global;
use crate::locations;
use crate::output::{self, Format, thousands};

/// Flags of `dataset verify`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A training set: its id, a unique beginning of it, its name, or a file that it was written to
    #[arg(value_name = "ID|FILE")]
    which: String,
    /// The file, if it is no longer where it was written
    #[arg(long, value_name = "FILE", conflicts_with = "audit")]
    file: Option<PathBuf>,
    /// Judge a file that was built elsewhere (spine columns and features, by their names in the feature set): which of its
    /// cells could not have been known
    #[arg(long, requires = "feature_set")]
    audit: bool,
    /// With --audit: the feature set whose features the file has, or some of them
    #[arg(long, value_name = "NAME[@VERSION]", requires = "audit")]
    feature_set: Option<Selector>,
    /// With --audit: by which rule it is judged
    #[arg(long, value_enum, default_value = "knowledge", requires = "audit")]
    mode: ModeFlag,
    /// With --audit: its column of prediction times
    #[arg(long, value_name = "COL", default_value = "event_timestamp", requires = "audit")]
    event_timestamp: String,
}

/// Prove it, or say what is wrong; exit code 0 only if all of it was proven.
pub(super) async fn run(args: Args, engine: &Engine, by: &str, global: &Global) -> Result<()> {
    let bar = ProgressLine::new();
    let certificate = if let Some(feature_set) = args.feature_set {
        let file = locations::input(std::slice::from_ref(&args.which), None).await?;
        let wanted = AuditRequest { feature_set, mode: Mode::from(args.mode), event_timestamp: args.event_timestamp };
        engine.audit_file(&wanted, &file, |progress| bar.show(progress)).await?
    } else {
        let (dataset, place) = find(engine, &args.which, args.file.as_deref()).await?;
        let file = match locations::input(std::slice::from_ref(&place), None).await {
            Ok(file) => file,
            Err(error) => {
                // of a file that is elsewhere nothing is said by a place where none is
                if args.file.is_none() {
                    engine.record_unchecked(&dataset, by, &format!("{error:#}")).await;
                }
                let id = &dataset.id[..12];
                let hint = format!("could not check dataset {id}; if its file was moved, name it with --file");
                return Err(error.context(hint));
            }
        };
        engine.verify_dataset(&dataset, &file, by, |progress| bar.show(progress)).await?
    };
    bar.clear();
    match global.output {
        Format::Json => output::json(&certificate)?,
        Format::Table => show(&certificate)?,
    }
    if certificate.is_proven() {
        return Ok(());
    }
    let wrong: u64 = certificate.views.iter().map(|view| view.wrong_cells).sum();
    match (&certificate.dataset, wrong) {
        (None, wrong) => bail!("{}: {wrong} cells are not what was known at their row's time", certificate.file),
        (Some(id), 0) => bail!(
            "{} is not proven to be dataset {id}; `hitherto dataset rebuild {}` builds it again",
            certificate.file,
            &id[..12]
        ),
        (Some(id), wrong) => bail!(
            "{} is not dataset {id}: {wrong} cells are not what was known at their row's time; \
             `hitherto dataset rebuild {}` builds it again",
            certificate.file,
            &id[..12]
        ),
    }
}

/// The dataset, and where its file is.
async fn find(engine: &Engine, which: &str, file: Option<&Path>) -> Result<(Dataset, String)> {
    let path = Path::new(which);
    if file.is_none() && path.is_file() {
        let input = locations::input(&[which.to_owned()], None).await?;
        let Some(id) = dataset_in(&input).await? else {
            bail!(
                "{which} does not say which training set it is: name that, and the file with --file; a file that was built \
                 elsewhere is judged with --audit --feature-set NAME"
            );
        };
        return Ok((engine.registry().dataset(&id).await?, which.to_owned()));
    }
    let dataset = engine.registry().dataset(which).await?;
    let place = file.map_or_else(|| dataset.location.clone(), |file| file.display().to_string());
    Ok((dataset, place))
}

async fn dataset_in(input: &Input) -> Result<Option<String>> {
    Ok(input.stamp("hitherto.dataset").await?)
}

fn show(certificate: &Certificate) -> Result<()> {
    if let Some(dataset) = &certificate.dataset {
        output::line(format!("dataset      {dataset}"))?;
    }
    output::line(format!("file         {}", certificate.file))?;
    output::line(format!("feature set  {}, mode {}", certificate.feature_set, mode_name(certificate.mode)))?;
    let heading = ["VIEW", "ROWS", "PRESENT", "NO ROW", "DELETED", "EXPIRED", "CELLS", "WRONG", "LEAKED", "SAMPLED"];
    let row = |view: &ViewReport| {
        let counts = [
            view.rows,
            view.present,
            view.no_row,
            view.deleted,
            view.expired,
            view.cells,
            view.wrong_cells,
            view.leaked,
            view.sampled,
        ];
        [view.view.clone()].into_iter().chain(counts.into_iter().map(thousands)).collect()
    };
    let rows: Vec<Vec<String>> = certificate.views.iter().map(row).collect();
    output::table(&heading, &rows)?;
    for fault in &certificate.faults {
        output::line(format!("fault: {fault}"))?;
    }
    for view in &certificate.views {
        if view.unproven > 0 {
            output::line(format!("fault: {}: {} winners could not be proven", view.view, view.unproven))?;
        }
        if !view.is_sampled() {
            output::line(format!("fault: {}: no row was asked again of a store cut off at its time", view.view))?;
        }
        view.faults.iter().try_for_each(|fault| output::line(format!("fault: {}", text(fault))))?;
        let untold = view.wrong_cells - view.faults.len() as u64;
        if untold > 0 {
            output::line(format!("fault: {}: {} more cells", view.view, thousands(untold)))?;
        }
    }
    for transform in certificate.transforms.iter().filter(|transform| transform.wrong_cells > 0) {
        let row = transform.first_wrong_row.unwrap_or_default();
        output::line(format!(
            "fault: {}: {} cells are not what the other columns give, the first in row {row}",
            transform.name,
            thousands(transform.wrong_cells)
        ))?;
    }
    if certificate.is_proven() {
        let what = match (&certificate.dataset, certificate.mode) {
            (_, Mode::Event) => "each cell is what mode event gives, which may be what nobody knew then",
            (Some(_), Mode::Knowledge) => "the file is the one that was written, and each cell is what was known then",
            (None, Mode::Knowledge) => "each cell is what was known then",
        };
        output::line(format!("proven: {what}"))?;
    }
    Ok(())
}

/// A fault in a sentence.
fn text(fault: &Fault) -> String {
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let cause = match fault.cause {
        Cause::Unknown => "no row of this key ever had that value".to_owned(),
        Cause::Leaked(since) => format!("it leaks: that value was known only from {since} on"),
        Cause::Superseded => "that value was known before, and superseded or withheld by then".to_owned(),
        Cause::Missing => "a value was known".to_owned(),
    };
    let Fault { row, time, column, found, known, .. } = fault;
    format!("row {} at {time}: {column} is {}, and {} was known; {cause}", thousands(*row), value(found), value(known))
}
