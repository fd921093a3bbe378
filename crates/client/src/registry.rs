//! Definitions.

use hitherto_core::{EntityVersion, Selector, SetVersion, ViewVersion};
use hitherto_proto::{Definitions, Planned, v1};

use crate::{Client, Result};

impl Client {
    /// What applying `definitions` would change; nothing is changed.
    pub async fn plan(&self, definitions: Definitions) -> Result<Planned> {
        let call = self.call("plan definitions");
        call.receive(self.registry_service().plan(call.send(definitions)?).await)
    }

    /// Applies `definitions`, all or none.
    pub async fn apply(&self, definitions: Definitions) -> Result<Planned> {
        let call = self.call("apply definitions");
        call.receive(self.registry_service().apply(call.send(definitions)?).await)
    }

    /// Every version of every entity, by name and version.
    pub async fn entities(&self) -> Result<Vec<EntityVersion>> {
        let call = self.call("list entities");
        let request = call.send_message(v1::ListEntitiesRequest {});
        call.receive_all(call.receive_message(self.registry_service().list_entities(request).await)?.entities)
    }

    /// One version of an entity.
    pub async fn entity(&self, entity: &Selector) -> Result<EntityVersion> {
        let call = self.call("describe an entity");
        let request = call.send_message(v1::DescribeEntityRequest { entity: entity.to_string() });
        call.receive(self.registry_service().describe_entity(request).await)
    }

    /// Every version of every feature view, by name and version.
    pub async fn feature_views(&self) -> Result<Vec<ViewVersion>> {
        let call = self.call("list feature views");
        let request = call.send_message(v1::ListFeatureViewsRequest {});
        call.receive_all(call.receive_message(self.registry_service().list_feature_views(request).await)?.feature_views)
    }

    /// One version of a feature view.
    pub async fn feature_view(&self, view: &Selector) -> Result<ViewVersion> {
        let call = self.call("describe a feature view");
        let request = call.send_message(v1::DescribeFeatureViewRequest { feature_view: view.to_string() });
        call.receive(self.registry_service().describe_feature_view(request).await)
    }

    /// Every version of every feature set, by name and version.
    pub async fn feature_sets(&self) -> Result<Vec<SetVersion>> {
        let call = self.call("list feature sets");
        let request = call.send_message(v1::ListFeatureSetsRequest {});
        call.receive_all(call.receive_message(self.registry_service().list_feature_sets(request).await)?.feature_sets)
    }

    /// One version of a feature set.
    pub async fn feature_set(&self, set: &Selector) -> Result<SetVersion> {
        let call = self.call("describe a feature set");
        let request = call.send_message(v1::DescribeFeatureSetRequest { feature_set: set.to_string() });
        call.receive(self.registry_service().describe_feature_set(request).await)
    }

    /// The registry's revision, which rises with every change.
    pub async fn catalog_revision(&self) -> Result<i64> {
        let call = self.call("read the registry's revision");
        let request = call.send_message(v1::GetCatalogRevisionRequest {});
        Ok(call.receive_message(self.registry_service().get_catalog_revision(request).await)?.revision)
    }
}
