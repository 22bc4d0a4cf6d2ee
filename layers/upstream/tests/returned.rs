//! The body of a request that was not sent is returned with the refusal if its id may be needed.
#![allow(clippy::unwrap_used, reason = "test")]

mod common;

use std::time::Duration;

use bartizan_core::{Reason, Work, refusal::ReturnedBody};
use bartizan_testkit::{BoxBody, Recorder, Script, Silent, server::boxed};
use bartizan_upstream::{Upstream, transport::TransportBuilder};
use bytes::Bytes;
use common::{Hyper, send, upstream_by};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::net::TcpListener;

const CALL: &str = r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#;

/// An MCP request, according to its fields.
fn call() -> Request<BoxBody> {
    let request = Request::post("/mcp").header("mcp-session-id", "s1");
    request.body(boxed(Full::from(CALL))).unwrap()
}

fn upstream(transport: TransportBuilder) -> Upstream {
    Upstream::builder().connections(transport).build()
}

async fn dead() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

async fn returned(mut refusal: Response<BoxBody>) -> Option<Bytes> {
    let body = ReturnedBody::take(&mut refusal)?;
    Some(body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn a_request_without_a_connection_comes_back() {
    let silent = Silent::start().await;
    let soon = Duration::from_millis(100);
    let hurried = TransportBuilder::new().connect_timeout(soon);
    for (transport, origin) in [
        (TransportBuilder::new(), dead().await),
        (TransportBuilder::new(), dead().await.replace("http:", "h2c:")),
        (TransportBuilder::new(), "http://no-such-host.invalid:1".to_owned()),
        (hurried, format!("http://{}", silent.addr)),
    ] {
        for work in [Work::Pinned, Work::Free] {
            let refusal = send(&upstream(transport.clone()), &origin, work, call()).await;
            assert_eq!(returned(refusal).await.unwrap(), CALL, "{origin}");
        }
    }
    // Cancelled before the connection attempt has ended.
    let builder = Upstream::builder().connections(TransportBuilder::new());
    let upstream = builder.response_timeout(Some(soon)).build();
    let refusal = send(&upstream, &format!("http://{}", silent.addr), Work::Pinned, call()).await;
    assert_eq!(Reason::of(&refusal), Some(Reason::ResponseTimeout));
    assert_eq!(returned(refusal).await.unwrap(), CALL);
}

#[tokio::test]
async fn a_request_that_gets_no_turn_comes_back() {
    let silent = Recorder::with(Script::Hang).await;
    let limits = TransportBuilder::new().max_connections_per_backend(1);
    let upstream = upstream(limits.connection_wait(Duration::from_millis(50)));
    let (first, origin) = (upstream.clone(), silent.uri());
    let first = tokio::spawn(async move { send(&first, &origin, Work::Pinned, call()).await });
    while silent.requests() == 0 {
        tokio::task::yield_now().await;
    }
    let refusal = send(&upstream, &silent.uri(), Work::Pinned, call()).await;
    assert_eq!(Reason::of(&refusal), Some(Reason::BackendBusy));
    assert_eq!(returned(refusal).await.unwrap(), CALL);
    first.abort();
}

#[tokio::test]
async fn a_request_that_is_refused_on_arrival_comes_back() {
    let upstream = upstream(TransportBuilder::new());
    let mut request = call();
    request.headers_mut().insert("connection", "mcp-session-id".parse().unwrap());
    let refusal = send(&upstream, &dead().await, Work::Pinned, request).await;
    assert_eq!(Reason::of(&refusal), Some(Reason::ProtectedField));
    assert_eq!(returned(refusal).await.unwrap(), CALL);
}

#[tokio::test]
async fn what_was_sent_does_not_come_back() {
    for script in [Script::Close, Script::RespondAndClose(Bytes::from("SSH-2.0\r\n"))] {
        let recorder = Recorder::with(script).await;
        let upstream = upstream(TransportBuilder::new());
        let refusal = send(&upstream, &recorder.uri(), Work::Pinned, call()).await;
        assert_eq!(refusal.status(), 502);
        assert!(returned(refusal).await.is_none());
    }
    let silent = Recorder::with(Script::Hang).await;
    let builder = Upstream::builder().response_timeout(Some(Duration::from_millis(50)));
    let refusal = send(&builder.build(), &silent.uri(), Work::Pinned, call()).await;
    assert_eq!(refusal.status(), 504);
    assert!(returned(refusal).await.is_none());
}

#[tokio::test]
async fn nothing_comes_back_where_there_is_no_id() {
    let upstream = upstream(TransportBuilder::new());
    let plain = Request::post("/").body(boxed(Full::from(CALL))).unwrap();
    let get = Request::get("/mcp").header("mcp-session-id", "s1");
    let get = get.body(boxed(Full::<Bytes>::default())).unwrap();
    for request in [plain, get] {
        let refusal = send(&upstream, &dead().await, Work::Pinned, request).await;
        assert_eq!(refusal.status(), 503);
        assert!(!ReturnedBody::is_in(&refusal));
    }
}

/// A documented limitation: hyper-util's client does not return a request.
#[tokio::test]
async fn hyper_utils_client_returns_nothing() {
    let dead = dead().await;
    for origin in [dead.clone(), dead.replace("http", "h2c")] {
        let upstream = upstream_by::<Hyper>(Upstream::builder());
        let refusal = send(&upstream, &origin, Work::Pinned, call()).await;
        assert_eq!(refusal.status(), 503);
        assert!(returned(refusal).await.is_none());
    }
}
