//! Evaluations of model versions: what was measured, on what, by whom.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Finite, Name, Selector, Timestamp, VersionedName};

/// Numbers by name: `auc` to 0.71.
pub type Metrics = BTreeMap<String, Finite>;

/// One evaluation of a model version. Never changed; a version may have many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The model.
    pub model: Name,
    /// Its version.
    pub version: u32,
    /// When it was recorded.
    pub evaluated_at: Timestamp,
    /// What was measured.
    pub metrics: Metrics,
    /// On what: a dataset's id, or words.
    pub dataset: Option<String>,
    /// By whom.
    pub grader: Option<Grader>,
    /// The same metrics on parts of the data: `carrier=AA` to its numbers.
    pub slices: BTreeMap<String, Metrics>,
    /// Cost and latency: `cost_usd` to 1.2.
    pub figures: Metrics,
    /// The full report.
    pub report: Option<ReportFile>,
}

/// What an evaluation is recorded with, also the form of `model evaluate --from`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewEvaluation {
    /// What was measured.
    pub metrics: Metrics,
    /// On what: a dataset's id, or words.
    pub dataset: Option<String>,
    /// By whom.
    pub grader: Option<Grader>,
    /// The same metrics on parts of the data.
    pub slices: BTreeMap<String, Metrics>,
    /// Cost and latency.
    pub figures: Metrics,
    /// The full report.
    pub report: Option<ReportFile>,
}

impl NewEvaluation {
    /// What is wrong with it, if anything is: it must have a number, and every number a name.
    pub fn problem(&self) -> Option<String> {
        let all = || self.slices.values().chain([&self.metrics, &self.figures]);
        if all().all(BTreeMap::is_empty) {
            return Some("it has no number: give a metric like auc=0.71".to_owned());
        }
        if self.slices.keys().chain(all().flat_map(BTreeMap::keys)).any(|name| name.trim().is_empty()) {
            return Some("a metric, figure or slice has no name".to_owned());
        }
        let twice = self.figures.keys().find(|name| self.metrics.contains_key(*name));
        twice.map(|name| format!("'{name}' is both a metric and a figure"))
    }

    /// The evaluation of this version, recorded then.
    pub fn of(self, model: Name, version: u32, evaluated_at: Timestamp) -> Evaluation {
        let Self { metrics, dataset, grader, slices, figures, report } = self;
        Evaluation { model, version, evaluated_at, metrics, dataset, grader, slices, figures, report }
    }
}

impl Evaluation {
    /// The metric or figure of this name, of the whole or of a slice.
    pub fn number(&self, name: &str, slice: Option<&str>) -> Option<Finite> {
        match slice {
            Some(slice) => self.slices.get(slice)?.get(name).copied(),
            None => self.metrics.get(name).or_else(|| self.figures.get(name)).copied(),
        }
    }
}

/// A report as it lay somewhere when the evaluation was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportFile {
    /// Where.
    pub location: String,
    /// SHA-256, in hex, of its bytes.
    pub sha256: String,
}

/// Who measured: `code:VERSION`, `human:WHO` or `model:NAME@VERSION`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Grader {
    /// A program of this version.
    Code(String),
    /// This person.
    Human(String),
    /// This version of a model: a judge is versioned like what it judges.
    Model(VersionedName),
}

impl fmt::Display for Grader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(version) => write!(f, "code:{version}"),
            Self::Human(who) => write!(f, "human:{who}"),
            Self::Model(judge) => write!(f, "model:{judge}"),
        }
    }
}

impl From<Grader> for String {
    fn from(grader: Grader) -> Self {
        grader.to_string()
    }
}

impl TryFrom<String> for Grader {
    type Error = GraderError;

    fn try_from(text: String) -> Result<Self, GraderError> {
        text.parse()
    }
}

impl FromStr for Grader {
    type Err = GraderError;

    fn from_str(text: &str) -> Result<Self, GraderError> {
        let wrong = || GraderError(text.to_owned());
        match text.split_once(':').ok_or_else(wrong)? {
            (_, "") => Err(wrong()),
            ("code", version) => Ok(Self::Code(version.to_owned())),
            ("human", who) => Ok(Self::Human(who.to_owned())),
            ("model", judge) => match judge.parse() {
                Ok(Selector::Version(judge)) => Ok(Self::Model(judge)),
                _ => Err(wrong()),
            },
            _ => Err(wrong()),
        }
    }
}

/// A text that names no grader.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no grader: write code:VERSION, human:WHO or model:NAME@VERSION")]
pub struct GraderError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graders_are_versioned() {
        for text in ["code:1f2e3d", "human:ada", "model:judge@3"] {
            assert_eq!(text.parse::<Grader>().map(|grader| grader.to_string()), Ok(text.to_owned()));
        }
        for bad in ["code:", "robot:1", "ada", "model:judge", "model:judge@champion"] {
            assert!(bad.parse::<Grader>().is_err(), "{bad} must be refused");
        }
    }

    #[test]
    fn an_evaluation_has_numbers_with_names() {
        let problem = |json: &str| serde_json::from_str::<NewEvaluation>(json).expect("reads").problem();
        assert_eq!(problem(r#"{"metrics": {"auc": 0.71}}"#), None);
        assert_eq!(problem(r#"{"slices": {"carrier=AA": {"auc": 0.6}}}"#), None);
        assert_eq!(problem("{}").as_deref(), Some("it has no number: give a metric like auc=0.71"));
        assert_eq!(problem(r#"{"figures": {" ": 1}}"#).as_deref(), Some("a metric, figure or slice has no name"));
        assert_eq!(
            problem(r#"{"metrics": {"cost": 1}, "figures": {"cost": 2}}"#).as_deref(),
            Some("'cost' is both a metric and a figure")
        );
        assert!(serde_json::from_str::<NewEvaluation>(r#"{"metric": {"auc": 0.71}}"#).is_err(), "a misspelt field");
    }
}
