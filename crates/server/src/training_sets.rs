//! `TrainingSets`: built from and to files under `server.allowed_urls`.

use std::sync::Arc;

use hitherto_engine::{Engine, EvidenceColumns, Existing, Provenance, Spine, TrainingSetRequest};
use hitherto_offline::OutputLocation;
use hitherto_proto::v1::training_sets_server::{TrainingSets, TrainingSetsServer};
use hitherto_proto::v1::{
    CreateTrainingSetRequest, Dataset, GetTrainingSetRequest, ListTrainingSetsRequest, ListTrainingSetsResponse,
};
use hitherto_proto::{MESSAGE_BYTES_MAX, NewTrainingSet};
use tonic::{Request, Response, Status};

use crate::answer::{Refusal, answer};
use crate::shared::{Shared, caller_of};

/// The service.
#[derive(Debug)]
pub(crate) struct Service {
    shared: Arc<Shared>,
}

/// The service, to be mounted.
pub(crate) fn service(shared: Arc<Shared>) -> TrainingSetsServer<Service> {
    TrainingSetsServer::new(Service { shared }).max_encoding_message_size(MESSAGE_BYTES_MAX)
}

#[tonic::async_trait]
impl TrainingSets for Service {
    async fn create(&self, request: Request<CreateTrainingSetRequest>) -> Result<Response<Dataset>, Status> {
        // a build's future is large
        let work = Box::pin(self.build(request));
        answer(&self.shared.metrics, "TrainingSets/Create", work).await
    }

    async fn get(&self, request: Request<GetTrainingSetRequest>) -> Result<Response<Dataset>, Status> {
        let work = async {
            let wanted = request.into_inner().dataset;
            if wanted.is_empty() {
                return Err(hitherto_proto::Error::Absent { field: "dataset" }.into());
            }
            Ok(self.shared.engine().registry().dataset(&wanted).await?.into())
        };
        answer(&self.shared.metrics, "TrainingSets/Get", work).await
    }

    async fn list(
        &self,
        _request: Request<ListTrainingSetsRequest>,
    ) -> Result<Response<ListTrainingSetsResponse>, Status> {
        let work = async {
            let datasets = self.shared.engine().registry().datasets().await?;
            Ok(ListTrainingSetsResponse { datasets: datasets.into_iter().map(Into::into).collect() })
        };
        answer(&self.shared.metrics, "TrainingSets/List", work).await
    }
}

impl Service {
    async fn build(&self, sent: Request<CreateTrainingSetRequest>) -> Result<Dataset, Refusal> {
        let engine = self.shared.engine_of(&sent);
        let actor = caller_of(&sent).map_or("grpc", |caller| caller.name.as_str()).to_owned();
        let sent = sent.into_inner();
        let NewTrainingSet { feature_set, spine, out_url, mode, event_timestamp, evidence, name } = sent.try_into()?;
        // both places are judged before any work is done
        drop(self.judged(&engine, &out_url, &spine).await?);
        let _permit = self.shared.builds.acquire().await;
        // what a link led to while it waited may be elsewhere now
        let (out, spine) = self.judged(&engine, &out_url, &spine).await?;
        let wanted = TrainingSetRequest {
            mode,
            event_timestamp,
            evidence: if evidence { EvidenceColumns::Times } else { EvidenceColumns::Absent },
            name,
            // whatever lies there may be somebody else's
            existing: Existing::Keep,
            provenance: Provenance { actor, ..Provenance::default() },
            ..TrainingSetRequest::new(feature_set, spine, out)
        };
        let work = Box::pin(async move { engine.training_set(&wanted, |_| {}).await });
        Ok(self.shared.computed("build the training set", work).await?.into())
    }

    /// Where the training set goes, and its spine, if requests may write and read there now.
    async fn judged(
        &self,
        engine: &Engine,
        out_url: &str,
        spine: &hitherto_proto::Spine,
    ) -> Result<(OutputLocation, Spine), Refusal> {
        let places = &self.shared.places;
        let out = places.output("out_url", out_url, engine.offline()).await?;
        let spine = match spine {
            hitherto_proto::Spine::Url(url) => Spine::Input(places.input("spine_url", url, engine.offline()).await?),
            hitherto_proto::Spine::Sql(query) => Spine::Sql(query.clone()),
        };
        Ok((out, spine))
    }
}
