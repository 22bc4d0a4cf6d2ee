//! A tracer that keeps what it records, and a service that notes what reaches it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "test support; not every test uses all of it"
)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bartizan_core::{Passage, TraceContext};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use opentelemetry::{Value, trace::TracerProvider};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracer, SdkTracerProvider, SpanData};
use tower::Service;

pub const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub const PARENT: &str = "00f067aa0ba902b7";

/// A `traceparent` with these flags.
pub fn line(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

/// What was recorded.
#[derive(Clone, Debug)]
pub struct Spans {
    exporter: InMemorySpanExporter,
    provider: SdkTracerProvider,
}

impl Spans {
    pub fn new() -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).build();
        Self { exporter, provider }
    }

    pub fn tracer(&self) -> SdkTracer {
        self.provider.tracer("test")
    }

    /// Those that have ended since the last call.
    pub fn take(&self) -> Vec<SpanData> {
        let spans = self.exporter.get_finished_spans().unwrap();
        self.exporter.reset();
        spans
    }

    pub fn one(&self) -> SpanData {
        let mut spans = self.take();
        assert_eq!(spans.len(), 1, "{spans:#?}");
        spans.remove(0)
    }
}

/// An attribute as text.
pub fn attribute(span: &SpanData, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name)?;
    Some(match &found.value {
        Value::String(text) => text.as_str().to_owned(),
        other => other.to_string(),
    })
}

/// Notes each request, and responds at once.
#[derive(Clone, Debug, Default)]
pub struct Inner {
    pub seen: Arc<Mutex<Vec<Seen>>>,
}

/// What reached the service inside.
#[derive(Clone, Debug)]
pub struct Seen {
    pub parents: Vec<String>,
    pub states: Vec<String>,
    pub context: Option<TraceContext>,
}

impl Inner {
    pub fn one(&self) -> Seen {
        let mut seen = self.seen.lock().unwrap();
        assert_eq!(seen.len(), 1);
        seen.remove(0)
    }
}

impl<B> Service<Request<B>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let lines = |name: &str| {
            let all = request.headers().get_all(name).iter();
            all.map(|line| line.to_str().unwrap().to_owned()).collect()
        };
        self.seen.lock().unwrap().push(Seen {
            parents: lines("traceparent"),
            states: lines("tracestate"),
            context: TraceContext::of(&request).copied(),
        });
        ready(Ok(Response::new(Full::default())))
    }
}

/// A request with these fields, from a peer that is trusted, not trusted, or not judged.
pub fn request(fields: &[(&str, &str)], trusted: Option<bool>) -> Request<()> {
    let builder = Request::post("/mcp?token=secret");
    let builder = fields.iter().fold(builder, |all, (name, value)| all.header(*name, *value));
    let mut request = builder.body(()).unwrap();
    Passage::with(&mut request, |passage| {
        if let Some(trusted) = trusted {
            passage.set_trusts_peer(trusted);
        }
    });
    request
}
