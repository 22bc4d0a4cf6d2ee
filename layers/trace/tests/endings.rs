//! When spans end, and what they say then.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test")]

mod common;

use std::{convert::Infallible, future::pending};

use bartizan_core::{
    Backend, Dialect, GuardBody, Reason, Refusal, UpstreamFailure, failure::FailureKind,
};
use bartizan_trace::{TraceBackendsLayer, TraceRequestsLayer};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Channel, Empty, Full};
use opentelemetry::trace::Status;
use opentelemetry_sdk::trace::SpanData;
use tower::{Layer, Service, ServiceExt, service_fn};

use common::*;

const EVENTS: (&str, &str) = ("content-type", "text/event-stream");

fn is_error(span: &SpanData) -> bool {
    matches!(span.status, Status::Error { .. })
}

/// Calls a service that responds with an open body, with the request and the response given.
async fn opened(
    spans: &Spans,
    request: http::request::Builder,
    response: http::response::Builder,
) -> (
    http_body_util::channel::Sender<Bytes, &'static str>,
    Response<impl http_body::Body<Data = Bytes, Error = &'static str>>,
) {
    let (sender, body) = Channel::<Bytes, &'static str>::new(4);
    let mut response = Some(response.body(body).unwrap());
    let mut service =
        TraceRequestsLayer::new(spans.tracer()).layer(service_fn(move |_: Request<()>| {
            std::future::ready(Ok::<_, Infallible>(response.take().unwrap()))
        }));
    let response = service.call(request.body(()).unwrap()).await.unwrap();
    (sender, response)
}

#[tokio::test]
async fn with_the_body_of_the_response() {
    let spans = Spans::new();
    // Even if it is an event stream: it ends with the call.
    let events = Response::builder().header(EVENTS.0, EVENTS.1);
    let (mut sender, response) = opened(&spans, Request::post("/"), events).await;
    let mut body = Box::pin(response.into_body());
    sender.send(Frame::data("a".into())).await.unwrap();
    body.frame().await.unwrap().unwrap();
    assert!(spans.take().is_empty(), "it goes on");
    drop(sender);
    assert!(body.frame().await.is_none());
    let span = spans.one();
    assert_eq!(attribute(&span, "http.response.status_code").unwrap(), "200");
    assert!(attribute(&span, "error.type").is_none() && !is_error(&span));
}

#[tokio::test]
async fn with_the_last_byte_of_a_length() {
    let (spans, inner) = (Spans::new(), Inner::default());
    let full = service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("abc"))))
    });
    let mut service = TraceRequestsLayer::new(spans.tracer()).layer(full);
    let mut body = service.call(Request::new(())).await.unwrap().into_body();
    assert!(spans.take().is_empty());
    body.frame().await.unwrap().unwrap();
    assert!(attribute(&spans.one(), "error.type").is_none());
    // A server does not ask for an empty body, nor for that of a HEAD.
    TraceRequestsLayer::new(spans.tracer()).layer(inner).oneshot(Request::new(())).await.unwrap();
    assert!(attribute(&spans.one(), "error.type").is_none());
    let head = Request::head("/").body(()).unwrap();
    drop(service.call(head).await.unwrap());
    assert!(attribute(&spans.one(), "error.type").is_none());
}

#[tokio::test]
async fn with_the_head_if_the_client_listens() {
    let spans = Spans::new();
    let events = || Response::builder().header(EVENTS.0, "text/event-stream; charset=utf-8");
    let subscribe = Request::post("/").header("mcp-method", "subscriptions/listen");
    for request in [Request::get("/"), subscribe] {
        let (_sender, response) = opened(&spans, request, events()).await;
        assert!(attribute(&spans.one(), "error.type").is_none());
        drop(response);
        assert!(spans.take().is_empty(), "once");
    }
    let (_sender, response) =
        opened(&spans, Request::get("/"), Response::builder().status(101)).await;
    assert_eq!(attribute(&spans.one(), "http.response.status_code").unwrap(), "101");
    drop(response);
    // Another GET ends with its body.
    let (_sender, response) = opened(&spans, Request::get("/"), Response::builder()).await;
    assert!(spans.take().is_empty());
    drop(response);
    assert_eq!(attribute(&spans.one(), "error.type").unwrap(), "cancelled");
}

#[tokio::test]
async fn with_the_failure_of_the_body() {
    let spans = Spans::new();
    let (sender, response) = opened(&spans, Request::post("/"), Response::builder()).await;
    sender.abort("it broke off with a secret");
    let mut body = Box::pin(response.into_body());
    assert!(body.frame().await.unwrap().is_err());
    let span = spans.one();
    assert_eq!(attribute(&span, "error.type").unwrap(), "body");
    assert!(is_error(&span) && !format!("{span:?}").contains("secret"));
}

#[tokio::test]
async fn as_cancelled_if_the_client_leaves() {
    let spans = Spans::new();
    let never =
        service_fn(|_: Request<()>| pending::<Result<Response<Empty<Bytes>>, Infallible>>());
    let tried = TraceBackendsLayer::new(spans.tracer()).layer(never);
    let mut service = TraceRequestsLayer::new(spans.tracer()).layer(tried);
    let mut call = Box::pin(service.call(Request::new(())));
    assert!((&mut call).now_or_never().is_none());
    assert!(spans.take().is_empty());
    drop(call);
    let ended = spans.take();
    assert_eq!(ended.len(), 2);
    assert!(ended.iter().all(|span| attribute(span, "error.type").unwrap() == "cancelled"));
}

#[tokio::test]
async fn responses_are_errors_by_status_and_by_who_made_them() {
    enum Made {
        Status(u16),
        Failure(FailureKind, Reason),
        Refusal(Reason),
    }
    use Made::{Failure, Refusal as Refused, Status};

    let spans = Spans::new();
    for (made, status, server, client) in [
        (Status(200), Some("200"), (None, false), (None, false)),
        (Status(404), Some("404"), (None, false), (Some("404"), true)),
        (Status(503), Some("503"), (Some("503"), true), (Some("503"), true)),
        (
            Failure(FailureKind::Refused, Reason::ConnectFailed),
            None,
            (Some("connection_refused"), true),
            (Some("connection_refused"), true),
        ),
        (
            Refused(Reason::UnknownSession),
            None,
            (Some("unknown_session"), false),
            (Some("unknown_session"), true),
        ),
    ] {
        let made = std::sync::Arc::new(made);
        let inner = service_fn(move |_: Request<()>| {
            let refused =
                |reason| Refusal::new(reason).respond::<Empty<Bytes>>(&Dialect::JsonRpc(None));
            let mut response = match &*made {
                Status(status) => {
                    let mut response = Response::new(GuardBody::forwarded(Empty::new()));
                    *response.status_mut() = (*status).try_into().unwrap();
                    response
                }
                Failure(_, reason) | Refused(reason) => refused(*reason),
            };
            if let Failure(kind, _) = &*made {
                response.extensions_mut().insert(UpstreamFailure::new(*kind));
            }
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let tried = TraceBackendsLayer::new(spans.tracer()).layer(inner);
        let service = TraceRequestsLayer::new(spans.tracer()).layer(tried);
        let response = service.oneshot(Request::new(())).await.unwrap();
        let answered = response.status().as_u16().to_string();
        response.into_body().collect().await.unwrap();
        let [tried, whole] = <[SpanData; 2]>::try_from(spans.take()).unwrap();
        let said = |span| (attribute(span, "error.type"), is_error(span));
        assert_eq!(said(&whole), (server.0.map(str::to_owned), server.1));
        assert_eq!(said(&tried), (client.0.map(str::to_owned), client.1));
        assert_eq!(attribute(&whole, "http.response.status_code"), Some(answered));
        assert_eq!(attribute(&tried, "http.response.status_code"), status.map(str::to_owned));
    }
}

#[tokio::test]
async fn an_error_of_the_service_inside_is_one_of_both() {
    let spans = Spans::new();
    let down = service_fn(async |_: Request<()>| Err::<Response<Empty<Bytes>>, _>("down"));
    let tried = TraceBackendsLayer::new(spans.tracer()).layer(down);
    let service = TraceRequestsLayer::new(spans.tracer()).layer(tried);
    assert_eq!(service.oneshot(Request::new(())).await.unwrap_err(), "down");
    let ended = spans.take();
    assert_eq!(ended.len(), 2);
    assert!(
        ended
            .iter()
            .all(|span| attribute(span, "error.type").unwrap() == "service" && is_error(span))
    );
}

#[tokio::test]
async fn nothing_is_said_that_a_client_chooses() {
    let spans = Spans::new();
    let tried = TraceBackendsLayer::new(spans.tracer()).layer(Inner::default());
    let service = TraceRequestsLayer::new(spans.tracer()).route("/mcp").layer(tried);
    let mut request = Request::builder()
        .method(Method::from_bytes(b"SECRET").unwrap())
        .uri("/session/SECRET?token=SECRET")
        .header("mcp-session-id", "SECRET")
        .header("authorization", "SECRET")
        .header("host", "SECRET")
        .header("user-agent", "SECRET")
        .body(())
        .unwrap();
    "http://user-of-backend:9001".parse::<Backend>().unwrap().attach(&mut request);
    service.clone().oneshot(request).await.unwrap();
    let ended = spans.take();
    assert!(!format!("{ended:?}").contains("SECRET"));
    assert_eq!(attribute(&ended[1], "http.request.method").unwrap(), "_OTHER");
    assert_eq!((&*ended[0].name, &*ended[1].name), ("HTTP", "HTTP"));
    assert_eq!(attribute(&ended[0], "server.address").unwrap(), "user-of-backend");
    assert_eq!(attribute(&ended[0], "server.port").unwrap(), "9001");
    // A path that is configured is not a secret.
    service.oneshot(Request::post("/mcp?token=SECRET").body(()).unwrap()).await.unwrap();
    let ended = spans.take();
    assert!(!format!("{ended:?}").contains("SECRET"));
    assert_eq!(&*ended[1].name, "POST /mcp");
    assert_eq!(attribute(&ended[1], "http.route").unwrap(), "/mcp");
    assert_eq!(attribute(&ended[1], "url.path").unwrap(), "/mcp");
    assert_eq!(attribute(&ended[1], "network.protocol.version").unwrap(), "1.1");
}
