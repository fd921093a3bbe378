//! The standard services: health and reflection.

use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::fixture::{Running, running};

async fn channel(server: &Running) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", server.grpc)).expect("a url");
    endpoint.connect().await.expect("it answers")
}

#[tokio::test]
async fn every_service_is_serving() {
    let server = running().await;
    let mut client = HealthClient::new(channel(&server).await);
    for service in ["", "hitherto.v1.OnlineFeatures", "hitherto.v1.TrainingSets"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = client.check(request).await.expect("it is known").into_inner().status();
        assert_eq!(status, ServingStatus::Serving, "{service}");
    }
    let unknown = HealthCheckRequest { service: "hitherto.v1.Elsewhere".to_owned() };
    assert_eq!(client.check(unknown).await.expect_err("unknown").code(), tonic::Code::NotFound);
    server.end().await;
}

/// Lists services by one version of reflection.
macro_rules! listed {
    ($version:ident, $server:expr) => {{
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        use tonic_reflection::pb::$version::{ServerReflectionRequest, ServerReflectionResponse};

        let message_request = Some(MessageRequest::ListServices(String::new()));
        let request = ServerReflectionRequest { host: String::new(), message_request };
        let mut client = ServerReflectionClient::new(channel($server).await);
        let answers = client.server_reflection_info(tokio_stream::once(request)).await.expect("it answers");
        let answer: ServerReflectionResponse = answers.into_inner().next().await.expect("an answer").expect("no error");
        let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
            panic!("no list of services, but {:?}", answer.message_response)
        };
        list.service.into_iter().map(|service| service.name).collect::<Vec<String>>()
    }};
}

#[tokio::test]
async fn both_reflections_list_every_service() {
    let server = running().await;
    for listed in [listed!(v1, &server), listed!(v1alpha, &server)] {
        for service in ["OnlineFeatures", "Ingest", "Registry", "Models", "TrainingSets"] {
            assert!(listed.contains(&format!("hitherto.v1.{service}")), "{service} is not in {listed:?}");
        }
        assert!(listed.contains(&"grpc.health.v1.Health".to_owned()), "{listed:?}");
    }
    server.end().await;
}
