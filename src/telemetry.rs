//! Traces by OTLP, where they are configured: who takes spans, where they wait, how they are sent, and the log beside them.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hitherto_core::Name;
use hitherto_online::spans;
use hitherto_server::{SpanCounts, TracedShare, Traces};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, Key, KeyValue};
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Span as SdkSpan, SpanData, SpanExporter,
    SpanProcessor,
};
use serde::Deserialize;
use tracing::field::Empty;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Metadata, Span, Subscriber};
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::{Context as LayerContext, Filter, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// The share of calls that is traced, unless it is set.
const SHARE: f64 = 0.01;
/// So many spans wait to be sent; what ends while as many wait is dropped, and counted.
const WAITING_MAX: usize = 2048;
/// At most one line is logged in so long of spans that do not arrive.
const SAID_EVERY: Duration = Duration::from_mins(1);
/// So long the last spans may take at the end.
const LAST_SPANS: Duration = Duration::from_secs(5);

/// So long others may hold a span that has come to its end.
const LAST_HOLDERS: Duration = Duration::from_millis(500);

/// What a running server is to know of traces; empty where there are none.
static TRACES: OnceLock<Traces> = OnceLock::new();

/// `[telemetry]`, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WrittenTelemetry {
    pub(crate) otlp_endpoint: Option<String>,
    otlp_sample_ratio: Option<f64>,
}

/// Where traces go, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// The collector's address, which speaks OTLP by gRPC: `http://host:4317`, `https://…`.
    pub endpoint: String,
    /// The share of what begins here that is traced.
    pub share: TracedShare,
}

impl WrittenTelemetry {
    /// None where no collector is named; an empty name takes back what an earlier source says.
    pub(crate) fn resolve(self) -> Result<Option<Telemetry>> {
        let ratio = self.otlp_sample_ratio.unwrap_or(SHARE);
        if !(0.0..=1.0).contains(&ratio) {
            bail!("telemetry.otlp_sample_ratio: it must be from 0 to 1, not {ratio}");
        }
        let endpoint = self.otlp_endpoint.filter(|endpoint| !endpoint.is_empty());
        if endpoint.as_ref().is_some_and(|endpoint| endpoint.contains('@')) {
            bail!(
                "telemetry.otlp_endpoint has a user or a password, which would not be sent: name them in \
                 OTEL_EXPORTER_OTLP_HEADERS"
            );
        }
        Ok(endpoint.map(|endpoint| Telemetry { endpoint, share: TracedShare::new(ratio) }))
    }
}

/// What a server that this process runs is to know of traces.
pub(crate) fn traces() -> Option<Traces> {
    TRACES.get().cloned()
}

/// Has the log written, and nothing else.
pub(crate) fn log() {
    tracing_subscriber::registry().with(log_layer()).init();
}

/// Traces that are being sent.
#[derive(Debug)]
pub(crate) struct Sending {
    provider: SdkTracerProvider,
    /// Spans of calls and commands that have not ended.
    open: Arc<AtomicUsize>,
}

impl Sending {
    /// Has the log written, and spans sent as `telemetry` says. Within a runtime, on which they are sent.
    pub(crate) fn begin(telemetry: &Telemetry, project: &Name) -> Result<Self> {
        let counts = Arc::new(SpanCounts::default());
        let waiting = Arc::new(Waiting { spans: AtomicUsize::new(0), counts: Arc::clone(&counts) });
        let exporter = Exporter {
            inner: exporter(&telemetry.endpoint)?,
            waiting: Arc::clone(&waiting),
            endpoint: telemetry.endpoint.clone(),
            said: Mutex::default(),
        };
        let batches = BatchConfigBuilder::default().with_max_queue_size(WAITING_MAX).build();
        let inner = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(Bounded { inner, waiting })
            // what begins here was drawn before its span was made
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
            .with_resource(resource(project))
            .build();
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("hitherto"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_context_activation(false)
            .with_filter(Ours { share: telemetry.share });
        let open = Arc::new(AtomicUsize::new(0));
        let counted = Open(Arc::clone(&open)).with_filter(filter_fn(|of| of.target() == spans::CHOSEN));
        tracing_subscriber::registry().with(log_layer()).with(layer).with(counted).init();
        // set once: a process has one subscriber
        drop(TRACES.set(Traces { share: telemetry.share, counts }));
        Ok(Self { provider, open })
    }

    /// Sends what waits, within a time. The runtime must still be there.
    pub(crate) fn end(self) {
        // a thread of a library that has answered last may hold the command's span for a moment yet
        let begun = Instant::now();
        while self.open.load(Ordering::Acquire) > 0 && begun.elapsed() < LAST_HOLDERS {
            std::thread::sleep(Duration::from_millis(1));
        }
        if self.provider.shutdown_with_timeout(LAST_SPANS).is_err() {
            tracing::warn!("the last traces were not delivered within {} s, and are lost", LAST_SPANS.as_secs());
        }
    }
}

/// Counts the spans that it is given while they are open.
struct Open(Arc<AtomicUsize>);

impl<S: Subscriber> Layer<S> for Open {
    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: LayerContext<'_, S>) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    fn on_close(&self, _: Id, _: LayerContext<'_, S>) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The span of a command that is no server; none where nothing is traced.
pub(crate) fn command_span(verb: &str) -> Span {
    tracing::trace_span!(target: spans::CHOSEN, "command", otel.name = verb, otel.status_code = Empty)
}

/// Lines of the log, as the environment wants them.
fn log_layer() -> impl Layer<Registry> + Send + Sync {
    let filter = EnvFilter::try_from_env("HITHERTO_LOG").unwrap_or_else(|_| EnvFilter::new("warn,hitherto=info"));
    tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_filter(filter)
}

/// What sends spans. Headers, timeout and compression are as the variables `OTEL_EXPORTER_OTLP_…` say.
fn exporter(endpoint: &str) -> Result<opentelemetry_otlp::SpanExporter> {
    let builder = opentelemetry_otlp::SpanExporter::builder().with_tonic().with_endpoint(endpoint);
    let is_plain = endpoint.starts_with("http://");
    let builder = if is_plain { builder } else { builder.with_tls_config(ClientTlsConfig::new().with_enabled_roots()) };
    builder.build().with_context(|| format!("could not send traces to '{endpoint}' (telemetry.otlp_endpoint)"))
}

/// Who sends: by `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, or `hitherto`.
fn resource(project: &Name) -> Resource {
    let is_named = |resource: &Resource| {
        let name = resource.get_ref(&Key::from_static_str("service.name")).map(ToString::to_string);
        name.is_some_and(|name| !name.starts_with("unknown_service"))
    };
    let builder = Resource::builder();
    let builder = if is_named(&Resource::builder().build()) { builder } else { builder.with_service_name("hitherto") };
    builder
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("hitherto.project", project.to_string()))
        .build()
}

/// Lets through the spans of a trace, and nothing else: neither other spans, nor lines of the log, which are not made for
/// whoever reads traces.
struct Ours {
    share: TracedShare,
}

impl<S> Filter<S> for Ours
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    fn enabled(&self, metadata: &Metadata<'_>, context: &LayerContext<'_, S>) -> bool {
        match metadata.target() {
            spans::CHOSEN => true,
            spans::RUN => context.lookup_current().is_some() || self.share.draw(),
            spans::STEP => context.lookup_current().is_some(),
            _ => false,
        }
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        let is_ours = [spans::CHOSEN, spans::RUN, spans::STEP].contains(&metadata.target());
        if is_ours { Interest::sometimes() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::TRACE)
    }
}

/// How many spans wait to be sent.
#[derive(Debug)]
struct Waiting {
    spans: AtomicUsize,
    counts: Arc<SpanCounts>,
}

impl Waiting {
    /// Whether there is room for one more, which is then taken.
    fn enters(&self) -> bool {
        if self.spans.fetch_add(1, Ordering::AcqRel) < WAITING_MAX {
            return true;
        }
        self.leave(1);
        self.counts.dropped();
        false
    }

    fn leave(&self, spans: usize) {
        self.spans.fetch_sub(spans, Ordering::AcqRel);
    }
}

/// Hands spans on while there is room, so that what is dropped can be counted.
#[derive(Debug)]
struct Bounded {
    inner: BatchSpanProcessor,
    waiting: Arc<Waiting>,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut SdkSpan, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.enters() {
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Sends spans, counts what becomes of them, and says seldom that they do not arrive.
#[derive(Debug)]
struct Exporter {
    inner: opentelemetry_otlp::SpanExporter,
    waiting: Arc<Waiting>,
    endpoint: String,
    /// When it was last said.
    said: Mutex<Option<Instant>>,
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let (spans, counts) = (batch.len(), &self.waiting.counts);
        self.waiting.leave(spans);
        let sent = self.inner.export(batch).await;
        match &sent {
            Ok(()) => counts.delivered(spans),
            Err(error) => {
                counts.failed(spans);
                if is_to_be_said(&self.said, Instant::now()) {
                    tracing::warn!(
                        "traces do not reach {}: {error}; {} spans are lost so far, and nothing else is: check that it runs and \
                         that telemetry.otlp_endpoint names it",
                        self.endpoint,
                        counts.lost()
                    );
                }
            }
        }
        sent
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Whether it is long enough ago that it was said; then it is said now.
fn is_to_be_said(said: &Mutex<Option<Instant>>, now: Instant) -> bool {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    let is_due = said.is_none_or(|last| now.saturating_duration_since(last) >= SAID_EVERY);
    if is_due {
        *said = Some(now);
    }
    is_due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_arrive_is_said_once_a_minute() {
        let (said, begun) = (Mutex::default(), Instant::now());
        let at = |seconds| is_to_be_said(&said, begun + Duration::from_secs(seconds));
        assert_eq!([0, 1, 59, 60, 61, 119, 120].map(at), [true, false, false, true, false, false, true]);
    }

    #[test]
    fn as_many_spans_wait_as_may_and_the_rest_is_counted() {
        let waiting = Waiting { spans: AtomicUsize::new(0), counts: Arc::new(SpanCounts::default()) };
        assert!((0..WAITING_MAX).all(|_| waiting.enters()));
        assert!(!waiting.enters() && !waiting.enters());
        assert_eq!(waiting.counts.lost(), 2);
        waiting.leave(512);
        assert!((0..512).all(|_| waiting.enters()) && !waiting.enters());
        assert_eq!(waiting.counts.lost(), 3);
    }

    #[test]
    fn a_share_is_a_share_and_an_empty_endpoint_is_none() {
        let written = |endpoint: &str, ratio| {
            let endpoint = Some(endpoint.to_owned());
            WrittenTelemetry { otlp_endpoint: endpoint, otlp_sample_ratio: ratio }.resolve()
        };
        let expected = Telemetry { endpoint: "http://host".to_owned(), share: TracedShare::new(0.01) };
        assert_eq!(written("http://host", None).expect("it is right"), Some(expected));
        assert_eq!(written("", Some(0.5)).expect("it is right"), None);
        let refused = written("http://me:secret@host", None).expect_err("it is wrong").to_string();
        assert!(refused.contains("OTEL_EXPORTER_OTLP_HEADERS") && !refused.contains("secret"), "{refused}");
        for ratio in [-0.1, 1.1, f64::NAN] {
            let refused = written("http://host", Some(ratio)).expect_err("it is wrong").to_string();
            assert_eq!(refused, format!("telemetry.otlp_sample_ratio: it must be from 0 to 1, not {ratio}"));
        }
    }
}
