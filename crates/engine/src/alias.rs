//! `model alias` and `model traffic`: who answers under a name, once the name's gate lets it.

use hitherto_core::{Alias, GateReport, Kind, Name, Selector, Traffic, VersionedName};
use hitherto_registry::{Expected, Grounds};

use crate::{Engine, Error, Result};

/// How often a move is judged anew when the alias was moved meanwhile.
const ATTEMPTS: usize = 4;

/// What a gate's refusal does to a change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnRefusal {
    /// Nothing is changed.
    #[default]
    Stop,
    /// It is changed all the same, for this reason, which is recorded.
    Override(String),
}

impl Engine {
    /// Point `alias` at a version of `model` if its gate lets it, and record what the gate found. See
    /// [`Engine::move_alias_if`].
    pub async fn move_alias(&self, model: &Name, alias: &Name, version: u32, expected: Expected) -> Result<Alias> {
        let wanted = VersionedName { name: model.clone(), version };
        self.move_alias_if(&wanted, alias, expected, OnRefusal::Stop).await
    }

    /// The same, with a reason to move it whatever the gate says. A refusal names every condition that failed.
    ///
    /// A gate that compares with the alias's holder is asked about the holder that the move replaces, never another.
    pub async fn move_alias_if(
        &self,
        model: &VersionedName,
        alias: &Name,
        expected: Expected,
        refused: OnRefusal,
    ) -> Result<Alias> {
        let found = self.registry().model(&Selector::Version(model.clone())).await?;
        let mut attempt = 1;
        loop {
            let aliases = self.registry().aliases(&model.name).await?;
            let catalog = self.registry().catalog().await?;
            let gate = catalog.gate(&model.name, alias);
            let report = self.held_against(gate, &catalog, &found, &aliases, alias).await?;
            let grounds = judged(vec![report], &refused)?;
            let seen = aliases.iter().find(|held| held.alias == *alias).map(|held| held.version);
            let (was, is_any) = match expected {
                Expected::Anything => (Expected::Version(seen), true),
                Expected::Version(_) => (expected, false),
            };
            let now = self.clock().now();
            match self.registry().move_alias(&model.name, alias, model.version, was, grounds, now).await {
                Err(error) if error.kind() == Kind::Conflict && is_any && attempt < ATTEMPTS => attempt += 1,
                moved => {
                    let moved = moved?;
                    self.anchor().await;
                    return Ok(moved);
                }
            }
        }
    }

    /// Share an alias's traffic. A version that answers under an alias must pass its gate, whatever its share; the version
    /// that the alias points at has done so, and a shadow, which never answers, must only have its views online.
    pub async fn set_traffic(
        &self,
        model: &Name,
        alias: &Name,
        traffic: Traffic,
        expected: Expected,
        refused: OnRefusal,
    ) -> Result<Alias> {
        let aliases = self.registry().aliases(model).await?;
        let holder = aliases.iter().find(|held| held.alias == *alias).map(|held| held.version);
        let catalog = self.registry().catalog().await?;
        let mut reports = Vec::new();
        for version in traffic.versions().into_iter().filter(|version| Some(*version) != holder) {
            let wanted = VersionedName { name: model.clone(), version };
            let found = self.registry().model(&Selector::Version(wanted)).await?;
            let answers = traffic.split.iter().any(|share| share.version == version);
            let gate = catalog.gate(model, alias).filter(|_| answers);
            reports.push(self.held_against(gate, &catalog, &found, &aliases, alias).await?);
        }
        let grounds = judged(reports, &refused)?;
        // an alias that is not there is for the registry to refuse
        let expected = match (expected, holder) {
            (Expected::Anything, Some(_)) => Expected::Version(holder),
            _ => expected,
        };
        let now = self.clock().now();
        let shared = self.registry().set_traffic(model, alias, traffic, expected, grounds, now).await?;
        self.anchor().await;
        Ok(shared)
    }
}

/// The grounds that reports give, or the refusal. A reason counts only where there is something to override.
fn judged(evidence: Vec<GateReport>, refused: &OnRefusal) -> Result<Grounds> {
    let failed: Vec<GateReport> = evidence.iter().filter(|report| !report.passed).cloned().collect();
    match (failed.first(), refused) {
        (Some(_), OnRefusal::Stop) => Err(Error::Gate(failed)),
        (_, OnRefusal::Override(reason)) if reason.trim().is_empty() => {
            Err(Error::Invalid("an override needs a reason: it is recorded with the move".to_owned()))
        }
        (Some(_), OnRefusal::Override(reason)) => Ok(Grounds { evidence, override_reason: Some(reason.clone()) }),
        (None, _) => Ok(Grounds { evidence, override_reason: None }),
    }
}
