//! `plan` and `apply`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hitherto_core::{NewTables, Plan};
use hitherto_engine::DefinitionFile;

use crate::args::Global;
use crate::config::Config;
use crate::output::{self, Format};
use crate::stores::{self, Use};

/// Flags of `plan` and `apply`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Definition files (YAML), or folders of them
    #[arg(short = 'f', long = "file", required = true, num_args = 1.., value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Let a change of keys, of a feature's type or of a time column start a new, empty table
    #[arg(long)]
    allow_new_table: bool,
}

impl Args {
    fn new_tables(&self) -> NewTables {
        if self.allow_new_table { NewTables::Allow } else { NewTables::Refuse }
    }
}

/// Show the difference; change nothing.
pub(crate) async fn plan(args: Args, config: &Config, global: &Global) -> Result<()> {
    let engine = stores::open(config, Use::Existing, global.clock).await?;
    let plan = engine.plan(&read(&args.files)?, NewTables::Allow).await?;
    show(&plan, global)?;
    if !plan.records.is_empty() {
        output::note("nothing is changed yet: `hitherto apply` with the same files does it");
    }
    Ok(())
}

/// Make the difference.
pub(crate) async fn apply(args: Args, config: &Config, global: &Global) -> Result<()> {
    let files = read(&args.files)?;
    let engine = stores::open(config, Use::Write, global.clock).await?;
    let applied = engine.apply(&files, args.new_tables()).await?;
    show(&applied.plan, global)?;
    let done = if applied.plan.records.is_empty() { "nothing to change" } else { "applied" };
    output::note(format!("{done}; the registry is at revision {}", applied.revision));
    Ok(())
}

fn show(plan: &Plan, global: &Global) -> Result<()> {
    match global.output {
        Format::Json => output::json(&plan.changes),
        Format::Table => plan.changes.iter().try_for_each(|change| output::line(change.to_string())),
    }
}

/// The texts of all files; a folder stands for the `.yaml` and `.yml` files in it, by name.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<DefinitionFile>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            let found = yaml_files(path)?;
            if found.is_empty() {
                bail!("{}: no .yaml or .yml file in this folder", path.display());
            }
            files.extend(found);
        } else {
            files.push(path.clone());
        }
    }
    files
        .into_iter()
        .map(|file| {
            let text = std::fs::read_to_string(&file).with_context(|| format!("could not read {}", file.display()))?;
            Ok((file.display().to_string(), text))
        })
        .collect()
}

fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("could not read {}", folder.display()))?;
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"));
    files.sort();
    Ok(files)
}
