//! `model alias|traffic|check`: who answers under a name, and whether it may.

use anyhow::{Result, bail};
use hitherto_core::{Alias, GateReport, Name, Selector, Share, Traffic, VersionedName};
use hitherto_engine::{Engine, OnRefusal};
use hitherto_registry::Expected;

use crate::args::Global;
use crate::output::{self, Format};

/// Flags of `model alias`.
#[derive(Debug, clap::Args)]
pub(super) struct MoveArgs {
    /// The version, NAME@VERSION
    version: Selector,
    /// The alias, such as champion
    alias: Name,
    #[command(flatten)]
    terms: Terms,
}

/// Flags of `model traffic`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["split", "shadow", "clear"])))]
pub(super) struct TrafficArgs {
    /// The model
    model: Name,
    /// The alias, such as champion
    alias: Name,
    /// Versions and their weights, such as 1=90,2=10
    #[arg(long, value_name = "VERSION=WEIGHT,…", value_delimiter = ',', value_parser = share)]
    split: Vec<Share>,
    /// A version whose features are fetched and measured as well, and not returned
    #[arg(long, value_name = "VERSION")]
    shadow: Option<u32>,
    /// Send everything to the alias's own version again
    #[arg(long, conflicts_with_all = ["split", "shadow"])]
    clear: bool,
    #[command(flatten)]
    terms: Terms,
}

/// On which terms an alias changes.
#[derive(Debug, clap::Args)]
struct Terms {
    /// Only if the alias is at this version now: a compare-and-set
    #[arg(long, value_name = "VERSION")]
    expected: Option<u32>,
    /// Do it although the gate refuses, for this reason, which is recorded
    #[arg(long = "override", value_name = "REASON")]
    override_reason: Option<String>,
}

impl Terms {
    fn expected(&self) -> Expected {
        self.expected.map_or(Expected::Anything, |version| Expected::Version(Some(version)))
    }

    fn refused(self) -> OnRefusal {
        self.override_reason.map_or(OnRefusal::Stop, OnRefusal::Override)
    }
}

/// Flags of `model check`.
#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// The version, NAME (the latest), NAME@VERSION or NAME@ALIAS
    version: Selector,
    /// The alias whose gate is asked
    #[arg(long)]
    alias: Name,
}

/// Move an alias.
pub(super) async fn run(args: MoveArgs, engine: &Engine, global: &Global) -> Result<()> {
    let Selector::Version(version) = args.version else {
        bail!("'{}' names no version: write it like {}@1", args.version, args.version.name());
    };
    let expected = args.terms.expected();
    let moved = engine.move_alias_if(&version, &args.alias, expected, args.terms.refused()).await?;
    show(&moved, global)
}

/// Share an alias's traffic.
pub(super) async fn traffic(args: TrafficArgs, engine: &Engine, global: &Global) -> Result<()> {
    let traffic = Traffic { split: args.split, shadow: args.shadow };
    let expected = args.terms.expected();
    let shared = engine.set_traffic(&args.model, &args.alias, traffic, expected, args.terms.refused()).await?;
    show(&shared, global)
}

fn show(alias: &Alias, global: &Global) -> Result<()> {
    match global.output {
        Format::Json => output::json(alias),
        Format::Table => output::line(described(alias)),
    }
}

/// `late@champion -> late@1`, with its traffic where that is shared: `late@champion -> late@1, 90 of 100 to @1, …`.
fn described(alias: &Alias) -> String {
    let Alias { model, alias: name, version, .. } = alias;
    format!("{model}@{name} -> {model}@{version}{}", shares(alias))
}

/// `, 90 of 100 to @1, 10 of 100 to @2, shadow @3`; nothing where all goes to one version.
pub(super) fn shares(alias: &Alias) -> String {
    let total: u64 = alias.split.iter().map(|share| u64::from(share.weight)).sum();
    let shares = alias.split.iter().map(|share| format!(", {} of {total} to @{}", share.weight, share.version));
    shares.chain(alias.shadow.map(|shadow| format!(", shadow @{shadow}"))).collect()
}

/// Ask a gate; nothing moves.
pub(super) async fn check(args: CheckArgs, engine: &Engine, global: &Global) -> Result<()> {
    let found = engine.registry().model(&args.version).await?;
    let version = VersionedName { name: found.name, version: found.version };
    let report = engine.check_gate(&version, &args.alias).await?;
    match global.output {
        Format::Json => output::json(&report)?,
        Format::Table => conditions(&report, "")?,
    }
    let gate =
        report.gate.as_ref().map_or_else(|| format!("'{}' has no gate", args.alias), |gate| format!("gate {gate}"));
    if report.passed {
        output::note(format!("{version} may become '{}': {gate}", args.alias));
        return Ok(());
    }
    let (failed, all) = (report.failed().count(), report.conditions.len());
    bail!("{version} may not become '{}': {failed} of {all} conditions failed ({gate})", args.alias)
}

/// Every condition with what was found.
pub(super) fn conditions(report: &GateReport, indent: &str) -> Result<()> {
    let word = |passed| if passed { "pass" } else { "FAIL" };
    report
        .conditions
        .iter()
        .try_for_each(|condition| output::line(format!("{indent}{}  {condition}", word(condition.passed))))
}

fn share(text: &str) -> Result<Share, String> {
    let read = text.split_once('=').and_then(|(version, weight)| {
        Some(Share { version: version.trim().parse().ok()?, weight: weight.trim().parse().ok()? })
    });
    read.ok_or_else(|| format!("'{text}' is no share: write it like 1=90"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_versions_with_weights() {
        assert_eq!(share("2=10"), Ok(Share { version: 2, weight: 10 }));
        for wrong in ["2", "2=", "=10", "2=-1", "2=10%", "champion=10"] {
            assert_eq!(share(wrong), Err(format!("'{wrong}' is no share: write it like 1=90")));
        }
    }
}
