//! Gates: what is known of a model version, held against the policy of an alias.

use std::collections::BTreeMap;

use hitherto_core::{
    Alias, Catalog, DatasetState, GateFacts, GateReport, GateVersion, Holder, ModelVersion, Name, Selector, SetVersion,
    VersionedName, ViewState,
};

use crate::model::model_set;
use crate::{Engine, Result, readings::reading_of};

impl Engine {
    /// What the gate of `alias` finds of a model version now; nothing moves. An alias without a gate asks only that every
    /// view is online.
    pub async fn check_gate(&self, model: &VersionedName, alias: &Name) -> Result<GateReport> {
        let found = self.registry().model(&Selector::Version(model.clone())).await?;
        let aliases = self.registry().aliases(&model.name).await?;
        let catalog = self.registry().catalog().await?;
        self.held_against(catalog.gate(&model.name, alias), &catalog, &found, &aliases, alias).await
    }

    /// What `gate` finds of a version that was read already; without one, only whether every view is online.
    pub(crate) async fn held_against(
        &self,
        gate: Option<&GateVersion>,
        catalog: &Catalog,
        model: &ModelVersion,
        aliases: &[Alias],
        alias: &Name,
    ) -> Result<GateReport> {
        let facts = GateFacts {
            model: VersionedName { name: model.name.clone(), version: model.version },
            alias: alias.clone(),
            now: self.clock().now(),
            views: self.view_states(model_set(catalog, model)?).await?,
            dataset: self.dataset_state(model).await?,
            evaluations: self.registry().evaluations(&model.name, model.version).await?,
            holders: self.holders(gate, aliases).await?,
        };
        Ok(GateReport::of(gate, &facts))
    }

    /// The views of `set`, each once, and how far each is online.
    async fn view_states(&self, set: &SetVersion) -> Result<Vec<ViewState>> {
        let uses = &set.resolved.uses;
        let readings: Vec<_> = uses.iter().map(reading_of).collect();
        let marks = match self.online() {
            Ok(online) => online.marks(&readings).await?,
            // there is no online store yet, hence no view in it
            Err(_) => vec![None; readings.len()],
        };
        let mut states: Vec<ViewState> = Vec::new();
        for (view_use, marks) in uses.iter().zip(marks) {
            if states.iter().all(|state| state.view != view_use.view) {
                states.push(ViewState { view: view_use.view.clone(), online_at: marks.map(|marks| marks.clock) });
            }
        }
        Ok(states)
    }

    async fn dataset_state(&self, model: &ModelVersion) -> Result<Option<DatasetState>> {
        let Some(id) = &model.dataset else { return Ok(None) };
        let dataset = self.registry().dataset(id).await?;
        let verdicts = self.registry().verdicts(&dataset.id).await?;
        Ok(Some(DatasetState { id: dataset.id, file_hash: dataset.file_hash, verdicts }))
    }

    /// Where the aliases point that a gate compares with.
    async fn holders(&self, gate: Option<&GateVersion>, aliases: &[Alias]) -> Result<BTreeMap<Name, Holder>> {
        let metrics = gate.iter().flat_map(|gate| &gate.definition.metrics);
        let compared: Vec<&Name> = metrics.filter_map(|metric| Some(&metric.against.as_ref()?.alias)).collect();
        let mut holders = BTreeMap::new();
        for held in aliases.iter().filter(|held| compared.contains(&&held.alias)) {
            let evaluations = self.registry().evaluations(&held.model, held.version).await?;
            holders.insert(held.alias.clone(), Holder { version: held.version, evaluations });
        }
        Ok(holders)
    }
}
