//! Model versions as the registry remembers them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Name, Timestamp, VersionedName};

/// An immutable version of a model: what it was trained on is what it is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVersion {
    /// The model.
    pub name: Name,
    /// Its version, from 1.
    pub version: u32,
    /// The feature set that it consumes.
    pub feature_set: VersionedName,
    /// That set's hash.
    pub feature_set_hash: String,
    /// The training set that it was trained on.
    pub dataset: Option<String>,
    /// What it is and where it came from.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// Free labels.
    pub tags: BTreeMap<String, String>,
    /// When it was registered.
    pub registered_at: Timestamp,
}

/// What a model version is registered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewModelVersion {
    /// The model.
    pub name: Name,
    /// The feature set that it consumes.
    pub feature_set: VersionedName,
    /// That set's hash.
    pub feature_set_hash: String,
    /// The training set that it was trained on.
    pub dataset: Option<String>,
    /// What it is and where it came from.
    pub provenance: Provenance,
    /// Free labels.
    pub tags: BTreeMap<String, String>,
}

/// What a model version is and where it came from. Versions registered before this was asked for have none of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// A trained model, or a prompt.
    pub kind: ModelKind,
    /// The file or folder that holds it.
    pub artifact: Option<Artifact>,
    /// The runs that made it, by the system that knows them: `mlflow` to a run id.
    pub runs: BTreeMap<String, String>,
    /// The version of the code that made it.
    pub code_version: Option<String>,
    /// What it was made with; of a prompt, what it is called with.
    pub parameters: BTreeMap<String, serde_json::Value>,
}

impl Provenance {
    /// What is wrong with it, if anything is.
    pub fn problem(&self) -> Option<String> {
        if let ModelKind::Prompt(Prompt { text }) = &self.kind
            && text.trim().is_empty()
        {
            return Some("its prompt is empty".to_owned());
        }
        if let Some(artifact) = &self.artifact {
            if artifact.uri.trim().is_empty() {
                return Some("its artifact has no URI".to_owned());
            }
            if let Some(hash) = artifact.sha256.as_ref().filter(|hash| !is_sha256(hash)) {
                return Some(format!("'{hash}' is no SHA-256: write 64 hexadecimal digits in lower case"));
            }
        }
        let nameless = self.runs.iter().any(|(system, run)| system.is_empty() || run.is_empty());
        if nameless || self.parameters.contains_key("") {
            return Some("a run or parameter has no name".to_owned());
        }
        None
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// What kind of thing a model version is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// A trained model.
    #[default]
    Model,
    /// A prompt: an application of a language model is trained by its prompt, and features fill it.
    Prompt(Prompt),
}

impl ModelKind {
    /// `model` or `prompt`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Prompt(_) => "prompt",
        }
    }
}

/// A prompt. Its parameters are those of its version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// The text.
    pub text: String,
}

/// Where a model version's file lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Where.
    pub uri: String,
    /// SHA-256, in hex, of its bytes, where it is known.
    pub sha256: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_registered_before_provenance_read_on() {
        let old = r#"{"name":"late","version":2,"feature_set":{"name":"s","version":1},"feature_set_hash":"aa",
            "dataset":null,"tags":{"run":"7"},"registered_at":5}"#;
        let read: ModelVersion = serde_json::from_str(old).expect("reads");
        assert_eq!((read.version, &read.provenance), (2, &Provenance::default()));
        let mut prompt = read;
        prompt.provenance.kind = ModelKind::Prompt(Prompt { text: "How late?".to_owned() });
        prompt.provenance.parameters.insert("temperature".to_owned(), 0.5.into());
        let written = serde_json::to_string(&prompt).expect("writes");
        assert!(written.contains(r#""kind":{"prompt":{"text":"How late?"}}"#), "{written}");
        assert_eq!(serde_json::from_str::<ModelVersion>(&written).expect("reads"), prompt);
    }

    #[test]
    fn what_is_wrong_with_a_provenance_is_said() {
        let artifact = |uri: &str, hash: Option<&str>| Provenance {
            artifact: Some(Artifact { uri: uri.to_owned(), sha256: hash.map(str::to_owned) }),
            ..Provenance::default()
        };
        assert_eq!(artifact("s3://b/m", Some(&"a1".repeat(32))).problem(), None);
        assert!(artifact("s3://b/m", Some("A1")).problem().expect("no hash").contains("64 hexadecimal digits"));
        assert_eq!(artifact(" ", None).problem().as_deref(), Some("its artifact has no URI"));
        let empty = Provenance { kind: ModelKind::Prompt(Prompt { text: "\n".to_owned() }), ..Provenance::default() };
        assert_eq!(empty.problem().as_deref(), Some("its prompt is empty"));
    }
}
