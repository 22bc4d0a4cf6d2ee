//! When a backend's 404 ends a session: the rows of the crate's table about it.
#![allow(clippy::unwrap_used, reason = "test support")]

mod common;

use std::{convert::Infallible, pin::Pin, task::Poll, time::Duration};

use bartizan_core::{Key, Reason, Record, Route, SessionStore, refusal::Dialect};
use bartizan_memory::MemoryStore;
use bartizan_session::{PeekedBody, ValidateSessionLayer};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{Layer, ServiceExt, service_fn};

use common::*;

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call"}"#;
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#;

/// Opens `s1` on the path of each `initialize`, and answers all else with `body` in a 404 of `content_type`.
fn denying(content_type: &'static str, body: &'static str) -> Server {
    Server::new(move |seen| {
        if String::from_utf8_lossy(&seen.body).contains("\"initialize\"") {
            return opened("s1");
        }
        let response = Response::builder().status(404).header("content-type", content_type);
        response.body(Full::from(body)).unwrap()
    })
}

async fn is_live(store: &MemoryStore) -> bool {
    let route = Route::default();
    store.get(Key::new(&route, None, b"s1")).wait().await.unwrap().is_some()
}

fn at(
    method: Method,
    path: &str,
    session: Option<&str>,
    body: &'static str,
) -> Request<Full<Bytes>> {
    // On a path that is not an endpoint, this makes the request MCP.
    let request = Request::builder().method(method).uri(path);
    let mut request = request.header("accept", "application/json, text/event-stream");
    if let Some(id) = session {
        request = request.header("mcp-session-id", id);
    }
    request.body(Full::from(body)).unwrap()
}

/// Opens a session on `opened_at`, gets a 404 on `path`, and returns whether the session is still
/// live.
async fn survives(
    opened_at: &str,
    path: &str,
    content_type: &'static str,
    body: &'static str,
) -> bool {
    let (store, server) = (MemoryStore::new(), denying(content_type, body));
    let service = guard(&store, &server);
    let opening = send(&service, at(Method::POST, opened_at, None, INITIALIZE)).await;
    assert_eq!(opening.status(), 200);
    let response = send(&service, at(Method::POST, path, Some("s1"), CALL)).await;
    assert_eq!(response.status(), 404);
    assert_eq!(text(response).await, body, "passed on as it is");
    is_live(&store).await
}

const JSON: &str = "application/json";
const NOT_FOUND: &str =
    r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}"#;

/// This once failed: `GET /favicon.ico` ended a session.
#[tokio::test]
async fn a_404_counts_only_on_the_path_where_the_session_was_opened() {
    for (opened_at, path, counts) in [
        ("/mcp", "/mcp", true),
        ("/mcp", "/mcp/", true),
        ("/mcp/", "/mcp", true),
        ("/mcp?tenant=1", "/mcp?tenant=2", true),
        ("/", "/", true),
        ("/mcp", "/favicon.ico", false),
        ("/mcp", "/.well-known/oauth-protected-resource", false),
        ("/mcp", "/mcp/tools", false),
        ("/mcp", "/", false),
        ("/a/mcp", "/mcp", false),
    ] {
        let survives = survives(opened_at, path, JSON, NOT_FOUND).await;
        assert_eq!(survives, !counts, "opened at {opened_at}, 404 at {path}");
    }
}

/// A record of an earlier release, or of a store that does not keep the path.
#[tokio::test]
async fn without_a_path_in_the_record_any_path_counts() {
    let store = MemoryStore::new();
    let route = Route::default();
    let record = Record::new(Record::IDLE, Record::LIFETIME);
    store.insert_if_absent(Key::new(&route, None, b"s1"), record).wait().await.unwrap();
    let service = guard(&store, &denying(JSON, NOT_FOUND));
    send(&service, at(Method::POST, "/anywhere", Some("s1"), CALL)).await;
    assert!(!is_live(&store).await);
}

/// This once failed: a 404 with −32601 ended a session.
#[tokio::test]
async fn a_json_rpc_error_about_something_else_does_not_count() {
    for body in [
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32601,"message":"Method not found"}}"#,
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"Unknown tool"}}"#,
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"Internal error"}}"#,
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32020,"message":"Header mismatch"}}"#,
        r#"{"jsonrpc":"2.0","id":7,"error":{"code":-32022,"message":"Unsupported version"}}"#,
    ] {
        assert!(survives("/mcp", "/mcp", JSON, body).await, "{body}");
    }
    for body in [
        NOT_FOUND,
        r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Session not found"}}"#,
        r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"No session"},"id":null}"#,
        "Not Found: Session not found",
        "",
    ] {
        assert!(!survives("/mcp", "/mcp", JSON, body).await, "{body}");
    }
}

/// The page that Express sends for a method without a route.
#[tokio::test]
async fn a_page_does_not_count() {
    let page = "<!DOCTYPE html><pre>Cannot GET /mcp</pre>";
    assert!(survives("/mcp", "/mcp", "text/html; charset=utf-8", page).await);
    assert!(survives("/mcp", "/mcp", "Text/HTML", page).await);
    assert!(!survives("/mcp", "/mcp", "text/plain", "Session not found").await);
}

#[tokio::test]
async fn delete_follows_the_same_rule() {
    for (path, ends) in [("/mcp", true), ("/other", false)] {
        let store = MemoryStore::new();
        let service = guard(&store, &denying("text/plain", "no"));
        send(&service, at(Method::POST, "/mcp", None, INITIALIZE)).await;
        let response = send(&service, at(Method::DELETE, path, Some("s1"), "")).await;
        assert_eq!(response.status(), 404);
        assert_eq!(is_live(&store).await, !ends, "{path}");
    }
}

/// Another layer's 404 does not end the session; the layer that pins has its own reason for a loss.
#[tokio::test]
async fn the_refusal_of_another_layer_does_not_count() {
    for (reason, ends) in [
        (Reason::BackendOutOfReach, false),
        (Reason::BackendUnknown, false),
        (Reason::BackendLost, true),
        (Reason::UnknownSession, true),
    ] {
        let store = MemoryStore::new();
        let server = Server::new(move |seen| {
            if String::from_utf8_lossy(&seen.body).contains("\"initialize\"") {
                return opened("s1");
            }
            let refusal = bartizan_core::Refusal::new(reason);
            refusal.render(&Dialect::JsonRpc(None)).map(Full::from)
        });
        let service = guard(&store, &server);
        send(&service, at(Method::POST, "/mcp", None, INITIALIZE)).await;
        let response = send(&service, at(Method::POST, "/mcp", Some("s1"), CALL)).await;
        assert_eq!(response.status(), reason.status(), "{reason:?}");
        assert_eq!(is_live(&store).await, !ends, "{reason:?}");
    }
}

type Frames = Pin<Box<dyn Body<Data = Bytes, Error = &'static str> + Send>>;

/// A body that yields `frames` and then breaks off, or never ends.
fn unfinished(frames: Vec<&'static str>, breaks: bool) -> Frames {
    let mut frames = frames.into_iter();
    let mut next = move || match frames.next() {
        Some(frame) => Poll::Ready(Some(Ok(Frame::data(Bytes::from(frame))))),
        None if breaks => Poll::Ready(Some(Err("broken"))),
        None => Poll::Pending,
    };
    Box::pin(StreamBody::new(futures_util::stream::poll_fn(move |_| next())))
}

/// A body that does not arrive decides nothing, and holds the response back only for a limited
/// time.
#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_or_does_not_come_says_nothing() {
    for breaks in [true, false] {
        let store = MemoryStore::new();
        let server = service_fn(move |request: Request<PeekedBody<Full<Bytes>>>| async move {
            let opens = !request.headers().contains_key("mcp-session-id");
            let frames = unfinished(vec!["Session ", "not"], breaks);
            let mut response = Response::new(frames);
            if opens {
                response.headers_mut().insert("mcp-session-id", "s1".parse().unwrap());
            } else {
                *response.status_mut() = http::StatusCode::NOT_FOUND;
            }
            Ok::<_, Infallible>(response)
        });
        let service = ValidateSessionLayer::mcp(store.clone()).layer(server);
        let opening = at(Method::POST, "/mcp", None, INITIALIZE);
        service.clone().oneshot(opening).await.unwrap();
        let call = at(Method::POST, "/mcp", Some("s1"), CALL);
        let begun = tokio::time::Instant::now();
        let response = service.oneshot(call).await.unwrap();
        assert_eq!(response.status(), 404);
        assert!(begun.elapsed() <= Duration::from_secs(3));
        assert!(is_live(&store).await, "breaks: {breaks}");
        // The part that was read is yielded again, and then the rest as it arrives.
        let mut body = response.into_body();
        for expected in ["Session ", "not"] {
            assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), expected);
        }
        let rest = tokio::time::timeout(Duration::from_secs(1), body.frame()).await;
        assert_eq!(rest.is_ok(), breaks);
    }
}

/// An endless body is read up to a limit.
#[tokio::test]
async fn a_long_body_is_read_to_a_bound() {
    let long: &'static str = Box::leak("x".repeat(1 << 20).into_boxed_str());
    assert!(!survives("/mcp", "/mcp", "text/plain", long).await);
}
