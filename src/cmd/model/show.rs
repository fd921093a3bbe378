//! `model show|history`.

use anyhow::Result;
use hitherto_core::{Evaluation, ModelKind, ModelVersion, Name, Selector};
use hitherto_engine::Engine;
use hitherto_registry::AliasMove;
use serde::Serialize;

use super::{alias, evaluate};
use crate::args::Global;
use crate::output::{self, Format};

/// A version with what is attached to it.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    model: &'a ModelVersion,
    aliases: &'a [String],
    evaluations: &'a [Evaluation],
}

/// Show one version.
pub(super) async fn show(engine: &Engine, selector: &Selector, global: &Global) -> Result<()> {
    let model = engine.registry().model(selector).await?;
    let evaluations = engine.registry().evaluations(&model.name, model.version).await?;
    let aliases = engine.registry().aliases(&model.name).await?;
    let mine = aliases.into_iter().filter(|alias| alias.version == model.version);
    let mine: Vec<String> = match global.output {
        Format::Json => mine.map(|alias| alias.alias.to_string()).collect(),
        Format::Table => mine.map(|alias| format!("{}{}", alias.alias, alias::shares(&alias))).collect(),
    };
    if global.output == Format::Json {
        return output::json(&Shown { model: &model, aliases: &mine, evaluations: &evaluations });
    }
    output::line(format!("model            {}@{}", model.name, model.version))?;
    output::line(format!("kind             {}", model.provenance.kind.name()))?;
    output::line(format!("aliases          {}", mine.join("; ")))?;
    output::line(format!("feature set      {}", model.feature_set))?;
    output::line(format!("feature set hash {}", model.feature_set_hash))?;
    output::line(format!("dataset          {}", model.dataset.as_deref().unwrap_or("none")))?;
    provenance(&model)?;
    output::line(format!("registered at    {}", model.registered_at))?;
    model.tags.iter().try_for_each(|(key, value)| output::line(format!("tag              {key}={value}")))?;
    evaluations.iter().try_for_each(evaluation)
}

fn provenance(model: &ModelVersion) -> Result<()> {
    let provenance = &model.provenance;
    if let Some(artifact) = &provenance.artifact {
        output::line(format!("artifact         {}", artifact.uri))?;
        output::line(format!("artifact hash    {}", artifact.sha256.as_deref().unwrap_or("unknown")))?;
    }
    for (system, run) in &provenance.runs {
        output::line(format!("run              {system}={run}"))?;
    }
    if let Some(version) = &provenance.code_version {
        output::line(format!("code version     {version}"))?;
    }
    for (name, value) in &provenance.parameters {
        output::line(format!("parameter        {name}={value}"))?;
    }
    if let ModelKind::Prompt(prompt) = &provenance.kind {
        for line in prompt.text.lines() {
            output::line(format!("prompt           {line}"))?;
        }
    }
    Ok(())
}

fn evaluation(evaluation: &Evaluation) -> Result<()> {
    let by = evaluation.grader.as_ref().map(|grader| format!(" by {grader}")).unwrap_or_default();
    let short = |id: &String| id.chars().take(12).collect::<String>();
    let on = evaluation.dataset.as_ref().map(|dataset| format!(" on {}", short(dataset))).unwrap_or_default();
    output::line(format!("evaluation       {}: {}{on}{by}", evaluation.evaluated_at, evaluate::numbers(evaluation)))?;
    evaluation.report.as_ref().map_or(Ok(()), |report| {
        output::line(format!("report           {} (SHA-256 {})", report.location, report.sha256))
    })
}

/// Show every move of a model's aliases.
pub(super) async fn history(engine: &Engine, model: &Name, global: &Global) -> Result<()> {
    let moves = engine.registry().alias_moves(model).await?;
    if global.output == Format::Json {
        return output::json(&moves);
    }
    moves.iter().try_for_each(moved)
}

fn moved(moved: &AliasMove) -> Result<()> {
    let from = moved.from.map_or_else(|| "nothing".to_owned(), |from| format!("@{from}"));
    let gate = moved.evidence.as_ref().and_then(|report| report.gate.as_ref());
    let gate = gate.map(|gate| format!(", gate {gate}")).unwrap_or_default();
    output::line(format!("{} {}: {from} -> @{}{gate}", moved.moved_at, moved.alias, moved.to))?;
    if let Some(report) = &moved.evidence {
        alias::conditions(report, "  ")?;
    }
    match &moved.override_reason {
        Some(reason) => output::line(format!("  overridden: {reason}")),
        None => Ok(()),
    }
}
