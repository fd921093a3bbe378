//! `model register`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hitherto_core::{Artifact, ModelKind, Name, Prompt, Provenance, Selector};
use hitherto_engine::{Engine, Registration};

use super::pair;
use crate::args::Global;
use crate::locations;
use crate::output::{self, Format};

/// Flags of `model register`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model
    name: Name,
    /// The training set: its id, a unique beginning of it, or its name
    #[arg(long, value_name = "ID")]
    dataset: Option<String>,
    /// The feature set, NAME or NAME@VERSION; the dataset's own where absent
    #[arg(long, value_name = "NAME[@VERSION]")]
    feature_set: Option<Selector>,
    /// What kind of thing it is; a prompt where one is given
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// The text of a prompt
    #[arg(long, value_name = "TEXT", conflicts_with = "prompt_file")]
    prompt: Option<String>,
    /// A file with the text of a prompt
    #[arg(long, value_name = "FILE")]
    prompt_file: Option<PathBuf>,
    /// Where the model's file or folder lies
    #[arg(long, value_name = "URI")]
    artifact: Option<String>,
    /// SHA-256 of the artifact; computed where the artifact is a file of this machine
    #[arg(long, value_name = "HEX", requires = "artifact")]
    artifact_sha256: Option<String>,
    /// The run that made it, such as mlflow=3f2a; may be repeated
    #[arg(long = "run", value_name = "SYSTEM=ID", value_parser = pair)]
    runs: Vec<(String, String)>,
    /// The version of the code that made it
    #[arg(long, value_name = "REVISION")]
    code_version: Option<String>,
    /// What it was made with, such as depth=6 or temperature=0.2; may be repeated
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
    /// A label, such as team=ops; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = pair)]
    tags: Vec<(String, String)>,
}

/// The kinds of model versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// A trained model
    Model,
    /// A prompt of a language model, which features fill
    Prompt,
}

/// Register the next version.
pub(super) async fn run(args: Args, engine: &Engine, global: &Global) -> Result<()> {
    let provenance = Provenance {
        kind: kind(args.kind, prompt(args.prompt, args.prompt_file.as_deref())?)?,
        artifact: artifact(args.artifact, args.artifact_sha256).await?,
        runs: unique("--run", args.runs)?,
        code_version: args.code_version,
        parameters: unique("--param", args.parameters)?.into_iter().map(|(name, text)| (name, json(text))).collect(),
    };
    let tags = unique("--tag", args.tags)?;
    let (name, feature_set, dataset) = (args.name, args.feature_set, args.dataset);
    let model = engine.register_model(Registration { name, feature_set, dataset, provenance, tags }).await?;
    match global.output {
        Format::Json => output::json(&model),
        Format::Table => output::line(format!("{}@{}", model.name, model.version)),
    }
}

fn prompt(text: Option<String>, file: Option<&Path>) -> Result<Option<String>> {
    let Some(file) = file else { return Ok(text) };
    std::fs::read_to_string(file).map(Some).with_context(|| format!("could not read {}", file.display()))
}

fn kind(asked: Option<Kind>, prompt: Option<String>) -> Result<ModelKind> {
    match (asked, prompt) {
        (Some(Kind::Model), Some(_)) => bail!("a model of kind 'model' has no prompt: leave --kind out"),
        (Some(Kind::Prompt), None) => bail!("a prompt needs its text: give --prompt or --prompt-file"),
        (_, Some(text)) => Ok(ModelKind::Prompt(Prompt { text })),
        (_, None) => Ok(ModelKind::Model),
    }
}

/// The artifact with the hash of what lies there now, where it is a file of this machine.
async fn artifact(uri: Option<String>, given: Option<String>) -> Result<Option<Artifact>> {
    let Some(uri) = uri else { return Ok(None) };
    let path = Path::new(uri.strip_prefix("file://").unwrap_or(&uri));
    if !path.is_file() {
        return Ok(Some(Artifact { uri, sha256: given }));
    }
    let place = locations::output(&uri)?;
    let found = place.sha256().await?;
    if let Some(given) = given.filter(|given| *given != found) {
        bail!("{uri} has the SHA-256 {found}, not {given}: which artifact is it?");
    }
    Ok(Some(Artifact { uri: place.place().to_owned(), sha256: Some(found) }))
}

fn unique(flag: &str, pairs: Vec<(String, String)>) -> Result<BTreeMap<String, String>> {
    let mut unique = BTreeMap::new();
    for (name, value) in pairs {
        if unique.insert(name.clone(), value).is_some() {
            bail!("{flag} {name} is given twice");
        }
    }
    Ok(unique)
}

/// `0.2` is a number, `true` a truth, what is no JSON a text.
fn json(text: String) -> serde_json::Value {
    serde_json::from_str(&text).unwrap_or(serde_json::Value::String(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_json_or_texts() {
        let read = ["0.2", "true", "[1,2]", "\"1\"", "adam"].map(|text| json(text.to_owned()).to_string());
        assert_eq!(read, ["0.2", "true", "[1,2]", "\"1\"", "\"adam\""]);
    }
}
