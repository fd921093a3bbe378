//! Gates: what a model version must show before an alias moves to it.

mod check;
mod report;

use serde::{Deserialize, Serialize};

pub use self::check::{DatasetState, GateFacts, Holder, ViewState};
pub use self::report::{Condition, GateReport};
use crate::{Finite, Name, Notes, Span, VersionedName};

/// A policy for one alias of one model. Every condition is optional; a gate without any lets everything pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// Its name.
    pub name: Name,
    /// The model.
    pub model: Name,
    /// The alias that it guards.
    pub alias: Name,
    /// What the version's dataset must show.
    pub dataset: Option<DatasetCondition>,
    /// What the version's views must show.
    pub online: Option<OnlineCondition>,
    /// What its evaluations must show, in the order of the file.
    pub metrics: Vec<MetricCondition>,
    /// Description and tags.
    pub notes: Notes,
}

impl Gate {
    /// What it asks, each condition as it is written.
    pub fn conditions(&self) -> Vec<String> {
        let dataset = self.dataset.map(|DatasetCondition::Verified| "dataset: verified".to_owned());
        let online = self.online.map(|online| match online.max_lag {
            Some(max_lag) => format!("online: max_lag {max_lag}"),
            None => "online".to_owned(),
        });
        dataset.into_iter().chain(online).chain(self.metrics.iter().map(metric)).collect()
    }
}

fn metric(condition: &MetricCondition) -> String {
    let slice = condition.slice.as_ref().map(|slice| format!(" of {slice}")).unwrap_or_default();
    let against = condition.against.as_ref();
    let bounds = [
        ("min", condition.min),
        ("max", condition.max),
        ("min_change", against.and_then(|against| against.min_change)),
        ("max_change", against.and_then(|against| against.max_change)),
    ];
    let bounds: String =
        bounds.iter().filter_map(|(word, bound)| bound.map(|bound| format!(" {word} {bound}"))).collect();
    let against = against.map(|against| format!(" against {}", against.alias)).unwrap_or_default();
    format!("{}{slice}{against}{bounds}", condition.metric)
}

/// What a gate asks of a dataset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatasetCondition {
    /// The latest verdict is that every row is proven, and is on the file that is recorded. Another file is no proof, and a
    /// later verdict that failed outweighs an earlier one that did not.
    Verified,
}

/// What a gate asks of views.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineCondition {
    /// How far the clock of each view's marks may be behind; absent for any distance.
    pub max_lag: Option<Span>,
}

/// What a gate asks of a metric or figure: of the latest evaluation that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricCondition {
    /// The metric or figure.
    pub metric: String,
    /// The slice; the whole where absent.
    pub slice: Option<String>,
    /// Its least value; that value passes.
    pub min: Option<Finite>,
    /// Its greatest value; that value passes.
    pub max: Option<Finite>,
    /// What it is compared with.
    pub against: Option<Against>,
}

/// A comparison with the version that an alias points at. Where it points nowhere yet, it passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Against {
    /// The alias.
    pub alias: Name,
    /// The least change, new less old.
    pub min_change: Option<Finite>,
    /// The greatest change.
    pub max_change: Option<Finite>,
}

/// An applied gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateVersion {
    /// Its version, from 1.
    pub version: u32,
    /// What was applied.
    pub definition: Gate,
}

impl GateVersion {
    /// `gate@version`.
    pub fn versioned_name(&self) -> VersionedName {
        VersionedName { name: self.definition.name.clone(), version: self.version }
    }
}
