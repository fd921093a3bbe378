//! A collector of traces: a server that takes OTLP by gRPC, as those do to which traces are sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

/// It listens until it is dropped.
#[derive(Debug)]
pub(crate) struct Collector {
    /// As `telemetry.otlp_endpoint` wants it.
    pub(crate) url: String,
    received: Received,
    // what it runs on
    _runtime: Runtime,
}

/// A span that has arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Who sent it.
    pub(crate) resource: BTreeMap<String, String>,
    pub(crate) name: String,
    /// In hexadecimal digits, as the other ids.
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty where the trace begins.
    pub(crate) parent: String,
    /// 1 internal, 2 server, 3 client.
    pub(crate) kind: i32,
    /// 0 unset, 2 an error.
    pub(crate) status: i32,
    /// Beginning and end, in nanoseconds.
    pub(crate) times: [u64; 2],
    /// As text, whatever their type, but for numbers, which are told apart from texts of digits.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Whatever it has, to be searched.
    pub(crate) whole: String,
}

type Received = Arc<Mutex<Vec<Seen>>>;

struct Service(Received);

impl Collector {
    /// Without encryption.
    pub(crate) fn start() -> Self {
        Self::listen("http", None)
    }

    /// By TLS, with this certificate and key in PEM.
    pub(crate) fn start_with(certificate: &[u8], key: &[u8]) -> Self {
        // two providers of cryptography are compiled in; whoever comes first in this process has chosen
        drop(rustls::crypto::ring::default_provider().install_default());
        Self::listen("https", Some(Identity::from_pem(certificate, key)))
    }

    fn listen(scheme: &str, identity: Option<Identity>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let url = format!("{scheme}://localhost:{}", listener.local_addr().expect("an address").port());
        let received = Received::default();
        let service = TraceServiceServer::new(Service(Arc::clone(&received)));
        let mut server = Server::builder();
        if let Some(identity) = identity {
            server = server.tls_config(ServerTlsConfig::new().identity(identity)).expect("a certificate");
        }
        runtime.spawn(server.add_service(service).serve_with_incoming(TcpIncoming::from(listener)));
        Self { url, received, _runtime: runtime }
    }

    /// What has arrived so far, by the time at which it began.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let mut seen = self.received.lock().unwrap_or_else(PoisonError::into_inner).clone();
        seen.sort_by_key(|span| span.times);
        seen
    }
}

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut received = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for sent in request.into_inner().resource_spans {
            let resource = texts(sent.resource.map(|resource| resource.attributes).unwrap_or_default());
            for span in sent.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                received.push(Seen {
                    resource: resource.clone(),
                    whole: format!("{span:?}"),
                    name: span.name,
                    trace: hex::encode(span.trace_id),
                    id: hex::encode(span.span_id),
                    parent: hex::encode(span.parent_span_id),
                    kind: span.kind,
                    status: span.status.map_or(0, |status| status.code),
                    times: [span.start_time_unix_nano, span.end_time_unix_nano],
                    attributes: texts(span.attributes),
                });
            }
        }
        drop(received);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<Value>| match value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => format!("#{number}"),
        Some(Value::BoolValue(is_so)) => is_so.to_string(),
        other => format!("{other:?}"),
    };
    let attributes = attributes.into_iter();
    attributes.map(|attribute| (attribute.key, text(attribute.value.and_then(|value| value.value)))).collect()
}
