//! Which requests are MCP and which are plain HTTP: each criterion, its effect, and attacks that use the difference.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test support")]

mod common;

use bartizan_core::{Reason, Work};
use bartizan_memory::MemoryStore;
use bartizan_session::{Sessionless, ValidateSessionLayer};
use bytes::Bytes;
use common::{CALL, INITIALIZE, Mood, Moody, Server, by, guard, is_live, live, opened, send, text};
use http::{Method, Request, Response};
use http_body_util::Full;
use tower::Layer;

const SSE: &str = "application/json, text/event-stream";
const MODERN: &str = "2026-07-28";

fn to(
    method: Method,
    uri: &str,
    fields: &[(&'static str, &'static str)],
    body: &'static str,
) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(uri);
    let request =
        fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Full::from(body)).unwrap()
}

fn post(
    uri: &str,
    fields: &[(&'static str, &'static str)],
    body: &'static str,
) -> Request<Full<Bytes>> {
    to(Method::POST, uri, fields, body)
}

#[tokio::test]
async fn plain_http_is_forwarded_with_any_method_and_any_body() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let service = ValidateSessionLayer::mcp(store).peek_limit(4).layer(server.clone());
    let form = "grant_type=authorization_code&code=c";
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"]
    {
        for uri in ["/token", "/", "/mcp2", "/authorize?client_id=a", "http://host/register"] {
            let fields =
                [("accept", "*/*"), ("origin", "https://a"), ("content-type", "text/plain")];
            let request = to(method.parse().unwrap(), uri, &fields, form);
            let response = send(&service, request).await;
            assert_eq!(response.status(), 200, "{method} {uri}");
            let seen = server.journal().pop().unwrap();
            assert_eq!((seen.method.as_str(), seen.body), (method, Bytes::from(form)));
            assert_eq!((seen.work, seen.has_session), (Work::Free, false));
        }
    }
}

#[tokio::test]
async fn each_criterion_alone_puts_a_request_under_the_rules_of_mcp() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let service = guard(&store, &server);
    for (uri, field) in [
        ("/mcp", ("accept", "*/*")),
        ("/mcp?x", ("accept", "*/*")),
        ("/%6dcp/", ("accept", "*/*")),
        ("//x/../MCP;v=1", ("accept", "*/*")),
        ("http://host/mcp", ("accept", "*/*")),
        ("/other", ("accept", SSE)),
        ("/other", ("mcp-protocol-version", "2025-11-25")),
    ] {
        let refused = send(&service, post(uri, &[field], CALL)).await;
        assert_eq!(Reason::of(&refused), Some(Reason::MissingSessionId), "{uri} {field:?}");
        for (method, status) in [(Method::GET, 405), (Method::PUT, 405), (Method::DELETE, 400)] {
            let refused = send(&service, to(method.clone(), uri, &[field], "")).await;
            assert_eq!(refused.status(), status, "{method} {uri} {field:?}");
        }
    }
    assert_eq!(server.calls(), 0);
}

#[tokio::test]
async fn a_session_id_is_judged_wherever_it_is_shown() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let service = guard(&store, &server);
    live(&store, "s1").await;
    for (id, status) in [("unknown", 404), ("", 400), ("a b", 400), ("s1", 200)] {
        for method in [Method::GET, Method::POST, Method::DELETE] {
            if (&method, id) == (&Method::DELETE, "s1") {
                continue;
            }
            let request = to(method.clone(), "/favicon.ico", &[("mcp-session-id", id)], "x");
            assert_eq!(send(&service, request).await.status(), status, "{method} {id:?}");
        }
    }
    let put = to(Method::PUT, "/favicon.ico", &[("mcp-session-id", "s1")], "");
    assert_eq!(send(&service, put).await.status(), 405, "the methods of MCP, with an id");
    let foreign = by(post("/token", &[("mcp-session-id", "s1")], ""), "alice");
    assert_eq!(send(&service, foreign).await.status(), 404);
    assert_eq!(server.calls(), 2);
}

#[tokio::test]
async fn endpoints_are_named_and_every_path_can_be_one() {
    let store = MemoryStore::new();
    let server = Server::mcp();
    let layer = ValidateSessionLayer::mcp(store.clone());
    let two = layer.clone().endpoint("/a").endpoint("/b/").layer(server.clone());
    for (uri, status) in [("/a", 400), ("/a/", 400), ("/b", 400), ("/mcp", 200), ("/a/b", 200)] {
        assert_eq!(send(&two, post(uri, &[], CALL)).await.status(), status, "{uri}");
    }
    let every = layer.endpoint("*");
    let strict = every.clone().layer(server.clone());
    for uri in ["/", "/token", "/mcp"] {
        assert_eq!(send(&strict, post(uri, &[], CALL)).await.status(), 400, "{uri}");
        assert_eq!(send(&strict, to(Method::GET, uri, &[], "")).await.status(), 405, "{uri}");
    }
    let forward = every.sessionless(Sessionless::Forward).layer(server.clone());
    assert_eq!(send(&forward, post("/token", &[], "form=1")).await.status(), 200);
    assert_eq!(server.journal().pop().unwrap().work, Work::MayOpen);
}

#[tokio::test]
async fn metadata_passes_with_the_version_of_its_client() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let service = guard(&store, &server);
    for version in ["2025-11-25", MODERN] {
        for uri in
            ["/.well-known/oauth-protected-resource/mcp", "/t/.well-known/openid-configuration"]
        {
            let get = to(Method::GET, uri, &[("mcp-protocol-version", version)], "");
            assert_eq!(send(&service, get).await.status(), 200, "{version} {uri}");
        }
    }
}

#[tokio::test]
async fn a_web_page_cannot_open_a_session_without_a_preflight() {
    let (store, server) = (MemoryStore::new(), Server::mcp());
    let service = guard(&store, &server);
    for fields in [
        &[("origin", "https://evil"), ("content-type", "text/plain")][..],
        &[("origin", "null"), ("content-type", "application/x-www-form-urlencoded")],
        &[("sec-fetch-site", "cross-site"), ("content-type", "multipart/form-data; boundary=x")],
        &[("sec-fetch-site", "same-origin")],
    ] {
        for uri in ["/mcp", "/MCP/"] {
            let refused = send(&service, post(uri, fields, INITIALIZE)).await;
            assert_eq!(Reason::of(&refused), Some(Reason::UnsupportedMediaType), "{fields:?}");
            assert_eq!(refused.status(), 415);
            assert!(text(refused).await.contains(r#""id":"i""#));
        }
    }
    // Accepting events needs no preflight, either.
    let fields = [("origin", "https://evil"), ("accept", SSE), ("content-type", "text/plain")];
    assert_eq!(send(&service, post("/other", &fields, INITIALIZE)).await.status(), 415);
    assert_eq!(server.calls(), 0);
    for fields in [
        &[("origin", "https://a"), ("content-type", "Application/JSON;charset=utf-8")][..],
        &[("content-type", "text/plain")],
        &[],
    ] {
        assert_eq!(
            send(&service, post("/mcp", fields, INITIALIZE)).await.status(),
            200,
            "{fields:?}"
        );
    }
    // A session id cannot be sent without a preflight.
    let fields = [("origin", "https://a"), ("mcp-session-id", "s1")];
    assert_eq!(send(&service, post("/mcp", &fields, CALL)).await.status(), 200);
}

/// Names the session `s1` in every response, with `status`.
fn naming(status: u16) -> Server {
    Server::new(move |seen| {
        let mut response = opened("s1");
        if seen.method != Method::DELETE {
            *response.status_mut() = status.try_into().unwrap();
            let backend: bartizan_core::Backend = "http://b:1".parse().unwrap();
            response.extensions_mut().insert(backend);
        }
        response
    })
}

const CREDENTIALS: (&str, &str) = ("authorization", "Bearer t");

/// A modern `initialize`, one at a path that only the backend knows to be an endpoint, and one that claims to be
/// another method.
fn strays() -> [Request<Full<Bytes>>; 3] {
    let modern = ("mcp-protocol-version", MODERN);
    let lie = ("mcp-method", "tools/list");
    [
        post("/mcp", &[modern, CREDENTIALS], INITIALIZE),
        post("/hidden", &[CREDENTIALS], INITIALIZE),
        post("/mcp?x", &[modern, lie, CREDENTIALS], INITIALIZE),
    ]
}

#[tokio::test]
async fn a_session_that_no_request_asked_for_is_ended_at_its_backend() {
    for status in [200, 400] {
        for stray in strays() {
            // It does not count against the cap, even if the store is full.
            let store = MemoryStore::builder().max_sessions(0).build();
            let server = naming(status);
            let service = guard(&store, &server);
            let uri = stray.uri().to_string();
            let response = send(&service, stray).await;
            assert_eq!(response.status(), status, "{uri}");
            assert!(!response.headers().contains_key("mcp-session-id"), "{uri}");
            let [opening, end] = &server.journal()[..] else {
                panic!("{uri}: {:?}", server.calls())
            };
            assert_eq!((opening.work, &end.method), (Work::Free, &Method::DELETE), "{uri}");
            assert_eq!(end.headers["mcp-session-id"], "s1");
            assert_eq!(end.headers["authorization"], "Bearer t");
            assert_eq!(
                (end.work, end.backend.as_ref().unwrap().as_str()),
                (Work::Pinned, "http://b:1")
            );
            assert!(!is_live(&store, "s1").await);
        }
    }
}

#[tokio::test]
async fn what_names_no_session_and_what_is_not_a_post_ends_nothing() {
    let store = MemoryStore::new();
    let quiet = Server::new(|_| Response::new(Full::from("ok")));
    for stray in strays() {
        send(&guard(&store, &quiet), stray).await;
    }
    assert_eq!(quiet.calls(), 3);
    let server = naming(200);
    for method in [Method::GET, Method::OPTIONS, Method::DELETE] {
        let response = send(&guard(&store, &server), to(method, "/other", &[], "")).await;
        assert!(!response.headers().contains_key("mcp-session-id"));
    }
    assert_eq!(server.calls(), 3);
}

#[tokio::test]
async fn a_live_session_is_not_ended_by_a_response_that_names_it() {
    for (mood, expected) in [(None, 1), (Some(Mood::Late), 1), (Some(Mood::Failing), 1)] {
        for stray in strays() {
            let store = Moody { get: mood, ..Moody::new() };
            live(&store.inner, "s1").await;
            let server = naming(200);
            let response = send(&guard(&store, &server), stray).await;
            assert!(!response.headers().contains_key("mcp-session-id"));
            assert_eq!(server.calls(), expected, "{mood:?}");
            assert!(is_live(&store.inner, "s1").await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_end_a_stray_session_is_waited_for_a_second() {
    use tower::service_fn;
    let service = ValidateSessionLayer::mcp(MemoryStore::new()).layer(service_fn(
        async |request: Request<common::ReqBody>| {
            if request.method() == Method::DELETE {
                std::future::pending::<()>().await;
            }
            Ok::<_, std::convert::Infallible>(opened("s1"))
        },
    ));
    let began = tokio::time::Instant::now();
    let [stray, ..] = strays();
    assert_eq!(send(&service, stray).await.status(), 200);
    assert_eq!(began.elapsed().as_millis() / 100, 10);
}
