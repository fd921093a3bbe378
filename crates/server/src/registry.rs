//! `Registry`: definitions, read and applied.

use std::sync::Arc;

use hitherto_core::{Catalog, EntityVersion, Selector};
use hitherto_engine::{find_set, find_view};
use hitherto_proto::v1::registry_server::{Registry, RegistryServer};
use hitherto_proto::v1::{
    ApplyRequest, ApplyResponse, DescribeEntityRequest, DescribeFeatureSetRequest, DescribeFeatureViewRequest, Entity,
    FeatureSet, FeatureView, GetCatalogRevisionRequest, GetCatalogRevisionResponse, ListEntitiesRequest,
    ListEntitiesResponse, ListFeatureSetsRequest, ListFeatureSetsResponse, ListFeatureViewsRequest,
    ListFeatureViewsResponse, PlanRequest, PlanResponse,
};
use hitherto_proto::{Definitions, MESSAGE_BYTES_MAX, Planned};
use tonic::{Request, Response, Status};

use crate::answer::{Refusal, answer};
use crate::shared::Shared;

/// The service.
#[derive(Debug)]
pub(crate) struct Service(Arc<Shared>);

/// The service, to be mounted.
pub(crate) fn service(shared: Arc<Shared>) -> RegistryServer<Service> {
    RegistryServer::new(Service(shared)).max_encoding_message_size(MESSAGE_BYTES_MAX)
}

#[tonic::async_trait]
impl Registry for Service {
    async fn plan(&self, request: Request<PlanRequest>) -> Result<Response<PlanResponse>, Status> {
        let work = async {
            let Definitions { files, new_tables } = request.into_inner().try_into()?;
            let engine = self.0.engine().clone();
            let plan = self.0.computed("plan", async move { engine.plan(&files, new_tables).await }).await?;
            Ok(Planned { changes: plan.changes, revision: plan.base_revision }.into())
        };
        answer(&self.0.metrics, "Registry/Plan", work).await
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        let work = async {
            let engine = self.0.engine_of(&request);
            let Definitions { files, new_tables } = request.into_inner().try_into()?;
            let applied = self.0.computed("apply", async move { engine.apply(&files, new_tables).await }).await?;
            // what is applied can be served by the next request; if that fails, the next tick sees to it
            self.0.refresh().await;
            Ok(Planned { changes: applied.plan.changes, revision: applied.revision }.into())
        };
        answer(&self.0.metrics, "Registry/Apply", work).await
    }

    async fn list_entities(
        &self,
        _request: Request<ListEntitiesRequest>,
    ) -> Result<Response<ListEntitiesResponse>, Status> {
        let work = async {
            let entities = self.catalog().await?.entities;
            Ok(ListEntitiesResponse { entities: entities.into_values().flatten().map(Into::into).collect() })
        };
        answer(&self.0.metrics, "Registry/ListEntities", work).await
    }

    async fn describe_entity(&self, request: Request<DescribeEntityRequest>) -> Result<Response<Entity>, Status> {
        let work = async {
            let selector = selector("entity", &request.into_inner().entity)?;
            Ok(find_entity(&self.catalog().await?, &selector)?.clone().into())
        };
        answer(&self.0.metrics, "Registry/DescribeEntity", work).await
    }

    async fn list_feature_views(
        &self,
        _request: Request<ListFeatureViewsRequest>,
    ) -> Result<Response<ListFeatureViewsResponse>, Status> {
        let work = async {
            let views = self.catalog().await?.views;
            Ok(ListFeatureViewsResponse { feature_views: views.into_values().flatten().map(Into::into).collect() })
        };
        answer(&self.0.metrics, "Registry/ListFeatureViews", work).await
    }

    async fn describe_feature_view(
        &self,
        request: Request<DescribeFeatureViewRequest>,
    ) -> Result<Response<FeatureView>, Status> {
        let work = async {
            let selector = selector("feature_view", &request.into_inner().feature_view)?;
            Ok(find_view(&self.catalog().await?, &selector)?.clone().into())
        };
        answer(&self.0.metrics, "Registry/DescribeFeatureView", work).await
    }

    async fn list_feature_sets(
        &self,
        _request: Request<ListFeatureSetsRequest>,
    ) -> Result<Response<ListFeatureSetsResponse>, Status> {
        let work = async {
            let sets = self.catalog().await?.sets;
            Ok(ListFeatureSetsResponse { feature_sets: sets.into_values().flatten().map(Into::into).collect() })
        };
        answer(&self.0.metrics, "Registry/ListFeatureSets", work).await
    }

    async fn describe_feature_set(
        &self,
        request: Request<DescribeFeatureSetRequest>,
    ) -> Result<Response<FeatureSet>, Status> {
        let work = async {
            let selector = selector("feature_set", &request.into_inner().feature_set)?;
            Ok(find_set(&self.catalog().await?, &selector)?.clone().into())
        };
        answer(&self.0.metrics, "Registry/DescribeFeatureSet", work).await
    }

    async fn get_catalog_revision(
        &self,
        _request: Request<GetCatalogRevisionRequest>,
    ) -> Result<Response<GetCatalogRevisionResponse>, Status> {
        let work = async {
            let revision = self.0.engine().registry().revision().await?;
            Ok(GetCatalogRevisionResponse { revision })
        };
        answer(&self.0.metrics, "Registry/GetCatalogRevision", work).await
    }
}

impl Service {
    async fn catalog(&self) -> Result<Catalog, Refusal> {
        Ok(self.0.engine().registry().catalog().await?)
    }
}

/// `NAME`, `NAME@VERSION` or `NAME@ALIAS`, as a field of a request has it.
pub(crate) fn selector(field: &'static str, text: &str) -> Result<Selector, Refusal> {
    parse(field, text)
}

/// A field of a request that must parse.
pub(crate) fn parse<T>(field: &'static str, text: &str) -> Result<T, Refusal>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    if text.is_empty() {
        return Err(hitherto_proto::Error::Absent { field }.into());
    }
    let invalid = |reason: T::Err| hitherto_proto::Error::Invalid { field, reason: reason.to_string() };
    Ok(text.parse().map_err(invalid)?)
}

fn find_entity<'a>(catalog: &'a Catalog, selector: &Selector) -> Result<&'a EntityVersion, Refusal> {
    let name = selector.name();
    let Some(versions) = catalog.entities.get(name) else {
        let known = catalog.entities.keys().map(hitherto_core::Name::as_str);
        let hint = hitherto_core::did_you_mean(name.as_str(), known)
            .map(|near| format!(" (did you mean '{near}'?)"))
            .unwrap_or_default();
        return Err(Refusal::not_found(format!("no entity '{name}'{hint}")));
    };
    let found = match selector {
        Selector::Latest(_) => versions.last(),
        Selector::Version(wanted) => versions.iter().find(|entity| entity.version == wanted.version),
        Selector::Alias(..) => {
            let message = format!("'{selector}': an entity has versions (@1), no aliases");
            return Err(Refusal::invalid("entity", message));
        }
    };
    found
        .ok_or_else(|| Refusal::not_found(format!("no entity '{selector}': its latest version is @{}", versions.len())))
}
