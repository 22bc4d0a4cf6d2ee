//! The table of the crate docs, row by row.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::{convert::Infallible, future::pending, pin::pin, sync::Arc, time::Duration};

use bartizan_core::{
    Backend, GuardBody, Passage, Reason, Refusal, UpstreamFailure, Work,
    failure::FailureKind,
    gauges::{Gauges, Metric, Reading},
    refusal::Dialect,
};
use bartizan_observe::{Metrics, Snapshot};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, channel::Channel};
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};

const SERVER: &str = "http_server_request_duration_seconds";
const CLIENT: &str = "http_client_request_duration_seconds";
const ACTIVE: &str = "http_server_active_requests";

fn count(snapshot: &Snapshot, metric: &str, labels: &[(&str, &str)]) -> u64 {
    match snapshot.durations(metric, labels) {
        Some(durations) => durations.count(),
        None => snapshot.number(metric, labels).unwrap_or(0),
    }
}

/// All that is not zero, of metrics whose name begins so.
fn counted(snapshot: &Snapshot, prefix: &str) -> Vec<String> {
    let text = snapshot.to_string();
    let lines = text
        .lines()
        .filter(|line| line.starts_with(prefix) && !line.starts_with('#') && !line.ends_with(" 0"));
    lines.map(str::to_owned).collect()
}

fn request(method: &str) -> Request<()> {
    Request::builder().method(method).uri("/secret-path").body(()).unwrap()
}

fn answer(status: u16) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

#[tokio::test(start_paused = true)]
async fn a_response_is_counted_by_method_class_code_and_time() {
    let metrics = Metrics::new();
    let inner = service_fn(async |request: Request<()>| {
        let status = request.headers()["status"].to_str().unwrap().parse().unwrap();
        advance(Duration::from_millis(20)).await;
        Ok::<_, Infallible>(answer(status))
    });
    let mut service = metrics.edge().layer(inner);
    for (method, status, class, code) in [
        ("GET", "200", "2xx", "200"),
        ("POST", "404", "4xx", "404"),
        ("POST", "404", "4xx", "404"),
        ("DELETE", "503", "5xx", "503"),
        ("MADE-UP", "101", "1xx", "101"),
        ("get", "302", "3xx", "302"),
        ("PUT", "299", "2xx", "2xx"),
        ("PUT", "777", "5xx", "_OTHER"),
    ] {
        let mut request = request(method);
        request.headers_mut().insert("status", status.parse().unwrap());
        let before = metrics.snapshot();
        service.call(request).await.unwrap();
        let after = metrics.snapshot();
        let method = if method.len() > 6 || method == "get" { "_OTHER" } else { method };
        let labels = [("http_request_method", method), ("status_class", class)];
        assert_eq!(count(&after, SERVER, &labels), count(&before, SERVER, &labels) + 1);
        let codes = "http_server_responses_total";
        let labels = [("http_response_status_code", code)];
        assert_eq!(count(&after, codes, &labels), count(&before, codes, &labels) + 1);
    }
    let snapshot = metrics.snapshot();
    let labels = [("http_request_method", "POST"), ("status_class", "4xx")];
    let durations = snapshot.durations(SERVER, &labels).unwrap();
    assert_eq!(durations.sum(), Duration::from_millis(40));
    let range = durations.ranges().find(|(_, count)| *count > 0).unwrap();
    assert_eq!(range, (Some(Duration::from_millis(25)), 2));
    let text = snapshot.to_string();
    assert!(!text.contains("secret-path") && !text.contains("MADE-UP"), "{text}");
}

#[tokio::test]
async fn a_refusal_is_counted_by_its_reason() {
    let metrics = Metrics::new();
    let inner = service_fn(async |request: Request<()>| {
        let mut response =
            Refusal::new(Reason::UnknownSession).respond::<Full<Bytes>>(&Dialect::Problem);
        if request.method() == "GET" {
            // The same status, from a backend.
            response = answer(404).map(GuardBody::forwarded);
        }
        Ok::<_, Infallible>(response)
    });
    let mut service = metrics.edge().layer(inner);
    for method in ["POST", "POST", "GET"] {
        service.call(request(method)).await.unwrap();
    }
    let snapshot = metrics.snapshot();
    let refusals = counted(&snapshot, "bartizan_refusals_total");
    assert_eq!(refusals, ["bartizan_refusals_total{error_type=\"unknown_session\"} 2"]);
    // The others are there, with zero.
    let text = snapshot.to_string();
    let all = text.lines().filter(|line| line.starts_with("bartizan_refusals_total"));
    assert_eq!(all.count(), Reason::ALL.len());
}

#[tokio::test]
async fn a_request_is_active_until_its_body_ends_breaks_off_or_is_dropped() {
    let metrics = Metrics::new();
    let active = || count(&metrics.snapshot(), ACTIVE, &[]);
    let (mut sender, body) = Channel::<Bytes>::new(4);
    let mut bodies = vec![body];
    let inner = service_fn(move |_: Request<()>| {
        let body = bodies.pop();
        async move {
            match body {
                Some(body) => Ok::<_, Infallible>(Response::new(body)),
                None => pending().await,
            }
        }
    });
    let mut service = metrics.edge().layer(inner);
    let response = service.call(request("GET")).await.unwrap();
    assert_eq!(active(), 1);
    let waiting = Box::pin(service.call(request("GET")));
    assert_eq!(active(), 2);
    drop(waiting);
    assert_eq!(active(), 1);
    let labels = [("http_request_method", "GET"), ("status_class", "none")];
    assert_eq!(count(&metrics.snapshot(), SERVER, &labels), 1);

    let mut body = response.into_body();
    sender.send_data(Bytes::from_static(b"12345")).await.unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "12345");
    assert_eq!(count(&metrics.snapshot(), "bartizan_response_bytes_total", &[]), 5);
    // It passes frames on as they come.
    assert!(pin!(body.frame()).now_or_never().is_none());
    assert_eq!(active(), 1);
    drop(sender);
    assert!(body.frame().await.is_none());
    assert_eq!(active(), 0);
    drop(body);
    assert_eq!(active(), 0);
}

#[tokio::test]
async fn a_body_that_breaks_off_and_one_that_is_dropped_release_the_request() {
    let metrics = Metrics::new();
    let active = || count(&metrics.snapshot(), ACTIVE, &[]);
    let (sender, body) = Channel::<Bytes, &str>::new(1);
    let mut body = Some(body);
    let mut service = metrics.edge().layer(service_fn(move |_: Request<()>| {
        let body = body.take().unwrap_or_else(|| Channel::new(1).1);
        async move { Ok::<_, Infallible>(Response::new(body)) }
    }));
    let mut broken = service.call(request("GET")).await.unwrap().into_body();
    sender.abort("broken");
    assert_eq!(broken.frame().await.unwrap().unwrap_err(), "broken");
    assert_eq!(active(), 0);
    let response = service.call(request("GET")).await.unwrap();
    assert_eq!(active(), 1);
    drop(response);
    assert_eq!(active(), 0);
}

/// What a backend does.
#[derive(Clone, Copy)]
enum Does {
    Respond(u16),
    Fail(FailureKind),
    Refuse,
    Nothing,
}

#[tokio::test(start_paused = true)]
async fn a_request_to_a_backend_is_counted_by_its_outcome() {
    use Does::{Fail, Nothing, Refuse, Respond};
    let metrics = Metrics::new();
    for (does, outcome) in [
        (Respond(101), "1xx"),
        (Respond(200), "2xx"),
        (Respond(302), "3xx"),
        (Respond(404), "4xx"),
        (Respond(502), "5xx"),
        (Fail(FailureKind::Refused), "failed"),
        (Fail(FailureKind::ResponseTimeout), "failed"),
        (Refuse, "refused"),
        (Nothing, "cancelled"),
    ] {
        let inner = service_fn(move |_: Request<()>| async move {
            let failed = Refusal::new(Reason::ConnectFailed).respond(&Dialect::Problem);
            Ok::<Response<GuardBody<Full<Bytes>>>, Infallible>(match does {
                Respond(status) => answer(status).map(GuardBody::forwarded),
                Fail(kind) => {
                    let mut response = failed;
                    response.extensions_mut().insert(UpstreamFailure::new(kind));
                    response
                }
                Refuse => Refusal::new(Reason::MethodNotAllowed).respond(&Dialect::Problem),
                Nothing => pending().await,
            })
        });
        let service = metrics.backends().layer(inner);
        let mut request = request("POST");
        Passage::with(&mut request, |passage| {
            passage.set_backend("http://a:1".parse().unwrap());
            passage.set_work(Work::Pinned);
        });
        let labels = [("backend", "http://a:1"), ("outcome", outcome)];
        let before = count(&metrics.snapshot(), CLIENT, &labels);
        let _ = tokio::time::timeout(Duration::from_secs(7), service.oneshot(request)).await;
        assert_eq!(count(&metrics.snapshot(), CLIENT, &labels), before + 1, "{outcome}");
    }
    let snapshot = metrics.snapshot();
    let labels = [("backend", "http://a:1"), ("work", "pinned")];
    assert_eq!(count(&snapshot, "bartizan_work_total", &labels), 9);
    assert_eq!(counted(&snapshot, "bartizan_work_total").len(), 1);
    assert_eq!(
        counted(&snapshot, "bartizan_backend_failures_total"),
        ["refused", "response_timeout"].map(|kind| format!(
            "bartizan_backend_failures_total{{backend=\"http://a:1\",kind=\"{kind}\"}} 1"
        ))
    );
}

#[tokio::test]
async fn layers_that_are_off_count_nothing() {
    let metrics = Metrics::new();
    let inner = service_fn(async |_: Request<()>| Ok::<_, Infallible>(answer(200)));
    let inner = metrics.backends().only_if(false).layer(inner);
    let response =
        metrics.edge().only_if(false).layer(inner).oneshot(request("GET")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "");
    assert_eq!(counted(&metrics.snapshot(), ""), Vec::<String>::new());
}

/// The methods, paths, fields and backends of 100,000 requests.
#[tokio::test]
async fn whatever_clients_send_the_number_of_series_does_not_change() {
    let metrics = Metrics::new();
    let inner = service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    let mut service = metrics.edge().layer(metrics.backends().layer(inner));
    let mut send = async |at: usize| {
        let mut request = Request::builder()
            .method(format!("M{at}").as_str())
            .uri(format!("/path/{at}?q={at}"))
            .header("mcp-method", format!("made-up/{at}"))
            .header("mcp-name", format!("tool-{at}"))
            .header("mcp-session-id", format!("secret-{at}"))
            .header("host", format!("host-{at}"))
            .body(())
            .unwrap();
        Passage::with(&mut request, |passage| {
            passage.set_backend(format!("http://b:{}", 1 + at % 1000).parse::<Backend>().unwrap());
        });
        service.call(request).await.unwrap();
    };
    for at in 0..1_000 {
        send(at).await;
    }
    let before = metrics.snapshot().to_string().lines().count();
    for at in 1_000..100_000 {
        send(at).await;
    }
    let text = metrics.snapshot().to_string();
    assert_eq!(text.lines().count(), before);
    for made_up in ["M9", "path", "tool", "secret", "host-", "made-up"] {
        assert!(!text.contains(made_up), "{made_up}");
    }
    assert!(text.contains("backend=\"_OTHER\"") && text.contains("backend=\"http://b:64\""));
    assert!(!text.contains("http://b:65\""));
}

struct Source;

const LEVEL: Metric = Metric::gauge("level", "A level.");

impl Gauges for Source {
    fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
        out(Reading::new(&LEVEL, &[], 5));
    }
}

#[tokio::test]
async fn sources_are_read_whenever_the_metrics_are_and_routes_tell_stacks_apart() {
    let (tools, files) =
        (Metrics::builder().route("tools").build(), Metrics::builder().route("files").build());
    tools.watch(Arc::new(Source));
    tools.watch(files.clone());
    let inner = service_fn(async |_: Request<()>| Ok::<_, Infallible>(answer(200)));
    for metrics in [&tools, &files, &files] {
        metrics.edge().layer(inner).oneshot(request("GET")).await.unwrap();
    }
    let snapshot = tools.snapshot();
    assert_eq!(snapshot.number("level", &[]), Some(5));
    for (route, number) in [("tools", 1), ("files", 2)] {
        let labels = [("http_response_status_code", "200"), ("route", route)];
        assert_eq!(count(&snapshot, "http_server_responses_total", &labels), number);
    }
    let text = snapshot.to_string();
    assert_eq!(text.matches("# TYPE http_server_responses_total").count(), 1);
    assert!(files.snapshot().number("level", &[]).is_none());
}
