//! A registry that does not exist yet, for commands that only read.

use std::sync::Arc;

use async_trait::async_trait;
use hitherto_core::{
    Alias, ApiToken, AuditEntry, AuditHead, Catalog, Dataset, Erasure, Evaluation, ModelVersion, Name, NewApiToken,
    NewEvaluation, NewModelVersion, Record, Selector, StoredVerdict, Timestamp, TokenId, Traffic,
};

use crate::{AliasMove, Error, Expected, Grounds, Recorded, Registry, Result, remedy};

/// Reads as empty, at revision 0, and refuses every change.
#[derive(Clone, Debug)]
pub struct AbsentRegistry {
    place: String,
}

impl AbsentRegistry {
    /// The registry that would be at `place`, a text for people.
    pub fn new(place: impl Into<String>) -> Self {
        Self { place: place.into() }
    }

    fn refuse<T>(&self, doing: &'static str) -> Result<T> {
        Err(Error::Absent { doing, place: self.place.clone() })
    }
}

#[async_trait]
impl Registry for AbsentRegistry {
    async fn revision(&self) -> Result<i64> {
        Ok(0)
    }

    async fn catalog(&self) -> Result<Catalog> {
        Ok(Catalog::default())
    }

    async fn apply(&self, _: i64, _: &[Record], _: Timestamp) -> Result<i64> {
        self.refuse("apply definitions")
    }

    async fn register_model(&self, _: NewModelVersion, _: Timestamp) -> Result<ModelVersion> {
        self.refuse("register a model")
    }

    async fn move_alias(&self, _: &Name, _: &Name, _: u32, _: Expected, _: Grounds, _: Timestamp) -> Result<Alias> {
        self.refuse("move an alias")
    }

    async fn set_traffic(
        &self,
        _: &Name,
        _: &Name,
        _: Traffic,
        _: Expected,
        _: Grounds,
        _: Timestamp,
    ) -> Result<Alias> {
        self.refuse("share the traffic of an alias")
    }

    async fn record_evaluation(&self, _: &Name, _: u32, _: NewEvaluation, _: Timestamp) -> Result<Evaluation> {
        self.refuse("record an evaluation")
    }

    async fn evaluations(&self, model: &Name, _: u32) -> Result<Vec<Evaluation>> {
        Err(remedy::no_model(model, &[]))
    }

    async fn models(&self) -> Result<Vec<ModelVersion>> {
        Ok(Vec::new())
    }

    async fn model_versions(&self, model: &Name) -> Result<Vec<ModelVersion>> {
        Err(remedy::no_model(model, &[]))
    }

    async fn model(&self, selector: &Selector) -> Result<ModelVersion> {
        Err(remedy::no_model(selector.name(), &[]))
    }

    async fn aliases(&self, model: &Name) -> Result<Vec<Alias>> {
        Err(remedy::no_model(model, &[]))
    }

    async fn alias_moves(&self, model: &Name) -> Result<Vec<AliasMove>> {
        Err(remedy::no_model(model, &[]))
    }

    async fn record_dataset(&self, _: &Dataset) -> Result<Recorded> {
        self.refuse("record a dataset")
    }

    async fn dataset(&self, wanted: &str) -> Result<Dataset> {
        Err(remedy::no_dataset(wanted, &[]))
    }

    async fn datasets(&self) -> Result<Vec<Dataset>> {
        Ok(Vec::new())
    }

    async fn record_verdict(&self, _: &StoredVerdict) -> Result<()> {
        self.refuse("record a verdict")
    }

    async fn verdicts(&self, dataset: &str) -> Result<Vec<StoredVerdict>> {
        Err(remedy::no_dataset_id(dataset))
    }

    async fn forget_dataset(&self, id: &str, _: Timestamp) -> Result<()> {
        Err(remedy::no_dataset_id(id))
    }

    async fn record_copy(&self, id: &str, _: &str, _: Timestamp) -> Result<()> {
        Err(remedy::no_dataset_id(id))
    }

    async fn record_erasure(&self, _: &Erasure, _: Timestamp) -> Result<()> {
        self.refuse("record an erasure")
    }

    async fn create_token(&self, _: NewApiToken, _: Timestamp) -> Result<ApiToken> {
        self.refuse("create a token")
    }

    async fn revoke_token(&self, id: &TokenId, _: Timestamp) -> Result<ApiToken> {
        Err(remedy::no_token(id))
    }

    async fn tokens(&self) -> Result<Vec<ApiToken>> {
        Ok(Vec::new())
    }

    async fn audit_log(&self, _: i64, _: usize) -> Result<Vec<AuditEntry>> {
        Ok(Vec::new())
    }

    async fn audit_head(&self) -> Result<Option<AuditHead>> {
        Ok(None)
    }

    fn acting_as(&self, _: &str) -> Arc<dyn Registry> {
        Arc::new(self.clone())
    }

    fn describe(&self) -> String {
        format!("{} (not there yet)", self.place)
    }
}

#[cfg(test)]
mod tests {
    use hitherto_core::Kind;

    use super::*;

    #[tokio::test]
    async fn reads_are_empty_and_changes_are_refused() {
        let absent = AbsentRegistry::new("sqlite:///nowhere");
        assert_eq!(absent.catalog().await.expect("reads"), Catalog::default());
        assert_eq!(absent.datasets().await.expect("reads"), Vec::new());
        let refused = absent.apply(0, &[], Timestamp(0)).await.expect_err("no store to change");
        assert_eq!(
            refused.to_string(),
            "could not apply definitions: there is no registry at sqlite:///nowhere yet; apply definitions first"
        );
        let missing = absent.model(&"delay@champion".parse().expect("a selector")).await.expect_err("no model");
        assert_eq!(missing.kind(), Kind::NotFound);
        assert_eq!(missing.to_string(), "could not find model 'delay': there are none yet");
    }
}
