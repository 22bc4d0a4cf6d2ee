//! Spans, and the collector that they go to.
//!
//! A span is queued where it ends and sent by a task of its own. Between the two is a queue with a bound: when the
//! collector is away or slower than the spans, spans are left out and counted, and no request waits.
//!
//! | file | what it does |
//! |---|---|
//! | `queue` | takes spans where they end |
//! | `send` | sends them, in batches |
//! | `complaint` | says at most once a minute that spans are lost |

mod complaint;
mod queue;
mod send;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use bartizan::trace::{TraceBackendsLayer, TraceRequestsLayer};
use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry::{KeyValue, trace::TracerProvider};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{
    Resource,
    trace::{Sampler, SdkTracer, SdkTracerProvider, SpanExporter as _},
};
use rustls::crypto::ring;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Collector, Options},
    server::Proxies,
    stack,
};

use queue::Enqueue;
use send::Sender;

/// How many spans wait for the collector. Each is about a kilobyte.
const QUEUE: usize = 2_048;

/// How long the collector may take for a batch.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What is recorded, and the task that sends it.
#[derive(Debug)]
pub(crate) struct Traces {
    tracer: SdkTracer,
    requests: TraceRequestsLayer<SdkTracer>,
    sending: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Traces {
    /// Records as the options say, and sends from a task on the current runtime. Without a collector, nothing is
    /// recorded.
    ///
    /// # Errors
    ///
    /// If the certificates of the system cannot be read, to reach a collector by https.
    pub(crate) fn start(options: &Options) -> Result<Self, String> {
        let provider = SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn);
        let (provider, sending) = match &options.traces.otlp {
            None => (provider, None),
            Some(collector) => {
                let exporter = exporter(collector)?;
                let (queue, spans) = mpsc::channel(QUEUE);
                let lost = Arc::<AtomicU64>::default();
                let stop = CancellationToken::new();
                let sender = Sender::new(exporter, collector.origin(), Arc::clone(&lost));
                let task = tokio::spawn(sender.run(spans, stop.clone()));
                (provider.with_span_processor(Enqueue::new(queue, lost)), Some((stop, task)))
            }
        };
        let tracer = provider.build().tracer("bartizan");
        let requests = requests(tracer.clone(), options).only_if(sending.is_some());
        Ok(Self { tracer, requests, sending })
    }

    /// The layer around all others.
    pub(crate) fn requests(&self) -> &TraceRequestsLayer<SdkTracer> {
        &self.requests
    }

    /// The layer around the service that forwards.
    pub(crate) fn tries(&self) -> TraceBackendsLayer<SdkTracer> {
        TraceBackendsLayer::new(self.tracer.clone()).only_if(self.sending.is_some())
    }

    /// Sends what is queued, for `within` at most.
    pub(crate) async fn flush(self, within: Duration) {
        let Some((stop, mut task)) = self.sending else { return };
        stop.cancel();
        if timeout(within, &mut task).await.is_err() {
            task.abort();
        }
    }
}

fn requests(tracer: SdkTracer, options: &Options) -> TraceRequestsLayer<SdkTracer> {
    let layer = TraceRequestsLayer::new(tracer)
        .sample(options.traces.trace_ratio)
        .max_per_second(options.traces.max_traces_per_second);
    let layer = match stack::proxies(options) {
        Proxies::All => layer.trust_all(),
        Proxies::Trusted(peers) => layer.trust(move |peer| peers.include(peer)),
    };
    // They are configured, so they hold no secret.
    let paths = options.sessions.endpoints.iter().filter(|path| *path != "*").cloned();
    paths.fold(layer, TraceRequestsLayer::route)
}

/// The standard's variables count where no option says otherwise: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
/// `OTEL_EXPORTER_OTLP_HEADERS`. They do not switch tracing on.
fn exporter(collector: &Collector) -> Result<SpanExporter, String> {
    let builder =
        SpanExporter::builder().with_http().with_endpoint(collector.url()).with_timeout(TIMEOUT);
    let builder = if collector.is_https() {
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(ring::default_provider())
            .map_err(|error| format!("--otlp: cannot read the system's certificates: {error}"))?;
        let connector = connector.https_only().enable_http1().build();
        builder.with_http_client(HyperClient::new(connector, TIMEOUT, None))
    } else {
        builder
    };
    let mut exporter = builder.build().map_err(|error| format!("--otlp: {error}"))?;
    exporter.set_resource(&resource());
    Ok(exporter)
}

/// Who records.
fn resource() -> Resource {
    const NAME: &str = "service.name";
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let found = Resource::builder().build();
    let named =
        found.get(&NAME.into()).filter(|name| !name.as_str().starts_with("unknown_service"));
    let builder = Resource::builder().with_attribute(version);
    match named {
        Some(_) => builder.build(),
        None => builder.with_service_name("bartizan-gateway").build(),
    }
}
