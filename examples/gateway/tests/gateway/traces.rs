//! Traces, and a collector that takes them, or does not.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use bartizan_testkit::{
    CounterServer, Server,
    client::{INITIALIZE, Raw},
    eventually, serve,
    server::boxed,
};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{Span, span::SpanKind},
};
use prost::Message;
use tokio::time::Instant;

use crate::fixtures::{Gateway, PATIENCE};

const PARENT: &str = "00f067aa0ba902b7";

/// A collector, by OTLP over HTTP.
struct Collector {
    server: Server,
    batches: Arc<Mutex<Vec<Bytes>>>,
}

#[derive(Clone, Copy, Debug)]
enum Mood {
    Well,
    Failing,
    Silent,
}

impl Collector {
    async fn start(mood: Mood) -> Self {
        let batches = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&batches);
        let server = serve(move |request: Request<Incoming>| {
            let taken = Arc::clone(&taken);
            async move {
                assert_eq!(request.uri().path(), "/v1/traces");
                assert_eq!(request.headers()["content-type"], "application/x-protobuf");
                let body = request.into_body().collect().await.unwrap().to_bytes();
                taken.lock().unwrap().push(body);
                let mut response = Response::new(boxed(Full::default()));
                match mood {
                    Mood::Well => {}
                    Mood::Failing => {
                        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR
                    }
                    Mood::Silent => pending().await,
                }
                response
            }
        });
        Self { server: server.await, batches }
    }

    fn option(&self) -> String {
        format!("--otlp={}", self.server.uri())
    }

    fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let batches = self.batches.lock().unwrap();
        batches
            .iter()
            .map(|batch| ExportTraceServiceRequest::decode(batch.clone()).unwrap())
            .collect()
    }

    fn spans(&self) -> Vec<Span> {
        let all = self.requests().into_iter().flat_map(|request| request.resource_spans);
        let all = all.flat_map(|resource| resource.scope_spans);
        all.flat_map(|scope| scope.spans).collect()
    }

    /// Waits for all spans of `trace`, which `gateways` have recorded: the span of the request is the last of each.
    async fn trace(&self, trace: &str, gateways: usize) -> Vec<Span> {
        let of = || {
            let spans = self.spans().into_iter();
            spans.filter(|span| hex(&span.trace_id) == trace).collect::<Vec<_>>()
        };
        let are_there = async || of_kind(&of(), SpanKind::Server).len() >= gateways;
        eventually("the spans arrive", PATIENCE, are_there).await;
        of()
    }

    /// Whether `text` is in anything that was sent.
    fn has(&self, text: &str) -> bool {
        let batches = self.batches.lock().unwrap();
        batches.iter().any(|batch| batch.windows(text.len()).any(|part| part == text.as_bytes()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn of_kind(spans: &[Span], kind: SpanKind) -> Vec<&Span> {
    spans.iter().filter(|span| span.kind() == kind).collect()
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == name)?;
    Some(format!("{:?}", found.value.as_ref()?.value.as_ref()?))
}

/// Opens a session in the trace with this number; the session id.
async fn open(client: &Raw, trace: &str, flags: &str) -> String {
    let request = client.request(Method::POST, None);
    let request = request.header("traceparent", format!("00-{trace}-{PARENT}-{flags}"));
    let answer = client.send(request.body(Full::from(INITIALIZE)).unwrap()).await;
    answer.session().unwrap().to_owned()
}

fn trace(number: u8) -> String {
    format!("4bf92f3577b34da6a3ce929d0e0e47{number:02x}")
}

async fn refusing() -> String {
    let mut server = serve(async |_| unreachable!()).await;
    server.kill().await;
    server.uri()
}

/// agentgateway forwarded what it got, so that its span and the backend's were siblings
/// (<https://github.com/agentgateway/agentgateway/issues/2904>).
#[tokio::test]
async fn one_trace_runs_through_two_gateways_and_a_failover() {
    let collector = Collector::start(Mood::Well).await;
    let server = CounterServer::start().await;
    let args =
        [&*collector.option(), "--trust=127.0.0.1", "--policy=round-robin", "--trace-ratio=0"];
    let b = Gateway::before(&[server.uri()], &args).await;
    let mut a = Gateway::before(&[refusing().await, b.uri()], &args).await;
    let client = Raw::new(&a.uri());
    let mut failovers = 0;
    for number in 1..=2 {
        let trace = trace(number);
        let session = open(&client, &trace, "01").await;
        let line =
            server.journal().last().unwrap().headers["traceparent"].to_str().unwrap().to_owned();
        let spans = collector.trace(&trace, 2).await;
        let server_spans = of_kind(&spans, SpanKind::Server);
        let at_a = server_spans.iter().find(|span| hex(&span.parent_span_id) == PARENT).unwrap();
        let tries: Vec<_> = of_kind(&spans, SpanKind::Client)
            .into_iter()
            .filter(|span| span.parent_span_id == at_a.span_id)
            .collect();
        let (failed, well): (Vec<_>, Vec<_>) =
            tries.into_iter().partition(|span| attribute(span, "error.type").is_some());
        failovers += failed.len();
        for failed in failed {
            assert!(attribute(failed, "error.type").unwrap().contains("connection_refused"));
        }
        assert_eq!(well.len(), 1);
        let at_b = server_spans.iter().find(|span| span.parent_span_id == well[0].span_id).unwrap();
        let last = spans.iter().find(|span| span.parent_span_id == at_b.span_id).unwrap();
        assert_eq!(last.kind(), SpanKind::Client);
        assert_eq!(line, format!("00-{trace}-{}-01", hex(&last.span_id)));
        assert!(attribute(at_a, "http.route").unwrap().contains("/mcp"));

        client.initialized(&session).await;
        assert_eq!(client.increment(&session).await.count(), Some(1));
        assert!(!collector.has(&session), "no session id in a span");
    }
    assert!(failovers >= 1);

    // Not sampled by the client, and none drawn by chance.
    open(&client, &trace(3), "00").await;
    let line = server.journal().last().unwrap().headers["traceparent"].to_str().unwrap().to_owned();
    assert_eq!(line, format!("00-{}-{PARENT}-00", trace(3)));
    a.process.terminate().await;
    assert_eq!(a.process.wait().await, Some(0));
    assert!(collector.spans().iter().all(|span| hex(&span.trace_id) != trace(3)));
    let resource = collector.requests()[0].resource_spans[0].resource.clone().unwrap();
    assert!(format!("{resource:?}").contains("bartizan-gateway"));
}

/// What a stranger asks for is not recorded by that, and not by the backend either.
#[tokio::test]
async fn the_flag_of_a_stranger_does_not_count() {
    let collector = Collector::start(Mood::Well).await;
    let server = CounterServer::start().await;
    let args = [&*collector.option(), "--trace-ratio=0"];
    let mut gateway = Gateway::before(&[server.uri()], &args).await;
    let trace = trace(1);
    open(&Raw::new(&gateway.uri()), &trace, "01").await;
    let line = server.journal().last().unwrap().headers["traceparent"].to_str().unwrap().to_owned();
    assert!(line.starts_with(&format!("00-{trace}-")) && line.ends_with("-00"), "{line}");
    assert!(!line.contains(PARENT));
    gateway.process.terminate().await;
    assert_eq!(gateway.process.wait().await, Some(0));
    assert!(collector.spans().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_of_a_resumed_session_is_part_of_the_trace() {
    let collector = Collector::start(Mood::Well).await;
    let mut servers = CounterServer::start_many(2).await;
    let uris: Vec<_> = servers.iter().map(CounterServer::uri).collect();
    let args = [&*collector.option(), "--trust=127.0.0.1", "--trace-ratio=0", "--on-lost=resume"];
    let gateway = Gateway::before(&uris, &args).await;
    let client = Raw::new(&gateway.uri());
    let session = client.initialize().await;
    assert_eq!(client.increment(&session).await.count(), Some(1));
    for server in &mut servers {
        server.restart_empty().await;
    }
    let trace = trace(7);
    let request = client.request(Method::POST, Some(&session));
    let request = request.header("traceparent", format!("00-{trace}-{PARENT}-01"));
    let body = bartizan_testkit::client::call(1, "increment");
    let answer = client.send(request.body(Full::from(body)).unwrap()).await;
    assert_eq!(answer.count(), Some(1));
    // The request; the call that is answered by 404, `initialize`, `initialized`, and the call again.
    let spans = collector.trace(&trace, 1).await;
    let whole = of_kind(&spans, SpanKind::Server);
    assert_eq!(whole.len(), 1);
    let tries = of_kind(&spans, SpanKind::Client);
    assert!(tries.len() == 4 && tries.iter().all(|tried| tried.parent_span_id == whole[0].span_id));
    let lost =
        |tried: &&&Span| attribute(tried, "error.type").is_some_and(|why| why.contains("404"));
    assert_eq!(tries.iter().filter(lost).count(), 1);
    assert!(!collector.has(&session), "no session id in a span");
}

#[tokio::test]
async fn no_request_waits_for_a_collector_that_is_away_failing_or_silent() {
    let server = CounterServer::start().await;
    let failing = Collector::start(Mood::Failing).await;
    let silent = Collector::start(Mood::Silent).await;
    let away = format!("--otlp={}", refusing().await);
    for (name, option) in
        [("away", away), ("failing", failing.option()), ("silent", silent.option())]
    {
        let args = [&*option, "--max-traces-per-second=1000000"];
        let mut gateway = Gateway::before(&[server.uri()], &args).await;
        let client = Raw::new(&gateway.uri());
        let session = client.initialize().await;
        let mut slowest = Duration::ZERO;
        for count in 1..=300 {
            let begun = Instant::now();
            assert_eq!(client.increment(&session).await.count(), Some(count), "{name}");
            slowest = slowest.max(begun.elapsed());
        }
        assert!(slowest < Duration::from_secs(3), "{name}: {slowest:?}");
        let line = gateway.process.error_line_with("spans are lost").await;
        assert!(line.contains("WARN") && line.contains("collector http://127.0.0.1:"), "{line}");
        // Nor does the shutdown, but for a second.
        let begun = Instant::now();
        gateway.process.terminate().await;
        assert_eq!(gateway.process.wait().await, Some(0), "{name}");
        assert!(begun.elapsed() < Duration::from_secs(8), "{name}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn what_is_queued_is_sent_before_the_gateway_stops() {
    let collector = Collector::start(Mood::Well).await;
    let server = CounterServer::start().await;
    let mut gateway = Gateway::before(&[server.uri()], &[&*collector.option()]).await;
    open(&Raw::new(&gateway.uri()), &trace(1), "01").await;
    gateway.process.terminate().await;
    assert_eq!(gateway.process.wait().await, Some(0));
    assert_eq!(collector.spans().len(), 2);
}
