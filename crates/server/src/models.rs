//! `Models`: model versions and aliases.

use std::sync::Arc;

use hitherto_core::{Name, Provenance, Selector};
use hitherto_engine::{Registration, find_set};
use hitherto_proto::v1::models_server::{Models, ModelsServer};
use hitherto_proto::v1::{
    GetModelRequest, ListAliasesRequest, ListAliasesResponse, ListModelsRequest, ListModelsResponse, ModelAlias,
    ModelVersion, MoveAliasRequest, RegisterModelRequest,
};
use hitherto_proto::{ExpectedAlias, MESSAGE_BYTES_MAX, MoveAlias, RegisterModel};
use hitherto_registry::Expected;
use tonic::{Request, Response, Status};

use crate::answer::{Refusal, answer};
use crate::registry::{parse, selector};
use crate::shared::Shared;

/// The service.
#[derive(Debug)]
pub(crate) struct Service(Arc<Shared>);

/// The service, to be mounted.
pub(crate) fn service(shared: Arc<Shared>) -> ModelsServer<Service> {
    ModelsServer::new(Service(shared)).max_encoding_message_size(MESSAGE_BYTES_MAX)
}

#[tonic::async_trait]
impl Models for Service {
    async fn register(&self, request: Request<RegisterModelRequest>) -> Result<Response<ModelVersion>, Status> {
        let work = async {
            let engine = self.0.engine_of(&request);
            let RegisterModel { name, feature_set, feature_set_hash, dataset, tags } =
                request.into_inner().try_into()?;
            let feature_set = match feature_set_hash {
                Some(hash) => Some(self.set_of_hash(feature_set, &hash).await?),
                None => feature_set,
            };
            let wanted = Registration { name, feature_set, dataset, provenance: Provenance::default(), tags };
            let registered = engine.register_model(wanted).await?;
            self.0.refresh().await;
            Ok(registered.into())
        };
        answer(&self.0.metrics, "Models/Register", work).await
    }

    async fn move_alias(&self, request: Request<MoveAliasRequest>) -> Result<Response<ModelAlias>, Status> {
        let work = async {
            let engine = self.0.engine_of(&request);
            let MoveAlias { model, alias, version, expected } = request.into_inner().try_into()?;
            let expected = match expected {
                ExpectedAlias::Anywhere => Expected::Anything,
                ExpectedAlias::Nowhere => Expected::Version(None),
                ExpectedAlias::Version(version) => Expected::Version(Some(version)),
            };
            let moved = engine.move_alias(&model, &alias, version, expected).await?;
            // who moved an alias must not be served by the old one
            self.0.refresh().await;
            Ok(moved.into())
        };
        answer(&self.0.metrics, "Models/MoveAlias", work).await
    }

    async fn get(&self, request: Request<GetModelRequest>) -> Result<Response<ModelVersion>, Status> {
        let work = async {
            let model = selector("model", &request.into_inner().model)?;
            Ok(self.0.engine().registry().model(&model).await?.into())
        };
        answer(&self.0.metrics, "Models/Get", work).await
    }

    async fn list(&self, request: Request<ListModelsRequest>) -> Result<Response<ListModelsResponse>, Status> {
        let work = async {
            let engine = self.0.engine();
            let models = match request.into_inner().name {
                Some(name) => engine.registry().model_versions(&parse("name", &name)?).await?,
                None => engine.all_model_versions().await?,
            };
            Ok(ListModelsResponse { models: models.into_iter().map(Into::into).collect() })
        };
        answer(&self.0.metrics, "Models/List", work).await
    }

    async fn list_aliases(
        &self,
        request: Request<ListAliasesRequest>,
    ) -> Result<Response<ListAliasesResponse>, Status> {
        let work = async {
            let registry = self.0.engine().registry();
            let names: Vec<Name> = match request.into_inner().model {
                Some(name) => vec![parse("model", &name)?],
                None => registry.models().await?.into_iter().map(|latest| latest.name).collect(),
            };
            let mut aliases = Vec::new();
            for name in &names {
                aliases.extend(registry.aliases(name).await?.into_iter().map(Into::into));
            }
            Ok(ListAliasesResponse { aliases })
        };
        answer(&self.0.metrics, "Models/ListAliases", work).await
    }
}

impl Service {
    /// The feature set with this hash, which must be the one that is named, if one is.
    async fn set_of_hash(&self, named: Option<Selector>, hash: &str) -> Result<Selector, Refusal> {
        let catalog = self.0.engine().registry().catalog().await?;
        let Some(named) = named else {
            let set = catalog.set_by_hash(hash).ok_or_else(|| {
                Refusal::not_found(format!(
                    "no feature set has the hash '{hash}'; `hitherto list feature-sets` has all"
                ))
            })?;
            return Ok(Selector::Version(set.versioned_name()));
        };
        let set = find_set(&catalog, &named)?;
        if set.hash == hash {
            return Ok(Selector::Version(set.versioned_name()));
        }
        let message = format!("{} has the hash {}, not '{hash}'", set.versioned_name(), set.hash);
        Err(Refusal::invalid("feature_set_hash", message))
    }
}
