//! A refusal in a live session has the id of its request: the whole stack over real connections.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

mod common;

use std::time::Duration;

use bartizan::{
    ReverseProxyStack,
    core::BackendId,
    memory::MemoryStore,
    pin::Backends,
    upstream::{Upstream, transport::TransportBuilder},
};
use bartizan_testkit::{
    Server,
    client::{Answer, INITIALIZE, Raw},
    serve,
    server::boxed,
};
use common::Gateway;
use http::Response;
use http_body_util::{BodyExt, Full};
use tower::Layer;

const HANG: &str = r#"{"jsonrpc":"2.0","id":1,"method":"hang"}"#;
const RESET: &str = r#"{"jsonrpc":"2.0","id":"r","method":"reset"}"#;

const RESULT: &str =
    r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{}}}"#;

/// A server that opens `session-1`, and answers no call that hangs.
async fn server() -> Server {
    serve(async |request| {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        match &*body {
            body if body == HANG.as_bytes() => std::future::pending().await,
            body if body == RESET.as_bytes() => panic!("the connection ends"),
            _ => {}
        }
        let mut response = Response::new(boxed(Full::from(RESULT)));
        if body == INITIALIZE {
            let id = "session-1".parse().unwrap();
            response.headers_mut().insert("mcp-session-id", id);
        }
        response
    })
    .await
}

/// The stack in front of `server`, which has a session of the client.
async fn gateway(server: &Server, resumes: bool) -> (Gateway, Raw, BackendId) {
    let store = MemoryStore::new();
    let backends = Backends::new([server.uri().parse().unwrap()]);
    let stack = ReverseProxyStack::mcp(store.clone(), backends.clone());
    let stack = if resumes { stack.resume(|layer| layer) } else { stack };
    let connections = TransportBuilder::new()
        .max_connections_per_backend(1)
        .connection_wait(Duration::from_millis(100));
    let upstream = Upstream::builder().connections(connections).build();
    let gateway = Gateway::serve(stack.layer(upstream), store, backends).await;
    let client = Raw::new(&gateway.uri());
    let opened = client.post(None, INITIALIZE).await;
    assert_eq!(opened.session(), Some("session-1"));
    let id = gateway.backends.snapshot().first().unwrap().backend().id().clone();
    (gateway, client, id)
}

async fn refused(client: &Raw, id: &str, status: u16) -> Answer {
    let call = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/list"}}"#);
    let answer = client.post(Some("session-1"), call).await;
    assert_eq!(answer.status, status);
    assert!(answer.text().starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error""#)));
    answer
}

#[tokio::test]
async fn a_backend_that_was_drained_is_404_with_the_id() {
    for id in ["7", r#""seven""#] {
        let server = server().await;
        let (gateway, client, backend) = gateway(&server, false).await;
        gateway.backends.drain_within(&backend, Duration::ZERO);
        let _ = gateway.backends.snapshot();
        refused(&client, id, 404).await;
    }
}

#[tokio::test]
async fn a_busy_backend_is_503_with_the_id() {
    let server = server().await;
    for resumes in [false, true] {
        let (_gateway, client, _) = gateway(&server, resumes).await;
        let hangs = tokio::spawn({
            let client = client.clone();
            async move { client.post(Some("session-1"), HANG).await }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        for id in ["7", r#""seven""#] {
            let answer = refused(&client, id, 503).await;
            assert!(answer.text().contains("Too many requests to the backend"));
        }
        hangs.abort();
    }
}

/// The body was sent, so only the layer that can send it again still has it.
#[tokio::test]
async fn a_connection_that_ends_after_the_request_is_502_with_the_id_where_the_request_was_kept() {
    let server = server().await;
    for (resumes, id) in [(true, serde_json::json!("r")), (false, serde_json::Value::Null)] {
        let (_gateway, client, _) = gateway(&server, resumes).await;
        let answer = client.post(Some("session-1"), RESET).await;
        assert_eq!(answer.status, 502, "{answer:?}");
        assert_eq!(answer.message()["id"], id, "{answer:?}");
        assert!(answer.message()["error"].is_object());
    }
}
