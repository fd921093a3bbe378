//! A gate held against facts: nothing is read here, everything comes in.

use std::collections::BTreeMap;

use super::report::ONLINE;
use super::{Against, Condition, DatasetCondition, GateReport, GateVersion, MetricCondition};
use crate::{Evaluation, Finite, Name, Span, StoredVerdict, Timestamp, VersionedName};

/// Everything that a gate may ask about a model version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateFacts {
    /// The version that is to pass.
    pub model: VersionedName,
    /// The alias.
    pub alias: Name,
    /// The present.
    pub now: Timestamp,
    /// The views that its feature set reads.
    pub views: Vec<ViewState>,
    /// The dataset that it was trained on.
    pub dataset: Option<DatasetState>,
    /// Its evaluations, oldest first.
    pub evaluations: Vec<Evaluation>,
    /// Where the model's aliases point now.
    pub holders: BTreeMap<Name, Holder>,
}

/// A view and how far it is online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewState {
    /// The view.
    pub view: VersionedName,
    /// The clock of its marks; none when it is not online.
    pub online_at: Option<Timestamp>,
}

/// A dataset and what was found of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasetState {
    /// Its id.
    pub id: String,
    /// The hash of its file, as recorded now.
    pub file_hash: String,
    /// Every verdict on it, oldest first.
    pub verdicts: Vec<StoredVerdict>,
}

/// The version that an alias points at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The version.
    pub version: u32,
    /// Its evaluations, oldest first.
    pub evaluations: Vec<Evaluation>,
}

impl GateReport {
    /// What `gate` finds in `facts`. That every view is online is asked of every alias, with a gate or without.
    pub fn of(gate: Option<&GateVersion>, facts: &GateFacts) -> Self {
        let mut conditions = vec![facts.online()];
        if let Some(GateVersion { definition, .. }) = gate {
            conditions.extend(definition.dataset.map(|DatasetCondition::Verified| facts.verified()));
            let max_lag = definition.online.and_then(|online| online.max_lag);
            conditions.extend(max_lag.map(|max_lag| facts.fresh(max_lag)));
            conditions.extend(definition.metrics.iter().flat_map(|metric| facts.metric(metric)));
        }
        Self {
            gate: gate.map(GateVersion::versioned_name),
            model: facts.model.clone(),
            alias: facts.alias.clone(),
            at: facts.now,
            passed: conditions.iter().all(|condition| condition.passed),
            conditions,
        }
    }
}

impl GateFacts {
    fn online(&self) -> Condition {
        let missing: Vec<String> =
            self.views.iter().filter(|view| view.online_at.is_none()).map(|view| view.view.to_string()).collect();
        let found = if missing.is_empty() {
            "all are".to_owned()
        } else {
            format!("not in the online store: {}", missing.join(", "))
        };
        Condition { text: ONLINE.to_owned(), passed: missing.is_empty(), found }
    }

    fn verified(&self) -> Condition {
        let (passed, found) = match &self.dataset {
            None => (false, "the version names no dataset".to_owned()),
            Some(DatasetState { id, file_hash, verdicts }) => {
                let id: String = id.chars().take(12).collect();
                match verdicts.last() {
                    None => (false, format!("nobody has verified the file of dataset {id}")),
                    Some(StoredVerdict { file_hash: other, by, at, .. }) if other != file_hash => {
                        (false, format!("what {by} found at {at} is of another file than that of dataset {id}"))
                    }
                    Some(verdict) => {
                        let word = if verdict.proven { "proven" } else { "not proven" };
                        (verdict.proven, format!("dataset {id} was {word} by {} at {}", verdict.by, verdict.at))
                    }
                }
            }
        };
        Condition { text: "the dataset is verified".to_owned(), passed, found }
    }

    fn fresh(&self, max_lag: Span) -> Condition {
        let lag = |view: &ViewState| view.online_at.map(|at| self.now.since(at));
        let late: Vec<String> = self
            .views
            .iter()
            .filter_map(|view| match lag(view) {
                None => Some(format!("{} is not online", view.view)),
                Some(lag) if lag > max_lag => Some(format!("{} is {} behind", view.view, rounded(lag))),
                Some(_) => None,
            })
            .collect();
        let found = if late.is_empty() {
            format!("at most {} behind", rounded(self.views.iter().filter_map(lag).max().unwrap_or_default()))
        } else {
            late.join(", ")
        };
        Condition { text: format!("every view is at most {max_lag} behind"), passed: late.is_empty(), found }
    }

    fn metric(&self, wanted: &MetricCondition) -> Vec<Condition> {
        let name = match &wanted.slice {
            Some(slice) => format!("{} of {slice}", wanted.metric),
            None => wanted.metric.clone(),
        };
        let value = latest(&self.evaluations, wanted);
        let bounds = [("least", wanted.min), ("most", wanted.max)];
        let mut conditions: Vec<Condition> = bounds
            .into_iter()
            .filter_map(|(word, bound)| {
                let bound = bound?;
                let passed = value.is_some_and(|value| if word == "least" { value >= bound } else { value <= bound });
                let found = value.map_or_else(|| self.unknown(&name), |value| value.to_string());
                Some(Condition { text: format!("{name} is at {word} {bound}"), passed, found })
            })
            .collect();
        if let Some(against) = &wanted.against {
            conditions.extend(self.change(against, wanted, &name, value));
        }
        conditions
    }

    fn change(
        &self,
        against: &Against,
        wanted: &MetricCondition,
        name: &str,
        value: Option<Finite>,
    ) -> impl Iterator<Item = Condition> {
        let Self { model: VersionedName { name: model, version }, holders, .. } = self;
        let alias = &against.alias;
        let compared = match (holders.get(alias), value) {
            (None, _) => Compared::Passes(format!("there is no {alias} yet")),
            (Some(holder), _) if holder.version == *version => Compared::Passes(format!("it is {alias} itself")),
            (Some(_), None) => Compared::Fails(self.unknown(name)),
            (Some(holder), Some(value)) => match latest(&holder.evaluations, wanted) {
                None => Compared::Fails(format!("no evaluation of {model}@{} has {name}", holder.version)),
                Some(held) => Compared::Change { value, held, holder: format!("{model}@{}", holder.version) },
            },
        };
        let text = move |word: &str, bound: Finite| format!("{name} against {alias} changes by at {word} {bound}");
        let bounds = [("least", against.min_change), ("most", against.max_change)];
        let conditions: Vec<Condition> = bounds
            .into_iter()
            .filter_map(|(word, bound)| bound.map(|bound| compared.condition(text(word, bound), word, bound)))
            .collect();
        conditions.into_iter()
    }

    fn unknown(&self, name: &str) -> String {
        format!("no evaluation of {} has {name}", self.model)
    }
}

/// The outcome of a comparison before its bound is known.
enum Compared {
    Passes(String),
    Fails(String),
    Change { value: Finite, held: Finite, holder: String },
}

impl Compared {
    fn condition(&self, text: String, word: &str, bound: Finite) -> Condition {
        match self {
            Self::Passes(found) => Condition { text, passed: true, found: found.clone() },
            Self::Fails(found) => Condition { text, passed: false, found: found.clone() },
            Self::Change { value, held, holder } => {
                let change = value.get() - held.get();
                // 0.70 - 0.71 is a little less than -0.01 in binary: what rounding adds is nobody's regression
                let slack = 4.0 * f64::EPSILON * (value.get().abs() + held.get().abs());
                let over = if word == "least" { bound.get() - change } else { change - bound.get() };
                let shown = (change * 1e9).round() / 1e9;
                let found = format!("{value} after {held} of {holder}, a change of {shown}");
                Condition { text, passed: over <= slack, found }
            }
        }
    }
}

/// The number in the latest evaluation that has it.
fn latest(evaluations: &[Evaluation], wanted: &MetricCondition) -> Option<Finite> {
    evaluations.iter().rev().find_map(|evaluation| evaluation.number(&wanted.metric, wanted.slice.as_deref()))
}

/// To the next whole second, for people.
fn rounded(lag: Span) -> Span {
    let seconds = lag.micros().div_euclid(1_000_000) + i64::from(lag.micros() % 1_000_000 > 0);
    Span::from_micros(seconds.saturating_mul(1_000_000)).unwrap_or(lag)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
